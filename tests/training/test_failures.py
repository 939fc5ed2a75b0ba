"""Theorems about runs of several processes of which one fails: all end soon with one line, and the next start ends as if none had failed.

The processes are forked and meet as under torchrun, without its agent, which would stop the others of one that dies.
"""

import json
import os
import random
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from zoo_core.cards.metrics_log import read_metrics
from zoo_core.errors import LostProcess, ResourceError
from zoo_core.testing import environment, write_fake_plugin

DRIVER = Path(__file__).with_name("failure_driver.py")
STEPS = 30
SOON = 20.0  # seconds in which all processes end after one has; docs/scale.md says so. It takes a tenth of one on an idle machine
LONG = 120.0  # seconds for a whole run, on a machine that does much else; it takes two
IMAGES = ["-o", "model.shape=[1,8,8]", "-o", "model.bounded=true", "-o", "data.shape=[1,8,8]"]
TRAIN = ["train", "fake", *IMAGES, "-o", "fit.save_every=4", "-o", "fit.log_every=1", "-o", "fit.sample_every=0"]


@dataclass(frozen=True)
class Ends:
    """How the processes of a run ended: their exit codes, all that they said, and after how many seconds."""

    codes: list[int | None]
    told: str
    seconds: float

    @property
    def errors(self) -> list[str]:
        return [line for line in self.told.splitlines() if not line.startswith(("training fake", "train: ", "trained; ", "going on "))]


@dataclass
class Launcher:
    """The process that forks those of the runs; see failure_driver.py."""

    process: "subprocess.Popen[bytes]"
    pids: list[int] = field(default_factory=list)
    store: Any = None

    def answer(self) -> Any:
        assert self.process.stdout is not None
        assert select.select([self.process.stdout], [], [], 3 * LONG)[0], "the driver hangs"
        return json.loads(self.process.stdout.readline())

    def ask(self, **request: object) -> Any:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        self.process.stdin.flush()
        return self.answer()

    def start(self, count: int, *words: str, port: int = 0, ranks: list[int] | None = None, **changes: object) -> None:
        """Starts the processes of a run; without a ``port`` they find a place to meet."""
        if not port:
            self.store = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        env = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port or self.store.port)}
        env |= {} if port else {"TORCHELASTIC_USE_AGENT_STORE": "True"}
        request = {
            "count": count,
            "words": words,
            "ranks": ranks or list(range(count)),
            "env": env,
            "patience": LONG,
            "full": -1,
            **changes,
        }
        self.pids = self.ask(**request)

    def wait(self, seconds: float = LONG) -> Ends:
        return Ends(**self.ask(wait=seconds))

    def run(self, count: int, *words: str) -> Ends:
        self.start(count, *words)
        ends = self.wait()
        assert ends.codes == [0] * count, ends.told
        return ends

    def reach(self, out: Path, step: int) -> None:
        """Waits until a run has taken that step."""
        until = time.monotonic() + LONG
        while not (rows := read_metrics(out / "metrics.jsonl") if (out / "metrics.jsonl").exists() else []) or rows[-1]["step"] < step:
            assert time.monotonic() < until
            time.sleep(0.002)  # asks again; the deadline decides


@pytest.fixture(scope="module")
def launcher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launcher]:
    site = write_fake_plugin(tmp_path_factory.mktemp("site"))
    # No GPU, so that several processes share a CPU. No PATH, so no git: a process of a killed process would outlive it.
    env = {**environment(site), "ZOO_PLUGINS": "zoo-fake", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PATH": ""}
    with subprocess.Popen([sys.executable, str(DRIVER)], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as process:
        try:
            launcher = Launcher(process)
            assert launcher.answer() == {"ready": True}
            yield launcher
        finally:
            process.kill()


def train(out: Path, steps: int = STEPS) -> list[str]:
    return [*TRAIN, "--steps", str(steps), "--out", str(out)]


def weights(out: Path) -> Mapping[str, Tensor]:
    """All tensors of the last checkpoint: nets, averages, and what the optimizers hold."""
    files = sorted((out / "steps" / f"step-{STEPS}").glob("*.safetensors"))
    return {f"{path.name}/{name}": value for path in files for name, value in load_file(path).items()}


def same(here: Mapping[str, Tensor], there: Mapping[str, Tensor]) -> bool:
    return here.keys() == there.keys() and all(torch.equal(here[name], there[name]) for name in here)


@pytest.fixture(scope="module")
def whole(launcher: Launcher, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of two processes that nothing happened to."""
    out = tmp_path_factory.mktemp("whole") / "run"
    assert launcher.run(2, *train(out)).errors == []
    assert json.loads((out / "export" / "training.json").read_text())["processes"] == 2
    return out


@pytest.fixture(scope="module")
def killed(launcher: Launcher, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two processes of which one was killed at a random step."""
    rng = random.Random(int(time.time()))
    out, victim = tmp_path_factory.mktemp("killed") / "run", rng.randrange(2)
    launcher.start(2, *train(out))
    launcher.reach(out, rng.randrange(5, STEPS - 8))
    os.kill(launcher.pids[victim], signal.SIGKILL)
    ends = launcher.wait()
    assert ends.codes[victim] == -signal.SIGKILL
    assert ends.codes[1 - victim] == LostProcess.exit_code
    assert len(ends.errors) == 1
    assert ends.errors[0].startswith("zoo: error: another process of this run has ended or does not answer -- start the command again")
    assert ends.seconds < SOON
    return out


def test_a_run_that_lost_a_process_goes_on_to_the_same_bits(launcher: Launcher, whole: Path, killed: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(killed, tmp_path / "run"))
    assert "going on from step " in launcher.run(2, *train(out)).told
    assert same(weights(out), weights(whole))
    assert (out / "export" / "model.safetensors").read_bytes() == (whole / "export" / "model.safetensors").read_bytes()


@pytest.mark.parametrize("count", [1, 4])
def test_a_run_that_lost_a_process_goes_on_in_another_number(
    launcher: Launcher, whole: Path, killed: Path, tmp_path: Path, count: int
) -> None:
    out = Path(shutil.copytree(killed, tmp_path / "run"))
    assert "going on from step " in launcher.run(count, *train(out)).told
    assert json.loads((out / "export" / "training.json").read_text())["processes"] == count
    found, expected = weights(out), weights(whole)
    assert found.keys() == expected.keys()
    for name, value in expected.items():  # the gradient is a sum in another order
        torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-4)


def test_of_four_processes_three_say_one_line_when_the_fourth_dies(launcher: Launcher, tmp_path: Path) -> None:
    launcher.start(4, *train(tmp_path / "run", steps=100_000))
    launcher.reach(tmp_path / "run", 5)
    os.kill(launcher.pids[2], signal.SIGKILL)
    ends = launcher.wait()
    lost = LostProcess.exit_code
    assert ends.codes == [lost, lost, -signal.SIGKILL, lost]
    assert len(ends.errors) == 1
    assert ends.seconds < SOON


def test_a_process_that_stands_still_for_a_while_holds_up_the_others_and_changes_nothing(
    launcher: Launcher, whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    launcher.start(2, *train(out))
    launcher.reach(out, 5)
    os.kill(launcher.pids[1], signal.SIGSTOP)
    step, since = -1, time.monotonic()
    while time.monotonic() < since + 1.5:  # until the other has taken no step for a while
        if (now := read_metrics(out / "metrics.jsonl")[-1]["step"]) != step:
            step, since = now, time.monotonic()
        time.sleep(0.01)
    assert step < STEPS
    os.kill(launcher.pids[1], signal.SIGCONT)
    ends = launcher.wait()
    assert (ends.codes, ends.errors) == ([0, 0], [])
    assert same(weights(out), weights(whole))


@pytest.mark.parametrize("size", [0, 100, 3000], ids=["nothing", "metrics", "checkpoint"])
def test_a_full_disk_of_the_process_that_writes_ends_all_with_one_line(launcher: Launcher, tmp_path: Path, size: int) -> None:
    launcher.start(2, *train(tmp_path / "run"), full=0, bytes=size)
    ends = launcher.wait()
    assert ends.codes[0] == ResourceError.exit_code
    assert ends.codes[1] in (ResourceError.exit_code, LostProcess.exit_code)
    assert len(ends.errors) == 1
    assert "File too large -- " in ends.errors[0]


def test_a_full_disk_of_a_process_that_draws_ends_all_with_one_line(launcher: Launcher, whole: Path, tmp_path: Path) -> None:
    draw = ["sample", f"local:{whole}", "-n", "16", "--batch-size", "4", "--out", f"{tmp_path / 'drawn'}/"]
    launcher.start(2, *draw, full=1, bytes=20)
    ends = launcher.wait()
    assert ends.codes == [LostProcess.exit_code, ResourceError.exit_code]
    assert ["File too large" in line for line in ends.errors if "error: " in line] == [True]


def test_processes_that_do_not_meet_say_so_in_one_line(launcher: Launcher, tmp_path: Path) -> None:
    with socket.socket() as silent, socket.socket() as closed:
        for place in (silent, closed):
            place.bind(("127.0.0.1", 0))
        silent.listen()
        ports = {name: place.getsockname()[1] for name, place in (("silent", silent), ("closed", closed))}
        # One without the first, whose place says nothing or is closed; and the first without the other.
        for rank, port in ((1, ports["silent"]), (1, ports["closed"]), (0, 0)):
            launcher.start(2, *train(tmp_path / "run"), port=port, ranks=[rank], patience=0.5)
            ends = launcher.wait()
            assert ends.codes == [LostProcess.exit_code]
            assert [line.split(" at ")[0] for line in ends.errors] == ["zoo: error: the 2 processes of this run did not meet"]
            assert ends.seconds < SOON
    assert not (tmp_path / "run").exists()
