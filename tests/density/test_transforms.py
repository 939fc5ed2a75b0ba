"""Theorems about transforms: inverses, Jacobians, and the bound of dequantisation against closed forms."""

import math
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from zoo_core.density.transforms import LEVEL, UNIT, Affine, Compose, Logit, Transform, dequantise, dequantised_bound
from zoo_core.errors import UsageError
from zoo_core.images import from_uint8, to_uint8
from zoo_core.rng import ImageRng

TRANSFORMS: dict[str, Transform] = {
    "affine": Affine(scale=-2.5, shift=0.3),
    "unit": UNIT,
    "logit": Logit(0.05),
    "compose": Compose((UNIT, Logit(1e-3), Affine(scale=0.5))),
    "nothing": Compose(()),
}
LEVELS = torch.arange(256, dtype=torch.uint8)


def samples(dtype: torch.dtype, n: int = 5) -> Tensor:
    """In [0, 1], the ends among them."""
    x = torch.rand(n, 2, 3, generator=torch.Generator().manual_seed(0), dtype=dtype)
    x[0, 0, 0], x[0, 0, 1] = 0, 1
    return x


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)], ids=["float32", "float64"])
@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_inverse_undoes_forward(transform: Transform, dtype: torch.dtype, tolerance: float) -> None:
    x = samples(dtype)
    y, volume = transform.forward(x)
    assert y.dtype == volume.dtype == dtype
    assert y.shape == x.shape
    torch.testing.assert_close(transform.inverse(y), x, rtol=0, atol=tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-10)], ids=["float32", "float64"])
@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_volume_is_the_log_determinant_of_autograd(transform: Transform, dtype: torch.dtype, tolerance: float) -> None:
    x = samples(dtype)
    _, volume = transform.forward(x)
    for row in range(len(x)):
        jacobian = torch.autograd.functional.jacobian(lambda row: transform.forward(row)[0], x[row : row + 1])
        truth = torch.linalg.slogdet(jacobian.double().reshape(6, 6))[1]
        assert volume[row].item() == pytest.approx(truth.item(), abs=tolerance, rel=tolerance)


def test_logit_longhand() -> None:
    for x in (0.0, 0.2, 1.0):
        p = 0.05 + 0.9 * x
        y, volume = Logit(0.05).forward(torch.tensor([[x]], dtype=torch.float64))
        assert y.item() == pytest.approx(math.log(p / (1 - p)))
        assert volume.item() == pytest.approx(math.log(0.9 / (p * (1 - p))))


def test_volume_of_a_logit_is_finite_far_out() -> None:
    transform = Logit(1e-6)
    y, volume = transform.forward(torch.tensor([[0.0, 1.0]]))
    assert y.abs().max() == pytest.approx(math.log((1 - 1e-6) / 1e-6), rel=0.01)
    assert volume.item() == pytest.approx(-2 * math.log(1e-6), rel=0.01)


@pytest.mark.parametrize("alpha", [0.05, 1e-3, 1e-6])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_what_an_inverse_rounds_to_the_ends_comes_back_finite_and_what_is_beyond_them_does_not(alpha: float, dtype: torch.dtype) -> None:
    """sigmoid(17) is 1 in float32, of which the logit would be infinite, or NaN where alpha adds its rounding."""
    pixels = Compose((UNIT, Logit(alpha)))
    y = torch.linspace(-200, 200, 4001, dtype=dtype)[:, None]
    again, volume = pixels.forward(pixels.inverse(y))
    assert again.isfinite().all()
    assert volume.isfinite().all()
    assert (again[1:] >= again[:-1] - 1e-3).all()
    near = y.abs() <= 8
    torch.testing.assert_close(again[near], y[near], rtol=0, atol=1e-3)
    assert pixels.forward(torch.tensor([[-1.5], [1.5]], dtype=dtype))[0].isnan().all()


def test_the_levels_are_the_middles_of_equal_parts_and_every_point_of_a_part_rounds_to_its_level() -> None:
    unit, _ = UNIT.forward(from_uint8(LEVELS)[None].double())
    torch.testing.assert_close(unit[0], (torch.arange(256) + 0.5).double() / 256)
    for place in (0.001, 0.5, 0.999):
        assert torch.equal(to_uint8(UNIT.inverse((torch.arange(256) + place).double() / 256)), LEVELS)


def test_dequantised_images_are_spread_over_their_level_and_round_back() -> None:
    x = from_uint8(LEVELS)[:, None].double()
    draws = torch.stack([dequantise(x, ImageRng(seed, range(256)))[0] for seed in range(200)])
    assert torch.equal(to_uint8(draws), LEVELS[:, None].expand(200, 256, 1))
    noise = (draws - x) / LEVEL
    assert noise.min() >= -0.5
    assert noise.max() < 0.5
    assert noise.mean().item() == pytest.approx(0, abs=0.005)
    assert noise.std().item() == pytest.approx(math.sqrt(1 / 12), abs=0.005)


def test_what_lies_between_two_levels_is_dequantised_as_the_nearest() -> None:
    x = torch.tensor([[0.2 / 127.5 - 1, 0.6 / 127.5 - 1, -1.5]])
    near = from_uint8(torch.tensor([[0, 1, 0]]))
    assert torch.equal(dequantise(x, ImageRng(0, [0]))[0], dequantise(near, ImageRng(0, [0]))[0])


def test_row_i_is_dequantised_alike_in_every_batch() -> None:
    x = from_uint8(LEVELS[:6].view(3, 2))
    assert torch.equal(dequantise(x, ImageRng(0, range(3)))[0][1:], dequantise(x[1:], ImageRng(0, [1, 2]))[0])


def log_density(x: Tensor) -> Tensor:
    """Of images with independent pixels that are triangular on the range of dequantised ones: p(x) = (1 + x / w) / (2 w)."""
    w = 256 / 255
    return ((1 + x / w) / (2 * w)).log().flatten(1).sum(1)


def log_mass(x: Tensor) -> Tensor:
    """What that density gives to 8-bit images: it is linear, so the mass of a level is p at its middle times its width."""
    return (log_density(x) + x[0].numel() * math.log(LEVEL)).double()


def test_the_masses_of_all_levels_add_up_to_one() -> None:
    assert log_mass(from_uint8(LEVELS)[:, None].double()).exp().sum().item() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("k", [1, 4, 16])
def test_the_bound_is_below_the_exact_log_mass_in_the_mean_by_what_jensen_takes(k: int) -> None:
    x = from_uint8(torch.tensor([0, 0, 1])).double().expand(4000, 3)
    exact = log_mass(x)
    bound = dequantised_bound(log_density, x, ImageRng(0, range(4000)), k)
    gap = exact - bound
    error = gap.std().item() / math.sqrt(len(gap))
    if k == 1:
        # With v uniform, level l has E log((l + v) / (l + 1/2)): log 2 - 1 for l = 0, and 2 log 2 - 1 - log(3/2) for l = 1.
        truth = -(2 * (math.log(2) - 1) + 2 * math.log(2) - 1 - math.log(1.5))
        assert gap.mean().item() == pytest.approx(truth, abs=4 * error)
    assert gap.mean() > 4 * error
    if k == 16:
        # To the second order, half the variance of the mean of k ratios: v / E v has the variance 1/3, (1 + v) / 1.5 has 1/27.
        assert gap.mean().item() == pytest.approx(((4 / 3) ** 2 * (28 / 27) - 1) / (2 * k), abs=4 * error)


def test_more_draws_give_a_tighter_bound() -> None:
    x = from_uint8(LEVELS[:2]).repeat(500)[:, None].double()
    means = [dequantised_bound(log_density, x, ImageRng(0, range(1000)), k).mean() for k in (1, 2, 8, 32)]
    assert all(low < high for low, high in pairwise(means))


def test_a_uniform_density_on_all_levels_has_eight_bits_a_pixel_whatever_the_draws() -> None:
    x = from_uint8(LEVELS.view(8, 2, 16)).double()
    for k in (1, 3):
        bound = dequantised_bound(lambda y: y.new_full((len(y),), -32 * math.log(512 / 255)), x, ImageRng(0, range(8)), k)
        torch.testing.assert_close(bound / (-32 * math.log(2)), torch.full((8,), 8.0, dtype=torch.float64))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Affine(0.0),
        lambda: Affine(math.nan),
        lambda: Affine(1.0, math.inf),
        lambda: Logit(0.5),
        lambda: Logit(-0.1),
        lambda: Logit(math.nan),
    ],
)
def test_what_is_no_bijection_is_refused(wrong: Callable[[], object]) -> None:
    with pytest.raises(UsageError, match="must be"):
        wrong()


def test_a_bound_of_no_draws_is_refused() -> None:
    with pytest.raises(UsageError, match="k must be at least 1, not 0"):
        dequantised_bound(lambda x: x.flatten(1).sum(1), torch.zeros(1, 1, 2, 2), ImageRng(0, [0]), 0)
