"""Noise levels: the papers' own formulas, exact trained levels, and what every scheduler promises."""

import math
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from zoo_core.errors import ConfigError
from zoo_core.interfaces import DiscreteScheduler, Scheduler
from zoo_core.schedulers import Cosine, Geometric, Karras, Levels, Linear, fractional_time

DISCRETE = st.builds(Cosine, T=st.integers(2, 300), s=st.floats(0, 1)) | st.builds(
    Linear, T=st.integers(2, 300), beta_1=st.floats(1e-6, 0.01), beta_T=st.floats(0.01, 0.1)
)
SCHEDULERS = DISCRETE | st.builds(Karras, rho=st.floats(0.5, 20)) | st.just(Geometric())
PAPERS = [Linear(), Linear(T=50), Cosine(), Cosine(T=1000), Cosine(T=4000), Linear(T=2), Cosine(T=2), Linear(T=1), Cosine(T=1)]


def full(scheduler: DiscreteScheduler) -> tuple[float, float]:
    return scheduler.levels[0], scheduler.levels[-1]


# The papers' formulas, written out


def test_linear_is_that_of_ho_et_al() -> None:
    """Section 4: T = 1000, beta_1 = 1e-4 to beta_T = 0.02 evenly; eq. 4: abar_t is the product of the alpha_s = 1 - beta_s."""
    betas = [1e-4 + (0.02 - 1e-4) * i / 999 for i in range(1000)]
    for t in (1, 2, 500, 1000):
        expected = math.prod(1 - beta for beta in betas[:t])
        assert Linear().alpha_bars[t - 1] == pytest.approx(expected, rel=1e-12)
    assert Linear().alpha_bars[-1] == pytest.approx(4.036e-5, rel=1e-3)
    assert Linear(T=3, beta_1=0.1, beta_T=0.3).alpha_bars == pytest.approx((0.9, 0.9 * 0.8, 0.9 * 0.8 * 0.7), rel=1e-12)
    assert Linear(T=1, beta_1=0.5).alpha_bars == (0.5,)


@pytest.mark.parametrize(("T", "s"), [(50, 0.008), (1000, 0.008), (4000, 0.008), (10, 0.0)])
def test_cosine_is_that_of_nichol_and_dhariwal(T: int, s: float) -> None:
    """Eq. 17 and below it: abar_t = f(t)/f(0), beta_t = 1 - abar_t/abar_(t-1) clipped to 0.999."""
    f = [math.cos((t / T + s) / (1 + s) * math.pi / 2) ** 2 for t in range(T + 1)]
    abar = [value / f[0] for value in f]
    betas = [min(1 - abar[t] / abar[t - 1], 0.999) for t in range(1, T + 1)]
    expected = [math.prod(1 - beta for beta in betas[:t]) for t in range(1, T + 1)]
    assert Cosine(T=T, s=s).alpha_bars == pytest.approx(expected, rel=1e-9)
    # Only the last step is clipped; before it, abar is the formula itself.
    assert Cosine(T=T, s=s).alpha_bars[:-1] == pytest.approx(abar[1:-1], rel=1e-9)


def test_the_course_schedule_reaches_a_thousand() -> None:
    assert Cosine(T=50).levels[-1] == pytest.approx(1015, abs=1)


@pytest.mark.parametrize("scheduler", PAPERS, ids=repr)
def test_sigma_is_the_ratio_of_noise_to_signal(scheduler: Linear | Cosine) -> None:
    """x_t = sqrt(abar) x_0 + sqrt(1 - abar) eps = sqrt(abar) (x_0 + sigma eps)."""
    assert len(scheduler.levels) == scheduler.T
    for sigma, abar in zip(scheduler.levels, scheduler.alpha_bars, strict=True):
        assert math.sqrt(abar) * sigma == pytest.approx(math.sqrt(1 - abar), rel=1e-9)
        assert 1 / math.sqrt(1 + sigma**2) == pytest.approx(math.sqrt(abar), rel=1e-9)


def test_karras_is_that_of_karras_et_al() -> None:
    """Eq. 5 with the paper's sigma_min = 0.002, sigma_max = 80, rho = 7, N = 18."""
    N, rho, lo, hi = 18, 7, 0.002, 80
    expected = [(hi ** (1 / rho) + i / (N - 1) * (lo ** (1 / rho) - hi ** (1 / rho))) ** rho for i in range(N)]
    sigmas = Karras().sigmas(N, lo, hi)
    assert sigmas[:-1] == pytest.approx(expected, rel=1e-12)
    assert (sigmas[0], sigmas[-2], sigmas[-1]) == (hi, lo, 0.0)


def test_karras_with_rho_1_is_even() -> None:
    assert Karras(rho=1.0).sigmas(5, 1.0, 5.0) == pytest.approx((5, 4, 3, 2, 1, 0))


def test_geometric_is_that_of_song_and_ermon() -> None:
    """Section 3.2: sigma_1/sigma_2 = ... = sigma_(L-1)/sigma_L > 1; section 5: L = 10 from 1 to 0.01."""
    sigmas = Geometric().sigmas(10, 0.01, 1.0)
    assert [a / b for a, b in pairwise(sigmas[:-1])] == pytest.approx([100 ** (1 / 9)] * 9)
    assert (sigmas[0], sigmas[-2], sigmas[-1]) == (1.0, 0.01, 0.0)


def test_karras_tends_to_geometric_as_rho_grows() -> None:
    coarse, fine = (Karras(rho=rho).sigmas(9, 0.01, 50.0)[4] / Geometric().sigmas(9, 0.01, 50.0)[4] for rho in (20.0, 100.0))
    assert 1 < fine < coarse
    assert fine == pytest.approx(1, abs=0.1)


@settings(max_examples=100)
@given(st.sampled_from([Geometric(), Karras()]), st.integers(2, 100), st.floats(1e-4, 1e3), st.floats(1.01, 1e6))
def test_levels_between_any_two_begin_and_end_exactly_there(scheduler: Scheduler, steps: int, lo: float, ratio: float) -> None:
    sigmas = scheduler.sigmas(steps, lo, lo * ratio)
    assert (sigmas[0], *sigmas[-2:]) == (lo * ratio, lo, 0.0)


# The trained levels


@pytest.mark.parametrize("scheduler", PAPERS, ids=repr)
def test_as_many_steps_as_levels_are_exactly_the_trained_levels(scheduler: Linear | Cosine) -> None:
    assert scheduler.sigmas(scheduler.T, *full(scheduler)) == (*reversed(scheduler.levels), 0.0)


@settings(max_examples=50)
@given(DISCRETE)
def test_as_many_steps_as_levels_are_exactly_the_levels_of_any_schedule(scheduler: Linear | Cosine) -> None:
    assert scheduler.sigmas(scheduler.T, *full(scheduler)) == (*reversed(scheduler.levels), 0.0)


@settings(max_examples=50)
@given(DISCRETE, st.data())
def test_fewer_steps_than_levels_are_trained_levels_from_the_first_to_the_last(scheduler: Linear | Cosine, data: st.DataObject) -> None:
    steps = data.draw(st.integers(2, scheduler.T))
    sigmas = scheduler.sigmas(steps, *full(scheduler))[:-1]
    assert set(sigmas) <= set(scheduler.levels)
    assert (sigmas[-1], sigmas[0]) == full(scheduler)


def test_fewer_steps_are_evenly_spaced_in_time() -> None:
    levels = Cosine(T=50).levels
    times = [levels.index(sigma) + 1 for sigma in Cosine(T=50).sigmas(8, *full(Cosine(T=50)))[:-1]]
    assert times == [50, 43, 36, 29, 22, 15, 8, 1]


def test_more_steps_than_levels_lie_between_them() -> None:
    scheduler = Cosine(T=10)
    sigmas = scheduler.sigmas(19, *full(scheduler))
    assert sigmas[:-1:2] == pytest.approx(scheduler.levels[::-1], rel=1e-12)
    assert sigmas[1] == pytest.approx(math.sqrt(sigmas[0] * sigmas[2]))


@pytest.mark.parametrize("scheduler", [Linear(), Cosine(), Karras(), Geometric()], ids=repr)
def test_one_step_is_the_largest_level(scheduler: Scheduler) -> None:
    assert scheduler.sigmas(1, 0.1, 20.0) == pytest.approx((20.0, 0.0))


# What every scheduler promises


@settings(max_examples=200)
@given(SCHEDULERS, st.integers(1, 400), st.floats(1e-3, 1e3), st.floats(1.001, 1e5))
def test_levels_decrease_are_finite_within_the_range_and_end_in_zero(scheduler: Scheduler, steps: int, lo: float, ratio: float) -> None:
    hi = lo * ratio
    if isinstance(scheduler, DiscreteScheduler):
        assume(lo < scheduler.levels[-1] * 0.999 and hi > scheduler.levels[0] * 1.001)
    sigmas = scheduler.sigmas(steps, lo, hi)
    assert len(sigmas) == steps + 1
    assert sigmas[-1] == 0
    assert all(type(sigma) is float and math.isfinite(sigma) for sigma in sigmas)
    assert all(lo <= sigma <= hi for sigma in sigmas[:-1])
    assert all(a > b for a, b in pairwise(sigmas))


@pytest.mark.parametrize("scheduler", [Linear(T=1000), Cosine(T=50), Karras(), Geometric()], ids=repr)
@pytest.mark.parametrize(
    ("steps", "lo", "hi", "why"),
    [
        (0, 0.1, 1.0, "steps must be at least 1"),
        (-1, 0.1, 1.0, "steps must be at least 1"),
        (5, 0.0, 1.0, "0 < lo"),
        (5, -1.0, 1.0, "0 < lo"),
        (5, 2.0, 1.0, "lo <= hi"),
        (5, 1.0, math.inf, "hi < inf"),
        (5, math.nan, 1.0, "0 < lo"),
        (5, 1.0, math.nan, "hi < inf"),
        (5, 1.0, 1.0, "one level"),
    ],
)
def test_levels_that_cannot_be_are_refused(scheduler: Scheduler, steps: int, lo: float, hi: float, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        scheduler.sigmas(steps, lo, hi)


@pytest.mark.parametrize(("lo", "hi"), [(1e-9, 1e-8), (1e8, 1e9)])
def test_a_schedule_that_does_not_reach_into_the_models_range_is_refused(lo: float, hi: float) -> None:
    with pytest.raises(ConfigError, match="does not reach"):
        Linear().sigmas(10, lo, hi)


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: Linear(T=0), "T"),
        (lambda: Linear(T=10**9), "T"),
        (lambda: Linear(beta_1=0.0), "beta_1"),
        (lambda: Linear(beta_1=0.03), "beta_1"),
        (lambda: Linear(beta_T=1.0), "beta_T"),
        (lambda: Linear(T=100_000), "beta_T"),
        (lambda: Linear(T=2000, beta_1=0.9, beta_T=0.999), "beta_T"),
        (lambda: Cosine(T=0), "T"),
        (lambda: Cosine(s=-0.1), "s"),
        (lambda: Karras(rho=0.0), "rho"),
        (lambda: Karras(rho=math.nan), "rho"),
    ],
)
def test_options_out_of_range_are_refused_by_name(make: Callable[[], Scheduler], field: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{field}\b"):
        make()


@pytest.mark.parametrize(
    "scheduler", [Cosine(T=100_000), Cosine(T=1, s=1.0), Linear(T=6000), Linear(T=3, beta_1=1e-12, beta_T=1e-12)], ids=repr
)
def test_the_levels_of_an_extreme_schedule_still_increase_and_are_finite(scheduler: DiscreteScheduler) -> None:
    levels = scheduler.levels
    assert levels[0] > 0
    assert levels[-1] < 1e16
    assert all(a < b for a, b in pairwise(levels))


# Time


@pytest.mark.parametrize("scheduler", PAPERS, ids=repr)
def test_time_is_exact_on_every_level(scheduler: DiscreteScheduler) -> None:
    levels = scheduler.levels
    assert [fractional_time(levels, sigma) for sigma in levels] == list(range(1, len(levels) + 1))


@settings(max_examples=100)
@given(DISCRETE, st.data())
def test_time_is_linear_in_log_sigma_between_levels(scheduler: Linear | Cosine, data: st.DataObject) -> None:
    below = data.draw(st.integers(1, scheduler.T - 1))
    fraction = data.draw(st.floats(0, 1))
    low, high = scheduler.levels[below - 1], scheduler.levels[below]
    sigma = math.exp((1 - fraction) * math.log(low) + fraction * math.log(high))
    # The levels of a fine schedule lie close together, and so a float's last digit is a larger part of a step.
    assert fractional_time(scheduler.levels, sigma) == pytest.approx(below + fraction, abs=1e-13 / math.log(high / low) + 1e-12)


@pytest.mark.parametrize("scheduler", PAPERS, ids=repr)
def test_time_is_clamped_outside_the_levels(scheduler: DiscreteScheduler) -> None:
    lo, hi = full(scheduler)
    assert {fractional_time(scheduler.levels, sigma) for sigma in (0.0, lo / 2)} == {1}
    assert {fractional_time(scheduler.levels, sigma) for sigma in (hi * 2, math.inf)} == {len(scheduler.levels)}


@pytest.mark.parametrize("made", [Karras, Geometric])
def test_bounds_narrow_the_range_of_the_model_and_widen_nothing(made: type[Karras] | type[Geometric]) -> None:
    assert made(sigma_min=0.1, sigma_max=20.0).sigmas(7, 0.01, 500.0) == made().sigmas(7, 0.1, 20.0)
    assert made(sigma_max=20.0).sigmas(7, 0.01, 500.0) == made().sigmas(7, 0.01, 20.0)
    assert made(sigma_min=0.1, sigma_max=20.0).sigmas(7, 0.5, 5.0) == made().sigmas(7, 0.5, 5.0)
    with pytest.raises(ConfigError, match=r"sigma_max 0.001 is out of the range .* -- choose one in \[0.01, 500\]"):
        made(sigma_max=0.001).sigmas(7, 0.01, 500.0)
    with pytest.raises(ConfigError, match=r"sigma_max must be in"):
        made(sigma_max=-1.0)


def test_a_list_of_levels_is_given_back_and_interpolated_in_the_logarithm_for_other_numbers_of_steps() -> None:
    given = Levels(levels=(64.0, 4.0, 1.0))
    assert given.sigmas(3, 0.01, 80.0) == (64.0, 4.0, 1.0, 0.0)
    assert given.sigmas(5, 0.01, 80.0) == pytest.approx((64.0, 16.0, 4.0, 2.0, 1.0, 0.0))
    assert given.sigmas(2, 0.01, 80.0) == pytest.approx((64.0, 1.0, 0.0))
    assert given.sigmas(1, 0.01, 80.0) == (64.0, 0.0)


@pytest.mark.parametrize("levels", [(), (1.0, 1.0), (1.0, 2.0), (2.0, 0.0)])
def test_a_list_that_does_not_decrease_is_refused(levels: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError, match=r"^levels must be"):
        Levels(levels=levels)


@pytest.mark.parametrize(("lo", "hi"), [(0.01, 50.0), (1.5, 80.0)])
def test_a_list_beyond_the_models_levels_is_refused(lo: float, hi: float) -> None:
    with pytest.raises(ConfigError, match=r"levels 64 \.\.\. 1 are out of the range"):
        Levels(levels=(64.0, 4.0, 1.0)).sigmas(3, lo, hi)
