"""A process that has imported everything once, and forks the processes of runs that tests let fail, each with an environment as torchrun's.

It reads a JSON object a line from stdin: ``words`` of ``zoo`` for ``count`` processes, whose stderr goes to the file ``told``; or ``wait``,
for the ends of those that run. It answers each with one line on stdout. It computes nothing itself: torch's thread pools would not survive a
fork. As torchrun does, the test holds the store at which the processes meet; unlike torchrun, nobody stops the others of one that dies.
"""

import json
import os
import platform
import resource
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


def child(request: dict[str, Any], rank: int) -> NoReturn:
    """One process of a run: ``zoo`` with the words of the request."""
    code: Any = 1
    try:
        nothing = os.open(os.devnull, os.O_RDWR)
        told = os.open(request["told"], os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        for place, handle in ((0, nothing), (1, nothing), (2, told)):
            os.dup2(handle, place)
        count = str(request["count"])
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, **request["env"]}
        distributed.PATIENCE = request.get("patience", 60.0)
        if rank == request.get("small"):  # no file of this process grows beyond that
            resource.setrlimit(resource.RLIMIT_FSIZE, (request["bytes"], request["bytes"]))
        zoo(request["words"])
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code or 0)


def main() -> None:
    torch.set_num_threads(1)
    platform.processor()  # starts a process on first use
    running: list[int] = []
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" not in request:
            running = []
            for rank in request["ranks"] if "ranks" in request else range(request["count"]):
                pid = os.fork()
                if pid == 0:
                    child(request, rank)
                running.append(pid)
            print(json.dumps(running), flush=True)
            continue
        codes: dict[int, int] = {}
        until = time.monotonic() + request["wait"]
        while len(codes) < len(running) and time.monotonic() < until:
            for pid in running:
                if pid not in codes and (ended := os.waitpid(pid, os.WNOHANG))[0]:
                    codes[pid] = os.waitstatus_to_exitcode(ended[1])
            time.sleep(0.01)  # asks again; the time decides
        for pid in running:
            if pid not in codes:
                os.kill(pid, 9)
                os.waitpid(pid, 0)
        print(json.dumps([codes.get(pid) for pid in running]), flush=True)


if __name__ == "__main__":
    main()
