"""Configs of the inpainting-gan family."""

from dataclasses import dataclass
from typing import Literal

from zoo_core.config import check_range
from zoo_core.errors import ConfigError
from zoo_core.interfaces import ModelConfig, TrainerConfig
from zoo_core.models.config import UNetConfig

__all__ = ["HOLES", "InpaintingGANConfig", "InpaintingGANTrainerConfig", "net_config"]

HOLES: tuple[Literal["half", "box", "strokes"], ...] = ("half", "box", "strokes")


@dataclass(frozen=True, kw_only=True, slots=True)
class InpaintingGANConfig(ModelConfig):
    """A U-Net that sees the known part of an image and its mask.

    >>> InpaintingGANConfig(image_size=16, multipliers=(1, 2)).channels
    3

    Args:
        image_size: side of the square images.
        channels: number of channels of an image.
        dim: width of the first level of the net, see :class:`zoo_core.models.config.UNetConfig`.
        multipliers: widths of its levels as multiples of ``dim``.
        blocks: residual blocks of each level.
        attention: sides of the levels with softmax attention.

    Raises:
        ConfigError: if a value is out of range, or image_size and multipliers do not fit.
    """

    image_size: int = 32
    channels: int = 3
    dim: int = 24
    multipliers: tuple[int, ...] = (1, 2, 4)
    blocks: int = 1
    attention: tuple[int, ...] = (8,)

    def __post_init__(self) -> None:
        check_range(self, image_size=(4, 4096), channels=(1, 64))
        net_config(self)


def net_config(config: InpaintingGANConfig) -> UNetConfig:
    """The config of the net, whose inputs are the channels of an image and a mask.

    >>> net_config(InpaintingGANConfig()).channels
    4
    """
    return UNetConfig(
        image_size=config.image_size,
        channels=config.channels + 1,
        dim=config.dim,
        multipliers=config.multipliers,
        blocks=config.blocks,
        attention=config.attention,
        linear_attention=(),
        heads=4 if config.dim % 4 == 0 else 1,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class InpaintingGANTrainerConfig(TrainerConfig):
    """The weight and the kind of the adversarial loss, and the holes.

    >>> InpaintingGANTrainerConfig(adversarial=0.0).loss
    'non-saturating'

    Args:
        adversarial: weight lambda of the adversarial loss beside the squared error on the hidden pixels; 0 for the squared error alone.
        loss: adversarial loss, see :data:`zoo_core.training.adversarial.LOSSES`.
        critic_width: channels of the first convolution of the critic of patches.
        penalty: weight gamma of R1, gamma / 2 times the squared gradient of the critic at real images (Mescheder et al. 2018,
            arXiv:1801.04406, eq. 9).
        holes: kinds of holes that are drawn: ``half`` of the image, a ``box``, or freehand ``strokes``.

    Raises:
        ConfigError: if a value is out of range, or there is no kind of hole.
    """

    adversarial: float = 0.01
    loss: Literal["non-saturating", "hinge", "least-squares"] = "non-saturating"
    critic_width: int = 32
    penalty: float = 0.1
    holes: tuple[Literal["half", "box", "strokes"], ...] = HOLES

    def __post_init__(self) -> None:
        check_range(self, adversarial=(0.0, 1000.0), critic_width=(1, 4096), penalty=(0.0, 1000.0))
        if not self.holes:
            raise ConfigError("holes must name at least one kind", f"choose among {', '.join(HOLES)}")
