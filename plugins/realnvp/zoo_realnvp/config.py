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
        shape: of a sample: (channels, height, width) of images, (dimension,) of points.
        scales: of images. After each but the last, the image is squeezed to half its side, and half of its channels are done (section 3.6).
        couplings: of points, all of them; of images, those of each mask at each scale. The last scale has one more checkerboard (3.6).
        blocks: residual blocks of each coupling's net.
        width: channels of those nets at the first scale, doubled at each further one; or of the layers, for points.
        norm: between the couplings: ``batch`` by running statistics (section 3.7), ``act`` by an affine map that begins with the
            statistics of the first batch (Kingma & Dhariwal 2018, arXiv:1807.03039, section 3.1).
        alpha: margin of the logit of images, at both ends.
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
                raise ConfigError("shape must have two dimensions or more: a coupling changes some by what it knows of the others")
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
        shape: of a sample: (dimension,) of points, or (channels, height, width) of images, which it takes as one row of numbers.
        layers: MADEs, one after the other.
        hidden: hidden layers of each MADE.
        width: units of each hidden layer.
        order: of the dimensions from one MADE to the next: ``reverse``, or ``random``, which depends on the layer and the dimension alone.
        norm: between the MADEs: ``batch`` or ``act``, as for realnvp.
        alpha: margin of the logit of images, at both ends.
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
        scale_decay: coefficient of the sum of the squared scales of weight norm, beside the nats of a sample (arXiv:1605.08803,
            section 4.1). Only realnvp has such scales.
    """

    scale_decay: float = 5e-5

    def __post_init__(self) -> None:
        check_range(self, scale_decay=(0.0, 1e3))
