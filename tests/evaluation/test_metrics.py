"""Theorems about metrics of samples: batches change nothing, and each metric sees the fault that it is for."""

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch

from zoo_core.errors import CapabilityError, ConfigError, UnknownNameError, UsageError
from zoo_core.evaluation.distances import frechet
from zoo_core.evaluation.factory import make_metric
from zoo_core.evaluation.features import PARTS, Gathered
from zoo_core.evaluation.measurement import _options
from zoo_core.evaluation.metrics import Metric
from zoo_core.evaluation.statistics import Estimate
from zoo_core.registry import registry
from zoo_core.specs import MetricSpec

from .helpers import DIM, gathered, noise

ALL = [
    "accuracy",
    "bpd",
    "caption-accuracy",
    "class-accuracy",
    "class-confidence",
    "class-spread",
    "clip-score",
    "coverage",
    "density",
    "fd",
    "inpainting-mse",
    "is",
    "kid",
    "nearest-train",
    "nll",
    "pixel-saturation",
    "pixel-std",
    "precision",
    "recall",
    "retrieval-recall",
]


OF_DATA, OF_PIXELS = ("accuracy", "bpd", "inpainting-mse", "nll"), ("pixel-saturation", "pixel-std")
OF_CAPTIONS = ("caption-accuracy", "clip-score", "retrieval-recall")
MODULES = {
    **dict.fromkeys(OF_DATA, "data_metrics"),
    **dict.fromkeys(OF_PIXELS, "pixel_metrics"),
    **dict.fromkeys(OF_CAPTIONS, "caption_metrics"),
}


def test_all_metrics_are_registered_and_made_by_name() -> None:
    own = [name for name, claims in registry().claims(MetricSpec).items() if claims[0].plugin.dist == "zoo-core"]
    assert sorted(own) == ALL
    for name in ALL:
        module = MODULES.get(name, "feature_metrics")
        assert type(make_metric(name)).__module__ == f"zoo_core.evaluation.{module}"
    with pytest.raises(UnknownNameError, match=r"fid"):
        make_metric("fid")


@pytest.mark.parametrize("name", [name for name in ALL if name != "is" and not name.startswith("class-") and name not in MODULES])
def test_batches_change_nothing_and_a_shift_makes_every_metric_worse(name: str) -> None:
    real, near, far = noise(400, 0), noise(300, 1), noise(300, 2, shift=1.5)
    measure = make_metric(name)
    value = measure(gathered(real), gathered(near)).value
    assert measure(gathered(real, 7), gathered(near, 64)).value == pytest.approx(value, rel=1e-9)
    worse = measure(gathered(real), gathered(far)).value
    if name != "nearest-train":  # which asks for novelty, not for likeness
        assert worse > value if measure.better == "lower" else worse < value


def test_the_jackknife_tells_how_far_the_frechet_distance_moves() -> None:
    real = gathered(noise(4000, 0))
    found = [make_metric("fd")(real, gathered(noise(400, seed, shift=0.5))) for seed in range(1, 41)]
    values = torch.tensor([each.value for each in found])
    told = torch.tensor([each.stderr for each in found if each.stderr is not None]).mean()
    assert len(found) == 40
    assert told == pytest.approx(float(values.std()), rel=0.35)


def test_the_jackknife_leaves_out_no_class_at_a_time() -> None:
    """Labels take turns, and so must not the parts: 10 classes far apart, each as often as the others in every set."""

    def labelled(seed: int) -> Gathered:
        made, index = Gathered(DIM, parts=PARTS, stride=10), torch.arange(1000)
        made.add(noise(1000, seed) + 3 * noise(10, 99)[index % 10], None, index)
        return made

    real = labelled(0)
    found = [make_metric("fd")(real, labelled(seed)) for seed in range(1, 31)]  # type: ignore[call-arg, arg-type]  # a metric of samples
    values, told = (torch.tensor([getattr(each, name) for each in found]) for name in ("value", "stderr"))
    assert float(told.mean()) == pytest.approx(float(values.std()), rel=0.6)


def test_one_image_for_each_class_is_not_varied() -> None:
    """What class accuracy would not mind: a generator that has one image for each class."""
    labels = torch.arange(300) % 3
    real, varied = gathered(noise(300, 0), labels=labels), gathered(noise(300, 1), labels=labels)
    assert make_metric("class-spread")(real, varied).value == pytest.approx(1, abs=0.05)
    assert make_metric("class-spread")(real, gathered(noise(3, 2)[labels], labels=labels)).value == 0
    with pytest.raises(UsageError, match="real ones with labels"):
        make_metric("class-spread")(gathered(noise(300, 0)), varied)


def test_a_part_can_be_left_out_of_the_moments() -> None:
    x = noise(100, 3)
    made = gathered(x)
    others = gathered(x[torch.arange(100) % PARTS != 4]).total()
    torch.testing.assert_close(made.total(without=4).mean, others.mean)
    torch.testing.assert_close(made.total(without=4).covariance, others.covariance)
    assert frechet(made.total(), gathered(x, 9).total()) == pytest.approx(0, abs=1e-9)


def test_copies_of_the_training_set_are_found_out() -> None:
    train = noise(200, 0)
    assert make_metric("nearest-train")(gathered(train), gathered(train[:50].clone())).value == pytest.approx(0, abs=1e-9)
    assert make_metric("nearest-train")(gathered(train), gathered(noise(200, 1))).value == pytest.approx(1, abs=0.1)


def test_scores_of_classes_need_classes() -> None:
    p = torch.eye(4).repeat(25, 1)
    sure = gathered(noise(100, 0), probabilities=p, labels=torch.arange(100) % 4)
    assert make_metric("is")(sure, sure).value == pytest.approx(4)
    assert make_metric("class-accuracy")(sure, sure).value == 1
    assert make_metric("class-confidence")(sure, gathered(noise(100, 0), probabilities=(p + 1) / 5)).value == 0
    with pytest.raises(CapabilityError):
        make_metric("is")(gathered(noise(9, 0)), gathered(noise(9, 0)))
    with pytest.raises(UsageError):
        make_metric("class-accuracy")(sure, gathered(noise(100, 0), probabilities=p))


def test_only_fields_are_options() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Ours(Metric):
        features: ClassVar[bool] = True
        points: int = 3
        unset: int | None = None

        def __call__(self, real: Gathered, drawn: Gathered) -> Estimate:
            return Estimate(0.0)

    assert _options(Ours()) == {"points": 3}


def test_a_metric_takes_options_and_refuses_others() -> None:
    made = make_metric("precision", {"k": 5})
    assert isinstance(made, Metric)
    assert getattr(made, "k") == 5  # noqa: B009  # only some metrics have it
    with pytest.raises(ConfigError, match=r"fd: unknown key 'k'"):
        make_metric("fd", {"k": 5})
