"""A fake family of texts, with the capabilities ``unmask``, ``density`` and ``text``."""

import torch
from torch import Tensor, nn

from zoo_core.data.dataset import Batch
from zoo_core.interfaces import LogProb, Rng
from zoo_core.models.text import VocabularyModel
from zoo_core.testing.fake_config import FakeTextConfig

__all__ = ["FakeText"]


class FakeText(VocabularyModel):
    """Texts whose characters are independent of each other: p(x_i) is a softmax of weights, one for each place and character.

    >>> FakeText(FakeTextConfig(length=2)).log_prob(torch.zeros(1, 2, dtype=torch.int64)).value.exp()
    tensor([0.1111], grad_fn=<ExpBackward0>)
    """

    def __init__(self, config: FakeTextConfig) -> None:
        super().__init__(config.vocabulary, config.length)
        self.weights = nn.Parameter(torch.zeros(config.length, self.categories))

    def unmask(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.weights.log_softmax(-1).expand(len(x), -1, -1)

    def log_prob(self, x: Tensor, labels: Tensor | None = None, *, rng: Rng | None = None, k: int = 1) -> LogProb:
        value = torch.gather(self.unmask(x), -1, x[..., None]).flatten(1).sum(1)
        return LogProb(value=value, kind="exact", space="categorical")

    def loss(self, batch: Batch, rng: Rng) -> Tensor:
        """-log p(x) in nats per character."""
        return -self.log_prob(batch.x).value.mean() / self.event.shape[0]
