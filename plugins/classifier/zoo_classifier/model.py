"""A small residual classifier after He et al. 2015 (arXiv:1512.03385); metrics compare images in its features."""

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from zoo_classifier.config import ClassifierConfig
from zoo_core.interfaces import Event

__all__ = ["Classifier"]


def convolution(width_in: int, width: int, stride: int = 1) -> nn.Sequential:
    """A 3x3 convolution and batch norm."""
    return nn.Sequential(nn.Conv2d(width_in, width, 3, stride, padding=1, bias=False), nn.BatchNorm2d(width))


class Block(nn.Module):
    """Two convolutions plus the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = convolution(width, width)
        self.conv2 = convolution(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.conv2(F.relu(self.conv1(x))))


class Classifier(nn.Module):
    """Capabilities ``features`` and ``classify``, for images (n, channels, image_size, image_size) in [-1, 1].

    A convolution; then for each further level a convolution of stride 2 that halves the side, and residual blocks. The features are the
    mean over the last level's pixels, and the logits are a linear map of them. Because of batch norm, the outputs of a row depend on its
    batch in train mode. In eval mode, for which the capabilities are meant, they depend on that row alone.

    Example:
        >>> import torch
        >>> net = Classifier(ClassifierConfig(image_size=8, widths=(4, 8))).eval()
        >>> images = torch.zeros(2, 1, 8, 8)
        >>> net.features(images).shape, net.classify(images).shape
        (torch.Size([2, 8]), torch.Size([2, 10]))
    """

    def __init__(self, config: ClassifierConfig) -> None:
        super().__init__()
        self.config = config
        layers = [convolution(config.channels, config.widths[0]), nn.ReLU()]
        for width_in, width in zip(config.widths, config.widths[1:], strict=False):
            layers += [convolution(width_in, width, stride=2), nn.ReLU(), *(Block(width) for _ in range(config.blocks))]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(config.widths[-1], config.num_classes)

    @property
    def event(self) -> Event:
        return Event(shape=(self.config.channels, self.config.image_size, self.config.image_size), range=(-1.0, 1.0))

    @property
    def num_classes(self) -> int:
        return self.config.num_classes

    def feature_maps(self, x: Tensor) -> tuple[Tensor, ...]:
        """The activations at the end of each level, the finest first: (n, widths[i], side, side), each of half the side before."""
        level = 2 + self.config.blocks  # layers of each level but the first, which has two
        starts = [0, *(2 + level * i for i in range(len(self.config.widths)))]
        maps = []
        for start, end in pairwise(starts):
            x = self.body[start:end](x)
            maps.append(x)
        return tuple(maps)

    def features(self, x: Tensor) -> Tensor:
        """The penultimate activations, averaged over all pixels: (n, widths[-1]), not negative."""
        return self.body(x).mean((2, 3), dtype=x.dtype)

    def logits(self, x: Tensor) -> Tensor:
        """Unnormalised log-probabilities of the classes, (n, num_classes)."""
        return self.head(self.features(x)).to(x.dtype)

    def classify(self, x: Tensor) -> Tensor:
        """Log-probabilities of the classes, (n, num_classes)."""
        return self.logits(x).log_softmax(dim=1)
