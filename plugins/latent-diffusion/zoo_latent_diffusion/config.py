"""Configs of the families kl-autoencoder and latent-diffusion, and of their trainers."""

from dataclasses import dataclass

from zoo_core.config import check_range
from zoo_core.errors import ConfigError
from zoo_core.interfaces import ModelConfig, Teacher, TrainerConfig

__all__ = ["AutoencoderConfig", "AutoencoderTrainerConfig", "LatentDiffusionConfig", "LatentDiffusionTrainerConfig"]


@dataclass(frozen=True, kw_only=True, slots=True)
class AutoencoderConfig(ModelConfig):
    """An autoencoder of images whose latents are smaller images: q(z | x) = N(mu(x), diag sigma(x)^2), and a decoder.

    Args:
        image_size: side of the square images; a multiple of ``factor``.
        channels: number of channels of an image.
        latent_channels: number of channels of a latent.
        patch: side of the blocks of pixels that are folded into channels before the first convolution, and unfolded after the last one
            (Shi et al. 2016, arXiv:1609.05158); 1 for none.
        width: channels of the first level; level i has width * multipliers[i] and half the side of level i - 1.
        multipliers: see ``width``.
        blocks: residual blocks of each level; the decoder has one more.

    Raises:
        ConfigError: if a value is out of range, or the image's side is no multiple of ``factor``.

    Example:
        >>> config = AutoencoderConfig(image_size=64, patch=2, multipliers=(1, 2))
        >>> config.factor, config.latent_shape
        (4, (4, 16, 16))
    """

    image_size: int = 64
    channels: int = 3
    latent_channels: int = 4
    patch: int = 2
    width: int = 40
    multipliers: tuple[int, ...] = (1, 2)
    blocks: int = 1

    def __post_init__(self) -> None:
        check_range(self, image_size=(1, 4096), channels=(1, 64), latent_channels=(1, 1024), patch=(1, 16))
        check_range(self, width=(1, 4096), multipliers=(1, 64), blocks=(1, 32))
        if not 1 <= len(self.multipliers) <= 8:
            raise ConfigError(f"multipliers must be 1 to 8 numbers, not {len(self.multipliers)}")
        if self.image_size % self.factor:
            raise ConfigError(f"image_size must be a multiple of {self.factor}, by which the side of a latent is smaller")

    @property
    def factor(self) -> int:
        """The side of an image over that of its latent."""
        return self.patch << (len(self.multipliers) - 1)

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """The shape of a latent, (channels, side, side)."""
        side = self.image_size // self.factor
        return self.latent_channels, side, side


@dataclass(frozen=True, kw_only=True, slots=True)
class AutoencoderTrainerConfig(TrainerConfig):
    """The terms of the loss, each a mean over the values of an image.

    Args:
        kl: weight of KL(q(z | x) || N(0, I)), in nats for each value of the image.
        features: checkpoint of a model with the capability ``features``, in whose activations images and reconstructions are compared;
            None for no such term. Images larger than that model's own are compared at a random square of its size.
        layers: names of the submodules of that model whose outputs are compared, pixel by pixel; if empty, its features are.
        feature_weight: weight of that comparison.
        critic_weight: weight of the adversarial term; 0 trains no critic.
        critic_from: step from which the critic is trained and its term counts.
        critic_width: channels of the critic's first convolution.

    Raises:
        ConfigError: if a value is out of range, or layers are given without a model.

    Example:
        >>> AutoencoderTrainerConfig(critic_weight=0.0).kl
        1e-06
    """

    kl: float = 1e-6
    features: Teacher | None = None
    layers: tuple[str, ...] = ()
    feature_weight: float = 0.5
    critic_weight: float = 0.1
    critic_from: int = 2000
    critic_width: int = 32

    def __post_init__(self) -> None:
        check_range(self, kl=(0.0, 1e6), feature_weight=(0.0, 1e6), critic_weight=(0.0, 1e6))
        check_range(self, critic_from=(0, 10**9), critic_width=(1, 4096))
        if self.layers and self.features is None:
            raise ConfigError("layers are those of trainer.features: name a checkpoint, or leave layers out")


@dataclass(frozen=True, kw_only=True, slots=True)
class LatentDiffusionConfig(ModelConfig):
    """Two models of any installed families: one that encodes samples and decodes latents, and one that denoises latents.

    Args:
        first_stage: config of a model with the capabilities ``encode`` and ``decode``.
        prior: config of a model with the capability ``denoise``, whose samples have the shape of the first stage's latents.

    Example:
        >>> from zoo_core.config import decode
        >>> prior = decode(ModelConfig, {"name": "ncsn-langevin", "shape": [4, 16, 16]})
        >>> LatentDiffusionConfig(prior=prior).first_stage.factor
        4
    """

    first_stage: ModelConfig = AutoencoderConfig()
    prior: ModelConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class LatentDiffusionTrainerConfig(TrainerConfig):
    """The checkpoint of the first stage, and the trainer of the prior.

    Args:
        first_stage: checkpoint with the config ``model.first_stage``, whose weights a new run begins with; a run that begins with the
            weights of a latent-diffusion checkpoint needs none.
        prior: config of a trainer that can train the prior; None for the own trainer of its family, with its defaults.

    Example:
        >>> LatentDiffusionTrainerConfig(first_stage=Teacher(reference="local:runs/first")).prior is None
        True
    """

    first_stage: Teacher | None = None
    prior: TrainerConfig | None = None
