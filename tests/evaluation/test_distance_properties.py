"""Properties of all distances: invariances, dtypes, memory layouts, and known harms."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from zoo_core.evaluation.distances import (
    density_coverage,
    frechet,
    kid,
    nearest,
    precision_recall,
)

from .helpers import moments, normal, rotation


def every_value(real: Tensor, fake: Tensor) -> list[float]:
    """Frechet distance, KID, precision, recall, density, coverage, mean nearest distance."""
    shares = [e.value for e in (*precision_recall(real, fake), *density_coverage(real, fake))]
    return [frechet(moments(real), moments(fake)), kid(real, fake).value, *shares, float(nearest(fake, real)[0].mean())]


def test_rotation_and_order_change_nothing() -> None:
    real, fake = normal(80, 6), 1.3 * normal(60, 6, 1) + 0.5
    q = rotation(6)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(0))
    assert every_value(real @ q, fake @ q) == pytest.approx(every_value(real, fake), rel=1e-9)
    assert every_value(real.flip(0), fake[order]) == pytest.approx(every_value(real, fake), rel=1e-9)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_narrow_features_are_computed_on_in_double_precision(dtype: torch.dtype) -> None:
    """Squares of 1000 would overflow in float16."""
    real, fake = (1000 * normal(60, 6)).to(dtype), (1000 * normal(50, 6, 1) + 500).to(dtype)
    assert every_value(real, fake) == every_value(real.double(), fake.double())


def test_features_may_lie_in_memory_in_any_way_and_need_gradients() -> None:
    real, fake = normal(60, 6), normal(50, 6, 1)
    spread = torch.zeros(50, 12, dtype=torch.float64)
    spread[:, ::2] = fake
    expected = every_value(real, fake)
    strange = every_value(real.T.contiguous().T.requires_grad_(), spread[:, ::2])
    assert strange == pytest.approx(expected, rel=1e-12)


def noisy(x: Tensor, amount: float) -> Tensor:
    return x + 2 * amount * normal(len(x), x.shape[1], 7)


def blurred(x: Tensor, amount: float) -> Tensor:
    """Neighbouring samples mixed, as far as a mean of eight."""
    return (1 - amount) * x + amount * sum((x.roll(i, 0) for i in range(8)), torch.zeros_like(x)) / 8


def collapsed(x: Tensor, amount: float) -> Tensor:
    """That share of samples are copies of four, but for a little noise."""
    n = int(amount * len(x))
    return torch.cat([x[:4].repeat(n, 1)[:n] + 0.01 * normal(n, x.shape[1], 8), x[n:]])


@pytest.mark.parametrize("harm", [noisy, blurred, collapsed])
def test_more_harm_is_a_greater_distance(harm: Callable[[Tensor, float], Tensor]) -> None:
    real, fake = normal(400, 8), normal(400, 8, 1)
    harmed = [harm(fake, amount) for amount in (0.0, 0.3, 0.6, 0.9)]
    for values in ([frechet(moments(real), moments(x)) for x in harmed], [kid(real, x).value for x in harmed]):
        assert values == sorted(values)
        assert values[-1] > values[0] + 0.1


def test_noise_lowers_precision_and_collapse_lowers_recall_and_coverage() -> None:
    real, fake = normal(400, 4), normal(400, 4, 1)
    amounts = (0.0, 0.3, 0.6, 0.9)
    precisions = [precision_recall(real, noisy(fake, a))[0].value for a in amounts]
    densities = [density_coverage(real, noisy(fake, a))[0].value for a in amounts]
    recalls = [precision_recall(real, collapsed(fake, a))[1].value for a in amounts]
    coverages = [density_coverage(real, collapsed(fake, a))[1].value for a in amounts]
    for values in (precisions, densities, recalls, coverages):
        assert values == sorted(values, reverse=True)
        assert values[-1] < values[0] - 0.1
    assert precision_recall(real, collapsed(fake, 0.9))[0].value > 0.8


def test_one_outlier_among_the_reals_raises_precision_and_hardly_density() -> None:
    """The reason for density (Naeem et al. 2020, figure 2): one far real has a ball that holds all fakes, however bad."""
    real = torch.cat([normal(200, 2), torch.tensor([[100.0, 0.0]], dtype=torch.float64)])
    fake = normal(200, 2, 1) * 0.1 + torch.tensor([15.0, 0.0])
    assert precision_recall(real, fake)[0].value == 1
    assert density_coverage(real, fake)[0].value == pytest.approx(1 / 5)
