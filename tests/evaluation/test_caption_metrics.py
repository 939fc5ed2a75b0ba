"""Metrics of captions: real images show what theirs say, other images do not, and each number is that of its longhand."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from zoo_core.data.captioned_sets import CaptionedMNISTConfig
from zoo_core.data.captions import ATTRIBUTES, DIGITS, parse
from zoo_core.data.dataset import Data, load_data
from zoo_core.datasets import MoonsConfig
from zoo_core.distributed import Processes
from zoo_core.errors import CapabilityError
from zoo_core.evaluation.caption_metrics import RetrievalRecall
from zoo_core.evaluation.compare import Comparison, Results
from zoo_core.evaluation.factory import make_metric
from zoo_core.evaluation.feature_spaces import FeatureSpace
from zoo_core.evaluation.real_data import RealData
from zoo_core.interfaces import Event

COUNT = 60
EVENT = Event(shape=(3, 32, 32), range=(-1.0, 1.0))


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> CaptionedMNISTConfig:
    folder = tmp_path_factory.mktemp("grey")
    x = np.zeros((COUNT, 28, 28), dtype=np.uint8)
    x[:, 4:24, 7:21] = 200
    for kind, items in (("images-idx3", x), ("labels-idx1", np.arange(COUNT, dtype=np.uint8) % 10)):
        head = bytes([0, 0, 8, items.ndim]) + b"".join(side.to_bytes(4, "big") for side in items.shape)
        (folder / f"train-{kind}-ubyte").write_bytes(head + items.tobytes())
    return CaptionedMNISTConfig(root=str(folder))


@pytest.fixture(scope="module")
def data(config: CaptionedMNISTConfig) -> Data:
    return load_data(config)


def space(data: Data, texts: bool = False, classes: int = 10) -> FeatureSpace:
    """Features are class numbers (cos, sin), and the class is that of the training image that equals the image."""
    known = data.rows(torch.arange(COUNT)).flatten(1)

    def embed(x: Tensor) -> tuple[Tensor, Tensor | None]:
        assert data.labels is not None
        kind = data.labels[torch.cdist(x.flatten(1), known).argmin(1)]
        return angle(kind), torch.nn.functional.one_hot(kind, 10).float() if classes else None

    def read(captions: Sequence[str]) -> Tensor:
        return angle(torch.tensor([parse(text, DIGITS).kind for text in captions]))

    return FeatureSpace(name="judge", digest="0" * 64, event=EVENT, classes=classes, embed=embed, texts=read if texts else None)


def angle(kind: Tensor) -> Tensor:
    return torch.stack([(kind * torch.pi / 9).cos(), (kind * torch.pi / 9).sin()], dim=1)


def measured(config: CaptionedMNISTConfig, data: Data, metric: str, order: Tensor, **options: bool) -> Results:
    """Image ``order[i]`` is drawn for caption i."""
    judge = space(data, **options)
    comparison = Comparison(
        {metric: make_metric(metric)},
        RealData(config, EVENT.shape, data=data),
        judge,
        Processes("cpu"),
        captions=data.captions,
        batch_size=16,
    )
    return comparison.measure(lambda first, n, labels: data.rows(order[first : first + n]), COUNT)


def test_real_images_show_all_that_their_captions_name(config: CaptionedMNISTConfig, data: Data) -> None:
    estimate = measured(config, data, "caption-accuracy", torch.arange(COUNT)).estimates["caption-accuracy"]
    assert estimate.value == 1.0
    assert {name: term.value for name, term in estimate.terms.items()} == dict.fromkeys(ATTRIBUTES, 1.0)


def test_images_of_other_captions_are_right_as_often_as_the_tables_agree(config: CaptionedMNISTConfig, data: Data) -> None:
    order = torch.arange(COUNT).roll(10)  # of the same classes
    estimate = measured(config, data, "caption-accuracy", order).estimates["caption-accuracy"]
    agree: dict[str, list[bool]] = {name: [] for name in ATTRIBUTES}
    whole = []
    for text, image in zip(data.captions, order.tolist(), strict=True):
        right = {name: bool(data.attributes[name].labels[image] == number) for name, number in parse(text, DIGITS).numbers().items()}
        whole.append(all(right.values()))
        for name, each in right.items():
            agree[name].append(each)
    assert estimate.value == pytest.approx(np.mean(whole))
    assert estimate.stderr == pytest.approx(np.std(whole, ddof=1) / COUNT**0.5)
    assert {name: term.value for name, term in estimate.terms.items()} == pytest.approx(
        {name: np.mean(all_) for name, all_ in agree.items()}
    )
    assert estimate.terms["class"].value == 1.0
    assert estimate.terms["colour"].value < 0.5


def test_the_clip_score_is_the_mean_cosine_without_negative_ones(config: CaptionedMNISTConfig, data: Data) -> None:
    kinds = np.arange(COUNT) % 10
    for shift in (0, 1):
        estimate = measured(config, data, "clip-score", torch.arange(COUNT).roll(shift), texts=True).estimates["clip-score"]
        cosines = np.cos((kinds - np.roll(kinds, shift)) * np.pi / 9)
        assert estimate.value == pytest.approx(100 * np.mean(cosines.clip(min=0)), rel=1e-5)


def test_what_cannot_be_measured_is_refused_before_anything_is_drawn(config: CaptionedMNISTConfig, data: Data) -> None:
    real, processes = RealData(config, EVENT.shape, data=data), Processes("cpu")
    accuracy, score = {"caption-accuracy": make_metric("caption-accuracy")}, {"clip-score": make_metric("clip-score")}
    with pytest.raises(CapabilityError, match="needs samples of prompts"):
        Comparison(accuracy, real, space(data), processes)
    with pytest.raises(CapabilityError, match="needs a feature space of images and texts"):
        Comparison(score, real, space(data), processes, captions=data.captions)
    with pytest.raises(CapabilityError, match="tells 7 classes, and the captions name others"):
        Comparison(accuracy, real, replace(space(data), classes=7), processes, captions=data.captions)
    other = RealData(MoonsConfig(), EVENT.shape, data=data)
    with pytest.raises(CapabilityError, match="needs data with captions"):
        Comparison(score, other, space(data, texts=True), processes, captions=data.captions)


def test_recall_counts_equal_captions_once() -> None:
    """Images at angles 0, 1, 2 of captions A, B, A: the second nearest caption of the image at 1 is A, not B once more."""

    def row(angle: float, text: float, name: float) -> list[float]:
        return [np.cos(angle), np.sin(angle), np.cos(text), np.sin(text), name]

    values = torch.tensor([row(0.0, 0.1, 7.0), row(0.2, 0.9, 5.0), row(1.0, 0.1, 7.0), row(0.1, 3.0, 6.0)], dtype=torch.float64)
    assert RetrievalRecall(k=1).combine(values).tolist() == [1.0, 0.0, 0.0, 0.0]
    assert RetrievalRecall(k=2).combine(values).tolist() == [1.0, 1.0, 1.0, 0.0]
    assert RetrievalRecall(k=50).combine(values).tolist() == [1.0] * 4
