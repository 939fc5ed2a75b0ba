"""The layers of generator and critic: residual blocks, conditional batch norm, and the projection onto the class."""

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from zoo_projection_cgan.config import ProjectionCGANTrainerConfig, check_blocks

__all__ = ["ConditionalBatchNorm", "Critic", "DoublingConv", "DownBlock", "HalvingConv", "Projection", "UpBlock", "initialise"]


def initialise(net: nn.Module) -> None:
    """Initialises as the released code: Glorot's uniform weights, with the gain sqrt(2) in residual branches, and zero biases."""
    for name, layer in net.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear | nn.Embedding):
            residual = name.rsplit(".", 1)[-1] in ("conv1", "conv2")
            nn.init.xavier_uniform_(layer.weight, gain=math.sqrt(2) if residual else 1.0)
            if not isinstance(layer, nn.Embedding) and layer.bias is not None:
                nn.init.zeros_(layer.bias)


class ConditionalBatchNorm(nn.Module):
    """Batch norm with a gain and a bias for each class: gain_y (x - mean) / sqrt(var + eps) + bias_y.

    Mean and variance are those of all rows of a batch, of all classes together; in eval mode, their running averages (Dumoulin et al. 2017,
    arXiv:1610.07629, eq. 5, with the statistics of a batch; de Vries et al. 2017, arXiv:1707.00683).

    Example:
        >>> ConditionalBatchNorm(3, num_classes=10)(torch.ones(2, 3, 4, 4), torch.tensor([0, 7])).shape
        torch.Size([2, 3, 4, 4])
    """

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.gain = nn.Parameter(torch.ones(num_classes, channels))
        self.bias = nn.Parameter(torch.zeros(num_classes, channels))

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        """``x`` (n, channels, h, w) normalised, in its dtype, for ``labels`` int64 (n,)."""
        gain, bias = (F.embedding(labels, each).to(x.dtype)[:, :, None, None] for each in (self.gain, self.bias))
        return torch.addcmul(bias, self.norm(x), gain)


def _with_box(kernel: Tensor) -> Tensor:
    """A 3x3 kernel (..., 3, 3) convolved with a box of 2x2 ones: one kernel (..., 4, 4)."""
    padded = F.pad(kernel, (1, 1, 1, 1))
    return padded[..., 1:, 1:] + padded[..., 1:, :-1] + padded[..., :-1, 1:] + padded[..., :-1, :-1]


class _Conv3x3(nn.Conv2d):
    def __init__(self, width_in: int, width: int) -> None:
        super().__init__(width_in, width, 3, padding=1)


class DoublingConv(_Conv3x3):
    """A 3x3 convolution after nearest-neighbour upsampling to twice the side.

    It is computed as one transposed convolution of 4x4 and stride 2, with 4/9 of the multiplications.

    Example:
        >>> DoublingConv(3, 2)(torch.zeros(1, 3, 4, 4)).shape
        torch.Size([1, 2, 8, 8])
    """

    def forward(self, x: Tensor) -> Tensor:
        """(n, width_in, h, w) -> (n, width, 2 h, 2 w)."""
        return F.conv_transpose2d(x, _with_box(self.weight).flip(2, 3).transpose(0, 1), self.bias, stride=2, padding=1)


class HalvingConv(_Conv3x3):
    """A 3x3 convolution before average pooling of 2x2 pixels.

    It is computed as one convolution of 4x4 and stride 2, with 4/9 of the multiplications.

    Example:
        >>> HalvingConv(3, 2)(torch.zeros(1, 3, 4, 4)).shape
        torch.Size([1, 2, 2, 2])
    """

    def forward(self, x: Tensor) -> Tensor:
        """(n, width_in, h, w) -> (n, width, h / 2, w / 2), for even sides."""
        return F.conv2d(x, _with_box(self.weight) / 4, self.bias, stride=2, padding=1)


class UpBlock(nn.Module):
    """Two 3x3 convolutions after conditional batch norm and ReLU, the first of them on twice the side, plus a shortcut.

    Example:
        >>> UpBlock(3, 2, num_classes=10)(torch.zeros(2, 3, 4, 4), torch.tensor([0, 7])).shape
        torch.Size([2, 2, 8, 8])
    """

    def __init__(self, width_in: int, width: int, num_classes: int) -> None:
        super().__init__()
        self.norm1 = ConditionalBatchNorm(width_in, num_classes)
        self.conv1 = DoublingConv(width_in, width)
        self.norm2 = ConditionalBatchNorm(width, num_classes)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.shortcut = nn.Conv2d(width_in, width, 1)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        """(n, width_in, h, w) -> (n, width, 2 h, 2 w)."""
        h = self.conv1(F.relu(self.norm1(x, labels)))
        h = self.conv2(F.relu(self.norm2(h, labels)))
        # A 1x1 convolution commutes with upsampling, and before it takes a quarter of the time.
        out: Tensor = h + F.interpolate(self.shortcut(x), scale_factor=2.0, mode="nearest")
        return out


class DownBlock(nn.Module):
    """Two 3x3 convolutions after ReLU plus a shortcut; a block that ``halves`` ends with the means of 2x2 pixels.

    The ``first`` block of a critic omits the first ReLU, because its input is an image.

    Example:
        >>> DownBlock(3, 2, first=True, halves=True)(torch.zeros(1, 3, 8, 8)).shape
        torch.Size([1, 2, 4, 4])
    """

    def __init__(self, width_in: int, width: int, *, first: bool, halves: bool) -> None:
        super().__init__()
        between = width if first else width_in
        self.first = first
        self.halves = halves
        self.conv1 = nn.Conv2d(width_in, between, 3, padding=1)
        self.conv2 = HalvingConv(between, width) if halves else nn.Conv2d(between, width, 3, padding=1)
        self.shortcut = nn.Conv2d(width_in, width, 1) if halves or width_in != width else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(n, width_in, h, w) -> (n, width, h, w), or half of h and w."""
        h = self.conv2(F.relu(self.conv1(x if self.first else F.relu(x))))
        out: Tensor = h + self.shortcut(F.avg_pool2d(x, 2) if self.halves else x)
        return out


class Projection(nn.Module):
    """v_y . phi + psi(phi) with psi(phi) = w . phi + b (Miyato & Koyama 2018, arXiv:1802.05637, eq. 9 and figure 1d).

    With ``class_bias``, b_y is added: the log-odds of two classes are affine in phi then, as those of a classifier with biases. The paper
    leaves it out.

    Example:
        >>> Projection(8, num_classes=10)(torch.zeros(2, 8), torch.tensor([0, 7])).shape
        torch.Size([2])
    """

    def __init__(self, width: int, num_classes: int, *, class_bias: bool = False) -> None:
        super().__init__()
        self.embed = nn.Embedding(num_classes, width)
        self.linear = nn.Linear(width, 1)
        self.class_bias = nn.Parameter(torch.zeros(num_classes)) if class_bias else None

    def forward(self, phi: Tensor, labels: Tensor) -> Tensor:
        """Outputs (n,) of features ``phi`` (n, width) and ``labels`` int64 (n,)."""
        out: Tensor = (self.embed(labels) * phi).sum(dim=1) + self.linear(phi)[:, 0]
        return out if self.class_bias is None else out + self.class_bias[labels]


class Critic(nn.Module):
    """h(x, y) = v_y . phi(x) + psi(phi(x)), where phi(x) is the sum over the pixels of a residual net's output.

    Every layer, the class embedding too, is divided by its spectral norm, estimated by one step of power iteration in each forward pass of
    training (Miyato et al. 2018, arXiv:1802.05957, section 2.1). A convolution counts as the matrix of its output channels by all else.

    Args:
        shape: shape of an image, (channels, side, side).
        num_classes: number of classes.
        config: widths and number of the blocks.

    Raises:
        ConfigError: if the side of the images does not halve ``config.halvings`` times.

    Example:
        >>> critic = Critic((1, 8, 8), 10, ProjectionCGANTrainerConfig(width=4, multipliers=(1, 1), halvings=1))
        >>> critic(torch.zeros(2, 1, 8, 8), torch.tensor([0, 7])).shape
        torch.Size([2])
    """

    def __init__(self, shape: tuple[int, int, int], num_classes: int, config: ProjectionCGANTrainerConfig) -> None:
        super().__init__()
        check_blocks(shape, config.multipliers, config.halvings)
        widths = [shape[0], *(config.width * multiplier for multiplier in config.multipliers)]
        self.blocks = nn.Sequential(
            *(DownBlock(*pair, first=i == 0, halves=i < config.halvings) for i, pair in enumerate(pairwise(widths)))
        )
        self.project = Projection(widths[-1], num_classes, class_bias=config.class_bias)
        initialise(self)
        for layer in [layer for layer in self.modules() if isinstance(layer, nn.Conv2d | nn.Linear | nn.Embedding)]:
            spectral_norm(layer)

    def features(self, x: Tensor) -> Tensor:
        """phi(x), float32 (n, width), of images ``x`` (n, *shape)."""
        phi: Tensor = F.relu(self.blocks(x)).float().sum(dim=(2, 3))
        return phi

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        """Outputs (n,) of images ``x`` (n, *shape) and ``labels`` int64 (n,)."""
        out: Tensor = self.project(self.features(x), labels)
        return out
