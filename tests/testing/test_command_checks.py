"""The conformance checks of commands catch the faults that they are for."""

from pathlib import Path

import click
import pytest

from zoo_core.errors import UnknownNameError
from zoo_core.registry import resolve
from zoo_core.testing import checks_of, installed, write_plugin

SOURCE = """
import click
from zoo_core.hookspecs import hookimpl
from zoo_core.specs import CommandSpec

@click.command()
@click.option('--steps', default=3, help='Number of steps.')
def walk(steps):
    '''Walk.'''
    click.echo(steps)

@hookimpl
def zoo_specs():
    return [CommandSpec(name='walk', target='zoo_mine:walk', summary='Walks.')]
"""
# For each check, a part of the source and the fault in its place.
FAULTS = {
    "command_is_listed": ("summary='Walks.'", "summary=''"),
    "options_are_explained": (", help='Number of steps.'", ""),
    "help_is_light": ("import click\n", "import click\nimport torch\n"),
    "wrong_options_are_one_line": (
        "@click.command()",
        (
            "class Loose(click.Command):\n"
            "    def parse_args(self, ctx, args):\n"
            "        return super().parse_args(ctx, [word for word in args if 'no-such' not in word])\n\n"
            "@click.command(cls=Loose)"
        ),
    ),
}


def failing(folder: Path, source: str, *names: str) -> dict[str, str]:
    """Those of the checks ``names``, or of all but that of the import, that the command fails, with their messages."""
    failures = {}
    with installed(write_plugin(folder, "zoo-mine", source), names=["zoo-mine"]):
        for check in checks_of(resolve("zoo_mine:walk")):
            if check.name in (names or FAULTS):
                try:
                    check()
                except AssertionError as error:
                    failures[check.name] = str(error)
    return failures


@pytest.mark.parametrize("name", FAULTS)
def test_a_check_catches_its_fault(name: str, tmp_path: Path) -> None:
    right, wrong = FAULTS[name]
    assert right in SOURCE
    assert list(failing(tmp_path, SOURCE.replace(right, wrong, 1), name)) == [name]


def test_a_name_of_zoo_core_is_refused(tmp_path: Path) -> None:
    failures = failing(tmp_path, SOURCE.replace("name='walk'", "name='list'"), "command_is_listed")
    assert "zoo-core has a command list" in failures["command_is_listed"]


def test_the_command_without_a_fault_conforms(tmp_path: Path) -> None:
    assert failing(tmp_path, SOURCE) == {}


def test_a_command_that_no_plugin_offers_has_no_checks() -> None:
    with pytest.raises(UnknownNameError, match="no installed plugin offers the command alone"):
        checks_of(click.Command("alone"))
