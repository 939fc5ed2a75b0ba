"""Samplers against the papers' own algorithms, and against the closed forms that a Gaussian has."""

import math
import random
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from zoo_core.errors import ConfigError, UsageError
from zoo_core.interfaces import DiscreteScheduler, Event, Rng, Scheduler
from zoo_core.rng import ImageRng, StepRng
from zoo_core.samplers import Ancestral, Guided, Latent
from zoo_core.schedulers import Cosine, Karras, Linear
from zoo_core.testing.fake import Fake
from zoo_core.testing.fake_config import FakeConfig

MU, S = 0.3, 0.5


class Gaussian:
    """The exact denoiser of x_0 ~ N(mu, s^2): D(x, sigma) = (s^2 x + sigma^2 mu) / (s^2 + sigma^2). Label y moves mu by y."""

    def __init__(
        self,
        scheduler: DiscreteScheduler | None = None,
        dtype: torch.dtype = torch.float32,
        bounds: tuple[float, float] | None = None,
        sigma_range: tuple[float, float] | None = None,
    ) -> None:
        self.scheduler: Scheduler = scheduler or Cosine(T=50)
        levels = (scheduler or Cosine(T=50)).levels
        self.sigma_range = sigma_range or (levels[0], levels[-1])
        self.event = Event(shape=(2,), range=bounds)
        self.dtype = dtype
        self.calls = 0

    def start(self, rng: Rng, sigma: float) -> Tensor:
        return rng.normal(2).to(self.dtype) * math.sqrt(1 + sigma**2)

    def denoise(self, x: Tensor, sigma: Tensor, labels: Tensor | None = None) -> Tensor:
        assert sigma.dtype == torch.float64
        assert sigma.shape == (len(x),)
        self.calls += 1
        level = sigma[:, None] ** 2
        mu = MU if labels is None else MU + labels[:, None]
        return (S**2 / (S**2 + level)).to(x.dtype) * x + (level * mu / (S**2 + level)).to(x.dtype)


class TwoPeaks(Gaussian):
    """The exact denoiser of an even mixture of N(0.9, s^2) and N(-0.9, s^2): no linear function, and beyond [-1, 1] in places."""

    def denoise(self, x: Tensor, sigma: Tensor, labels: Tensor | None = None) -> Tensor:
        s, m, level = 0.2, 0.9, sigma[:, None] ** 2
        variance = (s**2 + level).to(x.dtype)
        mean = m * torch.tanh(m * x / variance)
        return ((s**2) * x + level.to(x.dtype) * mean) / variance


def sample(sampler: Ancestral, model: Gaussian, n: int = 16, seed: int = 0, **options: object) -> Tensor:
    return sampler(model, ImageRng(seed, range(n)), sigmas=sampler.noise_levels(model, None), **options)  # type: ignore[arg-type]


# The papers' algorithms, in the papers' coordinates


def eps_theta(model: Gaussian, x_t: Tensor, sigma: float) -> Tensor:
    """The noise that the paper's net predicts in x_t = x_sigma / sqrt(1 + sigma^2)."""
    x = x_t * math.sqrt(1 + sigma**2)
    return (x - model.denoise(x, torch.full((len(x),), sigma, dtype=torch.float64))) / sigma


def algorithm_2(model: Gaussian, scheduler: Linear | Cosine, rng: Rng, clip: bool) -> Tensor:
    """Ho et al. 2020, Algorithm 2, with sigma_t^2 = beta-tilde_t; with the clamp, the mean is eq. 7 in the clamped x_0."""
    abar = (1.0, *scheduler.alpha_bars)
    x = rng.normal(2).to(model.dtype)
    for t in range(scheduler.T, 0, -1):
        alpha = abar[t] / abar[t - 1]
        beta = 1 - alpha
        eps = eps_theta(model, x, math.sqrt((1 - abar[t]) / abar[t]))
        if clip:
            x_0 = ((x - math.sqrt(1 - abar[t]) * eps) / math.sqrt(abar[t])).clamp(-1, 1)
            mean = math.sqrt(abar[t - 1]) * beta / (1 - abar[t]) * x_0 + math.sqrt(alpha) * (1 - abar[t - 1]) / (1 - abar[t]) * x
        else:
            mean = (x - beta / math.sqrt(1 - abar[t]) * eps) / math.sqrt(alpha)
        beta_tilde = (1 - abar[t - 1]) / (1 - abar[t]) * beta
        x = mean + math.sqrt(beta_tilde) * rng.normal(2).to(x) if t > 1 else mean
    return x


@pytest.mark.parametrize("make", [Gaussian, TwoPeaks])
@pytest.mark.parametrize("clip", [True, False], ids=["clamped", "free"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)], ids=["float32", "float64"])
@pytest.mark.parametrize("scheduler", [Cosine(T=50), Linear(T=100, beta_1=1e-3, beta_T=0.2)], ids=["cosine", "linear"])
def test_eta_1_is_algorithm_2_of_ho_et_al(
    make: type[Gaussian], clip: bool, dtype: torch.dtype, tolerance: float, scheduler: Linear | Cosine
) -> None:
    model = make(scheduler, dtype, bounds=(-1.0, 1.0))
    ours = sample(Ancestral(steps=scheduler.T, clip=clip), model, n=64)
    theirs = algorithm_2(model, scheduler, ImageRng(0, range(64)), clip)
    assert ours.dtype == dtype
    assert (ours - theirs).abs().max() <= tolerance
    assert theirs.abs().max() <= 1 if clip else theirs.abs().max() > 1


def eq_12(model: Gaussian, abar: list[float], rng: Rng, eta: float) -> Tensor:
    """Song et al. 2021, eq. 12 with sigma of eq. 16, along the levels ``abar``, of which the last is 1."""
    x = rng.normal(2).to(model.dtype)
    for now, then in pairwise(abar):
        sigma = eta * math.sqrt((1 - then) / (1 - now)) * math.sqrt(1 - now / then)
        eps = eps_theta(model, x, math.sqrt((1 - now) / now))
        predicted_x_0 = (x - math.sqrt(1 - now) * eps) / math.sqrt(now)
        x = math.sqrt(then) * predicted_x_0 + math.sqrt(1 - then - sigma**2) * eps
        x = x + sigma * rng.normal(2).to(x) if sigma else x
    return x


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("steps", [10, 50])
def test_any_eta_is_eq_12_of_song_et_al(eta: float, steps: int) -> None:
    model = TwoPeaks(dtype=torch.float64)
    sampler = Ancestral(steps=steps, eta=eta)
    sigmas = sampler.noise_levels(model, None)
    expected = eq_12(model, [1 / (1 + sigma**2) for sigma in sigmas], ImageRng(0, range(16)), eta)
    assert (sample(sampler, model) - expected).abs().max() <= 1e-10


# Closed forms


def flow(x: Tensor, sigma: float, to: float = 0.0) -> Tensor:
    """The solution of the probability-flow ODE dx/dsigma = (x - D(x, sigma)) / sigma of the Gaussian."""
    return MU + (x - MU) * math.sqrt((S**2 + to**2) / (S**2 + sigma**2))


def test_eta_0_converges_to_the_ode_at_order_1() -> None:
    model = Gaussian(dtype=torch.float64, sigma_range=(1e-4, 80.0))
    x = model.start(ImageRng(0, range(8)), 80.0)
    errors = []
    for steps in (50, 100, 200, 400):
        sampler = Ancestral(steps=steps, eta=0.0)
        got = sampler(model, ImageRng(0, range(8)), sigmas=sampler.noise_levels(model, Karras()), x=x)
        errors.append((got - flow(x, 80.0)).abs().max().item())
    assert errors[-1] < 0.02
    for coarse, fine in pairwise(errors):
        assert math.log2(coarse / fine) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_samples_have_the_mean_and_the_spread_of_the_data(eta: float) -> None:
    sampler = Ancestral(steps=300, eta=eta)
    x = sampler(Gaussian(Linear(T=1000)), StepRng(0, 0, 10_000)).double()
    n = x.numel()
    assert x.mean().item() == pytest.approx(MU, abs=5 * S / math.sqrt(n) + 0.005)
    assert x.std().item() == pytest.approx(S, abs=5 * S / math.sqrt(2 * n) + 0.01)


# The range of the data


def test_samples_on_2d_data_are_not_clipped() -> None:
    clipped = sample(Ancestral(), Gaussian(), n=64)
    assert torch.equal(clipped, sample(Ancestral(clip=False), Gaussian(), n=64))
    assert clipped.abs().max() > 1


def test_samples_of_images_are_clipped_unless_told_otherwise() -> None:
    model = Gaussian(bounds=(-1.0, 1.0))
    assert sample(Ancestral(), model, n=64).abs().max() <= 1
    assert sample(Ancestral(clip=False), model, n=64).abs().max() > 1


def test_the_range_is_that_of_the_event() -> None:
    x = sample(Ancestral(), Gaussian(bounds=(0.0, 0.25)), n=64)
    assert (x.min().item(), x.max().item()) == (0.0, 0.25)


# The walk


def test_on_step_sees_every_level_and_what_is_returned() -> None:
    trace: list[tuple[int, float, Tensor, Tensor]] = []
    model, sampler = Gaussian(bounds=(-1.0, 1.0)), Ancestral(steps=7)
    x = sample(sampler, model, on_step=lambda *seen: trace.append(seen))
    sigmas = sampler.noise_levels(model, None)
    assert [step for step, *_ in trace] == list(range(8))
    assert tuple(sigma for _, sigma, *_ in trace) == sigmas
    assert torch.equal(trace[0][2], model.start(ImageRng(0, range(16)), sigmas[0]))
    for _, sigma, state, x_0 in trace[:-1]:
        expected = model.denoise(state, torch.full((16,), sigma, dtype=torch.float64)).clamp(-1, 1)
        assert torch.equal(x_0, expected)
    assert torch.equal(trace[-1][2], x)
    assert torch.equal(trace[-1][3], x)


def test_watching_changes_nothing() -> None:
    assert torch.equal(sample(Ancestral(), Gaussian()), sample(Ancestral(), Gaussian(), on_step=lambda *seen: None))


@pytest.mark.parametrize("steps", [1, 7, 50, 80])
def test_a_step_is_one_pass_through_the_net(steps: int) -> None:
    model = Gaussian()
    sample(Ancestral(steps=steps), model)
    assert model.calls == steps


def test_one_step_is_the_estimate_of_the_clean_sample() -> None:
    model = Gaussian()
    x = model.start(ImageRng(0, range(16)), model.sigma_range[1])
    expected = model.denoise(x, torch.full((16,), model.sigma_range[1], dtype=torch.float64))
    torch.testing.assert_close(sample(Ancestral(steps=1), model), expected)


class Counted(ImageRng):
    """Counts the draws."""

    draws = 0

    def normal(self, *shape: int) -> Tensor:
        self.draws += 1
        return super().normal(*shape)


@pytest.mark.parametrize(("eta", "draws"), [(0.0, 1), (1.0, 7)])
def test_noise_is_drawn_once_at_the_start_and_once_between_levels(eta: float, draws: int) -> None:
    """What is drawn for an image is part of its seed's meaning: a draw that is not used would change nothing now and everything later."""
    rng = Counted(0, range(4))
    Ancestral(steps=7, eta=eta)(Gaussian(), rng)
    assert rng.draws == draws


def test_eta_0_draws_no_noise_after_the_start() -> None:
    model = Gaussian()
    x = model.start(ImageRng(0, range(4)), model.sigma_range[1])
    kept = x.clone()
    one, other = (Ancestral(eta=0.0)(model, ImageRng(seed, range(4)), x=x) for seed in (1, 2))
    assert torch.equal(one, other)
    assert torch.equal(x, kept)
    assert not torch.equal(*(Ancestral(eta=1.0)(model, ImageRng(seed, range(4)), x=x) for seed in (1, 2)))


def test_image_i_does_not_depend_on_batch_size() -> None:
    together = sample(Ancestral(), TwoPeaks(), n=9)
    model = TwoPeaks()
    for rows in (range(3, 4), range(2, 8)):
        apart = Ancestral()(model, ImageRng(0, rows), sigmas=Ancestral().noise_levels(model, None))
        assert torch.equal(apart, together[rows.start : rows.stop])


def test_labels_reach_the_model() -> None:
    x = sample(Ancestral(), Gaussian(), n=400, labels=torch.arange(400) % 2 * 4)
    assert (x[1::2].mean() - x[::2].mean()).item() == pytest.approx(4, abs=0.3)


def test_the_levels_are_the_models_own_unless_told_otherwise() -> None:
    model = Gaussian()
    assert Ancestral(steps=50).noise_levels(model, None) == (*reversed(Cosine(T=50).levels), 0.0)
    assert Ancestral(steps=9).noise_levels(model, Karras()) == Karras().sigmas(9, *model.sigma_range)
    assert torch.equal(Ancestral()(model, ImageRng(0, range(4))), sample(Ancestral(), model, n=4))


@pytest.mark.parametrize("narrow", [torch.bfloat16, torch.float16])
def test_the_state_is_float32_however_narrow_its_beginning(narrow: torch.dtype) -> None:
    model, dtypes = Gaussian(dtype=torch.float32, sigma_range=(0.01, 100.0)), set()
    x = model.start(ImageRng(0, range(4)), 100.0).to(narrow)
    got = Ancestral(eta=0.0)(model, ImageRng(0, range(4)), x=x, on_step=lambda step, sigma, x, x_0: dtypes.add(x.dtype))
    assert dtypes == {torch.float32}
    assert torch.equal(got, Ancestral(eta=0.0)(model, ImageRng(0, range(4)), x=x.float()))


@pytest.mark.parametrize(
    "make", [lambda: Ancestral(steps=0), lambda: Ancestral(eta=1.1), lambda: Ancestral(eta=math.nan), lambda: Latent(temperature=-1.0)]
)
def test_options_out_of_range_are_refused(make: Callable[[], object]) -> None:
    with pytest.raises(ConfigError):
        make()


# Guidance


def test_scale_0_ignores_the_label_and_scale_1_is_the_conditional_model() -> None:
    model, labels = Gaussian(dtype=torch.float64), torch.arange(16) % 3
    x, sigma = model.start(ImageRng(0, range(16)), 2.0), torch.full((16,), 2.0, dtype=torch.float64)
    free, told = model.denoise(x, sigma), model.denoise(x, sigma, labels)
    assert torch.equal(Guided(model, 0.0).denoise(x, sigma, labels), free)
    torch.testing.assert_close(Guided(model, 1.0).denoise(x, sigma, labels), told)
    torch.testing.assert_close(Guided(model, 3.0).denoise(x, sigma, labels), 3 * told - 2 * free)


def test_guidance_is_a_denoiser_like_any_other() -> None:
    model, labels = Gaussian(), torch.ones(16, dtype=torch.int64)
    guided = Guided(model, 1.0)
    assert (guided.event, guided.sigma_range, guided.scheduler) == (model.event, model.sigma_range, model.scheduler)
    sampler = Ancestral(eta=0.0)
    got = sampler(guided, ImageRng(0, range(16)), sigmas=sampler.noise_levels(guided, None), labels=labels)
    torch.testing.assert_close(got, sample(sampler, model, labels=labels), atol=1e-4, rtol=1e-4)


def test_guidance_without_labels_is_refused() -> None:
    with pytest.raises(UsageError, match="needs labels"):
        Guided(Gaussian(), 2.0).denoise(torch.zeros(1, 2), torch.ones(1, dtype=torch.float64))


# Decoders


def test_the_latent_sampler_decodes_the_prior_scaled_by_its_temperature() -> None:
    model, labels = Fake(FakeConfig()), torch.arange(4) % 3
    z = model.prior(ImageRng(0, range(4)))
    assert torch.equal(Latent()(model, ImageRng(0, range(4)), labels=labels), model.decode(z, labels))
    assert torch.equal(Latent(temperature=0.5)(model, ImageRng(0, range(4)), labels=labels), model.decode(z / 2, labels))
    assert torch.equal(Latent(temperature=0.0)(model, ImageRng(0, range(4))), model.decode(torch.zeros(4, 2)))


def test_the_latent_sampler_takes_latents_and_shows_its_one_step() -> None:
    model, z = Fake(FakeConfig()), torch.ones(4, 2)
    trace: list[tuple[int, float, Tensor, Tensor]] = []
    x = Latent(temperature=0.5)(model, ImageRng(0, range(4)), x=z, on_step=lambda *seen: trace.append(seen))
    assert torch.equal(x, model.decode(z))
    ((step, sigma, state, x_0),) = trace
    assert (step, sigma) == (0, 0.0)
    assert state is x
    assert x_0 is x


def test_the_latent_sampler_has_no_noise_levels() -> None:
    model = Fake(FakeConfig())
    assert Latent().noise_levels(model, None) == ()
    with pytest.raises(UsageError, match="no noise levels"):
        Latent().noise_levels(model, Karras())


def test_no_two_levels_have_a_negative_variance_by_rounding() -> None:
    draw = random.Random(0)
    for _ in range(200):
        low, high = sorted(10 ** draw.uniform(-8, 8) for _ in range(2))
        x = Ancestral()(Gaussian(), ImageRng(0, [0]), sigmas=(high, low, 0.0))
        assert x.isfinite().all()
