"""Theorems about the nets of a DCGAN and its losses, against the paper and plain second implementations."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from zoo_core.errors import ConfigError
from zoo_core.rng import ImageRng, StepRng, Stream, isolated
from zoo_core.training.trainer import Batch
from zoo_dcgan.config import DCGANConfig, DCGANTrainerConfig
from zoo_dcgan.model import DCGAN, Discriminator
from zoo_dcgan.recipes import FASHION_MNIST, MNIST, PAPER
from zoo_dcgan.trainer import DCGANTrainer

GREY = DCGANConfig(shape=(1, 28, 28), latent=5, width=4)
COLOUR = DCGANConfig(shape=(3, 16, 16), latent=5, width=4, stages=2, kernel=4)
CONFIGS = {"grey": GREY, "colour": COLOUR}
N = 6


def generator(config: DCGANConfig, seed: int = 0) -> DCGAN:
    with isolated(seed, stream=Stream.INIT):
        return DCGAN(config)


def discriminator(config: DCGANConfig, width: int = 4, seed: int = 1) -> Discriminator:
    with isolated(seed, stream=Stream.INIT):
        return Discriminator(config, width)


def images(config: DCGANConfig, n: int = N) -> Tensor:
    return (0.5 * ImageRng(1, range(n)).normal(*config.shape)).clamp(-1, 1)


def count(net: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


# The paper's nets


def test_the_papers_nets_have_the_papers_parameters() -> None:
    """Figure 1: 100 -> 4x4x1024 -> 512 -> 256 -> 128 -> 3, kernels of 5x5; scale and shift of batch norm, and no other biases."""
    assert isinstance(PAPER.model, DCGANConfig)
    assert isinstance(PAPER.trainer, DCGANTrainerConfig)
    with torch.device("meta"):
        net = DCGAN(PAPER.model)
        critic = Discriminator(PAPER.model, PAPER.trainer.width)
        made = net.decode(torch.empty(2, 100))
    assert made.shape == (2, 3, 64, 64)
    assert critic(made).shape == (2,)
    assert count(net) == (
        (100 * 1024 * 16 + 2 * 1024 * 16)
        + (1024 * 512 * 25 + 2 * 512)
        + (512 * 256 * 25 + 2 * 256)
        + (256 * 128 * 25 + 2 * 128)
        + 128 * 3 * 25
    )
    assert count(net) == 18_885_760
    assert count(critic) == (
        3 * 128 * 25 + (128 * 256 * 25 + 2 * 256) + (256 * 512 * 25 + 2 * 512) + (512 * 1024 * 25 + 2 * 1024) + 1024 * 16
    )
    assert count(critic) == 17_232_768


@pytest.mark.parametrize(
    ("kernel", "sides", "channels"),
    [
        (5, [4, 7, 14, 28], [32, 16, 8, 1]),
        (4, [7, 14, 28], [16, 8, 1]),
        (4, [4, 8, 16, 32], [32, 16, 8, 1]),
        (5, [4, 8, 16, 32, 64], [64, 32, 16, 8, 1]),
    ],
)
def test_feature_maps_double_their_side_and_halve_their_channels(kernel: Any, sides: list[int], channels: list[int]) -> None:
    side = sides[-1]
    stages = len(sides) - 1
    config = DCGANConfig(shape=(1, side, side), latent=3, width=8, stages=stages, kernel=kernel)
    seen = []
    net = generator(config)
    critic = discriminator(config, width=8)
    for each in [*net.modules(), *critic.modules()]:
        if isinstance(each, torch.nn.Unflatten | torch.nn.ConvTranspose2d | torch.nn.Conv2d):
            each.register_forward_hook(lambda _, given, out: seen.append((out.shape[1], out.shape[2])))
    critic(net.decode(torch.zeros(2, 3)))
    down = list(zip(channels, sides, strict=True))
    assert seen == [*down, *down[-2::-1]]


def _normalised(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Batch norm of training (Ioffe & Szegedy 2015, algorithm 1) over the rows and pixels of (n, c) or (n, c, h, w)."""
    dims = (0,) if x.ndim == 2 else (0, 2, 3)
    mean = x.mean(dims, keepdim=True)
    variance = x.var(dims, correction=0, keepdim=True)
    shape = (1, -1) if x.ndim == 2 else (1, -1, 1, 1)
    return (x - mean) / (variance + 1e-5).sqrt() * weight.view(shape) + bias.view(shape)


def _upwards(x: Tensor, weight: Tensor, side: int) -> Tensor:
    """The transpose of a convolution with the stride 2 of y of that side: the gradient of <conv(y), x> by y."""
    y = torch.zeros(len(x), weight.shape[1], side, side, dtype=x.dtype, requires_grad=True)
    (slope,) = torch.autograd.grad(_downwards(y, weight), y, x, create_graph=True)
    return slope


def _downwards(x: Tensor, weight: Tensor) -> Tensor:
    """Output (i, j) depends on the window of k x k whose second or third row and column are those of (2i, 2j)."""
    return F.conv2d(x, weight, stride=2, padding=1 if weight.shape[-1] == 4 else 2)


@pytest.mark.parametrize("name", CONFIGS)
def test_the_generator_is_the_papers_written_out(name: str) -> None:
    config = CONFIGS[name]
    net = generator(config).double()
    z = ImageRng(0, range(N)).normal(5).double()
    project, scale, shift, *rest = net.parameters()
    coarsest, *sides = config.sides[::-1]
    h = _normalised(z @ project.T, scale, shift).relu().view(N, -1, coarsest, coarsest)
    while len(rest) > 1:
        weight, scale, shift, *rest = rest
        h = _normalised(_upwards(h, weight, sides.pop(0)), scale, shift).relu()
    torch.testing.assert_close(net.decode(z), _upwards(h, rest[0], *sides).tanh())


@pytest.mark.parametrize("name", CONFIGS)
def test_the_discriminator_is_the_papers_written_out(name: str) -> None:
    config = CONFIGS[name]
    net = discriminator(config).double()
    x = images(config).double()
    first, *rest = net.parameters()
    h = F.leaky_relu(_downwards(x, first), 0.2)
    while len(rest) > 1:
        weight, scale, shift, *rest = rest
        h = F.leaky_relu(_normalised(_downwards(h, weight), scale, shift), 0.2)
    torch.testing.assert_close(net(x), (h.flatten(1) @ rest[0].T)[:, 0])


def test_weights_begin_with_the_papers_spread() -> None:
    """N(0, 0.02^2), batch norm's N(1, 0.02^2) and 0; within 5 standard errors of mean, spread and fourth moment."""
    config = DCGANConfig(shape=(1, 28, 28), width=32)
    groups: dict[str, list[Tensor]] = {"weight": [], "scale": [], "shift": []}
    for net in (generator(config), discriminator(config, width=64)):
        for name, value in net.named_parameters():
            kind = "shift" if name.endswith("bias") else "scale" if value.ndim == 1 else "weight"
            groups[kind].append(value.detach().flatten().double())
    weight, scale, shift = (torch.cat(values) for values in groups.values())
    assert not shift.any()
    assert len(scale) == len(shift) == 128 * 16 + 64 + 32 + 128 + 256
    for values, mean in ((weight, 0.0), (scale, 1.0)):
        n = len(values)
        standard = (values - mean) / 0.02
        assert abs(standard.mean()) < 5 / n**0.5
        assert abs(standard.std() - 1) < 5 / (2 * n) ** 0.5
        assert abs((standard**4).mean() - 3) < 5 * (96 / n) ** 0.5


def test_the_global_generator_decides_the_initial_weights() -> None:
    first, again, other = (generator(GREY, seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first if name.endswith("0.weight"))


# Batches


def test_in_eval_mode_an_image_does_not_depend_on_its_batch_and_in_training_it_does() -> None:
    net = generator(GREY)
    z = ImageRng(0, range(N)).normal(5)
    with torch.no_grad():
        for _ in range(30):
            net.decode(ImageRng(3, range(64)).normal(5))
        training = net.decode(z)[:2], net.decode(z[:2])
        net.eval()
        torch.testing.assert_close(net.decode(z)[:2], net.decode(z[:2]), rtol=0, atol=1e-5)
    assert not torch.allclose(*training, atol=1e-2)


def test_images_are_within_the_range_and_float32_under_bf16_autocast() -> None:
    net = generator(GREY)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        x = net.decode(30 * ImageRng(0, range(N)).normal(5))
    assert x.dtype == torch.float32
    assert x.abs().max() <= 1 == net.event.range[1]


# Losses


def longhand(name: str, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """The losses of critic and generator by the papers' equations, as functions of the critic's outputs."""
    D = torch.sigmoid
    critic = -(D(real).log().mean() + (1 - D(fake)).log().mean())  # Goodfellow et al. 2014, eq. 1
    if name == "non-saturating":
        return critic, -D(fake).log().mean()
    if name == "minimax":
        return critic, (1 - D(fake)).log().mean()
    if name == "reverse-kl":
        return critic, ((1 - D(fake)).log() - D(fake).log()).mean()
    if name == "least-squares":  # Mao et al. 2017, eq. 9
        return ((real - 1) ** 2).mean() / 2 + (fake**2).mean() / 2, ((fake - 1) ** 2).mean() / 2
    zero = torch.zeros(())
    return torch.maximum(zero, 1 - real).mean() + torch.maximum(zero, 1 + fake).mean(), -fake.mean()  # Lim & Ye 2017


@pytest.mark.parametrize("name", ["non-saturating", "minimax", "reverse-kl", "least-squares", "hinge"])
def test_each_loss_of_the_trainer_is_the_papers_equation(name: Any) -> None:
    net = generator(COLOUR)
    with isolated(2, stream=Stream.INIT):
        trainer = DCGANTrainer(net, DCGANTrainerConfig(loss=name, width=4))
    trainer.critic.net[-2].weight.data *= 50  # outputs on both sides of the hinge
    batch = Batch(x=images(COLOUR), labels=None, index=torch.arange(N))
    with torch.no_grad():
        losses = [trainer(phase, batch, StepRng(0, 0, N)) for phase in ("critic", "generator")]
        made = net.decode(StepRng(0, 0, N).normal(5))
        expected = longhand(name, trainer.critic(batch.x), trainer.critic(made))
    assert trainer.critic(batch.x).abs().max() > 1
    for loss, value in zip(losses, expected, strict=True):
        torch.testing.assert_close(loss.value, value, rtol=1e-5, atol=1e-5)


def test_real_and_generated_images_are_batches_of_their_own() -> None:
    """Each batch has its own statistics: an output for a real image does not depend on the generated images."""
    trainer = DCGANTrainer(generator(GREY), DCGANTrainerConfig(width=4))
    seen: list[Tensor] = []
    trainer.critic.register_forward_hook(lambda _, given, out: seen.append(given[0]))
    batch = Batch(x=images(GREY), labels=None, index=torch.arange(N))
    trainer("critic", batch, StepRng(0, 0, N))
    assert [len(each) for each in seen] == [N, N]
    assert torch.equal(seen[1], batch.x)


# Configs, recipes and batches that are refused


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"shape": (1, 28, 28), "kernel": 4}, "kernel must be 5 for the sides 28, 14, 7, 4"),
        ({"shape": (1, 28, 28), "stages": 5}, "fewer than 5 for a side of 28"),
        ({"shape": (1, 8, 8), "stages": 8}, "fewer than 8 for a side of 8"),
        ({"shape": (1, 28, 32)}, "channels, side, side"),
        ({"shape": (1, 2048, 2048)}, "shape must be in"),
        ({"latent": 0}, "latent"),
        ({"width": 10**9}, "width"),
    ],
)
def test_a_config_out_of_range_is_refused_by_name(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        DCGANConfig(**wrong)


def test_a_trainer_config_out_of_range_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="width"):
        DCGANTrainerConfig(width=0)


def test_a_batch_of_one_row_has_no_statistics_and_is_refused() -> None:
    trainer = DCGANTrainer(generator(GREY), DCGANTrainerConfig(width=4))
    with pytest.raises(ConfigError, match="two rows at once -- choose a larger --batch-size"):
        trainer("critic", Batch(x=images(GREY, 1), labels=None, index=torch.arange(1)), StepRng(0, 0, 1))


def test_the_small_recipes_stay_below_four_megabytes() -> None:
    for recipe in (MNIST, FASHION_MNIST):
        with torch.device("meta"):
            net = DCGAN(recipe.model)  # type: ignore[arg-type]
        assert sum(value.numel() for value in net.state_dict().values()) * 4 < 4 * 10**6


def test_a_narrower_paper_recipe_takes_a_step_of_both_phases() -> None:
    assert isinstance(PAPER.model, DCGANConfig)
    config = replace(PAPER.model, width=2)
    trainer = DCGANTrainer(generator(config), DCGANTrainerConfig(width=2))
    batch = Batch(x=images(config, 4), labels=None, index=torch.arange(4))
    for phase in trainer.phases(0):
        parameters = list(trainer.parameters_of(phase))
        optimizer = torch.optim.Adam(parameters, PAPER.fit.optimizer.lr, betas=(0.5, 0.999))
        before = [parameter.detach().clone() for parameter in parameters]
        loss = trainer(phase, batch, StepRng(0, 0, 4)).value
        assert math.isfinite(loss.item())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        assert not any(torch.equal(a, b) for a, b in zip(before, parameters, strict=True))
