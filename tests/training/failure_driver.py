"""A process that has imported everything once, and forks the processes of runs that tests let fail, each with an environment as torchrun's.

It reads a JSON object a line from stdin: ``words`` of ``zoo`` for the ``ranks`` of a run, or ``wait``, the seconds until they must have
ended. It answers each with one line on stdout: process ids, or exit codes and what they said. It computes nothing itself: torch's thread
pools would not survive a fork. As under torchrun, another process holds the store at which they meet; unlike there, nobody stops the others
of one that dies.
"""

import json
import os
import platform
import resource
import signal
import sys
import time
import traceback
from typing import Any, NoReturn

import accelerate  # noqa: F401  # this and timm: what training imports on first use
import timm.optim
import timm.utils  # noqa: F401
import torch

from zoo_core import distributed
from zoo_core.cli import train as train_command  # noqa: F401
from zoo_core.cli.group import main as zoo
from zoo_core.training import fit  # noqa: F401


def child(request: dict[str, Any], rank: int, told: int) -> NoReturn:
    """One process of a run: ``zoo`` with the words of the request."""
    code: Any = 1
    try:
        nothing = os.open(os.devnull, os.O_RDWR)
        for place, handle in ((0, nothing), (1, nothing), (2, told)):
            os.dup2(handle, place)
        sys.stderr = open(2, "w", buffering=1, encoding="utf-8", closefd=False)  # noqa: SIM115  # the old one may think that it can seek
        count = str(request["count"])
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, **request["env"]}
        distributed.PATIENCE = request["patience"]
        if rank == request["full"]:  # no file that this process writes gets longer than that
            resource.setrlimit(resource.RLIMIT_FSIZE, (request["bytes"], request["bytes"]))
        zoo(request["words"])
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code or 0)


def start(request: dict[str, Any]) -> tuple[list[int], int]:
    """The process ids of the ranks of a run, and the end of the pipe where their stderr comes out."""
    told, write = os.pipe()
    running = []
    for rank in request["ranks"]:
        pid = os.fork()
        if pid == 0:
            child(request, rank, write)
        running.append(pid)
    os.close(write)
    return running, told


def ends(running: list[int], told: int, seconds: float) -> dict[str, Any]:
    """The exit codes of processes, None for one that has not ended within that time, and what all of them said."""
    codes: dict[int, int | None] = {}
    started = time.monotonic()
    while len(codes) < len(running):
        hangs = time.monotonic() > started + seconds
        for pid in (each for each in running if each not in codes):
            if hangs:
                os.kill(pid, signal.SIGKILL)
            if (ended := os.waitpid(pid, 0 if hangs else os.WNOHANG))[0]:
                codes[pid] = None if hangs else os.waitstatus_to_exitcode(ended[1])
        time.sleep(0.01)  # asks again; the time decides
    with open(told, encoding="utf-8") as file:
        return {"codes": [codes[pid] for pid in running], "told": file.read(), "seconds": time.monotonic() - started}


def main() -> None:
    torch.set_num_threads(1)
    platform.processor()  # starts a process on first use
    print(json.dumps({"ready": True}), flush=True)
    run: tuple[list[int], int] = ([], -1)
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            print(json.dumps(ends(*run, request["wait"])), flush=True)
        else:
            run = start(request)
            print(json.dumps(run[0]), flush=True)


if __name__ == "__main__":
    main()
