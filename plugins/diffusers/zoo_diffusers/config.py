"""Configs of the families diffusers-unet, diffusers-latent and diffusers-text."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from zoo_core.config import check_range
from zoo_core.errors import ConfigError
from zoo_core.interfaces import DiscreteScheduler, ModelConfig
from zoo_diffusers.schedulers import Diffusers

__all__ = ["DiffusersLatentConfig", "DiffusersTextConfig", "DiffusersUNetConfig", "Prediction", "TextConfig"]

Prediction = Literal["epsilon", "sample", "v_prediction"]
"""What a net predicts: the noise eps, the clean sample x_0, or v = sqrt(abar) eps - sqrt(1 - abar) x_0."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DiffusersUNetConfig(ModelConfig):
    """A ``UNet2DModel`` of diffusers.

    Args:
        unet: its config, as in unet/config.json.
        scheduler: the noise levels of training.
        prediction: the net's output.

    Raises:
        ConfigError: if the shape of a sample is missing or out of range.

    Example:
        >>> DiffusersUNetConfig(unet={"sample_size": 32}).shape
        (3, 32, 32)
    """

    unet: Mapping[str, Any]
    scheduler: DiscreteScheduler = Diffusers()
    prediction: Prediction = "epsilon"

    def __post_init__(self) -> None:
        shape_of(self.unet)

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of a sample, (channels, height, width)."""
        return shape_of(self.unet)


@dataclass(frozen=True, kw_only=True, slots=True)
class DiffusersLatentConfig(ModelConfig):
    """A ``UNet2DModel`` in the latents of an autoencoder of diffusers.

    Args:
        first_stage: config of the autoencoder, as in vqvae/config.json or vae/config.json.
        first_stage_class: its class.
        prior: the model of latents.

    Raises:
        ConfigError: if the autoencoder's levels or channels are out of range.

    Example:
        >>> prior = DiffusersUNetConfig(unet={"sample_size": 8})
        >>> DiffusersLatentConfig(first_stage={"block_out_channels": [8, 8, 8]}, first_stage_class="VQModel", prior=prior).shape
        (3, 32, 32)
    """

    first_stage: Mapping[str, Any]
    first_stage_class: Literal["AutoencoderKL", "VQModel"] = "AutoencoderKL"
    prior: DiffusersUNetConfig

    def __post_init__(self) -> None:
        decoded_shape(self.first_stage, self.prior.shape)

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of a sample, (channels, height, width)."""
        return decoded_shape(self.first_stage, self.prior.shape)


@dataclass(frozen=True, kw_only=True, slots=True)
class TextConfig:
    """CLIP's text encoder and the tables of its tokenizer.

    Args:
        vocab_size: number of tokens.
        hidden_size: width of the hidden states.
        layers, heads: number of layers, and of heads of attention.
        intermediate_size: width of the perceptrons.
        positions: number of tokens of a text.
        activation: of the perceptrons.
        eps: added to variances in norms.
        start, end, pad: the tokens at the start and at the end of a text, and those that fill it up.
        table_bytes: size of the tokenizer's tables, as bytes of JSON.

    Raises:
        ConfigError: if a value is out of range, or the heads do not divide the width.

    Example:
        >>> TextConfig(vocab_size=49408, table_bytes=10).positions
        77
    """

    vocab_size: int
    table_bytes: int
    hidden_size: int = 768
    layers: int = 12
    heads: int = 12
    intermediate_size: int = 3072
    positions: int = 77
    activation: Literal["quick_gelu", "gelu"] = "quick_gelu"
    eps: float = 1e-5
    start: int = 49406
    end: int = 49407
    pad: int = 49407

    def __post_init__(self) -> None:
        check_range(self, vocab_size=(1, 10**7), table_bytes=(1, 10**8), hidden_size=(1, 65_536), layers=(0, 1000), heads=(1, 1024))
        check_range(self, intermediate_size=(1, 10**6), positions=(2, 10**5), eps=(0.0, 1.0))
        check_range(self, start=(0, self.vocab_size - 1), end=(0, self.vocab_size - 1), pad=(0, self.vocab_size - 1))
        if self.hidden_size % self.heads:
            raise ConfigError(f"hidden_size must be a multiple of heads, not {self.hidden_size} with {self.heads}")


@dataclass(frozen=True, kw_only=True, slots=True)
class DiffusersTextConfig(ModelConfig):
    """A ``UNet2DConditionModel`` in the latents of an ``AutoencoderKL``, with the text encoder whose hidden states it attends to.

    Args:
        unet: its config, as in unet/config.json.
        scheduler: the noise levels of training.
        prediction: the net's output.
        first_stage: config of the autoencoder, as in vae/config.json.
        text: the text encoder.

    Raises:
        ConfigError: if a shape is missing or out of range, or the net takes more than the hidden states of one text encoder.

    Example:
        >>> unet = {"sample_size": 64, "in_channels": 4, "cross_attention_dim": 768}
        >>> stage = {"block_out_channels": [8] * 4}
        >>> DiffusersTextConfig(unet=unet, first_stage=stage, text=TextConfig(vocab_size=49408, table_bytes=9)).shape
        (3, 512, 512)
    """

    unet: Mapping[str, Any]
    scheduler: DiscreteScheduler = Diffusers()
    prediction: Prediction = "epsilon"
    first_stage: Mapping[str, Any]
    text: TextConfig

    def __post_init__(self) -> None:
        decoded_shape(self.first_stage, self.latent_shape)
        for key in ("addition_embed_type", "class_embed_type", "encoder_hid_dim_type", "num_class_embeds", "time_cond_proj_dim"):
            if self.unet.get(key) is not None:
                hint = "name a checkpoint with one text encoder, such as Stable Diffusion 1 or 2"
                raise ConfigError(f"unet.{key} asks for more than the hidden states of a text, which the bridge does not read", hint)
        width = self.unet.get("cross_attention_dim", 1280)
        if width != self.text.hidden_size:
            raise ConfigError(f"unet.cross_attention_dim is {str(width)[:40]}, and the text encoder's width {self.text.hidden_size}")

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """The shape of a latent, (channels, height, width)."""
        return shape_of({"in_channels": 4, **self.unet})

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of a sample, (channels, height, width)."""
        return decoded_shape(self.first_stage, self.latent_shape)


def decoded_shape(first_stage: Mapping[str, Any], latent: tuple[int, int, int]) -> tuple[int, int, int]:
    """The shape of a sample: its side is that of a latent, doubled by each level of the autoencoder after the first.

    Raises:
        ConfigError: if the autoencoder's levels or channels are out of range.
    """
    levels = first_stage.get("block_out_channels", [64])
    if not isinstance(levels, list | tuple) or not 1 <= len(levels) <= 8:
        raise ConfigError("first_stage.block_out_channels must be 1 to 8 numbers")
    factor = 2 ** (len(levels) - 1)
    _, height, width = latent
    return checked("first_stage.out_channels", first_stage.get("out_channels", 3), 1024), height * factor, width * factor


def shape_of(unet: Mapping[str, Any]) -> tuple[int, int, int]:
    """The shape of a sample of a net, (channels, height, width).

    Raises:
        ConfigError: if it is missing or out of range.
    """
    size = unet.get("sample_size")
    sides = size if isinstance(size, list | tuple) and len(size) == 2 else (size, size)
    height, width = (checked("unet.sample_size", side, 16_384) for side in sides)
    return checked("unet.in_channels", unet.get("in_channels", 3), 1024), height, width


def checked(name: str, value: object, most: int) -> int:
    """A whole number of 1 ... ``most``.

    Raises:
        ConfigError: if it is something else.
    """
    if type(value) is not int or not 1 <= value <= most:
        raise ConfigError(f"{name} must be a whole number of 1 to {most}, not {str(value)[:40]!r}")
    return value
