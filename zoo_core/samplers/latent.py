"""The sampler of decoders."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from zoo_core.config import check_range
from zoo_core.errors import UsageError
from zoo_core.interfaces import Decoder, OnStep, Rng, Sampler, Scheduler
from zoo_core.registry.faults import check_samples

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Latent"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Latent(Sampler):
    """Draws latents from the prior and decodes them: one forward pass.

    >>> import torch
    >>> from zoo_core.rng import ImageRng
    >>> from zoo_core.testing.fake import Fake
    >>> from zoo_core.testing.fake_config import FakeConfig
    >>> with torch.no_grad():
    ...     Latent(temperature=0.8)(Fake(FakeConfig(shape=(2,))), ImageRng(0, range(4))).shape
    torch.Size([4, 2])

    Args:
        temperature: factor on the latents; below 1 it trades variety for typicality.

    Raises:
        ConfigError: if an option is out of range.
    """

    requires: ClassVar[str] = "decode"

    temperature: float = 1.0

    def __post_init__(self) -> None:
        check_range(self, temperature=(0.0, 100.0))

    def noise_levels(self, model: Decoder, scheduler: Scheduler | None) -> tuple[float, ...]:
        if scheduler is not None:
            raise UsageError("the latent sampler has no noise levels", "leave the scheduler out")
        return ()

    def __call__(
        self,
        model: Decoder,
        rng: Rng,
        *,
        sigmas: Sequence[float] = (),
        x: "Tensor | None" = None,
        labels: "Tensor | None" = None,
        on_step: OnStep | None = None,
    ) -> "Tensor":
        z = model.prior(rng) * self.temperature if x is None else x
        x = model.decode(z, labels)
        check_samples(model.decode, x, (len(z), *model.event.shape))
        if on_step:
            on_step(0, 0.0, x, x)
        return x
