"""A loaded model with its config, files, capabilities, device and dtype."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self, cast

import torch
from torch import Tensor, nn

from zoo_core.arguments import as_samples, dtype_of, single
from zoo_core.capabilities import capability_error, check_partial, lack_of, supports
from zoo_core.cards.card import ModelCard, parse
from zoo_core.checkpoint.config import CheckpointConfig, class_names, default_sampler
from zoo_core.checkpoint.files import CARD, Files
from zoo_core.errors import CapabilityError
from zoo_core.hardware.devices import inference, resolve_device
from zoo_core.hardware.precision import warn_if_emulated
from zoo_core.interfaces import CAPABILITIES, Decoder, Denoiser, Event, Labelled, Sampler, Scheduler
from zoo_core.pretrained import representation
from zoo_core.samplers.latent_space import sampled_model
from zoo_core.specs import ModelSpec
from zoo_core.suggestions import METHODS, Suggesting, attribute_error

__all__ = ["Loaded"]


class Loaded(metaclass=Suggesting):
    """A model with its config, card and files, on a device; :class:`zoo_core.pretrained.Pretrained` adds its calls.

    >>> from zoo_core import load
    >>> model = load("realnvp-moons")
    >>> model.name, model.event.shape, sorted(model.capabilities)
    ('realnvp-moons', (2,), ['decode', 'density', 'encode'])

    Attributes:
        model: the ``nn.Module`` of the family, in eval mode.
        config: config of the model.
        family: spec of the family.
        files: verified files of the checkpoint.
        device: device on which the net computes.
        dtype: dtype in which the net computes.
        base: the model that draws the conditions of this one, in a cascade; otherwise None.
    """

    def __init__(self, *, model: nn.Module, config: CheckpointConfig, family: ModelSpec, files: Files) -> None:
        self.model = model
        self.config = config.model
        self.family = family
        self._config = config
        self.files = files
        self.device = torch.device("cpu")
        self.dtype = torch.float32
        self.base: Loaded | None = None
        self._laid_out = False

    def __repr__(self) -> str:
        return representation.text(self)

    def _repr_html_(self) -> str:
        return representation.html(self)

    if not TYPE_CHECKING:  # so that type checkers still find misspelt names

        def __getattr__(self, name: str) -> Any:
            if hasattr(type(self), name):  # a property of that name failed on a missing attribute: raise the same error again
                return object.__getattribute__(self, name)
            raise attribute_error("Pretrained", name, METHODS, dir(type(self)))

    @property
    def name(self) -> str:
        """Name of the checkpoint; of a cascade, the names of its stages with ``+`` between them."""
        return f"{self.base.name}+{self.files.name}" if self.base else self.files.name

    @property
    def reference(self) -> str:
        """Reference of the checkpoint; of a cascade, the references of its stages with ``+`` between them."""
        return f"{self.base.reference}+{self.files.reference}" if self.base else str(self.files.reference)

    @cached_property
    def card(self) -> ModelCard:
        """The model card; read and verified at the first access."""
        return parse(self.files.read(CARD), bare=True)

    @cached_property
    def capabilities(self) -> frozenset[str]:
        """The capabilities of this model: those that its family declares and the model has."""
        able = {name for name in self.family.capabilities if name in CAPABILITIES and isinstance(self.model, CAPABILITIES[name])}
        if "labels" in able and cast(Labelled, self.model).num_classes < 1:
            able.discard("labels")
        return frozenset(able)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes of the training data; empty if the training record has none."""
        return class_names(self.files)

    @cached_property
    def sampler(self) -> Sampler:
        """The default sampler of ``sample``.

        Raises:
            CapabilityError: if no sampler supports the model, such as a classifier.
        """
        return default_sampler(self._config)

    @property
    def sampled_model(self) -> nn.Module | Denoiser:
        """The model that samplers get: the denoiser of latents of a model with the capability ``latent``, otherwise ``model``."""
        return cast(nn.Module | Denoiser, sampled_model(self.model))

    @property
    def denoises(self) -> bool:
        """Whether samplers of denoisers can sample it: it denoises samples, or their latents."""
        return supports(self.capabilities, "denoise")

    def scheduler_of(self, sampler: Sampler) -> Scheduler | None:
        """Returns the default scheduler of a sampler: that of the checkpoint for samplers of the class of its default sampler.

        None stands for the levels that the model was trained on.
        """
        chosen = self._config.scheduler
        return chosen if chosen is not None and type(sampler) is type(self.sampler) else None

    @property
    def event(self) -> Event:
        """Shape and range of one sample."""
        return cast(Denoiser | Decoder, self.model).event

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | str | None = None) -> Self:
        """Moves the model to a device, and sets the dtype in which its net computes; returns itself.

        Weights, noise and samples stay float32: in the narrower types the net runs under autocast. A dtype that the device only emulates
        causes a warning.

        Args:
            device: device of the model; unchanged if None.
            dtype: float32, bfloat16 or float16; ``auto`` is bfloat16 where the device computes it natively, and float32 elsewhere;
                unchanged if None.

        Raises:
            UsageError: if there is no such device here, or dtype is not valid.
        """
        if device is not None:
            self.device = resolve_device(device)
            self.model.to(self.device)
        if dtype is not None:
            self.dtype = dtype_of(dtype, self.device)
        if self.base is not None:
            self.base.to(device, dtype)
        warn_if_emulated(str(self.dtype).removeprefix("torch."), self.device, "float32 is faster here; dtype auto takes what is fastest")
        return self

    def cpu(self) -> Self:
        """Calls ``to("cpu")``."""
        return self.to("cpu")

    def cuda(self) -> Self:
        """Calls ``to("cuda")``."""
        return self.to("cuda")

    def eval(self) -> Self:
        """Returns itself: the model is always in eval mode."""
        return self

    def require(self, capability: str, what: str, *, others: str = "") -> None:
        """Checks that the model has a capability.

        Args:
            capability: such as ``denoise``.
            what: the action that needs it, as the error says: ``NAME cannot WHAT``.
            others: other capabilities that would do, with spaces between; the error names the families that have one.

        Raises:
            CapabilityError: if the model does not have it.
        """
        if capability not in self.capabilities:
            check_partial(self.model, self.family)
            if "latent" in self.capabilities and capability in ("denoise", "density"):
                why = "a decoder lies between its samples and the latents that it denoises"
                raise CapabilityError(f"{self.name} cannot {what}: {why}", "its attribute model.latent denoises latents")
            owner = "model" if capability in self.family.capabilities else "family"
            raise capability_error(f"{self.name} cannot {what}: its {owner} {lack_of(capability)}", f"{capability} {others}".strip())

    def require_walk(self, what: str, *, others: str = "") -> None:
        """Checks that the model denoises its samples or their latents; raises as :meth:`require` does."""
        if not self.denoises:
            self.require("denoise", what, others=others)

    def _run(self, function: Callable[[Tensor, Tensor | None], Tensor], x: Tensor, labels: Tensor | None) -> Tensor:
        with self._inference():
            return single(function(single(x), labels)).cpu()

    def _samples(self, x: Tensor) -> Tensor:
        return as_samples("x", x, self.event).to(self.device)

    def _states(self, x: Tensor) -> Tensor:
        """``x`` checked to be states of a sampler: samples, or latents of a model that denoises these."""
        return as_samples("x", x, cast(Denoiser, self.sampled_model).event).to(self.device)

    def _inference(self, dtype: torch.dtype | None = None) -> AbstractContextManager[None]:
        """Returns :func:`zoo_core.hardware.devices.inference` in ``dtype`` or the model's own, after a change to the fast memory layout."""
        if not self._laid_out:
            # Most convolutions run faster on channels-last weights. At the first use and not in load(), since it costs a copy.
            if getattr(self.model, "channels_last", True):
                self.model.to(memory_format=torch.channels_last)
            self._laid_out = True
        return inference(self.device, dtype or self.dtype)
