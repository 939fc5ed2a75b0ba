"""A causal Transformer over the characters, words or pieces of a text, with exact log-probabilities."""

from math import log

import torch
from torch import Tensor

from zoo_autoregressive.config import PixelTransformerConfig, TextTransformerConfig
from zoo_autoregressive.likelihoods import Categorical
from zoo_autoregressive.transformer import TransformerNet
from zoo_core.arguments import level_dtype
from zoo_core.data.dataset import Batch
from zoo_core.interfaces import LogProb, Rng
from zoo_core.models.text import VocabularyModel
from zoo_core.training.trainer import Loss

__all__ = ["TextTransformer"]


class TextTransformer(VocabularyModel):
    """log p(x) = sum_i log p(x_i | x_1 ... x_(i-1)), over the tokens of a text from left to right.

    ``decode`` draws token i as the quantile at u_i = Phi(z_i) of its distribution given the tokens before it, as
    :class:`~zoo_autoregressive.model.Autoregressive` does.

    Args:
        config: texts and sizes.

    Example:
        >>> from zoo_core.vocabulary import Vocabulary
        >>> letters = Vocabulary(tokens=("a", "b"))
        >>> net = TextTransformer(TextTransformerConfig(vocabulary=letters, length=5, layers=1, width=8, heads=2)).eval()
        >>> net.decode(torch.zeros(3, 5)).shape, net.log_prob(net.read(["abbab"])).kind
        (torch.Size([3, 5]), 'exact')
    """

    def __init__(self, config: TextTransformerConfig) -> None:
        super().__init__(config.vocabulary, config.length)
        self.config = config
        line = PixelTransformerConfig(shape=(1, 1, config.length), layers=config.layers, width=config.width, heads=config.heads)
        self.net = TransformerNet(line, self.categories, self.categories)
        self.likelihood = Categorical()

    def prior(self, rng: Rng) -> Tensor:
        return rng.normal(self.length)

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        u = torch.special.ndtr(z.to(level_dtype(z.device)))
        return self.net.draw(u[:, None], self.likelihood.quantile)[:, 0]

    def log_prob(self, x: Tensor, labels: Tensor | None = None, *, rng: Rng | None = None, k: int = 1) -> LogProb:
        """The exact log-probability (n,) of texts ``x`` int64 (n, length), in nats; the other arguments are ignored."""
        return LogProb(value=self._log_mass(x), kind="exact", space="categorical")

    def loss(self, batch: Batch, rng: Rng) -> Loss:
        """-log p(x) in nats per token."""
        nats = -self._log_mass(batch.x).mean() / self.length
        return Loss(value=nats, logs={"bits_per_token": nats.detach() / log(2)})

    def _log_mass(self, x: Tensor) -> Tensor:
        outputs = self.net(x[:, None])[:, 0]
        outputs = outputs.float() if outputs.dtype in (torch.bfloat16, torch.float16) else outputs
        return self.likelihood.log_mass(outputs, x).sum(1)
