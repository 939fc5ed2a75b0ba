"""The sampler of decoders."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from zoo_core.config import check_range
from zoo_core.errors import CapabilityError, UsageError
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
        truncation: what a decoder with the attribute ``truncates = True`` gets as a further keyword of ``decode``, to trade variety for
            quality in its own way: the factor psi on styles of Karras et al. 2019 (arXiv:1812.04948, appendix B), or the bound of
            latents of Brock et al. 2019 (arXiv:1809.11096, section 3.1). None for none.

    Raises:
        ConfigError: if an option is out of range.
    """

    requires: ClassVar[str] = "decode"

    temperature: float = 1.0
    truncation: float | None = None

    def __post_init__(self) -> None:
        check_range(self, temperature=(0.0, 100.0), truncation=(0.0, 100.0))

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
        x = model.decode(z, labels, **self._options(model))
        check_samples(model.decode, x, (len(z), *model.event.shape), model.event.categories)
        if on_step:
            on_step(0, 0.0, x, x)
        return x

    def _options(self, model: Decoder) -> dict[str, float]:
        """The further keywords of ``decode``.

        Raises:
            CapabilityError: if there is a truncation, and the decoder has none.
        """
        if self.truncation is None:
            return {}
        if not getattr(model, "truncates", False):
            raise CapabilityError(f"{type(model).__name__} has no truncation", "leave truncation out; temperature scales the latents")
        return {"truncation": self.truncation}
