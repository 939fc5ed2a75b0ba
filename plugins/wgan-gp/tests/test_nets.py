"""Theorems about the generators and critics: sizes, plain versions of the authors' layers, initial weights."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo_core.errors import ConfigError
from zoo_core.rng import StepRng
from zoo_wgan_gp.config import WGANGPConfig, WGANGPTrainerConfig
from zoo_wgan_gp.model import WGANGP
from zoo_wgan_gp.nets import Rectifier, Residual, critic, generator
from zoo_wgan_gp.recipes import PAPER_CIFAR10
from zoo_wgan_gp.trainer import WGANGPTrainer


def count(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def test_the_residual_nets_have_the_papers_parameters() -> None:
    """By hand from arXiv:1704.00028, appendix F: 128 channels, kernels of 3x3, and of 1x1 in shortcuts that change the shape."""
    conv = 128 * 128 * 9 + 128
    past = 128 * 128 + 128
    norm = 2 * 128
    first_of_generator = 128 * (4 * 4 * 128) + 4 * 4 * 128
    last_of_generator = 128 * 3 * 9 + 3
    up = norm + conv + norm + conv + past
    first_of_critic = (3 * 128 * 9 + 128) + conv + (3 * 128 + 128)
    assert isinstance(PAPER_CIFAR10.model, WGANGPConfig)
    assert isinstance(PAPER_CIFAR10.trainer, WGANGPTrainerConfig)
    with torch.device("meta"):
        trainer = WGANGPTrainer(WGANGP(PAPER_CIFAR10.model), PAPER_CIFAR10.trainer)
    assert count(trainer.model) == first_of_generator + 3 * up + norm + last_of_generator == 1_204_483
    assert count(trainer.critic) == first_of_critic + (2 * conv + past) + 2 * (2 * conv) + (128 + 1) == 1_053_825


def test_the_convolutions_have_the_parameters_of_the_authors_for_mnist() -> None:
    """Counted by hand for the authors' DIM = 64: kernels of 5x5, 4x4x256 values at the coarsest stage, no norm under the penalty."""
    config = WGANGPConfig(shape=(1, 28, 28), net="conv", width=64, stages=3, norm="none")
    with torch.device("meta"):
        nets = generator(config), critic(config, 64)
    inner = 256 * 128 * 25, 128 * 64 * 25, 64 * 25
    assert count(nets[0]) == (128 * 4096 + 4096) + (inner[0] + 128) + (inner[1] + 64) + (inner[2] + 1) == 1_554_177
    assert count(nets[1]) == (inner[2] + 64) + (inner[1] + 128) + (inner[0] + 256) + (4096 + 1) == 1_030_145


@pytest.mark.parametrize(("side", "sides"), [(28, [4, 7, 14, 28]), (32, [4, 8, 16, 32]), (9, [2, 3, 5, 9])])
def test_a_stage_of_convolutions_doubles_what_the_critics_stage_halves(side: int, sides: list[int]) -> None:
    config = WGANGPConfig(shape=(3, side, side), latent=2, width=1, stages=3)

    def seen(net: nn.Module, x: Tensor) -> list[int]:
        found: list[int] = []
        for layer in net.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                layer.register_forward_hook(lambda _, inputs, output: found.extend([inputs[0].shape[-1], output.shape[-1]]))
        net(x)
        return [found[0], *found[1::2]]

    assert seen(generator(config), torch.zeros(2, 2)) == sides
    assert seen(critic(config, 1), torch.zeros(2, *config.shape)) == sides[::-1]


@pytest.mark.parametrize("slope", [0.0, 0.2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_rectifier_and_its_gradient_are_torchs(slope: float, dtype: torch.dtype) -> None:
    found = []
    for net in (Rectifier(slope), nn.LeakyReLU(slope)):
        x = torch.tensor([-300.0, -1.5, -0.0, 0.0, 1e-3, 2.0], dtype=dtype, requires_grad=True)
        y = net(x)
        (gradient,) = torch.autograd.grad(y.sum(), x)
        assert y.dtype == gradient.dtype == dtype
        found.append(torch.stack([y.detach(), gradient]))
    torch.testing.assert_close(*found, rtol=1e-6 if dtype == torch.float32 else 2**-8, atol=0)


def _conv(x: Tensor, layer: nn.Module) -> Tensor:
    assert isinstance(layer, nn.Conv2d)
    return F.conv2d(x, layer.weight, layer.bias, padding=layer.kernel_size[0] // 2)


def _convolutions(block: Residual) -> list[nn.Module]:
    return [layer for layer in block.modules() if isinstance(layer, nn.Conv2d)]


def _filled(block: Residual) -> Residual:
    torch.manual_seed(0)
    for parameter in block.parameters():
        nn.init.normal_(parameter)
    return block


X = torch.linspace(-2, 2, 2 * 3 * 8 * 8, dtype=torch.float64).cos().view(2, 3, 8, 8)


def test_a_block_that_doubles_is_the_authors_in_longhand() -> None:
    block = _filled(Residual(3, 4, resample="up")).double()
    first, second, past = _convolutions(block)
    twice = F.interpolate(X, scale_factor=2, mode="nearest")
    expected = _conv(twice, past) + _conv(_conv(twice.relu(), first).relu(), second)
    torch.testing.assert_close(block(X), expected)


@pytest.mark.parametrize("first_of_all", [False, True])
def test_a_block_that_halves_is_the_authors_in_longhand(first_of_all: bool) -> None:
    block = _filled(Residual(3, 4, resample="down", first=first_of_all)).double()
    first, second, past = _convolutions(block)
    start = X if first_of_all else X.relu()
    expected = F.avg_pool2d(_conv(X, past) + _conv(_conv(start, first).relu(), second), 2)
    torch.testing.assert_close(block(X), expected)


def test_a_block_that_keeps_its_shape_has_nothing_on_the_way_past() -> None:
    block = _filled(Residual(3, 3)).double()
    first, second = _convolutions(block)
    torch.testing.assert_close(block(X), X + _conv(_conv(X.relu(), first).relu(), second))


def test_the_first_weights_have_the_authors_variances() -> None:
    """4 / (fan_in + fan_out) with strides counted, and half of it without a rectifier; uniform: at most sqrt(3) standard deviations."""
    torch.manual_seed(0)
    conv = WGANGPConfig(shape=(1, 28, 28), width=16, stages=3)
    paper = WGANGPConfig(shape=(3, 32, 32), net="resnet", width=32)
    made = {  # the layer, and its variance by hand
        "linear": (generator(conv)[0], 2 / (128 + 4 * 4 * 64)),
        "up": (next(layer for layer in generator(conv) if isinstance(layer, nn.ConvTranspose2d)), 4 / (64 * 25 / 4 + 32 * 25)),
        "down": (critic(conv, 16)[4], 4 / (32 * 25 + 64 * 25 / 4)),
        "block": (critic(paper, 32)[1].get_submodule("net.1"), 4 / (32 * 9 + 32 * 9)),
        "past": (critic(paper, 32)[1].get_submodule("past.1"), 2 / (32 + 32)),
        "last": (generator(paper)[-2], 2 / (32 * 9 + 3 * 9)),
    }
    for name, (layer, variance) in made.items():
        weight = layer.weight
        assert isinstance(weight, Tensor)
        # The standard deviation of the square of a uniform number is 0.9 times its mean.
        assert weight.square().mean().item() == pytest.approx(variance, rel=5 * 0.9 / math.sqrt(weight.numel())), name
        assert weight.abs().max().item() <= math.sqrt(3 * variance), name


@pytest.mark.parametrize("net", ["conv", "resnet"])
def test_a_row_of_a_critic_does_not_depend_on_the_others(net: str) -> None:
    torch.manual_seed(0)
    f = critic(WGANGPConfig(shape=(1, 8, 8), net=net, stages=2), 4)  # type: ignore[arg-type]
    x = torch.randn(4, 1, 8, 8)
    outputs = f(x)
    assert outputs.shape == (4,)
    x[2] = torch.randn(1, 8, 8)
    assert (f(x) == outputs).tolist() == [True, True, False, True]


def test_latents_are_standard_normal_vectors_and_images_are_bounded() -> None:
    model = WGANGP(WGANGPConfig(shape=(3, 8, 8), net="resnet", latent=5, width=4, stages=1))
    z = model.prior(StepRng(0, 0, 4000))
    assert z.shape == (4000, 5)
    assert z.mean().abs() < 5 / math.sqrt(z.numel())
    assert model.decode(100 * z[:8]).abs().max() <= 1
    assert model.event.range == (-1.0, 1.0)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"shape": (1, 28, 32)}, r"shape must be \(channels, side, side\)"),
        ({"shape": (1, 8, 8)}, "shape must have a side above 8, which 3 stages can halve"),
        ({"shape": (1, 28, 28), "net": "resnet"}, "shape must have a side that is a multiple of 8"),
        ({"shape": (1, 14, 14), "net": "resnet", "stages": 1}, "shape must have a side that is a multiple of 4"),
        ({"width": 10**9}, "width must be in"),
    ],
)
def test_impossible_shapes_are_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        WGANGPConfig(**options)  # type: ignore[arg-type]
