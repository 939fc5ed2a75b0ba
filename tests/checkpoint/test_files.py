"""Files of a checkpoint match their pins, and no content or name of a file can do harm."""

import json
import os
import struct
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save

from zoo_core.checkpoint.content import check_content
from zoo_core.checkpoint.files import Files
from zoo_core.checkpoint.safetensors import MAX_HEADER_BYTES, MAX_TENSORS, check_finite, read_header
from zoo_core.errors import (
    CardError,
    ConfigError,
    HubError,
    IntegrityError,
    LoginError,
    NameConflictError,
    NotFoundError,
    OfflineError,
    ResourceError,
    UnknownNameError,
    UnsafeContentError,
    UsageError,
    ZooError,
)
from zoo_core.hub.fetch import fetch, pull
from zoo_core.registry import Plugin, Reference, Registry, discover, other_meaning, parse_reference, registry, using
from zoo_core.specs import CheckpointSpec, Pin
from zoo_core.testing import fake_zoo, installed, write_checkpoint, write_checkpoint_plugin, write_fake_plugin
from zoo_core.testing.fake import Fake
from zoo_core.testing.fake_config import FakeConfig
from zoo_core.testing.hub import LoopbackHub

pytest_plugins = ["zoo_core.testing.hub"]


@pytest.fixture
def carried(tmp_path: Path) -> Iterator[Path]:
    """The folder of the checkpoint ``fake-blobs``, which the distribution zoo-blobs carries and pins."""
    with installed(write_fake_plugin(tmp_path / "fake"), names=["zoo-fake"]):
        folder = write_checkpoint_plugin(tmp_path / "blobs", "fake-blobs", Fake(FakeConfig()), FakeConfig())
    with installed(tmp_path / "fake", tmp_path / "blobs", names=["zoo-fake", "zoo-blobs"]):
        yield folder


@pytest.fixture
def local(carried: Path, tmp_path: Path) -> Path:
    """A checkpoint folder that nothing pins."""
    return write_checkpoint(tmp_path / "mine", Fake(FakeConfig()), FakeConfig())


def flip(path: Path, place: int = -1) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def test_a_carried_checkpoint_is_found_and_every_file_matches_its_pin(carried: Path) -> None:
    seen: list[tuple[str, int]] = []
    [files] = pull("fake-blobs", on_file=lambda files, name, size: seen.append((name, size)))
    assert files.source == "zoo-blobs 1.0"
    assert files.folder.samefile(carried)
    assert dict(seen) == {path.name: path.stat().st_size for path in carried.iterdir()}
    assert fetch("zoo-blobs:fake-blobs").name == "fake-blobs"


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "README.md"])
def test_a_flipped_byte_is_an_integrity_error_that_names_the_file(name: str, carried: Path) -> None:
    flip(carried / name)
    with pytest.raises(IntegrityError, match=name):
        fetch("fake-blobs").read(name)
    with pytest.raises(IntegrityError, match=name):
        pull("fake-blobs")


def test_a_file_cut_short_or_grown_is_an_integrity_error(carried: Path) -> None:
    path = carried / "model.safetensors"
    data = path.read_bytes()
    for wrong, word in ((data[:-1], "shorter"), (b"", "shorter"), (data + b"\0", "longer")):
        path.write_bytes(wrong)
        with pytest.raises(IntegrityError, match=word):
            fetch("fake-blobs").read("model.safetensors")


def test_of_a_file_that_is_too_long_only_one_byte_too_many_is_read(carried: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = carried / "config.json"
    size = path.stat().st_size
    os.truncate(path, 1 << 40)
    read: list[int] = []
    bytes_of = Files._bytes
    monkeypatch.setattr(Files, "_bytes", lambda self, name, limit: read.append(len(data := bytes_of(self, name, limit))) or data)
    with pytest.raises(IntegrityError, match="longer"):
        fetch("fake-blobs").read("config.json")
    assert read == [size + 1]


def test_what_is_not_pinned_is_not_read(carried: Path) -> None:
    (carried / "extra.json").write_text("{}")
    with pytest.raises(NotFoundError, match=r"extra\.json"):
        fetch("fake-blobs").read("extra.json")


def test_a_file_that_is_gone_is_not_found(carried: Path) -> None:
    (carried / "model.safetensors").unlink()
    with pytest.raises(NotFoundError, match="zoo-blobs"):
        fetch("fake-blobs").read("model.safetensors")


@pytest.mark.parametrize(
    "name", ["../config.json", "/etc/passwd", "a/../../b", "..", ".", "", ".git/config", ".env", "a\0b", "a\x1b[31m", "a\\b", "a//b", "a b"]
)
def test_a_name_that_could_lead_elsewhere_is_unsafe(name: str, local: Path) -> None:
    with pytest.raises(UnsafeContentError):
        fetch(f"local:{local}").read(name)


def test_a_link_out_of_the_folder_is_unsafe_and_one_inside_is_not(local: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (local / "out.txt").symlink_to(tmp_path / "secret")
    (local / "in.txt").symlink_to(local / "config.json")
    (local / "round.txt").symlink_to(local / "round.txt")
    files = fetch(f"local:{local}")
    assert files.read("in.txt") == files.read("config.json")
    with pytest.raises(UnsafeContentError, match="link"):
        files.read("out.txt")
    with pytest.raises(ResourceError, match=r"round\.txt"):
        files.read("round.txt")


def test_a_pipe_or_folder_in_the_place_of_a_file_does_not_hold_us(local: Path) -> None:
    os.mkfifo(local / "pipe.json")
    (local / "folder.json").mkdir()
    for name in ("pipe.json", "folder.json"):
        with pytest.raises(UnsafeContentError, match="not a regular file"):
            fetch(f"local:{local}").read(name)


def test_a_checkpoint_folder_may_itself_be_a_link(local: Path, tmp_path: Path) -> None:
    (tmp_path / "linked").symlink_to(local)
    assert fetch(f"local:{tmp_path / 'linked'}").json("config.json")["format"] == 1


def test_a_run_folder_means_its_export(local: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "recipe.json").write_text("{}")
    local.rename(run / "export")
    for reference in (f"local:{run}", f"local:{run / 'export'}"):
        assert (fetch(reference).name, fetch(reference).folder) == ("run", run / "export")


def test_names_that_differ_in_case_alone_are_unsafe(tmp_path: Path) -> None:
    pin = Pin(sha256="0" * 64, size=1)
    spec = CheckpointSpec(name="x", folder=tmp_path, files={"Card.md": pin, "card.md": pin})
    with using(Registry((Plugin(name="p", module="p", dist="zoo-p", version="1", specs=(spec,)),))), pytest.raises(UnsafeContentError):
        fetch("x")


def test_what_is_not_here_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    spec = CheckpointSpec(name="far", files={"a.json": Pin(sha256="0" * 64, size=1)})
    twins = [Plugin(name=dist, module="p", dist=dist, version="1", specs=(spec,)) for dist in ("zoo-p", "zoo-q")]
    cases: list[tuple[str, type[ZooError]]] = [
        (f"local:{tmp_path / 'nowhere'}", NotFoundError),
        (f"local:{tmp_path}", NotFoundError),
        ("ORG/NAME@main", OfflineError),
        ("zoo-p:far", NotFoundError),
        ("far", NameConflictError),
        ("fra", UnknownNameError),
        ("no reference", UsageError),
    ]
    with using(Registry((*discover([]).plugins, *twins))):
        for reference, error in cases:
            with pytest.raises(error) as caught:
                fetch(reference)
            assert caught.value.hint
    with pytest.raises(UsageError):
        pull()


def test_a_folder_that_exists_means_that_folder(local: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    local.rename(tmp_path / "runs" / "cat")
    (tmp_path / "cat").symlink_to("runs/cat")
    for reference in ("runs/cat", "runs/cat/", "./cat", "cat", str(tmp_path / "cat"), Path("cat"), Path("runs/cat")):
        assert fetch(reference).folder.resolve() == tmp_path / "runs" / "cat"
        assert fetch(reference).reference.kind == "local"


def test_the_name_of_a_registered_checkpoint_and_a_revision_go_before_a_folder(
    carried: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    [name] = [name for name in registry().claims(CheckpointSpec) if name.startswith("fake")]
    for folder in (tmp_path / name, tmp_path / "runs" / "cat"):
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
    assert fetch(name).folder != tmp_path / name
    assert parse_reference("runs/cat@main") == Reference(kind="hub", name="runs/cat", revision="main")
    assert other_meaning("runs/cat") == "runs/cat is the folder of that name here; runs/cat@main is the repository on the Hub"
    assert [other_meaning(text) for text in ("./runs/cat", "local:runs/cat", "runs/cat@main", name)] == [""] * 4


def test_what_may_be_meant_for_a_folder_and_is_none_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    (tmp_path / "runs" / "cat").mkdir(parents=True)
    (tmp_path / "cat").mkdir()
    (tmp_path / "file").touch()
    cases: list[tuple[str | Path, type[ZooError], str]] = [
        ("runs/cat", NotFoundError, "holds no checkpoint.* runs/cat@main is the repository on the Hub"),
        ("runs/cta", HubError, r"there is no folder runs/cta here: did you mean runs/cat\?"),
        ("cat", UnknownNameError, "the folder cat here holds no checkpoint"),
        ("./dog", NotFoundError, "there is no folder dog"),
        ("a/b/c", UsageError, "there is no folder a/b/c here"),
        (Path("file"), NotFoundError, "file is a file -- name the folder"),
    ]
    with fake_zoo():
        for reference, error, told in cases:
            with pytest.raises(error, match=told):
                fetch(reference)


def test_a_run_that_is_not_finished_is_told_from_no_run(tmp_path: Path) -> None:
    (tmp_path / "run" / "steps").mkdir(parents=True)
    (tmp_path / "run" / "recipe.json").write_text("{}")
    with pytest.raises(NotFoundError, match=r"the run in .*run is not finished -- the same `zoo train` command goes on"):
        fetch(f"local:{tmp_path / 'run'}")


def test_a_hub_that_answers_is_hinted_at_folders_too(hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "cat").mkdir(parents=True)
    with pytest.raises(NotFoundError, match="did you mean runs/cat"):
        fetch("runs/cta")
    with hub.fault("GET /api/", status=401), pytest.raises(LoginError, match="did you mean runs/cat"):
        fetch("runs/cta")


@pytest.mark.parametrize("place", ["is_dir", "exists", "iterdir"])
def test_a_folder_that_cannot_be_read_is_a_resource_error(place: str, local: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, place, refuse)
    with pytest.raises(ResourceError, match="Permission denied"):
        pull(f"local:{local}")


@pytest.mark.parametrize("name", ["notes.json", "README.md", "notes.txt"])
def test_a_file_larger_than_its_kind_may_be_is_not_read_whole(name: str, local: Path) -> None:
    (local / name).touch()
    os.truncate(local / name, 1 << 40)
    with pytest.raises(UnsafeContentError, match=f"{name} is larger than .* MiB"):
        pull(f"local:{local}")


def test_of_json_and_cards_no_more_than_their_limit_is_looked_into() -> None:
    for name, limit in (("config.json", 8 << 20), ("README.md", 4 << 20)):
        data = bytes(1 << 30)  # of which the system gives no memory before it is read
        tracemalloc.start()
        try:
            with pytest.raises((CardError, ConfigError), match="larger than"):
                check_content(name, data)
            assert tracemalloc.get_traced_memory()[1] < 2 * limit
        finally:
            tracemalloc.stop()


def safetensors(header: object, body: bytes = b"", pad: bytes = b"") -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw) + len(pad)) + raw + pad + body


def entry(**changes: Any) -> dict[str, Any]:
    return {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **changes}


MALFORMED: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "seven bytes": lambda: b"\0" * 7,
    "no header": lambda: b"\0" * 8,
    "a header longer than the file": lambda: struct.pack("<Q", 1 << 62) + b"{}",
    "a header beyond the cap": lambda: safetensors(b"{" + b" " * MAX_HEADER_BYTES + b"}"),
    "leading white space": lambda: safetensors(b' {"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}', b"\0" * 8),
    "no JSON": lambda: safetensors(b"{a: 1}"),
    "no object": lambda: safetensors([1]),
    "no UTF-8": lambda: safetensors(b'{"\xff": 1}'),
    "deep nesting": lambda: safetensors(b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}"),
    "NaN in the header": lambda: safetensors(b'{"a":{"dtype":"F32","shape":[NaN],"data_offsets":[0,8]}}', b"\0" * 8),
    "a long number": lambda: safetensors(b'{"a":{"dtype":"F32","shape":[' + b"9" * 5000 + b'],"data_offsets":[0,8]}}', b"\0" * 8),
    "a tensor twice": lambda: safetensors(
        b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}', b"\0" * 8
    ),
    "a field twice": lambda: safetensors(b'{"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}}', b"\0" * 8),
    "too many tensors": lambda: safetensors({str(i): entry(shape=[0], data_offsets=[0, 0]) for i in range(MAX_TENSORS + 1)}),
    "too many dimensions": lambda: safetensors({"a": entry(shape=[1] * 8 + [2])}, b"\0" * 8),
    "an unknown dtype": lambda: safetensors({"a": entry(dtype="F8_E5M2", shape=[8])}, b"\0" * 8),
    "a dtype that is no string": lambda: safetensors({"a": entry(dtype=["F32"])}, b"\0" * 8),
    "a negative size": lambda: safetensors({"a": entry(shape=[-1, -2])}, b"\0" * 8),
    "a fractional size": lambda: safetensors({"a": entry(shape=[2.0])}, b"\0" * 8),
    "a truth for a size": lambda: safetensors({"a": entry(shape=[2, True])}, b"\0" * 8),
    "a size and offsets that disagree": lambda: safetensors({"a": entry(shape=[3])}, b"\0" * 8),
    "an overflowing size": lambda: safetensors({"a": entry(shape=[2**62, 2**62, 2**62])}, b"\0" * 8),
    "offsets in the wrong order": lambda: safetensors({"a": entry(data_offsets=[8, 0])}, b"\0" * 8),
    "a missing field": lambda: safetensors({"a": {"dtype": "F32", "shape": [2]}}, b"\0" * 8),
    "a field too many": lambda: safetensors({"a": entry(extra=1)}, b"\0" * 8),
    "a tensor that is no object": lambda: safetensors({"a": [1]}, b"\0" * 8),
    "overlapping tensors": lambda: safetensors({"a": entry(), "b": entry()}, b"\0" * 8),
    "a gap": lambda: safetensors({"a": entry(), "b": entry(data_offsets=[12, 20])}, b"\0" * 20),
    "bytes left over": lambda: safetensors({"a": entry()}, b"\0" * 12),
    "truncated": lambda: safetensors({"a": entry()}, b"\0" * 4),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_weights_are_unsafe_before_any_library_opens_them(case: str, local: Path) -> None:
    data = MALFORMED[case]()
    with pytest.raises(UnsafeContentError) as caught:
        read_header(data, len(data))
    assert len(caught.value.what) < 300
    (local / "model.safetensors").write_bytes(data)
    with pytest.raises(UnsafeContentError):
        pull(f"local:{local}")
    with pytest.raises(UnsafeContentError):
        fetch(f"local:{local}").tensors()


def test_the_header_of_good_weights_says_what_the_library_says() -> None:
    state = {
        "a": torch.randn(2, 3),
        "b": torch.zeros(0, 4),
        "c": torch.arange(5),
        "d": torch.ones(3, dtype=torch.bfloat16),
        "e": torch.tensor(True),
        "f": torch.randn(1, 1, 1, 1, 1, 1, 1, 2, dtype=torch.float64),
    }
    data = save(state, metadata={"format": "pt"})
    found = read_header(data, len(data))
    assert {name: info.shape for name, info in found.items()} == {name: tuple(value.shape) for name, value in state.items()}
    assert {name: info.elements for name, info in found.items()} == {name: value.numel() for name, value in state.items()}
    check_finite(data, found)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_nan_and_infinite_weights_are_refused_at_pull(dtype: torch.dtype, value: float, local: Path) -> None:
    (local / "model.safetensors").write_bytes(save({"ok": torch.ones(3), "bad": torch.tensor([1.0, value, 2.0]).to(dtype)}))
    with pytest.raises(UnsafeContentError, match="bad"):
        pull(f"local:{local}")


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_folder_without_config_or_weights_is_not_pulled(name: str, local: Path) -> None:
    (local / name).unlink()
    with pytest.raises(NotFoundError, match=name):
        pull(f"local:{local}")


def test_pull_reads_config_and_card(local: Path) -> None:
    (local / "config.json").write_text("{")
    with pytest.raises(ConfigError, match=r"config\.json"):
        pull(f"local:{local}")
    (local / "config.json").write_text("{}")
    (local / "README.md").write_text("---\nno end")
    with pytest.raises(CardError, match="front matter"):
        pull(f"local:{local}")


@pytest.mark.parametrize("notes", [3, [], {"a": 1}, None])
def test_metadata_of_weights_must_be_strings(notes: object) -> None:
    header = json.dumps({"__metadata__": notes}).encode()
    data = struct.pack("<Q", len(header)) + header
    with pytest.raises(UnsafeContentError, match="__metadata__"):
        read_header(data, len(data))
