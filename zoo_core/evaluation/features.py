"""Statistics of a set of samples, gathered batch by batch by one process or by several that take turns."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf

import torch
from torch import Tensor

from zoo_core.data.dataset import Data
from zoo_core.distributed import Processes
from zoo_core.evaluation.feature_cache import feature_key, read_features, write_features
from zoo_core.evaluation.feature_spaces import FeatureSpace
from zoo_core.evaluation.statistics import ClassScores, Moments, pixel_moments
from zoo_core.images import is_image

__all__ = ["PARTS", "Change", "Draw", "FeatureExtractor", "Gathered", "OnBatch", "OnStage"]

PARTS = 20
"""The number of parts of a jackknife."""
CAPTIONED = 7  # columns of what images show of their captions
MAX_JACKKNIFE_DIMS = 512  # with more dimensions, each part costs a minute
WORTH_KEEPING = 5.0  # seconds that a pass over real samples takes, from which its features are kept on disk

OnBatch = Callable[[int], None]
"""``on_batch(n)``: called after every n samples of all processes together."""
OnStage = Callable[[str, int], None]
"""``on_stage(name, total)``: called before a pass over ``total`` samples."""

Draw = Callable[[int, int, Tensor | None], Tensor]
"""``draw(first, n, labels)``: samples number first ... first + n - 1, (n, *shape), of classes ``labels`` (n,), or None without classes."""

Judge = Callable[[Tensor, Sequence[str], Tensor, Tensor | None], Tensor]
"""``judge(x, captions, features, probabilities)``: what images show of their captions, float64 (n, 7)."""

Change = Callable[[Tensor, Tensor], Tensor]
"""``change(x, index)``: changes real samples ``x`` (n, *shape), whose places in the data are ``index`` (n,)."""


class Gathered:
    """Statistics gathered from a set of samples.

    Args:
        dim: length of a feature vector.
        classes: number of class probabilities of the feature space; 0 without classes.
        keeps: True to keep all features and probabilities, and not only their streamed statistics.
        parts: number of parts in which the moments are kept.
        stride: number of consecutive samples that belong to one part. Where classes take turns it is their number, so that each part has
            samples of all classes.

    Attributes:
        moments: moments of the features, one for each part, so that a jackknife can leave parts out.
        scores: statistics of the Inception score; None without classes.
        labels: classes that the samples were drawn for, or real labels, int64 (n,); None without labels.
        seconds: time that drawing the samples took.
        pace: seconds per sample in the fastest batch, which is the speed of the machine when nothing else runs on it.

    >>> import torch
    >>> gathered = Gathered(2, parts=2)
    >>> gathered.add(torch.tensor([[0.0, 1.0], [2.0, 3.0]]), None, torch.arange(2))
    >>> gathered.count, gathered.total().mean.tolist()
    (2, [1.0, 2.0])
    """

    def __init__(self, dim: int, classes: int = 0, keeps: bool = True, *, parts: int = 1, stride: int = 1) -> None:
        self.dim = dim
        self.classes = classes
        self.keeps = keeps
        self._stride = stride
        self.moments = [Moments(dim) for _ in range(parts)]
        self.scores = ClassScores(classes) if classes else None
        self.labels: Tensor | None = None
        self.seconds = 0.0
        self.pace = inf
        self._features = [torch.empty(0, dim)]
        self._probabilities = [torch.empty(0, classes)]
        self._pixels = [torch.empty(0, 3, dtype=torch.float64)]
        self._captioned = [torch.empty(0, CAPTIONED, dtype=torch.float64)]

    @classmethod
    def from_moments(cls, moments: Moments) -> "Gathered":
        """The statistics of samples of which only the moments are known."""
        gathered = cls(moments.dim, keeps=False)
        gathered.moments = [moments]
        return gathered

    @classmethod
    def from_features(cls, features: Tensor, labels: Tensor | None = None) -> "Gathered":
        """The statistics of samples with features (n, dim) and labels (n,)."""
        gathered = cls(features.shape[1])
        gathered.add(features, None, torch.arange(len(features)), labels)
        return gathered

    @property
    def count(self) -> int:
        """The number of samples that were added."""
        return sum(part.count for part in self.moments)

    @property
    def features(self) -> Tensor:
        """Features (n, dim) in the order of the samples' numbers; empty unless they are kept."""
        return _joined(self._features)

    @property
    def probabilities(self) -> Tensor:
        """Class probabilities (n, classes); empty unless they are kept."""
        return _joined(self._probabilities)

    @property
    def pixels(self) -> Tensor:
        """Pixel moments of images, float64 (n, 3); see :func:`~zoo_core.evaluation.statistics.pixel_moments`. Empty for other samples."""
        return _joined(self._pixels)

    @property
    def captioned(self) -> Tensor:
        """What images show of their captions, float64 (n, 7); see :data:`zoo_core.evaluation.caption_metrics.COLUMNS`. Else empty."""
        return _joined(self._captioned)

    def add(
        self,
        features: Tensor,
        probabilities: Tensor | None,
        index: Tensor,
        labels: Tensor | None = None,
        pixels: Tensor | None = None,
        captioned: Tensor | None = None,
    ) -> None:
        """Adds samples.

        Args:
            features: (n, dim).
            probabilities: class probabilities (n, classes), or None.
            index: numbers of the samples, int64 (n,).
            labels: int64 (n,), or None.
            pixels: pixel moments (n, 3), or None.
            captioned: what images show of their captions (n, 7), or None.
        """
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
        if captioned is not None:
            self._captioned.append(captioned)
        if labels is not None:
            self.labels = labels if self.labels is None else torch.cat([self.labels, labels])

    def total(self, without: int | None = None) -> Moments:
        """The moments of all samples, or of all but those of part number ``without``."""
        total = Moments(self.dim)
        for part, moments in enumerate(self.moments):
            if part != without:
                total.merge(moments)
        return total


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
    captioned: Tensor | None
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class FeatureExtractor:
    """A pass over samples that gathers their statistics. Processes take turns at batches, so that their number changes no batch.

    Args:
        space: feature space.
        processes: processes that share the work.
        keeps: True to keep all features.
        batch_size: samples per batch; changes speed and memory only.
        on_batch: called with the number of samples after each batch, of all processes together.
        on_stage: called with the name and the number of samples before each pass.
        judge: says what images show of their captions; None for metrics that do not ask.

    >>> import torch
    >>> from zoo_core.evaluation.feature_spaces import load_feature_space
    >>> extractor = FeatureExtractor(space=load_feature_space("identity"), processes=Processes("cpu"))
    >>> extractor.real(Data(x=torch.zeros(3, 2))).features.shape
    torch.Size([3, 2])
    """

    space: FeatureSpace
    processes: Processes
    keeps: bool = True
    batch_size: int = 64
    on_batch: OnBatch = lambda n: None
    on_stage: OnStage = lambda name, total: None
    judge: Judge | None = None

    def real(self, data: Data, index: Tensor | None = None, change: Change | None = None) -> Gathered:
        """Gathers the statistics of real samples. Those of a whole data set come from the cache on disk, if they are there.

        Args:
            data: data set.
            index: places of the samples in it, int64 (n,); None for all.
            change: function that changes the samples first, or None.
        """
        places = torch.arange(len(data)) if index is None else index
        key = feature_key(data.digest, self.space.digest, self.processes.device.type) if index is None and change is None else ""
        known = self._known(key, data) if key else None
        computed: list[_Batch] = []

        def compute(first: int, last: int) -> _Batch:
            mine = places[first:last]
            if known is not None:
                rows = (known[name][first:last] if name in known else None for name in ("probabilities", "pixels"))
                labels = None if data.labels is None else data.labels[mine]
                return _Batch(torch.arange(first, last), known["features"][first:last], next(rows), labels, next(rows), None)
            x = data.rows(mine)
            x = x if change is None else change(x, mine)
            labels = None if data.labels is None else data.labels[mine]
            captions = [data.captions[place] for place in mine.tolist()] if data.captions else []
            return self._batch(torch.arange(first, last), x, labels, captions)

        gathered = Gathered(self._dim(data.rows(places[:1])), self.space.classes, self.keeps)
        started = time.perf_counter()
        keeps = bool(key) and known is None and self.processes.main
        self._gather("real samples", gathered, len(places), compute, computed if keeps else None)
        if keeps and time.perf_counter() - started >= WORTH_KEEPING:
            write_features(key, _rows(computed))
        return gathered

    def _known(self, key: str, data: Data) -> dict[str, Tensor] | None:
        """Features from the cache, if all processes have them and they are those that the network gives for the first samples."""
        found = read_features(key, len(data))
        if found is not None:
            first = data.rows(torch.arange(min(self.batch_size, len(data))))
            features = self.space(first)[0].cpu()
            stored = found["features"][: len(features)]
            if stored.shape != features.shape or not torch.allclose(stored, features, rtol=1e-3, atol=1e-4):
                found = None
        return found if all(self.processes.gather(found is not None)) else None

    def _batch(self, index: Tensor, x: Tensor, labels: Tensor | None, captions: Sequence[str], seconds: float = 0.0) -> _Batch:
        features, probabilities = self.space(x)
        captioned = self.judge(x, captions, features, probabilities) if self.judge and captions else None
        return _Batch(index, features, probabilities, labels, _pixels(x), captioned, seconds)

    def drawn(self, draw: Draw, n: int, shape: tuple[int, ...], classes: int = 0, captions: Sequence[str] = ()) -> Gathered:
        """Draws samples 0 ... n - 1 and gathers their statistics.

        Args:
            draw: draws samples.
            n: number of samples.
            shape: shape of a sample.
            classes: number of classes, which take turns; 0 without classes.
            captions: captions that the samples are drawn for, in turns; empty for none.
        """

        def compute(first: int, last: int) -> _Batch:
            index = torch.arange(first, last)
            labels = index % classes if classes else None
            started = time.perf_counter()
            x = draw(first, last - first, labels).cpu()
            seconds = time.perf_counter() - started
            return self._batch(index, x, labels, [captions[image % len(captions)] for image in index.tolist()] if captions else [], seconds)

        dim = self._dim(torch.zeros(1, *shape))
        parts = PARTS if dim <= MAX_JACKKNIFE_DIMS else 1
        gathered = Gathered(dim, self.space.classes, self.keeps, parts=parts, stride=max(classes, 1))
        return self._gather("drawn samples", gathered, n, compute)

    def _dim(self, x: Tensor) -> int:
        return self.space(x)[0].shape[1]

    def _gather(
        self, name: str, gathered: Gathered, count: int, compute: Callable[[int, int], _Batch], kept: list[_Batch] | None = None
    ) -> Gathered:
        """Adds the batches of all processes to ``gathered`` in their order, and to ``kept``."""
        size, processes = self.batch_size, self.processes
        self.on_stage(name, count)
        for turn in range(0, count, size * processes.count):
            first = turn + size * processes.index
            mine = compute(first, min(first + size, count)) if first < count else None
            batches = [batch for batch in processes.gather(mine) if batch is not None]
            for batch in batches:
                gathered.add(batch.features, batch.probabilities, batch.index, batch.labels, batch.pixels, batch.captioned)
                if kept is not None:
                    kept.append(batch)
            seconds = max(batch.seconds for batch in batches)
            gathered.seconds += seconds
            if len(batches[0].index) == min(size, count):
                gathered.pace = min(gathered.pace, seconds / sum(len(batch.index) for batch in batches))
            self.on_batch(sum(len(batch.index) for batch in batches))
        return gathered


def _rows(batches: list[_Batch]) -> dict[str, Tensor]:
    """The tensors that the cache keeps."""
    columns = {name: [getattr(batch, name) for batch in batches] for name in ("features", "probabilities", "pixels")}
    return {name: torch.cat([rows.cpu() for rows in column]) for name, column in columns.items() if column[0] is not None}


def _pixels(x: Tensor) -> Tensor | None:
    return pixel_moments(x) if is_image(x.shape[1:]) else None
