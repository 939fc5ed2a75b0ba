"""Noise-conditional score networks (Song & Ermon 2019, arXiv:1907.05600) in the coordinate x_sigma = x_0 + sigma * eps."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from zoo_core.arguments import levels_like
from zoo_core.interfaces import Event, Rng, Scheduler
from zoo_ncsn_langevin.config import NCSNConfig
from zoo_ncsn_langevin.mlp import MLP
from zoo_ncsn_langevin.refinenet import RefineNet

__all__ = ["NCSN", "nearest_levels", "scalings"]


def scalings(form: Literal["score", "scaled", "edm"], sigma: Tensor, sigma_data: float) -> tuple[Tensor, Tensor, Tensor]:
    """c_skip, c_out and c_in of D(x, sigma) = c_skip x + c_out F(c_in x, sigma), of the shape of ``sigma``.

    If F is the score, or sigma times the score, D is Tweedie's x + sigma^2 s(x, sigma). ``edm`` is table 1 of Karras et al. 2022
    (arXiv:2206.00364): if x_0 has the standard deviation ``sigma_data``, then c_in x and the optimal F have variance 1.
    """
    one = torch.ones_like(sigma)
    match form:
        case "score":
            return one, sigma**2, one
        case "scaled":
            return one, sigma, one
        case "edm":
            total = sigma**2 + sigma_data**2
            return sigma_data**2 / total, sigma * sigma_data / total.sqrt(), total.rsqrt()


def nearest_levels(levels: Sequence[float], sigma: Tensor) -> Tensor:
    """The indices, int64 (n,), of the levels nearest to ``sigma`` (n,) in the logarithm; ``levels`` must increase."""
    logs = torch.tensor(levels, dtype=sigma.dtype, device=sigma.device).log()
    return ((logs[1:] + logs[:-1]) / 2 < sigma.log()[:, None]).sum(1)  # torch.searchsorted has no equivalent in ONNX


class NCSN(nn.Module):
    """A net F that gives the score of data under Gaussian noise; the config's ``form`` is its parameterisation.

        D(x, sigma) = c_skip x + c_out F(c_in x, sigma),    s(x, sigma) = (D(x, sigma) - x) / sigma^2

    A net of the form ``score`` has an embedding for each of its levels, and rounds any other sigma to the nearest of them.

    Example:
        >>> net = NCSN(NCSNConfig(shape=(2,), net="mlp", width=8))
        >>> x = torch.zeros(3, 2)
        >>> net.denoise(x, 0.5).shape, net.score(x, 0.5).shape
        (torch.Size([3, 2]), torch.Size([3, 2]))
    """

    def __init__(self, config: NCSNConfig) -> None:
        super().__init__()
        self.config = config
        self.levels = config.scheduler.sigmas(config.levels, *self.sigma_range)[-2::-1]  # increasing
        self.net = RefineNet(config) if config.net == "refinenet" else MLP(config)

    @property
    def event(self) -> Event:
        return Event(shape=self.config.shape, range=(-1.0, 1.0) if len(self.config.shape) == 3 else None)

    @property
    def sigma_range(self) -> tuple[float, float]:
        return self.config.sigma_min, self.config.sigma_max

    @property
    def scheduler(self) -> Scheduler:
        return self.config.scheduler

    def start(self, rng: Rng, sigma: float) -> Tensor:
        # At the largest level the noise hides the data, whose own variance is left out.
        return rng.normal(*self.config.shape) * sigma

    def scalings(self, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """c_skip, c_out and c_in of :func:`scalings`, in the shape of ``sigma``."""
        return scalings(self.config.form, sigma, self.config.sigma_data)

    def output(self, x: Tensor, sigma: Tensor) -> Tensor:
        """F(c_in x, sigma), of the shape and dtype of ``x`` (n, *event.shape); ``sigma`` float64 (n,)."""
        _, _, c_in = self.scalings(self.over(sigma))
        weight = next(self.net.parameters())
        return self.net((x * c_in.to(x.dtype)).to(weight.dtype), self._level(sigma, weight.dtype)).to(x.dtype)

    def denoise(self, x: Tensor, sigma: Tensor | float, labels: Tensor | None = None) -> Tensor:
        sigma = levels_like(sigma, x)
        c_skip, c_out, _ = (c.to(x.dtype) for c in self.scalings(self.over(sigma)))
        return c_skip * x + c_out * self.output(x, sigma)

    def score(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """The gradient of log p_sigma at ``x`` (n, *event.shape), of its shape and dtype; ``sigma`` float64 (n,).

        It equals (denoise - x) / sigma^2. The coefficients are divided first, so that no digits cancel at small sigma.
        """
        sigma = levels_like(sigma, x)
        sigma_ = self.over(sigma)
        c_skip, c_out, _ = self.scalings(sigma_)
        return ((c_skip - 1) / sigma_**2).to(x.dtype) * x + (c_out / sigma_**2).to(x.dtype) * self.output(x, sigma)

    def over(self, sigma: Tensor) -> Tensor:
        """``sigma`` (n,) as (n, 1, ...), against samples."""
        return sigma.view(-1, *[1] * len(self.config.shape))

    def _level(self, sigma: Tensor, dtype: torch.dtype) -> Tensor:
        """The net's conditioning, (n,): log sigma, or for RefineNets of the papers' forms the row in the tables of their norms."""
        sigma = sigma.clamp(*self.sigma_range)
        if self.config.net == "mlp" or self.config.form == "edm":
            return sigma.log().to(dtype)
        if self.config.form == "scaled":
            return torch.zeros_like(sigma, dtype=torch.int64)
        return nearest_levels(self.levels, sigma)
