"""Software versions and processor, which are recorded with every number and in cards."""

import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from zoo_core.registry import registry

if TYPE_CHECKING:
    import torch

__all__ = ["build", "plugin_commits", "plugin_versions", "processor", "source_commit", "versions"]


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


def plugin_commits(parts: Mapping[str, object]) -> dict[str, str]:
    """The commits of the plugins that registered ``parts``, where they are installed from a git repository other than zoo-core's."""
    plugins = [registry().claim_of(kind, type(part)).plugin for kind, part in parts.items()]
    core = _repository(Path(__file__).parents[1])
    commits: dict[str, str] = {}
    for plugin in plugins:
        file = getattr(sys.modules.get(plugin.module), "__file__", None)
        folder = Path(file).parent if file else None
        if folder and _repository(folder) not in ("", core):
            commits[plugin.dist] = source_commit(folder)
    return dict(sorted(commits.items()))


def source_commit(folder: Path | None = None) -> str:
    """The commit of a package's source tree, with ``+changes`` if files differ from it; empty if it is not in a git repository.

    Args:
        folder: folder of the package; that of zoo-core when None.
    """
    here = folder or Path(__file__).parents[1]
    if not _repository(here):
        return ""
    commit = _git(here, "rev-parse", "HEAD")
    changed = _git(here, "status", "--porcelain", "--untracked-files=no", "--", ".")
    return f"{commit}+changes" if commit and changed else commit


def _repository(folder: Path) -> str:
    """The git repository that tracks files of a folder; empty if there is none, as for a wheel in an environment within a repository."""
    return _git(folder, "rev-parse", "--show-toplevel") if _git(folder, "ls-files", "--", ".") else ""


def _git(folder: Path, *words: str) -> str:
    """The output of git in a folder; empty if it fails or is not installed."""
    git = shutil.which("git")
    if git is None:
        return ""
    return subprocess.run([git, *words], cwd=folder, capture_output=True, text=True, check=False).stdout.strip()


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
