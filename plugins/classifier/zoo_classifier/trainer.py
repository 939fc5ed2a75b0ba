"""Training a classifier: cross-entropy on images that are shifted and partly blanked."""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo_classifier.config import ClassifierTrainerConfig
from zoo_classifier.model import Classifier
from zoo_core.errors import ConfigError
from zoo_core.interfaces import Rng
from zoo_core.training.trainer import Batch, Loss, Trainer

__all__ = ["ClassifierTrainer", "cut_out", "shift"]


class ClassifierTrainer(Trainer):
    """Cross-entropy. The log ``accuracy`` is measured on the batch in train mode, after its images were shifted and blanked.

    Raises:
        ConfigError: if ``config.shift`` is not less than the side of the images.

    Example:
        >>> from zoo_classifier.config import ClassifierConfig
        >>> from zoo_core.rng import StepRng
        >>> model = Classifier(ClassifierConfig(image_size=8, widths=(4, 8)))
        >>> trainer = ClassifierTrainer(model, ClassifierTrainerConfig(shift=1))
        >>> batch = Batch(x=torch.zeros(2, 1, 8, 8), labels=torch.tensor([0, 1]), index=torch.arange(2))
        >>> sorted(trainer("model", batch, StepRng(0, 0, 2)).logs)
        ['accuracy']
    """

    average_buffers: ClassVar[bool] = True  # averaged weights need averaged statistics of batch norm
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
            x = shift(x, rng.integers(0, 2 * self.shift + 1, 2), self.shift)
        if self.cutout:
            x = cut_out(x, rng.integers(0, x.shape[-1], 2), self.cutout)
        logits = self.model.logits(x)
        accuracy = (logits.detach().argmax(dim=1) == labels).float().mean()
        return Loss(value=F.cross_entropy(logits, labels, label_smoothing=self.label_smoothing), logs={"accuracy": accuracy})

    def compilable(self) -> tuple[nn.Module, ...]:
        return (self.model.body,)


def shift(x: Tensor, corner: Tensor, margin: int) -> Tensor:
    """Crops of ``x`` (n, c, h, w), of its size, after ``margin`` pixels were added around it by reflection.

    Args:
        x: images (n, c, h, w).
        corner: row and column of each crop's upper left corner in the padded image, int64 (n, 2) in [0, 2 margin]; (margin, margin)
            leaves an image unchanged.
        margin: number of pixels that are added at each side.
    """
    h, w = x.shape[2:]
    framed = F.pad(x, [margin] * 4, mode="reflect")
    rows = corner[:, 0, None] + torch.arange(h, device=x.device)
    columns = corner[:, 1, None] + torch.arange(w, device=x.device)
    image, channel = (torch.arange(count, device=x.device) for count in x.shape[:2])
    return framed[image[:, None, None, None], channel[:, None, None], rows[:, None, :, None], columns[:, None, None, :]]


def cut_out(x: Tensor, centre: Tensor, side: int) -> Tensor:
    """``x`` with a square of mid-grey (0) in each image, clipped to the image.

    Args:
        x: images (n, c, h, w).
        centre: row and column of each square's centre, int64 (n, 2).
        side: side of the squares in pixels.
    """
    first = centre - side // 2
    rows, columns = (torch.arange(size, device=x.device) - first[:, i, None] for i, size in enumerate(x.shape[2:]))
    inside = ((rows >= 0) & (rows < side))[:, None, :, None] & ((columns >= 0) & (columns < side))[:, None, None, :]
    return x.masked_fill(inside, 0.0)
