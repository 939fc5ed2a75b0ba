"""The RefineNet of NCSN (Song & Ermon 2019, arXiv:1907.05600, appendix A; 2020, arXiv:2006.09011, appendix A).

Stages of residual blocks reduce the resolution, or widen their receptive field by dilation instead. Refinements go back up: each fuses the
output of its stage with that of the coarser refinement (Lin et al. 2016, arXiv:1611.06612). Activations are ELUs, and instance norms keep
the means.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo_ncsn_langevin.config import NCSNConfig
from zoo_ncsn_langevin.embedding import LogSigma

__all__ = ["InstanceNormPlus", "RefineNet", "instance_norm_plus"]

LINKS = 2  # pools in a chain
POOL_SIDE = 5
Norm = Callable[[int], nn.Module]
"""From a number of channels to a norm, which is called with its input and the noise level."""


def instance_norm_plus(x: Tensor, gamma: Tensor, alpha: Tensor, beta: Tensor, eps: float = 1e-5) -> Tensor:
    """gamma * (instance norm of x + alpha * (mu - m) / v) + beta (arXiv:1907.05600, appendix A.1), with sums in float32 or wider.

    mu are the means over the pixels, which the instance norm removes; m and v^2 are the mean and variance of mu over the channels.

    Args:
        x: features (n, c, h, w).
        gamma: scale, (n, c), of float32 or wider.
        alpha: weight of the normalised means, (n, c), of the same dtype.
        beta: shift, (n, c), of the same dtype.
        eps: number added to both variances.
    """
    n, c, h, w = x.shape
    mu = x.mean((2, 3), dtype=gamma.dtype)
    variance, m = torch.var_mean(mu, dim=1, keepdim=True)
    shift = gamma * alpha * (mu - m) * (variance + eps).rsqrt() + beta
    # A batch norm of n * c channels is one kernel, with an affine part for each, and takes bfloat16 inputs with float32 weights.
    rows = x.reshape(1, n * c, h, w)
    return F.batch_norm(rows, None, None, gamma.reshape(-1), shift.reshape(-1), training=True, eps=eps).view(n, c, h, w)


class InstanceNormPlus(nn.Module):
    """Conditional instance normalisation++ (:func:`instance_norm_plus`).

    Args:
        channels: number of channels.
        table: gamma, alpha and beta, 3 * channels numbers, of each level: an embedding of its index, or a linear map of its embedding.

    Example:
        >>> norm = InstanceNormPlus(4, nn.Embedding(10, 12))
        >>> norm(torch.zeros(2, 4, 8, 8), torch.tensor([0, 9])).shape
        torch.Size([2, 4, 8, 8])
    """

    def __init__(self, channels: int, table: nn.Embedding | nn.Linear) -> None:
        super().__init__()
        self.table = table
        rows = table.weight if isinstance(table, nn.Embedding) else table.bias[None]
        with torch.no_grad():
            rows[:, : 2 * channels].normal_(1, 0.02)
            rows[:, 2 * channels :].zero_()

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            gamma, alpha, beta = self.table(level).chunk(3, dim=1)
            return instance_norm_plus(x, gamma, alpha, beta)


class NoNorm(nn.Module):
    """The identity: NCSNv2 has norms in its residual blocks only."""

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        return x


def average(x: Tensor) -> Tensor:
    """``x`` (n, c, h, w) averaged over 5x5 pixels, with zeros beyond the border; as a convolution it takes a tenth of the time."""
    channels = x.shape[1]
    kernel = x.new_full((channels, 1, POOL_SIDE, POOL_SIDE), POOL_SIDE**-2)
    return F.conv2d(x, kernel, padding=POOL_SIDE // 2, groups=channels)


def maximum(x: Tensor) -> Tensor:
    """The maxima of ``x`` (n, c, h, w) over 5x5 pixels."""
    return F.max_pool2d(x, POOL_SIDE, 1, padding=POOL_SIDE // 2)


def convolution(width_in: int, width: int, dilation: int = 1, bias: bool = True) -> nn.Conv2d:
    """A 3x3 convolution that keeps the side."""
    return nn.Conv2d(width_in, width, 3, padding=dilation, dilation=dilation, bias=bias)


def convolve_and_halve(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """``conv`` (3x3, not dilated) of ``x`` (n, c, h, w), averaged over 2x2 pixels: one convolution of stride 2 with a kernel of 4x4."""
    corners = [F.pad(conv.weight, (right, 1 - right, down, 1 - down)) for right in (0, 1) for down in (0, 1)]
    weight = torch.stack(corners).mean(0)
    return F.conv2d(x, weight, conv.bias, stride=2, padding=1)


class ResBlock(nn.Module):
    """Norm, ELU and convolution, twice, plus a shortcut; with ``halve``, both are averaged over 2x2 pixels at the end."""

    def __init__(self, width_in: int, width: int, norm: Norm, dilation: int, *, enters: bool, halve: bool) -> None:
        super().__init__()
        self.halve = halve
        self.norm1 = norm(width_in)
        self.conv1 = convolution(width_in, width_in, dilation)
        self.norm2 = norm(width_in)
        self.conv2 = convolution(width_in, width, dilation)
        self.shortcut: nn.Module = nn.Identity()
        if enters:
            self.shortcut = nn.Conv2d(width_in, width, 1) if halve else convolution(width_in, width, dilation)

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        h = self.conv1(F.elu(self.norm1(x, level)))
        h = F.elu(self.norm2(h, level))
        if self.halve:
            return self.shortcut(F.avg_pool2d(x, 2)) + convolve_and_halve(h, self.conv2)
        return self.shortcut(x) + self.conv2(h)


class ConvolutionUnit(nn.Module):
    """A residual convolution unit: norm, ELU and convolution, twice, plus the identity."""

    def __init__(self, width: int, norm: Norm) -> None:
        super().__init__()
        self.norms = nn.ModuleList([norm(width) for _ in range(2)])
        self.convs = nn.ModuleList([convolution(width, width, bias=False) for _ in range(2)])

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        h = x
        for norm, conv in zip(self.norms, self.convs, strict=True):
            h = conv(F.elu(norm(h, level)))
        return x + h


class Fusion(nn.Module):
    """Multi-resolution fusion: the sum of all inputs, each convolved and enlarged to the side of the first."""

    def __init__(self, widths_in: Sequence[int], width: int, norm: Norm) -> None:
        super().__init__()
        self.norms = nn.ModuleList([norm(width_in) for width_in in widths_in])
        self.convs = nn.ModuleList([convolution(width_in, width) for width_in in widths_in])

    def forward(self, inputs: Sequence[Tensor], level: Tensor) -> Tensor:
        size = inputs[0].shape[2:]
        parts = [conv(norm(x, level)) for x, norm, conv in zip(inputs, self.norms, self.convs, strict=True)]
        larger = [x if x.shape[2:] == size else F.interpolate(x, size, mode="bilinear", align_corners=True) for x in parts]
        return larger[0] + larger[1]


class Pooling(nn.Module):
    """Chained residual pooling: 5x5 pools of stride 1, each followed by a convolution; the sum of all links of the chain.

    The first version averages, the second takes the maximum.
    """

    def __init__(self, width: int, norm: Norm, pool: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.pool = pool
        self.norms = nn.ModuleList([norm(width) for _ in range(LINKS)])
        self.convs = nn.ModuleList([convolution(width, width, bias=False) for _ in range(LINKS)])

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        total = link = F.elu(x)
        for norm, conv in zip(self.norms, self.convs, strict=True):
            link = conv(self.pool(norm(link, level)))
            total = total + link
        return total


class Refinement(nn.Module):
    """Residual convolution units for each input, then fusion, pooling, and units for the output."""

    def __init__(
        self, widths_in: Sequence[int], width: int, norm: Norm, pool: Callable[[Tensor], Tensor], units: int, units_out: int
    ) -> None:
        super().__init__()
        self.adapt = nn.ModuleList([nn.ModuleList([ConvolutionUnit(each, norm) for _ in range(units)]) for each in widths_in])
        self.fuse = Fusion(widths_in, width, norm) if len(widths_in) > 1 else None
        self.pool = Pooling(width, norm, pool)
        self.output = nn.ModuleList([ConvolutionUnit(width, norm) for _ in range(units_out)])

    def forward(self, inputs: Sequence[Tensor], level: Tensor) -> Tensor:
        adapted = [_apply(units, x, level) for x, units in zip(inputs, self.adapt, strict=True)]
        x = adapted[0] if self.fuse is None else self.fuse(adapted, level)
        return _apply(self.output, self.pool(x, level), level)


def _apply(layers: object, x: Tensor, level: Tensor) -> Tensor:
    assert isinstance(layers, nn.ModuleList)
    for layer in layers:
        x = layer(x, level)
    return x


class RefineNet(nn.Module):
    """Images (n, channels, side, side) and levels (n,) -> outputs of the images' shape.

    The config's form decides about levels: for ``edm`` they are log sigma, for ``score`` indices, and for ``scaled`` zeros.

    Example:
        >>> net = RefineNet(NCSNConfig(shape=(1, 8, 8), width=4, multipliers=(1, 2), dilations=(1, 1)))
        >>> net(torch.zeros(2, 1, 8, 8), torch.zeros(2)).shape
        torch.Size([2, 1, 8, 8])
    """

    def __init__(self, config: NCSNConfig) -> None:
        super().__init__()
        channels = config.shape[0]
        widths = [config.width * multiplier for multiplier in config.multipliers]
        self.embed = LogSigma(4 * config.width) if config.form == "edm" else None

        def norm(width: int) -> nn.Module:
            if config.form == "edm":
                return InstanceNormPlus(width, nn.Linear(4 * config.width, 3 * width))
            return InstanceNormPlus(width, nn.Embedding(config.levels if config.form == "score" else 1, 3 * width))

        second = config.form == "scaled"
        inner: Norm = (lambda _: NoNorm()) if second else norm
        pool = maximum if second else average

        self.enter = convolution(channels, widths[0])
        self.stages = nn.ModuleList()
        for i, (width, dilation) in enumerate(zip(widths, config.dilations, strict=True)):
            first = ResBlock(widths[max(i - 1, 0)], width, norm, dilation, enters=i > 0, halve=i > 0 and dilation == 1)
            rest = [ResBlock(width, width, norm, dilation, enters=False, halve=False) for _ in range(config.blocks - 1)]
            self.stages.append(nn.ModuleList([first, *rest]))

        self.refinements = nn.ModuleList()
        inputs = [widths[-1]]
        for i in reversed(range(len(widths))):
            out = widths[max(i - 1, 0)] if len(inputs) > 1 else widths[i]
            units_out = config.units + 1 if i == 0 else 1
            self.refinements.append(Refinement(inputs, out, inner, pool, config.units, units_out))
            inputs = [widths[i - 1], out]

        self.norm = norm(widths[0])
        self.leave = convolution(widths[0], channels)

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        if self.embed is not None:
            with torch.autocast(x.device.type, enabled=False):
                level = self.embed(level)
        h = self.enter(x)
        outputs = []
        for stage in self.stages:
            h = _apply(stage, h, level)
            outputs.append(h)
        first, *rest = self.refinements
        h = first([outputs.pop()], level)
        for refinement in rest:
            h = refinement([outputs.pop(), h], level)
        return self.leave(F.elu(self.norm(h, level)))
