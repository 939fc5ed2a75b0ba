"""Precision by the hardware: the number types that a device computes natively, and the one that ``auto`` means on it.

torch emulates the others: in bfloat16, a training step of a small U-Net takes ten times as long as in float32 on a CPU that has AVX2 alone.
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
"""The dtypes of ``fit.precision``, by their names in torch."""

PRECISION_HINT = "-o fit.precision=auto takes what is fastest here"

_ROUNDS = 3


def is_native(dtype: str, device: "torch.device | str" = "cpu") -> bool:
    """Says whether a device has instructions for a dtype.

    bfloat16 is native on CPUs with AVX512-BF16, AMX or the BF16 of arm64, and on CUDA from compute capability 8 on. float16 is native on
    CPUs with AVX512-FP16, on CUDA from compute capability 7 on, and on Apple's GPUs. The older of these emulate bfloat16, and torch does
    not tell them apart, so bfloat16 counts as emulated on ``mps``.

    Args:
        dtype: ``float32``, ``bfloat16`` or ``float16``.
        device: the device that computes.
    """
    import torch

    place = torch.device(device)
    if dtype == "float32":
        return True
    if place.type == "cuda":
        least = {"bfloat16": 8, "float16": 7}[dtype]
        return torch.version.hip is not None or torch.cuda.get_device_capability(place)[0] >= least
    if place.type == "cpu":
        return _cpu_takes(dtype) and (dtype == "float16" or _cpu_has_bfloat16())
    return place.type == "mps" and dtype == "float16"


def _cpu_takes(dtype: str) -> bool:
    """Whether oneDNN, which computes torch's convolutions, takes the dtype; it follows ``ONEDNN_MAX_CPU_ISA``."""
    import torch

    short = {"bfloat16": "bf16", "float16": "fp16"}[dtype]
    takes: Callable[[], bool] | None = getattr(torch.ops.mkldnn, f"_is_mkldnn_{short}_supported", None)  # torch may lack oneDNN
    return takes is not None and takes()


def _cpu_has_bfloat16() -> bool:
    """Whether the instructions are there: oneDNN takes bfloat16 wherever it finds AVX-512, and emulates it on older processors."""
    import torch

    if platform.machine().lower() not in ("x86_64", "amd64"):
        return True  # elsewhere oneDNN asks for the instructions itself
    return any(getattr(torch.cpu, name, bool)() for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))


def auto_precision(device: "torch.device | str" = "cpu") -> Literal["no", "bf16"]:
    """The ``fit.precision`` that ``auto`` means on a device: ``bf16`` where it is native, ``no`` (float32) elsewhere."""
    return "bf16" if is_native("bfloat16", device) else "no"


def warn_if_emulated(dtype: str, device: "torch.device | str", hint: str) -> None:
    """Warns of a dtype that is emulated on the device and slower than float32 there; ``hint`` says what to do instead."""
    place = str(device)
    if is_native(dtype, place) or (factor := slowdown(dtype, place)) <= 1:
        return
    what = f"{dtype} is emulated on this {place.partition(':')[0]}: a convolution takes {factor:.1f} times as long as in float32"
    warnings.warn(f"{what} -- {hint}", RuntimeWarning, stacklevel=3)


@cache
def slowdown(dtype: str, device: str = "cpu") -> float:
    """Seconds of a small convolution, forward and backward under autocast, over its seconds in float32; measured once in a process."""
    import torch
    import torch.nn.functional as F

    place, narrow = torch.device(device), getattr(torch, dtype)
    x, weight = torch.ones(8, 32, 16, 16, device=place), torch.full((32, 32, 3, 3), 0.01, device=place, requires_grad=True)
    seconds: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(_ROUNDS + 1):
        for enabled, found in seconds.items():
            start = time.perf_counter()
            with torch.enable_grad(), torch.autocast(place.type, narrow, enabled=enabled):
                out = F.conv2d(x, weight, padding=1)
            (gradient,) = torch.autograd.grad(out.float().mean(), weight)
            float(gradient.sum())  # waits for the device
            found.append(time.perf_counter() - start)
    return statistics.median(seconds[True][1:]) / statistics.median(seconds[False][1:])
