"""The conformance checks of schedulers catch the faults that they are for."""

from pathlib import Path

import pytest

from zoo_core.cli.new_plugin import rendered
from zoo_core.registry import resolve
from zoo_core.schedulers import Cosine, Geometric, Karras, Linear
from zoo_core.testing import checks_of, installed, write_plugin

BASE = "return (*(hi * (lo / hi) ** (i / max(steps - 1, 1)) for i in range(steps)), 0.0)"
FAULTS = {
    "levels_end_at_zero": ("return tuple(hi - (hi - lo) * i / steps for i in range(steps + 1))", "append 0.0"),
    "levels_are_plain_floats": ("return [*(hi * (lo / hi) ** (i / max(steps - 1, 1)) for i in range(steps)), 0.0]", "not a tuple"),
    "levels_decrease_within_their_bounds": ("return (*(2 * hi / (i + 1) for i in range(steps)), 0.0)", "leaves"),
    "there_are_as_many_levels_as_steps": ("return (hi, 0.0)", "must have"),
}


def failing(folder: Path, body: str) -> dict[str, str]:
    """The checks that a scheduler with that body fails, with their messages."""
    for path, text in rendered("mine", "scheduler").items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    path = folder / "zoo_mine/scheduler.py"
    head, _, _ = path.read_text().partition("    def between")
    source = head.replace("Continuous", "Scheduler").replace("zoo_core.schedulers", "zoo_core.interfaces")
    path.write_text(f"{source}    def sigmas(self, steps: int, lo: float, hi: float) -> tuple[float, ...]:\n        {body}\n")
    failures = {}
    with installed(write_plugin(folder, "zoo-mine", "", entry="mine = zoo_mine.plugin"), names=["zoo-mine"]):
        for check in checks_of(resolve("zoo_mine.scheduler:Mine")()):
            try:
                check()
            except AssertionError as error:
                failures[check.name] = str(error)
    return failures


@pytest.mark.parametrize("name", FAULTS)
def test_a_check_catches_its_fault(name: str, tmp_path: Path) -> None:
    body, message = FAULTS[name]
    failures = failing(tmp_path, body)
    assert list(failures) == [name]
    assert message in failures[name]


def test_the_copy_without_a_fault_conforms(tmp_path: Path) -> None:
    assert failing(tmp_path, BASE) == {}


@pytest.mark.parametrize("scheduler", [Cosine(), Geometric(), Karras(), Linear()], ids=lambda scheduler: type(scheduler).__name__)
def test_the_schedulers_of_zoo_core_conform(scheduler: object) -> None:
    for check in checks_of(scheduler):  # type: ignore[arg-type]
        if check.name != "plugin_is_light":
            check()
