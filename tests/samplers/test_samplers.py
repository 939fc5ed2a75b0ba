"""Samplers against the papers' own algorithms, and against the closed forms that a Gaussian has."""

import math
import random
from collections.abc import Callable
from itertools import pairwise
from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from zoo_core.errors import ConfigError
from zoo_core.interfaces import DiscreteScheduler, Event, Rng, Sampler, Scheduler
from zoo_core.rng import ImageRng, StepRng
from zoo_core.samplers import Ancestral, DPMSolver2M, Heun, Langevin, Latent, PredictorCorrector
from zoo_core.schedulers import Cosine, Geometric, Karras, Linear
from zoo_core.testing.gaussian_mixture import GaussianMixture

MU, S = 0.3, 0.5
Variance = Literal["small", "large"]


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


def sample(sampler: Sampler, model: Gaussian, n: int = 16, seed: int = 0, **options: object) -> Tensor:
    return sampler(model, ImageRng(seed, range(n)), sigmas=sampler.noise_levels(model, None), **options)  # type: ignore[arg-type]


# The papers' algorithms, in the papers' coordinates


def eps_theta(model: Gaussian, x_t: Tensor, sigma: float) -> Tensor:
    """The noise that the paper's net predicts in x_t = x_sigma / sqrt(1 + sigma^2)."""
    x = x_t * math.sqrt(1 + sigma**2)
    return (x - model.denoise(x, torch.full((len(x),), sigma, dtype=torch.float64))) / sigma


def algorithm_2(model: Gaussian, scheduler: Linear | Cosine, rng: Rng, clip: bool, variance: str) -> Tensor:
    """Ho et al. 2020, Algorithm 2, with sigma_t^2 = beta-tilde_t or beta_t; with the clamp, the mean is eq. 7 in the clamped x_0."""
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
        sigma_t = math.sqrt({"small": (1 - abar[t - 1]) / (1 - abar[t]) * beta, "large": beta}[variance])
        x = mean + sigma_t * rng.normal(2).to(x) if t > 1 else mean
    return x


@pytest.mark.parametrize("make", [Gaussian, TwoPeaks])
@pytest.mark.parametrize("clip", [True, False], ids=["clamped", "free"])
@pytest.mark.parametrize(
    ("variance", "dtype", "tolerance"),
    [("small", torch.float32, 1e-5), ("small", torch.float64, 1e-10), ("large", torch.float64, 1e-10)],
    ids=["small float32", "small float64", "large float64"],
)
@pytest.mark.parametrize("scheduler", [Cosine(T=50), Linear(T=100, beta_1=1e-3, beta_T=0.2)], ids=["cosine", "linear"])
def test_eta_1_is_algorithm_2_of_ho_et_al(
    make: type[Gaussian], clip: bool, variance: Variance, dtype: torch.dtype, tolerance: float, scheduler: Linear | Cosine
) -> None:
    model = make(scheduler, dtype, bounds=(-1.0, 1.0))
    ours = sample(Ancestral(steps=scheduler.T, clip=clip, variance=variance), model, n=64)
    theirs = algorithm_2(model, scheduler, ImageRng(0, range(64)), clip, variance)
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


def D(model: Gaussian, x: Tensor, sigma: float) -> Tensor:
    return model.denoise(x, torch.full((len(x),), sigma, dtype=torch.float64))


def algorithm_2_of_edm(model: Gaussian, t: list[float], rng: Rng, S_churn: float, S_min: float, S_max: float, S_noise: float) -> Tensor:
    """Karras et al. 2022, Algorithm 2, line by line; Algorithm 1 where S_churn is 0, but for its noise, which is then multiplied by 0."""
    N = len(t) - 1
    x = model.start(rng, t[0])
    for i in range(N):
        gamma = min(S_churn / N, math.sqrt(2) - 1) if S_min <= t[i] <= S_max else 0.0
        eps = S_noise * rng.normal(2).to(x) if gamma else torch.zeros_like(x)
        t_hat = t[i] + gamma * t[i]
        x_hat = x + math.sqrt(t_hat**2 - t[i] ** 2) * eps
        d = (x_hat - D(model, x_hat, t_hat)) / t_hat
        x = x_hat + (t[i + 1] - t_hat) * d
        if t[i + 1] != 0:
            d_prime = (x - D(model, x, t[i + 1])) / t[i + 1]
            x = x_hat + (t[i + 1] - t_hat) * (0.5 * d + 0.5 * d_prime)
    return x


@pytest.mark.parametrize(
    ("churn", "low", "high", "noise"),
    [(0.0, 0.0, math.inf, 1.0), (4.0, 0.0, 60.0, 1.0), (2.0, 0.1, 20.0, 1.007), (100.0, 0.5, 60.0, 1.0)],
    ids=["algorithm 1", "churn", "bounds", "capped"],
)
def test_heun_is_algorithm_2_of_karras_et_al(churn: float, low: float, high: float, noise: float) -> None:
    model = TwoPeaks(dtype=torch.float64, sigma_range=(0.02, 80.0))
    sigmas = Karras().sigmas(9, 0.02, 80.0)
    heun = Heun(churn=churn, churn_min=low, churn_max=None if high == math.inf else high, churn_noise=noise)
    ours = heun(model, ImageRng(0, range(16)), sigmas=sigmas)
    theirs = algorithm_2_of_edm(model, list(sigmas), ImageRng(0, range(16)), churn, low, high, noise)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)


def algorithm_2_of_dpm_solver(model: Gaussian, levels: list[float], rng: Rng) -> Tensor:
    """Lu et al. 2022, Algorithm 2 (DPM-Solver++(2M)), in lambda_t = log(alpha_t / sigma_t) with alpha_t = 1, down to the last level."""
    alpha, sigma = [1.0] * len(levels), levels
    lambda_ = [math.log(a / s) for a, s in zip(alpha, sigma, strict=True)]
    h = [math.nan, *(b - a for a, b in pairwise(lambda_))]
    x = model.start(rng, sigma[0])
    Q = [D(model, x, sigma[0])]
    x = sigma[1] / sigma[0] * x - alpha[1] * math.expm1(-h[1]) * Q[0]
    for i in range(2, len(levels)):
        Q.append(D(model, x, sigma[i - 1]))
        r = h[i - 1] / h[i]
        D_i = (1 + 1 / (2 * r)) * Q[i - 1] - 1 / (2 * r) * Q[i - 2]
        x = sigma[i] / sigma[i - 1] * x - alpha[i] * math.expm1(-h[i]) * D_i
    return x


def test_dpm_solver_is_algorithm_2_of_lu_et_al_and_ends_with_the_estimate_at_the_last_level() -> None:
    model = TwoPeaks(dtype=torch.float64)
    sigmas = Karras().sigmas(8, 0.05, 80.0)
    states: list[Tensor] = []
    ours = DPMSolver2M()(model, ImageRng(0, range(16)), sigmas=sigmas, on_step=lambda i, sigma, x, x_0: states.append(x))
    theirs = algorithm_2_of_dpm_solver(model, list(sigmas[:-1]), ImageRng(0, range(16)))
    torch.testing.assert_close(states[-2], theirs, rtol=0, atol=1e-10)
    torch.testing.assert_close(ours, D(model, theirs, 0.05), rtol=0, atol=1e-10)


def test_langevin_is_algorithm_1_of_song_and_ermon() -> None:
    """Written once more as loops over numbers, with the score of a mixture in one dimension and the paper's eps = step * sigma_L^2."""
    model = GaussianMixture((0.3, 0.7), ((-1.0,), (2.0,)), (0.5, 0.4), sigma_range=(0.1, 5.0))
    sigmas, T, step, n = Geometric().sigmas(5, 0.1, 5.0), 3, 0.3, 4
    rng = ImageRng(0, range(n))
    x = model.start(rng, 5.0).double().numpy()[:, 0]

    def score(x: float, sigma: float) -> float:
        p = [w * math.exp(-((x - m) ** 2) / (2 * (s**2 + sigma**2))) / math.sqrt(s**2 + sigma**2) for w, (m,), s in parts]
        return -sum(p_k * (x - m) / (s**2 + sigma**2) for p_k, (_, (m,), s) in zip(p, parts, strict=True)) / sum(p)

    parts = list(zip(model.weights, model.means, model.stds, strict=True))
    eps = step * sigmas[-2] ** 2
    for sigma in sigmas[:-1]:
        alpha = eps * sigma**2 / sigmas[-2] ** 2
        for _ in range(T):
            z = rng.normal(1).double().numpy()[:, 0]
            x = np.array([x_j + alpha / 2 * score(x_j, sigma) + math.sqrt(alpha) * z_j for x_j, z_j in zip(x, z, strict=True)])
    start = model.start(ImageRng(0, range(n)), 5.0)
    rng = ImageRng(0, range(n))
    rng.normal(1)
    ours = Langevin(steps_per_level=T, step=step, denoise=False)(model, rng, sigmas=sigmas, x=start.double())
    np.testing.assert_allclose(ours.numpy()[:, 0], x, rtol=1e-9, atol=1e-9)
    rng = ImageRng(0, range(n))
    rng.normal(1)
    denoised = Langevin(steps_per_level=T, step=step)(model, rng, sigmas=sigmas, x=start.double())
    np.testing.assert_allclose(denoised.numpy()[:, 0], x + 0.1**2 * np.array([score(x_j, 0.1) for x_j in x]), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("predictor", ["ancestral", "reverse-diffusion"])
@pytest.mark.parametrize("M", [0, 1, 3])
def test_predictor_corrector_is_algorithm_2_of_song_et_al(predictor: str, M: int) -> None:
    """Algorithms 2 and 4 with eqs. 46 and 47, in scores; the norms of Algorithm 4 at |z| = sqrt(d), |s| = sqrt(d) / sigma."""
    model, r = TwoPeaks(dtype=torch.float64), 0.2
    sigmas = Geometric().sigmas(6, 0.05, 30.0)
    rng = ImageRng(0, range(16))
    x = model.start(rng, 30.0)

    def score(x: Tensor, sigma: float) -> Tensor:
        return (D(model, x, sigma) - x) / sigma**2

    for then, now in pairwise(sigmas):
        x = x + (then**2 - now**2) * score(x, then)
        if now > 0:
            g = math.sqrt(then**2 - now**2) if predictor == "reverse-diffusion" else math.sqrt(now**2 * (then**2 - now**2) / then**2)
            x = x + g * rng.normal(2).to(x)
            for _ in range(M):
                eps = 2 * (r * math.sqrt(2) / (math.sqrt(2) / now)) ** 2
                x = x + eps * score(x, now) + math.sqrt(2 * eps) * rng.normal(2).to(x)
    ours = PredictorCorrector(corrections=M, snr=r, predictor=predictor)(model, ImageRng(0, range(16)), sigmas=sigmas)  # type: ignore[arg-type]
    torch.testing.assert_close(ours, x, rtol=0, atol=1e-10)


def test_the_correctors_step_is_that_of_algorithm_4_where_all_of_the_noise_can_be_seen() -> None:
    """2 (r |z| / |s|)^2 with norms that are means over a batch of 3072 dimensions, around data much narrower than sigma."""
    r, sigma, d = 0.16, 0.5, 3072
    rng = ImageRng(0, range(16))
    z, eps = rng.normal(d).double(), rng.normal(d).double()
    s = -(sigma * eps) / (sigma**2 + 0.01**2)
    papers = 2 * (r * z.norm(dim=1).mean() / s.norm(dim=1).mean()) ** 2
    assert papers.item() == pytest.approx(2 * r**2 * sigma**2, rel=0.02)


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


@pytest.mark.parametrize(
    "sampler", [Heun(steps=60, churn=20.0), Heun(steps=40), DPMSolver2M(steps=60), PredictorCorrector(steps=150)], ids=repr
)
def test_other_samplers_have_the_mean_and_the_spread_of_the_data(sampler: Sampler) -> None:
    x = sampler(Gaussian(sigma_range=(0.01, 80.0)), StepRng(0, 0, 10_000), sigmas=Karras().sigmas(sampler.steps, 0.01, 80.0)).double()  # type: ignore[attr-defined]
    assert x.mean().item() == pytest.approx(MU, abs=0.02)
    assert x.std().item() == pytest.approx(S, rel=0.04)


@pytest.mark.parametrize("step", [0.2, 1.0, 3.0])
def test_langevin_settles_at_the_spread_that_its_step_allows(step: float) -> None:
    """Around one point, x - mu is an autoregression whose standard deviation tends to sigma / sqrt(1 - step/4)."""
    model = GaussianMixture((1.0,), ((MU, MU),), (1e-6,))
    sampler = Langevin(steps=1, steps_per_level=100, step=step, denoise=False)
    x = sampler(model, StepRng(0, 0, 10_000), sigmas=(2.0, 0.0)).double()
    assert x.std().item() == pytest.approx(2 / math.sqrt(1 - step / 4), rel=0.02)
    denoised = Langevin(steps=1, steps_per_level=100, step=step)(model, StepRng(0, 0, 100), sigmas=(2.0, 0.0))
    assert (denoised - MU).abs().max() < 1e-4


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


def test_no_two_levels_have_a_negative_variance_by_rounding() -> None:
    draw = random.Random(0)
    for _ in range(200):
        low, high = sorted(10 ** draw.uniform(-8, 8) for _ in range(2))
        x = Ancestral()(Gaussian(), ImageRng(0, [0]), sigmas=(high, low, 0.0))
        assert x.isfinite().all()
