"""Capabilities of models: protocols, and the values that they take and return."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from zoo_core.interfaces.event import Event
from zoo_core.interfaces.log_prob import LogProb

if TYPE_CHECKING:
    from torch import Tensor

    from zoo_core.interfaces.parts import Scheduler

__all__ = [
    "CAPABILITIES",
    "Classify",
    "Conditional",
    "Decoder",
    "Denoiser",
    "Density",
    "Encoder",
    "Features",
    "Filler",
    "Labelled",
    "LatentModel",
    "Rng",
    "TextModel",
    "Unmasker",
]


class Rng(Protocol):
    """Random numbers for a batch of rows: row i depends on the seed and the identity of row i, never on the other rows.

    Every call draws new numbers. Shapes are those of one row; results have the rows first and lie on the Rng's device.

    >>> from zoo_core.rng import ImageRng
    >>> rng: Rng = ImageRng(seed=0, images=range(4))
    >>> rng.normal(3, 32, 32).shape
    torch.Size([4, 3, 32, 32])
    """

    def __len__(self) -> int:
        """The number of rows."""
        ...

    def normal(self, *shape: int) -> "Tensor":
        """Returns standard normal float32 (rows, *shape)."""
        ...

    def uniform(self, *shape: int) -> "Tensor":
        """Returns uniform float32 in [0, 1) (rows, *shape)."""
        ...

    def integers(self, low: int, high: int, *shape: int) -> "Tensor":
        """Returns uniform int64 in [low, high) (rows, *shape)."""
        ...


@runtime_checkable
class Denoiser(Protocol):
    """Capability ``denoise``: estimates the clean sample under Gaussian noise of a known level.

    >>> from zoo_core.testing.fake import FakeDenoiser
    >>> from zoo_core.testing.fake_config import FakeDenoiserConfig
    >>> isinstance(FakeDenoiser(FakeDenoiserConfig()), Denoiser)
    True
    """

    @property
    def event(self) -> Event:
        """Shape and range of one sample."""
        ...

    @property
    def sigma_range(self) -> tuple[float, float]:
        """The smallest and the largest noise level that the model was trained on, finite."""
        ...

    @property
    def scheduler(self) -> "Scheduler":
        """The scheduler of the levels that the model was trained on, which samplers use by default."""
        ...

    def start(self, rng: Rng, sigma: float) -> "Tensor":
        """Returns starting samples (rows, *event.shape): the model's approximation of x_sigma at its largest level."""
        ...

    def denoise(self, x: "Tensor", sigma: "Tensor", labels: "Tensor | None" = None) -> "Tensor":
        """Estimates E[x_0 | x_sigma = x], of the shape and dtype of ``x``.

        Args:
            x: noisy samples (n, *event.shape).
            sigma: noise levels, float64 (n,).
            labels: classes, int64 (n,); None for the unconditional estimate.
        """
        ...


@runtime_checkable
class Decoder(Protocol):
    """Capability ``decode``: generates samples from latents.

    >>> from zoo_core.testing.fake import Fake
    >>> from zoo_core.testing.fake_config import FakeConfig
    >>> isinstance(Fake(FakeConfig()), Decoder)
    True
    """

    @property
    def event(self) -> Event:
        """Shape and range of one sample."""
        ...

    def prior(self, rng: Rng) -> "Tensor":
        """Draws latents (rows, ...) from the prior."""
        ...

    def decode(self, z: "Tensor", labels: "Tensor | None" = None) -> "Tensor":
        """Decodes latents ``z`` (n, ...) into samples (n, *event.shape); ``labels`` are int64 (n,)."""
        ...


@runtime_checkable
class Encoder(Protocol):
    """Capability ``encode``: computes latents of samples: the exact inverse of decode for a flow, the posterior's mean for a VAE.

    >>> from zoo_core.testing.fake import Fake
    >>> from zoo_core.testing.fake_config import FakeConfig
    >>> isinstance(Fake(FakeConfig()), Encoder)
    True
    """

    def encode(self, x: "Tensor", labels: "Tensor | None" = None) -> "Tensor":
        """Encodes samples ``x`` (n, *event.shape), without noise."""
        ...


@runtime_checkable
class LatentModel(Protocol):
    """Capability ``latent``: samples are decoded from latents, which a denoiser draws (Rombach et al. 2022, arXiv:2112.10752).

    Samplers of denoisers walk with ``latent``, and what they draw is decoded at the end. A model that also has the capability ``encode``
    maps samples to such latents, so that it can be given noisy samples and inpaint.

    >>> from zoo_core.testing.fake import FakeLatent
    >>> from zoo_core.testing.fake_config import FakeLatentConfig
    >>> model = FakeLatent(FakeLatentConfig())
    >>> isinstance(model, LatentModel), model.event.shape, model.latent.event.shape
    (True, (3, 8, 8), (3, 4, 4))
    """

    @property
    def event(self) -> Event:
        """Shape and range of one sample."""
        ...

    @property
    def latent(self) -> Denoiser:
        """The denoiser of latents, the same object every time. Its event is one latent, and has no range."""
        ...

    def decode(self, z: "Tensor", labels: "Tensor | None" = None) -> "Tensor":
        """Decodes latents ``z`` (n, *latent.event.shape) into samples (n, *event.shape); ``labels`` are int64 (n,)."""
        ...


@runtime_checkable
class Conditional(Protocol):
    """Capability ``condition``: samples that fit a condition, such as an image of lower resolution or the embedding of a text.

    Such a model also has the capability ``denoise`` or ``latent``, which is without a condition. A model with the attribute
    ``example_conditions``, a tensor (k, *condition_event.shape), is sampled with example i modulo k for image i by default; other models
    are sampled without a condition. A model whose conditions are computed from texts has the method ``prompt_conditions(prompts)``, which
    returns float32 (n, *condition_event.shape) for n texts, and raises UsageError for a text that it cannot read. If its examples are of
    texts, these are its attribute ``example_prompts``, a list of k texts.

    >>> from zoo_core.testing.fake import FakeConditional
    >>> from zoo_core.testing.fake_config import FakeConditionalConfig
    >>> isinstance(FakeConditional(FakeConditionalConfig()), Conditional)
    True
    """

    @property
    def condition_event(self) -> Event:
        """Shape and range of one condition."""
        ...

    def conditioned(self, condition: "Tensor", rng: Rng) -> Denoiser:
        """Returns the denoiser given a condition for each row, of samples or, with the capability ``latent``, of latents.

        Args:
            condition: conditions (n, *condition_event.shape).
            rng: random numbers of the n rows, for models that add noise to conditions.
        """
        ...


@runtime_checkable
class Density(Protocol):
    """Capability ``density``: computes log-probabilities of samples.

    >>> from zoo_core.testing.fake import Fake
    >>> from zoo_core.testing.fake_config import FakeConfig
    >>> isinstance(Fake(FakeConfig()), Density)
    True
    """

    def log_prob(self, x: "Tensor", labels: "Tensor | None" = None, *, rng: Rng | None = None, k: int = 1) -> LogProb:
        """Computes the log-probability of each row of ``x`` (n, *event.shape).

        Args:
            x: samples of the space that the result names; the caller checks that.
            labels: classes, int64 (n,); None for the log-probability without a label.
            rng: random numbers, one row for each row of ``x``, for models that draw.
            k: number of draws of a Monte Carlo bound, at least 1. More draws never worsen its expectation.
        """
        ...


@runtime_checkable
class Labelled(Protocol):
    """Capability ``labels``: samples of a chosen class.

    A model that is class-conditional only, and so does not accept ``labels=None``, has the attribute ``needs_labels = True``. Then image i
    has class i modulo ``num_classes`` by default.

    A denoiser whose net takes the scale of classifier-free guidance as an input (Meng et al. 2023, arXiv:2210.03142) has the attribute
    ``guidance_embeds = True``, and its ``denoise`` a further keyword ``guidance``, a scale or a tensor (n,) of them. It is guided in one
    forward pass a step.

    >>> from zoo_core.testing.fake import Fake
    >>> from zoo_core.testing.fake_config import FakeConfig
    >>> isinstance(Fake(FakeConfig(classes=10)), Labelled)
    True
    """

    @property
    def num_classes(self) -> int:
        """Labels are 0 ... num_classes - 1."""
        ...


@runtime_checkable
class Features(Protocol):
    """Capability ``features``: computes feature vectors, between which distances of sample sets are measured.

    >>> import torch
    >>> class Flatten:
    ...     event = Event(shape=(1, 8, 8))
    ...     def features(self, x):
    ...         return x.flatten(1)
    >>> isinstance(Flatten(), Features)
    True
    """

    @property
    def event(self) -> Event:
        """Shape and range of one sample."""
        ...

    def features(self, x: "Tensor") -> "Tensor":
        """Computes features (n, d) of samples ``x`` (n, *event.shape), in the dtype of ``x``."""
        ...


@runtime_checkable
class Classify(Protocol):
    """Capability ``classify``: predicts the class of a sample. A classifier draws no samples, so it lacks the capability ``labels``.

    >>> class Constant:
    ...     event = Event(shape=(2,))
    ...     num_classes = 2
    ...     def classify(self, x):
    ...         return x.new_full((len(x), 2), 0.5).log()
    >>> isinstance(Constant(), Classify)
    True
    """

    @property
    def event(self) -> Event:
        """Shape and range of one sample."""
        ...

    @property
    def num_classes(self) -> int:
        """Classes are 0 ... num_classes - 1."""
        ...

    def classify(self, x: "Tensor") -> "Tensor":
        """Computes log-probabilities of the classes (n, num_classes) for samples ``x`` (n, *event.shape), in the dtype of ``x``."""
        ...


@runtime_checkable
class Unmasker(Protocol):
    """Capability ``unmask``: predicts the hidden places of discrete samples from the others, in any order.

    A hidden place holds the number ``event.categories``, which is no category: the token [MASK] (Austin et al. 2021, arXiv:2107.03006).

    >>> from zoo_core.testing.fake_text import FakeText
    >>> from zoo_core.testing.fake_config import FakeTextConfig
    >>> isinstance(FakeText(FakeTextConfig()), Unmasker)
    True
    """

    @property
    def event(self) -> Event:
        """Shape and number of categories of one sample."""
        ...

    def unmask(self, x: "Tensor", labels: "Tensor | None" = None) -> "Tensor":
        """Computes log-probabilities (n, *event.shape, categories), float32, of the category at each place, given the places that show one.

        Those of places that are not hidden mean nothing.

        Args:
            x: samples int64 (n, *event.shape) in 0 ... event.categories, which is the number of hidden places.
            labels: classes, int64 (n,); None without.
        """
        ...


@runtime_checkable
class TextModel(Protocol):
    """Capability ``text``: discrete samples are texts.

    >>> from zoo_core.testing.fake_text import FakeText
    >>> from zoo_core.testing.fake_config import FakeTextConfig
    >>> model = FakeText(FakeTextConfig(length=3))
    >>> model.show(model.read(["aba"]))
    ['aba']
    """

    @property
    def event(self) -> Event:
        """Shape and number of categories of one sample."""
        ...

    def show(self, x: "Tensor") -> list[str]:
        """The texts of samples ``x``, int64 (n, *event.shape); a hidden place, of the number ``event.categories``, is shown as a block."""
        ...

    def read(self, texts: "Sequence[str]") -> "Tensor":
        """The samples int64 (n, *event.shape) of texts.

        Raises:
            ConfigError: if a text has another length than a sample, or a character or word that is not in the vocabulary.
        """
        ...


@runtime_checkable
class Filler(Protocol):
    """Capability ``fill``: fills in the unknown part of samples in one pass, as context encoders do (Pathak et al. 2016, arXiv:1604.07379).

    >>> from zoo_core.testing.fake import FakeFiller
    >>> from zoo_core.testing.fake_config import FakeFillerConfig
    >>> isinstance(FakeFiller(FakeFillerConfig()), Filler)
    True
    """

    @property
    def event(self) -> Event:
        """Shape and range of one sample."""
        ...

    def fill(self, x: "Tensor", mask: "Tensor", rng: Rng) -> "Tensor":
        """Returns whole samples (n, *event.shape); the caller puts the known part back.

        Args:
            x: samples (n, *event.shape), 0 where they are unknown.
            mask: True where ``x`` is known, bool (n, *event.shape).
            rng: random numbers of the n rows, for models that draw.
        """
        ...


CAPABILITIES: dict[str, type] = {
    "denoise": Denoiser,
    "decode": Decoder,
    "encode": Encoder,
    "latent": LatentModel,
    "condition": Conditional,
    "density": Density,
    "labels": Labelled,
    "features": Features,
    "classify": Classify,
    "unmask": Unmasker,
    "text": TextModel,
    "fill": Filler,
}
