"""The batches of a run. Those of a set on disk, or of a GPU, are read ahead by threads while the step before them is computed."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import torch

from zoo_core.data.dataset import Batch, Data

__all__ = ["Batches"]

_THREADS = 2


class Batches:
    """The batches of this process, by the number of the step. A batch depends on the seed and the step alone, however it is read.

    >>> data = Data(x=torch.arange(12.0).view(6, 2))
    >>> batches = Batches(data, seed=0, batch_size=4, rows=[slice(0, 2), slice(2, 4)])
    >>> [batch.x.shape for batch in batches.at(7)]
    [torch.Size([2, 2]), torch.Size([2, 2])]

    Args:
        data: data set.
        seed: seed of the order and the flips.
        batch_size: number of rows of a whole batch.
        rows: the parts of a batch that this process computes, one after the other.
        device: device of the batches.
        ahead: number of steps that are read ahead; None for two, or none where the samples are in the memory that computes.
    """

    def __init__(
        self,
        data: Data,
        *,
        seed: int,
        batch_size: int,
        rows: Sequence[slice],
        device: torch.device | str = "cpu",
        ahead: int | None = None,
    ) -> None:
        self.data = data
        self.seed = seed
        self.batch_size = batch_size
        self.rows = rows
        self.device = torch.device(device)
        self._ahead = (_THREADS if data.stored is not None or self.device.type == "cuda" else 0) if ahead is None else ahead
        self._pool: ThreadPoolExecutor | None = None
        self._coming: dict[int, Future[list[Batch]]] = {}

    def at(self, step: int, last: int | None = None) -> list[Batch]:
        """The parts of the batch of a step; the next ones are read ahead.

        Args:
            step: number of the step, from 0.
            last: number of steps of the run, beyond which nothing is read; None for no end.
        """
        if not self._ahead:
            return self._read(step)
        coming = self._coming.pop(step, None)
        self._coming = {number: future for number, future in self._coming.items() if number > step}
        for number in range(step + 1, step + 1 + self._ahead):
            if number not in self._coming and (last is None or number < last):
                self._coming[number] = self._submit(number)
        parts = self._read(step) if coming is None else coming.result()
        return [self._placed(part) for part in parts]

    def _submit(self, step: int) -> "Future[list[Batch]]":
        if self._pool is None:
            self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="zoo-batches")
        return self._pool.submit(self._read, step)

    def _read(self, step: int) -> list[Batch]:
        place = "cpu" if self._ahead else self.device
        parts = [self.data.batch(self.seed, step, self.batch_size, rows, place) for rows in self.rows]
        # From pinned memory, a GPU copies while it computes.
        return [replace(part, x=part.x.pin_memory()) for part in parts] if self._ahead and self.device.type == "cuda" else parts

    def _placed(self, part: Batch) -> Batch:
        if self.device.type == "cpu":
            return part
        pinned = self.device.type == "cuda"
        labels = None if part.labels is None else part.labels.to(self.device, non_blocking=pinned)
        return replace(part, x=part.x.to(self.device, non_blocking=pinned), labels=labels)
