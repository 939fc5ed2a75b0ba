"""``verify`` compares every file on this machine with its pin, makes no request, and replaces nothing."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, save

import zoo_core
from zoo_core.cli import main
from zoo_core.errors import NotFoundError, UnknownNameError, UsageError
from zoo_core.hub.fetch import fetch
from zoo_core.registry import Plugin, Registry, using
from zoo_core.specs import CheckpointSpec, Hub, Pin
from zoo_core.testing import environment, fake_zoo, installed, pins_of, write_checkpoint, write_checkpoint_plugin, write_fake_plugin
from zoo_core.testing.fake import Fake
from zoo_core.testing.fake_config import FakeConfig
from zoo_core.testing.hub import LoopbackHub

pytest_plugins = ["zoo_core.testing.hub"]

WEIGHTS = "model.safetensors"
CATS = "zoo/cats"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Path]:
    """A folder in which the distribution zoo-blobs carries the checkpoint ``fake-blobs``."""
    folder = write_fake_plugin(tmp_path / "site")
    with fake_zoo():
        write_checkpoint_plugin(folder, "fake-blobs", Fake(FakeConfig()), FakeConfig())
    with installed(folder, names=["zoo-fake", "zoo-blobs"]):
        yield folder


@pytest.fixture
def carried(site: Path) -> Path:
    """The folder of ``fake-blobs``."""
    return site / "model_cards" / "fake-blobs"


@pytest.fixture
def far(hub: LoopbackHub, tmp_path: Path) -> Iterator[Path]:
    """The folder in the cache of the registered checkpoint ``cats``, which was pulled from the Hub; the Hub is gone since."""
    with fake_zoo() as zoo:
        folder = write_checkpoint(tmp_path / "cats", Fake(FakeConfig()), FakeConfig())
        files = {path.name: path.read_bytes() for path in folder.iterdir()}
        commit = hub.add_repo(CATS, files)
        pins = {name: Pin(sha256=hashlib.sha256(data).hexdigest(), size=len(data)) for name, data in files.items()}
        spec = CheckpointSpec(name="cats", family="fake", files=pins, hub=Hub(repo=CATS, commit=commit), folder=tmp_path / "carried")
        far = Plugin(name="far", module="far", dist="zoo-far", version="1.0", specs=(spec,))
        with using(Registry((*zoo.plugins, far))):
            cached = fetch("cats").folder
            fetch(CATS)
            before = len(hub.requests)
            yield cached
        assert len(hub.requests) == before


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def states(*references: str) -> dict[str, str]:
    return {verdict.file: verdict.state for verdict in zoo_core.verify(*references)}


def test_what_is_as_it_was_pinned_is_ok(carried: Path) -> None:
    assert states("fake-blobs") == {"README.md": "ok", "config.json": "ok", WEIGHTS: "ok"} == states()
    assert {verdict.source for verdict in zoo_core.verify()} == {"zoo-blobs 1.0"}


@pytest.mark.parametrize("name", ["README.md", "config.json", WEIGHTS])
def test_every_single_flipped_file_differs(carried: Path, name: str) -> None:
    flip(carried / name)
    verdicts = {verdict.file: verdict for verdict in zoo_core.verify()}
    assert {file: verdict.state for file, verdict in verdicts.items() if verdict.state != "ok"} == {name: "differs"}
    assert name in verdicts[name].why


def test_a_file_that_is_gone_is_missing_and_what_is_not_here_at_all_is_left_out(carried: Path) -> None:
    (carried / WEIGHTS).unlink()
    assert states()[WEIGHTS] == "missing"
    for path in carried.iterdir():
        path.unlink()
    assert states() == {}
    with pytest.raises(NotFoundError, match="not here"):
        zoo_core.verify("fake-blobs")


def test_weights_with_nan_are_unsafe_though_they_are_what_is_pinned(site: Path, carried: Path) -> None:
    data = load((carried / WEIGHTS).read_bytes())
    (carried / WEIGHTS).write_bytes(save({name: torch.full_like(value, torch.nan) for name, value in data.items()}))
    (site / "checkpoints.json").write_text(json.dumps({"fake-blobs": pins_of(carried)}))
    with installed(site, names=["zoo-fake", "zoo-blobs"]):
        assert states()[WEIGHTS] == "unsafe"


def test_the_cache_is_verified_without_a_request_and_not_mended(far: Path) -> None:
    for reference in ("cats", CATS, f"{CATS}@{far.name}"):
        assert set(states(reference).values()) == {"ok"}
    flip(far / WEIGHTS)
    for reference in ("cats", CATS, f"{CATS}@{far.name}"):
        assert states(reference)[WEIGHTS] == "differs"


@pytest.mark.parametrize("lost", ["blob", "link"])
def test_what_is_gone_from_the_cache_is_missing_though_nothing_pins_it(far: Path, lost: str) -> None:
    for name in ("README.md", WEIGHTS):
        path = far / name
        (path.resolve() if lost == "blob" else path).unlink()
    for reference in ("cats", CATS, f"{CATS}@{far.name}"):
        assert states(reference) == {"README.md": "missing", "config.json": "ok", WEIGHTS: "missing"}
    shutil.rmtree(far)
    with pytest.raises(NotFoundError, match="not here"):
        zoo_core.verify(CATS)


def test_a_file_that_cannot_be_read_stops_nothing(
    carried: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = os.open

    def refuse(path: Path, *args: int) -> int:
        if Path(path).name == "README.md":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *args)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        assert states() == {"README.md": "unreadable", "config.json": "ok", WEIGHTS: "ok"}
        with pytest.raises(SystemExit) as done:
            main(["verify", "--json"])
    assert [entry["state"] for entry in json.loads(capsys.readouterr().out)] == ["unreadable", "ok", "ok"]
    assert done.value.code == 8


def test_what_one_place_lacks_is_missing_only_if_no_other_is_whole(far: Path, tmp_path: Path) -> None:
    carried = tmp_path / "carried"
    carried.mkdir()
    (carried / "README.md").write_bytes((far / "README.md").read_bytes())
    verdicts = zoo_core.verify("cats")
    assert [verdict.source for verdict in verdicts if verdict.file == "README.md"] == [
        "zoo-far 1.0",
        f"the cache, zoo/cats at {far.name[:12]}",
    ]
    assert {verdict.state for verdict in verdicts} == {"ok"}
    (far / WEIGHTS).unlink()
    assert sorted({verdict.file for verdict in zoo_core.verify("cats") if verdict.state == "missing"}) == ["config.json", WEIGHTS]


@pytest.mark.parametrize(
    ("reference", "error"),
    [
        ("local:x", UsageError),
        ("a b", UsageError),
        ("fake-blob", UnknownNameError),
        ("zoo/none", NotFoundError),
        (f"zoo/x@{'0' * 40}", NotFoundError),
    ],
)
def test_what_cannot_be_verified_says_so(carried: Path, reference: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        zoo_core.verify(reference)


def zoo(*args: str, site: Path) -> "subprocess.CompletedProcess[str]":
    env = {**environment(site), "ZOO_PLUGINS": "zoo-fake,zoo-blobs", "HF_ENDPOINT": "http://example.org"}
    return subprocess.run([sys.executable, "-m", "zoo_core.cli", *args], env=env, capture_output=True, text=True, check=False, timeout=60)


def test_the_command_tells_a_line_a_file_and_ends_with_the_code_of_the_worst(site: Path, carried: Path) -> None:
    done = zoo("verify", site=site)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0] == "ok         fake-blobs README.md (zoo-blobs 1.0)"
    flip(carried / WEIGHTS)
    done = zoo("verify", "--all", "--json", site=site)
    assert [(entry["file"], entry["state"]) for entry in json.loads(done.stdout)][-1] == (WEIGHTS, "differs")
    assert (done.returncode, done.stderr.count("\n")) == (5, 1)
    assert done.stderr.startswith("zoo: error: 1 of 3 files differ from their pins -- ")
    os.unlink(carried / WEIGHTS)
    assert zoo("verify", "fake-blobs", site=site).returncode == 4
    assert zoo("verify", "fake-blobs", "--all", site=site).returncode == 2
    for path in carried.iterdir():
        path.unlink()
    assert zoo("verify", site=site).stderr == "zoo: no registered checkpoint is here -- `zoo verify ORG/NAME` verifies others\n"
