"""Theorems about log-probabilities of denoisers: the ODE's density is the closed form, and the variational bound is one."""

import itertools
import math
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from zoo_core.density.denoiser import Bound, bound, ode
from zoo_core.density.runge_kutta import solve
from zoo_core.errors import CapabilityError, ConfigError, UsageError, ZooError
from zoo_core.interfaces import DiscreteScheduler, LogProb
from zoo_core.rng import ImageRng, StepRng
from zoo_core.schedulers import Cosine, Linear
from zoo_core.testing.fake import FakeDenoiser
from zoo_core.testing.fake_config import FakeDenoiserConfig
from zoo_core.testing.gaussian_mixture import GaussianMixture, mixture

SIGMA_MIN = 0.1


def model(hi: float = 1e4) -> GaussianMixture:
    made = mixture()
    made.sigma_range = (SIGMA_MIN, hi)
    return made


def closed_form(made: GaussianMixture, x: Tensor, sigma: float) -> Tensor:
    """The log-density of the mixture under noise, float64 (n,)."""
    w, mu = torch.tensor(made.weights).double(), torch.tensor(made.means).double()
    variance = torch.tensor(made.stds).double() ** 2 + sigma**2
    squares = (x.double()[:, None] - mu).square().sum(2)
    return torch.logsumexp(w.log() - (2 * math.pi * variance).log() - squares / (2 * variance), dim=1)


def noised(count: int, seed: int = 0) -> Tensor:
    """Samples of the mixture under noise, float64 (count, 2)."""
    made, rng = model(), StepRng(seed, 0, count)
    which = torch.multinomial(torch.tensor(made.weights), count, True, generator=torch.Generator().manual_seed(seed))
    std = (torch.tensor(made.stds).double() ** 2 + SIGMA_MIN**2).sqrt()[which]
    return torch.tensor(made.means).double()[which] + std[:, None] * rng.normal(2)


# The ODE


def test_the_density_of_the_ode_is_that_of_the_noised_data() -> None:
    x = noised(40)
    found = ode(model(), x)
    assert (found.kind, found.space) == ("estimate", "continuous")
    torch.testing.assert_close(found.value, closed_form(model(), x, SIGMA_MIN), atol=1e-3, rtol=0)
    assert found.stderr is not None
    assert 0 < found.stderr.max() < 0.01


def test_the_standard_error_of_the_ode_counts_what_an_error_of_the_path_does_to_the_prior() -> None:
    """In the tails of a Gaussian x_T is large, and an error of the path moves the prior by x_T times as much."""
    made = GaussianMixture((1.0,), ((0.0, 0.0),), (0.5,))
    made.sigma_range = (0.01, 1e4)
    radii = torch.linspace(0, 6, 40, dtype=torch.float64)[:, None]
    x = torch.cat([radii * torch.tensor([1.0, 0.0]), radii * torch.tensor([1.0, 1.0]) / math.sqrt(2), torch.tensor([[4.0, 4.0]])])
    found = ode(made, x)
    assert found.stderr is not None
    error = (found.value - closed_form(made, x, 0.01)).abs()
    assert error[-1] > 1e-3
    assert (error / found.stderr).max() < 2
    assert (found.stderr < 20 * error + 2e-3).all()


def test_the_density_of_the_ode_integrates_to_one() -> None:
    """Whatever sigma_max is: what the ODE makes of a density is one. Of a mixture whose own density no Gaussian at sigma_max has."""
    axis = torch.linspace(-6, 6, 61, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    mass = ode(model(hi=20.0), grid, tolerance=1e-4).value.exp().sum() * (axis[1] - axis[0]) ** 2
    assert mass.item() == pytest.approx(1, abs=0.01)


def test_hutchinson_finds_the_trace_and_knows_how_well() -> None:
    x = noised(100)
    exact, drawn = ode(model(), x, tolerance=1e-4), ode(model(), x, ImageRng(0, range(100)), k=16, tolerance=1e-4)
    assert drawn.stderr is not None
    z = (drawn.value - exact.value) / drawn.stderr
    assert z.abs().max() < 4.5
    assert z.square().mean().sqrt().item() == pytest.approx(1, abs=0.3)


def test_many_dimensions_are_probed_and_few_are_not() -> None:
    wide = FakeDenoiser(FakeDenoiserConfig(shape=(20,), std=0.7, mean=0.2))
    x = 0.2 + 0.7 * StepRng(0, 0, 8).normal(20)
    found = ode(wide, x, ImageRng(0, range(8)))
    variance = 0.7**2 + wide.sigma_range[0] ** 2
    expected = torch.distributions.Normal(0.2, math.sqrt(variance)).log_prob(x).sum(1)
    # Of an isotropic Gaussian every probe of signs gives the trace itself.
    torch.testing.assert_close(found.value, expected, atol=5e-3, rtol=0)
    for few in ({"k": 1}, {"rng": None}):
        with pytest.raises(UsageError, match=r"fewer than 2 probes"):
            ode(wide, x, **{"rng": ImageRng(0, range(8)), **few})


def test_log_p_is_solved_to_the_tolerance_where_its_path_is_a_point() -> None:
    """At the mean of a Gaussian y stays 0, and only the error of log p keeps the steps short."""
    made = FakeDenoiser(FakeDenoiserConfig(shape=(2,), std=0.3, mean=0.0))
    x = torch.zeros(1, 2, dtype=torch.float64)
    expected = -math.log(2 * math.pi * (0.3**2 + made.sigma_range[0] ** 2))
    tight, loose = (abs(ode(made, x, tolerance=tolerance).value.item() - expected) for tolerance in (1e-7, 1e-3))
    assert tight < 1e-5 < loose < 0.1


def test_a_row_is_solved_alike_in_every_batch() -> None:
    x = noised(5)
    together = ode(model(), x, ImageRng(0, range(5)), k=3, tolerance=1e-3)
    for row in (0, 3):
        alone = ode(model(), x[row : row + 1], ImageRng(0, [row]), k=3, tolerance=1e-3)
        torch.testing.assert_close(alone.value[0], together.value[row], atol=1e-9, rtol=1e-9)


def test_labels_go_with_their_rows() -> None:
    made = FakeDenoiser(FakeDenoiserConfig(classes=2))
    made.means.data = torch.tensor([[-2.0, 0.0], [2.0, 0.0]])
    x, labels = torch.tensor([[-2.0, 0.0], [2.0, 0.5], [-2.0, 0.0]]), torch.tensor([0, 1, 1])
    expected = torch.distributions.Normal(made.means[labels], math.sqrt(0.25 + made.sigma_range[0] ** 2)).log_prob(x).sum(1)
    torch.testing.assert_close(ode(made, x, labels=labels).value, expected, atol=5e-3, rtol=1e-3)


def test_gradients_are_neither_needed_nor_left() -> None:
    made = FakeDenoiser(FakeDenoiserConfig())
    with torch.no_grad():
        found = ode(made, torch.zeros(2, 2))
    assert not found.value.requires_grad
    assert not ode(made, torch.zeros(2, 2, requires_grad=True)).value.requires_grad
    assert made.mean.grad is None


# The solver


def simple(error: Tensor, z: Tensor) -> Tensor:
    return error.abs().amax(1) / 1e-8


def test_the_solver_solves_what_has_a_closed_form_each_row_for_itself() -> None:
    rates, counts = torch.tensor([[0.1], [1.0], [8.0]], dtype=torch.float64), torch.zeros(3)

    def slope(t: Tensor, z: Tensor, rows: Tensor) -> Tensor:
        counts[rows] += 1
        return -rates[rows] * z + t[:, None]

    z, errors = solve(slope, torch.ones(3, 1, dtype=torch.float64), 0.5, 2.5, simple)
    of = lambda t: t / rates - rates**-2  # noqa: E731  # the particular solution
    expected = of(2.5) + (1 - of(0.5)) * (-2 * rates).exp()
    torch.testing.assert_close(z, expected, atol=1e-7, rtol=0)
    assert (errors > 0).all()
    assert counts[2] > 2 * counts[0]


def test_the_solver_is_of_order_5() -> None:
    def slope(t: Tensor, z: Tensor, rows: Tensor) -> Tensor:
        return t[:, None].cos() * z

    def error(pieces: int) -> float:
        """With 50 steps of one length for each piece: 0.9^5 is the norm that leaves a step as it is."""
        z, ends = torch.ones(1, 1, dtype=torch.float64), torch.linspace(0, 6, pieces + 1).tolist()
        for begin, end in itertools.pairwise(ends):
            z, _ = solve(slope, z, begin, end, lambda error, z: torch.full((len(z),), 0.9**5, dtype=torch.float64))
        return abs(z.item() - math.exp(math.sin(6.0)))

    assert math.log2(error(1) / error(2)) == pytest.approx(5, abs=0.5)


def test_errors_that_undo_each_other_are_counted_twice() -> None:
    """There and back: what the first half errs by, the second takes back, but nobody knows that before."""

    def error(end: float) -> float:
        return solve(lambda t, z, rows: (3 * t[:, None]).sin() ** 5, torch.zeros(1, 1, dtype=torch.float64), -2, end, simple)[1].item()

    assert error(2) > 1.5 * error(0)


@pytest.mark.parametrize("rate", [1e9, math.nan, math.inf])
def test_the_solver_gives_up_on_what_is_stiff_or_no_number(rate: float) -> None:
    with pytest.raises(ConfigError, match=r"not solved in 600 evaluations of the model -- "):
        solve(lambda t, z, rows: -rate * (z - t[:, None].sin()), torch.ones(2, 1, dtype=torch.float64), 0, 10, simple, 600)


def test_a_model_that_gives_nan_or_jumps_ends_with_an_error() -> None:
    class Odd(GaussianMixture):
        def denoise(self, x: Tensor, sigma: Tensor, labels: Tensor | None = None) -> Tensor:
            return super().denoise(x, sigma) * torch.where(sigma[:, None] > 3, math.nan, 1.0)

    made = Odd((1.0,), ((0.0, 0.0),), (1.0,))
    with pytest.raises(ZooError, match=r"values that are not finite at sigma \d"):
        ode(made, torch.zeros(2, 2))
    with pytest.raises(ConfigError, match=r"not solved in 30 evaluations"):
        ode(model(), noised(2), max_evaluations=30)


# The variational bound

SHAPE = (1, 2, 2)


@dataclass(frozen=True, kw_only=True, slots=True)
class Even(DiscreteScheduler):
    """T levels, even in log sigma, between the same two ends whatever T is."""

    T: int

    @property
    def levels(self) -> tuple[float, ...]:
        return tuple(0.02 * (100 / 0.02) ** (t / (self.T - 1)) for t in range(self.T))

    def sigmas(self, steps: int, lo: float, hi: float) -> tuple[float, ...]:
        raise NotImplementedError


def gaussian(T: int, std: float = 0.4, mean: float = 0.1, scheduler: Any = None) -> FakeDenoiser:
    config = FakeDenoiserConfig(shape=SHAPE, bounded=True, mean=mean, std=std, scheduler=scheduler or Cosine(T=T))
    return FakeDenoiser(config).double()


def longhand(made: FakeDenoiser, x: Tensor) -> dict[str, Tensor]:
    """The terms of the bound in Ho et al.'s own variables x_t, for a Gaussian and its optimal denoiser, without any draw: (n,)."""
    m, s2 = made.mean.detach()[0, 0, 0].item(), (2 * made.log_std.detach()[0, 0, 0]).exp().item()
    abars = [1 / (1 + sigma**2) for sigma in made.scheduler.levels]
    x = x.double().flatten(1)
    last = abars[-1]
    prior = 0.5 * (last * x**2 + (1 - last) - 1 - math.log(1 - last)).sum(1)
    consistency = torch.zeros(len(x), dtype=torch.float64)
    for t in range(2, len(abars) + 1):
        abar, before = abars[t - 1], abars[t - 2]
        alpha = abar / before
        beta = 1 - alpha
        # x_t = sqrt(abar) x_0 + sqrt(1 - abar) eps; D = (s^2 sqrt(abar) x_t + (1 - abar) m) / (s^2 abar + 1 - abar)
        total = s2 * abar + 1 - abar
        missed = ((1 - abar) / total) ** 2 * (x - m) ** 2 + (s2 * math.sqrt(abar * (1 - abar)) / total) ** 2
        # eq. 7: the posterior's mean moves by sqrt(abar_(t-1)) beta_t / (1 - abar_t) for each unit of x_0, its variance is beta-tilde
        moved, variance = math.sqrt(before) * beta / (1 - abar), (1 - before) / (1 - abar) * beta
        consistency += (moved**2 * missed / (2 * variance)).sum(1)
    return {"prior": prior, "consistency": consistency}


def rows(count: int, seed: int = 0) -> Tensor:
    levels = torch.randint(90, 170, (count, *SHAPE), generator=torch.Generator().manual_seed(seed))
    return levels.double() / 127.5 - 1


@pytest.mark.parametrize("scheduler", [Cosine(T=9), Linear(T=25, beta_T=0.3)])
def test_each_term_is_what_the_paper_writes(scheduler: Any) -> None:
    made, x, many = gaussian(0, scheduler=scheduler), rows(2), 1500
    found = bound(made, x.repeat_interleave(many, 0), StepRng(0, 0, 2 * many))
    for name, expected in longhand(made, x).items():
        draws = getattr(found, name).view(2, many)
        stderr = draws.std(1) / math.sqrt(many)
        assert ((draws.mean(1) - expected).abs() <= 4 * stderr + 1e-9).all(), name
    assert (found.prior.view(2, many).std(1) < 1e-12).all()
    torch.testing.assert_close(found.value, -(found.prior + found.consistency + found.reconstruction))
    terms = sum(each.value for each in found.terms.values())
    torch.testing.assert_close(torch.as_tensor(terms), found.value)
    assert {(each.kind, each.space) for each in found.terms.values()} == {("lower_bound", "uint8")}


def test_the_reconstruction_is_the_mass_between_two_levels() -> None:
    """With a model of no noise worth telling, L_0 is -log of what a Gaussian of variance beta_1 about D gives to the level's interval."""
    made = gaussian(0, std=1e-3, mean=0.2, scheduler=Linear(T=1, beta_1=0.01, beta_T=0.01))
    x = torch.tensor([0, 1, 140, 153, 254, 255]).double().view(-1, 1, 1, 1).expand(6, *SHAPE) / 127.5 - 1
    found = bound(made, x, ImageRng(0, range(6)))
    normal = torch.distributions.Normal(torch.tensor(0.2).double(), 0.1)
    edges = (torch.arange(257) - 0.5) / 127.5 - 1
    cdf = normal.cdf(edges.double())
    cdf[0], cdf[-1] = 0, 1
    mass = cdf.diff()
    assert mass.sum().item() == pytest.approx(1)
    torch.testing.assert_close((-found.reconstruction / 4)[2:4], mass.log()[[140, 153]], atol=0.02, rtol=0)
    # Where the plain difference rounds to 0, the logarithm is still right: by the tail's series, to 1 %.
    tail = -(((edges[255].item() - 0.2) / 0.1) ** 2) / 2 - math.log((edges[255].item() - 0.2) / 0.1 * math.sqrt(2 * math.pi))
    assert -found.reconstruction[5].item() / 4 == pytest.approx(tail, rel=0.01)
    assert found.reconstruction.isfinite().all()
    assert (found.consistency == 0).all()
    noisy = bound(gaussian(0, std=1e-3, mean=0.2, scheduler=Linear(T=1, beta_1=0.3, beta_T=0.3)), x, ImageRng(0, range(6)))
    cdf = torch.distributions.Normal(torch.tensor(0.2).double(), math.sqrt(0.3)).cdf(edges.double())
    torch.testing.assert_close((-noisy.reconstruction / 4)[2:4], cdf.diff().log()[[140, 153]], atol=0.02, rtol=0)


def test_the_bound_is_below_the_likelihood_and_tight_as_steps_grow() -> None:
    """Over images of a discretised Gaussian, E bound <= E log p, and the gap falls to little with T."""
    std, levels = 0.4, torch.arange(256)
    normal = torch.distributions.Normal(torch.tensor(0.1).double(), std)
    cdf = normal.cdf((torch.arange(257) - 0.5).double() / 127.5 - 1)
    cdf[0], cdf[-1] = 0, 1
    mass = cdf.diff()
    entropy = -(mass * mass.log()).sum().item()  # nats a pixel
    x = (levels.double() / 127.5 - 1).view(-1, 1, 1, 1).expand(256, *SHAPE)
    gaps = []
    for T in (10, 40, 160):
        draws = [bound(gaussian(0, scheduler=Even(T=T)), x, StepRng(0, step, 256)).value / 4 for step in range(2)]
        value = (mass * torch.stack(draws).mean(0)).sum().item()
        gaps.append(-value - entropy)
    assert gaps[0] > gaps[1] > gaps[2] > 0
    assert gaps[1] / gaps[2] == pytest.approx(4, rel=0.2)  # of order 1 / T
    assert (4 * gaps[2] - gaps[1]) / 3 == pytest.approx(0, abs=0.03)  # so this is where it goes


def test_levels_drawn_at_random_stand_for_all() -> None:
    made, x = gaussian(12), rows(1).expand(400, *SHAPE)
    some, every = bound(made, x, StepRng(0, 0, 400), k=8), bound(made, x, StepRng(1, 0, 400))
    assert every.stderr is None
    assert some.stderr is not None
    stderr = math.sqrt(float(some.value.var() + every.value.var()) / 400)
    assert abs(float(some.value.mean() - every.value.mean())) < 4 * stderr
    assert float(some.stderr.square().mean().sqrt()) == pytest.approx(float(some.value.std()), rel=0.15)
    assert bound(made, x[:3], ImageRng(0, range(3)), k=1).stderr is None


@pytest.mark.parametrize("T", [2, 3])
def test_each_level_has_its_turn_and_its_weight(T: int) -> None:
    made, x = gaussian(T), rows(1).expand(4000, *SHAPE)
    drawn = bound(made, x, StepRng(0, 0, 4000), k=1).consistency
    expected = longhand(made, x[:1])["consistency"].item()
    assert abs(drawn.mean().item() - expected) < 4 * drawn.std().item() / math.sqrt(4000) < 0.1 * expected


@pytest.mark.parametrize("k", [None, 3])
def test_the_draws_of_an_image_are_its_own(k: int | None) -> None:
    made, x = gaussian(6), rows(5)
    together = bound(made, x, ImageRng(0, range(5)), k=k)
    alone = bound(made, x[3:4], ImageRng(0, [3]), k=k)
    torch.testing.assert_close(alone.value[0], together.value[3])


def test_the_bound_is_of_8_bit_images_of_a_model_with_levels() -> None:
    rng, x = ImageRng(0, range(2)), rows(2)
    for step in (0.01, -0.01, math.nan):
        with pytest.raises(UsageError, match=r"is not a level of an 8-bit image"):
            bound(gaussian(3), x + step / 127.5, rng)
    near: LogProb = bound(gaussian(3), x + 9e-4 / 127.5, ImageRng(0, range(2)))
    assert isinstance(near, Bound)
    with pytest.raises(UsageError, match=r"not a level"):
        bound(gaussian(3), replace_level(x, 256), rng)
    with pytest.raises(UsageError, match=r"for 8-bit images in \[-1, 1\]"):
        bound(FakeDenoiser(FakeDenoiserConfig()), torch.zeros(2, 2), rng)
    with pytest.raises(CapabilityError, match=r"continuous noise levels has no variational bound -- .* method ode"):
        bound(model(), torch.zeros(2, 2), rng)
    with pytest.raises(UsageError, match=r"k must be at least 1"):
        bound(gaussian(3), x, rng, k=0)


def replace_level(x: Tensor, level: int) -> Tensor:
    return torch.full_like(x, level / 127.5 - 1)


def test_a_term_in_bits_is_longhand() -> None:
    found = bound(gaussian(3), rows(2), ImageRng(0, range(2)))
    torch.testing.assert_close(found.terms["prior"].bits_per_dim(4), found.prior / 4 / math.log(2))
    assert replace(found, value=found.value * 2).bits_per_dim(4)[0] == pytest.approx(2 * found.bits_per_dim(4)[0].item())
