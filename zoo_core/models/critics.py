"""Critics that several families share."""

from torch import nn

__all__ = ["PatchCritic"]


class PatchCritic(nn.Sequential):
    """A convolutional critic of patches (Isola et al. 2017, arXiv:1611.07004, section 3.2): images to a map of outputs (n, 1, h, w).

    >>> import torch
    >>> PatchCritic(3, 8)(torch.zeros(2, 3, 16, 16)).shape
    torch.Size([2, 1, 4, 4])

    Args:
        channels: channels of an image.
        width: channels of the first convolution, of stride 2; the second one has twice as many.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__(
            nn.Conv2d(channels, width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
            nn.GroupNorm(1, 2 * width),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 2 * width, 3, padding=1),
            nn.GroupNorm(1, 2 * width),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 1, 3, padding=1),
        )
