"""Points in the plane."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from zoo_core.figures.canvas import canvas, png

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["scatter"]


def scatter(points: "Tensor", metadata: Mapping[str, str] | None = None, labels: "Tensor | None" = None) -> bytes:
    """Points (n, 2), coloured by ``labels`` int64 (n,) where there are any, on axes of equal scale."""
    figure, axes = canvas(5, 5)
    colour: dict[str, Any] = {"c": labels.numpy(), "cmap": "tab10" if int(labels.max()) < 10 else "viridis"} if labels is not None else {}
    size = min(max(4000 / len(points), 1.0), 24.0)
    axes.scatter(points[:, 0].numpy(), points[:, 1].numpy(), s=size, alpha=0.7, linewidths=0, **colour)
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_xlabel("$x_1$")
    axes.set_ylabel("$x_2$")
    return png(figure, metadata)
