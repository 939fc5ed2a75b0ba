"""Lists of keys that are none, and which of several lists counts."""

import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import pytest

from zoo_core.errors import TrustError, UsageError
from zoo_core.hub.fetch import fetch
from zoo_core.registry import Plugin, Registry, registry, using
from zoo_core.testing.hub import LoopbackHub
from zoo_core.trust.envelope import Statement
from zoo_core.trust.keys import Carrier, KeyList, PublicKey, new_key

from .helpers import CAT, Author, contents

pytest_plugins = ["zoo_core.testing.hub"]
pytest.importorskip("cryptography")

KIND = "urn:zoo-core:keys:1"
PEM = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"
SAID = {"version": 3, "expires": "2090-01-01T00:00:00Z", "keys": [PEM], "repositories": ["zoo/*", "other/cat"]}
SUBJECTS = {"k": PublicKey(PEM).id}


@pytest.mark.parametrize(
    ("kind", "subjects", "said", "told"),
    [
        ("urn:zoo-core:index:1", SUBJECTS, {}, "it is no list of keys"),
        *((KIND, SUBJECTS, {"version": odd}, "it is no list of keys") for odd in (True, 0, -1, 1.0, "1", None, 1 << 53)),
        (KIND, {"k": PublicKey("x").id}, {"keys": ["x"]}, "its keys are not those of its subjects"),
        (KIND, SUBJECTS, {"keys": [PEM, PEM.replace("A", "B")]}, "its keys are not those of its subjects"),
        (KIND, {}, {}, "its keys are not those of its subjects"),
        (KIND, SUBJECTS, {"keys": 5}, "is not a list of keys: a value in it is of another type"),
        *(
            (KIND, SUBJECTS, {"repositories": [odd]}, "is not ORG/NAME or ORG/*")
            for odd in ("*", "*/*", "zoo/c*", "zoo/[a-z]", "zoo", "zoo/../x", "/cat", "zoo/cat/more", 5)
        ),
        (KIND, SUBJECTS, {"expires": "2090-01-01"}, "where a date should be"),
    ],
)
def test_a_statement_that_is_no_list_of_keys_is_refused(
    kind: str, subjects: Mapping[str, str], said: Mapping[str, object], told: str
) -> None:
    assert KeyList.parse(Statement(kind=KIND, subjects=SUBJECTS, predicate=SAID), "keys.sig").version == 3
    with pytest.raises(TrustError, match=told.replace("*", r"\*")):
        KeyList.parse(Statement(kind=kind, subjects=subjects, predicate={**SAID, **said}), "keys.sig")


def test_a_list_is_for_names_in_any_case_and_for_no_name_that_only_begins_alike() -> None:
    listed = KeyList.parse(Statement(kind=KIND, subjects=SUBJECTS, predicate={**SAID, "repositories": ["Zoo/*", "other/Cat"]}), "keys.sig")
    assert [listed.covers(repo) for repo in ("zoo/cat", "ZOO/cat", "OTHER/cat")] == [True] * 3
    assert [listed.covers(repo) for repo in ("zoos/cat", "other/cats", "x/zoo")] == [False] * 3


def test_the_list_of_the_highest_version_counts_wherever_it_lies(author: Author) -> None:
    first = author.list_keys("release")
    second = author.list_keys("second", version=2)
    third = author.list_keys("third", version=3)
    carrier = Carrier(dist="zoo-cats", folder=author.package)  # which has the third one
    assert carrier.newest(first, second)[1] == third
    (author.package / "keys.sig").write_bytes(first)
    assert carrier.newest(third, second)[1] == third
    assert carrier.newest(b"", b"{}", second)[1] == second


def test_a_newer_list_in_the_package_of_another_plugin_of_the_author_counts(
    author: Author, carried: Author, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    author.release(hub, 1)
    first = (author.package / "keys.sig").read_bytes()
    other = author.folder / "zoo_dogs"
    other.mkdir()
    (other / "keys.sig").write_bytes(author.list_keys("second", version=2))
    (other / "root.pub").write_bytes((author.package / "root.pub").read_bytes())
    (author.package / "keys.sig").write_bytes(first)
    assert fetch(CAT)
    package = ModuleType("zoo_dogs")
    package.__file__ = str(other / "__init__.py")
    monkeypatch.setitem(sys.modules, "zoo_dogs", package)
    plugin = Plugin(name="dogs", module="zoo_dogs.plugin", dist="zoo-dogs", version="1.0")
    with using(Registry((*registry().plugins, plugin))), pytest.raises(TrustError, match="signed by key"):
        fetch(CAT)


@pytest.mark.parametrize("lost", ["keys.sig", "root.pub"])
@pytest.mark.parametrize("content", [None, b"{}"])
def test_a_package_with_a_broken_list_is_to_be_mended_and_nothing_passes_meanwhile(
    author: Author, carried: Author, hub: LoopbackHub, lost: str, content: bytes | None
) -> None:
    author.release(hub, 1)
    path = author.package / lost
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(TrustError, match=r"-- .*pip install --force-reinstall zoo-cats, or `zoo keys sign` if it is yours") as caught:
        fetch(CAT)
    assert lost in caught.value.what
    # Without keys.sig nobody can tell for which repositories the keys are.
    hub.add_repo("others/cat", {name: data for name, data in contents(hub).items() if not name.endswith(".sig")})
    if lost == "keys.sig":
        with pytest.raises(TrustError, match="-- nothing that has no pins is loaded before this is mended: pip install"):
            fetch("others/cat")
    else:
        assert fetch("others/cat")


def test_a_list_in_the_package_by_another_root_key_is_refused(author: Author) -> None:
    author.list_keys("release", root="another-root")
    with pytest.raises(TrustError, match=r"keys\.sig of zoo-cats is signed by key .*, and the keys of root\.pub of zoo-cats are"):
        Carrier(dist="zoo-cats", folder=author.package).newest()


def test_a_key_without_a_password_is_private_too_and_its_public_half_is_never_replaced(tmp_path: Path) -> None:
    new_key(tmp_path / "key.pem")
    assert stat.S_IMODE((tmp_path / "key.pem").stat().st_mode) == 0o600
    (tmp_path / "key.pem").unlink()
    before = (tmp_path / "key.pem.pub").read_bytes()
    with pytest.raises(UsageError, match=r"key\.pem\.pub is there already"):
        new_key(tmp_path / "key.pem")
    assert (tmp_path / "key.pem.pub").read_bytes() == before
    assert not (tmp_path / "key.pem").exists()
