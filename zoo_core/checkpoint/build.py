"""Construction of a model from the verified files of a checkpoint; names, shapes and dtypes of all tensors must match."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from threading import get_ident
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)
from torch.overrides import TorchFunctionMode

from zoo_core.checkpoint.config import CheckpointConfig, family_of
from zoo_core.checkpoint.files import WEIGHTS, Files, Stream
from zoo_core.checkpoint.safetensors import TensorInfo
from zoo_core.errors import IncompatibleCheckpoint, PluginLoadError, UnsafeContentError
from zoo_core.hardware.memory import demand_memory
from zoo_core.interfaces import ModelConfig
from zoo_core.registry import registry, resolve
from zoo_core.registry.faults import call_plugin
from zoo_core.specs import ModelSpec

__all__ = ["build", "build_empty", "check_fit", "difference", "model_of"]

# By their name in a safetensors header.
_STORED = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
_SHOWN = 3


def build(files: Files, config: CheckpointConfig) -> nn.Module:
    """Builds the model on ``meta``, assigns the verified weights, and returns it in eval mode; raises as :func:`zoo_core.load` does.

    The header of the weights is compared with the config before any weight is read. Each tensor is read once, into its own memory.
    """

    def read(stream: Stream) -> tuple[nn.Module, dict[str, Tensor]]:
        tensors = stream.header()
        model = check_fit(files, config, tensors)
        demand_memory(_needed(model.state_dict(), tensors), f"the weights of {files.reference}", "load them on a larger machine")
        return model, _read(stream, tensors)

    model, stored = files.stream(WEIGHTS, read)
    state = _upgraded(type(model), stored, config.weights_version, files)
    del stored
    _convert(state, model.state_dict(), files)
    model.load_state_dict(state, strict=True, assign=True)
    stranded = next((name for name, value in (*model.named_parameters(), *model.named_buffers()) if value.is_meta), None)
    if stranded:
        message = f"the family {family_of(config).name} omits {stranded} from its state dict"
        raise PluginLoadError(message, "make it a persistent buffer, or compute it when it is used")
    return model.eval().requires_grad_(False)


def check_fit(files: Files, config: CheckpointConfig, tensors: Mapping[str, TensorInfo]) -> nn.Module:
    """Checks that weights fit the config, by their header alone; raises as :func:`zoo_core.load` does.

    Args:
        files: files of the checkpoint, for messages.
        config: its config.
        tensors: header of its weights.

    Returns:
        The model on ``meta``, without weights.
    """
    with _bounded(tensors, files):
        model = build_empty(family_of(config), config.model)
    state = {name: torch.empty(info.shape, dtype=_STORED[info.dtype], device="meta") for name, info in tensors.items()}
    _check(model.state_dict(), _upgraded(type(model), state, config.weights_version, files), files)
    return model


@contextmanager
def _bounded(tensors: Mapping[str, TensorInfo], files: Files) -> Iterator[None]:
    """Bounds the size of a model that is built inside by that of the weights; a far larger model raises IncompatibleCheckpoint.

    Small numbers in a config can describe models of millions of modules, which take minutes and gigabytes to build. A model may register a
    tensor twice, and an older version of its weights may have fewer: hence the factors.
    """
    modules = 8 * len(tensors) + 1024
    parts = 2 * len(tensors) + 256
    elements = 4 * sum(info.elements for info in tensors.values()) + 2**17
    thread = get_ident()

    def count(number: int, module_count: int, size: int) -> None:
        nonlocal modules, parts, elements
        modules, parts, elements = modules - module_count, parts - number, elements - size
        if min(modules, parts, elements) < 0:
            message = f"{files.reference}: its config describes a model far larger than its weights, which are {len(tensors):,} tensors"
            raise IncompatibleCheckpoint(message, "its config and weights do not belong together")

    def of_tensor(module: nn.Module, name: str, value: Tensor | None) -> None:
        if value is not None and get_ident() == thread:
            count(1, 0, value.numel())

    def of_module(module: nn.Module, name: str, value: nn.Module | None) -> None:
        if get_ident() == thread:
            count(0, 1, 0)

    with ExitStack() as hooks:
        for register, hook in (
            (register_module_parameter_registration_hook, of_tensor),
            (register_module_buffer_registration_hook, of_tensor),
            (register_module_module_registration_hook, of_module),
        ):
            hooks.callback(register(hook).remove)
        yield


def build_empty(family: ModelSpec, config: ModelConfig) -> nn.Module:
    """Builds a model of a family on ``meta``, without weights.

    Raises:
        PluginError: if the target of the family does not return an ``nn.Module``.
    """
    with torch.device("meta"), _Uninitialised():
        return call_plugin(resolve(family.target), config, kind=nn.Module)


def model_of(config: ModelConfig) -> nn.Module:
    """Builds the model of a config of any installed family, with new weights from torch's global generator.

    >>> from zoo_core.config import decode
    >>> type(model_of(decode(ModelConfig, {"name": "realnvp"}))).__name__
    'RealNVP'

    Args:
        config: the config; a model may hold the config of another one as a field, and build it by this function.

    Raises:
        UnknownNameError: if no installed plugin has the class of the config.
        PluginError: if the target of the family raises, or does not return an ``nn.Module``.
    """
    family = registry().spec(ModelSpec, registry().name_of("family", type(config)))
    return call_plugin(resolve(family.target), config, kind=nn.Module)


_INITIALISERS = {function for name, function in vars(nn.init).items() if name.endswith("_") and not name.startswith("_")}
_INITIALISERS |= {Tensor.uniform_, Tensor.normal_, Tensor.zero_, Tensor.fill_}


class _Uninitialised(TorchFunctionMode):
    """Skips the initialisation of new weights: tensors on ``meta`` hold no values, and the calls take a third of the time."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _INITIALISERS:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


def _needed(wanted: Mapping[str, Tensor], tensors: Mapping[str, TensorInfo]) -> int:
    """Returns the bytes that weights take while they are loaded: as stored, and again for those that are converted."""
    converted = (value.nbytes for name, value in wanted.items() if name in tensors and _STORED[tensors[name].dtype] != value.dtype)
    return sum(info.end - info.begin for info in tensors.values()) + sum(converted)


def _read(stream: Stream, tensors: Mapping[str, TensorInfo]) -> dict[str, Tensor]:
    """Reads the tensors of a stream that stands at the end of its header."""
    state = {}
    for name, info in tensors.items():
        state[name] = value = torch.empty(info.shape, dtype=_STORED[info.dtype])
        if info.elements:
            stream.fill(value.view(-1).view(torch.uint8).numpy().data)
        if info.dtype == "BOOL":
            state[name] = value.view(torch.uint8) != 0  # a file may contain any byte
    return state


def _upgraded(cls: Any, state: dict[str, Tensor], version: int, files: Files) -> dict[str, Tensor]:
    """Returns the state dict of the current version of a family's weights.

    A family that renames a module increases its ``weights_version`` and has a static ``upgrade_state(state, version)``, which converts a
    state dict of ``version`` to the current version. The tensors are on ``meta``, without values, if only names and shapes are checked.
    """
    current: int = getattr(cls, "weights_version", 1)
    upgrade: Callable[[dict[str, Tensor], int], dict[str, Tensor]] | None = getattr(cls, "upgrade_state", None)
    if version > current:
        raise IncompatibleCheckpoint(
            f"{files.reference} has weights of version {version}, the installed plugin reads {current}", "upgrade the plugin"
        )
    return upgrade(state, version) if version < current and upgrade else state


def _check(wanted: Mapping[str, Tensor], state: dict[str, Tensor], files: Files) -> None:
    """Raises IncompatibleCheckpoint if names, shapes or kinds of dtypes differ."""
    if message := difference(state, wanted):
        raise IncompatibleCheckpoint(f"{files.reference}: {message}", "its config and weights do not belong together")


def difference(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str:
    """Describes the first kind of difference between two sets of tensors; empty if there is none.

    >>> difference({}, {"a.weight": torch.zeros(1), "b.weight": torch.zeros(1)})
    'tensors missing: a.weight, b.weight'
    """
    differences = {
        "missing": [name for name in wanted if name not in state],
        "extra": sorted(name for name in state if name not in wanted),
        "reshaped": [name for name, value in wanted.items() if name in state and state[name].shape != value.shape],
        "of another type": [name for name, value in wanted.items() if name in state and not _alike(state[name], value)],
    }
    for kind, names in differences.items():
        if names:
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            shown = ", ".join(name[:60] for name in names[:_SHOWN])
            return f"tensors {kind}: {shown}{more}"
    return ""


def _convert(state: dict[str, Tensor], wanted: Mapping[str, Tensor], files: Files) -> None:
    """Converts weights in ``state`` that are stored in another floating-point type to that of the model.

    Raises:
        UnsafeContentError: if the model's type is narrower and a number overflows.
    """
    for name, value in wanted.items():
        if state[name].dtype == value.dtype:
            continue
        state[name] = state[name].to(value.dtype)
        if not bool(state[name].isfinite().all()):
            content = f"NaN, infinity or numbers beyond those of {str(value.dtype)[6:]} in its tensor {name[:60]!r}"
            raise UnsafeContentError(f"{WEIGHTS} of {files.reference} holds {content}", "do not use it; download the file again")


def _alike(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype or (a.is_floating_point() and b.is_floating_point())
