"""unCLIP (Ramesh et al. 2022, arXiv:2204.06125), the form of DALL-E 2: a text becomes an embedding, and the embedding an image."""

from collections.abc import Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo_core.capabilities import lacking
from zoo_core.checkpoint.build import model_of
from zoo_core.errors import ConfigError
from zoo_core.interfaces import Event, Features, Rng
from zoo_text_to_image.model import Prompted, TextToImage
from zoo_text_to_image.prior import Prior, Told
from zoo_text_to_image.unclip_config import UnCLIPConfig

__all__ = ["UnCLIP"]


class UnCLIP(TextToImage):
    """Draws p(x | y) = p(x | z, y) p(z | y) (eq. 1 of the paper), where y is a caption and z the embedding of an image in a CLIP.

    The decoder p(x | z, y) is a text-to-image model, to whose words come some places that are computed from z; its context without a
    condition is that of z = 0 and the empty text. A condition of this model is the embedding of a caption and the vectors of its words,
    from which ``conditioned`` draws z by the prior. All embeddings have the length sqrt(d), so that their squares have the mean 1.

    Example:
        >>> from zoo_core.config import decode
        >>> from zoo_core.interfaces import ModelConfig
        >>> from zoo_core.rng import ImageRng
        >>> from zoo_core.vocabulary import Vocabulary
        >>> words = {"unit": "word", "tokens": ["a", "red", "seven"]}
        >>> clip = decode(ModelConfig, {"name": "clip", "image_size": 16, "widths": [8, 8], "features": 8, "vocabulary": words})
        >>> config = UnCLIPConfig(clip=clip, image_size=16, dim=16, attention=(4,), vocabulary=clip.vocabulary)
        >>> model = UnCLIP(config).eval()
        >>> given = model.conditioned(model.prompt_conditions(["a red seven"] * 2), ImageRng(0, range(2)))
        >>> given.denoise(given.start(ImageRng(0, range(2)), 1.0), torch.ones(2)).shape
        torch.Size([2, 3, 16, 16])

    Raises:
        ConfigError: if ``config.clip`` is no model of images and texts, or one of images of another shape.
    """

    config: UnCLIPConfig

    def __init__(self, config: UnCLIPConfig) -> None:
        super().__init__(config)
        self.clip = _model_of_both(config, self.event)
        with torch.no_grad():
            self.size = cast(Any, self.clip).text_features([""]).shape[1]
        self.prior = Prior(config.prior, features=self.size, words=config.text_width, sigma_range=self.sigma_range)
        self.embed = nn.Linear(self.size, config.embedding_places * config.text_width)

    @property
    def condition_event(self) -> Event:
        return Event(shape=(self.size + self.config.length * self.config.text_width,))

    @torch.no_grad()
    def image_embeddings(self, x: Tensor) -> Tensor:
        """Scaled embeddings, float32 (n, d), of images ``x`` (n, *event.shape)."""
        return self.scaled(cast(Features, self.clip).features(x))

    @torch.no_grad()
    def text_embeddings(self, texts: Sequence[str]) -> Tensor:
        """Scaled embeddings, float32 (n, d), of texts.

        Raises:
            UsageError: if a text has an unknown word, or too many words.
        """
        return self.scaled(cast(Any, self.clip).text_features(texts))

    def scaled(self, z: Tensor) -> Tensor:
        """Vectors (n, d) as float32, with the length sqrt(d)."""
        return F.normalize(z.float(), dim=1) * self.size**0.5

    def conditions_of(self, tokens: Tensor) -> Tensor:
        text = self.text_embeddings([self.tokenizer.text(row) for row in tokens])
        return torch.cat([text, self.text(tokens).float().flatten(1)], dim=1)

    def conditioned(self, condition: Tensor, rng: Rng) -> Prompted:
        text, words = condition[:, : self.size], condition[:, self.size :].reshape(-1, self.config.length, self.config.text_width)
        return Prompted(self, self.context(self.draw(text, words, rng), words))

    @torch.no_grad()
    def draw(self, text: Tensor, words: Tensor, rng: Rng) -> Tensor:
        """Draws scaled embeddings of images, (n, d), by the prior: of some candidates those with the largest dot product with ``text``.

        Args:
            text: scaled embeddings of captions, (n, d).
            words: vectors of their words, (n, length, text_width).
            rng: random numbers, a row for each caption.
        """
        told, prior = Told(self.prior, text, words), self.config.prior
        drawn = torch.stack([self.scaled(prior.sampler(told, rng)) for _ in range(prior.candidates)])  # (candidate, n, d)
        best = (drawn * text).sum(2).argmax(0)
        return drawn[best, torch.arange(len(text), device=best.device)]

    def context(self, z: Tensor, words: Tensor) -> Tensor:
        """The decoder's context (n, places, text_width), of scaled embeddings (n, d) and vectors of words (n, length, text_width)."""
        places: Tensor = self.embed(z.to(self.embed.weight.dtype)).unflatten(1, (self.config.embedding_places, -1))
        return torch.cat([places, words.to(places)], dim=1) if self.config.captions else places

    def unconditional(self) -> Tensor:
        words = super().unconditional()
        return self.context(words.new_zeros(1, self.size), words)


def _model_of_both(config: UnCLIPConfig, event: Event) -> nn.Module:
    """The CLIP of the config, checked to fit the decoder."""
    clip = model_of(config.clip)
    flaw = lacking(clip, "features") or ("" if hasattr(clip, "text_features") else "has no text_features")
    if flaw:
        raise ConfigError(f"clip is no model of images and texts: it {flaw}", "zoo-clip has such a family")
    ours, theirs = event.shape, cast(Features, clip).event.shape
    if ours != theirs:
        what = f"clip reads images of the shape {list(theirs)}, and the decoder draws {list(ours)}"
        raise ConfigError(what, "they must agree: set image_size and channels of model and model.clip")
    return clip
