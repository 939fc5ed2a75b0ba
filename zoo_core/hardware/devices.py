"""Devices of this machine, by name, and how a net computes on them."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from zoo_core.errors import UsageError

if TYPE_CHECKING:
    import torch

__all__ = ["device_of", "devices", "inference"]


def devices() -> tuple[str, ...]:
    """The devices that are here: ``cpu``, and ``cuda`` (``cuda:0``, ``cuda:1``, ... of several), ``mps`` or another accelerator."""
    import torch

    accelerator = torch.accelerator.current_accelerator(check_available=True)
    if accelerator is None:
        return ("cpu",)
    count = torch.accelerator.device_count()
    return ("cpu", accelerator.type, *(f"{accelerator.type}:{i}" for i in range(count) if count > 1))


def device_of(device: "torch.device | str | None") -> "torch.device":
    """The device of that name; the first accelerator, or the CPU, for None.

    Raises:
        UsageError: if it is not here, or holds no values.
    """
    import torch

    here = devices()
    if device is None:
        return torch.device(here[min(1, len(here) - 1)])
    try:
        found = torch.empty(0, device=device).device  # asks the device itself, which torch.device(...) does not
    except (RuntimeError, AssertionError, NotImplementedError, TypeError, ValueError):
        found = torch.device("meta")
    if found.type == "meta":
        raise UsageError(f"there is no device {str(device)[:40]!r} here", f"use {' or '.join(here)}")
    return found


@contextmanager
def inference(device: "torch.device", dtype: "torch.dtype") -> Iterator[None]:
    """No gradients, autocast for the narrow dtypes, and full float32 where float32 is asked for."""
    import torch

    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        if dtype != torch.float32:
            stack.enter_context(torch.autocast(device.type, dtype))
        elif device.type == "cuda":
            # TensorFloat-32 convolutions, torch's default, are good to 1e-3 only.
            stack.enter_context(torch.backends.cudnn.flags(enabled=True, allow_tf32=False))
        yield
