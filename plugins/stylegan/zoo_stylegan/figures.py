"""The figure of style mixing: images with the coarse styles of one latent and the fine styles of another."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zoo_core.errors import CapabilityError
from zoo_core.figures.canvas import canvas
from zoo_core.images import to_uint8
from zoo_core.rng import ImageRng
from zoo_stylegan.model import StyleGAN

if TYPE_CHECKING:
    from zoo_core.pretrained import Pretrained

__all__ = ["mixed", "style_mixing"]


@torch.no_grad()
def mixed(net: StyleGAN, coarse: Tensor, fine: Tensor) -> Tensor:
    """Images (len(coarse), len(fine), *shape): image (i, j) has the coarse half of the styles of row i and the fine half of row j.

    Karras et al. 2019, arXiv:1812.04948, section 3.1. The noise maps are those of ``coarse``.

    Args:
        net: generator.
        coarse: rows (n, config.row).
        fine: rows (m, config.row).
    """
    half = net.config.styles // 2
    below, above = net.styles(coarse), net.styles(fine)
    images = []
    for z, style in zip(coarse, below, strict=True):
        w = torch.cat([style.expand(len(fine), half, -1), above[:, None].expand(-1, net.config.styles - half, -1)], dim=1)
        images.append(net.synthesise(w, z.expand(len(fine), -1)).clamp(-1, 1))
    return torch.stack(images)


def style_mixing(model: "Pretrained", *, n: int, seed: int) -> Any:
    """Images 0 to n - 1 of a seed at the left, n to 2 n - 1 at the top: coarse styles of the row, fine styles of the column.

    Raises:
        CapabilityError: if the model has no styles.
    """
    net = model.model
    if not isinstance(net, StyleGAN):
        raise CapabilityError(f"{model.name} has no styles to mix", "choose a checkpoint of the family stylegan")
    z = ImageRng(seed, range(2 * n), model.device).normal(net.config.row)
    with torch.no_grad():
        alone = net.decode(z)
    blank = torch.ones_like(alone[:1])
    rows = [torch.cat([blank, alone[n:]]), *(torch.cat([alone[i : i + 1], row]) for i, row in enumerate(mixed(net, z[:n], z[n:])))]
    sheet = torch.cat([torch.cat(list(row), dim=2) for row in rows], dim=1).permute(1, 2, 0)
    pixels = to_uint8(sheet.cpu()).squeeze(2).numpy()
    figure, axes = canvas(1 + 0.8 * n, 1 + 0.8 * n)
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    side = net.config.shape[1]
    middles = [side * (i + 1.5) - 0.5 for i in range(n)]
    axes.set_xticks(middles, [str(n + i) for i in range(n)])
    axes.set_yticks(middles, [str(i) for i in range(n)])
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set(xlabel="fine styles of image", ylabel="coarse styles of image")
    axes.tick_params(length=0)
    axes.spines[["left", "bottom"]].set_visible(False)
    for place in (axes.axhline, axes.axvline):
        place(side - 0.5, color="white", linewidth=3)
    return figure
