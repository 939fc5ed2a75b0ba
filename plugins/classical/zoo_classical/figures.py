"""Figures of classical models: principal axes, explained variance, and centres."""

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from zoo_classical.model import PCA, GaussianMixture, KMeans
from zoo_core.errors import CapabilityError
from zoo_core.figures.canvas import canvas, name_axes
from zoo_core.figures.points import draw_points

if TYPE_CHECKING:
    from zoo_core.pretrained import Pretrained

__all__ = ["centres", "explained_variance", "principal_axes"]


def principal_axes(model: "Pretrained", *, n: int, seed: int) -> Any:
    """The mean and the first ``n`` principal axes of a PCA of images: blue is less than the mean, red is more.

    Raises:
        CapabilityError: if the model is no PCA of images.
    """
    net = _net(model, PCA)
    if len(net.shape) != 3:
        raise CapabilityError(f"principal axes are drawn as images, and {model.name} has points", "choose a checkpoint of images")
    axes = net.axes.T[:n].reshape(-1, *net.shape)
    share = net.variances / _total(net)
    figure, panels = _panels(1 + len(axes))
    _show(panels[0], net.mean.reshape(net.shape), "mean", cmap="gray", vmin=-1, vmax=1)
    for panel, axis, part in zip(panels[1:], axes, share, strict=False):
        reach = float(axis.abs().max())
        _show(panel, axis, f"{100 * float(part):.1f} %", cmap="RdBu_r", vmin=-reach, vmax=reach)
    return figure


def explained_variance(model: "Pretrained", *, n: int, seed: int) -> Any:
    """The variance along the first ``n`` principal axes of a PCA, the noise of the other directions, and the share of them together.

    Raises:
        CapabilityError: if the model is no PCA.
    """
    net = _net(model, PCA)
    values, total = net.variances[:n], _total(net)
    numbers = torch.arange(1, len(values) + 1)
    figure, (left, right) = canvas(8.0, 3.4, 1, 2, share=False)
    left.semilogy(numbers.numpy(), values.numpy(), marker=".", linewidth=1.2)
    left.axhline(float(net.noise), color="0.5", linestyle="--", linewidth=1)
    beside: dict[str, Any] = {"textcoords": "offset points", "ha": "right"}
    left.annotate("noise in each other direction", (len(values), float(net.noise)), (0, 4), color="0.4", **beside)
    left.set(xlabel="principal component", ylabel="variance")
    together = 100 * values.cumsum(0) / total
    right.plot(numbers.numpy(), together.numpy(), marker=".", linewidth=1.2)
    right.set(xlabel="principal components", ylabel="explained variance (%)", ylim=(0, 100))
    last = f"{float(together[-1]):.1f} %"
    right.annotate(last, (len(values), float(together[-1])), (0, 6), **beside)
    return figure


def centres(model: "Pretrained", *, n: int, seed: int) -> Any:
    """The ``n`` centres of the largest weights, the heaviest first.

    Images are shown with their weights. Points in the plane are shown over samples, and Gaussians as ellipses of two standard deviations.

    Raises:
        CapabilityError: if the model has no centres, or its samples are neither images nor points in the plane.
    """
    net = _net(model, GaussianMixture, KMeans)
    weights, order = net.weights.sort(descending=True)
    order = order[:n]
    if net.shape == (2,):
        return _in_the_plane(model, net, order, seed)
    if len(net.shape) != 3:
        raise CapabilityError(f"centres are drawn as images or in the plane, and {model.name} has {net.dims} dimensions")
    figure, panels = _panels(len(order))
    for panel, centre, weight in zip(panels, _centres(net)[order], weights, strict=False):
        _show(panel, centre.view(net.shape).clamp(-1, 1), f"{100 * float(weight):.1f} %", cmap="gray", vmin=-1, vmax=1)
    return figure


def _in_the_plane(model: "Pretrained", net: GaussianMixture | KMeans, order: Tensor, seed: int) -> Any:
    from matplotlib.patches import Ellipse

    figure, axes = canvas(5.6, 4.6)
    draw_points(axes, model.sample(2000, seed=seed), size=3, color="0.75", alpha=1.0)
    chosen = _centres(net)[order]
    axes.scatter(chosen[:, 0].numpy(), chosen[:, 1].numpy(), s=18, color="C3", zorder=3)
    if isinstance(net, GaussianMixture):
        for centre, root in zip(chosen.tolist(), net.roots.tril()[order], strict=True):
            along, spread, _ = torch.linalg.svd(root)
            angle = math.degrees(math.atan2(float(along[1, 0]), float(along[0, 0])))
            wide, high = (4 * spread).tolist()  # two standard deviations to both sides
            axes.add_patch(Ellipse(centre, wide, high, angle=angle, fill=False, color="C3", linewidth=1))
    axes.set_aspect("equal", adjustable="datalim")
    name_axes(axes)
    return figure


def _centres(net: GaussianMixture | KMeans) -> Tensor:
    """The centres as vectors, (k, d)."""
    if isinstance(net, KMeans):
        return net.centres
    return net.means if net.subspace is None else net.origin + net.means @ net.axes.T


def _total(net: PCA) -> Tensor:
    """The sum of the variances of all directions, ()."""
    return net.variances.sum() + (net.dims - net.components) * net.noise


def _panels(count: int) -> tuple[Any, list[Any]]:
    """A figure of small panels without axes, about as wide as high."""
    columns = max(min(count, 5), math.isqrt(count))
    rows = math.ceil(count / columns)
    figure, _ = canvas(0.85 * columns, 1.02 * rows + 0.3, rows, columns, share=False)
    for axes in figure.axes:
        axes.set_axis_off()
    return figure, figure.axes


def _show(axes: Any, image: Tensor, title: str, **options: Any) -> None:
    """Draws an image (c, h, w): one channel in colours of ``options``, three as they are."""
    pixels = image.permute(1, 2, 0)
    if len(image) == 3:
        low, high = options["vmin"], options["vmax"]
        axes.imshow(((pixels - low) / (high - low)).clamp(0, 1).numpy(), interpolation="nearest")
    else:
        axes.imshow(pixels[:, :, 0].numpy(), interpolation="nearest", **options)
    axes.set_title(title, fontsize=7, pad=2)


def _net(model: "Pretrained", *kinds: type[nn.Module]) -> Any:
    """The net of a loaded model on the CPU, in float32.

    Raises:
        CapabilityError: if it is of none of the kinds.
    """
    if not isinstance(model.model, kinds):
        names = {PCA: "pca", GaussianMixture: "gmm", KMeans: "kmeans"}
        fitting = " or ".join(name for kind, name in names.items() if kind in kinds)
        what = f"this figure is of the families {fitting}, and {model.name} is of {model.family.name}"
        raise CapabilityError(what, "`zoo list checkpoints` shows their checkpoints")
    return model.model.cpu()
