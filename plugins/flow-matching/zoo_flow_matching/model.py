"""Flow matching (Lipman et al. 2022, arXiv:2210.02747; Liu et al. 2022, arXiv:2209.03003) as a denoiser of x_sigma = x_0 + sigma * eps."""

from torch import Tensor, nn

from zoo_core.arguments import levels_like
from zoo_core.interfaces import Event, Rng, Scheduler
from zoo_core.models.unet import UNet
from zoo_flow_matching.config import FlowMatchingConfig
from zoo_flow_matching.mlp import MLP

__all__ = ["FlowMatching"]

TIME_SCALE = 100.0  # the fastest sinusoid of the time then has 16 periods from t = 0 to 1


class FlowMatching(nn.Module):
    """A net v for the velocity of x_t = (1 - t) x_0 + t z, the straight line from a sample x_0 to noise z: its optimum is E[z - x_0 | x_t].

    x_t = x_sigma / (1 + sigma) with t = sigma / (1 + sigma), so that

        D(x, sigma) = x_t - t v(x_t, t)

    is the estimate of x_0 that every sampler of the zoo takes. A step of ``euler`` from sigma to sigma' is Euler's step x_t + (t' - t) v.

    Example:
        >>> from zoo_core.rng import ImageRng
        >>> model = FlowMatching(FlowMatchingConfig(points=2, dim=8))
        >>> x = model.start(ImageRng(0, range(3)), sigma=1.0)
        >>> model.denoise(x, sigma=1.0).shape
        torch.Size([3, 2])
    """

    def __init__(self, config: FlowMatchingConfig) -> None:
        super().__init__()
        self.config = config
        self.net: UNet | MLP = MLP(config) if config.points else UNet(config)

    @property
    def event(self) -> Event:
        if self.config.points:
            return Event(shape=(self.config.points,))
        return Event(shape=(self.config.channels, self.config.image_size, self.config.image_size), range=(-1.0, 1.0))

    @property
    def sigma_range(self) -> tuple[float, float]:
        return self.config.sigma_min, self.config.sigma_max

    @property
    def scheduler(self) -> Scheduler:
        return self.config.scheduler

    @property
    def num_classes(self) -> int:
        return self.config.num_classes

    @property
    def guidance_embeds(self) -> bool:
        return self.config.guidance_embeds

    def start(self, rng: Rng, sigma: float) -> Tensor:
        # x_1 is the noise itself, and x_t = t z where t is nearly 1.
        return rng.normal(*self.event.shape) * sigma

    def velocity(self, x_t: Tensor, t: Tensor, labels: Tensor | None = None, guidance: Tensor | None = None) -> Tensor:
        """v(x_t, t), of the shape and dtype of ``x_t`` (n, *event.shape).

        Args:
            x_t: states, float32 or float64.
            t: times in [0, 1], float (n,).
            labels: classes, int64 (n,); None, or ``num_classes`` in a row, for no class.
            guidance: guidance scales (n,), for a net that takes them.
        """
        dtype = next(self.net.parameters()).dtype
        time = (TIME_SCALE * t).float()
        out: Tensor = self.net(x_t.to(dtype), time, labels) if guidance is None else self.net(x_t.to(dtype), time, labels, guidance)
        return out.to(x_t.dtype)

    def denoise(self, x: Tensor, sigma: Tensor | float, labels: Tensor | None = None, *, guidance: Tensor | float | None = None) -> Tensor:
        sigma = levels_like(sigma, x)
        scale = None if guidance is None else levels_like(guidance, x)
        t = sigma / (1 + sigma)
        over = (-1, *[1] * (x.ndim - 1))
        x_t = x / (1 + sigma).view(over).to(x.dtype)
        return x_t - t.view(over).to(x.dtype) * self.velocity(x_t, t, labels, scale)
