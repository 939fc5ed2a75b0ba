"""Output fits the width of the terminal, and colour is used on terminals only."""

import sys
from collections.abc import Sequence
from typing import Any

import click
import pytest

from zoo_core.cards.numbers import PLAIN
from zoo_core.cards.tables import Table, side_by_side
from zoo_core.cli.console import error_line, row, say, terminal_width, wrap
from zoo_core.cli.tables import board, table

HEADS = ("NAME", "FAMILY", "SIZE", "DATASET", "LICENSE", "SUMMARY")
SUMMARY = "Articles of clothing, 28 by 28 grey pixels, drawn in one pass: a small Wasserstein GAN with a gradient penalty."
ROWS = [
    ("wgan-gp-fashion-mnist", "wgan-gp", "2.3 MB", "fashion_mnist", "apache-2.0", SUMMARY),
    ("maf-moons", "maf", "212 kB", "moons", "apache-2.0", "Two half moons."),
]


def record(value: float, metric: str = "fd", **changes: Any) -> dict[str, Any]:
    plain = {"metric": metric, "value": value, "stderr": None, "dataset": "mnist", "split": "train", "n": {"real": 60000, "drawn": 10000}}
    return {**plain, "sampler": {"name": "latent"}, "nfe": 1, "features": {"name": "judge"}, **changes}


def printed(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


def shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: int, boards: Sequence[Table]) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(width))
    capsys.readouterr()
    for each in boards:
        board(each)
    return printed(capsys)


@pytest.mark.parametrize("width", [200, 120, 100, 80, 60, 40, 25])
def test_a_table_is_never_wider_than_the_terminal_and_breaks_no_word(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    table(HEADS, ROWS, drop=("LICENSE", "DATASET"))
    lines = printed(capsys)
    assert max(map(len, lines)) <= width
    words = " ".join(lines).split()
    assert {*SUMMARY.split(), "wgan-gp-fashion-mnist", "maf-moons"} <= {*words}


def test_columns_are_left_out_in_their_order_before_prose_gets_narrow(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    heads = {}
    for width in (200, 98, 85, 60):
        monkeypatch.setenv("COLUMNS", str(width))
        table(HEADS, ROWS, drop=("LICENSE", "DATASET"))
        heads[width] = printed(capsys)[:2]
    assert heads[200][0].split() == [*HEADS]
    assert heads[98][0].split() == ["NAME", "FAMILY", "SIZE", "DATASET", "SUMMARY"]
    assert heads[85][0].split() == ["NAME", "FAMILY", "SIZE", "SUMMARY"]
    assert [line.split() for line in heads[60]] == [["NAME", "FAMILY", "SIZE", "DATASET"], ["SUMMARY"]]


def test_numbers_of_a_column_have_one_notation_and_their_points_below_each_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    values = {"a": record(0.0003513, stderr=8.6e-05), "b": record(0.01094, stderr=0.00012), "c": record(0.003163)}
    lines = shown(monkeypatch, capsys, 100, side_by_side({name: [each] for name, each in values.items()}, PLAIN))
    assert lines[-4:] == [
        "checkpoint  samples  NFE         fd x1000",
        "a            10,000    1   0.351 +- 0.086",
        "c            10,000    1   3.163",
        "b            10,000    1  10.940 +- 0.120",
    ]


def test_the_seconds_of_an_image_are_shown_in_milliseconds(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(monkeypatch, capsys, 100, side_by_side({"a": [record(1.0, pace=0.253)], "b": [record(2.0, pace=2.3e-5)]}, PLAIN))
    assert "ms per" in lines[-4]
    assert [line.split()[3] for line in lines[-2:]] == ["253.000", "0.023"]


@pytest.mark.parametrize("width", [100, 60, 45, 30])
def test_numbers_that_do_not_fit_side_by_side_follow_below(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    records = [record(0.5, metric, stderr=0.01, floor={"value": 0.25, "n": [9, 9]}) for metric in ("fd", "precision", "recall", "is")]
    lines = shown(monkeypatch, capsys, width, side_by_side({"projection-cgan": records}, PLAIN))
    assert max(map(len, lines)) <= width
    assert "".join(lines).count("0.500") == 4
    assert {"fd", "precision", "recall", "is"} <= {*" ".join(lines).split()}
    assert sum(line.startswith("projection-cgan") for line in lines) == {100: 1, 60: 3, 45: 5, 30: 1}[width]


def test_a_part_of_a_table_leaves_out_rows_that_have_nothing_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    boards = side_by_side({"first-of-two": [record(0.5), record(0.5, "class-accuracy")], "second-of-two": [record(0.75)]}, PLAIN)
    lines = shown(monkeypatch, capsys, 34, boards)
    part = lines[max(place for place, line in enumerate(lines) if "checkpoint" in line) :]
    assert "class-accuracy" in part[0]
    assert [line.split()[0] for line in part[1:]] == ["first-of-two"]


def test_the_best_of_each_column_is_bold_and_real_samples_are_no_rivals(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("zoo_core.cli.tables.bold", lambda text: f"*{text}*")
    real = {"floor": {"value": 0.125, "n": [9, 9]}}
    records = {"a": [record(0.5, **real), record(0.25, "recall")], "b": [record(0.75), record(0.375, "recall")]}
    lines = shown(monkeypatch, capsys, 100, side_by_side(records, PLAIN))
    assert [[word for word in line.split() if "*" in word] for line in lines[-3:]] == [["*0.500", "(4x)*"], ["*0.375*"], []]


def test_a_pipe_without_columns_has_a_width_and_columns_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.get_terminal_size", lambda handle: (_ for _ in ()).throw(OSError()))
    monkeypatch.setenv("COLUMNS", "no number")
    assert terminal_width() == 100
    monkeypatch.setenv("COLUMNS", "72")
    assert terminal_width() == 72


def test_words_longer_than_the_line_stay_whole() -> None:
    assert wrap("see /a/very/long/path-of-a-file.png now", 12, hanging="  ") == ["see", "  /a/very/long/path-of-a-file.png", "  now"]
    assert wrap("one\n\ntwo", 12) == ["one", "", "two"]


def test_a_row_of_a_list_is_one_line_for_programs_and_wrapped_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "24")
    row("ok     a-name some words after it", " " * 7)
    assert capsys.readouterr().out == "ok     a-name some words after it\n"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    row("ok     a-name some words after it", " " * 7)
    assert capsys.readouterr().out == "ok     a-name some words\n       after it\n"


def test_errors_are_coloured_and_wrapped_on_a_terminal_alone(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    line = error_line("the folder is not there and cannot be made", "choose another --out")
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    say(line)
    assert capsys.readouterr().err == line + "\n"
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    said: list[str] = []
    monkeypatch.setattr(click, "echo", lambda text, err: said.append(text))
    say(line)
    monkeypatch.setenv("NO_COLOR", "1")
    say(line)
    coloured, plain = said
    assert click.unstyle(coloured) == plain
    assert coloured.startswith("zoo: " + click.style("error:", fg="red", bold=True))
    assert coloured.endswith(click.style(" --\n  choose another --out", dim=True))
    assert plain.replace("\n ", "") == line
    assert max(map(len, plain.splitlines())) <= 30
