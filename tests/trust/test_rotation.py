"""Keys that are replaced, lost or stolen: the steps of docs/trust.md, by the commands that it names."""

import stat
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from zoo_core.errors import ConfigError, TrustError, UsageError
from zoo_core.hub.fetch import fetch
from zoo_core.hub.lockfile import Lock, LockedCheckpoint
from zoo_core.publishing.signing import Signer
from zoo_core.registry import Registry, registry, using
from zoo_core.registry.plugin import Failure
from zoo_core.specs import Pin
from zoo_core.testing.hub import LoopbackHub
from zoo_core.trust.keys import PASSWORD, PrivateKey, PublicKey, carrier_of, new_key

from .helpers import CAT, Author, commit_of, later, serve

pytest_plugins = ["zoo_core.testing.hub"]
pytest.importorskip("cryptography")
pytestmark = pytest.mark.usefixtures("carried")


class Package:
    """The package of the plugin on a machine of a user, who installed it once, and does not update it until told."""

    def __init__(self, author: Author) -> None:
        self.author = author
        self.files = {path.name: path.read_bytes() for path in author.package.iterdir()}

    def install(self) -> None:
        for name, data in self.files.items():
            (self.author.package / name).write_bytes(data)


def test_a_release_key_is_replaced_without_a_new_package(author: Author, hub: LoopbackHub) -> None:
    user = Package(author)
    author.release(hub, 1)
    commit_of()
    author.list_keys("release", "second", version=2)  # both for a while
    author.release(hub, 2, key="second")
    user.install()
    assert commit_of() == hub.commits(CAT)[0].id
    author.list_keys("second", version=3)  # the old one is gone
    author.release(hub, 3, key="second")
    user.install()
    assert commit_of() == hub.commits(CAT)[0].id


def test_a_lost_or_stolen_release_key_signs_nothing_more_once_the_new_list_was_seen(author: Author, hub: LoopbackHub) -> None:
    user = Package(author)
    author.release(hub, 1)
    commit_of()
    author.list_keys("second", version=2)
    author.release(hub, 2, key="second")
    user.install()
    assert commit_of() == hub.commits(CAT)[0].id
    serve(hub, author.sign(9))  # the thief, with the old key, the old list and a high serial
    with pytest.raises(TrustError, match=f"signed by key '{author.public('release').id[:12]}', and the keys of zoo-cats are "):
        fetch(CAT)


def test_the_highest_serial_by_a_stolen_key_does_not_lock_the_author_out(author: Author, run: Path, hub: LoopbackHub) -> None:
    """The fast-forward attack of The Update Framework (5.3.11 of its specification)."""
    user = Package(author)
    author.release(hub, 1)
    commit_of()
    serve(hub, author.sign(9, serial=(1 << 53) - 1))  # the thief, before anybody knows
    assert commit_of() == hub.commits(CAT)[0].id
    author.list_keys("second", version=2)
    author.publish(run, key="second", force=True)  # another family of checkpoint than the thief's
    user.install()
    assert commit_of() == hub.commits(CAT)[0].id


def test_a_serial_by_a_key_that_is_still_listed_counts_whichever_key_comes_next(author: Author, hub: LoopbackHub) -> None:
    author.list_keys("release", "second")
    author.release(hub, 5)
    commit_of()
    author.release(hub, 4, key="second")
    with pytest.raises(TrustError, match="went back to serial 4, and serial 5 was seen here"):
        fetch(CAT)


def test_a_stolen_key_signs_nothing_more_in_a_repository_that_was_never_here(author: Author, hub: LoopbackHub) -> None:
    user = Package(author)
    thief = author.sign(9, repo="zoo/dog")  # with the old key and the old list
    author.list_keys("second", version=2)
    author.release(hub, 1, key="second")
    user.install()
    assert commit_of()  # the new list was seen, in another repository
    serve(hub, thief, "zoo/dog")
    with pytest.raises(TrustError, match=f"signed by key '{author.public('release').id[:12]}', and the keys of zoo-cats are "):
        fetch("zoo/dog")


def test_an_old_version_of_a_replaced_key_is_refused_by_its_commit_and_loaded_by_a_lock_file(
    author: Author, hub: LoopbackHub, tmp_path: Path
) -> None:
    user = Package(author)
    author.release(hub, 1)
    first = commit_of()
    files = fetch(CAT)
    pins = {name: Pin(sha256=files.digest(name), size=files.size(name)) for name in files.names}
    lock = Lock(path=tmp_path / "zoo.lock", checkpoints={f"{CAT}@{first}": LockedCheckpoint(files=pins, hub=files.hub)})
    author.list_keys("second", version=2)
    author.release(hub, 2, key="second")
    user.install()
    assert commit_of() != first
    with pytest.raises(TrustError, match="signed by key"):
        fetch(f"{CAT}@{first}")
    assert fetch(f"{CAT}@{first}", lock=lock).read("training.json") == files.read("training.json")


def test_a_list_of_keys_that_is_kept_back_expires(author: Author, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    author.release(hub, 1, days=3000)
    assert commit_of()
    later(monkeypatch, 701)
    match = r"the list of keys of zoo-cats \(version 1\) expired on .*: a newer one may be kept from you -- pip install --upgrade zoo-cats"
    with pytest.raises(TrustError, match=match):
        fetch(CAT)


def test_a_list_by_another_root_key_counts_for_nothing(author: Author, hub: LoopbackHub) -> None:
    author.release(hub, 1)
    mine = (author.package / "keys.sig").read_bytes()
    forged = author.list_keys("thief", version=9, root="thieves-root")
    (author.package / "keys.sig").write_bytes(mine)
    second = serve(hub, {**author.sign(1), "keys.sig": forged})
    assert commit_of() == second  # signed by the listed key all the same
    carrier = carrier_of(CAT)
    assert carrier
    assert carrier.newest(forged)[0].keys == (author.public("release"),)


def test_a_lost_root_key_is_replaced_by_the_second_one_without_a_break(author: Author, hub: LoopbackHub) -> None:
    (author.package / "root.pub").write_text(author.public("root").pem + author.public("spare").pem)
    author.list_keys("release")
    user = Package(author)
    author.list_keys("release", version=2, root="spare")  # signed by the spare one
    author.release(hub, 1)
    user.install()
    assert commit_of() == hub.commits(CAT)[0].id


def test_with_all_root_keys_lost_a_new_package_brings_new_ones(author: Author, hub: LoopbackHub) -> None:
    user = Package(author)
    author.release(hub, 1)
    commit_of()
    (author.package / "root.pub").write_text(author.public("new-root").pem)
    author.list_keys("new-release", root="new-root")
    fresh = Package(author)
    second = author.release(hub, 2, key="new-release")
    assert commit_of() == second  # with the new package, whose list begins at version 1 again
    user.install()
    with pytest.raises(TrustError, match=r"and the keys of zoo-cats are .* -- .* then update the package that carries the keys"):
        fetch(CAT)
    fresh.install()
    assert commit_of() == second


def test_a_key_file_is_private_and_is_never_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "key.pem"
    monkeypatch.setenv(PASSWORD, "a long one")
    public = new_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert b"ENCRYPTED" in path.read_bytes()
    assert PrivateKey.load(path).public == public == PublicKey.load_all(tmp_path / "key.pem.pub")[0]
    with pytest.raises(UsageError, match="is there already"):
        new_key(path)
    for value, told in (
        ("", f"is encrypted -- set {PASSWORD}"),
        ("another", f"is not a private key in PEM, or {PASSWORD} is not its password"),
    ):
        monkeypatch.setenv(PASSWORD, value)
        with pytest.raises(UsageError, match=told):
            PrivateKey.load(path)
    monkeypatch.delenv(PASSWORD)
    new_key(tmp_path / "open.pem")
    monkeypatch.setenv(PASSWORD, "a long one")
    with pytest.raises(UsageError, match=f"is not encrypted -- unset {PASSWORD}"):
        PrivateKey.load(tmp_path / "open.pem")


def test_a_repository_that_the_newest_list_leaves_out_is_refused(author: Author, hub: LoopbackHub) -> None:
    user = Package(author)
    author.release(hub, 1)
    commit_of()
    newer = author.list_keys("release", version=2, repositories=("zoo/dog",))
    author.release(hub, 2)
    user.install()
    with pytest.raises(TrustError, match=r"the list of keys of zoo-cats \(version 2\) is not for zoo/cat any more"):
        fetch(CAT)
    carrier = carrier_of(CAT)
    assert carrier
    signer = Signer(PrivateKey.load(author.make("release")), 180)
    assert signer.keys(CAT)
    with pytest.raises(UsageError, match="the newest list, version 2, has none for it -- list it again: `zoo keys sign --repo`"):
        signer.keys(CAT, newer)


@pytest.mark.parametrize("broken", ["plugin", "package"])
def test_the_keys_of_a_plugin_that_cannot_be_imported_count(
    author: Author, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    serve(hub, {name: data for name, data in author.sign(1).items() if name != "model.sig"})
    if broken == "package":
        (author.package / "__init__.py").write_text("import none_of_that_name")
        monkeypatch.delitem(sys.modules, "zoo_cats")
        monkeypatch.syspath_prepend(str(author.folder))
    failure = Failure(step="import", why="ModuleNotFoundError")
    plugins = [replace(plugin, failure=failure) if plugin.dist == "zoo-cats" else plugin for plugin in registry().plugins]
    with (
        using(Registry(tuple(plugins))),
        pytest.raises(TrustError, match=r"has no model\.sig, and zoo-cats carries the keys of its author"),
    ):
        fetch(CAT)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "holds no public key in PEM"),
        ("x", "holds no public key in PEM"),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\nmore", "holds more than public keys in PEM"),
        ("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n", "holds a private key"),
    ],
)
def test_what_is_not_a_public_key_is_refused(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "x.pub").write_text(text)
    with pytest.raises(ConfigError, match=told):
        PublicKey.load_all(tmp_path / "x.pub")


def test_a_key_of_another_kind_is_named(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    key = ed25519.Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(TrustError, match="is not of a curve P-256, P-384 or P-521"):
        PublicKey(public.decode()).verify(b"", b"")
    curve = ec.generate_private_key(ec.SECP256K1())
    public = curve.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(TrustError, match="is not of a curve P-256, P-384 or P-521"):
        PublicKey(public.decode()).verify(b"", b"")
    pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    for secret in (key, curve):
        (tmp_path / "other.pem").write_bytes(secret.private_bytes(*pem))
        with pytest.raises(UsageError, match="is not a key of a curve P-256, P-384 or P-521"):
            PrivateKey.load(tmp_path / "other.pem")
    with pytest.raises(TrustError, match="cannot be read"):
        PublicKey("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n").verify(b"", b"")
