"""Publishing with a key: signatures in the same commit, none where nothing changed, and no unsigned version over a signed one."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from zoo_core.errors import UsageError
from zoo_core.hub.fetch import fetch
from zoo_core.publishing import publish
from zoo_core.registry import Registry, registry, using
from zoo_core.testing.hub import LoopbackHub
from zoo_core.trust.envelope import read
from zoo_core.trust.index import Index
from zoo_core.trust.keys import PrivateKey

from .helpers import CAT, Author, contents, later, predicate, serve, shift

pytest_plugins = ["zoo_core.testing.hub"]
pytest.importorskip("cryptography")
pytestmark = pytest.mark.usefixtures("carried")
SIGNATURES = {"model.sig", "index.sig", "keys.sig"}


def test_signatures_are_in_the_commit_of_the_files(author: Author, run: Path, hub: LoopbackHub) -> None:
    done = author.publish(run)
    assert hub.commits(CAT)[0].id == done.commit
    assert set(done.sent) == {"README.md", "config.json", "model.safetensors", "training.json", *SIGNATURES} == set(done.files)
    resources = {each["name"]: each["digest"] for each in predicate(contents(hub)["model.sig"])["resources"]}
    assert resources == {name: pin.sha256 for name, pin in done.files.items() if name not in SIGNATURES}
    assert contents(hub)["keys.sig"] == (author.package / "keys.sig").read_bytes()


def test_publishing_again_makes_no_commit_until_half_of_the_days_are_over(
    author: Author, run: Path, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = author.publish(run)
    again = author.publish(run)
    assert (again.commit, again.sent) == (first.commit, ())
    before = predicate(contents(hub)["index.sig"])
    later(monkeypatch, 91)
    anew = author.publish(run)
    after = predicate(contents(hub)["index.sig"])
    assert set(anew.sent) == {"model.sig", "index.sig"}
    assert after["serial"] > before["serial"]
    assert after["expires"] > before["expires"]


def test_fewer_days_than_the_present_index_has_get_a_new_one(author: Author, run: Path, hub: LoopbackHub) -> None:
    author.publish(run)
    before = predicate(contents(hub)["index.sig"])
    shorter = author.publish(run, days=30)
    after = predicate(contents(hub)["index.sig"])
    assert set(shorter.sent) == {"model.sig", "index.sig"}
    assert after["serial"] > before["serial"]
    assert after["expires"] < before["expires"]
    assert author.publish(run, days=30).sent == ()


@pytest.mark.parametrize("changes", [{"repo": "zoo/dog"}, {"signature": "ab" * 32}])
def test_an_index_of_something_else_does_not_stay(author: Author, run: Path, hub: LoopbackHub, changes: dict[str, str]) -> None:
    author.publish(run)
    there = contents(hub)
    index = Index.parse(read(there["index.sig"], "index.sig"), "index.sig")
    serve(hub, {**there, "index.sig": replace(index, **changes).signed(PrivateKey.load(author.make("release")))})  # type: ignore[arg-type]
    assert set(author.publish(run).sent) >= {"index.sig"}
    fetch(CAT)


def test_serials_grow_within_a_second(author: Author, run: Path, hub: LoopbackHub) -> None:
    serials = []
    for value in (1.0, 2.0, 3.0):
        author.publish(shift(run, value))
        serials.append(predicate(contents(hub)["index.sig"])["serial"])
    assert serials == sorted(set(serials))


def test_an_unsigned_version_over_a_signed_one_needs_force_and_takes_the_signatures_away(
    author: Author, run: Path, hub: LoopbackHub
) -> None:
    author.publish(run)
    with pytest.raises(UsageError, match=f'{CAT} is signed, and this version would not be -- sign it with sign="KEY"'):
        publish(str(shift(run, 2.0)), CAT, license="mit")
    done = publish(str(run), CAT, license="mit", force=True)
    assert set(done.deleted) == SIGNATURES
    assert not SIGNATURES & set(contents(hub))


def test_a_key_that_is_not_listed_is_refused_before_anything_is_sent(author: Author, run: Path, hub: LoopbackHub) -> None:
    with pytest.raises(UsageError, match=r"zoo-cats carries keys for zoo/cat, and .* is none of them: nobody would accept it"):
        author.publish(run, key="another")
    assert hub.requests == ()


def test_a_dry_run_tells_the_signatures_and_sends_nothing(author: Author, run: Path, hub: LoopbackHub) -> None:
    done = author.publish(run, dry_run=True)
    assert {name: (done.changes or {})[name] for name in SIGNATURES} == dict.fromkeys(SIGNATURES, "add")
    assert CAT not in hub.repos


def test_without_keys_in_a_plugin_the_key_alone_signs(author: Author, run: Path, hub: LoopbackHub) -> None:
    done = author.publish(run, repo="alone/cat")
    assert set(done.files) >= {"model.sig", "index.sig"}
    assert "keys.sig" not in done.files
    assert set(fetch("alone/cat").names) == set(done.files)


def test_a_list_of_keys_that_no_plugin_carries_any_more_is_taken_away(author: Author, run: Path, hub: LoopbackHub) -> None:
    author.publish(run)
    with using(Registry(tuple(plugin for plugin in registry().plugins if plugin.dist != "zoo-cats"))):
        assert author.publish(run).deleted == ("keys.sig",)
        assert SIGNATURES & set(contents(hub)) == {"model.sig", "index.sig"}


def test_signatures_in_a_folder_stay_at_home(author: Author, run: Path) -> None:
    (run / "export" / "model.sig").write_text("{}")
    assert author.publish(run).left_out == ("model.sig",)


def test_without_the_extra_signing_is_refused_and_publishing_works(
    author: Author, run: Path, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "cryptography"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UsageError, match=r"signing needs cryptography, which is not installed -- pip install 'zoo-core\[sign\]'"):
        author.publish(run)
    assert publish(str(run), CAT, license="mit").commit == hub.commits(CAT)[0].id


def test_what_is_not_a_key_is_refused(author: Author, run: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.pem").write_text("-----BEGIN X-----")
    for path, told in (
        (tmp_path / "bad.pem", "is not a private key in PEM -- "),
        (author.folder / "release.pem.pub", "holds a public key, and a private one is needed"),
    ):
        with pytest.raises(UsageError, match=told):
            publish(str(run), CAT, license="mit", sign=path)
