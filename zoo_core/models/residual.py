"""Residual blocks of generators and critics, with resampling in the kernels, and the projection onto a class."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo_core.models.spectral import Conv, Embedding, Linear

__all__ = ["DoublingConv", "DownBlock", "HalvingConv", "Projection", "UpBlock"]


def _with_box(kernel: Tensor) -> Tensor:
    """A 3x3 kernel (..., 3, 3) convolved with a box of 2x2 ones: one kernel (..., 4, 4)."""
    padded = F.pad(kernel, (1, 1, 1, 1))
    return padded[..., 1:, 1:] + padded[..., 1:, :-1] + padded[..., :-1, 1:] + padded[..., :-1, :-1]


class DoublingConv(Conv):
    """A 3x3 convolution after nearest-neighbour upsampling to twice the side.

    It is computed as one transposed convolution of 4x4 and stride 2, with 4/9 of the multiplications. The arguments are those of
    :class:`~zoo_core.models.spectral.Conv`.

    Example:
        >>> DoublingConv(3, 2)(torch.zeros(1, 3, 4, 4)).shape
        torch.Size([1, 2, 8, 8])
    """

    def forward(self, x: Tensor) -> Tensor:
        """(n, width_in, h, w) -> (n, width, 2 h, 2 w)."""
        return F.conv_transpose2d(x, _with_box(self.kernel).flip(2, 3).transpose(0, 1), self.bias, stride=2, padding=1)


class HalvingConv(Conv):
    """A 3x3 convolution before average pooling of 2x2 pixels.

    It is computed as one convolution of 4x4 and stride 2, with 4/9 of the multiplications. The arguments are those of
    :class:`~zoo_core.models.spectral.Conv`.

    Example:
        >>> HalvingConv(3, 2)(torch.zeros(1, 3, 4, 4)).shape
        torch.Size([1, 2, 2, 2])
    """

    def forward(self, x: Tensor) -> Tensor:
        """(n, width_in, h, w) -> (n, width, h / 2, w / 2), for even sides."""
        return F.conv2d(x, _with_box(self.kernel) / 4, self.bias, stride=2, padding=1)


class UpBlock(nn.Module):
    """Two 3x3 convolutions after a conditional norm and ReLU, the first of them on twice the side, plus a shortcut.

    Args:
        width_in: number of input channels.
        width: number of output channels.
        norm: function from a number of channels to a module that normalises (n, channels, h, w) under a condition.
        spectral: whether the convolutions' weights are divided by their spectral norms.

    Example:
        >>> class Shift(nn.BatchNorm2d):
        ...     def forward(self, x, condition):
        ...         return super().forward(x) + condition[:, None, None, None]
        >>> UpBlock(3, 2, Shift)(torch.zeros(2, 3, 4, 4), torch.tensor([0.0, 1.0])).shape
        torch.Size([2, 2, 8, 8])
    """

    def __init__(self, width_in: int, width: int, norm: Callable[[int], nn.Module], *, spectral: bool = False) -> None:
        super().__init__()
        self.norm1 = norm(width_in)
        self.conv1 = DoublingConv(width_in, width, spectral=spectral)
        self.norm2 = norm(width)
        self.conv2 = Conv(width, width, spectral=spectral)
        self.shortcut = Conv(width_in, width, 1, spectral=spectral)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """(n, width_in, h, w) -> (n, width, 2 h, 2 w), under a ``condition`` as the norm takes it, such as labels (n,)."""
        h = self.conv1(F.relu(self.norm1(x, condition)))
        h = self.conv2(F.relu(self.norm2(h, condition)))
        # A 1x1 convolution commutes with upsampling, and before it takes a quarter of the time.
        out: Tensor = h + F.interpolate(self.shortcut(x), scale_factor=2.0, mode="nearest")
        return out


class DownBlock(nn.Module):
    """Two 3x3 convolutions after ReLU plus a shortcut; a block that ``halves`` ends with the means of 2x2 pixels.

    Args:
        width_in: number of input channels.
        width: number of output channels.
        first: whether it is a critic's first block, which omits the first ReLU because its input is an image.
        halves: whether it halves the side.
        wide: whether there are as many channels between the two convolutions as at the output, and not as at the input; so it is in the
            first block.
        spectral: whether the weights are divided by their spectral norms.

    Example:
        >>> DownBlock(3, 2, first=True, halves=True)(torch.zeros(1, 3, 8, 8)).shape
        torch.Size([1, 2, 4, 4])
    """

    def __init__(self, width_in: int, width: int, *, first: bool, halves: bool, wide: bool = False, spectral: bool = False) -> None:
        super().__init__()
        between = width if first or wide else width_in
        self.first = first
        self.halves = halves
        self.conv1 = Conv(width_in, between, spectral=spectral)
        self.conv2 = (HalvingConv if halves else Conv)(between, width, spectral=spectral)
        self.shortcut = Conv(width_in, width, 1, spectral=spectral) if halves or width_in != width else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(n, width_in, h, w) -> (n, width, h, w), or half of h and w."""
        h = self.conv2(F.relu(self.conv1(x if self.first else F.relu(x))))
        out: Tensor = h + self.shortcut(F.avg_pool2d(x, 2) if self.halves else x)
        return out


class Projection(nn.Module):
    """v_y . phi + psi(phi) with psi(phi) = w . phi + b (Miyato & Koyama 2018, arXiv:1802.05637, eq. 9 and figure 1d).

    With ``class_bias``, b_y is added: the log-odds of two classes are affine in phi then, as those of a classifier with biases. The paper
    leaves it out. With ``spectral``, vectors and w are divided by their spectral norms.

    Example:
        >>> Projection(8, num_classes=10)(torch.zeros(2, 8), torch.tensor([0, 7])).shape
        torch.Size([2])
    """

    def __init__(self, width: int, num_classes: int, *, class_bias: bool = False, spectral: bool = False) -> None:
        super().__init__()
        self.embed = Embedding(num_classes, width, spectral=spectral)
        self.linear = Linear(width, 1, spectral=spectral)
        self.class_bias = nn.Parameter(torch.zeros(num_classes)) if class_bias else None

    def forward(self, phi: Tensor, labels: Tensor) -> Tensor:
        """Outputs (n,) of features ``phi`` (n, width) and ``labels`` int64 (n,)."""
        out: Tensor = (self.embed(labels) * phi).sum(dim=1) + self.linear(phi)[:, 0]
        return out if self.class_bias is None else out + self.class_bias[labels]
