"""Latent diffusion (Rombach et al. 2022, arXiv:2112.10752): a denoiser of the latents of an autoencoder."""

from typing import Any, cast

import torch
from torch import Tensor, nn

from zoo_core.capabilities import lacking
from zoo_core.checkpoint.build import model_of
from zoo_core.errors import ConfigError
from zoo_core.interfaces import Conditional, Decoder, Denoiser, Encoder, Event, Rng
from zoo_core.samplers.wrappers import DenoiserWrapper
from zoo_latent_diffusion.config import LatentDiffusionConfig

__all__ = ["LatentDiffusion", "Latents", "latent_shape"]


class Latents(DenoiserWrapper):
    """A denoiser of latents: the prior, whose event has no range here, since latents are no images and must not be clamped.

    >>> from zoo_core.testing.fake import FakeDenoiser
    >>> from zoo_core.testing.fake_config import FakeDenoiserConfig
    >>> Latents(FakeDenoiser(FakeDenoiserConfig(bounded=True))).event
    Event(shape=(2,), range=None, categories=None)
    """

    def __init__(self, model: Denoiser) -> None:
        super().__init__(model)
        self.event = Event(shape=model.event.shape)

    @property
    def guidance_embeds(self) -> bool:
        """Whether the prior's net takes the scale of classifier-free guidance."""
        return bool(getattr(self.model, "guidance_embeds", False))

    def denoise(self, x: Tensor, sigma: Tensor, labels: Tensor | None = None, **guidance: Any) -> Tensor:
        estimate: Tensor = cast(Any, self.model).denoise(x, sigma, labels, **guidance)
        return estimate


_OF_CONDITIONS = frozenset({"condition_event", "conditioned", "example_conditions", "example_prompts", "prompt_conditions", "vocabulary"})
"""Members of models with the capability ``condition``, which a latent-diffusion model has if its prior has them."""


class _Zeros:
    """An Rng of one row that draws zeros on a device, which may be ``meta``, where a model is built without weights."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def __len__(self) -> int:
        return 1

    def normal(self, *shape: int) -> Tensor:
        return torch.zeros(1, *shape, device=self.device)

    uniform = normal

    def integers(self, low: int, high: int, *shape: int) -> Tensor:
        return torch.full((1, *shape), low, device=self.device)


def latent_shape(first_stage: nn.Module) -> tuple[int, ...]:
    """The shape of a latent of a model with the capability ``decode``.

    >>> from zoo_core.testing.fake import Fake
    >>> from zoo_core.testing.fake_config import FakeConfig
    >>> latent_shape(Fake(FakeConfig(shape=(3, 8, 8))))
    (3, 8, 8)
    """
    with torch.no_grad():
        return tuple(cast(Decoder, first_stage).prior(_Zeros(next(first_stage.parameters()).device)).shape[1:])


class LatentDiffusion(nn.Module):
    """Samples x = decode(mean + std z), where the prior denoises z; ``encode`` gives z = (encode(x) - mean) / std.

    ``mean`` and ``std`` are those of the latents of the training data, one for each channel, so that z has about the spread of a standard
    normal, as the noise levels of denoisers expect (arXiv:2112.10752, appendix G). Classes, conditions and prompts are those of the prior.

    Example:
        >>> from zoo_core.config import decode
        >>> from zoo_core.interfaces import ModelConfig
        >>> from zoo_latent_diffusion.config import AutoencoderConfig
        >>> prior = {"name": "ddpm", "image_size": 4, "channels": 4, "dim": 8, "multipliers": [1, 2], "linear_attention": []}
        >>> config = LatentDiffusionConfig(first_stage=AutoencoderConfig(image_size=16, width=8), prior=decode(ModelConfig, prior))
        >>> model = LatentDiffusion(config)
        >>> model.event.shape, model.latent.event.shape
        ((3, 16, 16), (4, 4, 4))

    Raises:
        ConfigError: if one of the models lacks a capability, or the shapes of latents differ.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: LatentDiffusionConfig) -> None:
        super().__init__()
        self.config = config
        self.first_stage = _able(config.first_stage, "first_stage", "encode", "decode")
        self.denoiser = _able(config.prior, "prior", "denoise")
        self.latent = Latents(cast(Denoiser, self.denoiser))
        ours, given = self.latent.event.shape, latent_shape(self.first_stage)
        if ours != given:
            what = f"the latents of first_stage have the shape {list(given)}, and the samples of prior {list(ours)}"
            raise ConfigError(what, "they must agree: set the size and channels of model.prior")
        statistic = (given[0], *[1] * (len(given) - 1))
        self.register_buffer("mean", torch.zeros(statistic))
        self.register_buffer("std", torch.ones(statistic))

    @property
    def event(self) -> Event:
        return cast(Decoder, self.first_stage).event

    @property
    def num_classes(self) -> int:
        return int(getattr(self.denoiser, "num_classes", 0))

    @property
    def needs_labels(self) -> bool:
        """Whether the prior is class-conditional only."""
        return bool(getattr(self.denoiser, "needs_labels", False))

    def __getattr__(self, name: str) -> Any:
        if name in _OF_CONDITIONS and "denoiser" in self._modules:
            own = getattr(self.denoiser, name)  # raises AttributeError for a prior without conditions
            return self._conditioned if name == "conditioned" else own
        return super().__getattr__(name)

    def _conditioned(self, condition: Tensor, rng: Rng) -> Latents:
        """The denoiser of latents given conditions (n, *condition_event.shape)."""
        return Latents(cast(Conditional, self.denoiser).conditioned(condition, rng))

    def encode(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Latents z (n, *latent.event.shape) of samples ``x`` (n, *event.shape)."""
        z = cast(Encoder, self.first_stage).encode(x)
        return (z - self.mean.to(z)) / self.std.to(z)

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Samples (n, *event.shape) of latents ``z`` (n, *latent.event.shape)."""
        return cast(Decoder, self.first_stage).decode(z * self.std.to(z) + self.mean.to(z))


def _able(config: Any, field: str, *capabilities: str) -> nn.Module:
    """The model of a nested config, checked to have capabilities."""
    model = model_of(config)
    for capability in capabilities:
        if flaw := lacking(model, capability):
            raise ConfigError(f"{field} cannot {capability}: it {flaw}", "`zoo list families` shows what each family can")
    return model
