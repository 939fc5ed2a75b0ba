"""The U-Net of Ho et al. 2020 (arXiv:2006.11239, appendix B), with optional linear attention and resampling without convolutions."""

import math
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo_core.models.config import UNetConfig

__all__ = ["Norm", "Pointwise", "UNet", "timestep_embedding"]


_Layer = TypeVar("_Layer", bound=nn.Module)


def timestep_embedding(t: Tensor, dim: int) -> Tensor:
    """Sinusoids of times ``t`` (n,), which may be fractions, as float32 (n, dim) (Vaswani et al. 2017, arXiv:1706.03762, section 3.5)."""
    half = dim // 2
    frequency = torch.exp(torch.arange(half, device=t.device, dtype=torch.float32) * (-math.log(10_000.0) / max(half - 1, 1)))
    angle = t.float()[:, None] * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=1)


class Norm(nn.GroupNorm):
    """GroupNorm with at most 32 groups of at least 4 channels; its sums are in float32 for inputs of every dtype.

    >>> Norm(48).num_groups
    12
    """

    def __init__(self, channels: int) -> None:
        super().__init__(math.gcd(channels, min(32, max(channels // 4, 1))), channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            wide = torch.promote_types(x.dtype, torch.float32)
            if x.device.type == "cpu" and self.weight.dtype == wide and x.is_contiguous():
                # This kernel takes bfloat16 inputs with float32 weights and accumulates in float32: a third of the time, and no copies.
                return F.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)
            return F.group_norm(x.to(wide), self.num_groups, self.weight.to(wide), self.bias.to(wide), self.eps).to(x.dtype)


class Pointwise(nn.Conv2d):
    """A 1x1 convolution. With few channels on the CPU it is a matrix product, which takes half the time of oneDNN's kernels.

    >>> Pointwise(3, 5)(torch.zeros(2, 3, 8, 8)).shape
    torch.Size([2, 5, 8, 8])
    """

    def __init__(self, width_in: int, width: int) -> None:
        super().__init__(width_in, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        n, channels, height, side = x.shape
        # The product's backward pass keeps a gradient of the weights for each image, so channels are limited by the number of pixels.
        if x.device.type != "cpu" or not x.is_contiguous() or channels > height * side or self.bias is None:
            return super().forward(x)
        weight = self.weight.view(1, -1, channels).expand(n, -1, -1)
        out = torch.baddbmm(self.bias.view(1, -1, 1), weight, x.flatten(2))
        return out.view(n, -1, height, side)


def _zero_parameters(layer: _Layer) -> _Layer:
    """Sets the parameters to zero: a residual branch that ends in this layer begins as the identity. Returns the layer."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


class _ResBlock(nn.Module):
    """Two 3x3 convolutions with an embedding added between them, plus a shortcut."""

    def __init__(self, width_in: int, width: int, embedding: int, dropout: float) -> None:
        super().__init__()
        self.norm1 = Norm(width_in)
        self.conv1 = nn.Conv2d(width_in, width, 3, padding=1)
        self.embed = nn.Linear(embedding, width)
        self.norm2 = Norm(width)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = _zero_parameters(nn.Conv2d(width, width, 3, padding=1))
        self.shortcut = Pointwise(width_in, width) if width_in != width else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        h = h + self.embed(F.silu(embedding))[:, :, None, None]
        h = self.conv2(self.dropout(F.silu(self.norm2(h))))
        out: Tensor = self.shortcut(x) + h
        return out


class _SelfAttention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = Norm(width)
        self.qkv = Pointwise(width, 3 * width)
        self.project = _zero_parameters(Pointwise(width, width))


class _Attention(_SelfAttention):
    """Softmax attention among all pixels, in O(pixels^2) time."""

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm(x)).flatten(2).unflatten(1, (3, self.heads, -1)).permute(1, 0, 2, 4, 3)  # (n, head, pixels, c) each
        out = F.scaled_dot_product_attention(q, k, v)
        y: Tensor = x + self.project(out.transpose(2, 3).reshape(x.shape))
        return y


class _CrossAttention(nn.Module):
    """Attention of all pixels to the vectors of a context, such as the words of a text (Rombach et al. 2022, arXiv:2112.10752)."""

    def __init__(self, width: int, context: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = Norm(width)
        self.q = Pointwise(width, width)
        self.kv = nn.Linear(context, 2 * width)
        self.project = _zero_parameters(Pointwise(width, width))

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        q = self.q(self.norm(x)).flatten(2).unflatten(1, (self.heads, -1)).transpose(2, 3)
        k, v = self.kv(context).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)  # (n, head, place, c) each
        out = F.scaled_dot_product_attention(q, k, v)
        y: Tensor = x + self.project(out.transpose(2, 3).reshape(x.shape))
        return y


class _LinearAttention(_SelfAttention):
    """Attention with separate softmaxes of queries and keys, in O(pixels) time (Shen et al. 2018, arXiv:1812.01243, section 3.2)."""

    def forward(self, x: Tensor) -> Tensor:
        parts = self.qkv(self.norm(x)).flatten(2).unflatten(1, (3, self.heads, -1)).transpose(0, 1)
        q, k, v = parts.flatten(1, 2)  # (n head, c, pixels) each
        context = k.softmax(dim=2) @ v.transpose(1, 2)
        out = context.transpose(1, 2) @ q.softmax(dim=1)
        y: Tensor = x + self.project(out.reshape(x.shape))
        return y


class _Stage(nn.Module):
    """A residual block, and the attention of its level if there is one: to its own pixels, then to the context."""

    def __init__(self, width_in: int, width: int, size: int, config: UNetConfig, context: int) -> None:
        super().__init__()
        self.block = _ResBlock(width_in, width, 4 * config.dim, config.dropout)
        self.attention: nn.Module = nn.Identity()
        if size in config.attention:
            self.attention = _Attention(width, config.heads)
        elif size in config.linear_attention:
            self.attention = _LinearAttention(width, config.heads)
        self.cross = _CrossAttention(width, context, config.heads) if context and size in config.attention else None

    def forward(self, x: Tensor, embedding: Tensor, context: Tensor | None) -> Tensor:
        out: Tensor = self.attention(self.block(x, embedding))
        return out if self.cross is None else self.cross(out, context)


class _Downsample(nn.Module):
    """Halves the side, by a strided convolution or by averaging."""

    def __init__(self, width: int, conv: bool) -> None:
        super().__init__()
        self.resample = nn.Conv2d(width, width, 3, stride=2, padding=1) if conv else nn.AvgPool2d(2)

    def forward(self, x: Tensor, embedding: Tensor, context: Tensor | None) -> Tensor:
        out: Tensor = self.resample(x)
        return out


class _Upsample(nn.Module):
    """Doubles the side by repetition; a convolution may follow."""

    def __init__(self, width: int, conv: bool) -> None:
        super().__init__()
        self.smooth = nn.Conv2d(width, width, 3, padding=1) if conv else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.smooth(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return out


class UNet(nn.Module):
    """A net of noisy images (n, channels, side, side), with outputs of their shape; of times t, labels and guidance scales, each (n,),
    and of a context (n, places, context).

    A time is any number; its sinusoids have wavelengths from 2 pi to 20,000 pi. With a context, such as the vectors of the words of a text,
    the levels of ``config.attention`` and the middle attend to it after they attend to themselves, and its mean is added to the embedding
    of the time.

    Example:
        >>> net = UNet(UNetConfig(image_size=8, dim=8, multipliers=(1, 2), linear_attention=()))
        >>> net(torch.zeros(2, 3, 8, 8), torch.tensor([1.0, 2.5])).shape
        torch.Size([2, 3, 8, 8])

    Args:
        config: config of the net.
        context: length of the vectors of the context; 0 for a net without one.
    """

    def __init__(self, config: UNetConfig, context: int = 0) -> None:
        super().__init__()
        widths = [config.dim * multiplier for multiplier in config.multipliers]
        sizes = [config.image_size >> level for level in range(len(widths))]
        self.dim = config.dim
        self.embed = nn.Sequential(nn.Linear(config.dim, 4 * config.dim), nn.SiLU(), nn.Linear(4 * config.dim, 4 * config.dim))
        # The last row is "no label".
        self.labels = nn.Embedding(config.num_classes + 1, 4 * config.dim) if config.num_classes else None
        # Zero at first: a student with a scale begins as its teacher without one.
        self.guidance = _zero_parameters(nn.Linear(config.dim, 4 * config.dim, bias=False)) if config.guidance_embeds else None
        self.context = nn.Linear(context, 4 * config.dim) if context else None
        self.conv_in = nn.Conv2d(config.channels, config.dim, 3, padding=1)

        width = config.dim
        skips = [config.dim]
        self.down = nn.ModuleList()
        for level, (size, wider) in enumerate(zip(sizes, widths, strict=True)):
            for _ in range(config.blocks):
                self.down.append(_Stage(width, width := wider, size, config, context))
                skips.append(width)
            if level < len(widths) - 1:
                self.down.append(_Downsample(width, config.resample_conv))
                skips.append(width)

        self.middle = nn.ModuleList([_ResBlock(width, width, 4 * config.dim, config.dropout) for _ in range(2)])
        self.middle_attention = _Attention(width, config.heads)
        self.middle_cross = _CrossAttention(width, context, config.heads) if context else None

        self.up = nn.ModuleList()
        for level, (size, narrower) in reversed(list(enumerate(zip(sizes, widths, strict=True)))):
            for _ in range(config.blocks + 1):
                self.up.append(_Stage(width + skips.pop(), width := narrower, size, config, context))
            if level > 0:
                self.up.append(_Upsample(width, config.resample_conv))

        self.norm_out = Norm(width)
        self.conv_out = _zero_parameters(nn.Conv2d(width, config.channels, 3, padding=1))

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        labels: Tensor | None = None,
        guidance: Tensor | None = None,
        context: Tensor | None = None,
    ) -> Tensor:
        embedding = self.embed(timestep_embedding(t, self.dim).to(x.dtype))
        if self.guidance is not None:
            scale = torch.ones_like(t) if guidance is None else guidance.to(t)
            embedding = embedding + self.guidance(timestep_embedding(1000 * (scale - 1), self.dim).to(x.dtype))
        if self.labels is not None:
            null = self.labels.num_embeddings - 1
            embedding = embedding + self.labels(torch.full_like(t, null, dtype=torch.int64) if labels is None else labels)
        if self.context is not None and context is not None:
            embedding = embedding + self.context(context.mean(1))
        h = self.conv_in(x)
        skips = [h]
        for stage in self.down:
            h = stage(h, embedding, context)
            skips.append(h)
        first, second = self.middle
        h = self.middle_attention(first(h, embedding))
        h = second(h if self.middle_cross is None else self.middle_cross(h, context), embedding)
        for stage in self.up:
            h = stage(h) if isinstance(stage, _Upsample) else stage(torch.cat([h, skips.pop()], dim=1), embedding, context)
        out: Tensor = self.conv_out(F.silu(self.norm_out(h)))
        return out
