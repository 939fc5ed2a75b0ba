"""The base class of denoisers: an author writes the net and the loss."""

from abc import ABC, abstractmethod
from math import log
from typing import ClassVar

import torch
from torch import Tensor, nn

from zoo_core.arguments import level_dtype, levels_like
from zoo_core.data.dataset import Batch
from zoo_core.images import is_image
from zoo_core.interfaces import Event, Rng, Scheduler
from zoo_core.models.config import DenoisingConfig

__all__ = ["DenoisingModel"]


class DenoisingModel(nn.Module, ABC):
    """A denoiser around a net F, preconditioned as in Karras et al. 2022 (arXiv:2206.00364, table 1, "EDM").

        D(x, sigma) = c_skip x + c_out F(c_in x, log(sigma) / 4)

    If the data has the standard deviation ``sigma_data``, the net's input and its optimal output have variance 1 at every sigma. A
    subclass defines :meth:`forward`, the net, and :meth:`loss`; everything else of the capabilities ``denoise`` and ``labels`` comes from
    the config. One that overrides :meth:`denoise` has another parameterisation.

    >>> class Linear(DenoisingModel):
    ...     def __init__(self, config):
    ...         super().__init__(config)
    ...         self.net = nn.Linear(3, 2)
    ...     def forward(self, x, noise, labels):
    ...         return self.net(torch.cat([x, noise[:, None]], dim=1))
    ...     def loss(self, batch, rng):
    ...         sigma = self.random_levels(rng)
    ...         error = self.denoise(self.add_noise(batch.x, sigma, rng), sigma) - batch.x
    ...         return (self.loss_weight(sigma) * error.square()).mean()
    >>> model = Linear(DenoisingConfig(shape=(2,)))
    >>> model.denoise(torch.zeros(4, 2), torch.ones(4, dtype=torch.float64)).shape
    torch.Size([4, 2])

    Attributes:
        label_dropout: share of the rows whose label :meth:`drop_labels` drops.
        num_classes: number of classes; missing from a model without labels.
    """

    label_dropout: ClassVar[float] = 0.1
    num_classes: int

    def __init__(self, config: DenoisingConfig) -> None:
        super().__init__()
        self.config = config
        if config.num_classes:
            self.num_classes = config.num_classes

    @abstractmethod
    def forward(self, x: Tensor, noise: Tensor, labels: Tensor) -> Tensor:
        """The net F, of the shape of ``x``.

        Args:
            x: scaled noisy samples, float32 (n, *config.shape).
            noise: log(sigma) / 4, float32 (n,).
            labels: classes, int64 (n,); ``config.num_classes`` for no class, and so 0 in a model without classes.
        """

    @abstractmethod
    def loss(self, batch: Batch, rng: Rng) -> Tensor:
        """The loss of a batch, (): a mean over its rows.

        Args:
            batch: samples (n, *config.shape), their labels and their places in the data.
            rng: random numbers, a row for each of the batch; the only source of randomness besides dropout.
        """

    @property
    def event(self) -> Event:
        """Shape and range of one sample: [-1, 1] for images, unbounded otherwise."""
        return Event(shape=self.config.shape, range=(-1.0, 1.0) if is_image(self.config.shape) else None)

    @property
    def sigma_range(self) -> tuple[float, float]:
        """The smallest and the largest noise level."""
        return self.config.sigma_min, self.config.sigma_max

    @property
    def scheduler(self) -> Scheduler:
        """The scheduler that samplers use by default."""
        return self.config.scheduler

    def start(self, rng: Rng, sigma: float) -> Tensor:
        """Returns sigma * eps, (rows, *config.shape): at the largest level the noise hides the data."""
        return rng.normal(*self.config.shape) * sigma

    def denoise(self, x: Tensor, sigma: Tensor | float, labels: Tensor | None = None) -> Tensor:
        """Estimates E[x_0 | x_sigma = x], of the shape and dtype of ``x``.

        Args:
            x: noisy samples (n, *config.shape).
            sigma: noise levels, float64 (n,), or one number for all rows.
            labels: classes, int64 (n,); None, or ``config.num_classes`` in a row, for the unconditional estimate.
        """
        sigma = levels_like(sigma, x)
        if labels is None:
            labels = torch.full((len(x),), self.config.num_classes, device=x.device)
        c_skip, c_out, c_in = (self.over(c) for c in self._scalings(sigma))
        dtype = next(self.parameters()).dtype
        out: Tensor = self((c_in * x).to(dtype), (sigma.log() / 4).to(dtype), labels)
        return (c_skip * x + c_out * out).to(x.dtype)

    def _scalings(self, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """c_skip, c_out and c_in, of the shape and dtype of ``sigma``."""
        total = sigma**2 + self.config.sigma_data**2
        return self.config.sigma_data**2 / total, sigma * self.config.sigma_data / total.sqrt(), total.rsqrt()

    def over(self, values: Tensor) -> Tensor:
        """Returns ``values`` (n,) as (n, 1, ...), to be multiplied with samples."""
        return values.view(-1, *[1] * len(self.config.shape))

    # For losses

    def random_levels(self, rng: Rng) -> Tensor:
        """Draws noise levels (rows,), uniform in log sigma over ``sigma_range``."""
        low, high = map(log, self.sigma_range)
        share = rng.uniform()
        return (low + (high - low) * share.to(level_dtype(share.device))).exp()

    def add_noise(self, x: Tensor, sigma: Tensor, rng: Rng) -> Tensor:
        """Returns x_sigma = x_0 + sigma * eps, of the shape and dtype of ``x``."""
        return x + self.over(sigma).to(x) * rng.normal(*self.config.shape).to(x)

    def loss_weight(self, sigma: Tensor) -> Tensor:
        """Returns 1 / c_out^2, float32 (n, 1, ...): it makes the squared error of D that of F (arXiv:2206.00364, section 5)."""
        _, c_out, _ = self._scalings(sigma)
        return self.over(c_out**-2).float()

    def drop_labels(self, labels: Tensor | None, rng: Rng) -> Tensor | None:
        """Returns labels of which a random share, :attr:`label_dropout`, is "no class": the model then learns classifier-free guidance."""
        if labels is None or not self.config.num_classes:
            return None
        return torch.where(rng.uniform() < self.label_dropout, self.config.num_classes, labels)
