"""Processes that pull at once fetch a file once, though some of them are killed."""

import hashlib
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from zoo_core.hub.cache import cache_folder
from zoo_core.testing import environment
from zoo_core.testing.hub import LoopbackHub, Request

from .helpers import WEIGHTS, Contents

pytest_plugins = ["zoo_core.testing.hub"]


# On a busy machine it takes long until all of them wait for the first, whose server is silent for so long.
PULL = """
from zoo_core.hub import client, download
from zoo_core.hub.fetch import pull
client.TIMEOUT = download._FILE_SECONDS = 300.0
print(pull('zoo/cats')[0].folder)
"""


@pytest.mark.parametrize(("processes", "killed"), [(4, 2), pytest.param(16, 8, marks=pytest.mark.slow)])
def test_pulls_at_once_fetch_a_file_twice_at_most_though_half_of_them_are_killed(
    hub: LoopbackHub, cats: Contents, commit: str, processes: int, killed: int, tmp_path: Path
) -> None:
    clients: list[subprocess.Popen[str]] = []
    ready, go = threading.Event(), threading.Event()

    def first(request: Request) -> None:
        """The first to ask for the weights waits until the others wait for it; then half of them die, it last: if it died first, another
        that is to die could take its place and begin a download of its own."""
        ready.set()
        go.wait(300)

    with hub.fault("GET /lfs/", on_request=first, times=1):
        for _ in range(processes):
            env = {**environment(), "ZOO_PLUGINS": ""}
            clients.append(
                subprocess.Popen([sys.executable, "-c", PULL], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            )
        try:
            assert ready.wait(300)
            _until(lambda: sum(str(request).startswith("GET /api/") for request in hub.requests) == processes)
            holder = next(client for client in clients if _holds(client, WEIGHTS, cats))
            waiting = [client for client in clients if client is not holder]
            for client in [*waiting[: killed - 1], holder]:
                client.kill()
                client.wait()
        finally:
            go.set()
        outputs = [client.communicate(timeout=300) for client in clients]
    survivors = [(client.returncode, *out) for client, out in zip(clients, outputs, strict=True) if client.returncode != -9]
    assert len(survivors) == processes - killed
    assert {code for code, _, _ in survivors} == {0}, survivors
    for name, data in cats.items():
        assert (cache_folder() / "models--zoo--cats" / "snapshots" / commit / name).read_bytes() == data
    fetched = [request.path.rpartition("/")[2] for request in hub.requests if request.status == 200 and "/api/" not in request.path]
    assert all(fetched.count(name) <= 2 for name in cats), fetched


def _holds(client: "subprocess.Popen[str]", name: str, cats: Contents) -> bool:
    """Whether a process has the unfinished download of a file open; any may be taken for it where the system does not tell."""
    handles = Path(f"/proc/{client.pid}/fd")
    if not handles.is_dir():
        return True
    oid = hashlib.sha256(cats[name]).hexdigest()
    return any(re.search(rf"/{oid}\..*incomplete$", os.readlink(path)) for path in handles.iterdir() if path.is_symlink())


def _until(condition: Callable[[], bool]) -> None:
    tick = threading.Event()
    for _ in range(30_000):
        if condition():
            return
        tick.wait(0.01)
    raise AssertionError("it never happened")
