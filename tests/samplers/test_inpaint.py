"""Inpainting: what is known comes back, and what is drawn beside it is the conditional distribution."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import zoo_core
from zoo_core.errors import CapabilityError, ConfigError, UsageError
from zoo_core.interfaces import Event, Rng, Sampler, Scheduler
from zoo_core.pretrained import Pretrained
from zoo_core.rng import ImageRng, StepRng
from zoo_core.samplers import Ancestral, Heun, Inpainted, Langevin, Masked, resampled
from zoo_core.samplers.factory import as_sampler
from zoo_core.schedulers import Geometric, Karras
from zoo_core.testing import fake_zoo, write_checkpoint
from zoo_core.testing.fake import Fake, FakeDenoiser
from zoo_core.testing.fake_config import FakeConfig, FakeDenoiserConfig
from zoo_core.testing.gaussian_mixture import GaussianMixture, mixture, names

SAMPLERS, _ = names()
SHAPE = (3, 4, 4)


def few(name: str, **options: Any) -> Sampler:
    return as_sampler({"name": name, "steps": 6, **options})


class Correlated:
    """The exact denoiser of x_0 ~ N(mu, C) in the plane: D(x, sigma) = mu + C (C + sigma^2 I)^-1 (x - mu)."""

    mu = torch.tensor([1.0, -2.0], dtype=torch.float64)
    C = torch.tensor([[1.0, 0.8], [0.8, 1.0]], dtype=torch.float64)
    event = Event(shape=(2,))
    sigma_range = (0.05, 20.0)
    scheduler = Karras()

    def start(self, rng: Rng, sigma: float) -> Tensor:
        return rng.normal(2) * sigma

    def denoise(self, x: Tensor, sigma: Tensor, labels: Tensor | None = None) -> Tensor:
        gain = self.C @ torch.linalg.inv(self.C + sigma[0] ** 2 * torch.eye(2))
        return (self.mu + (x.double() - self.mu) @ gain.T).to(x)


# Samplers


def beside(known: float, times: int, n: int = 4000) -> Tensor:
    """Draws of x_2 where x_1 is known."""
    model, sampler = Inpainted(Correlated(), torch.tensor([known, 0.0]), torch.tensor([1.0, 0.0])), Heun(steps=30)
    return sampler(model, StepRng(0, 0, n), sigmas=resampled(sampler.noise_levels(model, None), jump=1, times=times))[:, 1].double()


def test_with_enough_resampling_a_correlated_gaussian_is_drawn_as_its_conditional_and_without_it_is_not() -> None:
    """x_2 given x_1 is N(mu_2 + C_21 / C_11 (x_1 - mu_1), C_22 - C_21^2 / C_11) = N(-0.8, 0.6^2) at x_1 = 2.5."""
    mean, std = -2 + 0.8 * (2.5 - 1), math.sqrt(1 - 0.8**2)
    x = beside(2.5, times=60)
    assert x.mean().item() == pytest.approx(mean, abs=0.04)  # four standard errors of 4000 draws
    assert x.std().item() == pytest.approx(std, rel=0.03)
    straight = beside(2.5, times=1)
    assert straight.mean().item() < mean - 0.5
    assert straight.std().item() > 1.25 * std


def test_the_more_resampling_the_nearer_to_the_conditional() -> None:
    off = [abs(beside(2.5, times, n=1000).mean().item() + 0.8) for times in (1, 3, 9, 27)]
    assert off == sorted(off, reverse=True)


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_keeps_what_is_known_and_by_resampling_draws_what_fits_beside_it(name: str) -> None:
    """Of the mixture's components at (-3, -1), (3, -1) and (0, 3), a first coordinate of 3 leaves one."""
    model = Inpainted(mixture(), known=torch.tensor([3.0, 0.0]), mask=torch.tensor([1.0, 0.0]))
    sampler = few(name, **({"steps_per_level": 1, "step": 1.0} if name == "langevin" else {}))
    sigmas = Karras().sigmas(25, 0.02, 50.0)
    fitting = []
    for path in (sigmas, resampled(sigmas, jump=1, times=5)):
        x = sampler(model, StepRng(0, 0, 500), sigmas=path)
        assert (x[:, 0] - 3).abs().max() < 1e-5
        fitting.append(((x[:, 1] + 1).abs() < 1.6).double().mean().item())
    assert fitting[1] > max(0.8, fitting[0] + 0.05), fitting


def test_a_grey_mask_mixes_and_the_rest_of_the_model_stays() -> None:
    model, x, sigma = mixture(), torch.randn(3, 2), torch.full((3,), 0.5, dtype=torch.float64)
    known, mask = torch.tensor([0.4, 0.4]), torch.tensor([[0.0, 1.0], [0.25, 1.0], [1.0, 0.0]])
    inpainted = Inpainted(model, known, mask)
    torch.testing.assert_close(inpainted.denoise(x, sigma), mask * known + (1 - mask) * model.denoise(x, sigma))
    assert (inpainted.event, inpainted.sigma_range, inpainted.scheduler) == (model.event, model.sigma_range, model.scheduler)
    assert torch.equal(inpainted.start(ImageRng(0, range(3)), 2.0), model.start(ImageRng(0, range(3)), 2.0))


def test_resampling_goes_down_every_stretch_as_often_as_told_and_up_in_between_and_to_0_once() -> None:
    sigmas = (4.0, 3.0, 2.0, 1.0, 0.0)
    assert resampled(sigmas, jump=2, times=1) == sigmas
    assert resampled(sigmas, jump=1, times=2) == (4, 3, 4, 3, 2, 3, 2, 1, 2, 1, 0)
    assert resampled(sigmas, jump=2, times=3) == (4, 3, 2, 4, 3, 2, 4, 3, 2, 1, 2, 1, 2, 1, 0)
    assert resampled(sigmas, jump=9, times=2) == (4, 3, 2, 1, 4, 3, 2, 1, 0)
    assert resampled((4.0, 0.0), times=9) == (4, 0)
    for wrong in ({"jump": 0}, {"times": 0}):
        with pytest.raises(ConfigError, match="at least 1"):
            resampled(sigmas, **wrong)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_rise_of_the_path_is_fresh_noise_of_the_difference(name: str) -> None:
    """Down to 0, up to 3 and down again is a second walk, from the first one's end with noise 3."""
    model, rng, trace = mixture(), ImageRng(0, range(4)), list[tuple[int, float, Tensor]]()
    down, again = (9.0, 3.0, 1.0, 0.0), (3.0, 1.0, 0.0)
    one = few(name)(model, rng, sigmas=down)
    noised = one + 3 * rng.normal(2).to(one)
    expected = few(name)(model, rng, sigmas=again, x=noised)
    got = few(name)(model, ImageRng(0, range(4)), sigmas=(*down, *again), on_step=lambda i, sigma, x, x_0: trace.append((i, sigma, x)))
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)
    assert [seen[:2] for seen in trace] == [(0, 9.0), (1, 3.0), (2, 1.0), (4, 3.0), (5, 1.0), (6, 0.0)]
    torch.testing.assert_close(trace[3][2], noised)


# The masked score

KNOWN, MASK = torch.tensor([2.0, 0.0], dtype=torch.float64), torch.tensor([1.0, 0.0], dtype=torch.float64)


@pytest.mark.parametrize("jump", [1, 2, 3])
def test_langevin_dynamics_rises_from_the_level_at_which_it_left_x(jump: int) -> None:
    """Along an axis of variance c: v = (1 - step/2 s^2/(c + s^2))^2 v + step s^2 for a step at s, v = v + s'^2 - s^2 for a rise from s."""
    model, each, T, step = Correlated(), Geometric().sigmas(7, 0.3, 9.0), 2, 0.4
    path = resampled(each, jump=jump, times=3)
    x = Langevin(steps=7, steps_per_level=T, step=step, denoise=False, clip=False)(model, StepRng(0, 0, 20_000), sigmas=path).double()
    for axis, c in ((torch.tensor([1.0, 1.0]), 1.8), (torch.tensor([1.0, -1.0]), 0.2)):
        v, walked = path[0] ** 2, path[0]
        for here, after in pairwise(path):
            if after > here:  # of the level before the rise no step is taken
                v += after**2 - walked**2
                continue
            walked = here
            for _ in range(T):
                v = (1 - step / 2 * here**2 / (c + here**2)) ** 2 * v + step * here**2
        along = (x - model.mu) @ (axis.double() / math.sqrt(2))
        # The start has the mean 0 and not mu, of which some is left.
        assert along.var().item() == pytest.approx(v, rel=0.04)


def test_the_masked_score_is_the_score_less_twice_the_distance_to_what_is_known() -> None:
    model, x, sigma = mixture(), torch.randn(5, 2, dtype=torch.float64), torch.linspace(0.1, 3, 5, dtype=torch.float64)
    level = sigma[:, None] ** 2
    score = (model.denoise(x, sigma) - x) / level
    masked = Masked(model, KNOWN, MASK)
    torch.testing.assert_close((masked.denoise(x, sigma) - x) / level, score - 2 * MASK * (x - KNOWN))
    assert (masked.event, masked.sigma_range, masked.scheduler) == (model.event, model.sigma_range, model.scheduler)


def test_langevin_with_the_masked_score_is_algorithm_1_with_that_score() -> None:
    model, sigmas, step, T = mixture(), Geometric().sigmas(4, 0.1, 1.5), 0.3, 3
    x = start = model.start(ImageRng(1, range(6)), 1.5).double()
    rng = ImageRng(0, range(6))
    for sigma in sigmas[:-1]:
        alpha = step * sigma**2
        for _ in range(T):
            score = (model.denoise(x, torch.full((6,), sigma, dtype=torch.float64)) - x) / sigma**2
            x = x + alpha / 2 * (score - 2 * MASK * (x - KNOWN)) + math.sqrt(alpha) * rng.normal(2).double()
    sampler = Langevin(steps_per_level=T, step=step, denoise=False, masked_score=True)
    got = sampler(Inpainted(model, KNOWN, MASK), ImageRng(0, range(6)), sigmas=sigmas, x=start)
    torch.testing.assert_close(got, x, rtol=1e-9, atol=1e-9)


def test_the_masked_score_clips_the_models_estimate_and_not_the_pull() -> None:
    model = FakeDenoiser(FakeDenoiserConfig(bounded=True, mean=3.0)).requires_grad_(False)
    x, sigma = torch.full((1, 2), 5.0), torch.full((1,), 2.0, dtype=torch.float64)
    got = Masked(model, KNOWN.float(), MASK.float(), clip=True).denoise(x, sigma)
    torch.testing.assert_close(got, torch.tensor([[1 - 2 * 4 * (5.0 - 2), 1.0]]))
    assert Masked(model, KNOWN.float(), MASK.float()).denoise(x, sigma)[0, 1] > 3
    sampler = Langevin(steps=1, steps_per_level=1, step=0.1, masked_score=True, denoise=False)
    inpainted = Inpainted(model, KNOWN.float(), MASK.float())
    clipped, free = (replace(sampler, clip=clip)(inpainted, ImageRng(0, [0]), sigmas=(2.0, 0.0), x=x) for clip in (True, False))
    torch.testing.assert_close(free - clipped, 0.05 * (model.denoise(x, sigma) - 1))


SIGMA, LIMIT = 1.5, 2 / (1.5**2 + 1 / 2)


def walked(step: float, steps: int, n: int = 4000) -> Tensor:
    """Langevin dynamics with the masked score, unchecked, at one level around a point at 0, of which the first coordinate is known as 2."""
    model = Masked(GaussianMixture((1.0,), ((0.0, 0.0),), (1e-6,)), KNOWN.float(), MASK.float())
    sampler = Langevin(steps=1, steps_per_level=steps, step=step, denoise=False)
    return sampler(model, StepRng(0, 0, n), sigmas=(SIGMA, 0.0))[:, 0].double()


def test_just_below_its_limit_the_masked_score_converges_and_just_above_it_diverges() -> None:
    """With D = 0 a step is x = f x + step sigma^2 known + sqrt(step) sigma z, f = 1 - step/2 - step sigma^2: |f| < 1 below the limit.

    There x is an autoregression with the mean step sigma^2 known / (1 - f) and the variance step sigma^2 / (1 - f^2).
    """
    for step in (0.1 * LIMIT, 0.99 * LIMIT):
        f = 1 - step / 2 - step * SIGMA**2
        assert abs(f) < 1
        mean, std = step * SIGMA**2 * 2 / (1 - f), math.sqrt(step * SIGMA**2 / (1 - f**2))
        x = walked(step, 250)
        assert x.mean().item() == pytest.approx(mean, abs=4 * std / math.sqrt(4000))
        assert x.std().item() == pytest.approx(std, rel=0.05)
    assert abs(1 - 1.01 * LIMIT * (1 / 2 + SIGMA**2)) > 1
    assert walked(1.01 * LIMIT, 1000, n=10).std() > 1e6


def test_an_unstable_step_of_the_masked_score_is_refused_before_the_net_is_asked() -> None:
    model = mixture()
    inpainted, sigmas = Inpainted(model, KNOWN.float(), MASK.float()), (SIGMA, 0.5, 0.0)
    with pytest.raises(ConfigError, match=r"^step must be below 0\.727 .* at sigma 1\.5, not 0\.73 -- take a smaller step"):
        Langevin(step=0.73, masked_score=True)(inpainted, ImageRng(0, [0]), sigmas=sigmas)
    assert model.passes == 0
    assert Langevin(step=0.72, masked_score=True)(inpainted, ImageRng(0, [0]), sigmas=sigmas).isfinite().all()


def test_the_masked_score_of_what_is_not_inpainted_is_refused() -> None:
    model = mixture()
    for other in (model, Masked(model, KNOWN, MASK)):
        with pytest.raises(UsageError, match="masked_score is for inpainting"):
            Langevin(step=1e-4, masked_score=True)(other, ImageRng(0, [0]))
    assert model.passes == 0


# Pretrained


@pytest.fixture
def model(tmp_path: Path) -> Iterator[Pretrained]:
    """Images of three classes, whose pixels are independent, around -0.5, 0 and 0.5."""
    config = FakeDenoiserConfig(shape=SHAPE, classes=3, bounded=True, std=0.2)
    net = FakeDenoiser(config).requires_grad_(False)
    net.means.copy_(torch.tensor([-0.5, 0.0, 0.5]).view(3, 1, 1, 1).expand_as(net.means))
    with fake_zoo():
        yield zoo_core.load(f"local:{write_checkpoint(tmp_path / 'pixels', net, config, Ancestral(steps=6))}")


def pictures(n: int = 5) -> tuple[Tensor, Tensor]:
    """Images with both ends of the range, a negative zero, and NaN where the mask (1, 4, 4) says that nothing is known."""
    x = torch.rand(n, *SHAPE, generator=torch.Generator().manual_seed(0)) * 2 - 1
    x[0, 0, 0, :3] = torch.tensor([-1.0, 1.0, -0.0])
    mask = torch.arange(16).view(1, 4, 4) % 4 < 3
    return x.where(mask, math.nan), mask


def same_bits(a: Tensor, b: Tensor) -> bool:
    return torch.equal(a.view(torch.int32), b.view(torch.int32))


OPTIONS = {"langevin": {"masked_score": True, "step": 1e-6}}


@pytest.mark.parametrize(("name", "options"), [*((name, {}) for name in SAMPLERS), *OPTIONS.items()])
@pytest.mark.parametrize("times", [1, 3])
def test_what_is_known_comes_back_bit_for_bit_and_the_rest_is_drawn(
    name: str, options: dict[str, Any], times: int, model: Pretrained
) -> None:
    x, mask = pictures()
    got = model.inpaint(x, mask, sampler=few(name, **options), times=times, seed=3)
    known = mask.expand_as(x)
    assert (got.dtype, got.shape, got.device.type) == (torch.float32, x.shape, "cpu")
    assert same_bits(got[known], x[known])
    assert got.isfinite().all()
    assert got[~known].abs().max() <= 1.5
    assert (got[~known] != 0).all()


def test_what_is_drawn_does_not_depend_on_batch_size_or_on_where_counting_begins_or_on_what_is_not_known(model: Pretrained) -> None:
    x, mask = pictures()
    whole = model.inpaint(x, mask, seed=5)
    assert torch.equal(model.inpaint(x, mask, seed=5, batch_size=2), whole)
    assert torch.equal(model.inpaint(x[3:], mask, seed=5, first=3), whole[3:])
    assert torch.equal(model.inpaint(x.nan_to_num(0.7), mask.expand_as(x).double(), seed=5), whole)
    assert not torch.equal(model.inpaint(x, mask, seed=6), whole)


def test_inpaint_walks_the_resampled_path_around_the_model(model: Pretrained) -> None:
    x, mask = pictures(2)
    sampler, seen = Ancestral(steps=6), list[float]()
    sigmas = resampled(sampler.noise_levels(model.model, None), jump=2, times=3)
    around = Inpainted(model.model, x.nan_to_num(0), mask.float())  # type: ignore[arg-type]  # a fake denoiser
    expected = sampler(around, ImageRng(0, range(2)), sigmas=sigmas)
    got = model.inpaint(x, mask, jump=2, times=3, on_step=lambda step, sigma, x, x0: seen.append(sigma))
    assert torch.equal(got, expected)
    assert len(seen) == 3 * 5 + 1 + 1  # the last step once, and the end
    plain = sampler(around, ImageRng(0, range(2)), sigmas=sampler.noise_levels(model.model, None))
    assert torch.equal(model.inpaint(x, mask, times=1), plain)


def test_labels_and_guidance_steer_what_is_drawn(model: Pretrained) -> None:
    x, mask = torch.zeros(90, *SHAPE), torch.zeros(1, 4, 4)
    mask[:, :2] = 1
    labels = [i % 3 for i in range(90)]
    got = model.inpaint(x, mask, labels=labels)
    means = [got[i::3, :, 2:].mean().item() for i in range(3)]
    assert means == pytest.approx([-0.5, 0, 0.5], abs=0.03)
    torch.testing.assert_close(model.inpaint(x, mask, labels=labels, guidance=1.0), got)
    stronger = model.inpaint(x, mask, labels=labels, guidance=1.5)
    assert stronger[2::3, :, 2:].mean().item() == pytest.approx(0.75, abs=0.05)
    assert torch.equal(stronger[:, :, :2], x[:, :, :2])


WRONG: list[tuple[Callable[[Tensor, Tensor], dict[str, Any]], type[Exception], str]] = [
    (lambda x, mask: {"x": x[:, :2]}, UsageError, r"x must have the shape \(n, 3, 4, 4\)"),
    (lambda x, mask: {"x": x[:0]}, UsageError, "number of rows of x must be"),
    (lambda x, mask: {"x": x * 2}, UsageError, r"x must be in \[-1, 1\] where it is known"),
    (lambda x, mask: {"mask": ~mask}, UsageError, r"x must be in \[-1, 1\] where it is known"),
    (lambda x, mask: {"mask": mask * 0.5}, UsageError, "mask must be True or 1 where x is known"),
    (lambda x, mask: {"mask": mask * math.nan}, UsageError, "mask must be True or 1"),
    (lambda x, mask: {"mask": "lfet"}, UsageError, "mask must be a tensor or, for images, one of top, .*, not 'lfet'"),
    (lambda x, mask: {"mask": mask[:, :3]}, UsageError, r"mask must broadcast to the shape of x, \(5, 3, 4, 4\); it has \(1, 3, 4\)"),
    (lambda x, mask: {"mask": mask.expand(2, 5, 3, 4, 4)}, UsageError, "mask must broadcast"),
    (lambda x, mask: {"jump": 0}, UsageError, "jump must be at least 1"),
    (lambda x, mask: {"times": 1.5}, UsageError, "times must be a whole number"),
    (lambda x, mask: {"batch_size": 0}, UsageError, "batch_size must be at least 1"),
    (lambda x, mask: {"labels": 3}, UsageError, "labels must be in 0 ... 2"),
    (lambda x, mask: {"guidance": 2.0}, UsageError, "guidance needs labels"),
    (lambda x, mask: {"sampler": "latent"}, CapabilityError, "cannot decode"),
    (lambda x, mask: {"sampler": {"name": "langevin", "masked_score": True}}, ConfigError, "step must be below .* at sigma 1014"),
]


@pytest.mark.parametrize(("change", "error", "match"), WRONG, ids=[match[:30] for *_, match in WRONG])
def test_what_cannot_be_inpainted_says_why_in_one_line(
    change: Callable[[Tensor, Tensor], dict[str, Any]], error: type[Exception], match: str, model: Pretrained
) -> None:
    x, mask = pictures()
    with pytest.raises(error, match=match) as caught:
        model.inpaint(**{"x": x, "mask": mask, **change(x, mask)})
    assert "\n" not in str(caught.value)


def test_masked_score_without_inpainting_and_inpainting_without_denoise_are_refused(model: Pretrained, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="masked_score is for inpainting"):
        model.sample(1, sampler={"name": "langevin", "masked_score": True})
    flow = zoo_core.load(f"local:{write_checkpoint(tmp_path / 'flow', Fake(FakeConfig()), FakeConfig())}")
    with pytest.raises(CapabilityError, match="flow cannot inpaint: its family cannot denoise"):
        flow.inpaint(torch.zeros(1, 2), torch.ones(2))


class Falling(Sampler):
    """Euler's method straight down: sqrt(sigma^2 - sigma'^2) of a rise is no number."""

    __slots__ = ()
    requires = "denoise"

    def noise_levels(self, model: object, scheduler: Scheduler | None) -> tuple[float, ...]:
        return (4.0, 2.0, 1.0, 0.0)

    def __call__(self, model: Any, rng: Rng, *, sigmas: Sequence[float] = (), **options: Any) -> Tensor:
        assert all(math.sqrt(sigma**2 - after**2) > 0 for sigma, after in pairwise(sigmas))
        x: Tensor = model.start(rng, sigmas[0])
        for sigma, after in pairwise(sigmas):
            x = model.denoise(x, torch.full((len(x),), sigma, dtype=torch.float64)).lerp(x, after / sigma)
        return x


def test_a_sampler_that_cannot_rise_is_refused_but_where_the_path_goes_straight_down(model: Pretrained) -> None:
    x, mask = pictures(2)
    with pytest.raises(UsageError, match=r"^Falling cannot go back up to a noise level, as inpainting does -- .*times=1") as caught:
        model.inpaint(x, mask, sampler=Falling())
    assert "\n" not in str(caught.value)
    known = mask.expand_as(x)
    assert same_bits(model.inpaint(x, mask, sampler=Falling(), times=1)[known], x[known])
    assert all(few(name).can_rise for name in SAMPLERS)


def test_points_have_no_range_and_must_be_finite_where_they_are_known(tmp_path: Path) -> None:
    config = FakeDenoiserConfig(std=1.0)
    with fake_zoo():
        points = zoo_core.load(f"local:{write_checkpoint(tmp_path / 'points', FakeDenoiser(config), config, Ancestral(steps=6))}")
        mask = torch.tensor([True, False])
        assert points.inpaint(torch.tensor([[70.0, math.nan]]), mask)[0, 0] == 70
        with pytest.raises(UsageError, match="x must be finite where it is known"):
            points.inpaint(torch.tensor([[math.inf, 0.0]]), mask)
