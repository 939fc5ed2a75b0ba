"""Plugins that do not load are told with the place; where two claim a name, DIST:NAME means one of them everywhere."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from zoo_core.config import dump_json
from zoo_core.registry import resolve
from zoo_core.testing import installed, write_plugin
from zoo_core.testing.checkpoints import pins_of, write_checkpoint

Zoo = Callable[..., Any]
Dots = Callable[..., Path]

# Plugins that do not load


def test_strict_shows_the_traceback_of_what_a_plugin_raised(zoo: Zoo, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write_plugin(tmp_path, "zoo-faulty", "import json\njson.loads('x')\n")
    monkeypatch.setenv("ZOO_STRICT", "1")
    monkeypatch.setattr("zoo_core.registry.discovery._current", [])
    monkeypatch.setenv("ZOO_PLUGINS", "zoo-faulty")
    monkeypatch.syspath_prepend(tmp_path)
    done = zoo("list")
    head, *trace, last = done.err.splitlines()
    assert head.startswith("zoo: plugin zoo_faulty (zoo-faulty) failed at import: JSONDecodeError: ")
    assert trace[0] == "Traceback (most recent call last):"
    assert f'  File "{tmp_path}/zoo_faulty.py", line 2, in <module>' in trace
    assert last.startswith("zoo: error: plugin zoo_faulty (zoo-faulty) failed at import: JSONDecodeError: ")
    assert last.endswith(f" -- mend {tmp_path}/zoo_faulty.py:2")
    assert done.code == 9
    assert "Traceback" in zoo("--debug", "list").err


@pytest.mark.parametrize(
    ("source", "where"),
    [
        ("import json\n\njson.loads('x')\n", "zoo_faulty.py:3"),
        ("import json\ndef (\n", "zoo_faulty.py:2"),
        ("import zoo_helper\n", "zoo_faulty.py:1"),
        ("from zoo_core.hookspecs import hookimpl\n@hookimpl\ndef zoo_specs():\n    return 1 / 0\n", "zoo_faulty.py:4"),
        ("", "zoo_faulty.py"),
    ],
)
def test_zoo_plugins_shows_where_a_plugin_failed(source: str, where: str, zoo: Zoo, tmp_path: Path) -> None:
    (tmp_path / "zoo_helper.py").write_text("\n\n1 / 0\n")
    with installed(write_plugin(tmp_path, "zoo-faulty", source), names=["zoo-faulty"]):
        table, plain, listed = zoo("plugins"), zoo("plugins", "--json"), zoo("list")
    assert re.search(rf"BROKEN: failed at .* \({tmp_path}/{where}\)", " ".join(table.out.split()))
    assert json.loads(plain.out)[-1]["failure"]["where"] == f"{tmp_path}/{where}"
    assert table.err == plain.err == ""
    assert listed.err.endswith(" -- `zoo plugins` shows where\n")


def test_what_a_broken_plugin_may_offer_is_told_with_its_name(zoo: Zoo, write_dots: Dots, tmp_path: Path) -> None:
    with installed(write_plugin(tmp_path, "zoo-faulty", "import nothing_like_that"), names=["zoo-faulty"]):
        for arguments in (("train", "dot"), ("sample", "some-dots"), ("dotted",), ("train", "dot", "--recipe", "tiny")):
            err = zoo(*arguments).err
            assert "broken: zoo-faulty (ModuleNotFoundError: No module named 'nothing_like_that'); `zoo plugins` shows where" in err
    with installed(tmp_path, write_dots(tmp_path / "fine", name="zoo-fine"), names=["zoo-faulty", "zoo-fine"]):
        assert "did you mean dot? broken: zoo-faulty (" in zoo("train", "dott").err
    with installed(names=[]):
        assert "a plugin that offers this family has to be installed first" in zoo("train", "dot").err


def test_a_checkpoint_of_a_broken_plugin_is_not_told_to_install_it(zoo: Zoo, write_dots: Dots, tmp_path: Path) -> None:
    with installed(write_dots(tmp_path), names=["zoo-faulty"]):
        config = resolve("zoo_faulty_config:DotConfig")()
        folder = write_checkpoint(tmp_path / "dots", resolve("zoo_faulty_model:Dot")(config), config)
    (folder / "README.md").write_text("---\nzoo:\n  family: dot\n  plugin: zoo-faulty\n---\n")
    write_plugin(tmp_path, "zoo-faulty", "import nothing_like_that")
    with installed(tmp_path, names=["zoo-faulty"]):
        err = zoo("sample", "local:dots").err
    assert "unknown family 'dot' -- broken: zoo-faulty (ModuleNotFoundError: " in err
    with installed(names=[]):
        assert "its card (unverified) says: pip install zoo-faulty" in zoo("sample", "local:dots").err


# DIST:NAME


@pytest.fixture
def rivals(write_dots: Dots, tmp_path: Path) -> Iterator[None]:
    """Two plugins that offer the same names; zoo-one is the first of them in the alphabet."""
    write_dots(tmp_path / "site", name="zoo-one")
    write_dots(tmp_path / "site", "Data(x=torch.randn(16, 2))", "Data(x=torch.ones(8, 2))", name="zoo-two")
    with installed(tmp_path / "site", names=["zoo-one", "zoo-two"]):
        yield


@pytest.mark.usefixtures("rivals")
def test_a_conflict_is_told_with_both_ways_out(zoo: Zoo) -> None:
    assert "family 'dot' is claimed by zoo-one and zoo-two -- say which: zoo-one:dot or zoo-two:dot" in zoo("train", "dot").err
    assert "! dataset dots is claimed by zoo-one and zoo-two -- say which: zoo-one:dots or zoo-two:dots" in zoo("list").err


@pytest.mark.usefixtures("rivals")
@pytest.mark.parametrize("recipe", [(), ("--recipe", "tiny"), ("--recipe", "zoo-two:tiny"), ("--recipe", "Zoo_Two:tiny")])
def test_a_family_with_its_distribution_is_trained_by_its_own_recipe(recipe: tuple[str, ...], zoo: Zoo, tmp_path: Path) -> None:
    done = zoo("train", "zoo-two:dot", *recipe)
    assert done.code == 0, done.err
    plain = json.loads((tmp_path / "runs" / "dot-tiny" / "recipe.json").read_text())
    assert {plain[part]["name"] for part in ("model", "trainer", "data")} == {"zoo-two:dot", "zoo-two:dots"}
    assert "zoo-one:tiny is a recipe of zoo-one:dot, not of zoo-two:dot" in zoo("train", "zoo-two:dot", "--recipe", "zoo-one:tiny").err


@pytest.mark.usefixtures("rivals")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("zoo-two:dots", {"name": "zoo-two:dots", "path": ""}),
        ("zoo-one:dots:a:b", {"name": "zoo-one:dots", "path": "a:b"}),
        ("Zoo_One:dots:a", {"name": "zoo-one:dots", "path": "a"}),
        ("zoo-core:moons", {"name": "moons"}),
        ("folder:mnist", {"name": "folder", "path": "mnist"}),
    ],
)
def test_data_may_be_named_with_its_distribution(text: str, expected: dict[str, str], zoo: Zoo) -> None:
    data = json.loads(zoo("train", "zoo-two:dot", "--data", text, "--dry-run").out)["data"]
    assert {key: data[key] for key in expected} == expected


@pytest.mark.usefixtures("rivals")
def test_a_recipe_file_from_before_the_rival_came_means_the_family_that_is_asked_for(zoo: Zoo, tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text(
        dump_json({"model": {"name": "dot"}, "trainer": {"name": "dot"}, "fit": {}, "data": {"name": "dots"}, "sampler": None})
    )
    plain = json.loads(zoo("train", "zoo-two:dot", "--recipe", "old.json", "--dry-run").out)
    assert [plain[part]["name"] for part in ("model", "trainer", "data")] == ["zoo-two:dot", "zoo-two:dot", "zoo-two:dots"]


def test_the_first_preset_of_a_family_is_its_own_plugins(zoo: Zoo, write_dots: Dots, tmp_path: Path) -> None:
    write_dots(tmp_path, "name='tiny'", "name='early'", name="zoo-one")
    write_dots(tmp_path, name="zoo-two")
    with installed(tmp_path, names=["zoo-one", "zoo-two"]):
        done = zoo("train", "zoo-two:dot", "--dry-run")
        assert done.code == 0, done.err
        assert json.loads(done.out)["model"]["name"] == "zoo-two:dot"


def test_a_path_behind_a_data_set_is_a_path_whatever_a_distribution_is_called(zoo: Zoo, write_dots: Dots, tmp_path: Path) -> None:
    with installed(write_dots(tmp_path, name="folder"), names=["folder"]):
        data = json.loads(zoo("train", "dot", "--data", "folder:dots", "--dry-run").out)["data"]
    assert (data["name"], data["path"]) == ("folder", "dots")


@pytest.mark.usefixtures("rivals")
def test_a_distribution_without_that_data_set_is_told(zoo: Zoo) -> None:
    assert "unknown dataset 'zoo-two'" in zoo("train", "zoo-two:dot", "--data", "zoo-two:nosuch", "--dry-run").err
    assert "say which: zoo-one:dots or zoo-two:dots" in zoo("train", "zoo-two:dot", "--data", "dots", "--dry-run").err
    assert "say which" in zoo("train", "zoo-two:dot", "--data", "dots:path", "--dry-run").err


def test_a_packaged_checkpoint_is_measured_on_the_data_of_its_own_plugin(zoo: Zoo, write_dots: Dots, tmp_path: Path) -> None:
    write_dots(tmp_path, "RecipeSpec(", "*checkpoints(__name__), RecipeSpec(", name="zoo-two")
    (tmp_path / "checkpoints.json").write_text("{}")
    with installed(tmp_path, names=["zoo-two"]):
        config = resolve("zoo_two_config:DotConfig")()
        folder = write_checkpoint(tmp_path / "model_cards" / "two-dots", resolve("zoo_two_model:Dot")(config), config)
        (folder / "training.json").write_text(dump_json({"recipe": {"data": {"name": "dots"}}}))
        (tmp_path / "checkpoints.json").write_text(dump_json({"two-dots": pins_of(folder)}))
    write_dots(tmp_path, "Data(x=torch.randn(16, 2))", "1 / 0", name="zoo-one")
    with installed(tmp_path, names=["zoo-one", "zoo-two"]):
        done = zoo("evaluate", "two-dots", "--metrics", "fd", "--json")
        assert done.code == 0, done.err
        assert json.loads(done.out)["metrics"][0]["n"]["real"] == 16
        foreign = zoo("evaluate", "two-dots", "--data", "zoo-one:dots")
        assert foreign.err.startswith("zoo: error: in zoo-one (zoo_one_model.py:25): ZeroDivisionError")


def test_the_name_of_a_distribution_is_that_of_the_head_of_its_metadata(tmp_path: Path) -> None:
    write_plugin(tmp_path, "zoo-fine", "from zoo_core.hookspecs import hookimpl\n\n@hookimpl\ndef zoo_specs():\n    return []\n")
    metadata = tmp_path / "zoo_fine-1.0.dist-info" / "METADATA"
    metadata.write_text("name: Zoo.Fine\nVersion:3.2\nName: second\n\nName: of the README\nVersion: 9\n")
    with installed(tmp_path, names=["Zoo.Fine"]) as found:
        assert [(plugin.dist, plugin.version) for plugin in found.plugins[1:]] == [("Zoo.Fine", "3.2")]
