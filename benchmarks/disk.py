"""Pictures on disk: the share of reading in a training step, and the memory of an epoch.

``python -m benchmarks disk`` writes JPEGs of 256x256, 1,000 or as many as ``PICTURES`` says, and decodes them to 64x64. Rows of memory
are in MiB instead of seconds.
"""

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from benchmarks.timing import Ratio, clock, compare
from zoo_core.data.dataset import Data
from zoo_core.data.decoding import read_picture
from zoo_core.data.loaders import folder_on_disk
from zoo_core.data.readers import resize_and_crop
from zoo_core.datasets import FolderConfig
from zoo_core.distributed import Processes
from zoo_core.training.loop import Loop, build
from zoo_ddpm.recipes import COURSE

SIZE, BATCH = 64, 32


def measure() -> Iterator[Ratio]:
    """Batches of the course recipe at 64x64, from memory, from disk, and decoded on the fly."""
    with TemporaryDirectory() as name:
        place = Path(name)
        os.environ["ZOO_CACHE"] = str(place / "cache")
        paths = _write(place / "pictures", int(os.environ.get("PICTURES", "1000")))
        config = FolderConfig(path=str(place / "pictures"), size=SIZE, flip=True)
        begun = time.perf_counter()
        disk = folder_on_disk(config)
        cold = time.perf_counter() - begun
        yield compare(
            "opening a decoded set", lambda: folder_on_disk(config), "decoding it", lambda: time.sleep(cold), budget=0.1, rounds=3
        )
        memory = Data(x=disk.x.clone(), flip=True)
        steps = iter(range(10**9))

        def batch(data: Data) -> None:
            data.batch(0, next(steps), BATCH)

        yield compare("a batch from disk", lambda: batch(disk), "a batch from memory", lambda: batch(memory), budget=3.0, now=clock)
        loop = _loop(disk)
        step = "a training step"
        yield compare("share: a batch from disk", lambda: batch(disk), step, loop.advance, budget=0.05, rounds=5, now=clock)
        order = np.random.default_rng(0).permutation(len(paths))[:BATCH]

        def decode() -> None:
            for path in order:
                np.asarray(resize_and_crop(read_picture(paths[path], 3).image, SIZE, "lanczos"))

        yield compare("share: decoding a batch each time", decode, step, loop.advance, budget=10.0, rounds=5, now=clock)
        yield _memory(disk)


def _write(folder: Path, count: int) -> list[Path]:
    folder.mkdir(parents=True)
    source = np.random.default_rng(0)
    paths = [folder / f"{i:06d}.jpg" for i in range(count)]
    for path in paths:
        coarse = Image.fromarray(source.integers(0, 256, (24, 24, 3), dtype=np.uint8))
        coarse.resize((256, 256), Image.Resampling.BICUBIC).save(path, quality=90)
    return paths


def _loop(data: Data) -> Loop:
    recipe = replace(COURSE, model=replace(COURSE.model, image_size=SIZE), fit=replace(COURSE.fit, batch_size=BATCH))  # type: ignore[type-var]
    loop = Loop(recipe, build(recipe), data, Processes("cpu"))
    loop.start()
    return loop


def _memory(data: Data) -> Ratio:
    """The resident memory of this process after an epoch against that after a few batches."""
    for step in range(4):
        data.batch(0, step, BATCH)
    before = _resident()
    for step in range(-(-len(data) // BATCH)):
        data.batch(0, step, BATCH)
    after = _resident()
    return Ratio(
        name="its memory, MiB, after an epoch", floor_name="after 4 batches", seconds=after, floor=before, ratio=after / before, budget=1.02
    )


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
