"""Points in the plane: a scatter plot, and data, samples and density side by side."""

from typing import TYPE_CHECKING, Any

from zoo_core.figures.canvas import canvas, colour_bar, name_axes, text, to_title

if TYPE_CHECKING:
    from torch import Tensor

    from zoo_core.figures.densities import Density

__all__ = ["draw_points", "plot_samples", "scatter"]


def draw_points(axes: Any, points: "Tensor", *, size: float | None = None, **options: Any) -> Any:
    """Points (n, 2) on matplotlib axes, smaller the more there are; ``options`` are those of ``axes.scatter``."""
    size = min(max(4000 / len(points), 1.5), 24.0) if size is None else size
    return axes.scatter(points[:, 0].numpy(), points[:, 1].numpy(), s=size, **{"alpha": 0.7, "linewidths": 0, **options})


def scatter(points: "Tensor", labels: "Tensor | None" = None, title: str = "") -> Any:
    """A figure of points (n, 2), coloured by ``labels`` int64 (n,) where there are any, on axes of equal scale."""
    low, high = points.min(0).values, points.max(0).values
    wide, tall = (1.1 * (high - low).clamp(min=1e-6)).tolist()
    figure, axes = canvas(5.6, 4.9 * min(max(tall / wide, 0.4), 1.5) + 0.6)
    colour: dict[str, Any] = {"c": labels.numpy(), "cmap": "tab10" if int(labels.max()) < 10 else "viridis"} if labels is not None else {}
    draw_points(axes, points, **colour)
    axes.margins(0.05)
    axes.set_aspect("equal", adjustable="datalim")  # widens the limits, and warns where they are set
    name_axes(axes)
    to_title(figure, title)
    return figure


def plot_samples(data: "Tensor", samples: "Tensor", density: "Density | None" = None, title: str = "") -> Any:
    """A figure of data (n, 2), samples (m, 2) and the learned density side by side, all on the grid of the density, or around the data.

    Samples outside of it are counted in the panel's title.
    """
    from zoo_core.figures.densities import draw_density

    low, high = data.min(0).values, data.max(0).values
    margin = 0.1 * (high - low)
    left, bottom, right, top = [*(low - margin).tolist(), *(high + margin).tolist()]
    if density is not None:
        left, right, bottom, top = density.extent
    count = 2 if density is None else 3
    figure, panels = canvas(3.6 * count, min(max(3.1 * (top - bottom) / (right - left), 1.2), 6.0) + 1.0, 1, count)
    x, y = samples.T
    away = int(((x < left) | (x > right) | (y < bottom) | (y > top)).sum())
    names = f"{len(data):,} of the data", f"{len(samples):,} samples" + (f", {away:,} outside" if away else "")
    for i, (points, name, colour) in enumerate(zip((data, samples), names, ("0.25", "C0"), strict=True)):
        draw_points(panels[i], points, size=2.5, color=colour)
        panels[i].set_title(name, fontsize=10)
    if density is not None:
        image = draw_density(panels[2], density)
        panels[2].set_title(text(f"learned {density.caption}"), fontsize=10)
        colour_bar(figure, panels[2], image, "$p(x_1, x_2)$")
    for axes in panels:
        axes.set_aspect("equal")
        axes.set_xlim(left, right)
        axes.set_ylim(bottom, top)
        name_axes(axes)
    to_title(figure, title)
    return figure
