"""The memory that is left is the least of what the system, the control groups and the limits of the process leave."""

import subprocess
import sys
from pathlib import Path

import pytest

from zoo_core.errors import ResourceError
from zoo_core.hardware import memory


def machine(root: Path, files: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    monkeypatch.setattr(memory, "_PROC", root / "proc")
    monkeypatch.setattr(memory, "_CGROUPS", root / "cgroup")


SYSTEM = {"proc/meminfo": "MemTotal: 99 kB\nMemAvailable:   4000000 kB\n"}


@pytest.mark.parametrize(
    ("files", "available"),
    [
        ({}, 4_096_000_000),
        ({"proc/self/cgroup": "0::/a/b\n", "cgroup/a/b/memory.max": "max", "cgroup/a/b/memory.current": "5"}, 4_096_000_000),
        ({"proc/self/cgroup": "0::/a/b\n", "cgroup/a/memory.max": "3000000", "cgroup/a/memory.current": "1000000"}, 2_000_000),
        ({"proc/self/cgroup": "0::/gone\n", "cgroup/memory.max": "3000000", "cgroup/memory.current": "1000000"}, 2_000_000),
        (
            {
                "proc/self/cgroup": "0::/\n",
                "cgroup/memory.max": "3000000",
                "cgroup/memory.current": "2500000",
                "cgroup/memory.stat": "anon 500000\ninactive_file 2000000\n",
            },
            2_500_000,
        ),
        (
            {
                "proc/self/cgroup": "5:cpu:/x\n3:hugetlb,memory:/x\n",
                "cgroup/memory/x/memory.limit_in_bytes": "700",
                "cgroup/memory/x/memory.usage_in_bytes": "900",
            },
            0,
        ),
    ],
)
def test_the_least_that_anything_leaves_is_available(
    files: dict[str, str], available: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(tmp_path, {**SYSTEM, **files}, monkeypatch)
    assert memory.available_memory() == available


def test_without_proc_it_is_the_memory_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(tmp_path, {}, monkeypatch)
    assert memory.available_memory() > 1e8


def test_a_limit_of_the_process_counts() -> None:
    limited = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (10**9, 10**9)); from zoo_core.hardware.memory import available_memory"
    )
    done = subprocess.run([sys.executable, "-c", f"{limited}; print(available_memory())"], capture_output=True, text=True, check=True)
    assert 0 < int(done.stdout) < 1e9


def test_what_does_not_fit_is_refused_with_both_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda: 2 * 10**9)
    memory.demand_memory(2 * 10**9, "the weights")
    with pytest.raises(ResourceError, match=r"the weights take 3\.0 GB of memory, and 2\.0 GB are available"):
        memory.demand_memory(3 * 10**9, "the weights")
