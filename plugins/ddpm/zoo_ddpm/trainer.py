"""Training a DDPM: prediction of noise, image or v at random noise levels."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo_core.arguments import level_dtype
from zoo_core.interfaces import Rng
from zoo_core.training.trainer import Batch, Loss, Trainer
from zoo_ddpm.config import DDPMTrainerConfig
from zoo_ddpm.model import DDPM

__all__ = ["DDPMTrainer", "level_weights"]


def level_weights(levels: Tensor, weight: str, prediction: str) -> Tensor:
    """The factors of the squared errors of predictions, whose mean over t is the loss; see :class:`DDPMTrainerConfig`.

    Args:
        levels: sigma_1 < ... < sigma_T, (T,).
        weight: ``bound`` or ``min-snr``.
        prediction: ``eps``, ``x0`` or ``v``.

    Returns:
        (T,), in the dtype of ``levels``.

    Example:
        >>> level_weights(torch.tensor([0.5, 1.0, 2.0]), "min-snr", "x0")
        tensor([4.0000, 1.0000, 0.2500])
    """
    snr = levels**-2
    of_image = {"bound": len(levels) / 2 * torch.cat([snr[:1], snr[:-1] - snr[1:]]), "min-snr": snr.clamp(max=5.0)}[weight]
    # x_0 - D is sigma times the error of eps, and sigma / sqrt(1 + sigma^2) times that of v.
    squared = {"x0": torch.ones_like(levels), "eps": levels**2, "v": levels**2 / (1 + levels**2)}[prediction]
    return of_image * squared


class DDPMTrainer(Trainer):
    """L_simple of Ho et al. 2020 (arXiv:2006.11239, eq. 14, Algorithm 1), with the absolute or the squared error, or other weights.

    Example:
        >>> from zoo_core.rng import StepRng
        >>> from zoo_ddpm.config import DDPMConfig
        >>> model = DDPM(DDPMConfig(image_size=8, dim=8, multipliers=(1, 2), linear_attention=()))
        >>> batch = Batch(x=torch.zeros(2, 3, 8, 8), labels=None, index=torch.arange(2))
        >>> DDPMTrainer(model, DDPMTrainerConfig())("model", batch, StepRng(0, 0, 2)).value.shape
        torch.Size([])
    """

    model: DDPM

    def __init__(self, model: DDPM, config: DDPMTrainerConfig) -> None:
        super().__init__(model, config)
        self.error = {"l1": F.l1_loss, "mse": F.mse_loss}[config.loss]
        self.weight = config.weight
        self.p_uncond = config.p_uncond

    def forward(self, phase: str, batch: Batch, rng: Rng) -> Loss:
        levels = torch.tensor(self.model.levels, dtype=level_dtype(batch.x.device), device=batch.x.device)
        t = rng.integers(1, len(levels) + 1)
        sigma = levels[t - 1].view(-1, 1, 1, 1)
        eps = rng.normal(*batch.x.shape[1:])
        scale = (1 + sigma**2).rsqrt()
        signal = scale.float()  # sqrt(abar)
        noise = (sigma * scale).float()  # sqrt(1 - abar)
        out = self.model.net(signal * batch.x + noise * eps, t, self._labels(batch, rng)).float()
        target = {"eps": eps, "x0": batch.x, "v": signal * eps - noise * batch.x}[self.model.config.prediction]
        if self.weight == "simple":
            return Loss(value=self.error(out, target))
        error = self.error(out, target, reduction="none").flatten(1).mean(1)
        weight = level_weights(levels, self.weight, self.model.config.prediction)[t - 1]
        return Loss(value=(weight.float() * error).mean())

    def compilable(self) -> tuple[nn.Module, ...]:
        return (self.model.net,)

    def _labels(self, batch: Batch, rng: Rng) -> Tensor | None:
        if not self.model.num_classes or batch.labels is None:
            return None
        return torch.where(rng.uniform() < self.p_uncond, self.model.num_classes, batch.labels)
