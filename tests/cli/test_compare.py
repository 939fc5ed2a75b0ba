"""Checkpoints side by side: what stands in one table was measured on the same data in the same features, and the best stands first."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from zoo_core.cards.metrics_json import by_sampler
from zoo_core.cards.numbers import MARKDOWN, PLAIN
from zoo_core.cards.tables import Table, markdown, side_by_side
from zoo_core.cli.compare import compare
from zoo_core.config import encode
from zoo_core.errors import UsageError
from zoo_core.evaluation.records import save_records
from zoo_core.samplers import Ancestral
from zoo_core.testing import fake_zoo, installed, write_checkpoint, write_checkpoint_plugin, write_fake_plugin
from zoo_core.testing.fake import Fake
from zoo_core.testing.fake_config import FakeConfig

Record = dict[str, Any]
CLOTHES: Record = {"config": {"name": "fashion-mnist", "root": "$ZOO_DATA"}, "digest": "c" * 64}
LATENT: Record = {"name": "latent", "temperature": 1.0}


def of_samples(metric: str = "fd", value: float = 1.0, **changes: Any) -> Record:
    return {
        "metric": metric,
        "value": value,
        "stderr": 0.25,
        "options": {},
        "n": {"real": 60000, "drawn": 10000},
        "dataset": "fashion-mnist",
        "split": "train",
        "data": CLOTHES,
        "features": {"name": "judge", "digest": "f" * 64, "resize": "none"},
        "sampler": LATENT,
        "nfe": 1,
        "seed": 0,
        **changes,
    }


def of_data(metric: str, value: float, unit: str, space: str, **changes: Any) -> Record:
    shown = {"unit": unit, "space": space, "kind": "exact", "n": {"real": 10000}, "dataset": "mnist", "split": "test"}
    return {"metric": metric, "value": value, "stderr": None, **shown, **changes}


def rows(table: Table) -> dict[str, dict[str, str]]:
    return {row[0]: dict(zip(table.columns, row, strict=True)) for row in table.rows}


def test_what_was_measured_alike_stands_in_one_table_with_the_best_first() -> None:
    worse, better = [of_samples(value=2.0), of_samples("recall", 0.5)], [of_samples("recall", 0.25), of_samples(value=1.0)]
    none = [of_samples("recall", 0.75)]
    [table] = side_by_side({"a": none, "b": worse, "c": better}, PLAIN)
    assert table.columns == ("checkpoint", "samples", "NFE", "seconds per image", "recall", "fd")
    assert [row[0] for row in table.rows] == ["c", "b", "a"]
    assert rows(table)["c"] == {
        "checkpoint": "c",
        "samples": "10,000",
        "NFE": "1",
        "seconds per image": "",
        "recall": "0.25 +- 0.25",
        "fd": "1 +- 0.25",
    }
    assert rows(table)["a"]["fd"] == ""
    assert table.caption.startswith("Images against 60,000 of fashion-mnist train, in the features of judge")


@pytest.mark.parametrize(
    "change",
    [
        {"features": {"name": "judge", "digest": "0" * 64, "resize": "none"}},
        {"split": "test"},
        {"dataset": "digits"},
        {"data": {**CLOTHES, "digest": "0" * 64}},
    ],
    ids=["features", "split", "set", "data"],
)
def test_what_was_measured_otherwise_stands_in_a_table_of_its_own(change: Record) -> None:
    tables = side_by_side({"a": [of_samples()], "b": [of_samples(**change)]})
    assert sorted(row[0] for table in tables for row in table.rows) == ["`a`", "`b`"]
    assert len(tables) == 2


def test_a_number_that_looked_at_no_data_stands_with_those_that_did() -> None:
    asked = of_samples("class-accuracy", 0.9, n={"drawn": 10000}, data={"config": CLOTHES["config"]})
    [table] = side_by_side({"a": [of_samples()], "b": [asked]}, PLAIN)
    assert rows(table)["b"]["class-accuracy"] == "0.9 +- 0.25"


def test_other_numbers_of_samples_are_other_rows() -> None:
    few = of_samples(value=3.0, n={"real": 60000, "drawn": 2000})
    [table] = side_by_side({"a": [of_samples(value=4.0), few]}, PLAIN)
    assert [(row[1], row[4]) for row in table.rows] == [("2,000", "3 +- 0.25"), ("10,000", "4 +- 0.25")]


def test_what_real_halves_reach_is_told_once_below() -> None:
    floor = {"floor": {"value": 0.5, "stderr": 0.125, "n": [30000, 30000]}, "harms": {"blur": {"value": 8.0, "n": [30000, 30000]}}}
    [table] = side_by_side({"a": [of_samples(**floor)], "b": [of_samples(value=0.75, **floor)]}, MARKDOWN)
    assert [row[0] for row in table.rows] == ["`b`", "`a`", "real halves of 30,000", "blur"]
    assert [row[4] for row in table.rows[2:]] == ["0.5 ± 0.12", "8 (16x)"]
    assert [row[4] for row in table.rows[:2]] == ["0.75 ± 0.25 (1.5x)", "1 ± 0.25 (2x)"]
    assert table.caption.endswith(" In brackets: how many times the `fd` of real halves.")
    assert markdown(table).splitlines()[-1] == "| blur | | | | 8 (16x) |"


def test_nats_and_bits_of_other_spaces_are_other_columns_and_a_bound_says_so() -> None:
    flow = [of_data("bpd", 1.5, "bits/dim", "uint8", kind="upper_bound"), of_data("nll", 700.0, "nats", "uint8", kind="upper_bound")]
    [table] = side_by_side({"flow": flow, "vae": [of_data("nll", 93.0, "nats", "binary")]}, PLAIN)
    assert table.caption == "On mnist test."
    assert rows(table)["flow"] == {
        "checkpoint": "flow",
        "samples": "10,000",
        "bpd, bits/dim of 8-bit images": "<= 1.5",
        "nll, nats of 8-bit images": "<= 700",
        "nll, nats of binary images": "",
    }
    assert rows(table)["vae"]["nll, nats of binary images"] == "93"


def test_the_checkpoints_own_sampler_counts_and_all_where_it_was_not_measured() -> None:
    other, accuracy = of_samples(sampler={"name": "heun", "steps": 5}), of_data("accuracy", 0.9, "", "")
    levels = of_samples(scheduler={"name": "karras"})
    assert by_sampler([other, of_samples(), levels, accuracy], LATENT) == [of_samples(), accuracy]
    assert by_sampler([other, accuracy], LATENT) == [other, accuracy]


def test_the_command_tells_them_in_three_ways(tmp_path: Path) -> None:
    config = FakeConfig(shape=(1, 8, 8), bounded=True)
    with fake_zoo():
        for name, records in {"a": [of_samples(value=2.0)], "b": [of_samples(value=1.0)], "c": []}.items():
            folder = write_checkpoint(tmp_path / name, Fake(config), config)
            if records:
                (folder / "metrics.json").write_text(json.dumps({"metrics": records}))
    names = [f"local:{tmp_path / name}" for name in "abc"]

    def run(*words: str) -> Any:
        return CliRunner(env={"COLUMNS": "500"}).invoke(compare, words, catch_exceptions=False)

    with fake_zoo():
        plain, text, data = run(*names), run(*names, "--markdown"), run(*names, "--json")
        assert [line.split()[0] for line in plain.stdout.splitlines()[2:4]] == [names[1], names[0]]
        assert f"{names[2]} has no numbers: `zoo evaluate {names[2]} --out {tmp_path / 'c'}/metrics.json`" in plain.stderr
        assert f"| `{names[1]}` | 10,000 | 1 | | 1 ± 0.25 |" in text.stdout
        assert json.loads(data.stdout) == {names[0]: [of_samples(value=2.0)], names[1]: [of_samples(value=1.0)], names[2]: []}
        with pytest.raises(UsageError, match=r"leave one out"):
            run(*names, "--markdown", "--json")


def test_a_pattern_compares_the_installed_checkpoints_that_match(tmp_path: Path, zoo: Callable[..., Any]) -> None:
    write_fake_plugin(tmp_path)
    config = FakeConfig()
    with fake_zoo():
        for name in ("blob-a", "blob-b", "other"):
            write_checkpoint_plugin(tmp_path, name, Fake(config), config)
    with installed(tmp_path, names=["zoo-fake", "zoo-blobs"]):
        assert set(json.loads(zoo("compare", "blob-*", "--json").out)) == {"blob-a", "blob-b"}
        assert set(json.loads(zoo("compare", "other", "blob-*", "blob-a", "--json").out)) == {"other", "blob-a", "blob-b"}
        unmatched = zoo("compare", "clown-*")
    assert unmatched.code == 9
    assert unmatched.err == "zoo: error: no checkpoints match clown-* -- `zoo list checkpoints` shows all\n"


def test_names_from_a_file_are_no_markup_and_move_no_cursor() -> None:
    wicked = of_samples("fd\x1b[2J|x", dataset="a|b\x1b[2J<b>")
    [table] = side_by_side({"a": [wicked]}, MARKDOWN)
    told = table.caption + markdown(table)
    assert "\x1b" not in told
    assert told.count("|") == 4 * 3 + 3 + 3  # as many as the table has


def test_a_record_from_before_the_sampler_had_an_option_is_by_the_same_sampler(tmp_path: Path) -> None:
    today = encode(Ancestral(steps=5))
    before = {name: value for name, value in today.items() if name != "clip"}
    old, other = of_samples(sampler=before), of_samples(sampler={**before, "clip": False})
    assert by_sampler([old, other], today) == [old]
    save_records(tmp_path / "metrics.json", [old, other], {})
    save_records(tmp_path / "metrics.json", [{**old, "sampler": today, "value": 2.0}], {})
    kept = json.loads((tmp_path / "metrics.json").read_text())["metrics"]
    assert [(record["sampler"].get("clip"), record["value"]) for record in kept] == [(False, other["value"]), (True, 2.0)]
