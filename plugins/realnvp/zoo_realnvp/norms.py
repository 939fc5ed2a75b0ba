"""Norms between the layers of a flow: an affine map for each channel, that of its inverse and Jacobian too."""

from abc import abstractmethod
from math import prod

import torch
from torch import Tensor, nn

from zoo_realnvp.bijection import Bijection

__all__ = ["ActNorm", "Norm", "RunningNorm", "initialise", "norm"]


class Norm(Bijection):
    """A bijection that can be set so that its output for a batch has mean 0 and variance 1 in every channel."""

    @abstractmethod
    def initialise(self, x: Tensor) -> None:
        """Sets it for the batch ``x`` (n, channels, ...)."""


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Variance and mean of each channel, (channels,)."""
    return torch.var_mean(x, dim=[0, *range(2, x.ndim)], correction=0)


def _over(values: Tensor, x: Tensor) -> Tensor:
    """(channels,) as (channels, 1, ...), against ``x`` (n, channels, ...)."""
    return values.view(-1, *[1] * (x.ndim - 2))


def _volume(log_scale: Tensor, x: Tensor) -> Tensor:
    return (log_scale.sum() * prod(x.shape[2:])).expand(len(x))


class RunningNorm(Norm):
    """Batch norm by running statistics, in training too (Dinh et al. 2017, arXiv:1605.08803, section 3.7 and appendix E).

    Each training batch first moves the statistics by ``momentum`` towards its own, through which alone gradients flow, and is then
    normalised by them. So the log-likelihood that training reports is that of the map that is kept, and a density at all.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, channels: int, momentum: float = 0.1, eps: float = 1e-5) -> None:
        super().__init__()
        self.momentum, self.eps = momentum, eps
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.ones(channels))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, variance = self.mean, self.variance
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

    Nothing but ``initialise`` looks at a batch: weights that were loaded stay what they are.
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


def norm(name: str, channels: int) -> Norm:
    """The norm that a config calls ``batch`` or ``act``."""
    return {"batch": RunningNorm, "act": ActNorm}[name](channels)


def initialise(flow: nn.Module, x: Tensor) -> None:
    """Sets every norm of a flow, in the order of the pass, for what of the batch ``x`` comes to it. Call it without gradients."""

    def first(module: nn.Module, given: tuple[Tensor]) -> None:
        assert isinstance(module, Norm)
        module.initialise(*given)

    hooks = [module.register_forward_pre_hook(first) for module in flow.modules() if isinstance(module, Norm)]
    try:
        flow(x)
    finally:
        for hook in hooks:
            hook.remove()
