"""Self-attention with a gate, the norm that the condition scales, orthogonal weights, and truncation."""

from math import sqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo_core.arguments import level_dtype
from zoo_core.models.spectral import Conv, Linear, settle

__all__ = ["ConditionNorm", "SelfAttention", "orthogonal_", "orthogonal_penalty", "truncated"]


class SelfAttention(nn.Module):
    """x + gamma o(softmax(f(x)^T g(x)) h(x)) with 1x1 convolutions f, g, h and o, and a gate gamma that begins at 0.

    Zhang et al. 2019, arXiv:1805.08318, eqs. 1 to 3. As in the code of Brock et al., f and g have an eighth of the channels and h a half,
    no layer has a bias, and g and h are max-pooled to half the side, so that each pixel attends to a quarter as many places. All weights
    are divided by their spectral norms.

    Args:
        width: number of channels.

    Example:
        >>> layer, x = SelfAttention(16), torch.ones(1, 16, 4, 4)
        >>> torch.equal(layer(x), x)
        True
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        narrow, half = max(1, width // 8), max(1, width // 2)
        self.f = Conv(width, narrow, 1, bias=False, spectral=True)
        self.g = Conv(width, narrow, 1, bias=False, spectral=True)
        self.h = Conv(width, half, 1, bias=False, spectral=True)
        self.o = Conv(half, width, 1, bias=False, spectral=True)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """(n, width, h, w) -> the same shape."""
        queries, keys, values = (each.flatten(2) for each in (self.f(x), F.max_pool2d(self.g(x), 2), F.max_pool2d(self.h(x), 2)))
        shares = torch.bmm(queries.transpose(1, 2), keys).softmax(dim=2)  # (n, places, places that are seen)
        seen = torch.bmm(values, shares.to(values.dtype).transpose(1, 2)).reshape(len(x), -1, *x.shape[2:])
        out: Tensor = torch.addcmul(x, self.o(seen).to(x.dtype), self.gamma.to(x.dtype))
        return out


class ConditionNorm(nn.Module):
    """Batch norm whose gain and bias are linear in a condition c: (1 + A c) (x - mean) / sqrt(var + eps) + B c.

    A and B are divided by their spectral norms.

    Args:
        channels: number of channels.
        condition: dimension of c.

    Example:
        >>> ConditionNorm(3, 5)(torch.ones(2, 3, 4, 4), torch.zeros(2, 5)).shape
        torch.Size([2, 3, 4, 4])
    """

    def __init__(self, channels: int, condition: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.gain = Linear(condition, channels, bias=False, spectral=True)
        self.bias = Linear(condition, channels, bias=False, spectral=True)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """``x`` (n, channels, h, w) normalised, in its dtype, under ``condition`` (n, condition)."""
        gain, bias = (layer(condition).to(x.dtype)[:, :, None, None] for layer in (self.gain, self.bias))
        return torch.addcmul(bias, self.norm(x), 1 + gain)


def orthogonal_(net: nn.Module) -> None:
    """Sets all convolutions, linear layers and embeddings to orthogonal weights (Saxe et al. 2014, arXiv:1312.6120), and biases to 0.

    Spectral norms are settled for these weights.
    """
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear | nn.Embedding):
            nn.init.orthogonal_(layer.weight)
            if not isinstance(layer, nn.Embedding) and layer.bias is not None:
                nn.init.zeros_(layer.bias)
    settle(net)


def orthogonal_penalty(weight: Tensor) -> Tensor:
    """|W W^T * (1 - I)|^2, (): the squared products of all pairs of filters, while their lengths are free.

    Brock et al. 2019, arXiv:1809.11096, eq. 3, whose columns are the rows of W here.

    >>> orthogonal_penalty(torch.tensor([[3.0, 0.0], [0.0, 2.0]])).item(), orthogonal_penalty(torch.tensor([[1.0], [2.0]])).item()
    (0.0, 8.0)

    Args:
        weight: weight whose first dimension counts filters.
    """
    rows = weight.flatten(1)
    with torch.autocast(weight.device.type, enabled=False):
        products = rows @ rows.T
        return (products - products.diagonal().diag()).square().sum()


def truncated(z: Tensor, bound: float) -> Tensor:
    """Standard normal numbers ``z`` as normal numbers truncated to [-bound, bound], of the same shape.

    Brock et al. 2019 (arXiv:1809.11096, section 3.1) draw a number again while its magnitude is above the bound. The quantile function of
    that distribution, z' = sqrt(2) erfinv(erf(z / sqrt(2)) erf(bound / sqrt(2))), maps z to it without further draws: z' rises with z, and
    is z itself for a large bound.

    >>> truncated(torch.tensor([-1.0, 0.0, 9.0]), 0.5)
    tensor([-0.3337,  0.0000,  0.5000])
    """
    wide = z.to(level_dtype(z.device))
    share = torch.erf(torch.tensor(bound / sqrt(2), dtype=wide.dtype, device=z.device))
    inside = sqrt(2) * torch.erfinv(torch.erf(wide / sqrt(2)) * share)
    # Far outside, erf is 1 and its inverse infinite.
    return torch.minimum(inside.abs(), wide.abs().clamp(max=bound)).copysign(wide).to(z.dtype)
