"""Counter-based random numbers: a draw depends on its purpose, seed and item, never on earlier draws or on other rows.

Philox (Salmon et al. 2011) maps a key and a counter to random bits. Here the key is (seed, item) and the counter's highest word a
:class:`Stream`, so that the noise of image i of seed s is the same bits at every batch size, on every device, in every process,
and the noise of a training step can be resumed without any state. Normals are float32 from numpy's ziggurat, which uses integers and
tables; a test pins its values.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.random.bit_generator import ISeedSequence
from torch import Tensor

from zoo_core.errors import ConfigError

__all__ = ["ImageRng", "StepRng", "Stream", "generator", "isolated", "permutation"]


class Stream(IntEnum):
    """The purposes of random numbers; streams of one seed never overlap.

    Attributes:
        SAMPLE: starting noise, latents and steps of samples.
        STEP: steps of training.
        ORDER: order of the data in an epoch.
        INIT: initial weights.
        AUGMENT: mirrored images.
        DATA: generated data sets, and random parts of data.
        NOISE: noise on given samples, and random numbers of metrics.
        CONDITION: noise on conditions.

    >>> generator(0, 0, Stream.SAMPLE).random() == generator(0, 0, Stream.STEP).random()
    False
    """

    SAMPLE = 0
    STEP = 1
    ORDER = 2
    INIT = 3
    AUGMENT = 4
    DATA = 5
    NOISE = 6
    CONDITION = 7


def generator(seed: int, item: int, stream: Stream) -> np.random.Generator:
    """Returns the generator of (seed, item) in a stream.

    Args:
        seed: in [0, 2**64).
        item: number of an image, step or epoch, in [0, 2**64).
        stream: purpose of the random numbers.

    Raises:
        ConfigError: if the seed or the item is out of range.
    """
    _check(seed, item)
    key: Any = _Key(seed, item)  # numpy's stubs know only its own SeedSequence
    return np.random.Generator(np.random.Philox(key, counter=_COUNTERS[stream]))


class _Key(ISeedSequence):
    """A seed sequence that passes the key to Philox unchanged.

    ``Philox(key=...)`` does the same, but first requests entropy from the system, which takes four times as long.
    """

    def __init__(self, seed: int, item: int) -> None:
        # An array of uint64: from a list with a number above 2**63, numpy would make floats.
        self._words = np.array([seed, item], dtype=np.uint64)

    def generate_state(self, n_words: int, dtype: Any = np.uint64) -> "np.ndarray[Any, Any]":
        return self._words


_COUNTERS = [np.array([0, 0, 0, stream], dtype=np.uint64) for stream in Stream]


def _check(seed: int, item: int) -> None:
    if not (0 <= seed < 2**64 and 0 <= item < 2**64):
        raise ConfigError(f"seeds and image numbers must be in [0, 2**64), not {seed}, {item}")


def permutation(seed: int, epoch: int, count: int) -> Tensor:
    """Returns the order of ``count`` items in an epoch, int64 (count,)."""
    return torch.from_numpy(generator(seed, epoch, Stream.ORDER).permutation(count))


class ImageRng:
    """The Rng of sampling: row i draws from the stream of (seed, images[i]).

    >>> noise = ImageRng(0, range(8)).normal(3)
    >>> bool((noise[5] == ImageRng(0, [5]).normal(3)[0]).all())
    True

    Args:
        seed: in [0, 2**64).
        images: number of the image of each row, in [0, 2**64).
        device: device of the results.
        stream: purpose of the random numbers.

    Raises:
        ConfigError: if the seed or an image number is out of range.
    """

    def __init__(self, seed: int, images: Sequence[int], device: torch.device | str = "cpu", *, stream: Stream = Stream.SAMPLE) -> None:
        self.device = torch.device(device)
        self.stream = stream
        self._seed, self._images = seed, images
        for image in (min(images, default=0), max(images, default=0)):
            _check(seed, image)

    @cached_property
    def _rows(self) -> list[np.random.Generator]:
        """The generators, made at the first draw: they cost more than a small net's pass, and an exact density draws nothing."""
        return [generator(self._seed, image, self.stream) for image in self._images]

    def __len__(self) -> int:
        return len(self._images)

    def _draw(self, shape: tuple[int, ...], dtype: Any, fill: str, **options: Any) -> Tensor:
        out = np.empty((len(self), *shape), dtype=dtype)
        for row, source in zip(out.reshape(len(self), prod(shape)), self._rows, strict=True):
            getattr(source, fill)(out=row, dtype=dtype, **options)
        return torch.from_numpy(out).to(self.device)

    def normal(self, *shape: int) -> Tensor:
        return self._draw(shape, np.float32, "standard_normal")

    def uniform(self, *shape: int) -> Tensor:
        return self._draw(shape, np.float32, "random")

    def integers(self, low: int, high: int, *shape: int) -> Tensor:
        out = np.empty((len(self), *shape), dtype=np.int64)
        for row, source in enumerate(self._rows):
            out[row] = source.integers(low, high, size=shape, dtype=np.int64)
        return torch.from_numpy(out).to(self.device)


class StepRng:
    """The Rng of a training step: draws for the whole global batch from the stream of (seed, step), and returns ``rows`` of it.

    >>> whole = StepRng(0, step=7, batch_size=4).normal(2)
    >>> half = StepRng(0, step=7, batch_size=4, rows=slice(2, 4)).normal(2)
    >>> bool((whole[2:] == half).all())
    True

    Args:
        seed: in [0, 2**64).
        step: number of the training step.
        batch_size: number of rows of the global batch.
        rows: rows of this process.
        device: device of the results.
        stream: purpose of the random numbers.

    Raises:
        ConfigError: if the seed or the step is out of range.
    """

    def __init__(
        self,
        seed: int,
        step: int,
        batch_size: int,
        rows: slice = slice(None),
        device: torch.device | str = "cpu",
        stream: Stream = Stream.STEP,
    ) -> None:
        self.device = torch.device(device)
        self.batch_size = batch_size
        self.rows = rows
        self._source = generator(seed, step, stream)

    def __len__(self) -> int:
        return len(range(self.batch_size)[self.rows])

    def _rows(self, drawn: "np.ndarray[Any, Any]") -> Tensor:
        return torch.from_numpy(drawn)[self.rows].to(self.device)

    def normal(self, *shape: int) -> Tensor:
        return self._rows(self._source.standard_normal((self.batch_size, *shape), dtype=np.float32))

    def uniform(self, *shape: int) -> Tensor:
        return self._rows(self._source.random((self.batch_size, *shape), dtype=np.float32))

    def integers(self, low: int, high: int, *shape: int) -> Tensor:
        return self._rows(self._source.integers(low, high, (self.batch_size, *shape), dtype=np.int64))


@contextmanager
def isolated(seed: int, *items: int, stream: Stream, devices: Sequence[torch.device | str] = ()) -> Iterator[None]:
    """Runs a block with torch's global RNG seeded from (seed, items), and restores its state afterwards.

    It serves code that cannot take an Rng: parameter initialisation and dropout.
    """
    source = generator(seed, 0, stream)
    for item in items:
        source = generator(int(source.integers(2**63)), item, stream)
    accelerators = [device for device in map(torch.device, devices) if device.type not in ("cpu", "meta")]
    kind = accelerators[0].type if accelerators else "cuda"
    with torch.random.fork_rng(devices=accelerators, device_type=kind):
        # Not torch.manual_seed: it seeds every accelerator, including those whose state is not restored.
        state = int(source.integers(2**63))
        torch.default_generator.manual_seed(state)
        for device in accelerators:
            own = torch.Generator(device).manual_seed(state).get_state()
            torch.get_device_module(device).set_rng_state(own, device)
        yield
