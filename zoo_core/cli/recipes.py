"""The recipe of ``zoo train``: a preset or a file, changed by the options of the command."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo_core.capabilities import check_trainer
from zoo_core.checkpoint.config import read_config
from zoo_core.config import apply_overrides, encode, load_json
from zoo_core.data.factory import data_name, place_of, placed
from zoo_core.errors import ConfigError, UsageError
from zoo_core.hub.fetch import fetch
from zoo_core.recipes import Recipe, load_recipe
from zoo_core.registry import Claim, registry
from zoo_core.specs import ModelSpec, RecipeSpec

__all__ = ["bare_name", "first_preset", "model_of", "recipe_of"]


def model_of(reference: str, family: str) -> dict[str, Any]:
    """The model of a checkpoint, as a recipe holds it.

    Raises:
        UsageError: if the checkpoint is of another family.
    """
    model: dict[str, Any] = encode(read_config(fetch(reference)).model)
    if not _is_of(model["name"], family):
        what = f"{reference} is a checkpoint of {model['name']}, not of {family}"
        raise UsageError(what, f"zoo train {model['name']} --from {reference}")
    return model


def bare_name(name: str) -> str:
    """A name without the distribution before it."""
    return name.rpartition(":")[2]


def _is_of(name: object, family: str) -> bool:
    """Whether the name in a config means FAMILY; both may have a distribution before them, and several plugins may claim a bare name."""
    claim = registry().claim(ModelSpec, family)
    return name in (claim.spec.key, claim.name)


def first_preset(family: str) -> str:
    """The first recipe of the family's own plugin, or else of another plugin.

    Raises:
        UsageError: if there is none.
    """
    claim = registry().claim(ModelSpec, family)
    others = [other.spec for claims in registry().claims(RecipeSpec).values() for other in claims]
    presets = [spec.name for spec in (*claim.plugin.specs, *others) if isinstance(spec, RecipeSpec) and spec.family == claim.spec.name]
    if not presets:
        raise UsageError(f"{family} has no preset", "pass --recipe FILE.json")
    return presets[0]


def recipe_of(family: str, name: str, data: str | None, data_root: str | None, given: dict[str, Any]) -> Recipe:
    """The recipe ``name`` of a family, changed by the options of the command.

    Raises:
        UsageError, ConfigError: if it is of another family, or an option is not valid.
        CapabilityError: if its trainer cannot train the family.
    """
    own = registry().claim(ModelSpec, family)
    plain = _preset(own, name)
    made_for = plain.get("model", {}).get("name") if isinstance(plain.get("model"), dict) else None
    if made_for is None:
        raise ConfigError(f"{name} is not a recipe: it has no model", "a run's recipe.json is one, and so is an export's training.json")
    if not _is_of(made_for, family):
        raise UsageError(f"{name} is a recipe of {made_for}, not of {family}", f"zoo train {made_for} --recipe {name}")
    short = {"lr": "fit.optimizer.lr", "compile_": "fit.compile", "start_from": "start_from"}
    short |= {name: f"fit.{name}" for name in ("steps", "batch_size", "seed", "keep")}
    overrides = [f"{key}={json.dumps(given[option])}" for option, key in short.items() if given[option] is not None]
    if given["lr"] is not None:
        overrides += [f"fit.optimizers.{phase}.lr={given['lr']}" for phase in plain["fit"].get("optimizers", {})]
    if "model" in given:
        plain["model"] = given["model"]
    if data is not None:
        plain["data"] = _data(data, plain.get("data"))
    if data_root is not None:
        plain["data"] = _rooted(plain.get("data"), data_root)
    _check_parts(plain, given["options"])
    recipe = Recipe.from_dict(apply_overrides(plain, [*overrides, *given["options"]]), prefer=own.plugin.dist)
    check_trainer(recipe.model, recipe.trainer)
    return recipe


def _check_parts(recipe: Mapping[str, Any], options: Sequence[str]) -> None:
    """Refuses an option that is meant for a part of the recipe but does not name the part.

    Raises:
        UsageError: if there is such an option.
    """
    for text in options:
        key, equals, value = text.partition("=")
        key = key.strip()
        parts = [name for name, part in recipe.items() if isinstance(part, dict) and key in part]
        if equals and parts and key not in recipe:
            places = " or ".join(f"-o {name}.{key}={value}" for name in parts)
            raise UsageError(f"-o {text[:60]}: a recipe has parts, and no {key} of its own", f"did you mean {places}?")


def _preset(family: Claim, name: str) -> dict[str, Any]:
    """The recipe of a JSON file, or of that name in a plugin, as JSON.

    Raises:
        ConfigError, UnknownNameError, PluginError: if there is none.
    """
    if name.endswith(".json") or "/" in name:
        plain = load_json(Path(name))
        # training.json holds the recipe and the record of its run.
        recorded = plain.get("recipe")
        return recorded if isinstance(recorded, dict) else plain
    dist, colon, bare = name.rpartition(":")
    return load_recipe(f"{dist}{colon}{family.spec.key}/{bare}", prefer=family.plugin.dist).to_dict()


def _data(text: str, preset: object) -> dict[str, Any]:
    """The data of ``--data`` as JSON, with the other options of the preset if that has the same kind of data set.

    Raises:
        UsageError: if there is a path, but the data set does not read files.
    """
    name, path = data_name(text)
    place = place_of(name)
    own = placed(name, path) if path else {}
    # The preset's other choices (size, flips) hold for the user's own folder too; its class names do not.
    dropped = {"path": ("path", "classes"), "repo": ("repo", "revision", "subset", "split", "image", "label")}.get(place, ())
    values: dict[str, Any] = {"name": name}
    if isinstance(preset, dict) and preset.get("name") == name:
        values = {key: value for key, value in preset.items() if key not in dropped}
    return {**values, **own}


def _rooted(data: object, root: str) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise UsageError("--data-root: the recipe has no data", "add --data NAME")
    if place_of(name := str(data.get("name"))) != "root":
        raise UsageError(f"--data-root: {name} has no root", "leave it out, or choose another --data")
    return {**data, "root": root}
