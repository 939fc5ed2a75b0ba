"""Teachers: checkpoints whose models a trainer uses without training them."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import fields, is_dataclass, replace
from typing import Any

from torch import nn

from zoo_core.capabilities import lack_of, lacking
from zoo_core.checkpoint.build import model_of
from zoo_core.checkpoint.config import read_config
from zoo_core.checkpoint.files import WEIGHTS
from zoo_core.config import encode
from zoo_core.errors import CapabilityError, IncompatibleCheckpoint, IntegrityError
from zoo_core.hub.fetch import fetch
from zoo_core.interfaces import ModelConfig, Teacher
from zoo_core.loading import load
from zoo_core.recipes import Recipe

__all__ = ["begin_as", "begin_part", "load_teacher", "pin_teachers", "teachers_of", "without_weights"]

# Options of a net that a student may have besides those of its teacher: they add inputs, or act in training alone.
_ADDED = frozenset({"guidance_embeds", "dropout"})
_WITHOUT_WEIGHTS: ContextVar[bool] = ContextVar("without_weights", default=False)


def load_teacher(teacher: Teacher, requires: str = "") -> nn.Module:
    """The model of a teacher, in eval mode and without gradients; for :meth:`zoo_core.training.trainer.Trainer.freeze`.

    >>> load_teacher(Teacher(reference="realnvp-moons"), requires="decode").training
    False

    Args:
        teacher: reference and digest of the checkpoint.
        requires: capability that the trainer uses; empty for none.

    Raises:
        IntegrityError: if the weights are not those of ``teacher.sha256``.
        CapabilityError: if the model lacks the capability.
        ZooError: as :func:`zoo_core.load` does.
    """
    if _WITHOUT_WEIGHTS.get():
        model = model_of(read_config(fetch(teacher.reference)).model)
    else:
        _digest(teacher)
        model = load(teacher.reference).model
    if requires and (flaw := lacking(model, requires)):
        raise CapabilityError(f"the teacher {teacher.reference} {lack_of(requires)}: it {flaw}", "choose another teacher")
    return model


def begin_as(student: nn.Module, teacher: nn.Module) -> bool:
    """Copies the weights of a teacher into a student whose class and config are the teacher's; returns whether they are.

    Nets of two families may have the same tensors and different meanings, as those of noise and of velocity. A student may have further
    tensors, such as those of a guidance scale, and another rate of dropout.

    >>> net = nn.Linear(1, 1)
    >>> begin_as(nn.Linear(1, 1), net), begin_as(nn.Conv1d(1, 1, 1), net)
    (True, False)
    """
    own, taught = student.state_dict(), teacher.state_dict()
    alike = type(student) is type(teacher) and _meaning(student) == _meaning(teacher)
    if not alike or not all(name in own and own[name].shape == value.shape for name, value in taught.items()):
        return False
    student.load_state_dict({**own, **taught})
    return True


def begin_part(field: str, part: nn.Module, config: ModelConfig, teacher: Teacher, requires: str = "") -> None:
    """Copies the weights of a teacher into a part of a model, such as the first stage of latent diffusion.

    >>> vae = load_teacher(Teacher(reference="vae-mnist-2d"))
    >>> begin_part("first_stage", vae, vae.config, Teacher(reference="vae-mnist-2d"), requires="encode")

    Args:
        field: name of the part in the configs of model and trainer.
        part: the part.
        config: its config.
        teacher: the checkpoint.
        requires: capability that the trainer uses; empty for none.

    Raises:
        IncompatibleCheckpoint: if the teacher is of another family or config than the part.
        ZooError: as :func:`load_teacher` does.
    """
    model = load_teacher(teacher, requires)
    if not begin_as(part, model):
        raise _other_config(field, teacher.reference, config, model)


def _other_config(field: str, reference: str, wanted: ModelConfig, teacher: nn.Module) -> IncompatibleCheckpoint:
    """The error for a part of another family or config, with the options that would make the model fit it."""
    given = getattr(teacher, "config", None)
    name = field.replace("_", " ")
    if type(given) is not type(wanted):
        what = f"the {name} {reference} is a {type(teacher).__name__}, and model.{field} is of another family"
        return IncompatibleCheckpoint(what, f"choose another checkpoint, or another model.{field}")
    ours, theirs = encode(wanted), encode(given)
    differing = {key: value for key, value in theirs.items() if ours[key] != value}
    shown = ", ".join(f"{key} {value!s:.60} and not {ours[key]!s:.60}" for key, value in differing.items())
    options = " ".join(f"-o model.{field}.{key}={str(value).replace(' ', '')}" for key, value in differing.items())
    return IncompatibleCheckpoint(f"the {name} {reference} has another config than model.{field}: {shown}", f"pass {options}")


def _meaning(model: nn.Module) -> dict[str, Any]:
    config = getattr(model, "config", None)
    return {item.name: getattr(config, item.name) for item in fields(config) if item.name not in _ADDED} if is_dataclass(config) else {}


@contextmanager
def without_weights() -> Iterator[None]:
    """Inside a ``with`` block, teachers are built from their configs without weights, to estimate the cost of a recipe."""
    token = _WITHOUT_WEIGHTS.set(True)
    try:
        yield
    finally:
        _WITHOUT_WEIGHTS.reset(token)


def _digest(teacher: Teacher) -> str:
    """The digest of a teacher's weights, checked against the one it names."""
    digest = fetch(teacher.reference).digest(WEIGHTS)
    if teacher.sha256 not in (None, digest):
        what = (
            f"the teacher {teacher.reference} has other weights than the recipe names: sha256 {digest:.12}..., not {teacher.sha256:.12}..."
        )
        raise IntegrityError(what, "put its file back, or choose another --out and leave the teacher's sha256 out")
    return digest


def teachers_of(config: Any) -> list[tuple[str, Teacher]]:
    """The names and values of the fields of a config that are teachers."""
    values = [(item.name, getattr(config, item.name)) for item in fields(config)] if is_dataclass(config) else []
    return [(name, value) for name, value in values if isinstance(value, Teacher)]


def pin_teachers(recipe: Recipe) -> Recipe:
    """Returns the recipe with the digests of its trainer's teachers.

    Raises:
        IntegrityError: if a teacher's weights are not those that the recipe names.
        ZooError: if a teacher cannot be fetched.
    """
    pinned: dict[str, Any] = {name: replace(teacher, sha256=_digest(teacher)) for name, teacher in teachers_of(recipe.trainer)}
    return replace(recipe, trainer=replace(recipe.trainer, **pinned)) if pinned else recipe  # type: ignore[type-var]  # a dataclass, as checked
