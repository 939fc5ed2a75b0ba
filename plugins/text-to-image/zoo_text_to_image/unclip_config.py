"""Configs of the unclip family."""

from dataclasses import dataclass

from zoo_core.config import check_range
from zoo_core.errors import ConfigError
from zoo_core.interfaces import ModelConfig, Sampler, Teacher
from zoo_core.samplers import DPMSolver2M
from zoo_text_to_image.config import TextToImageConfig, TextToImageTrainerConfig

__all__ = ["PriorConfig", "UnCLIPConfig", "UnCLIPTrainerConfig"]


@dataclass(frozen=True, kw_only=True, slots=True)
class PriorConfig:
    """A Transformer that denoises embeddings of images given a caption, and how embeddings are drawn with it.

    >>> PriorConfig().candidates
    2

    Args:
        width: length of the vectors of the Transformer.
        layers: layers of the Transformer.
        heads: heads of each layer.
        sampler: sampler of denoisers, by which embeddings are drawn.
        candidates: number of embeddings that are drawn for an image; the one that is nearest to the embedding of the caption is kept.

    Raises:
        ConfigError: if a value is out of range, heads does not divide width, or the sampler is not one of denoisers.
    """

    width: int = 128
    layers: int = 3
    heads: int = 4
    sampler: Sampler = DPMSolver2M(steps=16)
    candidates: int = 2

    def __post_init__(self) -> None:
        check_range(self, width=(2, 4096), layers=(1, 64), heads=(1, 256), candidates=(1, 64))
        if self.width % self.heads:
            raise ConfigError(f"heads must divide width, but {self.heads} does not divide {self.width}")
        if self.sampler.requires != "denoise":
            raise ConfigError("sampler must be one of denoisers", "`zoo list samplers` shows them")


@dataclass(frozen=True, kw_only=True, slots=True)
class UnCLIPConfig(TextToImageConfig):
    """A model of images and texts that stays as it is, a prior of its embeddings, and a decoder, which is a text-to-image model.

    >>> UnCLIPConfig(clip=TextToImageConfig()).places
    20

    Args:
        clip: config of a model with the capability ``features`` and the method ``text_features``, such as one of zoo-clip, for images of
            the decoder's shape.
        prior: config of the prior.
        embedding_places: number of places of the decoder's context that the embedding becomes.
        captions: whether the decoder reads the words of the caption too.

    Raises:
        ConfigError: as :class:`TextToImageConfig` does.
    """

    clip: ModelConfig
    prior: PriorConfig = PriorConfig()
    embedding_places: int = 4
    captions: bool = True

    def __post_init__(self) -> None:
        TextToImageConfig.__post_init__(self)
        check_range(self, embedding_places=(1, 256))

    @property
    def places(self) -> int:
        """Number of places of the decoder's context."""
        return self.embedding_places + self.length * self.captions


@dataclass(frozen=True, kw_only=True, slots=True)
class UnCLIPTrainerConfig(TextToImageTrainerConfig):
    """The checkpoint of CLIP, and the rates at which conditions are withheld.

    >>> UnCLIPTrainerConfig(clip=Teacher(reference="local:runs/clip")).p_caption
    0.5

    Args:
        clip: checkpoint with the config ``model.clip``, whose weights a new run begins with; a run that begins with the weights of an
            unclip checkpoint needs none.
        p_uncond: probability that a row's caption is withheld from the prior, and, independently, its embedding from the decoder.
        p_caption: probability that a row's caption is withheld from the decoder.

    Raises:
        ConfigError: if a value is out of range.
    """

    clip: Teacher | None = None
    p_caption: float = 0.5

    def __post_init__(self) -> None:
        TextToImageTrainerConfig.__post_init__(self)
        check_range(self, p_caption=(0.0, 1.0))
