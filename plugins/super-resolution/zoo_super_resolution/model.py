"""Super-resolution by diffusion: a denoiser of images given their versions of lower resolution."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo_core.arguments import levels_like
from zoo_core.interfaces import Event, Rng
from zoo_core.models.unet import UNet
from zoo_core.samplers.wrappers import DenoiserWrapper
from zoo_core.schedulers import Karras
from zoo_super_resolution.config import SuperResolutionConfig, net_config

__all__ = ["EXAMPLES", "Enlarging", "SuperResolution", "enlarged", "reduced"]

EXAMPLES = 16
"""Number of conditions of the training data that a model keeps."""
WITHOUT = 0.5
"""Standard deviation of images in [-1, 1], which the net estimates where there is no condition."""


def reduced(x: Tensor, factor: int) -> Tensor:
    """Images (n, c, side, side) of the resolution divided by ``factor``: the means over squares of pixels."""
    return F.avg_pool2d(x, factor)


def enlarged(condition: Tensor, factor: int) -> Tensor:
    """Images (n, c, side, side) of ``factor`` times the resolution, by bicubic interpolation."""
    return F.interpolate(condition, scale_factor=float(factor), mode="bicubic", align_corners=False)


class SuperResolution(nn.Module):
    """Estimates what an image has beyond its enlarged condition u, with the preconditioning of Karras et al. 2022 (arXiv:2206.00364).

        D(x, sigma, c) = u + c_skip r + c_out F(c_in r, u, tau, sigma),    r = x - u

    tau is the standard deviation of the noise on the condition (Ho et al. 2022, arXiv:2106.15282, section 4.1). c_skip, c_out and c_in
    are those of data with the standard deviation s of x_0 - u, which the buffer ``residual_std`` holds, so that few noise levels between
    about s and 0 remain to be walked through. Without a condition, u = 0, tau = -1 and s = 0.5: the plain denoiser of images.

    Example:
        >>> from zoo_core.rng import ImageRng
        >>> model = SuperResolution(SuperResolutionConfig(image_size=16, dim=8))
        >>> rng = ImageRng(0, range(2))
        >>> larger = model.conditioned(torch.zeros(2, 3, 8, 8), rng)
        >>> larger.denoise(larger.start(rng, 1.0), torch.ones(2)).shape
        torch.Size([2, 3, 16, 16])
    """

    residual_std: Tensor
    example_conditions: Tensor

    def __init__(self, config: SuperResolutionConfig) -> None:
        super().__init__()
        self.config = config
        self.net = UNet(net_config(config))
        self.register_buffer("residual_std", torch.tensor(0.1))
        self.register_buffer("example_conditions", torch.zeros(EXAMPLES, *self.condition_event.shape))

    @property
    def event(self) -> Event:
        return Event(shape=(self.config.channels, self.config.image_size, self.config.image_size), range=(-1.0, 1.0))

    @property
    def condition_event(self) -> Event:
        side = self.config.image_size // self.config.factor
        return Event(shape=(self.config.channels, side, side), range=(-1.0, 1.0))

    @property
    def sigma_range(self) -> tuple[float, float]:
        return self.config.sigma_min, self.config.sigma_max

    @property
    def scheduler(self) -> Karras:
        return Karras()

    def start(self, rng: Rng, sigma: float) -> Tensor:
        return rng.normal(*self.event.shape) * sigma

    def conditioned(self, condition: Tensor, rng: Rng) -> "Enlarging":
        """The denoiser given images of lower resolution (n, *condition_event.shape), with noise of ``config.condition_noise``."""
        noise = self.config.condition_noise
        return Enlarging(self, condition + noise * rng.normal(*condition.shape[1:]).to(condition), noise)

    def denoise(
        self,
        x: Tensor,
        sigma: Tensor | float,
        labels: Tensor | None = None,
        *,
        condition: Tensor | None = None,
        condition_noise: Tensor | float = 0.0,
    ) -> Tensor:
        """Estimates E[x_0 | x_sigma = x, condition], of the shape and dtype of ``x``.

        Args:
            x: noisy images (n, *event.shape).
            sigma: noise levels, float64 (n,), or one for all rows.
            labels: None; there are no classes.
            condition: noisy images of lower resolution (n, *condition_event.shape); None for the estimate without a condition.
            condition_noise: standard deviation of their noise, (n,) or one for all rows; negative for a row without a condition.
        """
        sigma = levels_like(sigma, x)
        tau = levels_like(condition_noise, x).float() if condition is not None else torch.full_like(sigma, -1.0, dtype=torch.float32)
        u = torch.zeros_like(x) if condition is None else enlarged(condition.to(x), self.config.factor)
        u = torch.where(tau.view(-1, 1, 1, 1) < 0, 0.0, u)
        c_skip, c_out, c_in = (c.view(-1, 1, 1, 1).to(x.dtype) for c in self.scalings(sigma, tau))
        r = x - u
        return u + c_skip * r + c_out * self.output(c_in * r, u, tau, sigma)

    def scalings(self, sigma: Tensor, tau: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """c_skip, c_out and c_in, (n,) each, of noise levels and of the noise of conditions, negative for rows without one."""
        std = torch.where(tau < 0, WITHOUT, self.residual_std).to(sigma)
        total = sigma**2 + std**2
        return std**2 / total, sigma * std / total.sqrt(), total.rsqrt()

    def output(self, r: Tensor, u: Tensor, tau: Tensor, sigma: Tensor) -> Tensor:
        """F, of the shape of the scaled residuals ``r`` (n, *event.shape), at noise levels ``sigma`` (n,)."""
        patch = self.config.patch
        parts = [F.pixel_unshuffle(image, patch) for image in (r, u)]
        level = tau.to(r).view(-1, 1, 1, 1).expand(-1, 1, *parts[0].shape[2:])
        weight = self.net.conv_in.weight
        # Sinusoids of 250 log sigma tell apart levels that differ by a hundredth, and lie between -1600 and 800.
        out = self.net(torch.cat([*parts, level], dim=1).to(weight.dtype), 250 * sigma.log().float())
        return F.pixel_shuffle(out[:, : parts[0].shape[1]], patch).to(r.dtype)


class Enlarging(DenoiserWrapper):
    """The denoiser of images given noisy ones of lower resolution.

    >>> model = SuperResolution(SuperResolutionConfig(image_size=16, dim=8))
    >>> Enlarging(model, torch.zeros(2, 3, 8, 8), 0.1).event.shape
    (3, 16, 16)

    Args:
        model: the net.
        condition: images of lower resolution (n, *model.condition_event.shape).
        noise: standard deviation of their noise.
    """

    model: SuperResolution

    def __init__(self, model: SuperResolution, condition: Tensor, noise: float) -> None:
        super().__init__(model)
        self.condition = condition
        self.noise = noise

    def start(self, rng: Rng, sigma: float) -> Tensor:
        return enlarged(self.condition, self.model.config.factor) + super().start(rng, sigma)

    def denoise(self, x: Tensor, sigma: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.model.denoise(x, sigma, labels, condition=self.condition, condition_noise=self.noise)
