"""The tree of errors is the one that its docstring draws, with those exit codes."""

import pickle
import re

import pytest

from zoo_core import errors
from zoo_core.errors import ConfigError, HubError, Interrupted, PluginError, UnknownNameError, UsageError, ZooError


def drawn() -> dict[str, tuple[str | None, int]]:
    """Parent and exit code of each class in the docstring's tree; an error without a number has its parent's."""
    tree: dict[str, tuple[str | None, int]] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if match := re.match(r"^    (?P<branches>[│├└─ ]*)(?P<name>[A-Z]\w+)\s+(?P<code>\d+)?", line):
            depth = len(match["branches"]) // 4
            parent = path[depth - 1] if depth else None
            path[depth:] = [match["name"]]
            inherited = tree[parent][1] if parent else 1
            tree[match["name"]] = (parent, int(match["code"]) if match["code"] else inherited)
    return tree


def test_the_tree_in_the_docstring_is_that_of_the_classes() -> None:
    classes = {name: cls for name, cls in vars(errors).items() if isinstance(cls, type) and issubclass(cls, ZooError)}
    tree = drawn()
    assert set(tree) == set(classes)
    for name, (parent, _) in tree.items():
        assert classes[name].__base__ is (classes[parent] if parent else Exception), name


def test_exit_codes_are_those_of_the_docstring() -> None:
    for name, (_, code) in drawn().items():
        if name != "Interrupted":
            assert getattr(errors, name).exit_code == code, name
    assert drawn()["HubError"][1] == 4
    assert drawn()["GatedError"][1] == 4


def test_errors_that_a_script_tells_apart_have_different_codes() -> None:
    families = [cls for cls in ZooError.__subclasses__() if cls.__module__ == "zoo_core.errors"]
    codes = {cls: cls.exit_code for cls in families}
    shared = {code for code in codes.values() if list(codes.values()).count(code) > 1}
    # A config and a card are both files to be mended; a plugin, a name and a capability are all about what is installed.
    assert shared == {3, 9}


def test_an_interrupted_run_ends_as_the_signal_would_have_ended_it() -> None:
    assert Interrupted("stopped", signum=2).exit_code == 130
    assert Interrupted("stopped", signum=15).exit_code == 143


def test_an_error_says_what_happened_and_after_two_dashes_what_to_do_next() -> None:
    assert str(UsageError("no such file", "give another")) == "no such file -- give another"
    assert str(UsageError("no such file")) == "no such file"


@pytest.mark.parametrize("error", [ConfigError("a", "b"), HubError("a"), UnknownNameError.of("family", "ddmp", ["ddpm"])])
def test_an_error_survives_the_way_back_from_a_worker(error: ZooError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.what, again.hint) == (type(error), error.what, error.hint)


def test_an_unknown_name_suggests_the_nearest_ones() -> None:
    assert str(UnknownNameError.of("family", "ddmp", ["vae", "ddpm", "realnvp"])) == "unknown family 'ddmp' -- did you mean ddpm?"


def test_an_unknown_name_far_from_all_gets_the_given_hint_or_the_list() -> None:
    assert UnknownNameError.of("family", "zzz", ["vae", "ddpm"]).hint == "known: ddpm, vae"
    assert UnknownNameError.of("family", "zzz", ["vae"], "install it").hint == "install it"
    assert UnknownNameError.of("family", "zzz", []).hint == ""
    assert UnknownNameError.of("name", "zzz", [f"n{i}" for i in range(9)]).hint.endswith(", ...")


def test_broken_plugins_and_unknown_names_are_told_apart() -> None:
    assert not issubclass(UnknownNameError, PluginError)
