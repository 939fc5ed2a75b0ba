"""What computed a number: the versions of what took part, and the processor; for records and cards."""

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from zoo_core.registry import registry

if TYPE_CHECKING:
    import torch

__all__ = ["build", "plugin_versions", "processor", "versions"]


def versions(packages: Sequence[str]) -> Mapping[str, str]:
    """Python's version and those of the packages; ``not installed`` where one is not."""
    return {"python": platform.python_version(), **{name: _version(name) for name in packages}}


def plugin_versions(parts: Mapping[str, object]) -> dict[str, str]:
    """The versions of the distributions that registered the parts, such as a model's config, which are given by their kinds."""
    found = {claim.plugin.dist: claim.plugin.version for claim in (registry().claim_of(kind, type(each)) for kind, each in parts.items())}
    return dict(sorted(found.items()))


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def processor(device: "torch.device") -> str:
    """Such as ``AMD EPYC, 2 threads``, or the name of a GPU."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    name = next((line.split(":")[1].strip() for line in _cpuinfo() if line.startswith("model name")), platform.processor())
    threads = torch.get_num_threads()
    return f"{name or platform.machine()}, {threads} thread{'s' if threads > 1 else ''}"


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


def build() -> dict[str, str]:
    """What decides the last digits of a sum on a CPU: torch, the kind of processor, and its vector instructions."""
    import torch

    return {"torch": torch.__version__, "machine": platform.machine(), "capability": torch.backends.cpu.get_cpu_capability()}
