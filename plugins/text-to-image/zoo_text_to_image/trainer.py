"""Training of text to image: denoising given captions, some of which are withheld."""

from math import pi
from typing import ClassVar

import torch
from torch import Tensor, nn

from zoo_core.arguments import level_dtype
from zoo_core.interfaces import Rng
from zoo_core.training.trainer import Batch, Loss, Trainer
from zoo_text_to_image.config import TextToImageTrainerConfig
from zoo_text_to_image.model import TextToImage

__all__ = ["TextToImageTrainer"]


class TextToImageTrainer(Trainer):
    """The mean of |v - v*|^2 with v* = (eps - sigma x_0) / sqrt(1 + sigma^2) (Salimans & Ho 2022, arXiv:2202.00512, appendix D).

    The empty text stands for a withheld caption (Ho & Salimans 2022, arXiv:2207.12598).

    Example:
        >>> from zoo_core.rng import StepRng
        >>> from zoo_core.vocabulary import Vocabulary
        >>> from zoo_text_to_image.config import TextToImageConfig
        >>> words = Vocabulary(unit="word", tokens=("a", "seven"))
        >>> model = TextToImage(TextToImageConfig(image_size=16, dim=16, attention=(4,), vocabulary=words))
        >>> batch = Batch(x=torch.zeros(2, 3, 16, 16), labels=None, index=torch.arange(2), captions=("a seven", "seven"))
        >>> TextToImageTrainer(model, TextToImageTrainerConfig())("model", batch, StepRng(0, 0, 2)).value.shape
        torch.Size([])
    """

    reads_captions: ClassVar[bool] = True
    model: TextToImage
    config: TextToImageTrainerConfig

    def prepare(self, batch: Batch, rng: Rng) -> None:
        tokens = self.model.tokenizer(batch.captions)
        examples = self.model.example_tokens
        examples.copy_(tokens[[row % len(tokens) for row in range(len(examples))]])

    def forward(self, phase: str, batch: Batch, rng: Rng) -> Loss:
        tokens = self.model.tokenizer(batch.captions).to(batch.x.device)
        withheld = rng.uniform() < self.config.p_uncond
        context = self.model.text(tokens.masked_fill(withheld[:, None], self.model.tokenizer.pad))
        return Loss(value=self.denoising(batch.x, context, rng))

    def denoising(self, x: Tensor, context: Tensor, rng: Rng) -> Tensor:
        """The loss () of images (n, *event.shape) given the context of each, (n, places, text_width)."""
        sigma = self._levels(rng.uniform().to(level_dtype(x.device)))
        scale = (1 + sigma**2).rsqrt()
        signal, noise = (each.view(-1, 1, 1, 1).to(x) for each in (scale, sigma * scale))
        eps = rng.normal(*x.shape[1:])
        out = self.model.output(signal * x + noise * eps, sigma, context).float()
        return (out - (signal * eps - noise * x)).square().mean()

    def compilable(self) -> tuple[nn.Module, ...]:
        return (self.model.net,)

    def _levels(self, t: Tensor) -> Tensor:
        """The noise levels at uniform times ``t`` (n,) in [0, 1)."""
        return (self.config.shift * torch.tan(pi / 2 * t)).clamp(*self.model.sigma_range)
