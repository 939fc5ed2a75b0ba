"""Training a DCGAN: a discriminator against the generator, a step of each on every batch."""

from collections.abc import Iterable

from torch import nn

from zoo_core.errors import ConfigError
from zoo_core.interfaces import Rng
from zoo_core.training.adversarial import AdversarialTrainer
from zoo_core.training.trainer import Batch, Loss
from zoo_dcgan.config import DCGANTrainerConfig
from zoo_dcgan.model import DCGAN, Discriminator

__all__ = ["DCGANTrainer"]


class DCGANTrainer(AdversarialTrainer):
    """The losses of :class:`AdversarialTrainer` by name, with the discriminator as the critic.

    Real and generated images go through the discriminator in batches of their own, each with its own statistics of batch norm.

    Raises:
        ConfigError: a batch, or a part of one, has a single row, which has no statistics; said at the first batch.
    """

    model: DCGAN

    def __init__(self, model: DCGAN, config: DCGANTrainerConfig) -> None:
        super().__init__(model, config, Discriminator(model.config, config.width), loss=config.loss)

    def forward(self, phase: str, batch: Batch, rng: Rng) -> Loss:
        if len(batch.x) < 2:
            raise ConfigError("batch norm needs two rows at once", "choose a larger --batch-size, or fewer parts: -o fit.accumulate=1")
        return super().forward(phase, batch, rng)

    def compilable(self) -> Iterable[nn.Module]:
        return self.model.net, self.critic
