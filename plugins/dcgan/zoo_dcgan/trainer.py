"""Training a DCGAN: every batch trains the discriminator, then the generator."""

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

    Real and generated images pass through the discriminator in separate batches, each with its own statistics of batch norm.

    Raises:
        ConfigError: in ``forward``, if a batch or a part of one has a single row, for which batch norm has no statistics.

    Example:
        >>> import torch
        >>> from zoo_core.rng import StepRng
        >>> from zoo_dcgan.config import DCGANConfig
        >>> trainer = DCGANTrainer(DCGAN(DCGANConfig(latent=8, width=4)), DCGANTrainerConfig(width=4))
        >>> batch = Batch(x=torch.zeros(2, 1, 28, 28), labels=None, index=torch.arange(2))
        >>> sorted(trainer("critic", batch, StepRng(0, 0, 2)).logs)
        ['critic.fake', 'critic.gap', 'critic.real']
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
