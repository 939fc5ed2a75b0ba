"""Properties of every registered sampler, and of the sampler that decodes latents."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from zoo_core.errors import ConfigError, UsageError
from zoo_core.interfaces import Sampler
from zoo_core.rng import ImageRng
from zoo_core.samplers import (
    Ancestral,
    DPMSolver2M,
    Heun,
    Inpainted,
    Langevin,
    Latent,
    LinearMultistep,
    PredictorCorrector,
    SDEDPMSolver2M,
    UniPC,
)
from zoo_core.samplers.factory import as_sampler
from zoo_core.schedulers import Geometric, Karras
from zoo_core.testing.fake import Fake, FakeDenoiser
from zoo_core.testing.fake_config import FakeConfig, FakeDenoiserConfig
from zoo_core.testing.gaussian_mixture import GaussianMixture, mixture, names, passes

SAMPLERS, _ = names()


def few(name: str, **options: Any) -> Sampler:
    return as_sampler({"name": name, "steps": 6, **options})


Seen = tuple[int, float, Tensor, Tensor]


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_shows_every_level_and_changes_nothing_that_it_has_shown_or_was_given(name: str) -> None:
    trace: list[tuple[Seen, Tensor, Tensor]] = []
    model, sampler = mixture(), few(name)
    x = model.start(ImageRng(1, range(4)), model.sigma_range[1])
    kept = x.clone()
    got = sampler(model, ImageRng(0, range(4)), x=x, on_step=lambda *seen: trace.append((seen, seen[2].clone(), seen[3].clone())))
    sigmas = sampler.noise_levels(model, None)
    assert torch.equal(x, kept)
    assert torch.equal(trace[0][0][2], x)
    assert [(step, sigma) for (step, sigma, *_), *_ in trace] == list(enumerate(sigmas))
    for (_, sigma, state, x_0), state_then, x_0_then in trace:
        assert torch.equal(state, state_then)
        assert torch.equal(x_0, x_0_then)
        expected = model.denoise(state, torch.full((4,), sigma, dtype=torch.float64)) if sigma else got
        assert torch.equal(x_0, expected)
    assert torch.equal(trace[-1][0][2], got)
    assert torch.equal(got, sampler(model, ImageRng(0, range(4)), x=x))


@pytest.mark.parametrize("name", SAMPLERS)
def test_image_i_of_every_sampler_does_not_depend_on_batch_size(name: str) -> None:
    together = few(name)(mixture(), ImageRng(0, range(9)))
    for rows in (range(3, 4), range(2, 8)):
        assert torch.equal(few(name)(mixture(), ImageRng(0, rows)), together[rows.start : rows.stop])


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_clips_where_it_says_so_and_has_labels_and_a_float32_state(name: str) -> None:
    model, dtypes = FakeDenoiser(FakeDenoiserConfig(bounded=True, classes=2)).requires_grad_(False), set()
    model.means.copy_(torch.tensor([[0.0], [3.0]]).expand(2, 2))
    sigmas, labels = Geometric().sigmas(6, 0.05, 20.0), torch.arange(64) % 2
    x = model.start(ImageRng(0, range(64)), 20.0).bfloat16()
    clipped = few(name, clip=True)(
        model, ImageRng(0, range(64)), sigmas=sigmas, x=x, labels=labels, on_step=lambda i, s, x, x_0: dtypes.add(x.dtype)
    )
    free = few(name, clip=False)(model, ImageRng(0, range(64)), sigmas=sigmas, x=x, labels=labels)
    assert dtypes == {torch.float32}
    assert clipped.abs().max() <= 1
    assert (free[1::2].mean() - free[::2].mean()).item() == pytest.approx(3, abs=1)


@pytest.mark.parametrize("name", SAMPLERS)
def test_dynamic_thresholding_keeps_the_range_and_the_known_part(name: str) -> None:
    model = FakeDenoiser(FakeDenoiserConfig(shape=(1, 4, 4), bounded=True)).requires_grad_(False)
    model.mean.copy_(torch.linspace(-2, 3, 16).view(1, 4, 4))
    x = model.start(ImageRng(0, range(8)), model.sigma_range[1])
    clamped, scaled = (few(name, clip=clip)(model, ImageRng(0, range(8)), x=x) for clip in (True, 0.9))
    assert scaled.abs().max() <= 1
    assert (clamped == 1).sum() > 2 * (scaled == 1).sum() > 0  # a clamp burns out what a division keeps apart
    known = torch.full((8, 1, 4, 4), 0.7)
    mask = torch.zeros(1, 4, 4)
    mask[0, :2] = 1
    filled = few(name, clip=0.9)(Inpainted(model, known, mask), ImageRng(0, range(8)), x=x)
    assert torch.equal(filled[:, :, :2], known[:, :, :2])


PASSES = {
    "dpmpp-2m": "N",
    "dpmpp-2m-sde": "N",
    "lms": "N",
    "unipc": "N",
    "ancestral": "N",
    "ddim": "N",
    "euler": "N",
    "heun": "2N - 1",
    "langevin": "5N + 1",
    "predictor-corrector": "2N - 1",
}


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_makes_the_passes_that_it_documents(name: str) -> None:
    each, _, more = PASSES[name].partition("N")
    for N in (1, 2, 6, 11):
        assert passes(as_sampler({"name": name, "steps": N})) == int(each or 1) * N + int(more.replace(" ", "") or 0)


@pytest.mark.parametrize("name", SAMPLERS)
def test_an_unknown_option_of_every_sampler_is_refused_by_name(name: str) -> None:
    with pytest.raises(ConfigError, match="stepz"):
        as_sampler({"name": name, "stepz": 5})


class Counted(ImageRng):
    """Counts the draws."""

    draws = 0

    def normal(self, *shape: int) -> Tensor:
        self.draws += 1
        return super().normal(*shape)


@pytest.mark.parametrize("sampler", [Ancestral, SDEDPMSolver2M])
@pytest.mark.parametrize(("eta", "draws"), [(0.0, 1), (1.0, 7)])
def test_noise_is_drawn_once_at_the_start_and_once_between_levels(sampler: Any, eta: float, draws: int) -> None:
    """What is drawn for an image is part of its seed's meaning: a draw that is not used would change nothing now and everything later."""
    rng = Counted(0, range(4))
    sampler(steps=7, eta=eta)(mixture(), rng)
    assert rng.draws == draws


@pytest.mark.parametrize("name", ["ddim", "dpmpp-2m", "euler", "heun", "lms", "unipc"])
def test_what_solves_the_ode_draws_nothing_after_the_start(name: str) -> None:
    rng = Counted(0, range(4))
    few(name)(mixture(), rng)
    assert rng.draws == 1


def test_churn_stays_within_its_bounds_and_within_the_models_levels() -> None:
    asked: list[float] = []

    class Recorded(GaussianMixture):
        def denoise(self, x: Tensor, sigma: Tensor, labels: Tensor | None = None) -> Tensor:
            asked.append(sigma[0].item())
            return super().denoise(x, sigma, labels)

    sigmas, model = (50.0, 40.0, 4.0, 1.0, 0.1, 0.0), Recorded((1.0,), ((0.3, 0.3),), (0.5,), sigma_range=(0.1, 50.0))
    Heun(churn=2.0, churn_min=0.5, churn_max=45.0)(model, ImageRng(0, [0]), sigmas=sigmas)
    assert asked[::2] == pytest.approx([50.0, 50.0, 5.6, 1.4, 0.1])
    assert asked[1::2] == list(sigmas[1:-1])


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: Heun(steps=0), "steps"),
        (lambda: Heun(churn=-1.0), "churn"),
        (lambda: Heun(churn_min=2.0, churn_max=1.0), "churn_max"),
        (lambda: Heun(churn_noise=math.nan), "churn_noise"),
        (lambda: DPMSolver2M(steps=0), "steps"),
        (lambda: SDEDPMSolver2M(eta=1.5), "eta"),
        (lambda: LinearMultistep(order=5), "order"),
        (lambda: UniPC(clip=1.5), "clip"),
        (lambda: Ancestral(clip=0.0), "clip"),
        (lambda: Langevin(clip=0.9, masked_score=True), "clip"),
        (lambda: Langevin(steps_per_level=0), "steps_per_level"),
        (lambda: Langevin(step=0.0), "step"),
        (lambda: Langevin(step=4.0), "step"),
        (lambda: PredictorCorrector(corrections=-1), "corrections"),
        (lambda: PredictorCorrector(snr=1.0), "snr"),
        (lambda: as_sampler({"name": "predictor-corrector", "predictor": "euler"}), "sampler.predictor"),
    ],
)
def test_options_out_of_range_are_refused_by_their_name(make: Callable[[], object], field: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{field}\b"):
        make()


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
