"""Texts while their hidden places are shown, step by step."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from zoo_core.arguments import as_int
from zoo_core.interfaces import SamplerLike
from zoo_core.pretrained import Pretrained
from zoo_core.samplers.factory import as_sampler

__all__ = ["Stage", "unmasking"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """Texts after some steps of a sampler.

    >>> Stage(step=0, hidden=1.0, texts=("░░░",)).texts[0]
    '░░░'

    Args:
        step: number of steps taken.
        hidden: share of hidden places of all texts.
        texts: the texts.
    """

    step: int
    hidden: float
    texts: tuple[str, ...]


def unmasking(
    pretrained: Pretrained, n: int, *, stages: int = 6, seed: int = 0, sampler: SamplerLike | None = None, first: int = 0
) -> list[Stage]:
    """Texts ``first`` ... ``first + n - 1`` of a seed while they are drawn, from all places hidden to none.

    Args:
        pretrained: model of texts with hidden places.
        n: number of texts.
        stages: number of stages, at least 2: the start, the end, and others at even distances of steps.
        seed: seed of the texts.
        sampler: sampler ``unmask``, or its options; the checkpoint's own when None.
        first: number of the first text.

    Raises:
        CapabilityError: if the model cannot unmask, or its samples are not texts.
        UsageError: if a number is out of range.
    """
    pretrained.require("unmask", "be drawn while places are shown")
    pretrained.require("text", "show samples as text")
    stages = as_int("stages", stages, 2, 1000)
    seen: list[tuple[float, Tensor]] = []
    pretrained.sample(
        n,
        first=first,
        seed=seed,
        sampler=None if sampler is None else as_sampler(sampler, pretrained.sampler),
        batch_size=n,
        on_step=lambda step, hidden, x, x0: seen.append((hidden, x)),
    )
    last = len(seen) - 1
    return [Stage(step=step, hidden=seen[step][0], texts=_texts(pretrained, seen[step][1])) for step in _even(last, stages)]


def _texts(pretrained: Pretrained, x: Tensor) -> tuple[str, ...]:
    return tuple(pretrained.model.show(x))  # type: ignore[operator]  # it has the capability text; hidden places are no samples


def _even(last: int, count: int) -> Sequence[int]:
    """``count`` steps from 0 to ``last`` at even distances, each once."""
    return sorted({round(place * last / (count - 1)) for place in range(count)})
