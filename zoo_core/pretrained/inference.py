"""Calls of a loaded model on given samples: latents, log-probabilities, denoising, features and classes."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import cast

import torch
from torch import Tensor

from zoo_core.arguments import as_floats, as_int, as_levels, as_samples, check_in_range, single
from zoo_core.errors import CapabilityError, UsageError
from zoo_core.interfaces import (
    Classify,
    Decoder,
    Denoiser,
    Encoder,
    Features,
    LabelsLike,
    LatentModel,
    LogProb,
    TextModel,
)
from zoo_core.pretrained.conditions import labels_of
from zoo_core.pretrained.loaded import Loaded
from zoo_core.pretrained.log_prob import check_space, concatenate, log_prob_of, method_of
from zoo_core.rng import ImageRng

__all__ = ["Inference"]


class Inference(Loaded):
    """The part of :class:`zoo_core.pretrained.Pretrained` that computes latents, densities, estimates, features and classes.

    >>> from zoo_core import load
    >>> model = load("realnvp-moons")
    >>> model.log_prob(torch.zeros(3, 2)).kind
    'exact'
    """

    def encode(self, x: Tensor, labels: LabelsLike = None) -> Tensor:
        """Encodes samples ``x`` (n, *event.shape): the exact inverse of ``decode`` for a flow, the mean of the posterior for a VAE."""
        self.require("encode", "encode samples")
        return self._run(cast(Encoder, self.model).encode, check_in_range(self._samples(x), self.event), labels_of(self, labels, len(x)))

    def decode(self, z: Tensor, labels: LabelsLike = None) -> Tensor:
        """Decodes latents ``z`` (n, ...) into samples (n, *event.shape)."""
        if "latent" not in self.capabilities:
            self.require("decode", "decode latents")
        z = as_floats("z", z, self._latent_shape).to(self.device)
        return self._run(cast(Decoder, self.model).decode, z, labels_of(self, labels, len(z)))

    def reconstruct(self, x: Tensor, labels: LabelsLike = None) -> Tensor:
        """``decode(encode(x))``, (n, *event.shape)."""
        self.require("encode", "encode samples")
        return self.decode(self.encode(x, labels), labels)

    @cached_property
    def _latent_shape(self) -> tuple[int, ...]:
        if "latent" in self.capabilities:
            return cast(LatentModel, self.model).latent.event.shape
        with self._inference():
            return tuple(cast(Decoder, self.model).prior(ImageRng(0, [0], self.device)).shape[1:])

    def log_prob(
        self,
        x: Tensor,
        labels: LabelsLike = None,
        *,
        method: str | None = None,
        seed: int = 0,
        k: int | None = None,
        first: int = 0,
        batch_size: int = 64,
    ) -> LogProb:
        """Computes the log-probability of each sample of ``x`` (n, *event.shape), in nats, with its kind and its space.

        The model computes in float32 whatever its ``dtype`` is: the errors of narrower types exceed the differences that matter. Row i
        draws the noise of image ``first`` + i of the seed, so the batch size changes no draw.

        Args:
            x: samples of the space: any values for a density, levels of 8-bit images, or -1 to 1 for binary images.
            labels: classes, one for all or one for each.
            method: ``own``, the log-probability of the family itself (capability ``density``); ``ode``, the density of the
                probability-flow ODE, :func:`zoo_core.density.denoiser.ode`; ``bound``, the variational bound,
                :func:`zoo_core.density.denoiser.bound`, with its terms. None is ``own`` if the model has it, and otherwise ``ode``.
            seed: seed of the draws.
            k: number of draws: 1 of a Monte Carlo bound if None; for the others see their functions.
            first: number of the first row, to go through a large set in pieces.
            batch_size: number of rows that are computed at once; changes speed and memory only.

        Raises:
            CapabilityError: if the model has no log-probability, or not by that method.
            UsageError: if ``x`` has another shape, is not finite, or is not of the space; if labels or k do not fit; if there is no such
                method.
            ConfigError: if the ODE needs more evaluations than it may take.
            ZooError: if the model returns values that are not finite.
        """
        x = check_in_range(self._samples(x), self.event)
        by = self.log_prob_method(method)
        n = as_int("the number of rows of x", len(x), 1)
        seed = as_int("seed", seed)
        first = as_int("first", first)
        size = as_int("batch_size", batch_size, 1)
        draws = None if k is None else as_int("k", k, 1)
        classes = labels_of(self, labels, n)
        parts = []
        for begin in range(0, n, size):
            rows = slice(begin, min(begin + size, n))
            rng = ImageRng(seed, range(first + rows.start, first + rows.stop), self.device)
            with self._inference(torch.float32):
                y = None if classes is None else classes[rows]
                parts.append(log_prob_of(self.model, by, single(x[rows]), rng, y, draws))
            check_space(x[rows], parts[-1].space)
        return concatenate(parts)

    def log_prob_method(self, method: str | None = None) -> str:
        """The method that :meth:`log_prob` uses: ``own``, ``ode`` or ``bound``.

        Raises:
            CapabilityError: if the model has no log-probability, or not by that ``method``.
            UsageError: if there is no such method.
        """
        return method_of(self, method)

    def denoise(self, x: Tensor, sigma: "float | Tensor", labels: LabelsLike = None) -> Tensor:
        """Estimates E[x_0 | x_sigma = x] of ``x`` (n, *event.shape) at noise level ``sigma``, one for all or (n,)."""
        self.require("denoise", "denoise")
        x = self._samples(x)
        levels = as_levels(sigma, len(x)).to(self.device)
        denoise = cast(Denoiser, self.model).denoise
        return self._run(lambda x, y: denoise(x, levels, y), x, labels_of(self, labels, len(x)))

    def show(self, x: Tensor) -> list[str]:
        """The texts of samples ``x`` (n, *event.shape) of a model of texts."""
        self.require("text", "show samples as text")
        return cast(TextModel, self.model).show(as_samples("x", x, self.event).to(self.device))

    def read(self, texts: Sequence[str]) -> Tensor:
        """The samples int64 (n, *event.shape) of texts, on the CPU, for a model of texts.

        Raises:
            UsageError: if ``texts`` is not a list of texts, or none of them.
            ConfigError: if a text has another length than a sample, or a character or word that is not in the vocabulary.
            CapabilityError: if the model is not one of texts.
        """
        self.require("text", "read text")
        if isinstance(texts, str) or not texts or not all(isinstance(text, str) for text in texts):
            raise UsageError("texts must be a list of texts", 'read(["one text"]) reads one')
        return cast(TextModel, self.model).read(texts).cpu()

    def features(self, x: Tensor, *, batch_size: int = 256) -> Tensor:
        """Computes features (n, d), float32, of samples ``x`` (n, *event.shape); ``batch_size`` changes speed and memory only."""
        self.require("features", "give features")
        return self._rows(cast(Features, self.model).features, check_in_range(as_samples("x", x, self.event), self.event), batch_size)

    def text_features(self, texts: Sequence[str]) -> Tensor:
        """Computes the features (n, d), float32, of texts, in the space of those of images, by a model of both.

        Raises:
            UsageError: if a text has an unknown word, or too many words.
            CapabilityError: if the model reads no texts.
        """
        compute = getattr(self.model, "text_features", None)
        if compute is None:
            raise CapabilityError(f"{self.name} gives no features of texts", "a model of images and texts does: zoo train clip")
        with self._inference():
            features: Tensor = compute(list(texts))
        return single(features).cpu()

    def classify(self, x: Tensor, *, batch_size: int = 256) -> Tensor:
        """Computes log-probabilities of the classes (n, num_classes), float32, of samples ``x`` (n, *event.shape)."""
        self.require("classify", "tell classes")
        return self._rows(cast(Classify, self.model).classify, check_in_range(as_samples("x", x, self.event), self.event), batch_size)

    def _rows(self, function: Callable[[Tensor], Tensor], x: Tensor, batch_size: int) -> Tensor:
        size = as_int("batch_size", batch_size, 1)
        parts = [x[first : first + size].to(self.device) for first in range(0, max(len(x), 1), size)]
        return torch.cat([self._run(lambda rows, _: function(rows), part, None) for part in parts])
