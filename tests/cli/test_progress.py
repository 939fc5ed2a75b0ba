"""Theorems about progress on stderr: one style for all commands, a bar on a terminal, plain lines in a pipe."""

import io
import re

import pytest

from zoo_core.cli.progress import Progress, duration, loading, rate


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

    def screen(self) -> list[str]:
        """What was written, each redrawing by itself, without the codes that move the cursor."""
        return [line for line in re.split(r"[\r\n]", re.sub(r"\x1b\[\d*[A-Z]", "", self.getvalue())) if line.strip()]


def terminal_of(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """In the test itself: pytest replaces stderr after the fixtures."""
    found = Terminal()
    monkeypatch.setattr("sys.stderr", found)
    return found


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_a_terminal_shows_whole_facts_as_far_as_there_is_room(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    terminal = terminal_of(monkeypatch)
    monkeypatch.setenv("COLUMNS", str(columns))
    facts = ["loss 0.5212", "0:21 left", "64 samples/s in float32", "process memory 834 MB"]
    with Progress("train", 400, "steps") as progress:
        progress.show(70, facts)
    line = terminal.screen()[0]
    assert re.match(r"train  1[78]%\|[^|]{3,}\| 70/400 steps  loss 0.5212  0:21 left", line)
    assert len(line) <= columns
    shown = [fact for fact in facts if fact in line]
    assert line.rstrip().endswith("  ".join(shown))
    assert shown == facts[: len(shown)]
    assert (columns < 120) == (len(shown) < 4)


def test_a_terminal_says_what_goes_on_before_the_first_number_and_then_forgets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = terminal_of(monkeypatch)
    with loading("sample"):
        assert terminal.getvalue() == "sample: loading PyTorch and the model ..."
    assert terminal.getvalue().endswith("\r\x1b[K")


def test_messages_stand_above_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = terminal_of(monkeypatch)
    with Progress("train", 4, "steps") as progress:
        progress.status("loading")
        progress.say("going on from step 2 of 4")
        progress.show(3, ["loss 1"])
        progress.say("zoo: warning: hot")
    assert [line for line in terminal.screen() if "%" not in line] == [
        "train: loading ...",
        "going on from step 2 of 4",
        "zoo: warning: hot",
    ]


def test_a_pipe_gets_lines_without_control_characters_and_no_status(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("train", 4, "steps") as progress:
        progress.status("loading")
        progress.show(1, ["loss 1"], now=True)
        progress.show(2, ["loss 1"])
        progress.show(4, ["loss 0.5"], now=True)
    assert capsys.readouterr().err == "train: 1/4 steps  loss 1\ntrain: 4/4 steps  loss 0.5\n"


def test_of_several_processes_the_first_one_speaks(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("RANK", "1")
    with Progress("train", 4, "steps") as progress:
        progress.show(4, ["loss 1"], now=True)
    assert capsys.readouterr().err == ""


def test_times_and_speeds_are_short() -> None:
    assert [duration(seconds) for seconds in (0.4, 21, 3900)] == ["0:00", "0:21", "1:05:00"]
    assert [rate(speed) for speed in (1234.5, 64.0, 0.523)] == ["1,234", "64", "0.52"]
