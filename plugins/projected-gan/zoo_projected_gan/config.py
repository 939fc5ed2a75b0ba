"""Configs of the projected-gan family."""

from dataclasses import dataclass
from typing import Literal

from zoo_core.config import check_range
from zoo_core.errors import ConfigError
from zoo_core.interfaces import Teacher, TrainerConfig
from zoo_core.models.config import UpsamplingConfig

__all__ = ["ProjectedGANConfig", "ProjectedGANTrainerConfig"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ProjectedGANConfig(UpsamplingConfig):
    """A generator of strided transposed convolutions, as that of the family dcgan.

    Args:
        shape: shape of an image, (channels, side, side).
        latent: dimension of z.
        width: channels of the finest feature maps; each coarser stage has twice as many.
        stages: number of times that the generator doubles the side. Halves are rounded up: 4 -> 7 -> 14 -> 28.
        kernel: side of the convolutions' kernels: 5, or 4, which with a stride of 2 covers all pixels equally often, but needs even sides.

    Raises:
        ConfigError: if a value is out of range, or the stages or the kernel do not suit the side.

    Example:
        >>> ProjectedGANConfig(shape=(3, 64, 64), stages=4, kernel=4).sides
        (64, 32, 16, 8, 4)
    """


@dataclass(frozen=True, kw_only=True, slots=True)
class ProjectedGANTrainerConfig(TrainerConfig):
    """Critics that look at images through frozen features (Sauer et al. 2021, arXiv:2111.01007).

    With a teacher and a backbone, each has critics of its own (Sauer et al. 2022, arXiv:2202.00273, section 3.1).

    Args:
        teacher: checkpoint of a model with the method ``feature_maps``, such as a classifier; None for none.
        backbone: name of a net of timm, from which ``features_only`` takes the levels; empty for none.
        backbone_weights: safetensors file with the weights of that net, under timm's names; empty for random weights from ``seed``.
        backbone_sha256: digest of that file, in hex.
        backbone_side: side to which images are resized for the backbone; 0 for their own.
        levels: the levels that are used, counted from the finest one, 0; empty for all.
        mixed: channels of the finest projected level; each coarser one has twice as many, up to four times.
        seed: seed of the random projections, and of a backbone with random weights.
        loss: ``hinge`` as in the paper, or ``non-saturating``, where the outputs are logits.
        width: channels of a head's first convolution; each further one has twice as many.
        augment: differentiable augmentations of what the critics see (Zhao et al. 2020, arXiv:2006.10738).

    Raises:
        ConfigError: if a value is out of range, there is neither a teacher nor a backbone, weights have no digest, or a level or an
            augmentation is named twice.

    Example:
        >>> ProjectedGANTrainerConfig(teacher=Teacher(reference="classifier-mnist"), backbone="", levels=(1, 2)).loss
        'hinge'
    """

    teacher: Teacher | None = None
    backbone: str = "tf_efficientnet_lite0"
    backbone_weights: str = ""
    backbone_sha256: str = ""
    backbone_side: int = 0
    levels: tuple[int, ...] = ()
    mixed: int = 64
    seed: int = 0
    loss: Literal["hinge", "non-saturating"] = "hinge"
    width: int = 64
    augment: tuple[Literal["colour", "translation", "cutout"], ...] = ()

    def __post_init__(self) -> None:
        check_range(self, backbone_side=(0, 4096), levels=(0, 31), mixed=(1, 4096), seed=(0, 2**63 - 1), width=(1, 4096))
        if self.teacher is None and not self.backbone:
            raise ConfigError("the critics need frozen features", "name a teacher, a backbone, or both")
        if self.backbone_weights and not (self.backbone_weights.endswith(".safetensors") and len(self.backbone_sha256) == 64):
            raise ConfigError("backbone_weights must be a .safetensors file, and backbone_sha256 its digest of 64 hex digits")
        for name in ("levels", "augment"):
            if len(set(getattr(self, name))) < len(getattr(self, name)):
                raise ConfigError(f"{name} must name each once, not {', '.join(map(str, getattr(self, name)))}")
