"""Configs of the wgan-gp family."""

from dataclasses import dataclass
from typing import Literal

from zoo_core.config import check_range
from zoo_core.errors import ConfigError
from zoo_core.interfaces import ModelConfig, TrainerConfig

__all__ = ["WGANGPConfig", "WGANGPTrainerConfig"]


@dataclass(frozen=True, kw_only=True, slots=True)
class WGANGPConfig(ModelConfig):
    """A generator of images from standard normal latents (Gulrajani et al. 2017, arXiv:1704.00028). Its critic is of the same kind.

    Args:
        shape: (channels, side, side).
        net: ``conv``, 5x5 convolutions of stride 2 and their transposes, as in the authors' code for MNIST; or ``resnet``, the residual
            blocks of appendix F, whose critic halves the side twice.
        latent: dimension of the latent.
        width: channels at the finest stage; ``conv`` has twice as many at each coarser one, ``resnet`` as many everywhere.
        stages: how often the generator doubles the side; a ``conv`` critic halves it as often.
        norm: of the generator. Batch norm decodes by running statistics. A critic has none: its penalty is of each row alone (section 4).
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
    """The Wasserstein distance's dual, between a generator and a critic that is kept about 1-Lipschitz.

    Args:
        width: of the critic, as that of the model.
        n_critic: a step trains the critic, and every so many-th step the generator too.
        constraint: ``penalty``, of the critic's gradient (arXiv:1704.00028, eq. 3); or ``clipping``, of its weights (Arjovsky et al. 2017,
            arXiv:1701.07875, algorithm 1).
        penalty_weight: lambda.
        one_sided: whether slopes below 1 cost nothing (section 4).
        clip: weights are clipped to [-clip, clip].
        generator_factor: the generator's batch, in batches of the critic.
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
