"""Conditional batch norm, initial weights, and the critic."""

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from zoo_core.models.config import check_blocks
from zoo_core.models.residual import DownBlock, Projection
from zoo_projection_cgan.config import ProjectionCGANTrainerConfig

__all__ = ["ConditionalBatchNorm", "Critic", "initialise"]


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
