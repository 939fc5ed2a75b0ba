"""The Frechet distance of a stream of features: time linear in the number of samples, constant memory.

Features have 128 dimensions and are drawn in batches of 100 when they are needed. The row of memory is in MiB instead of seconds: the peak
of all live tensors, batches included.
"""

import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.timing import Ratio, compare
from zoo_core.evaluation.distances import frechet
from zoo_core.evaluation.statistics import Moments

DIM, BATCH = 128, 100
FEW, MANY = 1_000, 20_000


def measure() -> Iterator[Ratio]:
    """20,000 samples against 20 streams of 1,000 with one distance, and the peak of memory of 20,000 against that of 1,000."""
    reference = _stream(FEW)

    def floor() -> None:
        for _ in range(MANY // FEW):
            few = _stream(FEW)
        frechet(few, reference)

    yield compare(
        f"Frechet distance of {MANY:,} samples",
        lambda: frechet(_stream(MANY), reference),
        f"{MANY // FEW} streams of {FEW:,} samples",
        floor,
        budget=1.3,
    )
    many, few = _peak(lambda: _stream(MANY)), _peak(lambda: _stream(FEW))
    yield Ratio(
        name=f"its memory, MiB, {MANY:,} samples", floor_name=f"{FEW:,} samples", seconds=many, floor=few, ratio=many / few, budget=1.01
    )


def _stream(count: int) -> Moments:
    moments = Moments(DIM)
    source = torch.Generator().manual_seed(0)
    for _ in range(count // BATCH):
        moments.add(torch.randn(BATCH, DIM, generator=source))
    return moments


class _Peak(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's own
    """While entered, counts the bytes of all tensors that operators return, until they are freed."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's own
        self.alive: Counter[int] = Counter()
        self.now = self.most = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor):
                self._hold(tensor, tensor.untyped_storage().data_ptr(), tensor.untyped_storage().nbytes())
        return out

    def _hold(self, tensor: Tensor, place: int, size: int) -> None:
        self.now += size if not self.alive[place] else 0
        self.alive[place] += 1
        self.most = max(self.most, self.now)
        weakref.finalize(tensor, self._release, place, size)

    def _release(self, place: int, size: int) -> None:
        self.alive[place] -= 1
        self.now -= size if not self.alive[place] else 0


def _peak(run: Callable[[], object]) -> float:
    """The peak of memory of ``run``, in MiB."""
    with _Peak() as peak:
        run()
    return peak.most / 2**20
