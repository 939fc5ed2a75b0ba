"""An index that is not what it claims to be is refused, and files that nobody signed are left out of a cached copy too."""

import hashlib
from dataclasses import replace
from typing import Any

import pytest

from zoo_core.errors import TrustError
from zoo_core.hub.fetch import fetch
from zoo_core.hub.signed import check_signed
from zoo_core.testing.hub import LoopbackHub
from zoo_core.trust.envelope import Statement, after
from zoo_core.trust.index import Index
from zoo_core.trust.manifest import digests_of

from .helpers import CAT, Author

pytest_plugins = ["zoo_core.testing.hub"]
pytest.importorskip("cryptography")

KIND = "urn:zoo-core:index:1"
SAID = {"repository": CAT, "serial": 3, "expires": "2090-01-01T00:00:00Z"}
SUBJECTS = {"model.sig": "ab" * 32}


@pytest.mark.parametrize(
    ("kind", "subjects", "said"),
    [
        ("urn:zoo-core:keys:1", SUBJECTS, SAID),
        (KIND, {}, SAID),
        (KIND, {**SUBJECTS, "other.sig": "cd" * 32}, SAID),
        (KIND, SUBJECTS, {**SAID, "serial": True}),
        (KIND, SUBJECTS, {**SAID, "serial": 0}),
        (KIND, SUBJECTS, {**SAID, "serial": 1 << 53}),
    ],
)
def test_a_statement_that_is_no_index_is_refused(kind: str, subjects: dict[str, str], said: dict[str, object]) -> None:
    assert Index.parse(Statement(kind=KIND, subjects=SUBJECTS, predicate=SAID), "index.sig").serial == 3
    with pytest.raises(TrustError, match=r"index\.sig (is not an index of a repository|names no model\.sig, or others) -- do not use it"):
        Index.parse(Statement(kind=kind, subjects=subjects, predicate=said), "index.sig")


def test_two_versions_of_one_serial_are_refused() -> None:
    last = Index(repo=CAT, serial=3, expires=after(9), signature="ab" * 32)
    last.check_current(last, "stop")
    with pytest.raises(TrustError, match=r"zoo/cat has two versions of serial 3 -- stop"):
        replace(last, signature="cd" * 32).check_current(last, "stop")


@pytest.mark.usefixtures("carried")
def test_a_file_that_nobody_signed_is_left_out_of_a_cached_copy(author: Author, hub: LoopbackHub) -> None:
    author.release(hub, 1)
    files = fetch(CAT)
    assert files.oids
    more = replace(files, oids={**files.oids, "extra.py": "0" * 40})
    assert "extra.py" in more.names
    assert set(check_signed(more, "main").names) == set(files.names)


LISTED = [
    {"name": "config.json", "digest": "11" * 32, "algorithm": "sha256"},
    {"name": "model.safetensors", "digest": "22" * 32, "algorithm": "sha256"},
]
SERIALIZED = {"method": "files"}
ROOT = hashlib.sha256(bytes.fromhex("11" * 32 + "22" * 32)).hexdigest()
MODEL = Statement(
    kind="https://model_signing/signature/v1.0",
    subjects={"cat": ROOT},
    predicate={"serialization": SERIALIZED, "resources": LISTED},
)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kind": KIND}, "its kind is 'urn:zoo-core:index:1'"),
        ({"predicate": {"serialization": {"method": "shards"}, "resources": LISTED}}, "it has digests of parts of files"),
        (
            {"predicate": {"serialization": SERIALIZED, "resources": [{**LISTED[0], "algorithm": "md5"}]}},
            "it has digests of parts",
        ),
        ({"subjects": {"cat": "ab" * 32}}, "its list of files is not the one that its subject names"),
        ({"subjects": {}}, "its list of files is not the one"),
        ({"subjects": {"cat": ROOT, "dog": ROOT}}, "its list of files is not the one"),
        ({"predicate": {}}, "is not a signature of a model"),
    ],
)
def test_a_statement_that_is_no_list_of_a_models_files_is_refused(changes: dict[str, Any], said: str) -> None:
    assert digests_of(MODEL, "model.sig") == {"config.json": "11" * 32, "model.safetensors": "22" * 32}
    with pytest.raises(TrustError, match=f"model.sig is not a signature of a model: .*{said}|{said}"):
        digests_of(replace(MODEL, **changes), "model.sig")


@pytest.mark.parametrize(
    "odd",
    [{"digest": "22" * 20}, {"digest": "AA" * 32}, {"digest": " ".join(["22"] * 32)}, {"digest": ""}, {"digest": 5}, {"name": 5}],
)
def test_a_file_without_a_name_and_a_sha256_is_refused(odd: dict[str, object]) -> None:
    """A digest of 40 digits would be compared with git's id of a file, which is a sha1."""
    listed = [LISTED[0], {**LISTED[1], **odd}]
    digests = b"".join(bytes.fromhex(str(each["digest"])) for each in listed if len(str(each["digest"])) > 1)
    statement = replace(
        MODEL, subjects={"cat": hashlib.sha256(digests).hexdigest()}, predicate={"serialization": SERIALIZED, "resources": listed}
    )
    with pytest.raises(
        TrustError, match=r"is not a signature of a model: (its files are not names with a sha256 each|a value in it is of another type)"
    ):
        digests_of(statement, "model.sig")


def test_two_digests_of_one_file_are_refused() -> None:
    twice = [LISTED[0], {**LISTED[0], "digest": "33" * 32}]
    root = hashlib.sha256(bytes.fromhex("11" * 32 + "33" * 32)).hexdigest()
    statement = replace(MODEL, subjects={"cat": root}, predicate={"serialization": SERIALIZED, "resources": twice})
    with pytest.raises(TrustError, match="its list of files is not the one that its subject names"):
        digests_of(statement, "model.sig")
