"""A recipe is everything that makes a run repeatable: plain JSON, all of it written out, nothing in it that cannot be."""

import dataclasses
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from zoo_core.config import dump_json
from zoo_core.datasets import FolderConfig, expand
from zoo_core.errors import ConfigError, UnknownNameError
from zoo_core.recipes import EMAConfig, FitConfig, OptimizerConfig, Recipe
from zoo_core.registry import registry, resolve
from zoo_core.specs import RecipeSpec
from zoo_core.testing import fake_zoo
from zoo_core.testing.fake_config import IMAGES, NOISE, TINY


@pytest.fixture(autouse=True)
def _zoo() -> Iterator[None]:
    with fake_zoo():
        yield


@pytest.mark.parametrize("recipe", [TINY, IMAGES, NOISE], ids=["tiny", "images", "noise"])
def test_a_recipe_is_its_json(recipe: Recipe) -> None:
    assert Recipe.from_dict(json.loads(dump_json(recipe.to_dict()))) == recipe


def test_every_default_is_written_out() -> None:
    plain = TINY.to_dict()
    assert set(plain) == {item.name for item in dataclasses.fields(Recipe)}
    assert set(plain["fit"]) == {item.name for item in dataclasses.fields(FitConfig)}
    assert plain["fit"]["optimizer"] == {"name": "adam", "lr": 0.01, "weight_decay": 0.0, "options": {}}
    assert (plain["model"]["name"], plain["trainer"]["name"], plain["data"]["name"], plain["sampler"]["name"]) == (
        *("fake", "fake", "fake-data"),
        "latent",
    )


def test_a_recipe_of_the_names_alone_is_made_of_defaults() -> None:
    recipe = Recipe.from_dict({"model": {"name": "fake"}, "trainer": {"name": "fake"}})
    assert recipe == Recipe(model=TINY.model, trainer=TINY.trainer)
    assert (recipe.fit, recipe.data, recipe.sampler) == (FitConfig(), None, None)


def test_recipes_can_be_keys() -> None:
    assert {TINY: 1}[Recipe.from_dict(TINY.to_dict())] == 1


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no model": ({"trainer": {"name": "fake"}}, "recipe: missing model"),
    "a fit": ({"fit": {"steps": 0}}, r"recipe\.fit\.steps must be in"),
    "a seed": ({"fit": {"seed": -1}}, r"recipe\.fit\.seed must be in"),
    "a schedule": ({"fit": {"lr_schedule": "step"}}, r"recipe\.fit\.lr_schedule must be one of constant, linear, cosine"),
    "an average": ({"fit": {"ema": {"decay": 1.5}}}, r"recipe\.fit\.ema\.decay must be in"),
    "a rate": ({"fit": {"optimizers": {"critic": {"lr": -1}}}}, r"recipe\.fit\.optimizers\.critic\.lr must be in"),
    "a trainer for a model": ({"model": {"name": "fake", "width": 3}}, r"recipe\.model: unknown key 'width'"),
    "data": ({"data": {"name": "fodler", "path": "x"}}, r"recipe\.data: unknown dataset 'fodler' -- did you mean folder"),
    "data without a path": ({"data": {"name": "folder"}}, r"recipe\.data: missing path"),
    "sampler options": ({"sampler": {"name": "latent", "steps": 3}}, r"recipe\.sampler: unknown key 'steps'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_wrong_recipe_is_refused_with_the_path_of_the_field(case: str) -> None:
    data, message = REFUSED[case]
    base = {} if case == "no model" else {"model": {"name": "fake"}, "trainer": {"name": "fake"}}
    with pytest.raises(ConfigError, match=message):
        Recipe.from_dict(base | data)


def test_a_recipe_of_a_family_that_is_not_installed_is_an_unknown_name() -> None:
    with pytest.raises(UnknownNameError, match="unknown family 'stylegan'"):
        Recipe.from_dict({"model": {"name": "stylegan"}, "trainer": {"name": "fake"}})


def test_registered_recipes_are_of_their_family() -> None:
    for key, (claim,) in registry().claims(RecipeSpec).items():
        recipe: Recipe = resolve(claim.spec.target)  # type: ignore[attr-defined]
        assert recipe.to_dict()["model"]["name"] == key.split("/")[0]


@pytest.mark.parametrize(
    "make",
    [
        lambda: FitConfig(batch_size=0),
        lambda: FitConfig(clip_norm=0.0),
        lambda: FitConfig(save_every=0),
        lambda: FitConfig(keep=0),
        lambda: FitConfig(seed=2**64),
        lambda: OptimizerConfig(lr=float("nan")),
        lambda: OptimizerConfig(weight_decay=-1.0),
        lambda: EMAConfig(decay=-0.1),
        lambda: FolderConfig(path="x", size=0),
        lambda: FolderConfig(path="x", size=10**9),
    ],
)
def test_options_out_of_range_are_refused_before_anything_is_built(make: Callable[[], object]) -> None:
    with pytest.raises(ConfigError, match="must be in"):
        make()


def test_a_path_takes_its_variables_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AFHQ", "/data/afhq")
    monkeypatch.setenv("HOME", "/home/me")
    assert expand("$AFHQ/train") == "/data/afhq/train"
    assert expand("${AFHQ}2") == "/data/afhq2"
    assert expand("~/cats") == "/home/me/cats"
    assert expand("cats") == "cats"


@pytest.mark.parametrize("path", ["$ZOO_NOT_SET/train", "${ZOO_NOT_SET}/train"])
def test_a_variable_that_is_not_set_is_named(path: str) -> None:
    with pytest.raises(ConfigError, match=r"needs the environment variable ZOO_NOT_SET -- set it: export ZOO_NOT_SET="):
        expand(path)


def test_a_dollar_in_the_value_of_a_variable_is_a_dollar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AFHQ", "/data/$recycled")
    assert expand("$AFHQ/train") == "/data/$recycled/train"
