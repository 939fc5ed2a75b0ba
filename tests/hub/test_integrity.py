"""Wrong bytes, from a server or in the cache, are fetched again once, and never used."""

import re
from pathlib import Path

import pytest
from huggingface_hub import snapshot_download

from zoo_core.checkpoint.files import Files, oid_of
from zoo_core.errors import (
    IntegrityError,
    UnsafeContentError,
)
from zoo_core.hub.cache import cache_folder
from zoo_core.hub.fetch import fetch, pull
from zoo_core.registry import Registry
from zoo_core.specs import CheckpointSpec, Pin
from zoo_core.testing.hub import LoopbackHub

from .helpers import CATS, WEIGHTS, Contents, asked, blobs, home, registered

pytest_plugins = ["zoo_core.testing.hub"]


def test_wrong_bytes_once_are_fetched_again(hub: LoopbackHub, cats: Contents, commit: str) -> None:
    with hub.fault(f"GET .*/{WEIGHTS}", flip=-1, times=2) as fault:  # the redirect's empty body counts
        assert pull(CATS)[0].read(WEIGHTS) == cats[WEIGHTS]
    assert fault.hits == 2


@pytest.mark.parametrize("name", [WEIGHTS, "config.json"])
@pytest.mark.parametrize("what", [{"flip": -1}, {"short": 7}, {"extra": 9}], ids=str)
@pytest.mark.parametrize("reference", [CATS, "cats"])
def test_wrong_bytes_twice_are_an_integrity_error_and_nothing_of_them_stays(
    hub: LoopbackHub, pinned: CheckpointSpec, reference: str, name: str, what: dict[str, int]
) -> None:
    with hub.fault(f"GET .*/{name}", **what), pytest.raises(IntegrityError, match=re.escape(name)):
        pull(reference)
    assert len([path for path in asked(hub) if path.endswith(f"resolve/{pinned.hub.commit if pinned.hub else ''}/{name}")]) == 2
    assert oid_of(hub.read(CATS, name), "0" * (64 if name == WEIGHTS else 40)) not in {path.name for path in blobs(home())}
    assert not list(home().rglob("*.incomplete"))
    assert not (cache_folder() / "models--zoo--cats" / "snapshots" / str(pinned.hub and pinned.hub.commit) / name).exists()
    pull(reference)


def test_a_body_without_end_is_left_at_its_first_byte_too_many(
    hub: LoopbackHub, cats: Contents, commit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from zoo_core.hub.download import _Body

    beyond: list[int] = []
    add = _Body.add

    def noted(self: _Body, chunk: bytes) -> bool:
        more = add(self, chunk)
        beyond.append(self.received - self.file.size)
        return more

    monkeypatch.setattr(_Body, "add", noted)
    with hub.fault(f"GET .*/{WEIGHTS}", extra=50_000_000), pytest.raises(IntegrityError, match="longer than"):
        pull(CATS)
    assert max(beyond) == 1


def test_what_the_hub_has_instead_of_what_is_pinned_is_not_fetched(hub: LoopbackHub, plugins: Registry, pinned: CheckpointSpec) -> None:
    for wrong in (Pin(sha256="0" * 64, size=pinned.files[WEIGHTS].size), Pin(sha256=pinned.files[WEIGHTS].sha256, size=1)):
        other = CheckpointSpec(name="cats", family="fake", files={**pinned.files, WEIGHTS: wrong}, hub=pinned.hub)
        with registered(plugins, other), pytest.raises(IntegrityError, match="not the pinned file"):
            fetch("cats")
    assert not any(path.endswith(WEIGHTS) for path in asked(hub))


def test_a_small_file_that_is_not_what_is_pinned_does_not_get_into_the_cache(
    hub: LoopbackHub, plugins: Registry, pinned: CheckpointSpec
) -> None:
    wrong = Pin(sha256="0" * 64, size=pinned.files["config.json"].size)
    other = CheckpointSpec(name="cats", family="fake", files={**pinned.files, "config.json": wrong}, hub=pinned.hub)
    with registered(plugins, other), pytest.raises(IntegrityError, match=r"config\.json .* pinned is 000000000000"):
        fetch("cats")
    assert not any(path.name == oid_of(hub.read(CATS, "config.json"), "0" * 40) for path in blobs(home()))


@pytest.mark.parametrize("reference", [CATS, "cats"])
def test_a_wrong_file_in_the_cache_is_replaced_and_what_is_open_stays_as_it_was(
    hub: LoopbackHub, cats: Contents, pinned: CheckpointSpec, reference: str
) -> None:
    path = fetch(reference).folder / WEIGHTS
    spoiled = cats[WEIGHTS][:-1] + b"\1"
    path.write_bytes(spoiled)
    with path.open("rb") as held:
        assert fetch(reference).read(WEIGHTS) == cats[WEIGHTS]
        assert held.read() == spoiled
    assert path.read_bytes() == cats[WEIGHTS]


def test_what_another_client_cached_unverified_is_found_out(hub: LoopbackHub, cats: Contents, pinned: CheckpointSpec) -> None:
    with hub.fault(WEIGHTS, flip=-1):
        folder = Path(snapshot_download(CATS))
    assert (folder / WEIGHTS).read_bytes() != cats[WEIGHTS]
    for reference in ("cats", CATS):
        assert pull(reference)[0].read(WEIGHTS) == cats[WEIGHTS]


def test_a_wrong_file_in_the_cache_is_an_integrity_error_where_nothing_better_comes(
    hub: LoopbackHub, pinned: CheckpointSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = fetch("cats").folder / WEIGHTS
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(IntegrityError, match=r"sha256.*HF_HUB_OFFLINE"):
        pull("cats")


def test_files_of_the_hub_are_read_through_the_links_of_the_cache_alone(hub: LoopbackHub, pinned: CheckpointSpec, tmp_path: Path) -> None:
    files: Files = fetch("cats")
    path = files.folder / "config.json"
    data = path.read_bytes()
    path.unlink()
    (tmp_path / "secret").write_bytes(data)
    path.symlink_to(tmp_path / "secret")
    with pytest.raises(UnsafeContentError, match="link out"):
        fetch("cats").read("config.json")
