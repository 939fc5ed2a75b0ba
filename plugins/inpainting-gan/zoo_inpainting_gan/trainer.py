"""Training of nets that fill holes: the squared error on the hidden pixels, and a critic of patches."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from zoo_core.interfaces import Rng
from zoo_core.models.critics import PatchCritic
from zoo_core.training.adversarial import LOSSES, r1_penalty
from zoo_core.training.trainer import Batch, Loss, Trainer
from zoo_inpainting_gan.config import InpaintingGANTrainerConfig
from zoo_inpainting_gan.masks import random_masks
from zoo_inpainting_gan.model import InpaintingGAN

__all__ = ["InpaintingGANTrainer", "hidden_error"]


def hidden_error(x: Tensor, y: Tensor, mask: Tensor) -> Tensor:
    """The mean squared error on the hidden pixels, (): sum |(1 - M) (y - x)|^2 / sum (1 - M) (Pathak et al. 2016, eq. 1).

    >>> hidden_error(torch.zeros(1, 1, 1, 2), torch.tensor([[[[3.0, 5.0]]]]), torch.tensor([[[[True, False]]]]))
    tensor(25.)

    Args:
        x, y: images (n, c, h, w).
        mask: True where they are known, bool (n, 1, h, w).
    """
    hidden = (~mask).to(x).expand_as(x)
    return (hidden * (y - x).square()).sum() / hidden.sum().clamp(min=1)


class InpaintingGANTrainer(Trainer):
    """The loss of context encoders (Pathak et al. 2016, arXiv:1604.07379, eqs. 1 to 3), with y = M x + (1 - M) x' and holes by chance:

        sum |(1 - M) (x' - x)|^2 / sum (1 - M) + adversarial mean loss(critic(y))

    The critic of patches is trained in a phase of its own, with R1. With ``adversarial = 0`` there is no critic.

    Example:
        >>> from zoo_core.rng import StepRng
        >>> from zoo_inpainting_gan.config import InpaintingGANConfig
        >>> model = InpaintingGAN(InpaintingGANConfig(image_size=8, dim=8, multipliers=(1, 2), attention=()))
        >>> trainer = InpaintingGANTrainer(model, InpaintingGANTrainerConfig(critic_width=4))
        >>> batch = Batch(x=torch.zeros(2, 3, 8, 8), labels=None, index=torch.arange(2))
        >>> trainer.phases(0), sorted(trainer("model", batch, StepRng(0, 0, 2)).logs)
        (('critic', 'model'), ['adversarial', 'error'])
    """

    model: InpaintingGAN
    config: InpaintingGANTrainerConfig

    def __init__(self, model: InpaintingGAN, config: InpaintingGANTrainerConfig) -> None:
        super().__init__(model, config)
        self.critic = PatchCritic(model.config.channels, config.critic_width) if config.adversarial else None
        self.loss = LOSSES[config.loss]

    def phases(self, step: int) -> tuple[str, ...]:
        return ("critic", "model") if self.critic is not None else ("model",)

    def parameters_of(self, phase: str) -> Iterable[nn.Parameter]:
        net = self.critic if phase == "critic" else self.model
        assert net is not None
        return net.parameters()

    def forward(self, phase: str, batch: Batch, rng: Rng) -> Loss:
        mask = random_masks(rng, self.model.config.image_size, self.config.holes)
        if phase == "critic":
            return self._judged(batch.x, mask)
        y = self.model.fill(batch.x * mask, mask, rng)
        error = hidden_error(batch.x, y, mask)
        if self.critic is None:
            return Loss(value=error, logs={"error": error.detach()})
        adversarial = self.loss.generator(self.critic(torch.where(mask, batch.x, y)).float()).mean()
        logs = {"error": error.detach(), "adversarial": adversarial.detach()}
        return Loss(value=error + self.config.adversarial * adversarial, logs=logs)

    def _judged(self, x: Tensor, mask: Tensor) -> Loss:
        """The loss of the critic, and R1."""
        assert self.critic is not None
        with torch.no_grad():
            pasted = torch.where(mask, x, self.model.fill(x * mask, mask, None))
        real = x.detach().requires_grad_(bool(self.config.penalty) and torch.is_grad_enabled())
        of_real, of_fake = self.critic(real).float(), self.critic(pasted).float()
        value = self.loss.real(of_real).mean() + self.loss.fake(of_fake).mean()
        logs = {name: self.loss.judgement(each).mean().detach() for name, each in (("critic.real", of_real), ("critic.fake", of_fake))}
        if real.requires_grad:
            # The mean over patches, so that the weight does not depend on their number.
            value = value + self.config.penalty / 2 * r1_penalty(real, of_real.flatten(1).mean(1))
        return Loss(value=value, logs=logs)

    def compilable(self) -> Iterable[nn.Module]:
        return (self.model.net,) if self.critic is None else (self.model.net, self.critic)
