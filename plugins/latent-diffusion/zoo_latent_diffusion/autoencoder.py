"""The KL autoencoder of Rombach et al. 2022 (arXiv:2112.10752, appendix G): images to smaller images of latents, and back."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo_core.interfaces import Event, Rng
from zoo_core.models.unet import Norm, Pointwise
from zoo_latent_diffusion.config import AutoencoderConfig

__all__ = ["Autoencoder"]

LOWEST, HIGHEST = -15.0, 10.0  # bounds of log sigma, those of the authors' code


class _Residual(nn.Module):
    """Two 3x3 convolutions, each after a group norm, plus a shortcut."""

    def __init__(self, width_in: int, width: int) -> None:
        super().__init__()
        self.norm1 = Norm(width_in)
        self.conv1 = nn.Conv2d(width_in, width, 3, padding=1)
        self.norm2 = Norm(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.shortcut = Pointwise(width_in, width) if width_in != width else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        out: Tensor = self.shortcut(x) + self.conv2(F.silu(self.norm2(h)))
        return out


class _Doubled(nn.Module):
    """Doubles the side by repetition, and smooths."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.smooth = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.smooth(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return out


def _encoder(config: AutoencoderConfig) -> nn.Sequential:
    """A net from images to mu and log sigma, (n, 2 * latent_channels, side, side)."""
    layers: list[nn.Module] = [nn.PixelUnshuffle(config.patch)]
    width = config.width * config.multipliers[0]
    layers.append(nn.Conv2d(config.channels * config.patch**2, width, 3, padding=1))
    for level, multiplier in enumerate(config.multipliers):
        if level:
            layers.append(nn.Conv2d(width, width, 3, stride=2, padding=1))
        for _ in range(config.blocks):
            layers.append(_Residual(width, width := config.width * multiplier))
    return nn.Sequential(*layers, Norm(width), nn.SiLU(), nn.Conv2d(width, 2 * config.latent_channels, 3, padding=1))


def _decoder(config: AutoencoderConfig) -> nn.Sequential:
    """A net from latents to images."""
    width = config.width * config.multipliers[-1]
    layers: list[nn.Module] = [nn.Conv2d(config.latent_channels, width, 3, padding=1)]
    for level, multiplier in reversed(list(enumerate(config.multipliers))):
        for _ in range(config.blocks + 1):
            layers.append(_Residual(width, width := config.width * multiplier))
        if level:
            layers.append(_Doubled(width))
    layers += [Norm(width), nn.SiLU(), nn.Conv2d(width, config.channels * config.patch**2, 3, padding=1)]
    return nn.Sequential(*layers, nn.PixelShuffle(config.patch))


class Autoencoder(nn.Module):
    """q(z | x) = N(mu(x), diag sigma(x)^2) and a decoder of z, both convolutional, so that a latent is an image too.

    The weight of the KL in training is small, so that z is far from standard normal: ``prior`` draws latents that look like nothing, and
    samples come from a model of the latents, such as the family ``latent-diffusion``.

    Example:
        >>> net = Autoencoder(AutoencoderConfig(image_size=16, width=8))
        >>> z = net.encode(torch.zeros(2, 3, 16, 16))
        >>> z.shape, net.decode(z).shape
        (torch.Size([2, 4, 4, 4]), torch.Size([2, 3, 16, 16]))
    """

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = _encoder(config)
        self.decoder = _decoder(config)

    @property
    def event(self) -> Event:
        return Event(shape=(self.config.channels, self.config.image_size, self.config.image_size), range=(-1.0, 1.0))

    def prior(self, rng: Rng) -> Tensor:
        return rng.normal(*self.config.latent_shape)

    def encode(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """The posterior's mean, (n, *config.latent_shape)."""
        return self.posterior(x)[0]

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (n, *event.shape) in [-1, 1]."""
        return self.reconstruction(z).clamp(-1, 1)

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """mu and log sigma of q(z | x), each (n, *config.latent_shape), for ``x`` (n, *event.shape)."""
        mu, log_sigma = self.encoder(x.to(self._dtype)).to(x.dtype).chunk(2, dim=1)
        return mu, log_sigma.clamp(LOWEST, HIGHEST)

    def reconstruction(self, z: Tensor) -> Tensor:
        """The decoder's output for ``z`` (n, *config.latent_shape), which may leave [-1, 1]: (n, *event.shape)."""
        out: Tensor = self.decoder(z.to(self._dtype))
        return out.to(z.dtype)

    @property
    def _dtype(self) -> torch.dtype:
        return next(self.parameters()).dtype
