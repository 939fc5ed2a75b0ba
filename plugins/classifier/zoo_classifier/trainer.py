"""Training a classifier: cross-entropy on images that are moved about and partly hidden."""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo_classifier.config import ClassifierTrainerConfig
from zoo_classifier.model import Classifier
from zoo_core.errors import ConfigError
from zoo_core.interfaces import Rng
from zoo_core.training.trainer import Batch, Loss, Trainer

__all__ = ["ClassifierTrainer", "blanked", "shifted"]


class ClassifierTrainer(Trainer):
    """Cross-entropy; ``accuracy`` is that of the batch as the net in training sees it, moved and partly hidden."""

    average_buffers: ClassVar[bool] = True  # averaged weights need the statistics of batch norm that belong to them
    model: Classifier

    def __init__(self, model: Classifier, config: ClassifierTrainerConfig) -> None:
        super().__init__(model, config)
        if config.shift >= model.config.image_size:
            raise ConfigError(f"trainer.shift must be less than the side of the images, {model.config.image_size}, not {config.shift}")
        self.label_smoothing = config.label_smoothing
        self.shift = config.shift
        self.cutout = config.cutout

    def forward(self, phase: str, batch: Batch, rng: Rng) -> Loss:
        x, labels = batch.x, batch.labels
        assert labels is not None, "fit refuses data without labels"
        if self.shift:
            x = shifted(x, rng.integers(0, 2 * self.shift + 1, 2), self.shift)
        if self.cutout:
            x = blanked(x, rng.integers(0, x.shape[-1], 2), self.cutout)
        logits = self.model.logits(x)
        accuracy = (logits.detach().argmax(dim=1) == labels).float().mean()
        return Loss(value=F.cross_entropy(logits, labels, label_smoothing=self.label_smoothing), logs={"accuracy": accuracy})

    def compilable(self) -> tuple[nn.Module, ...]:
        return (self.model.body,)


def shifted(x: Tensor, place: Tensor, shift: int) -> Tensor:
    """Crops of the size of ``x`` (n, c, h, w) after ``shift`` mirrored pixels were put around it, at ``place`` int64 (n, 2).

    Places are in [0, 2 shift]; (shift, shift) leaves an image as it is.
    """
    h, w = x.shape[2:]
    framed = F.pad(x, [shift] * 4, mode="reflect")
    rows = place[:, 0, None] + torch.arange(h, device=x.device)
    columns = place[:, 1, None] + torch.arange(w, device=x.device)
    image, channel = (torch.arange(count, device=x.device) for count in x.shape[:2])
    return framed[image[:, None, None, None], channel[:, None, None], rows[:, None, :, None], columns[:, None, None, :]]


def blanked(x: Tensor, centre: Tensor, side: int) -> Tensor:
    """``x`` (n, c, h, w) with a square of that side at mid-grey (0), as far as it lies in the image, around ``centre`` int64 (n, 2)."""
    first = centre - side // 2
    rows, columns = (torch.arange(size, device=x.device) - first[:, i, None] for i, size in enumerate(x.shape[2:]))
    inside = ((rows >= 0) & (rows < side))[:, None, :, None] & ((columns >= 0) & (columns < side))[:, None, None, :]
    return x.masked_fill(inside, 0.0)
