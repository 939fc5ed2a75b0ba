"""Metrics of images drawn for captions: what they show of what was asked for, and how near image and text are for a model of both."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from zoo_core.config import check_range
from zoo_core.data.captions import ATTRIBUTES, Noun, parse
from zoo_core.errors import CapabilityError, UsageError
from zoo_core.evaluation.feature_spaces import FeatureSpace
from zoo_core.evaluation.features import Gathered
from zoo_core.evaluation.metrics import Answers, DataMetric, Metric
from zoo_core.evaluation.seen import seen
from zoo_core.evaluation.statistics import Estimate

if TYPE_CHECKING:
    from zoo_core.pretrained import Pretrained

__all__ = ["COLUMNS", "CaptionAccuracy", "CaptionScore", "RetrievalRecall", "caption_columns"]

COLUMNS = (*ATTRIBUTES, "similarity")
"""What is gathered of each image with a caption: 1 or 0 for each attribute that the caption names, otherwise NaN; and a cosine, or NaN."""


def caption_columns(
    x: Tensor, captions: Sequence[str], nouns: Sequence[Noun], space: FeatureSpace, features: Tensor, probabilities: Tensor | None
) -> Tensor:
    """The columns :data:`COLUMNS` of images with captions, float64 (n, 7).

    Args:
        x: images (n, 3, 32, 32) in [-1, 1].
        captions: a caption for each.
        nouns: nouns of the classes of the captions.
        space: feature space.
        features: features of the images in it, (n, d).
        probabilities: class probabilities of the images, (n, classes); None for a space without classes.

    Raises:
        ConfigError: if a text is no caption of this data.
    """
    shown = dict(seen(x))
    if probabilities is not None and probabilities.shape[1] == len(nouns):
        shown["class"] = probabilities.argmax(1)
    out = torch.full((len(x), len(COLUMNS)), torch.nan, dtype=torch.float64)
    for row, caption in enumerate(captions):
        for name, wanted in parse(caption, nouns).numbers().items():
            if name in shown:
                out[row, COLUMNS.index(name)] = float(shown[name][row] == wanted)
    if space.texts is not None:
        cosine = torch.cosine_similarity(features.cpu().double(), space.texts(captions).cpu().double(), dim=1)
        out[:, COLUMNS.index("similarity")] = cosine
    return out


def _mean(values: Tensor) -> Estimate:
    """The mean of values (n,), and its standard error."""
    if len(values) < 2:
        raise UsageError(f"{len(values)} images with captions are too few: at least 2 are needed", "draw more samples")
    return Estimate(float(values.mean()), float(values.std()) / sqrt(len(values)))


@dataclass(frozen=True, kw_only=True, slots=True)
class CaptionAccuracy(Metric):
    """The share of images, in [0, 1], that show everything that their captions name.

    The feature space judges the class; colours, place, size and number are measured on the pixels, see
    :func:`zoo_core.evaluation.seen.seen`. The record has the share of each attribute too, among the captions that name it.

    >>> drawn = Gathered(1)
    >>> columns = torch.tensor([[1.0, 1, 1, 1, 1, 1, torch.nan], [1.0, 0, torch.nan, 1, 1, 1, torch.nan]], dtype=torch.float64)
    >>> drawn.add(torch.zeros(2, 1), None, torch.arange(2), captioned=columns)
    >>> CaptionAccuracy()(Gathered(1), drawn).value
    0.5
    """

    classes = True
    real = False
    pixels = True
    captions = True
    better = "higher"

    def __call__(self, real: Gathered, drawn: Gathered) -> Estimate:
        columns = drawn.captioned[:, : len(ATTRIBUTES)]
        named = ~columns.isnan()
        terms = {name: _mean(columns[named[:, i], i]) for i, name in enumerate(ATTRIBUTES) if int(named[:, i].sum()) > 1}
        whole = _mean((columns.nan_to_num(nan=1.0) == 1).all(1).double())
        return Estimate(whole.value, whole.stderr, terms)


@dataclass(frozen=True, kw_only=True, slots=True)
class CaptionScore(Metric):
    """CLIPScore (Hessel et al. 2021, arXiv:2104.08718) without its factor: the mean of 100 max(cos(image, caption), 0), in [0, 100].

    The feature space is that of a model of images and texts, such as one of zoo-clip; scores of different models do not compare.

    >>> drawn = Gathered(1)
    >>> columns = torch.full((2, 7), torch.nan, dtype=torch.float64)
    >>> columns[:, 6] = torch.tensor([0.5, -0.1])
    >>> drawn.add(torch.zeros(2, 1), None, torch.arange(2), captioned=columns)
    >>> CaptionScore()(Gathered(1), drawn).value
    25.0
    """

    real = False
    pixels = True
    captions = True
    texts = True
    better = "higher"

    def __call__(self, real: Gathered, drawn: Gathered) -> Estimate:
        return _mean(100 * drawn.captioned[:, COLUMNS.index("similarity")].clamp(min=0))


@dataclass(frozen=True, kw_only=True, slots=True)
class RetrievalRecall(DataMetric):
    """Recall at k: the share of real images, in [0, 1], whose caption is among the k different captions nearest to the image.

    The captions are those of all images that are measured, so that the number depends on how many these are.

    Args:
        k: number of captions.

    Raises:
        ConfigError: if k is out of range.

    >>> RetrievalRecall(k=5).better
    'higher'
    """

    requires = "features"
    captions = True
    better = "higher"
    k: int = 1

    def __post_init__(self) -> None:
        check_range(self, k=(1, 10**6))

    def check(self, model: "Pretrained", name: str) -> None:
        DataMetric.check(self, model, name)
        if not hasattr(model.model, "text_features"):
            raise CapabilityError(f"{name} needs a model of images and texts, and {model.name} reads no texts", "train one: zoo train clip")

    def __call__(self, model: "Pretrained", x: Tensor, labels: Tensor | None, first: int, captions: Sequence[str] = ()) -> Answers:
        images, texts = (each.cpu().double() for each in (model.features(x), model.text_features(captions)))
        names = [int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") for text in captions]
        return Answers(values=torch.cat([images, texts, torch.tensor(names, dtype=torch.float64)[:, None]], dim=1))

    def combine(self, values: Tensor) -> Tensor:
        """Whether each caption is among the k nearest, of rows (n, 2 d + 1): features of the image and of its caption, and the caption."""
        images, texts = values[:, :-1].chunk(2, dim=1)
        kind = torch.searchsorted(torch.tensor(sorted(set(values[:, -1].tolist())), dtype=torch.float64), values[:, -1].contiguous())
        example = torch.zeros(int(kind.max()) + 1, dtype=torch.int64).scatter(0, kind, torch.arange(len(kind)))
        hits = []
        for part, wanted in zip(torch.split(images, 1024), torch.split(kind, 1024), strict=True):
            near = (part @ texts[example].T).topk(min(self.k, len(example)), dim=1).indices
            hits.append((near == wanted[:, None]).any(1))
        return torch.cat(hits).double()
