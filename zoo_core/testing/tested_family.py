"""The subject of a conformance check: a family with a config, and the outputs of its models."""

import json
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from zoo_core.config import decode, encode
from zoo_core.errors import ConfigError
from zoo_core.images import from_uint8, to_uint8
from zoo_core.interfaces import (
    Classify,
    Conditional,
    Decoder,
    Denoiser,
    Density,
    Encoder,
    Event,
    Features,
    Filler,
    LatentModel,
    ModelConfig,
    Rng,
    Sampler,
    TrainerConfig,
    Unmasker,
)
from zoo_core.registry import Plugin, registry, resolve
from zoo_core.rng import ImageRng, StepRng, Stream, isolated
from zoo_core.samplers.latent_space import decoded, sampled_model
from zoo_core.specs import ModelSpec, SamplerSpec, TrainerSpec
from zoo_core.training.trainer import Batch, Trainer

__all__ = [
    "ROWS",
    "TOLERANCE",
    "Subject",
    "assert_same",
    "assert_shaped",
    "assert_strict",
    "distance",
    "global_state",
    "hide",
    "outputs_of",
    "random_samples",
    "same",
]

ROWS = 5
TOLERANCE = 1e-4  # another batch size sums in another order


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A family with a config, and the capabilities of its model with that config.

    >>> from zoo_core.specs import ModelSpec
    >>> from zoo_core.testing import checks_of, fake_zoo
    >>> with fake_zoo():
    ...     subject = checks_of("fake")[0].subject
    ...     sorted(outputs_of(subject, subject.model(), images=[0, 1]))
    ['decode', 'encode', 'log_prob', 'prior', 'sample']

    Args:
        spec: spec of the family.
        plugin: plugin that offers it.
        config: config of a small model.
        capabilities: capabilities of that model.
        training: config of a trainer; that of the family's own trainer, with its defaults, when None.
    """

    spec: ModelSpec
    plugin: Plugin
    config: ModelConfig
    capabilities: frozenset[str]
    training: TrainerConfig | None = None

    def model(self, seed: int = 0) -> nn.Module:
        """A model in eval mode. Noise on its initial weights makes layers that start at zero visible to the checks."""
        with isolated(seed, stream=Stream.INIT), torch.no_grad():
            model: nn.Module = resolve(self.spec.target)(self.config)
            for parameter in model.parameters():
                if parameter.is_floating_point():
                    parameter.add_(0.05 * torch.randn(parameter.shape, dtype=parameter.dtype))
        return model.eval()

    def labels(self, model: nn.Module, images: Sequence[int] = range(ROWS)) -> Tensor | None:
        """A label for each image, by its number; None for a model without labels."""
        return torch.tensor(list(images)) % cast(Any, model).num_classes if "labels" in self.capabilities else None

    def conditions(self, model: nn.Module, images: Sequence[int] = range(ROWS)) -> Tensor:
        """A condition for each image, by its number."""
        event = cast(Conditional, model).condition_event
        condition = 0.5 * ImageRng(3, images).normal(*event.shape)
        return condition.clamp(*event.range) if event.range else condition

    def known(self, model: nn.Module, images: Sequence[int] = range(ROWS)) -> tuple[Tensor, Tensor]:
        """A sample for each image, by its number, of which about half is known, 0 elsewhere; and the mask of the known part."""
        x = random_samples(cast(Filler, model).event, ImageRng(1, images))
        mask = ImageRng(6, images).uniform(*x.shape[1:]) < 0.5
        return torch.where(mask, x, 0.0), mask

    def trainer(self) -> Trainer:
        """The trainer of ``training`` around a fresh model, in train mode."""
        name = self.spec.trainer if self.training is None else registry().name_of("trainer", type(self.training))
        spec = registry().spec(TrainerSpec, name)
        config = resolve(spec.config)() if self.training is None else self.training
        model = self.model()
        with isolated(1, stream=Stream.INIT):
            trainer: Trainer = resolve(spec.target)(model, config)
        return trainer.train()

    def batch(self, model: nn.Module) -> Batch:
        """Random rows like those of a data set."""
        event: Event = cast(Any, model).event
        x = random_samples(event, StepRng(0, 0, ROWS, stream=Stream.DATA))
        labels = torch.arange(ROWS) % cast(Any, model).num_classes if {"labels", "classify"} & self.capabilities else None
        words: Sequence[str] = getattr(getattr(model, "vocabulary", None), "tokens", ())
        captions = tuple(f"{words[0]} {words[row % len(words)]}" for row in range(ROWS)) if words and event.categories is None else ()
        return Batch(x=x.clamp(*event.range) if event.range else x, labels=labels, index=torch.arange(ROWS), captions=captions)

    def judged(self, model: nn.Module, images: Sequence[int] = range(ROWS)) -> Tensor:
        """A row for each image, by its number, in the space of the model's log-probability: 8-bit levels, or -1 and 1, for images."""
        event: Event = cast(Any, model).event
        x = random_samples(event, ImageRng(1, images))
        x = from_uint8(to_uint8(x)) if event.range == (-1.0, 1.0) else x
        with torch.no_grad():
            space = getattr(cast(Density, model).log_prob(x, self.labels(model, images), rng=ImageRng(2, images)), "space", "")
        return torch.where(x > 0, 1.0, -1.0) if space == "binary" else x


def random_samples(event: Event, rng: Rng) -> Tensor:
    """Random rows of an event: numbers of standard deviation 1/2, or categories."""
    return 0.5 * rng.normal(*event.shape) if event.categories is None else rng.integers(0, event.categories, *event.shape)


def hide(x: Tensor, event: Event, rng: Rng) -> Tensor:
    """Samples of categories with about half of their places hidden."""
    return x.masked_fill(rng.uniform(*event.shape) < 0.5, cast(int, event.categories))


def outputs_of(subject: Subject, model: nn.Module, images: Sequence[int] = range(ROWS), labels: Tensor | None = None) -> dict[str, Tensor]:
    """All outputs of the model for images of seed 0, by name, with a row for each image; row i depends on images[i] alone."""
    able = subject.capabilities
    outputs = {}
    labels = subject.labels(model, images) if labels is None else labels
    x = random_samples(cast(Decoder, model).event, ImageRng(1, images))
    with torch.no_grad():
        if "denoise" in able:
            denoiser = cast(Denoiser, model)
            sigma = math.sqrt(math.prod(denoiser.sigma_range))
            outputs["start"] = start = denoiser.start(ImageRng(0, images), sigma)
            outputs["denoise"] = denoiser.denoise(start, torch.full((len(images),), sigma, dtype=torch.float64), labels)
        if "latent" in able:
            latent = cast(LatentModel, model).latent
            sigma = math.sqrt(math.prod(latent.sigma_range))
            outputs["start"] = start = latent.start(ImageRng(0, images), sigma)
            outputs["denoise"] = latent.denoise(start, torch.full((len(images),), sigma, dtype=torch.float64), labels)
            outputs["decoded"] = cast(LatentModel, model).decode(start / sigma, labels)
        if "condition" in able:
            given = cast(Conditional, model).conditioned(subject.conditions(model, images), ImageRng(4, images))
            sigma = math.sqrt(math.prod(given.sigma_range))
            outputs["start given"] = start = given.start(ImageRng(0, images), sigma)
            outputs["denoise given"] = given.denoise(start, torch.full((len(images),), sigma, dtype=torch.float64), labels)
        if "decode" in able:
            outputs["prior"] = z = cast(Decoder, model).prior(ImageRng(0, images))
            outputs["decode"] = x = cast(Decoder, model).decode(z, labels)
        if "encode" in able:
            outputs["encode"] = cast(Encoder, model).encode(x, labels)
        if "density" in able:
            outputs["log_prob"] = cast(Density, model).log_prob(subject.judged(model, images), labels, rng=ImageRng(2, images)).value
        if "unmask" in able:
            outputs["unmask"] = cast(Unmasker, model).unmask(hide(x, cast(Unmasker, model).event, ImageRng(3, images)), labels)
        if "fill" in able:
            known, mask = subject.known(model, images)
            outputs["fill"] = cast(Filler, model).fill(known, mask, ImageRng(5, images))
        if "features" in able:
            outputs["features"] = cast(Features, model).features(x)
        if "classify" in able:
            outputs["classify"] = cast(Classify, model).classify(x)
        if subject.spec.sampler:
            outputs["sample"] = _sample(subject.spec.sampler, model, images, labels)
    return outputs


def _sample(name: str, model: nn.Module, images: Sequence[int], labels: Tensor | None) -> Tensor:
    spec = registry().spec(SamplerSpec, name)
    cls = resolve(spec.target)
    few = {"steps": 4} if "steps" in {item.name for item in fields(cls)} else {}
    sampler: Sampler = cls(**{**spec.defaults, **few})
    walked = sampled_model(model)
    return decoded(model, sampler(walked, ImageRng(0, images), sigmas=sampler.noise_levels(walked, None), labels=labels), labels)


def assert_same(one: Mapping[str, Tensor], other: Mapping[str, Tensor], when: str) -> None:
    """Checks that two sets of outputs are bit-identical.

    Raises:
        AssertionError: for the first output that is not.
    """
    for name, value in one.items():
        assert same(value, other[name]), f"{name} changes {when}"


def same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are bit-identical; NaN equals NaN, so that the check for NaN reports it."""
    return one.shape == other.shape and one.dtype == other.dtype and bool(((one == other) | (one.isnan() & other.isnan())).all())


def distance(one: Tensor, other: Tensor) -> Tensor:
    """|one - other|, and 0 for equal values, also if these are infinite or NaN."""
    return torch.where((one == other) | (one.isnan() & other.isnan()), 0.0, (one - other).abs())


def global_state() -> tuple[object, ...]:
    """The state of the global generators of torch, numpy and Python."""
    numpy: dict[str, Any] = np.random.get_state(legacy=False)  # noqa: NPY002  # to check that it did not move
    return torch.get_rng_state().tolist(), numpy["state"]["key"].tolist(), numpy["state"]["pos"], random.getstate()


def assert_strict(config: Any, base: type) -> None:
    """Checks that decoding ``config`` as a ``base`` refuses an unknown key, and a text, true or NaN for a number, at every depth.

    Raises:
        AssertionError: if such a value is accepted, or the refusal does not name its field.
    """
    plain = encode(config)
    for path, value in _parts(config):
        if is_dataclass(value):
            _refused(base, _replaced(plain, (*path, "no_such_key"), 1), "no_such_key")
        elif not isinstance(value, tuple | Mapping):
            field = next(key for key in reversed(path) if isinstance(key, str))
            for wrong in ("128", True, math.nan) if type(value) in (int, float) else ({"no": "such"},):
                _refused(base, _replaced(plain, path, wrong), field)


def _refused(base: type, plain: object, field: str) -> None:
    try:
        decode(base, plain)
    except ConfigError as error:
        assert field in str(error), f"the refusal of a wrong {field} does not name it: {error}"
    else:
        raise AssertionError(f"a wrong {field} is accepted: {plain}")


def _parts(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], object]]:
    yield path, value
    inner = {item.name: getattr(value, item.name) for item in fields(value) if item.init} if is_dataclass(value) else {}
    for key, item in enumerate(value) if isinstance(value, tuple) else inner.items():
        yield from _parts(item, (*path, key))


def _replaced(plain: Any, path: Sequence[Any], value: object) -> Any:
    copy = json.loads(json.dumps(plain))
    node = copy
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    return copy


def assert_shaped(x: Tensor, shape: tuple[int, ...], what: str, categories: int | None = None) -> None:
    """Checks that ``x`` is finite float32 of a shape; or int64 in 0 ... categories - 1, if these are given.

    Raises:
        AssertionError: if it is not.
    """
    assert tuple(x.shape) == shape, f"{what} gives the shape {tuple(x.shape)}, not {shape}"
    if categories is not None:
        assert x.dtype == torch.int64, f"{what} gives {x.dtype} for int64 categories"
        low, high = int(x.min()), int(x.max())
        assert 0 <= low <= high < categories, f"{what} gives categories from {low} to {high}, and there are {categories}"
        return
    assert x.dtype == torch.float32, f"{what} gives {x.dtype} for float32"
    assert bool(torch.isfinite(x).all()), f"{what} gives values that are not finite"
