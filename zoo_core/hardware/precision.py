"""Native dtypes of a device, and the one that ``auto`` means on it.

torch emulates the others: in bfloat16, a training step of a small U-Net takes ten times as long as in float32 on a CPU with AVX2 alone.
"""

import platform
import statistics
import time
import warnings
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

__all__ = ["DTYPES", "PRECISION_HINT", "auto_precision", "is_native", "slowdown", "warn_if_emulated"]

DTYPES = {"no": "float32", "bf16": "bfloat16", "fp16": "float16"}
"""The values of ``fit.precision``, and their dtypes in torch."""

PRECISION_HINT = "-o fit.precision=auto chooses the fastest one here"

_ROUNDS = 3


def is_native(dtype: str, device: "torch.device | str" = "cpu") -> bool:
    """True if a device has instructions for a dtype.

    bfloat16 is native on CPUs with AVX512-BF16, AMX or the BF16 of arm64, and on CUDA from compute capability 8 on. float16 is native on
    CPUs with AVX512-FP16, on CUDA from compute capability 7 on, and on Apple's GPUs. Older ones of these emulate bfloat16, and torch does
    not distinguish them, so bfloat16 counts as emulated on ``mps``.

    Args:
        dtype: ``float32``, ``bfloat16`` or ``float16``.
        device: device that computes.

    >>> is_native("float32")
    True
    """
    import torch

    place = torch.device(device)
    if dtype == "float32":
        return True
    if place.type == "cuda":
        least = {"bfloat16": 8, "float16": 7}[dtype]
        return torch.version.hip is not None or torch.cuda.get_device_capability(place)[0] >= least
    if place.type == "cpu":
        return _onednn_supports(dtype) and (dtype == "float16" or _cpu_has_bfloat16())
    return place.type == "mps" and dtype == "float16"


def _onednn_supports(dtype: str) -> bool:
    """True if oneDNN, which computes torch's convolutions, supports the dtype; it follows ``ONEDNN_MAX_CPU_ISA``."""
    import torch

    short = {"bfloat16": "bf16", "float16": "fp16"}[dtype]
    takes: Callable[[], bool] | None = getattr(torch.ops.mkldnn, f"_is_mkldnn_{short}_supported", None)  # torch may lack oneDNN
    return takes is not None and takes()


def _cpu_has_bfloat16() -> bool:
    """True if the CPU has bfloat16 instructions: oneDNN supports bfloat16 wherever AVX-512 is, and emulates it on older processors."""
    import torch

    if platform.machine().lower() not in ("x86_64", "amd64"):
        return True  # elsewhere oneDNN checks the instructions itself
    return any(getattr(torch.cpu, name, bool)() for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))


def auto_precision(device: "torch.device | str" = "cpu") -> Literal["no", "bf16"]:
    """The ``fit.precision`` that ``auto`` means on a device: ``bf16`` where it is native, ``no`` (float32) elsewhere."""
    return "bf16" if is_native("bfloat16", device) else "no"


def warn_if_emulated(dtype: str, device: "torch.device | str", hint: str) -> None:
    """Warns if a dtype is emulated on the device and slower than float32 there.

    Args:
        dtype: name of the dtype.
        device: device that computes.
        hint: next step, for the message.
    """
    place = str(device)
    if is_native(dtype, place) or (factor := slowdown(dtype, place)) <= 1:
        return
    problem = f"{dtype} is emulated on this {place.partition(':')[0]}: a convolution takes {factor:.1f} times as long as in float32"
    warnings.warn(f"{problem} -- {hint}", RuntimeWarning, stacklevel=3)


@cache
def slowdown(dtype: str, device: str = "cpu") -> float:
    """The time of a small convolution, forward and backward under autocast, over its time in float32; measured once per process."""
    import torch
    import torch.nn.functional as F

    place = torch.device(device)
    narrow = getattr(torch, dtype)
    x = torch.ones(8, 32, 16, 16, device=place)
    weight = torch.full((32, 32, 3, 3), 0.01, device=place, requires_grad=True)
    seconds: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(_ROUNDS + 1):
        for enabled, times in seconds.items():
            start = time.perf_counter()
            with torch.enable_grad(), torch.autocast(place.type, narrow, enabled=enabled):
                out = F.conv2d(x, weight, padding=1)
            (gradient,) = torch.autograd.grad(out.float().mean(), weight)
            float(gradient.sum())  # waits for the device
            times.append(time.perf_counter() - start)
    return statistics.median(seconds[True][1:]) / statistics.median(seconds[False][1:])
