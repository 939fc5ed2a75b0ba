"""Loading of a checkpoint by its reference (``load``), and its description (``info``)."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Never, cast

from zoo_core.cards.markdown import describe
from zoo_core.cards.metrics_json import METRICS
from zoo_core.checkpoint.config import family_of, plain_sampler, read_config
from zoo_core.checkpoint.files import CARD, TRAINING
from zoo_core.config import encode
from zoo_core.errors import UsageError
from zoo_core.hub.fetch import fetch
from zoo_core.hub.lockfile import Lock
from zoo_core.registry.reference import stages_of
from zoo_core.suggestions import LOAD, keywords_of, unknown_keyword

if TYPE_CHECKING:
    import torch

    from zoo_core.interfaces import Conditional
    from zoo_core.pretrained import Pretrained

__all__ = ["Info", "info", "load", "with_base"]


def load(
    reference: "str | os.PathLike[str]",
    *,
    device: "torch.device | str | None" = None,
    dtype: "torch.dtype | str | None" = None,
    lock: "str | os.PathLike[str] | None" = None,
    **other: Never,
) -> "Pretrained":
    """Loads a checkpoint: verifies its files, builds the model and fills in the weights.

    >>> model = load("realnvp-moons")
    >>> model.sample(16, seed=0).shape
    torch.Size([16, 2])

    Args:
        reference: ``NAME``, ``DIST:NAME``, the path of a folder (of a checkpoint or of a training run), or ``ORG/REPO[@REVISION]`` on the
            Hub. An existing folder takes precedence over a repository of that name; ``local:PATH`` always means the folder. ``A+B`` is a
            cascade: samples of the checkpoint A are the conditions of B (Ho et al. 2022, arXiv:2106.15282).
        device: device of the model, such as ``cuda``; the CPU if None.
        dtype: dtype in which the net computes: float32 (also if None), bfloat16 or float16; ``auto`` is bfloat16 where the device
            computes it natively, and float32 elsewhere. Samples and noise stay float32.
        lock: path of a lock file, as ``zoo lock`` writes it, that must have this checkpoint with these bytes and package versions.

    Raises:
        UsageError: if reference, device or dtype is not valid, or a keyword is unknown; or if the stages of a cascade do not fit.
        CapabilityError: if a later stage of a cascade takes no conditions.
        ConfigError: if the config is wrong.
        UnknownNameError: if no installed plugin has that checkpoint, or its family.
        IntegrityError: if a file differs from its pin.
        TrustError: if the lock file does not have the checkpoint, or has other versions of its packages.
        UnsafeContentError: if the weights are not a safe safetensors file.
        IncompatibleCheckpoint: if weights and config do not fit each other.
    """
    for key in other:  # such as users of other libraries type
        raise unknown_keyword("load", key, keywords_of(load), table=LOAD)
    *bases, last = stages_of(reference)
    files = fetch(last, lock=Lock.read(lock) if lock is not None else None)
    config = read_config(files)
    from zoo_core.pretrained import assemble

    return with_base(assemble(files, config, device=device, dtype=dtype), bases, lock=lock)


def with_base(
    model: "Pretrained", bases: "Sequence[str | os.PathLike[str]]", *, lock: "str | os.PathLike[str] | None" = None
) -> "Pretrained":
    """Makes a model the last stage of a cascade, and returns it.

    Args:
        model: the last stage.
        bases: references of the stages before it, the first stage first; without any, the model stays as it is.
        lock: path of a lock file that must have these checkpoints.

    Raises:
        CapabilityError: if the model takes no conditions.
        UsageError: if its conditions have another shape than samples of the stage before.
        ZooError: as :func:`load` does for the stages.
    """
    if not bases:
        return model
    model.require("condition", f"follow {bases[-1]} in a cascade")
    base = load("+".join(map(str, bases)), device=model.device, dtype=model.dtype, lock=lock)
    drawn, taken = tuple(base.event.shape), tuple(cast("Conditional", model.model).condition_event.shape)
    if drawn != taken:
        raise UsageError(f"{base.name} draws samples of the shape {drawn}, and the conditions of {model.files.name} have {taken}")
    model.base = base
    return model


class Info(dict[str, Any]):
    """Description of a checkpoint, as plain values by name; prints as a short table.

    >>> facts = info("realnvp-moons")
    >>> facts["family"], facts["capabilities"]
    ('realnvp', ['decode', 'density', 'encode'])
    """

    def __repr__(self) -> str:
        shown = {**self, "sampler": describe(self["sampler"]) if self["sampler"] else "", "parameters": f"{self['parameters']:,}"}
        lines = [f"{key:12} {_listed(shown[key])}" for key in _SHOWN if shown.get(key)]
        others = ", ".join(key for key in self if key not in _SHOWN)
        return "\n".join([*lines, f"{'also':12} {others}"])


_SHOWN = ("name", "summary", "family", "paper", "capabilities", "parameters", "sampler", "license", "datasets", "source", "folder")


def _listed(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def info(reference: "str | os.PathLike[str]") -> Info:
    """Describes a checkpoint by the plain values that ``zoo show --json`` prints. Of the weights it reads only the header.

    Args:
        reference: the checkpoint, as for :func:`load`.

    Returns:
        A dictionary, which prints as a short table.

    Raises:
        CardError: if the card cannot be read.
        ZooError: as :func:`load` does.
    """
    from zoo_core.cards.card import parse

    files = fetch(reference)
    config = read_config(files)
    family = family_of(config)
    names = files.names
    card = parse(files.read(CARD), bare=True) if CARD in names else None
    training = files.json(TRAINING) if TRAINING in names else {}
    spec = files.spec
    hub = files.hub or (spec.hub if spec else None)
    facts = {
        "name": files.name,
        "reference": str(files.reference),
        "summary": (spec.summary if spec else "") or (card.summary if card else ""),
        "family": family.name,
        "paper": family.paper,
        "capabilities": sorted(family.capabilities),
        "parameters": sum(tensor.elements for tensor in files.tensors().values()),
        "config": encode(config),
        "sampler": plain_sampler(config),
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
    return Info(facts)
