"""Text to image in latents: a ``UNet2DConditionModel`` of diffusers, CLIP's text encoder and an ``AutoencoderKL``."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from zoo_core.arguments import levels_like
from zoo_core.errors import ConfigError
from zoo_core.interfaces import Denoiser, DiscreteScheduler, Event, Rng
from zoo_core.samplers.wrappers import DenoiserWrapper
from zoo_diffusers.clip import ClipText
from zoo_diffusers.config import DiffusersTextConfig
from zoo_diffusers.latent import FirstStage
from zoo_diffusers.library import module_of
from zoo_diffusers.noise import LevelTimes, clean

__all__ = ["DiffusersText"]


class _TextDenoiser(nn.Module):
    """A denoiser of latents that attends to the hidden states of a text; without a condition, to those of the empty text.

    Args:
        config: config of the whole model.
    """

    def __init__(self, config: DiffusersTextConfig) -> None:
        super().__init__()
        self.config = config
        self.event = Event(shape=config.latent_shape)
        self.times = LevelTimes(config.scheduler.levels)
        self.net = module_of("UNet2DConditionModel", config.unet)
        self.text = ClipText(config.text)

    @property
    def sigma_range(self) -> tuple[float, float]:
        return self.times.levels[0], self.times.levels[-1]

    @property
    def scheduler(self) -> DiscreteScheduler:
        return self.config.scheduler

    def start(self, rng: Rng, sigma: float) -> Tensor:
        return rng.normal(*self.event.shape) * (1 + sigma**2) ** 0.5

    def denoise(self, x: Tensor, sigma: Tensor | float, labels: Tensor | None = None) -> Tensor:
        return self.given(x, levels_like(sigma, x), self.text.empty())

    def given(self, x: Tensor, sigma: Tensor, hidden: Tensor) -> Tensor:
        """The estimate for hidden states of texts (n, positions, hidden_size), or of one text for all rows."""
        over = sigma.view(-1, 1, 1, 1)
        dtype = next(self.net.parameters()).dtype
        x_t = (x * (1 + over**2).rsqrt().to(x.dtype)).to(dtype)
        states = hidden.to(dtype).expand(len(x), -1, -1)
        out: Tensor = self.net(x_t, self.times(sigma), encoder_hidden_states=states, return_dict=False)[0]
        return clean(self.config.prediction, x, over, out[:, : x.shape[1]].to(x.dtype))


class _Prompted(DenoiserWrapper):
    """The denoiser of latents given texts, one for each row.

    Args:
        model: the denoiser of latents.
        hidden: hidden states of the texts, (n, positions, hidden_size).
    """

    def __init__(self, model: _TextDenoiser, hidden: Tensor) -> None:
        super().__init__(cast(Denoiser, model))
        self.hidden = hidden

    def denoise(self, x: Tensor, sigma: Tensor, labels: Tensor | None = None) -> Tensor:
        return cast(_TextDenoiser, self.model).given(x, levels_like(sigma, x), self.hidden)


class DiffusersText(nn.Module):
    """Samples x = decode(z), where a net denoises z given the hidden states of a text (Rombach et al. 2022, arXiv:2112.10752).

    A condition is what the text encoder says of one text: ``prompt_conditions`` computes it. Without one, the text is empty.

    Example:
        >>> from zoo_diffusers.config import TextConfig
        >>> blocks = {"down_block_types": ["CrossAttnDownBlock2D"], "up_block_types": ["CrossAttnUpBlock2D"], "block_out_channels": [8]}
        >>> unet = {**blocks, "sample_size": 4, "cross_attention_dim": 8, "attention_head_dim": 4, "norm_num_groups": 4}
        >>> text = TextConfig(vocab_size=9, table_bytes=4, hidden_size=8, layers=1, heads=2, positions=6, start=0, end=1, pad=1)
        >>> stage = {"latent_channels": 4, "block_out_channels": [8], "norm_num_groups": 4}
        >>> model = DiffusersText(DiffusersTextConfig(unet=unet, first_stage=stage, text=text))
        >>> model.latent.event.shape, model.condition_event.shape
        ((4, 4, 4), (6, 8))

    Raises:
        ConfigError: if the parts do not fit each other.
    """

    def __init__(self, config: DiffusersTextConfig) -> None:
        super().__init__()
        self.config = config
        self.latent = _TextDenoiser(config)
        self.first_stage = FirstStage("AutoencoderKL", config.first_stage)
        self.event = Event(shape=config.shape, range=(-1.0, 1.0))
        self.condition_event = Event(shape=(config.text.positions, config.text.hidden_size))
        channels = cast(Any, self.first_stage.net).config.latent_channels
        if channels != config.latent_shape[0]:
            what = f"the latents have {channels} channels, and the net of latents {config.latent_shape[0]}"
            raise ConfigError(what, "a net for inpainting, with further channels, is not read")

    def conditioned(self, condition: Tensor, rng: Rng) -> Denoiser:
        return _Prompted(self.latent, condition)

    @torch.no_grad()
    def prompt_conditions(self, prompts: Sequence[str]) -> Tensor:
        """Conditions, float32 (n, *condition_event.shape), of texts.

        Raises:
            UsageError: if a text is too long.
        """
        return self.latent.text.encode(prompts)

    def encode(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.first_stage.encode(x)

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.first_stage.decode(z)
