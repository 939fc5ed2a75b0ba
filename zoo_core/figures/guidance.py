"""The trade-off of classifier-free guidance: metrics of samples over its scale, from the records of a metrics.json."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zoo_core.cards.metrics_json import comparable_groups, is_number, is_of_samples, subrecord
from zoo_core.cards.numbers import PLAIN, caption, metric_name, sampler_of
from zoo_core.figures.canvas import canvas, text, to_title
from zoo_core.figures.training import sense

__all__ = ["TradeOff", "plot_trade_offs", "trade_offs"]

Record = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class TradeOff:
    """A metric at several guidance scales, all else being equal.

    >>> TradeOff(metric="fd", caption="1,000 samples", scales=(1.0, 2.0), values=(0.3, 0.4), stderrs=(0.0, 0.0)).scales
    (1.0, 2.0)

    Args:
        metric: name of the metric, with its options.
        caption: description of the samples and of the real samples.
        scales: guidance scales, increasing.
        values: value at each scale.
        stderrs: standard error of each value; 0 if unknown.
        floor: value for two halves of the real samples; None if unknown.
        sense: direction in which the metric improves, for a label.
    """

    metric: str
    caption: str
    scales: tuple[float, ...]
    values: tuple[float, ...]
    stderrs: tuple[float, ...]
    floor: float | None = None
    sense: str = ""


def trade_offs(records: Sequence[Record], metrics: Sequence[str] = ()) -> list[TradeOff]:
    """The metrics that were measured at two or more guidance scales, by one sampler on the same data.

    Samples without guidance are those of scale 1. Where a metric was measured with several numbers of samples, the curve of the most
    scales is returned.

    >>> record = {"metric": "fd", "stderr": None, "n": {"drawn": 9, "real": 9}, "dataset": "moons", "sampler": {"name": "heun"}}
    >>> [made] = trade_offs([{**record, "value": 0.3}, {**record, "value": 0.5, "guidance": 4.0}])
    >>> made.scales, made.values
    ((1.0, 4.0), (0.3, 0.5))

    Args:
        records: records of a metrics.json.
        metrics: names of metrics, without options; all of them when empty.
    """
    drawn = [record for record in records if is_of_samples(record) and (not metrics or record["metric"] in metrics)]
    result: list[TradeOff] = []
    for group in comparable_groups(drawn):
        kinds: dict[tuple[str, str], list[Record]] = {}
        for record in group:
            kinds.setdefault((metric_name(record), sampler_of({**record, "guidance": None})), []).append(record)
        result += [_trade_off(name, by, own) for (name, by), own in kinds.items()]
    most = {name: max(len(each.scales) for each in result if each.metric == name) for name in {each.metric for each in result}}
    return [each for each in result if len(each.scales) == max(2, most[each.metric])]


def _trade_off(name: str, by: str, group: Sequence[Record]) -> TradeOff:
    at = {float(record["guidance"]) if is_number(record.get("guidance")) else 1.0: record for record in group}
    scales = sorted(at)
    floors = [subrecord(record, "floor").get("value") for record in group]
    return TradeOff(
        metric=name,
        caption=f"{by}; {caption(group, PLAIN)}",
        scales=tuple(scales),
        values=tuple(float(at[scale]["value"]) for scale in scales),
        stderrs=tuple(float(at[scale].get("stderr") or 0.0) for scale in scales),
        floor=next((float(floor) for floor in floors if is_number(floor)), None),
        sense=sense(str(group[0]["metric"])),
    )


def plot_trade_offs(made: Sequence[TradeOff], title: str = "") -> Any:
    """A figure with a panel for each trade-off. The dashed line is the value for two halves of the real samples."""
    columns = min(3, len(made))
    rows = -(-len(made) // columns)
    figure, _ = canvas(4.2 * columns, 0.6 + 3.4 * rows)
    figure.clear()
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid[len(made) :]:
        axes.remove()
    for place, (axes, each) in enumerate(zip(grid, made, strict=False)):
        axes.errorbar(each.scales, each.values, each.stderrs, color="C0", marker="o", markersize=5, capsize=3, linewidth=1.5)
        if each.floor is not None:
            axes.axhline(each.floor, color="0.3", linestyle="--", linewidth=1, label="real halves")
            axes.legend(fontsize=9, edgecolor="none", framealpha=0.9)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.3, linewidth=0.5)
        axes.set_title(text(f"{each.metric}{each.sense}"), fontsize=11)
        if place >= len(made) - columns:
            axes.set_xlabel("guidance scale")
    captions = _distinct([each.caption for each in made])
    to_title(figure, "\n".join([title, *captions]) if title else "\n".join(captions))
    return figure


def _distinct(captions: Sequence[str]) -> list[str]:
    """The captions without those that say less than another one: all of their words stand in it."""
    words = [set(caption.split()) for caption in captions]
    kept = [place for place, own in enumerate(words) if not any(own < other or own == other for other in words[:place])]
    return [captions[place] for place in kept if not any(words[place] < words[other] for other in kept)]
