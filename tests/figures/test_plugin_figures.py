"""Figures that plugins add to ``zoo figure``."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from zoo_core.cli.figure import figure
from zoo_core.errors import CapabilityError, NameConflictError, PluginError, UnknownNameError
from zoo_core.registry import registry
from zoo_core.samplers import Heun
from zoo_core.testing import fake_zoo, installed, write_checkpoint, write_plugin
from zoo_core.testing.fake import Fake, FakeDenoiser
from zoo_core.testing.fake_config import FakeConfig, FakeDenoiserConfig
from zoo_core.testing.plugin_checks import findings

SOURCE = """
from zoo_core.hookspecs import hookimpl
from zoo_core.specs import FigureSpec

def starts(model, *, n, seed):
    from matplotlib.figure import Figure
    drawing = Figure(figsize=(3, 3))
    axes = drawing.subplots()
    axes.scatter(*model.sample(n, seed=seed).T)
    axes.set_title(str(n))
    return drawing

def titled(model, *, n, seed):
    drawing = starts(model, n=n, seed=seed)
    drawing.suptitle('its own title')
    return drawing

def nothing(model, *, n, seed):
    pass

def odd(model, seed):
    pass

@hookimpl
def zoo_specs():
    return [
        FigureSpec(name='starts', target='zoo_mine:starts', requires='denoise', n=7, summary='samples as dots'),
        FigureSpec(name='titled', target='zoo_mine:titled'),
        FigureSpec(name='nothing', target='zoo_mine:nothing'),
        FigureSpec(name='odd', target='zoo_mine:odd', requires='fly'),
        FigureSpec(name='loss', target='zoo_mine:titled'),
    ]
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """``points``, which denoises, ``flow``, which does not, and the plugin zoo-mine with figures."""
    monkeypatch.chdir(tmp_path)
    write_plugin(tmp_path / "plugin", "zoo-mine", SOURCE)
    write_plugin(tmp_path / "other", "zoo-other", SOURCE.replace("zoo_mine", "zoo_other"))
    with installed(tmp_path / "plugin", tmp_path / "other", names=[]), fake_zoo("zoo-mine"):
        config = FakeDenoiserConfig(shape=(2,), bounded=False)
        write_checkpoint(tmp_path / "points", FakeDenoiser(config), config, Heun(steps=4))
        write_checkpoint(tmp_path / "flow", Fake(FakeConfig()), FakeConfig())
        yield


def drawn(*words: str) -> str:
    done = CliRunner().invoke(figure, list(words))
    assert (done.exception, done.stdout) == (None, ""), done.exception
    return done.stderr


def refusal(*words: str) -> BaseException:
    error = CliRunner().invoke(figure, list(words)).exception
    assert error is not None
    return error


def test_a_figure_of_a_plugin_is_drawn_with_its_origin() -> None:
    assert "points-starts.png: samples as dots; n = 7" in drawn("local:points", "starts", "--seed", "3")
    with Image.open("points-starts.png") as image:
        facts = image.info
    assert (facts["title"], facts["figure"], facts["n"], facts["seed"]) == ("points · starts · seed 3", "starts", "7", "3")
    assert facts["weights"].startswith("sha256:")


def test_the_same_seed_gives_the_same_file_and_n_is_passed_on() -> None:
    files = []
    for number, count in enumerate(("50", "50", "60")):
        drawn("local:points", "starts", "-n", count, "--out", f"{number}.png")
        files.append(Path(f"{number}.png").read_bytes())
    assert files[0] == files[1] != files[2]


def test_its_own_title_stays_unless_another_is_given() -> None:
    drawn("local:points", "titled", "--out", "own.svg")
    drawn("local:points", "titled", "--title", "of the user", "--out", "given.svg")
    assert "its own title" in Path("own.svg").read_text()
    assert "of the user" in Path("given.svg").read_text()


def test_options_that_it_lacks_and_checkpoints_without_its_capability_are_refused() -> None:
    assert "--steps means nothing for the figure starts" in str(refusal("local:points", "starts", "--steps", "4"))
    error = refusal("local:flow", "starts")
    assert isinstance(error, CapabilityError)
    assert "a model that can denoise" in error.what
    assert "titled" in error.hint
    assert "starts" not in error.hint


def test_a_figure_that_is_none_names_the_plugin_and_the_line() -> None:
    error = refusal("local:points", "nothing")
    assert isinstance(error, PluginError)
    assert "in zoo-mine (zoo_mine.py:" in error.what
    assert "nothing returns a NoneType, not a Figure" in error.what


def test_figures_of_plugins_are_listed_and_suggested() -> None:
    error = refusal("local:points", "start")
    assert isinstance(error, UnknownNameError)
    assert "did you mean starts" in error.hint
    assert "samples, zoo-mine:loss, nothing, starts, titled" in error.hint


def test_a_name_of_zoo_core_stays_its_own_and_the_other_is_drawn_by_its_distribution() -> None:
    assert "has no" in str(refusal("local:points", "loss"))
    drawn("local:points", "zoo-mine:loss", "--out", "theirs.svg")
    assert "its own title" in Path("theirs.svg").read_text()


def test_two_plugins_with_one_name_are_a_conflict() -> None:
    with fake_zoo("zoo-mine", "zoo-other"):
        assert isinstance(refusal("local:points", "starts"), NameConflictError)
        drawn("local:points", "zoo-other:starts")


def test_the_check_of_a_plugin_finds_wrong_figures() -> None:
    plugin = next(plugin for plugin in registry().plugins if plugin.dist == "zoo-mine")
    faults = {name: fault for name, fault in findings(plugin).items() if fault}
    assert list(faults) == ["zoo_mine:odd"]
    assert "in zoo-mine (zoo_mine.py:" in faults["zoo_mine:odd"]
    assert "odd(model, *, n, seed)" in faults["zoo_mine:odd"]
