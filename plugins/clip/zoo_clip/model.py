"""CLIP (Radford et al. 2021, arXiv:2103.00020), small: an encoder of images and one of texts, whose features are near where they fit."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo_clip.config import CLIPConfig
from zoo_core.interfaces import Event
from zoo_core.models.text import PromptTokenizer
from zoo_core.models.transformer import TextEncoder
from zoo_core.models.unet import Norm

__all__ = ["CLIP", "MOST"]

MOST = 100.0
"""The largest scale of the similarities, 1 / temperature."""


class _Block(nn.Module):
    """Two 3x3 convolutions plus the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = Norm(width), Norm(width)
        self.conv1, self.conv2 = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        out: Tensor = x + self.conv2(F.silu(self.norm2(h)))
        return out


class CLIP(nn.Module):
    """Capabilities ``features`` and ``classify``, for images (n, channels, image_size, image_size) in [-1, 1].

    The image encoder is a small residual net whose last level is flattened, and not averaged, since captions tell places. Features of
    images and of texts have length 1; the class of an image is that whose texts are nearest to it (section 3.1 of the paper).

    Example:
        >>> from zoo_core.vocabulary import Vocabulary
        >>> words = Vocabulary(unit="word", tokens=("a", "cat", "dog"))
        >>> net = CLIP(CLIPConfig(image_size=8, widths=(8, 8), vocabulary=words, classes=(("a cat",), ("a dog",)))).eval()
        >>> net.features(torch.zeros(2, 3, 8, 8)).shape, net.text_features(["a cat"]).shape
        (torch.Size([2, 64]), torch.Size([1, 64]))
    """

    def __init__(self, config: CLIPConfig) -> None:
        super().__init__()
        self.config = config
        self.vocabulary = config.vocabulary
        self.tokenizer = PromptTokenizer(config.vocabulary, config.length)
        layers: list[nn.Module] = [nn.Conv2d(config.channels, config.widths[0], 3, padding=1)]
        for width_in, width in zip(config.widths, config.widths[1:], strict=False):
            layers += [nn.Conv2d(width_in, width, 3, stride=2, padding=1), _Block(width)]
        last = config.widths[-1]
        side = config.image_size >> (len(config.widths) - 1)
        self.image = nn.Sequential(*layers, Norm(last), nn.SiLU(), nn.Flatten(), nn.Linear(last * side**2, config.features))
        self.text = TextEncoder(
            categories=len(config.vocabulary) + 1,
            length=config.length,
            width=config.text_width,
            layers=config.text_layers,
            heads=config.text_heads,
        )
        self.text_head = nn.Linear(config.text_width, config.features)
        self.log_scale = nn.Parameter(torch.zeros(()))

    @property
    def event(self) -> Event:
        return Event(shape=(self.config.channels, self.config.image_size, self.config.image_size), range=(-1.0, 1.0))

    @property
    def num_classes(self) -> int:
        return len(self.config.classes)

    @property
    def scale(self) -> Tensor:
        """The factor of similarities, 1 / temperature, at most :data:`MOST`."""
        return self.log_scale.exp().clamp(max=MOST)

    def features(self, x: Tensor) -> Tensor:
        """Features of images, (n, features), of length 1."""
        return F.normalize(self.image(x), dim=1).to(x.dtype)

    def text_features(self, texts: Sequence[str]) -> Tensor:
        """Features of texts, (n, features), of length 1.

        Raises:
            UsageError: if a text has an unknown word, or too many words.
        """
        return self.encoded(self.tokenizer(texts).to(self.log_scale.device))

    def encoded(self, tokens: Tensor) -> Tensor:
        """Features of the tokens of texts, int64 (n, length): those of the mean over places."""
        return F.normalize(self.text_head(self.text(tokens).mean(1)), dim=1)

    def classify(self, x: Tensor) -> Tensor:
        """Log-probabilities of the classes, (n, num_classes): the softmax of scaled similarities with the texts of each class."""
        counts = [len(texts) for texts in self.config.classes]
        each = self.text_features([text for texts in self.config.classes for text in texts]).split(counts)  # type: ignore[no-untyped-call]
        classes = F.normalize(torch.stack([part.mean(0) for part in each]), dim=1)
        return (self.scale * self.features(x) @ classes.to(x.dtype).T).float().log_softmax(dim=1).to(x.dtype)
