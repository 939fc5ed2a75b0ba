"""Training a BigGAN: the hinge loss, orthogonal regularisation and differentiable augmentation by option."""

from dataclasses import replace

import torch
from torch import Tensor

from zoo_biggan.config import BigGANTrainerConfig
from zoo_biggan.critic import Critic
from zoo_biggan.layers import orthogonal_penalty
from zoo_biggan.model import BigGAN
from zoo_core.interfaces import Rng
from zoo_core.training.adversarial import AdversarialTrainer
from zoo_core.training.augmentation import augmented
from zoo_core.training.trainer import Batch, Loss

__all__ = ["BigGANTrainer"]


class BigGANTrainer(AdversarialTrainer):
    """The hinge loss of h(x, y) (arXiv:1802.05957, eqs. 16 and 17); generated images have the labels of the batch.

    With ``config.orthogonal``, the generator's loss has beta times the sum of :func:`zoo_biggan.layers.orthogonal_penalty` over all of its
    weights but the class embedding, before they are divided by their spectral norms, and logs the sum as ``generator.orthogonal``.

    Example:
        >>> from zoo_core.rng import StepRng
        >>> from zoo_biggan.config import BigGANConfig
        >>> model = BigGAN(BigGANConfig(shape=(1, 8, 8), latent=4, embedding=3, width=8, multipliers=(1,), attention=(8,)))
        >>> config = BigGANTrainerConfig(width=4, multipliers=(1, 1), halvings=1, attention=(4,), orthogonal=1e-4)
        >>> batch = Batch(x=torch.zeros(2, 1, 8, 8), labels=torch.tensor([0, 7]), index=torch.arange(2))
        >>> sorted(BigGANTrainer(model, config)("generator", batch, StepRng(0, 0, 2)).logs)
        ['generator.orthogonal']
    """

    model: BigGAN
    critic: Critic

    def __init__(self, model: BigGAN, config: BigGANTrainerConfig) -> None:
        super().__init__(model, config, Critic(model.config.shape, model.num_classes, config), loss="hinge", n_critic=config.n_critic)
        self.settings = config

    def shown(self, x: Tensor, rng: Rng) -> Tensor:
        return augmented(x, self.settings.augment, rng)

    def forward(self, phase: str, batch: Batch, rng: Rng) -> Loss:
        loss = super().forward(phase, batch, rng)
        if phase == "generator" and self.settings.orthogonal:
            weights = [each for name, each in self.model.named_parameters() if each.ndim > 1 and not name.startswith("embed.")]
            penalty = torch.stack([orthogonal_penalty(each) for each in weights]).sum()
            loss = replace(loss, value=loss.value + self.settings.orthogonal * penalty, logs={"generator.orthogonal": penalty.detach()})
        return loss
