"""Training a DDPM: prediction of noise, image or v at random noise levels."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo_core.arguments import level_dtype
from zoo_core.interfaces import Rng
from zoo_core.training.trainer import Batch, Loss, Trainer
from zoo_ddpm.config import DDPMTrainerConfig
from zoo_ddpm.model import DDPM

__all__ = ["DDPMTrainer"]


class DDPMTrainer(Trainer):
    """L_simple of Ho et al. 2020 (arXiv:2006.11239, eq. 14, Algorithm 1), with the absolute or the squared error.

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
        return Loss(value=self.error(out, target))

    def compilable(self) -> tuple[nn.Module, ...]:
        return (self.model.net,)

    def _labels(self, batch: Batch, rng: Rng) -> Tensor | None:
        if not self.model.num_classes or batch.labels is None:
            return None
        return torch.where(rng.uniform() < self.p_uncond, self.model.num_classes, batch.labels)
