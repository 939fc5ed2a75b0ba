"""The diffusion prior of unCLIP (Ramesh et al. 2022, arXiv:2204.06125, section 2.2): a denoiser of embeddings of images given a caption."""

from typing import Any, cast

import torch
from torch import Tensor, nn

from zoo_core.arguments import levels_like
from zoo_core.interfaces import Event, Rng
from zoo_core.models.transformer import AttentionBlock
from zoo_core.models.unet import timestep_embedding
from zoo_core.samplers.wrappers import DenoiserWrapper
from zoo_core.schedulers import Karras
from zoo_text_to_image.unclip_config import PriorConfig

__all__ = ["Prior", "Told"]


class Prior(nn.Module):
    """Predicts clean embeddings: D(z, sigma, c) is the net's output itself, and not computed from an estimate of the noise (eq. 2).

    The Transformer reads the words of the caption, the embedding of the caption, the noise level, the noisy embedding, and last a place of
    its own, whose vector becomes the estimate. Unlike in the paper, all places attend to all others.

    >>> from zoo_core.rng import ImageRng
    >>> prior = Prior(PriorConfig(width=8, layers=1, heads=2), features=4, words=6, sigma_range=(0.01, 80.0))
    >>> told = Told(prior, torch.zeros(2, 4), torch.zeros(2, 3, 6))
    >>> told.denoise(told.start(ImageRng(0, range(2)), 1.0), torch.ones(2)).shape
    torch.Size([2, 4])

    Args:
        config: config of the prior.
        features: length of an embedding.
        words: length of the vector of a word.
        sigma_range: smallest and largest noise level.
    """

    def __init__(self, config: PriorConfig, *, features: int, words: int, sigma_range: tuple[float, float]) -> None:
        super().__init__()
        self.event = Event(shape=(features,))
        self.sigma_range = sigma_range
        self.scheduler = Karras()
        width = config.width
        self.words = nn.Linear(words, width)
        self.text, self.noisy = (nn.Linear(features, width) for _ in range(2))
        self.level = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.query = nn.Parameter(torch.zeros(width))
        self.blocks = nn.Sequential(*(AttentionBlock(width, config.heads) for _ in range(config.layers)))
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, features)

    def start(self, rng: Rng, sigma: float) -> Tensor:
        return rng.normal(*self.event.shape) * (1 + sigma**2) ** 0.5

    def denoise(self, z: Tensor, sigma: Tensor | float, text: Tensor, words: Tensor) -> Tensor:
        """Estimates E[z_0 | z_sigma = z, text, words], of the shape and dtype of ``z``.

        Args:
            z: noisy embeddings (n, features).
            sigma: noise levels (n,), or one for all rows.
            text: embeddings of the captions, (n, features); their squares, like those of clean ``z``, have the mean 1.
            words: vectors of the words of the captions, (n, length, words).
        """
        sigma = levels_like(sigma, z)
        dtype = self.query.dtype
        scaled = (1 + sigma**2).rsqrt()[:, None].to(z.dtype) * z
        level = timestep_embedding(250 * sigma.log().float(), self.query.shape[0])
        single = [self.text(text.to(dtype)), self.level(level.to(dtype)), self.noisy(scaled.to(dtype)), self.query.expand(len(z), -1)]
        places = torch.cat([self.words(words.to(dtype)), *(each[:, None] for each in single)], dim=1)
        out: Tensor = self.out(self.norm(self.blocks(places)[:, -1])).to(z.dtype)
        return out


class Told(DenoiserWrapper):
    """The denoiser of embeddings of images given captions, on which every sampler of denoisers runs.

    >>> Told(Prior(PriorConfig(), features=4, words=6, sigma_range=(0.01, 80.0)), torch.zeros(2, 4), torch.zeros(2, 3, 6)).event.shape
    (4,)

    Args:
        prior: the net.
        text, words: see :meth:`Prior.denoise`.
    """

    def __init__(self, prior: Prior, text: Tensor, words: Tensor) -> None:
        super().__init__(cast(Any, prior))
        self.text = text
        self.words = words

    def denoise(self, x: Tensor, sigma: Tensor, labels: Tensor | None = None) -> Tensor:
        return cast(Prior, self.model).denoise(x, sigma, self.text, self.words)
