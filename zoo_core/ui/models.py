"""Loaded models of the page: a few in memory, and the choices that each of them allows."""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from zoo_core.capabilities import supports
from zoo_core.errors import ZooError
from zoo_core.figures.titles import walk_text
from zoo_core.hardware.memory import release_memory
from zoo_core.registry import registry
from zoo_core.samplers.factory import rules
from zoo_core.specs import SamplerSpec

if TYPE_CHECKING:
    from zoo_core.pretrained import Pretrained

__all__ = ["Abilities", "Models", "abilities"]


class Models:
    """The models that were used last; older ones leave the memory.

    >>> models = Models(1)
    >>> models.get("realnvp-moons").name, models.get("maf-moons").name, models.loaded
    ('realnvp-moons', 'maf-moons', ('maf-moons',))

    Args:
        most: largest number of models in memory.
        device: device of the models.
    """

    def __init__(self, most: int = 2, device: str | None = None) -> None:
        self._most = most
        self._device = device
        self._models: OrderedDict[str, Pretrained] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def loaded(self) -> tuple[str, ...]:
        """References of the models in memory, the last used one at the end."""
        return tuple(self._models)

    def get(self, reference: str) -> "Pretrained":
        """Returns a model, and loads it if it is not in memory; raises as :func:`zoo_core.load` does."""
        from zoo_core.loading import load

        with self._lock:
            model = self._models.pop(reference, None)
            if model is None:
                self._keep(self._most - 1)
                model = load(reference, device=self._device)
            self._models[reference] = model
            return model

    def release(self, keep: int = 1) -> None:
        """Removes all models but the ``keep`` last used ones, and gives freed memory back to the system."""
        with self._lock:
            self._keep(keep)
        release_memory()

    def _keep(self, count: int) -> None:
        while len(self._models) > count:
            self._models.popitem(last=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Abilities:
    """The choices that a model allows.

    >>> Abilities(draws=False).samplers
    ()

    Args:
        draws: whether it draws samples; a classifier does not.
        denoises: whether it has noise levels, steps, a reverse process and inpainting.
        image: whether its samples are images; otherwise they are points or texts, if it draws any that can be shown.
        plane: whether its samples are points in the plane.
        samplers: names of the samplers that support it.
        schedulers: names of the schedulers, for models that denoise.
        default: its own sampler, in words.
        classes: number of classes; 0 without labels.
        names: names of the classes; may be empty.
        guided: whether classifier-free guidance is possible.
    """

    draws: bool
    denoises: bool = False
    image: bool = False
    plane: bool = False
    samplers: tuple[str, ...] = ()
    schedulers: tuple[str, ...] = ()
    default: str = ""
    classes: int = 0
    names: tuple[str, ...] = ()
    guided: bool = False


def abilities(model: "Pretrained") -> Abilities:
    """The choices that a loaded model allows."""
    from zoo_core.images import is_image

    try:
        sampler = model.sampler
    except ZooError:
        return Abilities(draws=False)
    specs = [claims[0].spec for claims in registry().claims(SamplerSpec).values()]
    samplers = tuple(spec.name for spec in specs if isinstance(spec, SamplerSpec) and supports(model.capabilities, spec.requires))
    denoises = model.denoises and model.event.categories is None  # the process of texts is no picture
    classes = int(getattr(model.model, "num_classes", 0)) if "labels" in model.capabilities else 0
    return Abilities(
        draws=True,
        denoises=denoises,
        image=is_image(model.event.shape),
        plane=tuple(model.event.shape) == (2,),
        samplers=samplers,
        schedulers=rules() if denoises else (),
        default=walk_text(sampler, model.scheduler_of(sampler)),
        classes=classes,
        names=model.classes if len(model.classes) == classes else (),
        guided=denoises and classes > 0 and not getattr(model.model, "needs_labels", False),
    )
