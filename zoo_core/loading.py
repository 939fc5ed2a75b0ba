"""From a reference to a model that is ready to use (``load``), or to all that is known of it (``info``)."""

import os
from typing import TYPE_CHECKING, Any, Never

from zoo_core.cards.markdown import describe
from zoo_core.cards.metrics import METRICS
from zoo_core.checkpoint.config import family_of, plain_sampler, read_config
from zoo_core.checkpoint.files import CARD, TRAINING
from zoo_core.config import encode
from zoo_core.hub.fetch import fetch
from zoo_core.suggestions import LOAD, keywords_of, unknown_keyword

if TYPE_CHECKING:
    import torch

    from zoo_core.pretrained import Pretrained

__all__ = ["Info", "info", "load"]


def load(
    reference: "str | os.PathLike[str]",
    *,
    device: "torch.device | str | None" = None,
    dtype: "torch.dtype | str | None" = None,
    **other: Never,
) -> "Pretrained":
    """Loads a checkpoint: verifies its files, builds the model and gives it the weights.

    Args:
        reference: ``NAME``, ``DIST:NAME``, the path of a folder (of a checkpoint or of a training run), or ``ORG/REPO[@REVISION]`` on the
            Hub. A folder that exists goes before a repository of that name; ``local:PATH`` is always the folder.
        device: such as ``cuda``; the CPU when None.
        dtype: the dtype that the net computes in: float32 (when None), bfloat16 or float16; ``auto`` is bfloat16 where the device
            computes it natively, and float32 elsewhere. Samples and noise stay float32.

    Raises:
        UsageError: if reference, device or dtype is not valid, or there is no such keyword.
        ConfigError: the config is wrong.
        UnknownNameError: no installed plugin has that checkpoint, or its family.
        IntegrityError: a file is not what is pinned.
        UnsafeContentError: the weights are no safe safetensors file.
        IncompatibleCheckpoint: weights and config do not fit each other.
    """
    for key in other:  # that users of other libraries type
        raise unknown_keyword("load", key, keywords_of(load), table=LOAD)
    files = fetch(reference)
    config = read_config(files)
    from zoo_core.pretrained import assemble

    return assemble(files, config, device=device, dtype=dtype)


class Info(dict[str, Any]):
    """What is known of a checkpoint, as plain values by name; prints as a short table."""

    def __repr__(self) -> str:
        shown = {**self, "sampler": describe(self["sampler"]) if self["sampler"] else "", "parameters": f"{self['parameters']:,}"}
        lines = [f"{key:12} {_listed(shown[key])}" for key in _SHOWN if shown.get(key)]
        others = ", ".join(key for key in self if key not in _SHOWN)
        return "\n".join([*lines, f"{'also':12} {others}"])


_SHOWN = ("name", "summary", "family", "paper", "capabilities", "parameters", "sampler", "license", "datasets", "source", "folder")


def _listed(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def info(reference: "str | os.PathLike[str]") -> Info:
    """Everything that is known of a checkpoint, as plain values: what ``zoo show --json`` prints. Reads no weights but their header.

    A dictionary; printed, it is a short table.

    Raises:
        ZooError: as :func:`load` does; CardError when the card cannot be read.
    """
    from zoo_core.cards.card import parse

    files = fetch(reference)
    config = read_config(files)
    family, names = family_of(config), files.names
    card = parse(files.read(CARD), bare=True) if CARD in names else None
    training = files.json(TRAINING) if TRAINING in names else {}
    spec = files.spec
    hub = files.hub or (spec.hub if spec else None)
    found = {
        "name": files.name,
        "reference": str(files.reference),
        "summary": (spec.summary if spec else "") or (card.summary if card else ""),
        "family": family.name,
        "paper": family.paper,
        "capabilities": sorted(family.capabilities),
        "parameters": sum(tensor.elements for tensor in files.tensors().values()),
        "config": encode(config),
        "sampler": plain_sampler(config, family),
        "scheduler": encode(config.scheduler) if config.scheduler else None,
        "license": (spec.license if spec else "") or (card.license if card else ""),
        "datasets": list(card.datasets) if card else [],
        "card": dict(card.metadata) if card else {},
        "readme": card.body if card else "",
        "metrics": files.json(METRICS) if METRICS in names else {},
        "training": {key: value for key, value in training.items() if key != "curve"},
        "source": files.source,
        "folder": str(files.folder),
        "pinned": files.pins is not None,
        "files": {name: {"size": files.size(name), "sha256": files.digest(name) if files.pins is not None else None} for name in names},
        "hub": {"repo": hub.repo, "commit": hub.commit} if hub else None,
    }
    return Info(found)
