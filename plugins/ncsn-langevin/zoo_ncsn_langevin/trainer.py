"""Training a score network: score matching at random noise levels."""

from math import prod

import torch
from torch import Tensor, nn

from zoo_core.arguments import level_dtype
from zoo_core.errors import ConfigError
from zoo_core.interfaces import Rng
from zoo_core.training.trainer import Batch, Loss, Trainer
from zoo_ncsn_langevin.config import NCSNTrainerConfig
from zoo_ncsn_langevin.losses import implicit, sliced
from zoo_ncsn_langevin.model import NCSN

__all__ = ["NCSNTrainer"]

MOST_DIMENSIONS = 64  # for the exact trace, which costs a backward pass for each dimension


class NCSNTrainer(Trainer):
    """Score matching of the noisy data p_sigma, averaged over levels (Song & Ermon 2019, arXiv:1907.05600, eqs. 5 and 6).

    With d the dimension and l(sigma) the weight, a row's loss is l(sigma) / d times |s(x, sigma) + eps / sigma|^2 / 2 (``dsm``),
    |s|^2 / 2 + tr grad s (``ism``), or |s|^2 / 2 + v^T grad s v (``ssm``), at x = x_0 + sigma eps. In expectation ``dsm`` is larger than
    the others by the constant l(sigma) / (2 sigma^2) (Vincent 2011), so all have the same gradient.

    ``variance`` is l = sigma^2, ``output`` is l = sigma^4 / c_out^2. By s = (D - x) / sigma^2, ``dsm`` is l c_out^2 / sigma^4 times the
    squared error of the net's output F against (x_0 - c_skip x) / c_out. It is computed in that form, without division by a small sigma.

    Raises:
        ConfigError: if the loss is ``ism`` and samples have more than 64 dimensions.

    Example:
        >>> from zoo_core.rng import StepRng
        >>> from zoo_ncsn_langevin.config import NCSNConfig
        >>> model = NCSN(NCSNConfig(shape=(2,), net="mlp", width=8))
        >>> batch = Batch(x=torch.zeros(4, 2), labels=None, index=torch.arange(4))
        >>> NCSNTrainer(model, NCSNTrainerConfig())("model", batch, StepRng(0, 0, 4)).value.shape
        torch.Size([])
    """

    model: NCSN

    def __init__(self, model: NCSN, config: NCSNTrainerConfig) -> None:
        super().__init__(model, config)
        self.settings = config
        self.dimensions = prod(model.event.shape)
        if config.loss == "ism" and self.dimensions > MOST_DIMENSIONS:
            raise ConfigError(
                f"trainer.loss=ism takes a backward pass for each of {self.dimensions} dimensions, and allows {MOST_DIMENSIONS}",
                "choose dsm or ssm",
            )

    def forward(self, phase: str, batch: Batch, rng: Rng) -> Loss:
        sigma = self._sigma(rng, batch.x.device)
        eps = rng.normal(*batch.x.shape[1:])
        x = batch.x + self.model.over(sigma).float() * eps
        if self.settings.loss == "dsm":
            return Loss(value=self._denoising(batch.x, x, sigma).mean())

        def score(x: Tensor) -> Tensor:
            return self.model.score(x, sigma)

        if self.settings.loss == "ism":
            value = implicit(score, x)
        else:
            value = sliced(score, x, rng.normal(self.settings.slices, *batch.x.shape[1:]))
        return Loss(value=(self._weight(sigma).float() / self.dimensions * value).mean())

    def compilable(self) -> tuple[nn.Module, ...]:
        return (self.model.net,) if self.settings.loss == "dsm" else ()  # the other losses differentiate twice

    def _sigma(self, rng: Rng, device: torch.device) -> Tensor:
        """A noise level for each row, (n,) on the device."""
        if self.settings.noise == "levels":
            levels = torch.tensor(self.model.levels, dtype=level_dtype(device), device=device)
            return levels[rng.integers(0, len(levels))]
        log_sigma = self.settings.log_mean + self.settings.log_std * rng.normal().to(level_dtype(device))
        return log_sigma.exp().clamp(*self.model.sigma_range)

    def _weight(self, sigma: Tensor) -> Tensor:
        """l(sigma), (n,)."""
        if self.settings.weight == "variance":
            return sigma**2
        _, c_out, _ = self.model.scalings(sigma)
        return sigma**4 / c_out**2

    def _denoising(self, x0: Tensor, x: Tensor, sigma: Tensor) -> Tensor:
        c_skip, c_out, _ = (c.float() for c in self.model.scalings(self.model.over(sigma)))
        error = self.model.output(x, sigma) - (x0 - c_skip * x) / c_out
        _, c_out, _ = self.model.scalings(sigma)
        weight = (self._weight(sigma) * c_out**2 / sigma**4).float()
        return weight * (error**2).flatten(1).mean(dim=1) / 2
