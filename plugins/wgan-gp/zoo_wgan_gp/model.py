"""The generator of a Wasserstein GAN (Gulrajani et al. 2017, arXiv:1704.00028)."""

from torch import Tensor, nn

from zoo_core.interfaces import Event, Rng
from zoo_wgan_gp.config import WGANGPConfig
from zoo_wgan_gp.nets import generator

__all__ = ["WGANGP"]


class WGANGP(nn.Module):
    """Images from standard normal latents, in one pass.

    Example:
        >>> from zoo_core.rng import ImageRng
        >>> net = WGANGP(WGANGPConfig(shape=(1, 8, 8), latent=4, width=4, stages=2)).eval()
        >>> net.decode(net.prior(ImageRng(0, range(2)))).shape
        torch.Size([2, 1, 8, 8])
    """

    def __init__(self, config: WGANGPConfig) -> None:
        super().__init__()
        self.config = config
        self.generator = generator(config)

    @property
    def event(self) -> Event:
        return Event(shape=self.config.shape, range=(-1.0, 1.0))

    def prior(self, rng: Rng) -> Tensor:
        """Standard normal latents, (len(rng), latent)."""
        return rng.normal(self.config.latent)

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (n, *shape) in [-1, 1] of latents ``z`` (n, latent); ``labels`` are ignored."""
        x: Tensor = self.generator(z)
        return x.to(z.dtype)
