"""What metrics need to know of a set of samples, gathered batch by batch, by one process or by several that take turns."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from math import inf

import torch
from torch import Tensor

from zoo_core.data.dataset import Data
from zoo_core.distributed import Processes
from zoo_core.evaluation.feature_spaces import Space
from zoo_core.evaluation.statistics import ClassScores, Moments, pixel_moments
from zoo_core.images import is_image

__all__ = ["PARTS", "Change", "Draw", "Gathered", "Gathering", "OnBatch", "OnStage"]

PARTS, MOST_DIMENSIONS = 20, 512  # of a jackknife: beyond, each part costs a minute

OnBatch = Callable[[int], None]
"""``on_batch(n)``: called after every n samples, of all processes together."""
OnStage = Callable[[str, int], None]
"""``on_stage(name, total)``: called before the samples of a pass, with their number."""

Draw = Callable[[int, int, Tensor | None], Tensor]
"""``draw(first, n, labels)``: samples number first ... first + n - 1, (n, *shape), of classes ``labels`` (n,) where there are any."""

Change = Callable[[Tensor, Tensor], Tensor]
"""``change(x, index)``: what is done to the real samples ``x`` that stand at ``index``, (n,)."""


class Gathered:
    """What is known of a set of samples.

    Args:
        dim: of a feature vector.
        classes: of the space's class probabilities; 0 for none.
        keeps: whether features are kept, and not only what streams.
        parts: in how many the moments are kept.
        stride: how many samples in a row belong to one part: as many as there are classes where these take turns, so that each part has
            all of them.

    Attributes:
        moments: of the features, in parts by the sample's number, so that a jackknife can leave each out.
        scores: the Inception score so far; None without classes.
        labels: int64 (n,): the classes that were asked for, where there are any.
        seconds: what it took to draw the samples.
        pace: seconds a sample took in the fastest batch, which is what the machine does when nothing else runs on it.
    """

    def __init__(self, dim: int, classes: int = 0, keeps: bool = True, *, parts: int = 1, stride: int = 1) -> None:
        self.dim, self.classes, self.keeps, self._stride = dim, classes, keeps, stride
        self.moments = [Moments(dim) for _ in range(parts)]
        self.scores = ClassScores(classes) if classes else None
        self.labels: Tensor | None = None
        self.seconds, self.pace = 0.0, inf
        self._features, self._probabilities = [torch.empty(0, dim)], [torch.empty(0, classes)]
        self._pixels = [torch.empty(0, 3, dtype=torch.float64)]

    @classmethod
    def of(cls, moments: Moments) -> "Gathered":
        """What streams, where only the moments of all samples are known."""
        gathered = cls(moments.dim, keeps=False)
        gathered.moments = [moments]
        return gathered

    @property
    def count(self) -> int:
        """How many samples were added."""
        return sum(part.count for part in self.moments)

    @property
    def features(self) -> Tensor:
        """(n, dim), in the order of the samples' numbers, where they are kept."""
        return _joined(self._features)

    @property
    def probabilities(self) -> Tensor:
        """(n, classes), where they are kept."""
        return _joined(self._probabilities)

    @property
    def pixels(self) -> Tensor:
        """Of each image what :func:`~zoo_core.evaluation.statistics.pixel_moments` gives, float64 (n, 3); empty for other samples."""
        return _joined(self._pixels)

    def add(
        self,
        features: Tensor,
        probabilities: Tensor | None,
        index: Tensor,
        labels: Tensor | None = None,
        pixels: Tensor | None = None,
    ) -> None:
        """Adds the samples number ``index`` (n,): features (n, dim), probabilities (n, classes), labels (n,), pixel moments (n, 3)."""
        for part, moments in enumerate(self.moments):
            moments.add(features[index // self._stride % len(self.moments) == part])
        if self.scores is not None and probabilities is not None:
            self.scores.add(probabilities, index)
        if self.keeps:
            self._features.append(features.cpu())
            if probabilities is not None:
                self._probabilities.append(probabilities.cpu())
        if pixels is not None:
            self._pixels.append(pixels)
        if labels is not None:
            self.labels = labels if self.labels is None else torch.cat([self.labels, labels])

    def total(self, without: int | None = None) -> Moments:
        """The moments of all samples, or of all but those of a part."""
        moments = Moments(self.dim)
        for part, some in enumerate(self.moments):
            if part != without:
                moments.merge(some)
        return moments


def _joined(parts: list[Tensor]) -> Tensor:
    parts[:] = [torch.cat(parts)]
    return parts[0]


@dataclass(frozen=True)
class _Batch:
    index: Tensor
    features: Tensor
    probabilities: Tensor | None
    labels: Tensor | None
    pixels: Tensor | None
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Gathering:
    """How samples are gone through: the processes take turns at batches, so that each is the same however many processes there are.

    Args:
        judge: gives the features.
        processes: that share the work.
        keeps: whether features are kept.
        batch_size: samples at once; changes speed and memory.
        on_batch: sees the number of samples after each batch, of all processes together.
        on_stage: sees the name and the number of samples before each pass.
    """

    judge: Space
    processes: Processes
    keeps: bool = True
    batch_size: int = 64
    on_batch: OnBatch = lambda n: None
    on_stage: OnStage = lambda name, total: None

    def real(self, data: Data, index: Tensor | None = None, change: Change | None = None) -> Gathered:
        """Of real samples: all, or those at ``index``; ``change`` spoils them first."""
        places = torch.arange(len(data)) if index is None else index

        def compute(first: int, last: int) -> _Batch:
            mine = places[first:last]
            x = data.rows(mine)
            x = x if change is None else change(x, mine)
            labels = None if data.labels is None else data.labels[mine]
            return _Batch(torch.arange(first, last), *self.judge(x), labels, _pixels(x))

        into = Gathered(self._dim(data.rows(places[:1])), self.judge.classes, self.keeps)
        return self._through("real samples", into, len(places), compute)

    def drawn(self, draw: Draw, n: int, shape: tuple[int, ...], classes: int = 0) -> Gathered:
        """Of samples 0 ... n - 1 of this ``shape``; where there are ``classes``, they take turns."""

        def compute(first: int, last: int) -> _Batch:
            index = torch.arange(first, last)
            labels = index % classes if classes else None
            started = time.perf_counter()
            x = draw(first, last - first, labels).cpu()
            seconds = time.perf_counter() - started
            return _Batch(index, *self.judge(x), labels, _pixels(x), seconds)

        dim = self._dim(torch.zeros(1, *shape))
        parts = PARTS if dim <= MOST_DIMENSIONS else 1
        into = Gathered(dim, self.judge.classes, self.keeps, parts=parts, stride=max(classes, 1))
        return self._through("drawn samples", into, n, compute)

    def _dim(self, x: Tensor) -> int:
        return self.judge(x)[0].shape[1]

    def _through(self, name: str, into: Gathered, count: int, compute: Callable[[int, int], _Batch]) -> Gathered:
        """Adds the batches in their order."""
        size, processes = self.batch_size, self.processes
        self.on_stage(name, count)
        for turn in range(0, count, size * processes.count):
            first = turn + size * processes.index
            mine = compute(first, min(first + size, count)) if first < count else None
            batches = [batch for batch in processes.gather(mine) if batch is not None]
            for batch in batches:
                into.add(batch.features, batch.probabilities, batch.index, batch.labels, batch.pixels)
            seconds = max(batch.seconds for batch in batches)
            into.seconds += seconds
            if len(batches[0].index) == min(size, count):
                into.pace = min(into.pace, seconds / sum(len(batch.index) for batch in batches))
            self.on_batch(sum(len(batch.index) for batch in batches))
        return into


def _pixels(x: Tensor) -> Tensor | None:
    return pixel_moments(x) if is_image(x.shape[1:]) else None
