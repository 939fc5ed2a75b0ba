"""Norms between the layers of a flow: invertible affine maps of each channel."""

from abc import abstractmethod
from math import prod

import torch
from torch import Tensor, nn

from zoo_realnvp.bijection import Bijection

__all__ = ["ActNorm", "Norm", "RunningNorm", "initialise", "make_norm"]


class Norm(Bijection):
    """Base of affine bijections that can be initialised from a batch.

    Example:
        >>> norm = make_norm("batch", channels=2)
        >>> with torch.no_grad():
        ...     norm.initialise(torch.tensor([[1.0, 2.0], [3.0, 6.0]]))
        >>> norm.eval()(torch.tensor([[2.0, 4.0]]))[0].tolist()
        [[0.0, 0.0]]
    """

    @abstractmethod
    def initialise(self, x: Tensor) -> None:
        """Sets the map so that its outputs for ``x`` (n, channels, ...) have mean 0 and variance 1 in every channel."""


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Variance and mean of each channel, (channels,)."""
    return torch.var_mean(x, dim=[0, *range(2, x.ndim)], correction=0)


def _over(values: Tensor, x: Tensor) -> Tensor:
    """``values`` (channels,) as (channels, 1, ...), to broadcast against ``x`` (n, channels, ...)."""
    return values.view(-1, *[1] * (x.ndim - 2))


def _volume(log_scale: Tensor, x: Tensor) -> Tensor:
    return (log_scale.sum() * prod(x.shape[2:])).expand(len(x))


class RunningNorm(Norm):
    """Batch norm by running statistics, in train mode too (Dinh et al. 2017, arXiv:1605.08803, section 3.7 and appendix E).

    Each training batch first moves the statistics by ``momentum`` towards its own, and is then normalised by them; gradients flow through
    its own statistics only. So training reports the log-likelihood of the very map that is kept; with the batch's own statistics it would
    be no density.

    Args:
        channels: number of channels.
        momentum: weight of the batch's statistics, in [0, 1].
        eps: number added to the variances.

    Example:
        >>> norm = RunningNorm(2).eval()
        >>> torch.allclose(norm.inverse(norm(torch.ones(3, 2))[0]), torch.ones(3, 2))
        True
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, channels: int, momentum: float = 0.1, eps: float = 1e-5) -> None:
        super().__init__()
        self.momentum = momentum
        self.eps = eps
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.ones(channels))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean = self.mean
        variance = self.variance
        if self.training:
            batch_variance, batch_mean = _moments(x)
            mean = mean + self.momentum * (batch_mean - mean)
            variance = variance + self.momentum * (batch_variance - variance)
            self.mean.copy_(mean.detach())
            self.variance.copy_(variance.detach())
        log_scale = -0.5 * (variance + self.eps).log()
        return (x - _over(mean, x)) * _over(log_scale.exp(), x), _volume(log_scale, x)

    def inverse(self, y: Tensor) -> Tensor:
        return y * _over((self.variance + self.eps).sqrt(), y) + _over(self.mean, y)

    def initialise(self, x: Tensor) -> None:
        variance, mean = _moments(x)
        self.mean.copy_(mean)
        self.variance.copy_(variance)


class ActNorm(Norm):
    """y = (x - mean) exp(log_scale), learned (Kingma & Dhariwal 2018, arXiv:1807.03039, section 3.1).

    Only ``initialise`` depends on a batch: loaded weights are not changed by the first one.

    Example:
        >>> norm = ActNorm(2)
        >>> with torch.no_grad():
        ...     norm.initialise(torch.tensor([[1.0, 2.0], [3.0, 6.0]]))
        >>> norm.mean.tolist()
        [2.0, 4.0]
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(channels))
        self.log_scale = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return (x - _over(self.mean, x)) * _over(self.log_scale.exp(), x), _volume(self.log_scale, x)

    def inverse(self, y: Tensor) -> Tensor:
        return y * _over((-self.log_scale).exp(), y) + _over(self.mean, y)

    def initialise(self, x: Tensor) -> None:
        variance, mean = _moments(x)
        self.mean.copy_(mean)
        self.log_scale.copy_(-0.5 * (variance + 1e-5).log())


def make_norm(name: str, channels: int) -> Norm:
    """A norm by its name in a config, ``batch`` or ``act``."""
    return {"batch": RunningNorm, "act": ActNorm}[name](channels)


def initialise(flow: nn.Module, x: Tensor) -> None:
    """Initialises every norm of a flow from its inputs in one pass of the batch ``x``, in order. Call it under ``torch.no_grad``."""

    def hook(module: nn.Module, inputs: tuple[Tensor]) -> None:
        assert isinstance(module, Norm)
        module.initialise(*inputs)

    handles = [module.register_forward_pre_hook(hook) for module in flow.modules() if isinstance(module, Norm)]
    try:
        flow(x)
    finally:
        for handle in handles:
            handle.remove()
