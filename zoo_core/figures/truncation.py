"""The trade-off of truncated latents: one metric of samples against another over bounds, from the records of a metrics.json."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from textwrap import fill
from typing import Any

from zoo_core.cards.metrics_json import comparable_groups, is_number, is_of_samples, subrecord
from zoo_core.cards.numbers import PLAIN, caption, sampler_of
from zoo_core.figures.canvas import canvas, text, to_title
from zoo_core.figures.training import sense

__all__ = ["TruncationCurve", "plot_truncation", "truncation_curves"]

LABEL = 48
"""Characters in a line of the legend."""

Record = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class TruncationCurve:
    """Two metrics at several truncations, all else being equal.

    >>> curve = TruncationCurve(caption="1,000 samples", bounds=(0.5, float("inf")), across=(0.2, 0.4), up=(0.9, 0.5))
    >>> curve.up
    (0.9, 0.5)

    Args:
        caption: description of the samples and of the real samples.
        bounds: truncations, increasing; infinite for samples without.
        across: values of the metric on the horizontal axis.
        up: values of the metric on the vertical axis.
        floor: value of the vertical metric for two halves of the real samples; None if unknown.
    """

    caption: str
    bounds: tuple[float, ...]
    across: tuple[float, ...]
    up: tuple[float, ...]
    floor: float | None = None


def truncation_curves(records: Sequence[Record], up: str = "fd", across: str = "recall") -> list[TruncationCurve]:
    """The pairs of metrics that were measured at two or more truncations, by one sampler on the same data.

    >>> record = {"stderr": None, "n": {"drawn": 9, "real": 9}, "dataset": "moons", "sampler": {"name": "latent"}}
    >>> cut = {**record, "sampler": {"name": "latent", "truncation": 0.5}}
    >>> values = [(record, "fd", 0.3), (record, "recall", 0.6), (cut, "fd", 0.8), (cut, "recall", 0.1)]
    >>> [made] = truncation_curves([{**base, "metric": metric, "value": value} for base, metric, value in values])
    >>> made.bounds, made.across, made.up
    ((0.5, inf), (0.1, 0.6), (0.8, 0.3))

    Args:
        records: records of a metrics.json.
        up: name of the metric on the vertical axis, without options.
        across: name of the metric on the horizontal axis.
    """
    result = []
    for group in comparable_groups([record for record in records if is_of_samples(record) and record["metric"] in (up, across)]):
        kinds: dict[str, list[Record]] = {}
        for record in group:
            kinds.setdefault(sampler_of({**record, "sampler": _untruncated(record)}), []).append(record)
        result += [_curve(by, own, up, across) for by, own in kinds.items()]
    return [curve for curve in result if len(curve.bounds) > 1]


def _untruncated(record: Record) -> dict[str, Any]:
    return {name: value for name, value in subrecord(record, "sampler").items() if name != "truncation"}


def _bound(record: Record) -> float:
    bound = subrecord(record, "sampler").get("truncation")
    return float(bound) if is_number(bound) else inf


def _curve(by: str, group: Sequence[Record], up: str, across: str) -> TruncationCurve:
    at = {metric: {_bound(record): float(record["value"]) for record in group if record["metric"] == metric} for metric in (up, across)}
    bounds = sorted(at[up].keys() & at[across].keys())
    floors = [subrecord(record, "floor").get("value") for record in group if record["metric"] == up]
    return TruncationCurve(
        caption=f"{by}; {caption(group, PLAIN)}",
        bounds=tuple(bounds),
        across=tuple(at[across][bound] for bound in bounds),
        up=tuple(at[up][bound] for bound in bounds),
        floor=next((float(floor) for floor in floors if is_number(floor)), None),
    )


def plot_truncation(curves: Sequence[TruncationCurve], title: str = "", up: str = "fd", across: str = "recall") -> Any:
    """A figure of curves, with truncations beside their points. The dashed line is the value for two halves of the real samples.

    Args:
        curves: curves of the same metrics.
        title: title line; empty for none.
        up: name of the metric on the vertical axis, for its label.
        across: name of the metric on the horizontal axis.
    """
    figure, axes = canvas(5.6, 4.4)
    for place, each in enumerate(curves):
        label = fill(each.caption, LABEL) if len(curves) > 1 else None  # the caption of a single curve stands in the title
        axes.plot(each.across, each.up, color=f"C{place}", marker="o", markersize=5, linewidth=1.5, label=label)
        for bound, x, y in zip(each.bounds, each.across, each.up, strict=True):
            axes.annotate(
                "none" if bound == inf else f"{bound:g}", (x, y), xytext=(5, 5), textcoords="offset points", fontsize=8, color=f"C{place}"
            )
        if each.floor is not None:
            axes.axhline(each.floor, color="0.3", linestyle="--", linewidth=1, label="real halves" if place == 0 else None)
    if len(curves) > 1 or curves[0].floor is not None:
        axes.legend(fontsize=8, edgecolor="none", framealpha=0.9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3, linewidth=0.5)
    axes.set_ylabel(text(f"{up}{sense(up)}"))
    axes.set_xlabel(text(f"{across}{sense(across)}"))
    captions = [each.caption for each in curves]
    to_title(figure, "\n".join([title, *captions[:1]]) if title else captions[0])
    return figure
