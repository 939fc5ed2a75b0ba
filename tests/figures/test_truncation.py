"""The figure of truncation: pairs of metrics by bound, from records, and what is said without them."""

import json
from collections.abc import Iterator
from math import inf
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from zoo_core.cli.figure.command import figure
from zoo_core.cli.figure.records import drawable_records
from zoo_core.errors import UsageError
from zoo_core.figures.truncation import plot_truncation, truncation_curves
from zoo_core.testing import fake_zoo


@pytest.fixture(autouse=True)
def _zoo() -> Iterator[None]:
    with fake_zoo():
        yield


def records_of(metric: str, values: dict[float | None, float], **more: Any) -> list[dict[str, Any]]:
    """Records of a metric at truncations; None for a record of a sampler without that option."""
    base = {"metric": metric, "stderr": None, "n": {"drawn": 9, "real": 9}, "dataset": "d", **more}
    latent: dict[str, Any] = {"name": "latent", "temperature": 1.0}
    return [
        {**base, "value": value, "sampler": latent if bound is None else {**latent, "truncation": bound}} for bound, value in values.items()
    ]


FD = records_of("fd", {1.0: 0.5, None: 0.8, 0.2: 2.0, 3.0: 9.0})
RECALL = records_of("recall", {0.2: 0.1, 1.0: 0.4, None: 0.6})


def test_a_curve_has_the_bounds_at_which_both_metrics_were_measured_in_their_order() -> None:
    [made] = truncation_curves([*FD, *RECALL])
    assert made.bounds == (0.2, 1.0, inf)
    assert made.up == (2.0, 0.5, 0.8)
    assert made.across == (0.1, 0.4, 0.6)
    [turned] = truncation_curves([*FD, *RECALL], "recall", "fd")
    assert (turned.up, turned.across) == (made.across, made.up)


def test_other_samplers_weights_and_data_make_curves_of_their_own() -> None:
    cool = [{**record, "sampler": {**record["sampler"], "temperature": 0.5}} for record in (*FD, *RECALL)]
    other = [{**record, "weights": "ab"} for record in (*FD, *RECALL)]
    assert [len(each.bounds) for each in truncation_curves([*FD, *RECALL, *cool, *other])] == [3, 3, 3]


def test_one_bound_or_one_metric_makes_no_curve() -> None:
    assert truncation_curves([*FD, *RECALL[:1]]) == []
    assert truncation_curves(FD) == []
    assert truncation_curves([{**FD[0], "sampler": None}, *RECALL]) == []


def test_the_points_are_drawn_with_their_bounds_and_the_floor_of_real_halves() -> None:
    curves = truncation_curves([{**record, "floor": {"value": 0.01}} for record in (*FD, *RECALL)])
    axes = plot_truncation(curves, "a title").axes[0]
    line, floor = axes.lines
    assert line.get_xydata().tolist() == [[0.1, 2.0], [0.4, 0.5], [0.6, 0.8]]
    assert set(floor.get_ydata()) == {0.01}
    assert [each.get_text() for each in axes.texts] == ["0.2", "1", "none"]
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("fd, lower is better", "recall, higher is better")


@pytest.mark.parametrize("temperatures", [[1.0], [1.0, 0.5]])
def test_long_captions_leave_the_curves_most_of_the_figure(temperatures: list[float]) -> None:
    long = [{**record, "dataset": "a data set with a long name " * 3} for record in (*FD, *RECALL)]
    figure = plot_truncation(
        truncation_curves([{**each, "sampler": {**each["sampler"], "temperature": t}} for t in temperatures for each in long]), "a title"
    )
    figure.canvas.draw()
    [axes] = figure.axes
    assert axes.get_position().width > 0.7
    assert figure.get_suptitle().startswith("a title\nlatent")
    assert [line.get_label().startswith("_") for line in axes.lines] == [len(temperatures) == 1] * len(temperatures)


def test_the_figure_is_drawn_from_records_or_says_how_to_measure_them(tmp_path: Path) -> None:
    path, out = tmp_path / "metrics.json", tmp_path / "truncation.png"
    path.write_text(json.dumps({"metrics": [*FD, *RECALL]}))
    result = CliRunner().invoke(figure, [str(tmp_path), "truncation", "--out", str(out)], catch_exceptions=False)
    assert "fd against recall at truncation 0.2, 1, none" in result.output
    assert out.read_bytes().startswith(b"\x89PNG")
    assert "truncation" in drawable_records(str(tmp_path))
    path.write_text(json.dumps({"metrics": FD}))
    assert "truncation" not in drawable_records(str(tmp_path))
    with pytest.raises(UsageError, match=r"no numbers of fd and recall at two or more truncations -- .*-o truncation=0\.5"):
        CliRunner().invoke(figure, [str(tmp_path), "truncation"], catch_exceptions=False)
    with pytest.raises(UsageError, match="has two metrics, not 1"):
        CliRunner().invoke(figure, [str(tmp_path), "truncation", "--metric", "fd"], catch_exceptions=False)
