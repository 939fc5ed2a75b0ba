"""Generators and critics, as sequences of layers, initialised as in the authors' code."""

from itertools import pairwise
from math import ceil, sqrt
from typing import Literal

import torch
from torch import Tensor, nn

from zoo_wgan_gp.config import WGANGPConfig

__all__ = ["Halved", "Rectifier", "Residual", "critic", "generator"]


def generator(config: WGANGPConfig) -> nn.Sequential:
    """A net from latents (n, latent) to images (n, *shape) in [-1, 1]."""
    net = _conv_generator(config) if config.net == "conv" else _resnet_generator(config)
    return _initialise(net)


def critic(config: WGANGPConfig, width: int) -> nn.Sequential:
    """A net from images (n, *shape) to outputs (n,), in which no row depends on another."""
    net = _conv_critic(config, width) if config.net == "conv" else _resnet_critic(config, width)
    return _initialise(net)


def _conv_generator(config: WGANGPConfig) -> nn.Sequential:
    channels = [config.width << i for i in reversed(range(config.stages))]
    sides = [ceil(config.shape[1] / 2**i) for i in reversed(range(config.stages + 1))]
    coarsest = (channels[0], sides[0], sides[0])
    norm = config.norm == "batch"
    layers: list[nn.Module] = [nn.Linear(config.latent, channels[0] * sides[0] ** 2), nn.Unflatten(1, coarsest)]
    for (inputs, outputs), (_, side) in zip(pairwise([*channels, config.shape[0]]), pairwise(sides), strict=True):
        # Odd sides are twice the side before, less 1: 4 -> 7.
        up = nn.ConvTranspose2d(inputs, outputs, 5, stride=2, padding=2, output_padding=1 - side % 2)
        layers += [*_norm(inputs, norm), nn.ReLU(), up]
    return nn.Sequential(*layers, nn.Tanh())


def _conv_critic(config: WGANGPConfig, width: int) -> nn.Sequential:
    channels = [width << i for i in range(config.stages)]
    side = ceil(config.shape[1] / 2**config.stages)
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise([config.shape[0], *channels]):
        layers += [nn.Conv2d(inputs, outputs, 5, stride=2, padding=2), Rectifier(0.2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels[-1] * side**2, 1), nn.Flatten(0))


def _resnet_generator(config: WGANGPConfig) -> nn.Sequential:
    width = config.width
    side = config.shape[1] >> config.stages
    norm = config.norm == "batch"
    blocks = [Residual(width, width, resample="up", norm=norm) for _ in range(config.stages)]
    first = [nn.Linear(config.latent, width * side**2), nn.Unflatten(1, (width, side, side))]
    last = [*_norm(width, norm), nn.ReLU(), nn.Conv2d(width, config.shape[0], 3, padding=1), nn.Tanh()]
    return nn.Sequential(*first, *blocks, *last)


def _resnet_critic(config: WGANGPConfig, width: int) -> nn.Sequential:
    return nn.Sequential(
        Residual(config.shape[0], width, resample="down", first=True),
        Residual(width, width, resample="down"),
        Residual(width, width),
        Residual(width, width),
        Rectifier(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(width, 1),
        nn.Flatten(0),
    )


class Rectifier(nn.Module):
    """max(x, slope x), as a product with a mask without gradient.

    The second derivative of torch's rectifiers is a tensor of zeros, which a gradient penalty sends back through all layers below.

    Args:
        slope: slope for negative inputs.

    Example:
        >>> Rectifier(0.5)(torch.tensor([-2.0, 2.0])).tolist()
        [-1.0, 2.0]
    """

    def __init__(self, slope: float = 0.0) -> None:
        super().__init__()
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        mask = (x > 0).to(x.dtype)
        return x * (mask.mul_(1 - self.slope).add_(self.slope) if self.slope else mask)


class Halved(nn.Module):
    """Means of 2x2 pixels. Like torch's rectifiers, torch's pooling sends zeros back in a gradient penalty.

    Example:
        >>> Halved()(torch.ones(1, 3, 4, 4)).shape
        torch.Size([1, 3, 2, 2])
    """

    def forward(self, x: Tensor) -> Tensor:
        n, channels, height, width = x.shape
        return x.view(n, channels, height // 2, 2, width // 2, 2).mean((3, 5))


class Residual(nn.Module):
    """x + conv(relu(norm(conv(relu(norm(x)))))), with both summands doubled or halved in side (arXiv:1704.00028, appendix F).

    Upsampling repeats pixels before the first convolution; downsampling averages 2x2 pixels after the second. If the shapes differ, the
    shortcut has a 1x1 convolution at the smaller side, which commutes with both.

    Args:
        inputs: number of input channels.
        outputs: number of output channels.
        resample: ``up`` doubles the side, ``down`` halves it, None keeps it.
        norm: adds batch norms.
        first: omits norm and rectifier before the first convolution, for the critic's block whose input is the image.

    Example:
        >>> Residual(3, 2, resample="down", first=True)(torch.zeros(1, 3, 4, 4)).shape
        torch.Size([1, 2, 2, 2])
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        resample: Literal["up", "down"] | None = None,
        norm: bool = False,
        first: bool = False,
    ) -> None:
        super().__init__()
        up = nn.Upsample(scale_factor=2)
        down = Halved()
        self.net = nn.Sequential(
            *([] if first else [*_norm(inputs, norm), Rectifier()]),
            *([up] if resample == "up" else []),
            nn.Conv2d(inputs, outputs, 3, padding=1),
            *_norm(outputs, norm),
            Rectifier(),
            nn.Conv2d(outputs, outputs, 3, padding=1),
            *([down] if resample == "down" else []),
        )
        past = [*([down] if resample == "down" else []), nn.Conv2d(inputs, outputs, 1), *([up] if resample == "up" else [])]
        self.past = nn.Sequential(*([] if resample is None and inputs == outputs else past))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.past(x) + self.net(x)
        return y


def _norm(channels: int, norm: bool) -> list[nn.Module]:
    return [nn.BatchNorm2d(channels)] if norm else []


@torch.no_grad()
def _initialise(net: nn.Sequential) -> nn.Sequential:
    """Sets uniform weights of variance 4 / (fan_in + fan_out) in convolutions next to rectifiers, of half of it elsewhere, and zero biases.

    Returns the net. The fan at the finer side of a strided convolution is divided by stride^2, since each value meets fewer weights there.
    """
    convolutions = [layer for layer in net.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
    for layer in net.modules():
        if isinstance(layer, nn.Linear):
            _uniform(layer, 2 / (layer.in_features + layer.out_features))
    for layer in convolutions:
        kernel = layer.kernel_size[0] ** 2
        stride = layer.stride[0] ** 2
        transposed = isinstance(layer, nn.ConvTranspose2d)
        fan_in = layer.in_channels * kernel
        fan_out = layer.out_channels * kernel
        fans = fan_in / stride + fan_out if transposed else fan_in + fan_out / stride
        # Without a rectifier: shortcuts, and the last convolution of a generator of residual blocks.
        plain = kernel == 1 or (not transposed and isinstance(net[-1], nn.Tanh) and layer is convolutions[-1])
        _uniform(layer, (2 if plain else 4) / fans)
    return net


def _uniform(layer: nn.Linear | nn.Conv2d | nn.ConvTranspose2d, variance: float) -> None:
    bound = sqrt(3 * variance)
    layer.weight.uniform_(-bound, bound)
    if layer.bias is not None:
        layer.bias.zero_()
