"""Layers and generator against longhand: modulation, resampling, equalised rates, noise, truncation, and the paper's sizes."""

from dataclasses import replace
from math import sqrt

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from zoo_core.errors import CapabilityError, ConfigError
from zoo_core.rng import ImageRng
from zoo_core.samplers import Latent
from zoo_core.testing.fake import Fake
from zoo_core.testing.fake_config import FakeConfig
from zoo_stylegan.config import StyleGANConfig, StyleGANTrainerConfig
from zoo_stylegan.critic import Critic, DownBlock
from zoo_stylegan.layers import EqualConv, EqualLinear, ModulatedConv, doubled, halved, normalised
from zoo_stylegan.model import StyledConv, StyleGAN

TINY = StyleGANConfig(shape=(2, 8, 8), latent=3, style=5, mapping_layers=2, width=3, most=4, stages=1)
TAPS = [(1, 1), (1, 3, 3, 1), (1, 2, 5, 5, 2, 1)]


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def generator(config: StyleGANConfig = TINY) -> StyleGAN:
    net = StyleGAN(config).double().eval()
    with torch.no_grad():
        for i, parameter in enumerate(net.parameters()):
            parameter.add_(0.2 * normal(*parameter.shape, seed=i))
    return net.requires_grad_(False)


def low_passed(x: Tensor, taps: tuple[int, ...], before: int, after: int) -> Tensor:
    """A separable filter of sum 1, applied to each channel by loops."""
    row = torch.tensor(taps, dtype=x.dtype) / sum(taps)
    x = F.pad(x, (before, after, before, after))
    side = x.shape[-1] - len(taps) + 1
    out = torch.zeros(*x.shape[:2], side, side, dtype=x.dtype)
    for i, a in enumerate(row):
        for j, b in enumerate(row):
            out += a * b * x[:, :, i : i + side, j : j + side]
    return out


def with_zeros(x: Tensor) -> Tensor:
    """Zeros after each pixel: the side doubles."""
    out = torch.zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3], dtype=x.dtype)
    out[:, :, ::2, ::2] = x
    return out


@pytest.mark.parametrize("demodulate", [True, False])
def test_a_modulated_convolution_is_one_with_kernels_of_each_rows_own(demodulate: bool) -> None:
    layer = ModulatedConv(3, 4, 3, style=5, demodulate=demodulate).double()
    x, w = normal(2, 3, 6, 6), normal(2, 5, seed=1)
    rows = []
    for row, style in zip(x, w, strict=True):
        s = layer.affine.weight @ style / sqrt(5) + layer.affine.bias
        kernel = layer.weight / sqrt(3 * 9) * s[None, :, None, None]  # eq. 1
        if demodulate:
            kernel = kernel / (kernel.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt()  # eq. 3
        rows.append(F.conv2d(row[None], kernel, padding=1))
    torch.testing.assert_close(layer(x, w), torch.cat(rows))


def test_demodulation_keeps_the_variance_of_white_inputs_whatever_the_style() -> None:
    layer = ModulatedConv(8, 64, 3, style=5).double()
    x = normal(1, 8, 64, 64).expand(3, -1, -1, -1)
    y = layer(x, 20 * normal(3, 5, seed=1))[:, :, 1:-1, 1:-1]
    torch.testing.assert_close(y.var(dim=(1, 2, 3)), torch.ones(3, dtype=torch.float64), rtol=0.1, atol=0)


@pytest.mark.parametrize("taps", TAPS, ids=str)
def test_a_doubling_convolution_puts_zeros_between_pixels_then_convolves_then_filters(taps: tuple[int, ...]) -> None:
    layer = ModulatedConv(3, 2, 3, style=5, demodulate=False, taps=taps).double()
    x, w = normal(2, 3, 5, 5), torch.zeros(2, 5, dtype=torch.float64)  # a style of 1
    half = len(taps) // 2
    y = F.conv2d(F.pad(with_zeros(x), (half + 1, half, half + 1, half)), layer.weight * layer.scale)
    torch.testing.assert_close(layer(x, w), 4 * low_passed(y, taps, 0, 0))


@pytest.mark.parametrize("taps", TAPS, ids=str)
def test_a_halving_convolution_filters_then_convolves_then_takes_every_second_pixel(taps: tuple[int, ...]) -> None:
    layer = EqualConv(3, 2, 3, taps=taps).double()
    x = normal(2, 3, 8, 8)
    half = len(taps) // 2
    expected = F.conv2d(low_passed(x, taps, half, half), layer.weight / sqrt(27), stride=2)
    torch.testing.assert_close(layer(x), expected[:, :, :4, :4])


@pytest.mark.parametrize("taps", TAPS, ids=str)
def test_resampling_filters_between_the_pixels_and_keeps_constants_inside(taps: tuple[int, ...]) -> None:
    x = normal(2, 3, 6, 6)
    half = len(taps) // 2
    torch.testing.assert_close(doubled(x, taps, 11), 4 * low_passed(with_zeros(x), taps, half, half - 1)[:, :, :11, :11])
    torch.testing.assert_close(halved(x, taps), low_passed(x, taps, half - 1, half - 1)[:, :, ::2, ::2])
    inside = slice(half, -half)
    flat = torch.ones(1, 1, 12, 12, dtype=torch.float64)
    if taps != (1, 2, 5, 5, 2, 1):  # its even and odd taps have other sums: no interpolation
        torch.testing.assert_close(doubled(flat, taps, 24)[:, :, inside, inside], torch.ones(1, 1, 24 - 2 * half, 24 - 2 * half).double())
    torch.testing.assert_close(halved(flat, taps)[:, :, 1:-1, 1:-1], torch.ones(1, 1, 4, 4).double())


def test_an_equalised_layer_moves_its_weights_in_proportion_to_its_rate_and_fan() -> None:
    """Adam's first step is +-lr for every parameter; what is used moves by lr * rate / sqrt(fan) whatever the gradient's scale."""
    for rate in (1.0, 0.01):
        layer = EqualLinear(16, 3, lr=rate).double()
        assert layer.weight.std().item() == pytest.approx(1 / rate, rel=0.4)
        adam = torch.optim.Adam(layer.parameters(), lr=1e-3)
        before = (layer.weight * layer.scale).detach().clone()
        layer(normal(4, 16)).square().sum().backward()
        adam.step()
        moved = (layer.weight * layer.scale - before).abs()
        torch.testing.assert_close(moved, torch.full_like(moved, 1e-3 * rate / 4), rtol=1e-3, atol=0)


def test_a_styled_convolution_adds_noise_and_bias_before_its_rectifier() -> None:
    layer = StyledConv(3, 2, style=5, side=4).double()
    with torch.no_grad():
        layer.noise.fill_(0.7)
        layer.bias.copy_(torch.tensor([0.3, -0.2]))
    x, w, noise = normal(2, 3, 4, 4), normal(2, 5, seed=1), normal(2, 1, 4, 4, seed=2)
    y = layer.conv(x, w) + 0.7 * noise + layer.bias[:, None, None]
    torch.testing.assert_close(layer(x, w, noise), sqrt(2) * torch.where(y > 0, y, 0.2 * y))


def test_a_generator_is_its_layers_in_their_order_with_the_colours_of_all_levels_added() -> None:
    net = generator()
    z = normal(3, TINY.row)
    w = z[:, :3] / (z[:, :3].square().mean(1, keepdim=True) + 1e-8).sqrt()
    for layer in net.mapping:
        y = w @ layer.weight.T * (0.01 / sqrt(w.shape[1])) + 0.01 * layer.bias
        w = sqrt(2) * torch.where(y > 0, y, 0.2 * y)
    torch.testing.assert_close(net.styles(z), w)
    first, second, third = (
        part.view(3, 1, *side) for part, side in zip(z[:, 3:].split([16, 64, 64], 1), [(4, 4), (8, 8), (8, 8)], strict=True)
    )
    x = net.first(net.constant.expand(3, -1, -1, -1), w, first)
    rgb = doubled(net.colours[0](x, w) + net.offsets[0][:, None, None], TINY.taps, 8)
    x = net.keep[0](net.up[0](x, w, second), w, third)
    rgb = rgb + net.colours[1](x, w) + net.offsets[1][:, None, None]
    torch.testing.assert_close(net.decode(z), rgb.clamp(-1, 1))


def test_an_image_is_a_function_of_its_row_and_its_noise_maps_change_no_style() -> None:
    net = generator()
    z = normal(2, TINY.row)
    other = z.clone()
    other[:, TINY.latent :] = normal(2, TINY.row - TINY.latent, seed=5)
    torch.testing.assert_close(net.decode(z), net.decode(z), rtol=0, atol=0)
    torch.testing.assert_close(net.styles(z), net.styles(other), rtol=0, atol=0)
    assert (net.decode(z) - net.decode(other)).abs().max() > 1e-3
    with torch.no_grad():
        for layer in (net.first, *net.up, *net.keep):
            layer.noise.zero_()
    torch.testing.assert_close(net.decode(z), net.decode(other), rtol=0, atol=0)


def test_truncation_moves_styles_to_their_mean_and_leaves_them_at_one() -> None:
    net = generator()
    net.w_mean.copy_(normal(5, seed=9))
    z = normal(4, TINY.row)
    w = net.w_mean + 0.3 * (net.styles(z) - net.w_mean)
    expected = net.synthesise(w[:, None].expand(-1, TINY.styles, -1), z).clamp(-1, 1)
    torch.testing.assert_close(net.decode(z, truncation=0.3), expected)
    torch.testing.assert_close(net.decode(z, truncation=1.0), net.decode(z))
    z[:, TINY.latent :] = 0
    at_the_mean = net.decode(z, truncation=0.0)
    torch.testing.assert_close(at_the_mean, at_the_mean[:1].expand(4, -1, -1, -1))
    net.float()
    rng = ImageRng(3, range(4))
    drawn = Latent(truncation=0.3)(net, rng)
    torch.testing.assert_close(drawn, net.decode(ImageRng(3, range(4)).normal(TINY.row), truncation=0.3))


def test_a_decoder_without_truncation_refuses_it() -> None:
    with pytest.raises(CapabilityError, match="no truncation"):
        Latent(truncation=0.5)(Fake(FakeConfig(shape=(2,))), ImageRng(0, range(2)))


def test_a_block_of_the_critic_keeps_the_scale_of_white_inputs() -> None:
    block = DownBlock(32, 32, (1, 1)).double()
    x = normal(4, 32, 8, 8)
    expected = F.leaky_relu(block.conv2(F.leaky_relu(block.conv1(x), 0.2)), 0.2) + sqrt(0.5) * F.conv2d(
        halved(x, (1, 1)), block.shortcut.weight / sqrt(32)
    )
    torch.testing.assert_close(block(x), expected)


def test_normalised_rows_have_a_mean_square_of_one_and_zero_stays() -> None:
    x = normalised(torch.cat([normal(3, 7), torch.zeros(1, 7)]))
    torch.testing.assert_close(x.square().mean(1), torch.tensor([1.0, 1, 1, 0]).double(), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"shape": (1, 8, 7)}, "side"), ({"stages": 3}, "stages"), ({"taps": (1, 2)}, "taps"), ({"taps": (1, 2, 1)}, "taps")],
)
def test_configs_without_meaning_are_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        replace(TINY, **changes)  # type: ignore[arg-type]  # names of fields, by hand


def test_an_augmentation_named_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="once"):
        StyleGANTrainerConfig(augment=("cutout", "cutout"))


def test_critics_of_odd_sides_repeat_the_last_row_and_column() -> None:
    critic = Critic(replace(TINY, shape=(1, 7, 7)), StyleGANTrainerConfig(width=3)).double()
    x = normal(4, 1, 7, 7)
    whole = torch.cat([torch.cat([x, x[..., -1:]], -1), torch.cat([x[..., -1:, :], x[..., -1:, -1:]], -1)], -2)
    assert whole.shape[-2:] == (8, 8)
    torch.testing.assert_close(critic(x), critic(whole))
