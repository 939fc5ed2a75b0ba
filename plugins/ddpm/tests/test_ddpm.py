"""Theorems about the ddpm family, on tiny nets."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import zoo_core
from zoo_core.config import decode, encode
from zoo_core.errors import ConfigError
from zoo_core.interfaces import ModelConfig
from zoo_core.models.unet import Pointwise, timestep_embedding
from zoo_core.rng import ImageRng, StepRng
from zoo_core.samplers import Ancestral, Guided
from zoo_core.schedulers import Cosine, Linear
from zoo_core.testing import write_checkpoint
from zoo_core.training.trainer import Batch
from zoo_ddpm.config import DDPMConfig, DDPMTrainerConfig
from zoo_ddpm.model import DDPM
from zoo_ddpm.recipes import COURSE, PAPER
from zoo_ddpm.trainer import DDPMTrainer

TINY = DDPMConfig(image_size=8, dim=8, multipliers=(1, 2), linear_attention=(8,), attention=(4,), heads=2)


def model(config: DDPMConfig = TINY, seed: int = 0) -> DDPM:
    """A tiny net with random weights in its zero-initialised layers too, so that no path is idle."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        built = DDPM(config)
        for parameter in built.parameters():
            if not parameter.any():
                nn.init.normal_(parameter, std=0.1)
    return built.eval().requires_grad_(False)


def algorithm_2(net: DDPM, T: int, seed: int, n: int, clip: bool, dtype: torch.dtype) -> Tensor:
    """Ho et al. 2020, Algorithm 2 with eqs. 6, 7 and 15, in the paper's coordinates and without zoo_core's samplers."""

    def f(t: int) -> float:
        return math.cos((t / T + 0.008) / 1.008 * math.pi / 2) ** 2

    alpha = [min(max(f(t) / f(t - 1), 0.001), 1.0) for t in range(1, T + 1)]
    abar = [math.prod(alpha[: t + 1]) for t in range(T)]
    rng = ImageRng(seed, range(n))
    x = rng.normal(3, 8, 8).to(dtype)
    for t in range(T, 0, -1):
        a = alpha[t - 1]
        ab = abar[t - 1]
        ab_prev = abar[t - 2] if t > 1 else 1.0
        eps = net.net(x, torch.full((n,), t), None)
        x0 = (x - math.sqrt(1 - ab) * eps) / math.sqrt(ab)
        x0 = x0.clamp(-1, 1) if clip else x0
        mean = math.sqrt(ab_prev) * (1 - a) / (1 - ab) * x0 + math.sqrt(a) * (1 - ab_prev) / (1 - ab) * x
        variance = (1 - ab_prev) / (1 - ab) * (1 - a)
        x = mean + math.sqrt(variance) * rng.normal(3, 8, 8).to(dtype) if t > 1 else mean
    return x


@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_ancestral_sampling_is_algorithm_2_of_ho_et_al(clip: bool, dtype: torch.dtype, tolerance: float) -> None:
    net = model().to(dtype)
    expected = algorithm_2(net, 50, seed=3, n=2, clip=clip, dtype=dtype)

    class InDtype(ImageRng):
        def normal(self, *shape: int) -> Tensor:
            return super().normal(*shape).to(dtype)

    sampler = Ancestral(steps=50, clip=clip)
    drawn = sampler(net, InDtype(3, range(2)), sigmas=sampler.noise_levels(net, None))
    scale = max(1.0, expected.abs().max().item())
    assert (drawn - expected).abs().max() <= tolerance * scale


@pytest.mark.parametrize("prediction", ["eps", "x0", "v"])
@pytest.mark.parametrize("t", [1, 7, 25, 50])
def test_the_score_of_a_loaded_model_is_minus_eps_theta_over_the_noise(prediction: str, t: int, tmp_path: Path) -> None:
    """grad log p(x_t) = -eps_theta(x_t, t) / sqrt(1 - abar_t), with the net's own output and without a conversion of levels.

    ``Pretrained.denoise`` is in x_sigma = x_t / sqrt(abar), sigma^2 = (1 - abar) / abar, where grad log p(x_sigma) =
    (D(x_sigma, sigma) - x_sigma) / sigma^2; by the chain rule grad log p(x_t) is that over sqrt(abar). The net predicts eps, or what gives
    it by x_t = sqrt(abar) x_0 + sqrt(1 - abar) eps: x_0, or v = sqrt(abar) eps - sqrt(1 - abar) x_0.
    """
    config = replace(TINY, prediction=prediction)  # type: ignore[arg-type]  # one of its literals
    cats = zoo_core.load(f"local:{write_checkpoint(tmp_path / 'tiny', model(config), config)}")
    abar = config.scheduler.alpha_bars[t - 1]  # type: ignore[attr-defined]
    x_t = ImageRng(t, range(2)).normal(3, 8, 8)
    out = cats.model.net(x_t, torch.full((2,), float(t)), None)  # type: ignore[operator]  # a module
    eps = {
        "eps": out,
        "x0": (x_t - math.sqrt(abar) * out) / math.sqrt(1 - abar),
        "v": math.sqrt(1 - abar) * x_t + math.sqrt(abar) * out,
    }[prediction]
    x = x_t / math.sqrt(abar)
    sigma = math.sqrt((1 - abar) / abar)
    score = (cats.denoise(x, sigma) - x) / sigma**2
    expected = -eps / math.sqrt(1 - abar)
    assert (score / math.sqrt(abar) - expected).norm() <= 1e-5 * expected.norm()


def test_denoise_is_x_minus_sigma_eps_at_every_trained_level() -> None:
    net = model().double()
    for t in (1, 7, 50):
        abar = net.config.scheduler.alpha_bars[t - 1]  # type: ignore[attr-defined]
        x_t = torch.randn(2, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(t))
        sigma = torch.full((2,), math.sqrt((1 - abar) / abar), dtype=torch.float64)
        eps = net.net(x_t, torch.full((2,), t))
        score = (net.denoise(x_t / math.sqrt(abar), sigma) - x_t / math.sqrt(abar)) / sigma.view(-1, 1, 1, 1) ** 2
        # d/dx_sigma log p = sqrt(abar) d/dx_t log p, and s_theta(x_t, t) = -eps / sqrt(1 - abar)
        torch.testing.assert_close(score / math.sqrt(abar), -eps / math.sqrt(1 - abar), rtol=1e-9, atol=1e-9)


def test_time_is_whole_on_levels_and_rises_between_them() -> None:
    net = model()
    levels = torch.tensor(net.levels, dtype=torch.float64)
    assert torch.equal(net.time(levels), torch.arange(1.0, 51.0))
    between = net.time((levels[:-1] * levels[1:]).sqrt())
    torch.testing.assert_close(between, torch.arange(1.5, 50.0))


def test_predicting_the_image_returns_the_nets_output() -> None:
    net = model(replace(TINY, prediction="x0"))
    x = torch.randn(2, 3, 8, 8)
    sigma = torch.tensor([net.levels[4]] * 2, dtype=torch.float64)
    expected = net.net(x / math.sqrt(1 + net.levels[4] ** 2), torch.tensor([5, 5]))
    torch.testing.assert_close(net.denoise(x, sigma), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("prediction", ["eps", "x0", "v"])
def test_a_perfect_prediction_denoises_to_the_image(prediction: str) -> None:
    net = model(decode(DDPMConfig, {**encode(TINY), "name": "ddpm", "prediction": prediction})).double()
    x0, eps = (torch.randn(3, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(i)) for i in (0, 1))
    sigma = torch.tensor([net.levels[0], net.levels[24], net.levels[49]], dtype=torch.float64)
    abar = 1 / (1 + sigma.view(-1, 1, 1, 1) ** 2)
    targets = {"eps": eps, "x0": x0, "v": abar.sqrt() * eps - (1 - abar).sqrt() * x0}

    class Oracle(nn.Module):
        conv_in = net.net.conv_in

        def forward(self, x_t: Tensor, t: Tensor, labels: Tensor | None, guidance: Tensor | None) -> Tensor:
            torch.testing.assert_close(x_t, abar.sqrt() * x0 + (1 - abar).sqrt() * eps)
            return targets[prediction]

    net.net = Oracle()  # type: ignore[assignment]
    torch.testing.assert_close(net.denoise(x0 + sigma.view(-1, 1, 1, 1) * eps, sigma), x0, rtol=1e-9, atol=1e-9)


def test_start_is_standard_normal_in_the_papers_coordinate() -> None:
    net = model()
    sigma = net.levels[-1]
    assert torch.equal(net.start(ImageRng(0, range(2)), sigma), ImageRng(0, range(2)).normal(3, 8, 8) * (1 + sigma**2) ** 0.5)


def test_paper_builds_on_meta_with_the_papers_parameter_count() -> None:
    assert isinstance(PAPER.model, DDPMConfig)
    with torch.device("meta"):
        net = DDPM(PAPER.model)
    assert sum(parameter.numel() for parameter in net.parameters()) == pytest.approx(35.7e6, rel=0.01)


def test_paper_in_a_narrower_variant_takes_a_training_step() -> None:
    assert isinstance(PAPER.model, DDPMConfig)
    narrow = replace(PAPER.model, dim=8, image_size=16, scheduler=Linear(T=20))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        trainer = DDPMTrainer(DDPM(narrow), DDPMTrainerConfig())
    batch = Batch(x=StepRng(0, 0, 2).uniform(3, 16, 16) * 2 - 1, labels=None, index=torch.arange(2))
    before = [parameter.clone() for parameter in trainer.parameters()]
    optimizer = torch.optim.Adam(trainer.parameters(), 1e-3)
    for step in range(4):  # layers that start at zero block the gradients of the two layers before them
        optimizer.zero_grad()
        trainer("model", batch, StepRng(0, step, 2)).value.backward()
        optimizer.step()
    assert all(not torch.equal(old, new) for old, new in zip(before, trainer.parameters(), strict=True))


def test_a_fresh_net_predicts_zero() -> None:
    net = DDPM(TINY)
    assert not net.net(torch.randn(2, 3, 8, 8), torch.tensor([1, 50])).any()
    assert not net.net.middle[0].conv2.weight.any()
    assert not net.net.middle_attention.project.weight.any()


def test_time_embedding_is_the_sinusoids_of_the_paper() -> None:
    t = torch.tensor([1.0, 17.5])
    dim = 8
    expected = [[wave(value * 10_000 ** (-i / 3)) for wave in (math.sin, math.cos) for i in range(4)] for value in t.tolist()]
    torch.testing.assert_close(timestep_embedding(t, dim), torch.tensor(expected))


@pytest.mark.parametrize(("loss", "power"), [("l1", 1), ("mse", 2)])
@pytest.mark.parametrize("prediction", ["eps", "x0", "v"])
def test_the_loss_is_the_mean_error_of_the_prediction(loss: str, power: int, prediction: str) -> None:
    net = model(decode(DDPMConfig, {**encode(TINY), "name": "ddpm", "prediction": prediction}))
    trainer = DDPMTrainer(net, DDPMTrainerConfig(loss=loss))  # type: ignore[arg-type]
    x = torch.rand(4, 3, 8, 8) * 2 - 1
    value = trainer("model", Batch(x=x, labels=None, index=torch.arange(4)), StepRng(0, 5, 4)).value

    rng = StepRng(0, 5, 4)
    t = rng.integers(1, 51)
    eps = rng.normal(3, 8, 8)
    abar = torch.tensor([net.config.scheduler.alpha_bars[i - 1] for i in t.tolist()]).view(-1, 1, 1, 1)  # type: ignore[attr-defined]
    out = net.net(abar.sqrt() * x + (1 - abar).sqrt() * eps, t)
    target = {"eps": eps, "x0": x, "v": abar.sqrt() * eps - (1 - abar).sqrt() * x}[prediction]
    torch.testing.assert_close(value, ((out - target).abs() ** power).mean(), rtol=1e-5, atol=1e-6)


def test_every_time_is_drawn_in_training() -> None:
    assert set(StepRng(0, 0, 5000).integers(1, 51).tolist()) == set(range(1, 51))


def test_labels_change_the_prediction_and_none_is_a_class_of_its_own() -> None:
    net = model(replace(TINY, num_classes=3))
    x = torch.randn(2, 3, 8, 8)
    sigma = torch.tensor([2.0, 2.0], dtype=torch.float64)
    outs = [net.denoise(x, sigma, labels) for labels in (None, torch.tensor([0, 0]), torch.tensor([2, 2]))]
    assert all(not torch.allclose(outs[i], outs[j]) for i, j in [(0, 1), (0, 2), (1, 2)])


def test_guidance_of_scale_one_is_the_conditional_model_and_zero_the_unconditional_one() -> None:
    net = model(replace(TINY, num_classes=3))
    x = torch.randn(2, 3, 8, 8)
    sigma = torch.tensor([2.0, 2.0], dtype=torch.float64)
    labels = torch.tensor([0, 2])
    torch.testing.assert_close(Guided(net, 1.0).denoise(x, sigma, labels), net.denoise(x, sigma, labels))
    torch.testing.assert_close(Guided(net, 0.0).denoise(x, sigma, labels), net.denoise(x, sigma))


def test_withholding_every_label_trains_the_unconditional_model() -> None:
    net = model(replace(TINY, num_classes=3))
    x = torch.rand(4, 3, 8, 8) * 2 - 1
    labels = torch.tensor([0, 1, 2, 0])
    batch = Batch(x=x, labels=labels, index=torch.arange(4))
    index = torch.arange(4)
    without = DDPMTrainer(net, DDPMTrainerConfig(p_uncond=1.0))("model", batch, StepRng(0, 1, 4)).value
    unlabelled = DDPMTrainer(net, DDPMTrainerConfig())("model", Batch(x=x, labels=None, index=index), StepRng(0, 1, 4)).value
    always = DDPMTrainer(net, DDPMTrainerConfig(p_uncond=0.0))("model", batch, StepRng(0, 1, 4)).value
    assert without == unlabelled != always


@pytest.mark.parametrize("recipe", [COURSE, PAPER], ids=["course", "paper"])
def test_recipes_survive_the_codec(recipe: object) -> None:
    assert decode(type(recipe), encode(recipe)) == recipe


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dim": 10**9}, "model.dim"),
        ({"dim": True}, "model.dim"),
        ({"dim": "16"}, "model.dim"),
        ({"dropout": float("nan")}, "model.dropout"),
        ({"image_size": 30}, "multiple of 8"),
        ({"heads": 5}, "heads"),
        ({"scheduler": {"name": "karras"}}, "karras"),
        ({"scheduler": {"name": "os.system"}}, "os.system"),
        ({"width": 3}, "width"),
    ],
)
def test_a_bad_config_names_the_field(change: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        decode(ModelConfig, {"name": "ddpm", **change}, "model")


def test_the_courses_net_fits_ten_megabytes() -> None:
    assert isinstance(COURSE.model, DDPMConfig)
    with torch.device("meta"):
        net = DDPM(COURSE.model)
    assert sum(parameter.numel() * 4 for parameter in net.parameters()) <= 10_000_000
    assert COURSE.model.scheduler == Cosine(T=50)


@pytest.mark.parametrize("side", [8, 2], ids=["few channels", "many channels"])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["contiguous", "channels-last"])
def test_a_pointwise_layer_is_the_1x1_convolution_of_its_weights(side: int, layout: torch.memory_format) -> None:
    layer = Pointwise(6, 9).double()
    x = torch.randn(4, 6, side, side, dtype=torch.float64).to(memory_format=layout).requires_grad_()
    out = layer(x)
    expected = torch.nn.functional.conv2d(x, layer.weight, layer.bias)
    torch.testing.assert_close(out, expected)
    inputs = (x, layer.weight, layer.bias)
    weights = torch.randn_like(expected)
    found = torch.autograd.grad((out * weights).sum(), inputs)
    torch.testing.assert_close(found, torch.autograd.grad((expected * weights).sum(), inputs))
