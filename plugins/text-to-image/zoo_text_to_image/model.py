"""Text to image by diffusion: a denoiser of images given a text, and the encoder of the text, in one model."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo_core.arguments import levels_like
from zoo_core.interfaces import Event, Rng
from zoo_core.models.text import PromptTokenizer
from zoo_core.models.transformer import TextEncoder
from zoo_core.models.unet import UNet
from zoo_core.samplers.wrappers import DenoiserWrapper
from zoo_core.schedulers import Karras
from zoo_text_to_image.config import TextToImageConfig, net_config

__all__ = ["EXAMPLES", "Prompted", "TextToImage"]

EXAMPLES = 16
"""Number of captions of the training data that a model keeps."""


class TextToImage(nn.Module):
    """Estimates images by v-prediction (Salimans & Ho 2022, arXiv:2202.00512), with attention to the words of a prompt.

        D(x, sigma, c) = x / (1 + sigma^2) - sigma / sqrt(1 + sigma^2) v(x / sqrt(1 + sigma^2), sigma, c)

    c are the vectors of the words, which a Transformer computes that is trained along; a condition of this model is c. Without a condition,
    c is that of the empty text.

    Example:
        >>> from zoo_core.rng import ImageRng
        >>> from zoo_core.vocabulary import Vocabulary
        >>> words = Vocabulary(unit="word", tokens=("a", "red", "seven"))
        >>> model = TextToImage(TextToImageConfig(image_size=16, dim=16, attention=(4,), vocabulary=words))
        >>> given = model.conditioned(model.prompt_conditions(["a red seven"] * 2), ImageRng(0, range(2)))
        >>> given.denoise(given.start(ImageRng(0, range(2)), 1.0), torch.ones(2)).shape
        torch.Size([2, 3, 16, 16])
    """

    example_tokens: Tensor

    def __init__(self, config: TextToImageConfig) -> None:
        super().__init__()
        self.config = config
        self.vocabulary = config.vocabulary
        self.tokenizer = PromptTokenizer(config.vocabulary, config.length)
        self.text = TextEncoder(
            categories=len(config.vocabulary) + 1,
            length=config.length,
            width=config.text_width,
            layers=config.text_layers,
            heads=config.text_heads,
        )
        self.net = UNet(net_config(config), context=config.text_width)
        self.register_buffer("example_tokens", torch.full((EXAMPLES, config.length), self.tokenizer.pad))

    @property
    def event(self) -> Event:
        return Event(shape=(self.config.channels, self.config.image_size, self.config.image_size), range=(-1.0, 1.0))

    @property
    def condition_event(self) -> Event:
        return Event(shape=(self.config.length, self.config.text_width))

    @property
    def sigma_range(self) -> tuple[float, float]:
        return self.config.sigma_min, self.config.sigma_max

    @property
    def scheduler(self) -> Karras:
        return Karras()

    @property
    def example_prompts(self) -> list[str]:
        """The captions that samples have by default."""
        return [self.tokenizer.text(row) for row in self.example_tokens]

    @property
    @torch.no_grad()
    def example_conditions(self) -> Tensor:
        """The conditions of :attr:`example_prompts`, (k, *condition_event.shape)."""
        return self.conditions_of(self.example_tokens)

    @torch.no_grad()
    def prompt_conditions(self, prompts: Sequence[str]) -> Tensor:
        """Conditions, float32 (n, *condition_event.shape), of texts.

        Raises:
            UsageError: if a text has an unknown word, or too many words.
        """
        return self.conditions_of(self.tokenizer(prompts).to(self.example_tokens.device))

    def conditions_of(self, tokens: Tensor) -> Tensor:
        """Conditions, float32 (n, *condition_event.shape), of the tokens of texts, int64 (n, length)."""
        return self.text(tokens).float()

    def unconditional(self) -> Tensor:
        """The context of rows without a condition, (1, places, text_width): that of the empty text."""
        out: Tensor = self.text(torch.full_like(self.example_tokens[:1], self.tokenizer.pad))
        return out

    def conditioned(self, condition: Tensor, rng: Rng) -> "Prompted":
        return Prompted(self, condition)

    def start(self, rng: Rng, sigma: float) -> Tensor:
        return rng.normal(*self.event.shape) * (1 + sigma**2) ** 0.5

    def denoise(self, x: Tensor, sigma: Tensor | float, labels: Tensor | None = None, *, context: Tensor | None = None) -> Tensor:
        """Estimates E[x_0 | x_sigma = x, context], of the shape and dtype of ``x``.

        Args:
            x: noisy images (n, *event.shape).
            sigma: noise levels, float64 (n,), or one for all rows.
            labels: None; there are no classes.
            context: vectors of the words of a text for each row, (n, length, text_width); None for rows without a condition.
        """
        sigma = levels_like(sigma, x)
        scale = (1 + sigma**2).rsqrt().view(-1, 1, 1, 1)
        if context is None:
            context = self.unconditional().expand(len(x), -1, -1)
        v = self.output(scale.to(x.dtype) * x, sigma, context).to(x.dtype)
        return (scale**2).to(x.dtype) * x - (sigma.view(-1, 1, 1, 1) * scale).to(x.dtype) * v

    def output(self, x: Tensor, sigma: Tensor, context: Tensor) -> Tensor:
        """v, of the shape of scaled noisy images ``x`` (n, *event.shape), at levels ``sigma`` (n,), given words (n, places, width)."""
        patch = self.config.patch
        dtype = self.net.conv_in.weight.dtype
        # Sinusoids of 250 log sigma tell apart levels that differ by a hundredth, and lie between -1200 and 1100.
        out = self.net(F.pixel_unshuffle(x, patch).to(dtype), 250 * sigma.log().float(), context=context.to(dtype))
        return F.pixel_shuffle(out, patch)


class Prompted(DenoiserWrapper):
    """The denoiser of images given texts.

    >>> model = TextToImage(TextToImageConfig(image_size=16, dim=16, attention=()))
    >>> Prompted(model, torch.zeros(2, *model.condition_event.shape)).event.shape
    (3, 16, 16)

    Args:
        model: the net.
        context: vectors of the words of a text for each row, (n, length, text_width).
    """

    model: TextToImage

    def __init__(self, model: TextToImage, context: Tensor) -> None:
        super().__init__(model)
        self.context = context

    def denoise(self, x: Tensor, sigma: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.model.denoise(x, sigma, labels, context=self.context)
