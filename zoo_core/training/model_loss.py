"""The trainer of models that compute their own loss."""

from torch import Tensor, nn

from zoo_core.data.dataset import Batch
from zoo_core.interfaces import Rng
from zoo_core.recipes import ModelLossConfig
from zoo_core.registry.faults import expect, fault
from zoo_core.training.trainer import Loss, Trainer

__all__ = ["ModelLossTrainer"]


class ModelLossTrainer(Trainer):
    """Trains a model by its method ``loss(batch, rng)``, which returns a tensor () or a :class:`Loss`.

    >>> import torch
    >>> from zoo_core.rng import StepRng
    >>> class Mean(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.mean = nn.Parameter(torch.zeros(2))
    ...     def loss(self, batch, rng):
    ...         return (batch.x - self.mean).square().mean()
    >>> trainer = ModelLossTrainer(Mean(), ModelLossConfig())
    >>> trainer("model", Batch(x=torch.ones(4, 2), labels=None, index=torch.arange(4)), StepRng(0, 0, 4)).value.item()
    1.0

    Raises:
        PluginError: if the model has no such method.
    """

    def __init__(self, model: nn.Module, config: ModelLossConfig) -> None:
        super().__init__(model, config)
        if not callable(getattr(model, "loss", None)):
            raise fault(type(model), f"{type(model).__qualname__} has no loss(batch, rng), which its trainer model-loss calls")

    def forward(self, phase: str, batch: Batch, rng: Rng) -> Loss:
        loss = self.model.loss(batch, rng)  # type: ignore[operator]  # checked above
        return loss if isinstance(loss, Loss) else Loss(value=expect(self.model.loss, loss, Tensor))
