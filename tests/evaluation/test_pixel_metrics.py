"""Contrast in numbers: the metrics of pixels, by hand and against what is known of real images and harmed ones."""

import pytest
import torch
from torch import Tensor

from zoo_core.data.dataset import load_data
from zoo_core.distributed import Processes
from zoo_core.errors import CapabilityError, UsageError
from zoo_core.evaluation.compare import Comparison
from zoo_core.evaluation.factory import make_metric
from zoo_core.evaluation.feature_spaces import load_feature_space
from zoo_core.evaluation.features import Gathered
from zoo_core.evaluation.metrics import Metric
from zoo_core.evaluation.real_data import RealData
from zoo_core.evaluation.statistics import Estimate, pixel_moments
from zoo_core.images import from_uint8
from zoo_core.testing import fake_zoo
from zoo_core.testing.fake_config import FakeDataConfig

SHAPE = (3, 8, 8)
NAMES = ("pixel-saturation", "pixel-std")


def of_samples(name: str) -> Metric:
    made = make_metric(name)
    assert isinstance(made, Metric)
    return made


def measured(name: str, x: Tensor) -> Estimate:
    drawn = Gathered(1)
    drawn.add(torch.zeros(len(x), 1), None, torch.arange(len(x)), pixels=pixel_moments(x))
    return of_samples(name)(Gathered(1), drawn)


def images(n: int, spread: float, seed: int = 0) -> Tensor:
    """Noise around a brightness of each image's own."""
    noise = torch.Generator().manual_seed(seed)
    return spread * (torch.randn(n, 1, 1, 1, generator=noise) + torch.randn(n, 3, 8, 8, generator=noise))


def test_pixel_std_is_that_of_all_values_as_a_picture_shows_them() -> None:
    x = images(50, 0.4)
    assert x.abs().max() > 1
    found = measured("pixel-std", x)
    assert found.value == pytest.approx(float(x.clamp(-1, 1).double().std(correction=0)))
    assert measured("pixel-std", torch.full((3, 1, 4, 4), 0.25)) == Estimate(0.0, 0.0)


def test_saturated_are_the_three_levels_at_either_end() -> None:
    levels = from_uint8(torch.arange(256, dtype=torch.uint8)).view(1, 1, 16, 16)
    assert measured("pixel-saturation", levels.repeat(2, 1, 1, 1)) == Estimate(6 / 256, 0.0)
    assert measured("pixel-saturation", torch.full((2, 3, 2, 2), 5.0)).value == 1


@pytest.mark.parametrize("name", NAMES)
def test_standard_errors_tell_how_far_the_numbers_move(name: str) -> None:
    found = [measured(name, images(40, 0.5, seed)) for seed in range(200)]
    moved = float(torch.tensor([each.value for each in found]).std())
    told = [each.stderr for each in found if each.stderr is not None]
    assert sum(told) / len(told) == pytest.approx(moved, rel=0.2)


def test_paler_images_have_less_of_both() -> None:
    pale, harsh = ([measured(name, spread * images(100, 0.5)).value for name in NAMES] for spread in (0.8, 1.2))
    real = [measured(name, images(100, 0.5)).value for name in NAMES]
    assert all(low < middle < high for low, middle, high in zip(pale, real, harsh, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_too_few_images_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="at least 2 are needed -- draw more samples"):
        measured(name, images(1, 0.5))


def test_real_halves_stand_beside_them_and_no_real_samples_are_needed_without() -> None:
    with fake_zoo():
        real = RealData(FakeDataConfig(shape=SHAPE), SHAPE)
        metrics = {name: of_samples(name) for name in NAMES}
        compared = Comparison(metrics, real, load_feature_space("identity", torch.device("cpu")), Processes("cpu"))
        results = compared.measure(lambda first, n, labels: images(n, 0.1)[:, :1].expand(n, *SHAPE), 9)
        assert (results.drawn.count, results.errors, "data" in real.__dict__) == (9, {}, False)
        assert compared.counts("pixel-std", results.drawn) == {"drawn": 9}
        data = load_data(real.config)
        whole = data.rows(torch.arange(len(data))).clamp(-1, 1).double()
        floor = compared.bounds["pixel-std"]
        assert floor["floor"]["value"] == pytest.approx(float(whole.std()), rel=0.1)
        assert floor["harms"]["blur"]["value"] < floor["floor"]["value"] < floor["harms"]["noise"]["value"]
        assert results.estimates["pixel-std"].value < floor["floor"]["value"] / 2


def test_what_is_no_image_is_refused_before_anything_is_drawn() -> None:
    real = RealData(FakeDataConfig(shape=(2,)), (2,))
    with pytest.raises(CapabilityError, match=r"^pixel-std is a metric of images, and these are samples of shape \[2\] -- leave it out"):
        Comparison({"pixel-std": of_samples("pixel-std")}, real, load_feature_space("identity", torch.device("cpu")), Processes("cpu"))
