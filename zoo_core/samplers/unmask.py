"""The sampler of masked models: hidden places show a category, some of them at each step."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from zoo_core.config import check_range
from zoo_core.errors import UsageError
from zoo_core.interfaces import OnStep, Rng, Sampler, Scheduler, Unmasker
from zoo_core.registry.faults import check_samples

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Unmask"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Unmask(Sampler):
    """Draws the categories of hidden places, an equal number of places at each step (Austin et al. 2021, arXiv:2107.03006, section 4.1).

    Places of one step are drawn independently of each other, given all that are shown: with as many steps as places, the samples are
    exactly those of the model's conditional probabilities. In the order ``random``, the place of each turn is that of the reverse process
    of absorbing diffusion (Sahoo et al. 2024, arXiv:2406.07524, eq. 6), whose times are all that a noise schedule would change.
    ``confidence`` shows the places that are surest of what they drew (Chang et al. 2022, arXiv:2202.04200, section 3.2).

    ``on_step`` gets the share of hidden places as its level, the places with the hidden ones, and the guess of each.

    >>> import torch
    >>> from zoo_core.rng import ImageRng
    >>> from zoo_core.testing.fake_text import FakeText
    >>> from zoo_core.testing.fake_config import FakeTextConfig
    >>> with torch.no_grad():
    ...     Unmask(steps=4)(FakeText(FakeTextConfig(length=8)), ImageRng(0, range(2))).shape
    torch.Size([2, 8])

    Args:
        steps: number of steps; at most one for each place of a sample is taken.
        order: ``random``, ``confidence``, or ``left-to-right``.
        temperature: below 1, more probable categories are drawn more often; 0 draws the most probable one.

    Raises:
        ConfigError: if an option is out of range.
    """

    requires: ClassVar[str] = "unmask"

    steps: int = 64
    order: Literal["random", "confidence", "left-to-right"] = "random"
    temperature: float = 1.0

    def __post_init__(self) -> None:
        check_range(self, steps=(1, 10**6), temperature=(0.0, 100.0))

    def noise_levels(self, model: Unmasker, scheduler: Scheduler | None) -> tuple[float, ...]:
        if scheduler is not None:
            raise UsageError("the sampler unmask has no noise levels", "leave the scheduler out")
        return ()

    def __call__(
        self,
        model: Unmasker,
        rng: Rng,
        *,
        sigmas: Sequence[float] = (),
        x: "Tensor | None" = None,
        labels: "Tensor | None" = None,
        on_step: OnStep | None = None,
    ) -> "Tensor":
        import torch

        n, hidden = len(rng), _categories(model)
        turns = rng.uniform(*model.event.shape).flatten(1)  # the smallest come first
        if x is None:
            x = torch.full((n, *model.event.shape), hidden, device=turns.device)
        places = turns.shape[1]
        if self.order == "left-to-right":
            turns = torch.arange(places, device=turns.device).expand(n, -1) / places
        steps = min(self.steps, places)
        # Of the h hidden places of a row, floor(h s / steps) are shown after step s, whatever the other rows hide.
        count = (x == hidden).flatten(1).sum(1)
        for step in range(steps):
            drawn, sure = self._draw(model, x, labels, rng)
            if on_step:
                on_step(step, float((x == hidden).double().mean()), x, torch.where(x == hidden, drawn, x))
            goal = count * (step + 1) // steps - count * step // steps
            score = -sure.flatten(1) if self.order == "confidence" else turns
            score = score.masked_fill((x != hidden).flatten(1), torch.inf)
            rank = score.argsort(dim=1, stable=True).argsort(dim=1)
            x = torch.where((rank < goal[:, None]).view_as(x), drawn, x)
        if on_step:
            on_step(steps, 0.0, x, x)
        return x

    def _draw(self, model: Unmasker, x: "Tensor", labels: "Tensor | None", rng: Rng) -> "tuple[Tensor, Tensor]":
        """A category for each place, and its log-probability."""
        import torch

        logits = model.unmask(x, labels)
        hidden = _categories(model)
        check_samples(model.unmask, logits, (*x.shape, hidden))
        uniform = rng.uniform(*model.event.shape, hidden).clamp(min=1e-12)
        if self.temperature:
            gumbel = -(-uniform.double().log()).log()  # the largest of log p + Gumbel noise is a draw from p
            drawn = (logits.double() / self.temperature + gumbel).argmax(-1)
        else:
            drawn = logits.argmax(-1)
        return drawn, torch.gather(logits, -1, drawn[..., None])[..., 0]


def _categories(model: Unmasker) -> int:
    """The number of categories, which is the number of hidden places too."""
    count = model.event.categories
    assert count is not None, "a model with the capability unmask has categories"
    return count
