"""DDPM (Ho et al. 2020, arXiv:2006.11239) as a denoiser in the coordinate x_sigma = x_0 + sigma * eps."""

import torch
from torch import Tensor, nn

from zoo_core.arguments import levels_like
from zoo_core.interfaces import DiscreteScheduler, Event, Rng
from zoo_core.models.unet import UNet
from zoo_ddpm.config import DDPMConfig

__all__ = ["DDPM"]


class DDPM(nn.Module):
    """A U-Net that predicts the noise, the image or a mixture of both, with the noise levels of its training.

    x_t = x_sigma / sqrt(1 + sigma^2) with sigma_t = sqrt((1 - abar_t) / abar_t), t = 1 ... T. A sigma between two levels is mapped to a
    fractional t, linear in log sigma. From the net's output at (x_t, t),

        D(x, sigma) = x - sigma * eps,   D = x_0,   or   D = x / (1 + sigma^2) - sigma / sqrt(1 + sigma^2) * v

    Example:
        >>> from zoo_core.rng import ImageRng
        >>> model = DDPM(DDPMConfig(image_size=8, dim=8, multipliers=(1, 2), linear_attention=()))
        >>> x = model.start(ImageRng(0, range(2)), sigma=1.0)
        >>> model.denoise(x, sigma=1.0).shape
        torch.Size([2, 3, 8, 8])
    """

    def __init__(self, config: DDPMConfig) -> None:
        super().__init__()
        self.config = config
        self.levels = config.scheduler.levels
        self.net = UNet(config)

    @property
    def event(self) -> Event:
        return Event(shape=(self.config.channels, self.config.image_size, self.config.image_size), range=(-1.0, 1.0))

    @property
    def sigma_range(self) -> tuple[float, float]:
        return self.levels[0], self.levels[-1]

    @property
    def scheduler(self) -> DiscreteScheduler:
        return self.config.scheduler

    @property
    def num_classes(self) -> int:
        return self.config.num_classes

    @property
    def guidance_embeds(self) -> bool:
        return self.config.guidance_embeds

    def start(self, rng: Rng, sigma: float) -> Tensor:
        # x_T is standard normal in the paper, so x_sigma = sqrt(1 + sigma^2) x_T, not sigma x_T.
        return rng.normal(*self.event.shape) * (1 + sigma**2) ** 0.5

    def time(self, sigma: Tensor) -> Tensor:
        """The times t in [1, T], float32 (n,), of noise levels ``sigma`` float64 (n,), as :func:`zoo_core.schedulers.fractional_time`."""
        levels = torch.tensor(self.levels, dtype=sigma.dtype, device=sigma.device)
        if len(levels) == 1:
            return torch.ones_like(sigma, dtype=torch.float32)
        sigma = sigma.clamp(*self.sigma_range)
        above = (levels < sigma[:, None]).sum(1).clamp(1, len(levels) - 1)  # torch.searchsorted has no equivalent in ONNX
        low, high = levels[above - 1], levels[above]
        return (above + torch.log(sigma / low) / torch.log(high / low)).float()

    def denoise(self, x: Tensor, sigma: Tensor | float, labels: Tensor | None = None, *, guidance: Tensor | float | None = None) -> Tensor:
        sigma = levels_like(sigma, x)
        scale = None if guidance is None else levels_like(guidance, x)
        sigma_ = sigma.view(-1, 1, 1, 1)
        x_t = x * (1 + sigma_**2).rsqrt().to(x.dtype)
        out = self.net(x_t.to(self.net.conv_in.weight.dtype), self.time(sigma), labels, scale).to(x.dtype)
        match self.config.prediction:
            case "eps":
                return x - sigma_.to(x.dtype) * out
            case "x0":
                return out
            case "v":
                scale = (1 + sigma_**2).rsqrt()
                return (scale**2).to(x.dtype) * x - (sigma_ * scale).to(x.dtype) * out
