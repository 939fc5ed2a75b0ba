"""Devices of this machine by name, and the context of inference on them."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from zoo_core.errors import UsageError

if TYPE_CHECKING:
    import torch

__all__ = ["devices", "inference", "resolve_device"]


def devices() -> tuple[str, ...]:
    """The devices of this machine: ``cpu``, and ``cuda`` (with ``cuda:0``, ``cuda:1``, ... if there are several), ``mps``, or others.

    >>> "cpu" in devices()
    True
    """
    import torch

    accelerator = torch.accelerator.current_accelerator(check_available=True)
    if accelerator is None:
        return ("cpu",)
    count = torch.accelerator.device_count()
    return ("cpu", accelerator.type, *(f"{accelerator.type}:{i}" for i in range(count) if count > 1))


def resolve_device(device: "torch.device | str | None") -> "torch.device":
    """Finds a device by its name.

    Args:
        device: device, or its name; None for the first accelerator, or the CPU.

    Raises:
        UsageError: if this machine has no such device, or it is ``meta``, which holds no values.

    >>> resolve_device("cpu")
    device(type='cpu')
    """
    import torch

    available = devices()
    if device is None:
        return torch.device(available[min(1, len(available) - 1)])
    try:
        resolved = torch.empty(0, device=device).device  # asks the device itself, which torch.device(...) does not
    except (RuntimeError, AssertionError, NotImplementedError, TypeError, ValueError):
        resolved = torch.device("meta")
    if resolved.type == "meta":
        raise UsageError(f"there is no device {str(device)[:40]!r} here", f"use {' or '.join(available)}")
    return resolved


@contextmanager
def inference(device: "torch.device", dtype: "torch.dtype") -> Iterator[None]:
    """Context without gradients: with autocast for bfloat16 and float16, and without TensorFloat-32 for float32.

    Args:
        device: device that computes.
        dtype: dtype of the computation.
    """
    import torch

    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        if dtype != torch.float32:
            stack.enter_context(torch.autocast(device.type, dtype))
        elif device.type == "cuda":
            # TensorFloat-32 convolutions, torch's default, are accurate to 1e-3 only.
            stack.enter_context(torch.backends.cudnn.flags(enabled=True, allow_tf32=False))
        yield
