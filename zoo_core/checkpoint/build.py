"""Builds a model from the verified files of a checkpoint; names, shapes and dtypes of all its tensors must match."""

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
from zoo_core.registry import resolve
from zoo_core.registry.faults import call_plugin
from zoo_core.specs import ModelSpec

__all__ = ["build", "build_empty", "check_fit", "difference"]

# By their names in a safetensors header.
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
    """Builds the model on ``meta`` and assigns it the verified weights, in eval mode; raises as :func:`zoo_core.load` does.

    The header of the weights is compared with the config before any weight is read. Each tensor is read into its own memory, once.
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
        what = f"the family {family_of(config).name} keeps {stranded} out of its state"
        raise PluginLoadError(what, "make it a persistent buffer, or compute it when it is used")
    return model.eval().requires_grad_(False)


def check_fit(files: Files, config: CheckpointConfig, tensors: Mapping[str, TensorInfo]) -> nn.Module:
    """Checks that weights with that header fit the config, without reading them; raises as :func:`zoo_core.load` does.

    Returns:
        The model, without weights.
    """
    with _bounded(tensors, files):
        model = build_empty(family_of(config), config.model)
    state = {name: torch.empty(info.shape, dtype=_STORED[info.dtype], device="meta") for name, info in tensors.items()}
    _check(model.state_dict(), _upgraded(type(model), state, config.weights_version, files), files)
    return model


@contextmanager
def _bounded(tensors: Mapping[str, TensorInfo], files: Files) -> Iterator[None]:
    """Inside, a model may be built that is about as large as the weights say; one that grows far beyond is broken off.

    Small numbers in a config make models of millions of modules, which take minutes and gigabytes to build. A model may register a tensor
    twice, and an older version of its weights may have had fewer: hence the factors.
    """
    modules, parts = 8 * len(tensors) + 1024, 2 * len(tensors) + 256
    elements = 4 * sum(info.elements for info in tensors.values()) + 2**17
    thread = get_ident()

    def count(number: int, module_count: int, size: int) -> None:
        nonlocal modules, parts, elements
        modules, parts, elements = modules - module_count, parts - number, elements - size
        if min(modules, parts, elements) < 0:
            what = f"{files.reference}: its config describes a model far larger than its weights, which are {len(tensors):,} tensors"
            raise IncompatibleCheckpoint(what, "its config and weights do not belong together")

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
    """A model of a family on ``meta``, without weights.

    Raises:
        PluginError: its class does not give one.
    """
    with torch.device("meta"), _Uninitialised():
        return call_plugin(resolve(family.target), config, kind=nn.Module)


_INITIALISERS = {function for name, function in vars(nn.init).items() if name.endswith("_") and not name.startswith("_")}
_INITIALISERS |= {Tensor.uniform_, Tensor.normal_, Tensor.zero_, Tensor.fill_}


class _Uninitialised(TorchFunctionMode):
    """Leaves new weights as they are: on ``meta`` there is nothing to fill, and pretending to takes a third of the time."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _INITIALISERS:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


def _needed(wanted: Mapping[str, Tensor], tensors: Mapping[str, TensorInfo]) -> int:
    """Bytes that weights take while they are loaded: as they are stored, and again where they are converted."""
    converted = (value.nbytes for name, value in wanted.items() if name in tensors and _STORED[tensors[name].dtype] != value.dtype)
    return sum(info.end - info.begin for info in tensors.values()) + sum(converted)


def _read(stream: Stream, tensors: Mapping[str, TensorInfo]) -> dict[str, Tensor]:
    """The tensors of a stream that is at the end of its header."""
    state = {}
    for name, info in tensors.items():
        state[name] = value = torch.empty(info.shape, dtype=_STORED[info.dtype])
        if info.elements:
            stream.fill(value.view(-1).view(torch.uint8).numpy().data)
        if info.dtype == "BOOL":
            state[name] = value.view(torch.uint8) != 0  # a byte of a file may be any
    return state


def _upgraded(cls: Any, state: dict[str, Tensor], version: int, files: Files) -> dict[str, Tensor]:
    """A family that renames a module raises its ``weights_version`` and gives a static ``upgrade_state(state, version)``.

    It gets the state dict that was saved under ``version``, and gives that of the current one. The tensors are on ``meta``, and so without
    values, where only the names and shapes are looked at.
    """
    current: int = getattr(cls, "weights_version", 1)
    upgrade: Callable[[dict[str, Tensor], int], dict[str, Tensor]] | None = getattr(cls, "upgrade_state", None)
    if version > current:
        raise IncompatibleCheckpoint(
            f"{files.reference} has weights of version {version}, the installed plugin reads {current}", "upgrade the plugin"
        )
    return upgrade(state, version) if version < current and upgrade else state


def _check(wanted: Mapping[str, Tensor], state: dict[str, Tensor], files: Files) -> None:
    """Compares names, shapes and kinds of numbers."""
    if found := difference(state, wanted):
        raise IncompatibleCheckpoint(f"{files.reference}: {found}", "its config and weights do not belong together")


def difference(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str:
    """The first kind of difference between two sets of tensors, such as ``tensors missing: a.weight, b.weight and 3 more``; or empty."""
    found = {
        "missing": [name for name in wanted if name not in state],
        "extra": sorted(name for name in state if name not in wanted),
        "reshaped": [name for name, value in wanted.items() if name in state and state[name].shape != value.shape],
        "of another type": [name for name, value in wanted.items() if name in state and not _alike(state[name], value)],
    }
    for what, names in found.items():
        if names:
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            shown = ", ".join(name[:60] for name in names[:_SHOWN])
            return f"tensors {what}: {shown}{more}"
    return ""


def _convert(state: dict[str, Tensor], wanted: Mapping[str, Tensor], files: Files) -> None:
    """Weights that are stored in another floating-point type become, in ``state``, of that of the model.

    Raises:
        UnsafeContentError: if the model's type is narrower, and a number is infinite in it.
    """
    for name, value in wanted.items():
        if state[name].dtype == value.dtype:
            continue
        state[name] = state[name].to(value.dtype)
        if not bool(state[name].isfinite().all()):
            held = f"NaN, infinity or numbers beyond those of {str(value.dtype)[6:]} in its tensor {name[:60]!r}"
            raise UnsafeContentError(f"{WEIGHTS} of {files.reference} holds {held}", "do not use it; get the file again from where it came")


def _alike(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype or (a.is_floating_point() and b.is_floating_point())
