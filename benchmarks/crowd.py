"""``python -m benchmarks.crowd [CHECKPOINT]``: 21 visitors of the page at once, and its memory before, meanwhile and afterwards.

Needs the extra ``[ui]``, and Linux for its figures of memory. 20 visitors draw 64 images each; the last one comes while they wait.
"""

import os
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as `zoo` does; read when torch is imported

from benchmarks.timing import machine  # see above
from zoo_core.ui.controls import OWN
from zoo_core.ui.page import serve
from zoo_core.ui.studio import Studio

VISITORS = 20
IMAGES = 64


def resident() -> float:
    """Resident memory of this process, in MB."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) / 1000


@contextmanager
def peak() -> Iterator[list[float]]:
    """Inside a ``with`` block, the largest resident memory is the last item of the list."""
    most = [resident()]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            most.append(max(most[-1], resident()))

    thread = threading.Thread(target=watch)
    thread.start()
    yield most
    done.set()
    thread.join()


def draw(client: Any, checkpoint: str, seed: int) -> str:
    note: str = client.predict(checkpoint, IMAGES, seed, OWN, OWN, None, "", None, api_name="/draw")[1]
    return note


def round_of(studio: Studio, clients: list[Any], checkpoint: str) -> tuple[float, str]:
    """The seconds of the requests of all visitors, and the answer to the one who comes last."""
    gate = threading.Event()
    get = studio._models.get
    studio._models.get = lambda reference: gate.wait() and get(reference)  # type: ignore[method-assign]  # so that all of them are there
    with ThreadPoolExecutor(VISITORS) as threads:
        waiting = [threads.submit(draw, client, checkpoint, seed) for seed, client in enumerate(clients[:VISITORS])]
        while len(studio.line) < VISITORS:
            time.sleep(0.01)
        try:
            refusal = draw(clients[-1], checkpoint, VISITORS)
        except Exception as error:
            refusal = f"refused: {error}"
        started = time.perf_counter()
        gate.set()
        notes = [future.result() for future in waiting]
    del studio._models.get  # type: ignore[method-assign]
    assert all(f"seed {seed}" in note for seed, note in enumerate(notes))
    return time.perf_counter() - started, refusal


def main(checkpoint: str) -> None:
    from gradio_client import Client

    print(machine())
    with Studio([checkpoint]) as studio, serve(studio) as address:
        clients = [Client(address, verbose=False, analytics_enabled=False, download_files=False) for _ in range(VISITORS + 1)]
        draw(clients[0], checkpoint, 0)
        print(f"after one drawing: {resident():,.0f} MB")
        for number in range(1, 4):
            with peak() as most:
                seconds, refusal = round_of(studio, clients, checkpoint)
            print(f"round {number}: {VISITORS} requests in {seconds:.1f} s, peak {most[-1]:,.0f} MB, afterwards {resident():,.0f} MB")
        print(f"request {VISITORS + 1}: {refusal}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "vae-mnist")
