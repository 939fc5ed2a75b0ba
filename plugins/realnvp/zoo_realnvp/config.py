"""Configs of the families realnvp and maf."""

from dataclasses import dataclass
from typing import Literal

from zoo_core.config import check_range
from zoo_core.errors import ConfigError
from zoo_core.interfaces import ModelConfig, TrainerConfig

__all__ = ["FlowTrainerConfig", "MAFConfig", "RealNVPConfig"]


@dataclass(frozen=True, kw_only=True, slots=True)
class RealNVPConfig(ModelConfig):
    """A flow of affine couplings (Dinh et al. 2017, arXiv:1605.08803).

    Args:
        shape: shape of a sample: (channels, height, width) of images, (dimension,) of points.
        scales: number of scales, for images. After each but the last, images are squeezed to half their side, and half of the channels are
            factored out (section 3.6).
        couplings: number of all couplings, for points; for images, of those with each mask at each scale, and one more with a checkerboard
            at the last (section 3.6).
        blocks: residual blocks of each coupling's net.
        width: channels of those nets at the first scale, doubled at each further one; for points, width of their layers.
        norm: norm between the couplings: ``batch`` uses running statistics (section 3.7), ``act`` is an affine map that is initialised from
            the first batch (Kingma & Dhariwal 2018, arXiv:1807.03039, section 3.1).
        alpha: margin of the logit of images, at both ends.

    Raises:
        ConfigError: if a value is out of range, or the shape does not suit couplings or scales.

    Example:
        >>> RealNVPConfig(shape=(2,), couplings=6, width=64).norm
        'batch'
    """

    shape: tuple[int, ...] = (3, 32, 32)
    scales: int = 2
    couplings: int = 3
    blocks: int = 2
    width: int = 32
    norm: Literal["batch", "act"] = "batch"
    alpha: float = 0.05

    def __post_init__(self) -> None:
        check_range(self, shape=(1, 4096), scales=(1, 8), couplings=(1, 1024), blocks=(0, 64), width=(1, 4096), alpha=(1e-6, 0.4))
        if len(self.shape) == 1:
            if self.shape[0] < 2:
                raise ConfigError("shape must have two dimensions or more: a coupling transforms some of them given the others")
        elif len(self.shape) == 3:
            times = 2 ** (self.scales - 1)
            if any(side % times or side < 2 * times for side in self.shape[1:]):
                raise ConfigError(f"shape must have sides of {2 * times} or more that halve {self.scales - 1} times")
        else:
            raise ConfigError("shape must be (channels, height, width) of images, or (dimension,) of points")


@dataclass(frozen=True, kw_only=True, slots=True)
class MAFConfig(ModelConfig):
    """A masked autoregressive flow (Papamakarios et al. 2017, arXiv:1705.07057).

    Args:
        shape: shape of a sample: (dimension,) of points, or (channels, height, width) of images, which are flattened.
        layers: number of MADEs.
        hidden: number of hidden layers of each MADE.
        width: units of each hidden layer.
        order: permutation of the dimensions between two MADEs: ``reverse``, or ``random``, which depends only on the layer and the number
            of dimensions.
        norm: norm between the MADEs: ``batch`` or ``act``, as for realnvp.
        alpha: margin of the logit of images, at both ends.

    Raises:
        ConfigError: if a value is out of range, or the shape is neither of images nor of points.

    Example:
        >>> MAFConfig(shape=(2,), layers=8).order
        'reverse'
    """

    shape: tuple[int, ...] = (2,)
    layers: int = 5
    hidden: int = 2
    width: int = 64
    order: Literal["reverse", "random"] = "reverse"
    norm: Literal["batch", "act"] = "batch"
    alpha: float = 0.05

    def __post_init__(self) -> None:
        check_range(self, shape=(1, 4096), layers=(1, 256), hidden=(1, 16), width=(1, 16_384), alpha=(1e-6, 0.4))
        if len(self.shape) not in (1, 3):
            raise ConfigError("shape must be (channels, height, width) of images, or (dimension,) of points")


@dataclass(frozen=True, kw_only=True, slots=True)
class FlowTrainerConfig(TrainerConfig):
    """Maximum likelihood; images are dequantised with uniform noise.

    Args:
        scale_decay: coefficient of the sum of the squared scales of weight norm, added to the nats of a sample (arXiv:1605.08803,
            section 4.1). Only realnvp has such scales.

    Raises:
        ConfigError: if scale_decay is out of range.

    Example:
        >>> FlowTrainerConfig(scale_decay=0.0).scale_decay
        0.0
    """

    scale_decay: float = 5e-5

    def __post_init__(self) -> None:
        check_range(self, scale_decay=(0.0, 1e3))
