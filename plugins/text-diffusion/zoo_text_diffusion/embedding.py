"""Gaussian diffusion on the embeddings of tokens: a denoiser of latents, and the nearest token at each place."""

import math

from torch import Tensor, nn

from zoo_core.data.dataset import Batch
from zoo_core.interfaces import Rng
from zoo_core.models.denoising import DenoisingModel
from zoo_core.models.text import VocabularyModel
from zoo_core.models.unet import timestep_embedding
from zoo_core.training.trainer import Loss
from zoo_text_diffusion.config import EmbeddingDiffusionConfig
from zoo_text_diffusion.nets import TextEncoder

__all__ = ["EmbeddingDenoiser", "EmbeddingDiffusion"]


class EmbeddingDenoiser(DenoisingModel):
    """The denoiser of embeddings, (length, size): the tokens' noise is removed by a Transformer that knows their places.

    Args:
        config: sizes and noise levels.

    Example:
        >>> import torch
        >>> net = EmbeddingDenoiser(EmbeddingDiffusionConfig(length=3, size=4, width=8, heads=2, layers=1))
        >>> net.denoise(torch.zeros(2, 3, 4), 1.0).shape
        torch.Size([2, 3, 4])
    """

    def __init__(self, config: EmbeddingDiffusionConfig) -> None:
        super().__init__(config.denoising)
        self.width = config.width
        self.enter = nn.Linear(config.size, config.width)
        self.noise = nn.Sequential(nn.Linear(config.width, config.width), nn.SiLU(), nn.Linear(config.width, config.width))
        self.net = TextEncoder(config, config.size)

    def forward(self, x: Tensor, noise: Tensor, labels: Tensor) -> Tensor:
        """The output of the net (n, length, size) for scaled embeddings ``x`` and ``noise`` log(sigma) / 4 (n,)."""
        level = self.noise(timestep_embedding(1000 * noise, self.width).to(x.dtype))
        out: Tensor = self.net(self.enter(x) + level[:, None])
        return out

    def loss(self, batch: Batch, rng: Rng) -> Tensor:
        """Denoising score matching of given embeddings; training has more terms, see :meth:`EmbeddingDiffusion.loss`."""
        sigma = self.random_levels(rng)
        denoised = self.denoise(self.add_noise(batch.x, sigma, rng), sigma)
        return (self.loss_weight(sigma) * (denoised - batch.x).square()).mean()


class EmbeddingDiffusion(VocabularyModel):
    """Diffusion-LM (Li et al. 2022, arXiv:2205.14217): each token is a vector of length sqrt(size), and these vectors are diffused.

    ``latent`` denoises (n, length, size), so that every sampler of denoisers draws texts; places stay where they are. ``decode`` takes
    the nearest token at each place. The embeddings are learned together with the denoiser, and kept apart by the second term of the loss.

    Args:
        config: texts, sizes and noise levels.

    Example:
        >>> from zoo_core.vocabulary import Vocabulary
        >>> letters = Vocabulary(tokens=("a", "b"))
        >>> net = EmbeddingDiffusion(EmbeddingDiffusionConfig(vocabulary=letters, length=3, size=4, width=8, heads=2, layers=1))
        >>> net.show(net.decode(net.encode(net.read(["aba"]))))
        ['aba']
    """

    def __init__(self, config: EmbeddingDiffusionConfig) -> None:
        super().__init__(config.vocabulary, config.length)
        self.config = config
        self.tokens = nn.Embedding(self.categories, config.size)
        self.latent = EmbeddingDenoiser(config)

    def embeddings(self) -> Tensor:
        """The vectors of all tokens, (categories, size), each of the length sqrt(size): the standard deviation of a component is 1."""
        return nn.functional.normalize(self.tokens.weight, dim=1) * math.sqrt(self.config.size)

    def encode(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.embeddings()[x]

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return (z @ self.embeddings().to(z).T).argmax(-1)  # the nearest, as all have one length

    def loss(self, batch: Batch, rng: Rng) -> Loss:
        """|Emb(w) - D|^2, weighted as by the base class, and -log p(w | D) by the distance of D to each token (eq. 2 of the paper)."""
        z = self.encode(batch.x)
        sigma = self.latent.random_levels(rng)
        denoised = self.latent.denoise(self.latent.add_noise(z, sigma, rng), sigma)
        square = (self.latent.loss_weight(sigma) * (denoised - z).square()).mean()
        logits = denoised @ self.embeddings().T
        rounding = nn.functional.cross_entropy(logits.flatten(0, 1), batch.x.flatten())
        return Loss(value=square + rounding, logs={"square": square.detach(), "rounding": rounding.detach()})
