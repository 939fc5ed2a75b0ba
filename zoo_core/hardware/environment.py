"""Software versions and processor, which are recorded with every number and in cards."""

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
    """The versions of Python and of packages; ``not installed`` for a missing one.

    >>> versions(["no-such-package"])["no-such-package"]
    'not installed'
    """
    return {"python": platform.python_version(), **{name: _version(name) for name in packages}}


def plugin_versions(parts: Mapping[str, object]) -> dict[str, str]:
    """The versions of the plugins that registered ``parts``, which are configs or metrics by their kinds, such as ``family``."""
    claims = [registry().claim_of(kind, type(part)) for kind, part in parts.items()]
    releases = {claim.plugin.dist: claim.plugin.version for claim in claims}
    return dict(sorted(releases.items()))


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def processor(device: "torch.device") -> str:
    """The name of the processor, such as ``AMD EPYC, 2 threads``, or of the GPU."""
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
    """The facts that decide the last digits of a sum on a CPU: torch, the machine type, and the vector instructions."""
    import torch

    return {"torch": torch.__version__, "machine": platform.machine(), "capability": torch.backends.cpu.get_cpu_capability()}
