"""Messages of publishing name an option as its caller wrote it: as an argument in Python, as a flag on the command line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from zoo_core import publish
from zoo_core.cli.publish import publish as command
from zoo_core.errors import ZooError
from zoo_core.publishing.options import command_line, option
from zoo_core.testing.hub import LoopbackHub

from .helpers import CAT

pytest_plugins = ["zoo_core.testing.hub"]
pytestmark = pytest.mark.usefixtures("fakes")

DRAFT = {"license": "mit"}
# By the options of a call: the words for Python, and those for the command line.
HINTS: dict[str, tuple[dict[str, Any], str, str]] = {
    "no licence": ({}, 'license="mit"', "--license mit"),
    "no name of a licence": ({"license": "MIT"}, 'license="MIT"', "--license MIT"),
    "no name of a licence, spaced": ({"license": "My own"}, 'license="My own"', "--license 'My own'"),
    "a pin of another checkpoint": ({**DRAFT, "pin": "checkpoints.json"}, "pin is for", "--pin is for"),
    "no name for a tag": ({**DRAFT, "tag": "a b"}, 'tag="v1"', "--tag v1"),
    "not private": ({**DRAFT, "private": True}, "leave private out", "leave --private out"),
    "work of others": ({**DRAFT}, "dry_run=True", "--dry-run"),
    "to be replaced": ({**DRAFT}, "force=True", "--force"),
    "unknown to the Hub": ({"license": "mit-2"}, "another license", "another --license"),
}


def refused(case: str, hub: LoopbackHub, call: Callable[..., object]) -> str:
    Path("checkpoints.json").write_text("{}")
    if case != "unknown to the Hub":
        hub.add_repo(CAT, {"config.json": b"theirs"})
    with pytest.raises(ZooError) as error:
        call()
    return str(error.value)


@pytest.mark.parametrize("case", HINTS)
def test_in_python_a_message_names_the_argument(case: str, run: str, hub: LoopbackHub, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    options, argument, _ = HINTS[case]
    message = refused(case, hub, lambda: publish(run, CAT, **options))
    assert argument in message
    assert "--" not in message.partition(" -- ")[0] + message.partition(" -- ")[2]


@pytest.mark.parametrize("case", HINTS)
def test_on_the_command_line_a_message_names_the_flag(case: str, run: str, hub: LoopbackHub, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    options, _, flag = HINTS[case]
    words = [word for name, value in options.items() for word in ([f"--{name}"] if value is True else [f"--{name}", value])]
    message = refused(case, hub, lambda: command.main([run, "--repo", CAT, *words], standalone_mode=False))
    assert flag in message


def test_an_option_is_spelled_for_the_command_line_only_inside_its_block() -> None:
    with command_line():
        assert option("dry_run", True) == "--dry-run"
    assert option("dry_run", True) == "dry_run=True"
