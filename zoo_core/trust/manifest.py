"""The statement of ``model.sig``: the digest of every file of a checkpoint, in the format of OpenSSF Model Signing 1.0.

``model_signing verify key`` accepts a folder with these files and ``model.sig``, and the zoo accepts the signatures of ``model_signing sign
key`` over files with SHA-256 (https://github.com/sigstore/model-transparency).
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from zoo_core.errors import TrustError
from zoo_core.trust.envelope import Statement, in_words

__all__ = ["SIGNATURE", "digests_of", "statement_of"]

SIGNATURE = "model.sig"
_KIND = "https://model_signing/signature/v1.0"
_SHA256 = re.compile(r"[0-9a-f]{64}")
# What is no part of the model: signatures, git's own files, and the notes of `hf download --local-dir`.
_IGNORED = (SIGNATURE, "index.sig", "keys.sig", ".cache", ".git", ".gitattributes", ".github", ".gitignore")


def statement_of(name: str, digests: Mapping[str, str]) -> Statement:
    """The statement about files.

    >>> statement_of("cats", {"config.json": "ab" * 32}).predicate["resources"]
    [{'name': 'config.json', 'algorithm': 'sha256', 'digest': 'abababababababababababababababababababababababababababababababab'}]

    Args:
        name: name of the checkpoint.
        digests: sha256 of each file in hex, by its name.
    """
    resources = [{"name": file, "algorithm": "sha256", "digest": digest} for file, digest in sorted(digests.items())]
    serialization = {"method": "files", "hash_type": "sha256", "allow_symlinks": False, "ignore_paths": list(_IGNORED)}
    return Statement(kind=_KIND, subjects={name: _root(resources)}, predicate={"serialization": serialization, "resources": resources})


def digests_of(statement: Statement, what: str) -> dict[str, str]:
    """The sha256 of each file in hex, by its name.

    Raises:
        TrustError: if the statement is of another kind, or contradicts itself.
    """
    said: Any = statement.predicate
    try:
        if statement.kind != _KIND:
            raise ValueError(f"its kind is {statement.kind[:60]!r}")
        resources = said["resources"]
        if said["serialization"]["method"] != "files" or any(each["algorithm"] != "sha256" for each in resources):
            raise ValueError("it has digests of parts of files, or others than SHA-256, which the zoo does not check")
        digests = {each["name"]: each["digest"] for each in resources}
        if not all(isinstance(name, str) and _SHA256.fullmatch(digest) for name, digest in digests.items()):
            raise ValueError("its files are not names with a sha256 each")
        if len(digests) != len(resources) or list(statement.subjects.values()) != [_root(resources)]:
            raise ValueError("its list of files is not the one that its subject names")
    except (LookupError, TypeError, ValueError) as error:
        raise TrustError(f"{what} is not a signature of a model: {in_words(error)}"[:250], "do not use it") from None
    return digests


def _root(resources: list[dict[str, str]]) -> str:
    """The digest of all digests, in the order of the list."""
    return hashlib.sha256(b"".join(bytes.fromhex(each["digest"]) for each in resources)).hexdigest()
