"""The generator."""

from zoo_core.models.convolutional import UpsamplingGenerator

__all__ = ["ProjectedGAN"]


class ProjectedGAN(UpsamplingGenerator):
    """The generator of Radford et al. 2015; see the base class.

    Example:
        >>> import torch
        >>> from zoo_core.rng import ImageRng
        >>> from zoo_projected_gan.config import ProjectedGANConfig
        >>> net = ProjectedGAN(ProjectedGANConfig(latent=8, width=4)).eval()
        >>> net.decode(net.prior(ImageRng(0, range(2)))).shape
        torch.Size([2, 1, 28, 28])
    """
