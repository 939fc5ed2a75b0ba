"""Configs of the wgan-gp family."""

from dataclasses import dataclass
from typing import Literal

from zoo_core.config import check_range
from zoo_core.errors import ConfigError
from zoo_core.interfaces import ModelConfig, TrainerConfig

__all__ = ["WGANGPConfig", "WGANGPTrainerConfig"]


@dataclass(frozen=True, kw_only=True, slots=True)
class WGANGPConfig(ModelConfig):
    """A generator of images from standard normal latents (Gulrajani et al. 2017, arXiv:1704.00028); its critic has the same kind of layers.

    Args:
        shape: shape of an image, (channels, side, side).
        net: ``conv``, 5x5 convolutions of stride 2 and their transposes, as in the authors' code for MNIST; or ``resnet``, the residual
            blocks of appendix F, whose critic halves the side twice.
        latent: dimension of the latent.
        width: channels of the finest stage; ``conv`` has twice as many at each coarser stage, ``resnet`` as many at all stages.
        stages: number of times that the generator doubles the side; a ``conv`` critic halves it as often.
        norm: norm of the generator. Batch norm decodes by running statistics. The critic has no norm, because the penalty is a function of
            single rows (section 4).

    Raises:
        ConfigError: if a value is out of range, the image is not square, or its side does not suit the net and its stages.

    Example:
        >>> WGANGPConfig(shape=(1, 28, 28), width=32).stages
        3
    """

    shape: tuple[int, int, int] = (1, 28, 28)
    net: Literal["conv", "resnet"] = "conv"
    latent: int = 128
    width: int = 64
    stages: int = 3
    norm: Literal["batch", "none"] = "batch"

    def __post_init__(self) -> None:
        check_range(self, shape=(1, 1024), latent=(1, 65_536), width=(1, 2048), stages=(1, 6))
        side = self.shape[1]
        if self.shape[2] != side:
            raise ConfigError("shape must be (channels, side, side)")
        if self.net == "conv" and side <= 2**self.stages:
            raise ConfigError(f"shape must have a side above {2**self.stages}, which {self.stages} stages can halve")
        if self.net == "resnet" and side % max(4, 2**self.stages):
            raise ConfigError(f"shape must have a side that is a multiple of {max(4, 2**self.stages)}, for the stages and for the critic")


@dataclass(frozen=True, kw_only=True, slots=True)
class WGANGPTrainerConfig(TrainerConfig):
    """The dual form of the Wasserstein distance, with a critic that is constrained to be about 1-Lipschitz.

    Args:
        width: channels of the critic, counted as the model's.
        n_critic: number of steps of the critic for each step of the generator.
        constraint: ``penalty`` on the critic's gradient (arXiv:1704.00028, eq. 3), or ``clipping`` of its weights (Arjovsky et al. 2017,
            arXiv:1701.07875, algorithm 1).
        penalty_weight: weight lambda of the penalty.
        one_sided: does not penalise slopes below 1 (section 4).
        clip: bound of the absolute weights, for ``clipping``.
        generator_factor: size of the generator's batch, in batches of the critic.

    Raises:
        ConfigError: if a value is out of range.

    Example:
        >>> WGANGPTrainerConfig(constraint="clipping").clip
        0.01
    """

    width: int = 64
    n_critic: int = 5
    constraint: Literal["penalty", "clipping"] = "penalty"
    penalty_weight: float = 10.0
    one_sided: bool = False
    clip: float = 0.01
    generator_factor: int = 1

    def __post_init__(self) -> None:
        check_range(self, width=(1, 2048), n_critic=(1, 1000), penalty_weight=(0.0, 1e6), clip=(1e-6, 1e3), generator_factor=(1, 64))
