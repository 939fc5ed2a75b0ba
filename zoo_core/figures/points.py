"""Points in the plane: a scatter plot."""

from typing import TYPE_CHECKING, Any

from zoo_core.figures.canvas import canvas, name_axes, to_title

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["draw_points", "scatter"]


def draw_points(axes: Any, points: "Tensor", *, size: float | None = None, **options: Any) -> Any:
    """Draws points (n, 2) on matplotlib axes; many points are drawn smaller. ``options`` are those of ``axes.scatter``."""
    size = min(max(4000 / len(points), 1.5), 24.0) if size is None else size
    return axes.scatter(points[:, 0].numpy(), points[:, 1].numpy(), s=size, **{"alpha": 0.7, "linewidths": 0, **options})


def scatter(points: "Tensor", labels: "Tensor | None" = None, title: str = "") -> Any:
    """A figure of points (n, 2) on axes of equal scale, coloured by ``labels`` int64 (n,) if given."""
    low = points.min(0).values
    high = points.max(0).values
    wide, tall = (1.1 * (high - low).clamp(min=1e-6)).tolist()
    figure, axes = canvas(5.6, 4.9 * min(max(tall / wide, 0.4), 1.5) + 0.6)
    colour: dict[str, Any] = {}
    if labels is not None:
        colour = {"c": labels.numpy(), "cmap": "tab10" if int(labels.max()) < 10 else "viridis"}
    draw_points(axes, points, **colour)
    axes.margins(0.05)
    axes.set_aspect("equal", adjustable="datalim")  # widens the limits, and warns if they are set
    name_axes(axes)
    to_title(figure, title)
    return figure
