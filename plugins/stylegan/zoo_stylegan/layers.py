"""The layers of generator and critic: equalised learning rates, modulated convolutions, and resampling by a low-pass filter."""

from math import sqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["SLOPE", "EqualConv", "EqualLinear", "ModulatedConv", "doubled", "halved", "normalised"]

SLOPE = 0.2  # of the leaky rectifiers, whose outputs have the gain sqrt(2) in the weights before them


def normalised(z: Tensor) -> Tensor:
    """Rows of ``z`` (n, d) scaled to a mean square of 1."""
    return z * (z.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()


class EqualLinear(nn.Module):
    """A linear layer with an equalised learning rate (Karras et al. 2018, arXiv:1710.10196, section 4.1).

    The parameters have variance 1 / lr^2; the weights that are used are lr / sqrt(width_in) times as large. Adam, whose steps do not
    depend on the scale of the gradient, then changes all layers at the same relative speed, ``lr`` times that of others.

    Args:
        width_in: number of inputs.
        width: number of outputs.
        lr: factor on the learning rate.
        bias: initial value of all biases.
        gain: factor on weights and biases, such as sqrt(2) before a rectifier.

    Example:
        >>> EqualLinear(3, 2)(torch.zeros(1, 3)).shape
        torch.Size([1, 2])
    """

    def __init__(self, width_in: int, width: int, *, lr: float = 1.0, bias: float = 0.0, gain: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(width, width_in) / lr)
        self.bias = nn.Parameter(torch.full((width,), bias / lr))
        self.scale = gain * lr / sqrt(width_in)
        self.bias_scale = gain * lr

    def forward(self, x: Tensor) -> Tensor:
        """(n, width_in) -> (n, width)."""
        return F.linear(x, self.weight * self.scale, self.bias * self.bias_scale)


class EqualConv(nn.Module):
    """A convolution of kernel x kernel with an equalised learning rate, which keeps the side or, with ``taps``, halves an even one.

    A halving convolution is one of the filtered image: both kernels are convolved into one of stride 2.

    Args:
        width_in: number of input channels.
        width: number of output channels.
        kernel: side of the kernel, 1 or 3.
        bias: whether there are biases.
        gain: factor on weights and biases, such as sqrt(2) before a rectifier.
        taps: filter of a halving convolution, as :func:`halved` takes it.

    Example:
        >>> EqualConv(3, 2, 3, taps=(1, 3, 3, 1))(torch.zeros(1, 3, 8, 8)).shape
        torch.Size([1, 2, 4, 4])
    """

    def __init__(self, width_in: int, width: int, kernel: int, *, bias: bool = True, gain: float = 1.0, taps: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(width, width_in, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(width)) if bias else None
        self.gain = gain
        self.scale = gain / sqrt(width_in * kernel**2)
        self.taps = taps

    def forward(self, x: Tensor) -> Tensor:
        """(n, width_in, h, w) -> (n, width, h, w), or half of h and w."""
        weight = self.weight * self.scale
        bias = None if self.bias is None else self.bias * self.gain
        if self.taps:
            kernel = filtered(weight, self.taps)
            return F.conv2d(x, kernel, bias, stride=2, padding=(kernel.shape[-1] - 2) // 2)
        return F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)


class ModulatedConv(nn.Module):
    """A convolution whose input channels are scaled by a style, and whose outputs are scaled back to unit variance.

    With the style s = A(w), row by row, the weights are w'_ijk = s_i w_ijk and then w''_ijk = w'_ijk / sqrt(sum_ik w'_ijk^2 + eps)
    (Karras et al. 2020, arXiv:1912.04958, eqs. 1 to 3; j counts outputs). A convolution is linear, so that the input channels are scaled
    instead of the weights, and the outputs divided by their norm: no row needs kernels of its own.

    Args:
        width_in: number of input channels.
        width: number of output channels.
        kernel: side of the kernel, 1 or 3.
        style: dimension of w.
        demodulate: whether to divide by the norm; the layers of colours do not.
        taps: filter of a convolution that doubles the side, as :func:`doubled` takes it.

    Example:
        >>> ModulatedConv(3, 2, 3, style=5, taps=(1, 1))(torch.zeros(1, 3, 4, 4), torch.zeros(1, 5)).shape
        torch.Size([1, 2, 8, 8])
    """

    def __init__(self, width_in: int, width: int, kernel: int, *, style: int, demodulate: bool = True, taps: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(width, width_in, kernel, kernel))
        self.affine = EqualLinear(style, width_in, bias=1.0)
        self.scale = 1 / sqrt(width_in * kernel**2)
        self.demodulate = demodulate
        self.taps = taps

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """(n, width_in, h, w) and styles ``w`` (n, style) -> (n, width, h, w), or twice h and w."""
        y, factor = self.parts(x, w)
        return y if factor is None else y * factor

    def parts(self, x: Tensor, w: Tensor) -> tuple[Tensor, Tensor | None]:
        """What :meth:`forward` returns as two factors: the convolution of the scaled inputs, and the demodulation (n, width, 1, 1)."""
        weight = self.weight * self.scale
        style = self.affine(w)
        y = self._convolved(x * style[:, :, None, None].to(x.dtype), weight)
        if not self.demodulate:
            return y, None
        norm = (style.square() @ weight.square().sum(dim=(2, 3)).T + 1e-8).rsqrt()
        return y, norm[:, :, None, None].to(y.dtype)

    def _convolved(self, x: Tensor, weight: Tensor) -> Tensor:
        if not self.taps:
            return F.conv2d(x, weight, padding=weight.shape[-1] // 2)
        # Zeros between the pixels, the 3x3 kernel, and the filter: one transposed convolution.
        kernel = 4 * filtered(weight, self.taps).flip(2, 3).transpose(0, 1)
        return F.conv_transpose2d(x, kernel, stride=2, padding=len(self.taps) // 2)


def _separable(taps: tuple[int, ...], like: Tensor) -> Tensor:
    """The kernel (1, 1, k, k) of a filter, of sum 1."""
    row = torch.tensor(taps, dtype=like.dtype, device=like.device)
    return (row.outer(row) / row.sum() ** 2)[None, None]


def filtered(weight: Tensor, taps: tuple[int, ...]) -> Tensor:
    """The kernel of a convolution with ``weight`` (o, i, k, k) and then with a filter: (o, i, k + len(taps) - 1, ...).

    A sum of shifted kernels: a convolution of so many small images would take longer than that of the feature maps.
    """
    last = len(taps) - 1
    for way in (lambda i: (0, 0, i, last - i), lambda i: (i, last - i, 0, 0)):
        shifted = [F.pad(weight, way(i)) * (tap / sum(taps)) for i, tap in enumerate(taps)]
        weight = torch.stack(shifted).sum(dim=0)
    return weight


def doubled(x: Tensor, taps: tuple[int, ...], side: int) -> Tensor:
    """Images (n, c, h, h) at twice the side, zeros between the pixels and then a filter, cut to ``side``: (n, c, side, side).

    >>> doubled(torch.ones(1, 1, 2, 2), (1, 1), 3).shape
    torch.Size([1, 1, 3, 3])
    """
    channels = x.shape[1]
    kernel = 4 * _separable(taps, x).expand(channels, -1, -1, -1)
    return F.conv_transpose2d(x, kernel, stride=2, padding=(len(taps) - 2) // 2, groups=channels)[:, :, :side, :side]


def halved(x: Tensor, taps: tuple[int, ...]) -> Tensor:
    """Images (n, c, h, h) of an even side at half of it: a filter, and then every second pixel.

    >>> halved(torch.ones(1, 1, 4, 4), (1, 1)).tolist()
    [[[[1.0, 1.0], [1.0, 1.0]]]]
    """
    if taps == (1, 1):
        return F.avg_pool2d(x, 2)
    channels = x.shape[1]
    kernel = _separable(taps, x).expand(channels, -1, -1, -1)
    return F.conv2d(x, kernel, stride=2, padding=(len(taps) - 2) // 2, groups=channels)
