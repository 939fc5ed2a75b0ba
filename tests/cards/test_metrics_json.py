"""A card shows the numbers of metrics.json with their samples and data, and no text in that file breaks it."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from zoo_core import cards
from zoo_core.cards.metrics_json import comparable_groups, model_index, seconds_per_sample
from zoo_core.cards.numbers import PLAIN, lines, rounded
from zoo_core.cards.tables import numbers_section, tables
from zoo_core.cli.pin import render_cards
from zoo_core.cli.show import show
from zoo_core.config import dump_json
from zoo_core.errors import ConfigError, UsageError
from zoo_core.figures.quality import panels
from zoo_core.testing import fake_zoo, write_checkpoint
from zoo_core.testing.fake import Fake
from zoo_core.testing.fake_config import FakeConfig

Record = dict[str, Any]
BOUNDS: Record = {
    "floor": {"value": 1.5, "stderr": 0.1, "n": [2328, 2328]},
    "harms": {
        "blur": {"value": 60.25, "stderr": None, "n": [2328, 2328]},
        "class left out": {"value": 9.5, "stderr": 0.25, "n": [2328, 1500]},
    },
}


def record(metric: str = "fd", value: float = 12.3, steps: int = 10, **changes: Any) -> Record:
    return {
        "metric": metric,
        "value": value,
        "stderr": 0.4,
        "options": {},
        "n": {"real": 4656, "drawn": 4656},
        "dataset": "folder:$AFHQ/train",
        "data": {"config": {}, "digest": "d" * 64},
        "features": {"name": "classifier-cifar10", "digest": "f" * 64, "resize": "none"},
        "sampler": {"name": "ddim", "steps": steps, "eta": 0.0},
        "nfe": steps,
        "seed": 0,
        "weights": "w" * 64,
        "processor": "AMD EPYC, 1 thread",
        "seconds": 46.56 * steps,
        **changes,
    }


ACCURACY: Record = {"metric": "accuracy", "value": 0.9968, "stderr": 0.00056478, "n": 10000, "dataset": "mnist", "split": "test"}


def section(*records: Record, pictures: tuple[str, ...] = ()) -> str:
    return numbers_section("cat", {"metrics": list(records)}, pictures)


def rows(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]


def test_a_table_has_a_row_for_each_sampler_and_below_what_real_images_reach() -> None:
    text = section(record(**BOUNDS), record(steps=20, value=10.04), record("precision", 0.71234, stderr=None, options={"k": 3}))
    assert text.startswith(
        "## Numbers\n\n4,656 images of seed 0 against 4,656 of `folder:$AFHQ/train`, in the features of `classifier-cifar10` "
        "(not Inception's, so `fd` is no FID). Times are of AMD EPYC, 1 thread."
    )
    assert rows(text) == [
        ["sampler", "NFE", "seconds per image", "`fd`", "`precision: k=3`"],
        ["---", "---:", "---:", "---:", "---:"],
        ["`ddim: steps=10, eta=0.0`", "10", "0.1", "12.3 ± 0.4 (8.2x)", "0.7123"],
        ["`ddim: steps=20, eta=0.0`", "20", "0.2", "10.04 ± 0.4 (6.7x)", ""],
        ["real halves of 2,328", "", "", "1.5 ± 0.1", ""],
        ["blur", "", "", "60.25 (40x)", ""],
        ["class left out, n = 1,500", "", "", "9.5 ± 0.25 (6.3x)", ""],
    ]
    assert text.endswith("\n\n`zoo verify cat --metrics` measures them again.")


def test_the_rows_of_a_sampler_stand_together_from_the_cheapest_on() -> None:
    records = [record(steps=steps, sampler={"name": name}) for name, steps in (("b", 9), ("a", 5), ("b", 2), ("a", 1))]
    assert [row[:2] for row in rows(section(*records))[2:]] == [["`b`", "2"], ["`b`", "9"], ["`a`", "1"], ["`a`", "5"]]


def test_the_options_of_a_sampler_stand_together() -> None:
    records = [record(steps=steps, sampler={"name": "ddim", "steps": steps, "eta": eta}) for steps in (9, 2) for eta in (1, 0)]
    samplers = [row[0] for row in rows(section(*records))[2:]]
    assert samplers == [f"`ddim: steps={steps}, eta={eta}`" for eta in (1, 0) for steps in (2, 9)]


def test_the_front_matter_has_the_numbers_of_the_checkpoints_own_sampler() -> None:
    own, other, on_data = record(), record(steps=20), {**ACCURACY, "dataset": "folder:$AFHQ/train"}
    elsewhere = record("kid", scheduler={"name": "karras", "rho": 7.0})

    def front_matter(*records: Record) -> list[tuple[str, int | None]]:
        [index] = model_index("cat", {"metrics": [*records]}, "", own["sampler"])
        return [(entry["type"], entry["args"].get("nfe")) for result in index["results"] for entry in result["metrics"]]

    assert front_matter(own, other, elsewhere, on_data) == [("fd", 10), ("accuracy", None)]
    assert front_matter(other, elsewhere) == [("fd", 20), ("kid", 10)]


def test_a_scheduler_stands_beside_its_sampler_and_the_pace_is_that_of_the_fastest_batch() -> None:
    other = record(scheduler={"name": "karras", "rho": 7.0}, pace=0.0123)
    cells = [row[:3] for row in rows(section(record(), other))[2:]]
    assert cells == [["`ddim: steps=10, eta=0.0`", "10", "0.1"], ["`ddim: steps=10, eta=0.0 on karras: rho=7.0`", "10", "0.012"]]


@pytest.mark.parametrize(
    "changes",
    [
        {"features": {"name": "inception"}},
        {"dataset": "afhq"},
        {"split": "val"},
        {"n": {"real": 4656, "drawn": 100}},
        {"n": {"real": 99, "drawn": 4656}},
        {"seed": 1},
        {"weights": "other"},
        {"data": {"digest": "other"}},
    ],
)
def test_numbers_that_cannot_be_compared_stand_in_two_tables(changes: Record) -> None:
    assert len(comparable_groups([record(), record("kid")])) == 1
    assert len(comparable_groups([record(), record("kid", **changes)])) == 2


def test_a_metric_without_real_images_stands_with_those_that_have_them() -> None:
    score = record("is", 5.25, n={"drawn": 4656})
    for records in ([score, record()], [record(), score]):
        [group] = comparable_groups(records)
        assert group == records
        assert "against 4,656 of" in section(*records)


def test_only_inceptions_features_make_an_fid() -> None:
    assert "no FID" in section(record())
    assert "no FID" not in section(record(features={"name": "inception"}))
    assert "no FID" not in section(record("kid"))
    points = section(record(features={"name": "identity"}))
    assert "4,656 samples of seed 0 against 4,656 of `folder:$AFHQ/train`, as they are." in points
    assert "| seconds per sample |" in points


def test_a_number_of_a_model_on_data_is_a_line() -> None:
    bound = {"metric": "bpd", "value": 3.21234, "stderr": 0.01, "options": {}, "n": {"real": 10000}, "dataset": "mnist"}
    text = section(ACCURACY, {**bound, "unit": "bits/dim", "kind": "lower bound"}, {"metric": "x", "value": 1, "dataset": "y"})
    assert rows(text) == []
    assert text.split("\n\n")[1].splitlines() == [
        "- accuracy 0.9968 ± 0.00056 on the 10,000 of `mnist` test",
        "- bpd 3.212 ± 0.01 bits/dim (lower bound) on the 10,000 of `mnist`",
        "- x 1 on `y`",
    ]


def test_numbers_are_rounded_to_what_can_be_read() -> None:
    texts = [rounded(value, 4) for value in (0.0000123456, 0.99996, 12.3456, 1234.56, 123456.7, -98765.4, 0)]
    assert texts == ["1.235e-05", "1", "12.35", "1235", "123,457", "-98,765", "0"]


HOSTILE = "a|b`c\n\n# <b>![x](y) *z* \\| \u202e www.example.com"


def hostile() -> list[Record]:
    """Numbers whose every string is markup."""
    entry = {"value": 1.0, "stderr": 0.5, "n": [2, 2]}
    drawn = record(
        HOSTILE,
        options={"k": HOSTILE, HOSTILE: 1},
        dataset=HOSTILE,
        split=HOSTILE,
        features={"name": HOSTILE},
        sampler={"name": HOSTILE, HOSTILE: HOSTILE},
        seed=HOSTILE,
        processor=HOSTILE,
        harms={HOSTILE: entry},
    )
    return [drawn, {**ACCURACY, "metric": HOSTILE, "dataset": HOSTILE, "split": HOSTILE, "unit": HOSTILE, "kind": HOSTILE}]


def test_nothing_in_the_numbers_becomes_markup() -> None:
    text = section(*hostile())
    assert {len(row) for row in rows(text)} == {4}
    assert len(rows(text)) == 4
    assert [line for line in text.splitlines() if line.startswith("#")] == ["## Numbers"]
    assert all(character.isprintable() or character == "\n" for character in text)
    outside = "".join(part for line in text.splitlines() for part in line.split("`")[::2])
    for mark in ("<b>", "![", "*z*", "www", "\\"):
        assert mark in text
        assert mark not in outside


def test_what_is_of_a_wrong_type_is_left_out_and_breaks_nothing() -> None:
    odd: tuple[Any, ...] = (None, True, "x", -1, [], {}, [1, "x"], {"value": "x", "n": [1, 2, 3], "name": 3})
    for key in (
        "stderr",
        "options",
        "n",
        "data",
        "features",
        "sampler",
        "nfe",
        "seed",
        "weights",
        "processor",
        "seconds",
        "floor",
        "harms",
    ):
        for value in odd:
            if key != "stderr" or value is None:
                records = [{**record(), key: value}]
                assert numbers_section("cat", {"metrics": records}).startswith("## Numbers")
                panels(records)


def test_a_card_shows_the_pictures_of_its_numbers_that_lie_beside_it() -> None:
    text = section(record(), pictures=("nearest.png", "other.png", "quality.png"))
    assert text.split("\n\n")[-3:] == [
        "![Quality against evaluations of the net](quality.png)",
        "![Samples and the training images nearest to them](nearest.png)",
        "`zoo verify cat --metrics` measures them again.",
    ]
    assert "png" not in section(record())
    assert section() == numbers_section("cat", None) == ""


def card(records: list[Record]) -> str:
    words = cards.Words(summary="Draws cats.", license="mit")
    return str(cards.render("cat", {"model": {"name": "fake"}}, {"steps": 3}, words, metrics={"metrics": records}))


def test_the_numbers_stand_after_the_use_and_are_the_same_bytes_each_time() -> None:
    records = [record(**BOUNDS), record(steps=20), ACCURACY]
    text = card(records)
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings[:3] == ["## Use", "## Numbers", "## Training"]
    assert text == card(deepcopy(records)) == card(json.loads(json.dumps(records)))


def test_pins_show_the_pictures_of_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "model_cards" / "cat"
    folder.mkdir(parents=True)
    (tmp_path / "cards.toml").write_text('[cat]\nsummary = "Draws cats."\nlicense = "mit"\n')
    (folder / "config.json").write_text(dump_json({"model": {"name": "fake"}}))
    (folder / "training.json").write_text("{}")
    (folder / "metrics.json").write_text(dump_json({"metrics": [record()]}))
    (folder / "quality.png").write_bytes(b"")
    with fake_zoo():
        [text] = render_cards(tmp_path).values()
    assert "(quality.png)" in text
    assert "(nearest.png)" not in text


def test_show_tells_the_same_numbers_without_markup(tmp_path: Path) -> None:
    with fake_zoo():
        folder = write_checkpoint(tmp_path / "x", Fake(FakeConfig()), FakeConfig())
        (folder / "metrics.json").write_text(dump_json({"metrics": [record(**BOUNDS), ACCURACY, *hostile()]}))
        runner = CliRunner(env={"COLUMNS": "200"})
        out = runner.invoke(show, [f"local:{folder}", "--numbers"], catch_exceptions=False).stdout
        page = runner.invoke(show, [f"local:{folder}"], catch_exceptions=False).stdout
        (folder / "metrics.json").write_text(dump_json({"metrics": [{"metric": "fd"}], "odd": [1]}))
        other = runner.invoke(show, [f"local:{folder}"], catch_exceptions=False).stdout
    for text in (out, page.split("Numbers\n")[1]):
        assert "of folder:$AFHQ/train, in the features of classifier-cifar10 (not Inception's, so fd is no FID)" in text
        row = ["ddim:", "steps=10,", "eta=0.0", "10", "100", "12.30", "+-", "0.40", "(8.2x)"]
        assert row in [line.split() for line in text.splitlines()]
        assert "accuracy 0.9968 +- 0.00056 on the 10,000 of mnist test" in text
        assert "\u202e" not in text
    assert "metrics[0].dataset must be a name: `--json` prints it" in other.split("Numbers\n")[1]


def test_plain_tables_say_what_the_card_says() -> None:
    records = [record(**BOUNDS), record("kid", 0.001), ACCURACY]
    [marked], [plain] = tables(records), tables(records, PLAIN)
    unmarked = [[cell.replace("`", "").replace("±", "+-") for cell in row] for row in marked.rows]
    assert unmarked == [list(row) for row in plain.rows]
    assert plain.caption == marked.caption.replace("`", "")
    assert lines(records, PLAIN) == [line.replace("`", "").replace("±", "+-") for line in lines(records)]


# Quality over cost


def test_the_curves_are_the_records_from_the_cheapest_on() -> None:
    other = record(value=9.0, steps=50, sampler={"name": "ancestral", "steps": 50}, stderr=None, seconds=None)
    [panel] = panels([record(steps=50, value=8.5), record(steps=5, value=30.0, **BOUNDS), record("kid", 1.0), other, ACCURACY])
    assert (panel.metric, panel.floor, panel.processors) == ("fd", 1.5, ("AMD EPYC, 1 thread",))
    points_of = {name: [(point.nfe, point.value, point.stderr, point.seconds) for point in points] for name, points in panel.curves.items()}
    assert points_of == {
        "ddim": [(5, 30.0, 0.4, pytest.approx(0.05)), (50, 8.5, 0.4, pytest.approx(0.5))],
        "ancestral": [(50, 9.0, 0.0, None)],
    }


def test_a_sampler_with_other_options_is_another_curve() -> None:
    fresh = record(steps=20, sampler={"name": "ddim", "steps": 20, "eta": 1.0})  # and that is ancestral sampling
    [panel] = panels([record(), record(steps=20), fresh])
    assert {name: len(points) for name, points in panel.curves.items()} == {"ddim": 2, "ancestral": 1}
    [panel] = panels([record(), record(steps=20, scheduler={"name": "karras", "rho": 7.0})])
    assert list(panel.curves) == ["ddim", "ddim on karras"]


def test_each_metric_and_each_comparison_has_a_panel_of_its_own() -> None:
    records = [record("kid"), record(), record("recall", options={"k": 3}), record("recall", options={"k": 5}), record(seed=1)]
    assert [panel.metric for panel in panels(records)] == ["fd", "fd"]
    assert [panel.metric for panel in panels(records, ["recall", "kid"])] == ["recall: k=3", "recall: k=5", "kid"]
    assert [panel.metric for panel in panels(records[:1])] == ["kid"]
    assert panels([ACCURACY], ["fd"]) == []
    with pytest.raises(UsageError, match=r"no numbers of is for samples -- there are those of kid, fd, recall"):
        panels(records, ["is"])


def test_seconds_are_of_one_image() -> None:
    assert seconds_per_sample(record(seconds=9312)) == 2
    for changes in ({"seconds": None}, {"seconds": "1"}, {"n": {"drawn": 0}}, {"n": 3.5}):
        assert seconds_per_sample(record(**changes)) is None


def test_numbers_that_are_wrong_are_an_error_of_the_config() -> None:
    with pytest.raises(ConfigError, match=r"metrics\[0\]\.value"):
        section(record(value=float("nan")))
