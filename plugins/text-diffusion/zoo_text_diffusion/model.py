"""Masked diffusion: a net that predicts hidden places of a text from those that are shown."""

import torch
from torch import Tensor, nn

from zoo_core.data.dataset import Batch
from zoo_core.interfaces import LogProb, Rng
from zoo_core.models.text import VocabularyModel
from zoo_core.rng import ImageRng
from zoo_core.training.trainer import Loss
from zoo_text_diffusion.config import MaskDiffusionConfig
from zoo_text_diffusion.nets import TextEncoder

__all__ = ["MaskDiffusion"]


class MaskDiffusion(VocabularyModel):
    """Absorbing diffusion: at time t, each place of a text is hidden with probability t, independently of the others.

    For a net that gives p(x_i | shown places), the bound in continuous time (Sahoo et al. 2024, arXiv:2406.07524, eq. 10) is

        -log p(x) <= E_t [1/t sum over hidden i of -log p(x_i | shown)],  t uniform in (0, 1).

    The number m of hidden places is then uniform over 1 ... L once the integral over t is taken, with the weight L/m, and the places are a
    uniform subset of that size, so that only m and the subset are drawn:

        -log p(x) <= E_m E_subset [L/m sum over hidden i of -log p(x_i | shown)].

    It is the mean, over all orders of the places, of -log p(x) with one place after the other in that order (Hoogeboom et al. 2021,
    arXiv:2110.02037, eq. 3), and so equals -log p(x) if the conditional probabilities are those of one distribution.

    Args:
        config: texts and sizes.

    Example:
        >>> from zoo_core.vocabulary import Vocabulary
        >>> net = MaskDiffusion(MaskDiffusionConfig(vocabulary=Vocabulary(tokens=("a", "b")), length=3, width=8, heads=2, layers=1))
        >>> net.unmask(torch.tensor([[0, 2, 2]])).shape
        torch.Size([1, 3, 2])
    """

    def __init__(self, config: MaskDiffusionConfig) -> None:
        super().__init__(config.vocabulary, config.length)
        self.config = config
        self.tokens = nn.Embedding(self.categories + 1, config.width)  # the last one is [MASK]
        nn.init.normal_(self.tokens.weight, std=0.3)
        self.net = TextEncoder(config, self.categories)

    def unmask(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        logits: Tensor = self.net(self.tokens(x))
        return logits.float().log_softmax(-1) if logits.dtype in (torch.bfloat16, torch.float16) else logits.log_softmax(-1)

    def log_prob(self, x: Tensor, labels: Tensor | None = None, *, rng: Rng | None = None, k: int = 1) -> LogProb:
        """The bound on the log-probability (n,) in nats.

        Args:
            x: texts int64 (n, length).
            labels: ignored.
            rng: random numbers of the hidden places; None for those of images 0 ... n - 1 of seed 0.
            k: number of draws of hidden places. Their numbers of places are spread evenly over 1 ... length.
        """
        rng = ImageRng(0, range(len(x)), x.device) if rng is None else rng
        offset = rng.uniform().double()
        total = torch.zeros(len(x), dtype=torch.float64, device=x.device)
        for draw in range(k):
            total += self._bound(x, (offset + draw / k) % 1, rng)
        return LogProb(value=(-total / k).float(), kind="lower_bound", space="categorical")

    def loss(self, batch: Batch, rng: Rng) -> Loss:
        """The bound on -log p(x), in nats per character or word."""
        nats = self._bound(batch.x, rng.uniform().double(), rng).mean() / self.length
        return Loss(value=nats, logs={"bits_per_token": nats.detach() / torch.log(torch.tensor(2.0))})

    def _bound(self, x: Tensor, u: Tensor, rng: Rng) -> Tensor:
        """L/m sum over hidden i of -log p(x_i | shown), (n,), with m the ``u`` (n,)-th part of 1 ... L."""
        count = (1 + (u * self.length).long()).clamp(max=self.length)
        hidden = rng.uniform(self.length).argsort(1).argsort(1) < count[:, None]
        log_p = self.unmask(x.masked_fill(hidden, self.categories)).gather(-1, x[..., None])[..., 0]
        return -(log_p * hidden).sum(1) * self.length / count
