"""The losses of flow matching, and of reflow."""

from typing import cast

import torch
from torch import Tensor, nn

from zoo_core.arguments import level_dtype
from zoo_core.interfaces import Denoiser, Rng
from zoo_core.training.trainer import Batch, Loss, Trainer
from zoo_flow_matching.config import FlowMatchingTrainerConfig, TimesConfig

__all__ = ["FlowMatchingTrainer", "LineTrainer"]


class LineTrainer(Trainer):
    """Base class of trainers whose loss is the error of the velocity along lines x_t = (1 - t) x_0 + t z.

        loss = |v(x_t, t) - (z - x_0)|^2 = |D(x_sigma, sigma) - x_0|^2 / t^2,    x_sigma = (1 + sigma) x_t,  t = sigma / (1 + sigma)

    by v = (x_t - D) / t, a mean over dimensions and rows. The second form trains every denoiser, of this family or another one. Levels are
    clamped to the model's ``sigma_range``.

    Args:
        model: denoiser to train.
        config: config of the trainer.

    Example:
        >>> from zoo_core.rng import StepRng
        >>> from zoo_core.testing.fake import FakeDenoiser
        >>> from zoo_core.testing.fake_config import FakeDenoiserConfig
        >>> trainer: LineTrainer = FlowMatchingTrainer(FakeDenoiser(FakeDenoiserConfig()), FlowMatchingTrainerConfig())
        >>> trainer.draw_levels(StepRng(0, 0, 4)).shape
        torch.Size([4])
    """

    def __init__(self, model: nn.Module, config: TimesConfig) -> None:
        super().__init__(model, config)
        self.times = config
        self.student = cast(Denoiser, model)
        self.num_classes = int(getattr(model, "num_classes", 0))

    def draw_levels(self, rng: Rng) -> Tensor:
        """Noise levels sigma = t / (1 - t) of random times, (rows,), float64 where the device has it."""
        if self.times.times == "uniform":
            share = rng.uniform()
            t = share.to(level_dtype(share.device))
            sigma = t / (1 - t)
        else:
            z = rng.normal()
            sigma = (self.times.log_mean + self.times.log_std * z.to(level_dtype(z.device))).exp()
        return sigma.clamp(*self.student.sigma_range)

    def line_loss(self, x0: Tensor, z: Tensor, labels: Tensor | None, rng: Rng) -> Tensor:
        """The loss of pairs of samples and noise, (), at random times.

        Args:
            x0: samples (n, ...).
            z: noise (n, ...).
            labels: classes, int64 (n,), or None.
            rng: random numbers of the times, a row for each pair.
        """
        sigma = self.draw_levels(rng)
        over = (-1, *[1] * (x0.ndim - 1))
        t = (sigma / (1 + sigma)).view(over).to(x0.dtype)
        estimate = self.student.denoise(x0 + sigma.view(over).to(x0.dtype) * z, sigma, labels)
        return ((estimate - x0) / t).square().mean()

    def compilable(self) -> tuple[nn.Module, ...]:
        net = getattr(self.model, "net", None)
        return (net,) if isinstance(net, nn.Module) else ()


class FlowMatchingTrainer(LineTrainer):
    """Conditional flow matching along straight lines from samples to independent noise.

    Lipman et al. 2022 (arXiv:2210.02747, eq. 23); Liu et al. 2022 (arXiv:2209.03003, eq. 1).

    Example:
        >>> from zoo_core.rng import StepRng
        >>> from zoo_flow_matching.config import FlowMatchingConfig
        >>> from zoo_flow_matching.model import FlowMatching
        >>> model = FlowMatching(FlowMatchingConfig(points=2, dim=8))
        >>> batch = Batch(x=torch.zeros(4, 2), labels=None, index=torch.arange(4))
        >>> FlowMatchingTrainer(model, FlowMatchingTrainerConfig())("model", batch, StepRng(0, 0, 4)).value.shape
        torch.Size([])
    """

    config: FlowMatchingTrainerConfig

    def __init__(self, model: nn.Module, config: FlowMatchingTrainerConfig) -> None:
        super().__init__(model, config)
        self.p_uncond = config.p_uncond

    def forward(self, phase: str, batch: Batch, rng: Rng) -> Loss:
        z = rng.normal(*batch.x.shape[1:])
        labels = batch.labels if self.num_classes else None
        if labels is not None:
            labels = torch.where(rng.uniform() < self.p_uncond, self.num_classes, labels)
        return Loss(value=self.line_loss(batch.x, z, labels, rng))
