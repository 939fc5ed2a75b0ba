"""Training CLIP: the symmetric contrastive loss of images and captions."""

from math import log
from typing import ClassVar

import torch
from torch import Tensor, nn

from zoo_clip.config import CLIPTrainerConfig
from zoo_clip.model import CLIP
from zoo_core.interfaces import Rng
from zoo_core.training.trainer import Batch, Loss, Trainer

__all__ = ["CLIPTrainer", "contrastive_loss"]


def contrastive_loss(similarity: Tensor, same: Tensor) -> Tensor:
    """The symmetric InfoNCE loss minus log n: minus a lower bound of the mutual information of images and texts, in nats.

    van den Oord et al. 2018 (arXiv:1807.03748, eq. 4) and Radford et al. 2021 (arXiv:2103.00020, figure 3). All rows with the same text are
    right answers, with equal shares, since a caption fits many images; with n different texts it is the loss of the paper minus log n.

    Args:
        similarity: scaled similarities of images (rows) and texts (columns), (n, n).
        same: bool (n, n), whether the texts i and j are equal.

    Returns:
        ().

    Example:
        >>> round(contrastive_loss(torch.zeros(4, 4), torch.eye(4, dtype=torch.bool)).item(), 6)
        0.0
        >>> round(-contrastive_loss(1e3 * torch.eye(4), torch.eye(4, dtype=torch.bool)).item() / log(4), 6)
        1.0
    """
    share = same.to(similarity) / same.sum(1, keepdim=True)
    by_image = (share * similarity.log_softmax(1)).sum(1)
    by_text = (share * similarity.T.log_softmax(1)).sum(1)
    return -(by_image + by_text).mean() / 2 - log(len(similarity))


class CLIPTrainer(Trainer):
    """The contrastive loss of a batch; the log ``retrieved`` is the share of images to which a right caption of the batch is nearest.

    Example:
        >>> from zoo_clip.config import CLIPConfig
        >>> from zoo_core.rng import StepRng
        >>> from zoo_core.vocabulary import Vocabulary
        >>> words = Vocabulary(unit="word", tokens=("a", "cat", "dog"))
        >>> model = CLIP(CLIPConfig(image_size=8, widths=(8, 8), vocabulary=words, classes=(("a cat",), ("a dog",))))
        >>> batch = Batch(x=torch.zeros(2, 3, 8, 8), labels=None, index=torch.arange(2), captions=("a cat", "a dog"))
        >>> sorted(CLIPTrainer(model, CLIPTrainerConfig())("model", batch, StepRng(0, 0, 2)).logs)
        ['retrieved', 'temperature']
    """

    reads_captions: ClassVar[bool] = True
    model: CLIP
    config: CLIPTrainerConfig

    def prepare(self, batch: Batch, rng: Rng) -> None:
        self.model.log_scale.fill_(-log(self.config.temperature))

    def forward(self, phase: str, batch: Batch, rng: Rng) -> Loss:
        tokens = self.model.tokenizer(batch.captions).to(batch.x.device)
        same = (tokens[:, None] == tokens[None]).all(2)
        images, texts = self.model.features(batch.x).float(), self.model.encoded(tokens).float()
        with torch.autocast(images.device.type, enabled=False):  # eight bits do not tell similarities of up to 100 apart
            similarity = self.model.scale.float() * images @ texts.T
        found = same.gather(1, similarity.detach().argmax(1, keepdim=True)).float().mean()
        logs = {"retrieved": found, "temperature": 1 / self.model.scale.detach()}
        return Loss(value=contrastive_loss(similarity, same), logs=logs)

    def compilable(self) -> tuple[nn.Module, ...]:
        return (self.model.image,)
