"""The checkpoint folder of a finished run: weights, config, the record of the training, a sheet of samples and a draft card."""

import hashlib
import re
import shlex
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from zoo_core import __version__, cards
from zoo_core.atomic import write_file
from zoo_core.cards.metrics_log import curve, read_metrics
from zoo_core.checkpoint.config import FORMAT, CheckpointConfig
from zoo_core.config import dump_json, encode, load_json
from zoo_core.data.dataset import Data
from zoo_core.errors import ConfigError, ZooError
from zoo_core.evaluation.golden import write_golden
from zoo_core.hardware.environment import plugin_commits, plugin_versions, processor, versions
from zoo_core.interfaces import Classify, Decoder, Denoiser, Filler
from zoo_core.recipes import Recipe
from zoo_core.samplers.conditions import example_prompts
from zoo_core.training.preview import layout, save_sheet

__all__ = ["export", "portable", "stored"]

CARD = "README.md"
CURVE_POINTS = 200
_REFERENCE = re.compile(r"(?<=zoo_core\.load\(\")local:[^\"\n]+")
PACKAGES = ("zoo-core", "torch", "timm", "numpy", "safetensors")


def export(recipe: Recipe, model: nn.Module, data: Data, out: Path, *, record: Mapping[str, Any], device: torch.device) -> Path:
    """Writes the checkpoint folder ``out/export``, and returns it.

    Args:
        recipe: recipe of the run.
        model: model whose weights are published.
        data: data of the run.
        out: run folder.
        record: facts about the run, for training.json.
        device: device of the model.

    Raises:
        ResourceError: if the folder cannot be written to.
        ConfigError: if a weight is too large for ``fit.export_dtype``.
    """
    folder = out / "export"
    folder.mkdir(parents=True, exist_ok=True)
    state = stored(model, getattr(torch, recipe.fit.export_dtype), "fit.export_dtype")
    if recipe.fit.export_dtype != "float32":  # the sheet is drawn by the weights as they are stored
        model = deepcopy(model)
        model.load_state_dict(state)
    config = encode(
        CheckpointConfig(
            format=FORMAT,
            weights_version=getattr(type(model), "weights_version", 1),
            model=recipe.model,
            sampler=recipe.sampler,
            scheduler=recipe.scheduler,
        )
    )
    count, columns = layout(model)
    training = {
        "recipe": recipe.to_dict(),
        **record,
        **({"sheet": {"images": count, "columns": columns}} if columns else {}),
        **({"prompts": prompts} if (prompts := example_prompts(model)) else {}),
        "versions": {**versions(PACKAGES), **plugin_versions(_parts(recipe))},
        **({"commits": commits} if (commits := plugin_commits(_parts(recipe))) else {}),
        "processor": processor(device),
        "data": {"count": len(data), "shape": list(data.event.shape), "digest": data.digest, "classes": list(data.classes)},
        "curve": curve(read_metrics(out / "metrics.jsonl"), CURVE_POINTS),
    }
    judges = isinstance(model, Classify) and not isinstance(model, Denoiser | Decoder)
    fills = isinstance(model, Filler) and not isinstance(model, Denoiser)
    pipeline = cards.CLASSIFICATION if judges else cards.FILLING if fills else None
    card = folder / CARD
    draft = cards.draft(out.name, config, training, pipeline, reference=f"{cards.LOCAL}{_place(out)}")
    if not card.exists() or card.read_text(errors="replace") == _draft_in(folder, out.name, pipeline):
        write_file(card, draft.encode())
    weights = save(state, metadata={"format": "pt"})
    write_file(folder / "model.safetensors", weights)
    write_file(folder / "config.json", dump_json(config).encode())
    write_file(folder / "training.json", dump_json(training).encode())
    if recipe.sampler is not None:
        facts = {"Software": f"zoo-core {__version__}", "weights": f"sha256:{hashlib.sha256(weights).hexdigest()}"}
        save_sheet(folder / "samples.png", model, recipe.sampler, device, recipe.scheduler, facts)
        write_golden(folder)
    return folder


def stored(model: nn.Module, dtype: torch.dtype, option: str) -> dict[str, Tensor]:
    """Copies of a model's tensors on the CPU, those of floating-point numbers in ``dtype``."""
    state = {}
    for name, value in model.state_dict().items():
        cast = value.detach().to("cpu", dtype if value.is_floating_point() else value.dtype)
        if cast.is_floating_point() and not bool(cast.isfinite().all()) and bool(value.isfinite().all()):
            raise ConfigError(f"{option}: {name} has numbers too large for {str(dtype)[6:]}", "choose bfloat16 or float32")
        state[name] = cast.clone(memory_format=torch.contiguous_format)
    return state


def _parts(recipe: Recipe) -> dict[str, object]:
    parts = {"family": recipe.model, "trainer": recipe.trainer, "dataset": recipe.data, "sampler": recipe.sampler}
    return {kind: part for kind, part in parts.items() if part is not None}


def _place(out: Path) -> Path:
    """The run folder as its card shows it: relative to the working directory, or its name alone if it is elsewhere."""
    here = Path.cwd()
    return out.absolute().relative_to(here) if out.absolute().is_relative_to(here) else Path(out.name)


def _draft_in(folder: Path, name: str, pipeline: str | None) -> str:
    """The draft that an earlier export wrote: a card that differs from it was edited by a person."""
    try:
        place = _REFERENCE.search((folder / CARD).read_text(errors="replace"))
        config = load_json(folder / "config.json")
        training = load_json(folder / "training.json")
        return cards.draft(name, config, training, pipeline, reference=place[0] if place else "")
    except (ZooError, KeyError, TypeError):
        return ""


def portable(command: str) -> str:
    """The command line as a card shows it: without ``--out``, and without the folders of a recipe's absolute path.

    >>> portable("zoo train vae --recipe /home/me/small.json --out runs/vae")
    'zoo train vae --recipe small.json'
    """
    words = shlex.split(command)
    kept: list[str] = []
    while words:
        word = words.pop(0)
        name, equals, value = word.partition("=")
        if name not in ("--out", "--recipe"):
            kept.append(word)
            continue
        value = value if equals or not words else words.pop(0)
        if name == "--recipe":
            kept += [name, Path(value).name if Path(value).is_absolute() else value]
    return shlex.join(kept)
