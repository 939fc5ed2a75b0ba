"""Theorems about sets that are decoded onto the disk: they are the sets in memory, whoever is killed while they are decoded."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image, PngImagePlugin

from zoo_core.data import cache, loaders, pool
from zoo_core.data.dataset import Data
from zoo_core.data.loaders import folder, folder_on_disk
from zoo_core.data.stored import StoredImages
from zoo_core.datasets import FolderConfig
from zoo_core.errors import ConfigError, ResourceError, UsageError
from zoo_core.testing import environment
from zoo_core.training.batches import Batches

from .helpers import pixels


def save(path: Path, seed: int, *, drawn: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    facts = PngImagePlugin.PngInfo()
    if drawn:
        facts.add_text("Software", "zoo-core 0.1")
    Image.fromarray(pixels(12, 10, 3, seed=seed)).save(path, pnginfo=facts)


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FolderConfig:
    """150 images of three classes, and a cache of their own."""
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    for i in range(150):
        save(tmp_path / "photos" / "abc"[i % 3] / f"{i:03d}.png", i)
    return FolderConfig(path=str(tmp_path / "photos"), size=8, flip=True)


def assert_same(here: Data, there: Data) -> None:
    assert torch.equal(here.x, there.x)
    assert here.labels is not None
    assert there.labels is not None
    assert torch.equal(here.labels, there.labels)
    assert (here.classes, here.digest, here.flip) == (there.classes, there.digest, there.flip)


def test_a_set_on_disk_is_the_set_in_memory(photos: FolderConfig) -> None:
    memory = folder(photos)
    disk = folder_on_disk(photos)
    assert (memory.stored, disk.stored is None) == (None, False)
    assert_same(disk, memory)
    for step in (0, 1, 40, 7):
        assert torch.equal(disk.batch(3, step, 32).x, memory.batch(3, step, 32).x)


def test_samples_of_the_zoo_are_left_out_on_disk_too(photos: FolderConfig, recwarn: pytest.WarningsRecorder) -> None:
    root = Path(photos.path)
    save(root / "a" / "001x.png", 7, drawn=True)
    save(root / "aa" / "1.png", 8, drawn=True)  # a class of nothing but samples
    memory = folder(photos)
    disk = folder_on_disk(photos)
    assert_same(disk, memory)
    assert disk.classes == ("a", "b", "c")
    assert disk.stored is not None
    assert disk.stored.path.stat().st_size == 150 * 3 * 8 * 8
    assert {str(warning.message) for warning in recwarn} == {f"left out in {root}: 2 images that the zoo drew"}


def test_a_set_that_was_decoded_is_read_from_the_disk_until_a_file_changes(photos: FolderConfig) -> None:
    folder_on_disk(photos)
    assert folder(photos).stored is not None
    assert folder(FolderConfig(path=photos.path, size=10)).stored is None
    save(Path(photos.path) / "a" / "000.png", 999)
    changed = folder(photos)
    assert changed.stored is None
    assert_same(folder_on_disk(photos), changed)


def test_a_set_goes_to_the_disk_where_memory_is_small(photos: FolderConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    size = 150 * 3 * 8 * 8
    monkeypatch.setattr(loaders, "available_memory", lambda: 4 * size)
    assert folder(photos).stored is None
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")  # each process would hold a copy
    assert folder(photos).stored is not None


def test_all_broken_files_are_named_and_nothing_is_left(photos: FolderConfig) -> None:
    for name in ("a/000.png", "c/149.png"):
        (Path(photos.path) / name).write_bytes(b"no image")
    with pytest.raises(ConfigError, match=r"cannot read 2 of 150 pictures in .*photos as images: 000\.png, 149\.png") as caught:
        folder_on_disk(photos)
    assert [note.partition("photos/")[2].partition(":")[0] for note in caught.value.__notes__] == ["a/000.png", "c/149.png"]
    assert [path.name[:6] for path in (cache.cache_folder() / "data").iterdir()] == [".lock-"]


SLOW = """
import sys
from zoo_core.data import worker
read = worker.read_picture
def slow(*arguments):
    import time
    time.sleep(0.05)  # so that it is killed in the middle
    return read(*arguments)
worker.read_picture = slow
worker.main(*sys.argv[1:])
"""
LOAD = """
import sys
from zoo_core.data import pool
from zoo_core.data.loaders import folder_on_disk
from zoo_core.datasets import FolderConfig
if len(sys.argv) > 2:
    class Slow(pool.subprocess.Popen):
        def __init__(self, command, **options):
            super().__init__([command[0], "-c", sys.argv[2], *command[3:]], **options)
    pool.subprocess.Popen = Slow
print(folder_on_disk(FolderConfig(path=sys.argv[1], size=8)).digest)
"""


def start(photos: FolderConfig, *slow: str) -> "subprocess.Popen[str]":
    env = {**environment(), "ZOO_CACHE": os.environ["ZOO_CACHE"], "ZOO_WORKERS": "2"}
    return subprocess.Popen([sys.executable, "-c", LOAD, photos.path, *slow], env=env, stdout=subprocess.PIPE, text=True)


def test_a_killed_process_leaves_what_it_did_and_the_next_one_goes_on(photos: FolderConfig) -> None:
    expected = folder(photos).digest
    root = cache.cache_folder() / "data"
    process = start(photos, SLOW)
    deadline = time.monotonic() + 120
    while not (logs := [path for path in root.glob(".part-*/done") if path.stat().st_size]):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)  # asks again; the deadline decides
    process.send_signal(signal.SIGKILL)
    process.communicate()
    done = pool._done(logs[0])
    assert 0 < len(done) < 3
    # A picture of a chunk that is done is not read again: nobody notices that it is broken now.
    listing = loaders._listed(photos)
    path = listing.pictures[min(done) * 64][0]
    status = path.stat()
    path.write_bytes(bytes(status.st_size))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert folder_on_disk(photos).digest == expected


def test_two_processes_decode_a_set_once(photos: FolderConfig) -> None:
    processes = [start(photos, SLOW) for _ in range(2)]
    found = {process.communicate(timeout=120)[0] for process in processes}
    assert found == {f"{folder_on_disk(photos).digest}\n"}
    assert len([path for path in (cache.cache_folder() / "data").iterdir() if path.is_dir()]) == 1


def test_a_worker_that_dies_is_one_line(photos: FolderConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool.sys, "executable", "/bin/false")
    with pytest.raises(ResourceError, match=r"a process that decodes .*photos ended -- is there enough memory"):
        folder_on_disk(photos)


def test_a_full_disk_is_one_line_before_anything_is_decoded(photos: FolderConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(ResourceError, match=r"take 28\.8 kB, and .* has 1\.0 kB left -- set ZOO_CACHE"):
        folder_on_disk(photos)


def test_a_damaged_file_of_images_is_refused(photos: FolderConfig) -> None:
    data = folder_on_disk(photos)
    assert data.stored is not None
    os.truncate(data.stored.path, 1000)
    with pytest.raises(ResourceError, match="it ends too early -- remove its folder"):
        data.batch(0, 0, 150)
    with pytest.raises(ResourceError, match="has 1,000 bytes, and must have 28,800"):
        folder(photos)


@pytest.mark.parametrize("facts", [b"", b"[]", b'{"shape": [1]}'])
def test_a_set_whose_facts_are_damaged_is_decoded_again(photos: FolderConfig, facts: bytes) -> None:
    data = folder_on_disk(photos)
    assert data.stored is not None
    (data.stored.path.parent / "set.json").write_bytes(facts)
    assert folder(photos).stored is None
    assert folder_on_disk(photos).digest == data.digest


def test_rows_are_those_of_the_map(photos: FolderConfig) -> None:
    data = folder_on_disk(photos)
    assert isinstance(data.stored, StoredImages)
    index = torch.tensor([149, 0, 7, 7])
    assert torch.equal(data.stored.rows(index), data.x[index])


@pytest.mark.parametrize("ahead", [0, 1, 3])
def test_batches_that_are_read_ahead_are_those_of_their_steps(photos: FolderConfig, ahead: int) -> None:
    data = folder_on_disk(photos)
    batches = Batches(data, seed=5, batch_size=16, rows=[slice(0, 4), slice(4, 8)], ahead=ahead)
    for step in (0, 1, 2, 30, 31, 3, 4):  # a run may go on anywhere
        for part, rows in zip(batches.at(step, 40), (slice(0, 4), slice(4, 8)), strict=True):
            expected = data.batch(5, step, 16, rows)
            assert torch.equal(part.x, expected.x)
            assert torch.equal(part.index, expected.index)


def test_nothing_is_read_beyond_the_last_step(photos: FolderConfig) -> None:
    batches = Batches(folder_on_disk(photos), seed=0, batch_size=8, rows=[slice(None)], ahead=3)
    batches.at(3, 5)
    assert list(batches._coming) == [4]


def test_a_number_of_workers_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_WORKERS", "many")
    with pytest.raises(UsageError, match="ZOO_WORKERS is 'many'"):
        pool.workers()
