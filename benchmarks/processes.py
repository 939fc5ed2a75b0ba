"""``python -m benchmarks.processes``: weak scaling of training over 1, 2 and 4 processes on the CPUs of one machine (gloo), and its limit.

Each process has a batch of its own of the same size, so that a perfect machine takes the same time for a step whatever their number. A step
is timed with the exchange of gradients and, for comparison, without it, in turn: the difference is the exchange, and the time in which
processes wait for the slowest; what the step without it takes longer than that of one process is cores and memory that they share.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

from benchmarks.timing import machine

if TYPE_CHECKING:
    from zoo_core.distributed import Processes

__all__ = ["main", "measured"]

COUNTS = (1, 2, 4)
BATCH = 1024  # of each process
ROUNDS = 12


def measured() -> dict[str, float]:
    """In each of the launcher's processes: median seconds of a step of ``realnvp/2d`` with the exchange and without, the first one's."""
    import torch

    from zoo_core.distributed import Processes

    torch.set_num_threads(1)
    processes = Processes("cpu")
    times = _times(processes)  # afterwards nothing holds the nets
    processes.leave()
    whole, without = (statistics.median(column) for column in zip(*times, strict=True))
    return {"whole": whole, "without": without}


def _times(processes: "Processes") -> list[tuple[float, float]]:
    """Seconds of steps with the exchange and without, in turn."""
    from zoo_core.data.dataset import load_data
    from zoo_core.recipes import load_recipe
    from zoo_core.training.loop import Loop, build

    recipe = load_recipe("realnvp/2d")
    assert recipe.data is not None
    recipe = replace(recipe, fit=replace(recipe.fit, batch_size=BATCH * processes.count))
    loop = Loop(recipe, build(recipe), load_data(recipe.data), processes)
    loop.start()

    def timed(step: Callable[[], None]) -> float:
        processes.largest(0)  # all begin together
        started = time.perf_counter()
        step()
        return time.perf_counter() - started

    def alone() -> None:
        with processes.without_sync(loop._wrapped) if processes.count > 1 else nullcontext():
            loop.advance()

    return [(timed(loop.advance), timed(alone)) for _ in range(ROUNDS)][2:]  # the first ones fill caches


def _launched(count: int) -> dict[str, float]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count), "-m", "benchmarks.processes"]
    done = subprocess.run([*command, "--one"], stdout=subprocess.PIPE, text=True, check=True)
    times: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return times


def main() -> None:
    """Prints the table."""
    print(f"{machine()}; {os.cpu_count()} cores; {BATCH} samples a process")
    print("| processes | seconds a step | of it exchange | samples/s | of perfect scaling | limit |")
    print(f"|{'---:|' * 5}---|")
    first = 0.0
    for count in COUNTS:
        times = _launched(count)
        first = first or times["whole"]
        exchange = max(times["whole"] - times["without"], 0.0) if count > 1 else 0.0
        shared = max(times["without"] - first, 0.0) if count > 1 else 0.0
        limit = "" if count == 1 else "exchange and waiting" if exchange > shared else "cores and memory that they share"
        rate = count * BATCH / times["whole"]
        print(f"| {count} | {times['whole']:.4f} | {exchange:.4f} | {rate:,.0f} | {first / times['whole']:.0%} | {limit} |", flush=True)


if __name__ == "__main__":
    if "--one" in sys.argv:
        told = measured()
        if os.environ.get("RANK", "0") == "0":
            print(json.dumps(told))
    else:
        main()
