"""A model that was loaded: what it is, where it came from, and on which device its net computes."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self, cast

import torch
from torch import Tensor, nn

from zoo_core.arguments import as_floats, dtype_of
from zoo_core.capabilities import capability_error, check_partial
from zoo_core.cards.card import ModelCard, parse
from zoo_core.checkpoint.config import CheckpointConfig, class_names, default_sampler
from zoo_core.checkpoint.files import CARD, Files
from zoo_core.hardware.devices import device_of, inference
from zoo_core.hardware.precision import warn_if_emulated
from zoo_core.interfaces import CAPABILITIES, Decoder, Denoiser, Event, Labelled, Sampler, Scheduler
from zoo_core.pretrained import representation as shown
from zoo_core.specs import ModelSpec
from zoo_core.suggestions import METHODS, Suggesting, attribute_error

__all__ = ["Loaded"]


class Loaded(metaclass=Suggesting):
    """A model with its config, card and files, on a device; :class:`zoo_core.pretrained.Pretrained` is what it can do.

    Attributes:
        model: the ``nn.Module`` of the family, in eval mode.
        config: the family's config.
        family: the family's spec.
        files: where it came from.
    """

    def __init__(self, *, model: nn.Module, config: CheckpointConfig, family: ModelSpec, files: Files) -> None:
        self.model = model
        self.config = config.model
        self.family = family
        self._config = config
        self.files = files
        self.device = torch.device("cpu")
        self.dtype = torch.float32
        self._laid_out = False

    def __repr__(self) -> str:
        return shown.text(self)

    def _repr_html_(self) -> str:
        return shown.html(self)

    if not TYPE_CHECKING:  # so that type checkers still find misspelt names

        def __getattr__(self, name: str) -> Any:
            if hasattr(type(self), name):  # a property of that name, in which an attribute was missing: the same error again
                return object.__getattribute__(self, name)
            raise attribute_error("Pretrained", name, METHODS, dir(type(self)))

    @property
    def name(self) -> str:
        """The checkpoint's name."""
        return self.files.name

    @cached_property
    def card(self) -> ModelCard:
        """The model card; read and verified when it is first looked at."""
        return parse(self.files.read(CARD), bare=True)

    @cached_property
    def capabilities(self) -> frozenset[str]:
        """What this model can do: what its family declares, as far as the instance has it."""
        able = {name for name in self.family.capabilities if name in CAPABILITIES and isinstance(self.model, CAPABILITIES[name])}
        if "labels" in able and cast(Labelled, self.model).num_classes < 1:
            able.discard("labels")
        return frozenset(able)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, as the training data had them; empty where the training record has none."""
        return class_names(self.files)

    @cached_property
    def sampler(self) -> Sampler:
        """What ``sample`` uses unless told otherwise.

        Raises:
            CapabilityError: nothing can sample the model, such as a classifier.
        """
        return default_sampler(self._config, self.family)

    def scheduler_of(self, sampler: Sampler) -> Scheduler | None:
        """Where a sampler's noise levels lie unless told otherwise: as the checkpoint says, for a sampler of the kind of its own one.

        None for those that the model was trained on.
        """
        chosen = self._config.scheduler
        return chosen if chosen is not None and type(sampler) is type(self.sampler) else None

    @property
    def event(self) -> Event:
        """What one sample is: its shape, and its range where it has one."""
        return cast(Denoiser | Decoder, self.model).event

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | str | None = None) -> Self:
        """Moves the model to a device, and makes its net compute in float32, bfloat16 or float16; returns itself.

        Weights, noise and samples stay float32: in the narrower types the net runs under autocast. The dtype ``auto`` is bfloat16 where the
        device computes it natively, and float32 elsewhere. A dtype that the device emulates is warned of.

        Raises:
            UsageError: if there is no such device here, or dtype is not valid.
        """
        if device is not None:
            self.device = device_of(device)
            self.model.to(self.device)
        if dtype is not None:
            self.dtype = dtype_of(dtype, self.device)
        warn_if_emulated(str(self.dtype).removeprefix("torch."), self.device, "float32 is faster here; dtype auto takes what is fastest")
        return self

    def cpu(self) -> Self:
        """``to("cpu")``."""
        return self.to("cpu")

    def cuda(self) -> Self:
        """``to("cuda")``."""
        return self.to("cuda")

    def eval(self) -> Self:
        """Returns itself: the model is in eval mode from the start."""
        return self

    def require(self, capability: str, what: str) -> None:
        """Raises CapabilityError, which says that the model cannot do ``what``, unless it has the capability."""
        if capability not in self.capabilities:
            check_partial(self.model, self.family)
            whose = "model" if capability in self.family.capabilities else "family"
            raise capability_error(f"{self.name} cannot {what}: its {whose} cannot {capability}", capability)

    def _run(self, function: Callable[[Tensor, Tensor | None], Tensor], x: Tensor, labels: Tensor | None) -> Tensor:
        with self._inference():
            return function(x.float(), labels).float().cpu()

    def _samples(self, x: Tensor) -> Tensor:
        return as_floats("x", x, self.event.shape).to(self.device)

    def _inference(self, dtype: torch.dtype | None = None) -> AbstractContextManager[None]:
        """The fast memory layout, and :func:`zoo_core.hardware.devices.inference`; ``dtype`` is the model's own when None."""
        if not self._laid_out:
            # Most convolutions run faster on channels-last weights. At the first use and not in load(), since it costs a copy.
            if getattr(self.model, "channels_last", True):
                self.model.to(memory_format=torch.channels_last)
            self._laid_out = True
        return inference(self.device, dtype or self.dtype)
