"""Drawings of the page: samples with their settings, checked, as PNG and npz files that carry their origin."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zoo_core.arguments import as_int, classes_in
from zoo_core.capabilities import supports
from zoo_core.config import encode
from zoo_core.errors import UsageError
from zoo_core.figures.origin import origin_of
from zoo_core.figures.titles import title_line, walk_text
from zoo_core.interfaces import Sampler, Scheduler
from zoo_core.samplers.factory import as_sampler, as_scheduler
from zoo_core.ui.limits import LIMITS, Limits

if TYPE_CHECKING:
    from torch import Tensor

    from zoo_core.interfaces import OnStep
    from zoo_core.pretrained import Pretrained

__all__ = [
    "BATCH",
    "Choice",
    "Drawing",
    "Prepared",
    "Report",
    "draw",
    "no_report",
    "npz_of",
    "prepared",
    "settings",
    "step_counter",
    "title_of",
]

Report = Callable[[int, int], None]
"""Called with the number of steps that are done, and of all; it may raise an error to end the work."""

BATCH = 16
"""Number of samples that are computed at once, after which a drawing can be stopped."""


def no_report(done: int, total: int) -> None:
    """Reports nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """The settings of a drawing, as a visitor chose them.

    >>> Choice.of("realnvp-moons", n=4.0, seed=1, sampler=None, steps=None).n
    4

    Args:
        reference: checkpoint.
        n: number of samples.
        seed: seed of the samples.
        sampler: name of a sampler; empty for the checkpoint's own.
        scheduler: name of a scheduler; empty for the default.
        steps: number of steps; None for the default of the sampler.
        labels: classes that take turns, such as ``3`` or ``0-9``; empty for the default.
        guidance: guidance scale; None without guidance.
    """

    reference: str
    n: int = 16
    seed: int = 0
    sampler: str = ""
    scheduler: str = ""
    steps: int | None = None
    labels: str = ""
    guidance: float | None = None

    @classmethod
    def of(cls, reference: str, **values: object) -> "Choice":
        """A choice from the values of widgets, in which whole numbers may be floats, and empty fields None.

        Raises:
            UsageError: if a value has a wrong type.
        """
        plain = {key: int(value) if isinstance(value, float) and value.is_integer() else value for key, value in values.items()}
        texts = {key: plain[key] or "" for key in ("sampler", "scheduler", "labels") if key in plain}
        for key, text in texts.items():
            if not isinstance(text, str):
                raise UsageError(f"{key} must be a text, not {str(text)[:40]!r}")
        numbers = {key: as_int(key, plain[key]) for key in ("n", "seed") if plain.get(key) is not None}
        steps = as_int("steps", plain["steps"]) if plain.get("steps") is not None else None
        guidance = plain.get("guidance")
        if guidance is not None and (isinstance(guidance, bool) or not isinstance(guidance, int | float)):
            raise UsageError(f"guidance must be a number, not {str(guidance)[:40]!r}")
        scale = None if guidance is None else float(guidance)
        return cls(reference=reference, steps=steps, guidance=scale, **numbers, **texts)  # type: ignore[arg-type]  # checked above


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """A choice, resolved for a model: sampler, noise levels, and the class of each sample.

    >>> from zoo_core.samplers import Latent
    >>> Prepared(sampler=Latent(), scheduler=None, labels=None, turns=(), names=()).walk
    'latent'
    """

    sampler: Sampler
    scheduler: Scheduler | None
    labels: list[int] | None
    turns: tuple[int, ...]
    names: tuple[str, ...]

    @property
    def walk(self) -> str:
        return walk_text(self.sampler, self.scheduler)


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawing:
    """A picture and its data, ready to be shown and downloaded.

    >>> Drawing(name="moons", png=b"", npz=b"", title="moons", note="").name
    'moons'

    Args:
        name: name of its files, without a suffix.
        png: picture, which carries its origin.
        npz: samples without loss, with the same origin.
        title: checkpoint, sampler and seed in a line.
        note: description for people who do not see the picture.
    """

    name: str
    png: bytes
    npz: bytes
    title: str
    note: str


def prepared(model: "Pretrained", choice: Choice, limits: Limits = LIMITS, most: int | None = None) -> Prepared:
    """Resolves a choice for a model.

    Args:
        model: the checkpoint.
        choice: settings.
        limits: bounds.
        most: largest number of samples; that of ``limits`` when None.

    Raises:
        UsageError, ConfigError, CapabilityError: if a setting is out of bounds, or does not fit the model.
    """
    from zoo_core.pretrained.conditions import class_turns

    points = tuple(model.event.shape) == (2,)
    as_int("the number of samples", choice.n, 1, most or (limits.points if points else limits.images))
    as_int("the seed", choice.seed)
    values = {"name": choice.sampler} if choice.sampler else encode(model.sampler)
    if choice.steps is not None:
        values |= {"steps": as_int("the number of steps", choice.steps, 1, limits.steps)}
    sampler = as_sampler(values)
    if not supports(model.capabilities, sampler.requires):
        model.require(sampler.requires, "be sampled so")
    if choice.scheduler and sampler.requires != "denoise":
        raise UsageError(f"{model.name} draws in one pass, without noise levels", "leave the scheduler empty")
    scheduler = as_scheduler(choice.scheduler) if choice.scheduler else model.scheduler_of(sampler)
    passes = len(sampler.noise_levels(model.sampled_model, scheduler)) * int(getattr(sampler, "steps_per_level", 1))
    as_int("the number of network passes of a sample", passes, 0, limits.steps)
    turns = class_turns(model, classes_in(choice.labels, model.classes) if choice.labels.strip() else None)
    labels = [turns[i % len(turns)] for i in range(choice.n)] if turns else None
    names = tuple(model.classes[label] for label in turns) if turns and len(model.classes) > max(turns) else ()
    return Prepared(sampler=sampler, scheduler=scheduler, labels=labels, turns=tuple(turns), names=names)


def draw(model: "Pretrained", choice: Choice, report: Report = no_report, limits: Limits = LIMITS) -> "tuple[Drawing, Tensor]":
    """Draws samples: a grid of images, or a plot of points; images of turning classes stand in columns.

    Args:
        model: the checkpoint.
        choice: settings.
        report: called after each step.
        limits: bounds.

    Returns:
        The drawing, and the samples (n, *event.shape).

    Raises:
        UsageError, ConfigError, CapabilityError: if a setting is out of bounds, or does not fit the model.
    """
    ready = prepared(model, choice, limits)
    batches = -(-choice.n // BATCH)
    samples = model.sample(
        choice.n,
        seed=choice.seed,
        sampler=ready.sampler,
        scheduler=ready.scheduler,
        labels=ready.labels,
        guidance=choice.guidance,
        batch_size=BATCH,
        on_step=step_counter(model, ready, batches, report),
    )
    origin = origin_of(model, **settings(choice, ready), batch_size=BATCH, images=f"0-{choice.n - 1}")
    drawing = Drawing(
        name=f"{model.name}-seed{choice.seed}",
        png=_sheet(model, samples, ready, origin, title_of(model, choice, ready)),
        npz=npz_of(samples, origin, ready),
        title=title_of(model, choice, ready),
        note=_count(model, choice),
    )
    return drawing, samples


def settings(choice: Choice, ready: Prepared) -> dict[str, Any]:
    """The settings of a drawing, for the record of its origin."""
    return {
        "sampler": ready.sampler,
        "scheduler": ready.scheduler,
        "seed": choice.seed,
        "labels": ready.labels,
        "guidance": choice.guidance,
    }


def title_of(model: "Pretrained", choice: Choice, ready: Prepared) -> str:
    """Checkpoint, sampler, seed and guidance in a line."""
    guidance = "" if choice.guidance is None else f"guidance {choice.guidance:g}"
    return title_line(model.name, ready.walk, f"seed {choice.seed}", guidance)


def npz_of(samples: "Tensor", origin: Mapping[str, str], ready: Prepared) -> bytes:
    """The bytes of an npz with the samples, their classes and their origin."""
    import torch

    from zoo_core.images import npz

    facts = {key: value for key, value in origin.items() if key != "labels"}
    return npz(samples, facts, **({"labels": torch.tensor(ready.labels)} if ready.labels else {}))


def _count(model: "Pretrained", choice: Choice) -> str:
    noun = "text" if "text" in model.capabilities else "point" if tuple(model.event.shape) == (2,) else "image"
    return f"{choice.n:,} {noun}s of seed {choice.seed}" if choice.n > 1 else f"The first {noun} of seed {choice.seed}"


def step_counter(model: "Pretrained", ready: Prepared, batches: int, report: Report) -> "OnStep":
    """A callback of samplers that counts the steps of all batches, and reports them."""
    steps = len(ready.sampler.noise_levels(model.sampled_model, ready.scheduler)) - 1
    total = batches * max(steps, 1)
    done = 0

    def on_step(step: int, sigma: float, x: "Tensor", x0: "Tensor") -> None:
        nonlocal done
        done += 1 if step or steps < 1 else 0
        report(min(done, total), total)

    return on_step


def _sheet(model: "Pretrained", samples: "Tensor", ready: Prepared, origin: Mapping[str, str], title: str) -> bytes:
    from zoo_core import images

    if "text" in model.capabilities:
        from zoo_core.figures.page import text_page

        return images.png(text_page(model.show(samples), title=title), origin)
    if tuple(model.event.shape) == (2,):
        import torch

        from zoo_core.figures.canvas import render
        from zoo_core.figures.points import scatter

        return render(scatter(samples, None if ready.labels is None else torch.tensor(ready.labels), title), origin)
    columns = images.class_columns(len(ready.turns), len(samples))
    if columns and ready.names:
        names = [ready.names[place % len(ready.names)][:24] for place in range(min(columns, len(samples)))]
        return images.png(images.class_sheet(samples, names), origin)
    return images.png(images.grid(samples, columns), origin)
