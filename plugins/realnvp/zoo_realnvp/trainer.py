"""Training a flow: maximum likelihood."""

from math import log, prod
from typing import ClassVar

from torch import Tensor

from zoo_core.density.transforms import dequantise
from zoo_core.interfaces import Rng
from zoo_core.training.trainer import Batch, Loss, Trainer
from zoo_realnvp.config import FlowTrainerConfig
from zoo_realnvp.model import Flow
from zoo_realnvp.norms import initialise

__all__ = ["FlowTrainer"]

SCALE = ".parametrizations.weight.original0"  # end of the names of weight norm's scales, as in torch


class FlowTrainer(Trainer):
    """Minimises (-log p(x) + c sum g^2) / d in nats, with d the dimensions of a sample and g the scales of weight norm.

    log p is the model's ``log_prob``, for images the bound with one draw of uniform dequantisation. -log p is logged as ``nats`` per sample
    and as ``bits_per_dim``.

    Example:
        >>> import torch
        >>> from zoo_core.rng import StepRng
        >>> from zoo_realnvp.config import RealNVPConfig
        >>> from zoo_realnvp.model import RealNVP
        >>> trainer = FlowTrainer(RealNVP(RealNVPConfig(shape=(2,), couplings=2, width=8)), FlowTrainerConfig())
        >>> batch = Batch(x=torch.randn(4, 2), labels=None, index=torch.arange(4))
        >>> sorted(trainer("model", batch, StepRng(0, 0, 4)).logs)
        ['bits_per_dim', 'nats']
    """

    average_buffers: ClassVar[bool] = True  # averaged weights need averaged running statistics

    model: Flow

    def __init__(self, model: Flow, config: FlowTrainerConfig) -> None:
        super().__init__(model, config)
        self.scale_decay = config.scale_decay
        self.dimensions = prod(model.event.shape)

    def prepare(self, batch: Batch, rng: Rng) -> None:
        x = dequantise(batch.x, rng)[0] if self.model.images else batch.x
        initialise(self.model, x)

    def forward(self, phase: str, batch: Batch, rng: Rng) -> Loss:
        nats = -self.model.log_prob(batch.x, rng=rng).value.mean()
        logs = {"nats": nats.detach(), "bits_per_dim": nats.detach() / (self.dimensions * log(2))}
        return Loss(value=(nats + self.scale_decay * self._scales(nats)) / self.dimensions, logs=logs)

    def _scales(self, like: Tensor) -> Tensor:
        """The sum of the squared scales of weight norm, ()."""
        squares = [(g**2).sum() for name, g in self.model.named_parameters() if name.endswith(SCALE)]
        return sum(squares, start=like.new_zeros(()))
