"""Specs of whole packages: the pinned checkpoints of a package, and the usual specs of a family."""

import json
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from zoo_core.errors import PluginLoadError
from zoo_core.specs.records import CheckpointSpec, Hub, ModelSpec, Pin, RecipeSpec, Spec, TrainerSpec

__all__ = ["MODEL_LOSS", "checkpoints", "family"]

_SHA256 = re.compile(r"[0-9a-f]{64}")
MODEL_LOSS = "model-loss"
"""zoo-core's trainer of models that compute their own loss."""


def checkpoints(package: str) -> tuple[CheckpointSpec, ...]:
    """Returns the checkpoints pinned in ``checkpoints.json`` of an imported package; their files lie in its ``model_cards/NAME``.

    Args:
        package: name of the plugin's own package.

    Raises:
        PluginLoadError: if the package is not imported, or the file is missing or not valid.
    """
    module = sys.modules.get(package)
    if module is None or not module.__file__:
        raise PluginLoadError(f"checkpoints({package!r}): that package is not imported", "pass the name of the plugin's own package")
    root = Path(module.__file__).parent
    path = root / "checkpoints.json"
    try:
        pins = json.loads(path.read_bytes())
        return tuple(_checkpoint(name, root / "model_cards" / name, entry) for name, entry in pins.items())
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise PluginLoadError(f"{path} is not a valid list of pins: {error!r}", "write it with `zoo pin`") from error


def _checkpoint(name: str, folder: Path, entry: Mapping[str, Any]) -> CheckpointSpec:
    hub = entry.get("hub")
    for path, pin in entry["files"].items():
        if not _SHA256.fullmatch(pin["sha256"]):
            raise ValueError(f"{pin['sha256']!r:.80} is not a sha256 of {path} of {name}")
    return CheckpointSpec(
        name=name,
        family=entry["family"],
        summary=entry.get("summary", ""),
        folder=folder,
        files={path: Pin(sha256=pin["sha256"], size=pin["size"]) for path, pin in entry["files"].items()},
        hub=Hub(**hub) if hub else None,
        license=entry.get("license", ""),
        dataset=entry.get("dataset", ""),
    )


def family(
    name: str,
    *,
    package: str,
    model: str,
    capabilities: Iterable[str],
    trainer: str = "",
    config: str = "",
    trainer_config: str = "",
    sampler: str = "",
    paper: str = "",
    summary: str = "",
    training: str = "",
    trains: str = "",
    recipes: Mapping[str, tuple[str, str]] = MappingProxyType({}),
) -> tuple[Spec, ...]:
    """The usual specs of a family: its model, its trainer of the same name if it has its own, its recipes and its checkpoints.

    The package has the modules ``model``, ``config`` and ``recipes``, and ``trainer`` if the family has its own trainer; a family with
    another layout returns its own specs.

    >>> model, trainer = family("toy", package="my_toy", model="Toy", trainer="ToyTrainer", capabilities={"decode"})
    >>> model.target, trainer.config
    ('my_toy.model:Toy', 'my_toy.config:ToyTrainerConfig')

    Args:
        name: name of the family and of its trainer.
        package: package of the plugin, already imported.
        model: name of the class in ``package.model``.
        capabilities: capabilities of the models.
        trainer: name of the class in ``package.trainer``; empty for models that compute their own loss, by ``loss(batch, rng)``.
        config, trainer_config: names of the classes in ``package.config``; if empty, those of model and trainer with ``Config`` appended.
        sampler, paper: name of the default sampler, and paper of the family; both may be empty.
        summary, training: lines about the family and about its trainer.
        trains: capability of the families that the trainer trains; empty for this family alone.
        recipes: for each recipe its name in ``package.recipes`` and one line about it; the first one is the default.

    Raises:
        PluginLoadError: if the package has a ``checkpoints.json`` that is not valid.
    """
    config = f"{package}.config:{config or f'{model}Config'}"
    trainer_config = f"{package}.config:{trainer_config or f'{trainer}Config'}"
    names: dict[str, Any] = {"name": name, "paper": paper}
    about: dict[str, Any] = {"sampler": sampler, "capabilities": frozenset(capabilities), "summary": summary}
    specs: list[Spec] = [
        ModelSpec(target=f"{package}.model:{model}", config=config, trainer=name if trainer else MODEL_LOSS, **names, **about)
    ]
    if trainer:
        specs.append(TrainerSpec(target=f"{package}.trainer:{trainer}", config=trainer_config, summary=training, requires=trains, **names))
    specs += [
        RecipeSpec(name=key, family=name, target=f"{package}.recipes:{target}", summary=line) for key, (target, line) in recipes.items()
    ]
    pinned = getattr(sys.modules.get(package), "__file__", None)
    return (*specs, *(checkpoints(package) if pinned and (Path(pinned).parent / "checkpoints.json").is_file() else ()))
