"""Keys: private and public ones in PEM files, and the list of an author's keys that travels in the package of a plugin.

Two files lie beside ``cards.toml``: ``root.pub`` with the author's root keys, whose private halves stay offline, and ``keys.sig``, a list
of the keys that sign checkpoints, signed by a root key. The list has a version and an expiry, and names the repositories that it is for. A
newer list may come from the Hub: so a signing key is replaced without a new package, and a root key by a new package alone. The two roles
are those of The Update Framework (https://theupdateframework.github.io/specification).
"""

import hashlib
import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo_core.atomic import disk_error
from zoo_core.errors import ConfigError, ResourceError, TrustError, UsageError
from zoo_core.registry import REPO, Plugin, registry
from zoo_core.trust.envelope import MAX_BYTES, Statement, check_date, date_of, in_words, read, sign, verify

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

__all__ = [
    "KEYS",
    "PASSWORD",
    "ROOT",
    "Carrier",
    "KeyList",
    "PrivateKey",
    "PublicKey",
    "carrier_of",
    "carriers",
    "check_extra",
    "check_repositories",
    "new_key",
]

ROOT, KEYS = "root.pub", "keys.sig"
PASSWORD = "ZOO_KEY_PASSWORD"
"""Variable with the password of private keys."""
_KIND = "urn:zoo-core:keys:1"
_PEM = re.compile(r"-----BEGIN PUBLIC KEY-----\n[A-Za-z0-9+/=\n]+-----END PUBLIC KEY-----\n")
_PATTERN = re.compile(rf"{REPO}|[A-Za-z0-9][A-Za-z0-9_.-]{{0,95}}/\*")
_HASHES = {"secp256r1": "SHA256", "secp384r1": "SHA384", "secp521r1": "SHA512"}
_EXTRA = "pip install 'zoo-core[sign]'"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key, of a curve P-256, P-384 or P-521.

    >>> PublicKey("-----BEGIN PUBLIC KEY-----...").id[:12]
    '059271e638b3'

    Args:
        pem: the key in PEM.
    """

    pem: str

    @property
    def id(self) -> str:
        """Its name: the sha256 of its PEM, as in signatures of OpenSSF Model Signing."""
        return hashlib.sha256(self.pem.encode()).hexdigest()

    @classmethod
    def load_all(cls, path: Path) -> "tuple[PublicKey, ...]":
        """The keys of a PEM file.

        Raises:
            ConfigError: if the file holds no public key, or anything else.
            ResourceError: if it cannot be read.
        """
        text = _read(path).decode("latin-1").replace("\r\n", "\n")
        keys = tuple(cls(match) for match in _PEM.findall(text))
        if "PRIVATE KEY-----" in text:
            raise ConfigError(
                f"{path} holds a private key, and a public one is needed", f"its name is {path.name}.pub, if `zoo keys new` made it"
            )
        if not keys or _PEM.sub("", text).strip():
            what = "more than public keys" if keys else "no public key"
            raise ConfigError(f"{path} holds {what} in PEM", "`zoo keys new` writes such a file, with the suffix .pub")
        return keys

    def verify(self, signature: bytes, data: bytes) -> bool:
        """Whether ``signature`` is that of ``data`` by this key.

        Raises:
            TrustError: if cryptography is not installed, or this is not a key of those curves.
        """
        check_extra()
        from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.serialization import load_pem_public_key

        try:
            key = load_pem_public_key(self.pem.encode())
        except (ValueError, UnsupportedAlgorithm) as error:
            raise TrustError(f"key {self.id[:12]} cannot be read: {' '.join(str(error).split())[:100]}", "ask its owner") from None
        if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in _HASHES:
            raise TrustError(f"key {self.id[:12]} is not of a curve P-256, P-384 or P-521", "`zoo keys new` makes one")
        try:
            key.verify(signature, data, _algorithm(key))
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """A private key in memory.

    >>> PrivateKey.load(Path("none.pem"))
    Traceback (most recent call last):
        ...
    zoo_core.errors.ResourceError: cannot read none.pem: No such file or directory -- `zoo keys` writes such files

    Args:
        key: the key of cryptography.
    """

    key: "ec.EllipticCurvePrivateKey"

    @classmethod
    def load(cls, path: Path) -> "PrivateKey":
        """The key of a PEM file; its password is that of ZOO_KEY_PASSWORD.

        Raises:
            UsageError: if cryptography is not installed, or the file is not a private key of those curves, or the password is wrong.
            ResourceError: if the file cannot be read.
        """
        data = _read(path)
        try:
            from cryptography.exceptions import UnsupportedAlgorithm
            from cryptography.hazmat.primitives.asymmetric import ec
            from cryptography.hazmat.primitives.serialization import load_pem_private_key
        except ImportError:
            raise UsageError("signing needs cryptography, which is not installed", _EXTRA) from None
        password = os.environ.get(PASSWORD, "").encode() or None
        if b"BEGIN PUBLIC KEY-----" in data:
            raise UsageError(f"{path} holds a public key, and a private one is needed", "its name is the same without .pub")
        try:
            key = load_pem_private_key(data, password)
        except TypeError:
            what, hint = ("is not encrypted", f"unset {PASSWORD}") if password else ("is encrypted", f"set {PASSWORD} to its password")
            raise UsageError(f"{path} {what}", hint) from None
        except (ValueError, UnsupportedAlgorithm):
            wrong = f", or {PASSWORD} is not its password" if password else ""
            raise UsageError(f"{path} is not a private key in PEM{wrong}", "`zoo keys new` writes a key") from None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name not in _HASHES:
            raise UsageError(f"{path} is not a key of a curve P-256, P-384 or P-521", "`zoo keys new` writes one")
        return cls(key)

    @property
    def public(self) -> PublicKey:
        """Its public half."""
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        return PublicKey(self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())

    def sign(self, data: bytes) -> bytes:
        """The signature of ``data``."""
        return self.key.sign(data, _algorithm(self.key))


def _algorithm(key: "ec.EllipticCurvePublicKey | ec.EllipticCurvePrivateKey") -> "ec.ECDSA":
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.ECDSA(getattr(hashes, _HASHES[key.curve.name])())


def check_extra() -> None:
    """Checks that signatures can be checked.

    Raises:
        TrustError: if cryptography is not installed.
    """
    try:
        from cryptography.exceptions import InvalidSignature  # noqa: F401
        from cryptography.hazmat.primitives.asymmetric import ec  # noqa: F401
    except ImportError:
        raise TrustError("signatures cannot be checked: cryptography is not installed", _EXTRA) from None


def new_key(path: Path) -> PublicKey:
    """Writes a new P-256 key: the private half to ``path``, readable by its owner alone, and the public one beside it, as ``PATH.pub``.

    The private half is encrypted if ZOO_KEY_PASSWORD is set.

    Raises:
        UsageError: if one of the files exists, or cryptography is not installed.
        ResourceError: if they cannot be written.
    """
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec
    except ImportError:
        raise UsageError("keys need cryptography, which is not installed", _EXTRA) from None
    beside = path.with_name(f"{path.name}.pub")
    for each in (path, beside):
        if each.exists():
            raise UsageError(f"{each} is there already", "a key is never replaced: choose another name")
    key = PrivateKey(ec.generate_private_key(ec.SECP256R1()))
    password = os.environ.get(PASSWORD, "").encode()
    lock = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    secret = key.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock)
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secret)
        beside.write_text(key.public.pem)
    except OSError as error:
        raise disk_error(f"cannot write {path}", error) from error
    return key.public


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyList:
    """The keys of an author that sign checkpoints.

    >>> from datetime import UTC
    >>> keys = KeyList(version=1, expires=datetime(2030, 1, 1, tzinfo=UTC), keys=(PublicKey("PEM"),), repositories=("zoo/*",))
    >>> keys.covers("Zoo/cats"), keys.covers("zebra/cats")
    (True, False)

    Args:
        version: number of the list; a higher one replaces a lower one.
        expires: date after which it is not trusted.
        keys: the keys.
        repositories: the repositories that they sign, as ORG/NAME or ORG/*.
    """

    version: int
    expires: datetime
    keys: tuple[PublicKey, ...]
    repositories: tuple[str, ...]

    @classmethod
    def parse(cls, statement: Statement, what: str) -> "KeyList":
        """The list of a statement.

        Raises:
            TrustError: if it is malformed.
        """
        said: Any = statement.predicate
        try:
            keys = tuple(PublicKey(str(pem)) for pem in said["keys"])
            repositories = tuple(str(each) for each in said["repositories"])
            version = said["version"]
            if statement.kind != _KIND or type(version) is not int or not 0 < version < 1 << 53:
                raise ValueError("it is no list of keys")
            if not all(_PEM.fullmatch(key.pem) for key in keys) or {key.id for key in keys} != set(statement.subjects.values()):
                raise ValueError("its keys are not those of its subjects")
            check_repositories(repositories)
        except (LookupError, TypeError, ValueError) as error:
            raise TrustError(f"{what} is not a list of keys: {in_words(error)}"[:200], "do not use it") from None
        return cls(version=version, expires=date_of(said.get("expires"), what), keys=keys, repositories=repositories)

    def signed(self, key: PrivateKey) -> bytes:
        """The list as a signature file, by a root key."""
        said = {
            "version": self.version,
            "expires": self.expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "keys": [each.pem for each in self.keys],
            "repositories": list(self.repositories),
        }
        return sign(Statement(kind=_KIND, subjects={each.id[:12]: each.id for each in self.keys}, predicate=said), key)

    def covers(self, repo: str) -> bool:
        """Whether the list is for a repository; the Hub does not tell names by their case."""
        return any(fnmatchcase(repo.lower(), pattern.lower()) for pattern in self.repositories)


def check_repositories(patterns: Iterable[str]) -> None:
    """Checks that repositories are written as ORG/NAME or ORG/*; raises ValueError otherwise.

    >>> check_repositories(["zoo/cats", "zoo/*"])
    """
    for pattern in patterns:
        if not _PATTERN.fullmatch(pattern):
            raise ValueError(f"{pattern[:60]!r} is not ORG/NAME or ORG/*")


@dataclass(frozen=True, kw_only=True, slots=True)
class Carrier:
    """The package of a plugin that carries keys.

    >>> Carrier(dist="zoo-cats", folder=Path("zoo_cats")).dist
    'zoo-cats'

    Args:
        dist: name of the distribution.
        folder: folder with ``root.pub`` and ``keys.sig``.
    """

    dist: str
    folder: Path

    def carried(self) -> KeyList:
        """The list in the package, which is trusted as the package is: its signature is not checked here.

        Raises:
            TrustError: if it is missing or malformed, so that nobody can tell which repositories are signed.
        """
        what = f"{KEYS} of {self.dist}"
        with self._mended_by("nothing that has no pins is loaded before this is mended: "):
            return KeyList.parse(read(_read(self.folder / KEYS), what), what)

    def newest(self, *others: bytes) -> tuple[KeyList, bytes]:
        """The newest list of keys that a root key signed, and its bytes.

        Args:
            others: lists beside those in this package and in packages of other plugins. One that is malformed, or signed by other root keys
                than those of this package, counts for nothing.

        Raises:
            TrustError: if the list in the package is malformed or not signed by a root key, or the newest one has expired; or if
                cryptography is not installed.
        """
        check_extra()
        with self._mended_by():
            roots = PublicKey.load_all(self.folder / ROOT)
            own = _read(self.folder / KEYS)
            lists = [(self._list(own, roots), own)]
        for data in filter(None, (*others, *_packaged())):
            with suppress(TrustError):
                lists.append((self._list(data, roots), data))
        keys, data = max(lists, key=lambda each: each[0].version)
        what = f"the list of keys of {self.dist} (version {keys.version})"
        check_date(keys.expires, what, "a newer one may be kept from you", f"pip install --upgrade {self.dist}")
        return keys, data

    @contextmanager
    def _mended_by(self, why: str = "") -> Iterator[None]:
        """Errors of the files of the package name the package as what to mend."""
        try:
            yield
        except (ConfigError, ResourceError, TrustError) as error:
            hint = f"{why}pip install --force-reinstall {self.dist}, or `zoo keys sign` if it is yours"
            raise TrustError(error.what, hint) from None

    def _list(self, data: bytes, roots: tuple[PublicKey, ...]) -> KeyList:
        what = f"{KEYS} of {self.dist}"
        return KeyList.parse(verify(data, roots, what, owner=f"{ROOT} of {self.dist}"), what)


def carriers() -> list[Carrier]:
    """The installed plugins that carry keys."""
    found: list[Carrier] = []
    for plugin in registry().plugins:
        folder = _folder(plugin)
        # One of the two files alone is a broken package: its repositories are not unsigned for that.
        if folder and any((folder / name).is_file() for name in (KEYS, ROOT)) and folder not in [each.folder for each in found]:
            found.append(Carrier(dist=plugin.dist, folder=folder))
    return found


def _packaged() -> Iterator[bytes]:
    """The lists of keys in all packages: an author of several plugins may have released a newer list in another one."""
    for carrier in carriers():
        with suppress(ResourceError):
            yield _read(carrier.folder / KEYS)


def _folder(plugin: Plugin) -> Path | None:
    """The folder of the package of a plugin, also of one that cannot be imported: its repositories are not unsigned for that."""
    name = plugin.module.rpartition(".")[0]
    file = getattr(sys.modules.get(name), "__file__", None)
    if file is None and plugin.failure and name:
        with suppress(Exception):  # whatever the package of a package above raises
            found = find_spec(name)
            file = found.origin if found else None
    return Path(file).parent if file else None


def carrier_of(repo: str) -> Carrier | None:
    """The installed plugin whose keys are for a repository; None if there is none.

    Raises:
        TrustError: if the list of keys in a package is malformed.
    """
    return next((carrier for carrier in carriers() if carrier.carried().covers(repo)), None)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ResourceError(f"cannot read {path}: {error.strerror or error}", "`zoo keys` writes such files") from None
