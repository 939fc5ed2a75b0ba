"""Theorems about several processes, on one machine's CPU: they share each batch, and come to where one process comes."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from zoo_core.cards.metrics_log import read_metrics
from zoo_core.config import dump_json
from zoo_core.distributed import Processes
from zoo_core.errors import ConfigError
from zoo_core.recipes import OptimizerConfig, Recipe
from zoo_core.testing import environment, installed, write_fake_plugin
from zoo_core.testing.fake_config import TINY, FakeTrainerConfig
from zoo_core.training.checkpoints import newest
from zoo_ddpm.config import DDPMConfig, DDPMTrainerConfig
from zoo_wgan_gp.config import WGANGPConfig, WGANGPTrainerConfig

STEPS = 20
DRIVER = Path(__file__).with_name("distributed_driver.py")
LAUNCH = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def fit(recipe: Recipe, **changes: object) -> Recipe:
    return replace(recipe, fit=replace(recipe.fit, **changes))  # type: ignore[arg-type]  # names of fields, by hand


def recipes() -> Mapping[str, Recipe]:
    ddpm = Recipe(
        model=DDPMConfig(image_size=8, channels=3, dim=8, multipliers=(1, 2), attention=(), linear_attention=(), heads=1),
        trainer=DDPMTrainerConfig(),
        fit=replace(TINY.fit, clip_norm=1.0, optimizer=OptimizerConfig(lr=1e-3)),
        data=replace(TINY.data, shape=(3, 8, 8)),  # type: ignore[type-var]  # TINY has data
    )
    wgan = replace(TINY, trainer=FakeTrainerConfig(penalty=10.0))
    wgan_gp = Recipe(
        model=WGANGPConfig(shape=(1, 8, 8), latent=3, width=3, stages=2, norm="none"),
        trainer=WGANGPTrainerConfig(width=3, n_critic=2, generator_factor=2),
        fit=fit(TINY, optimizer=OptimizerConfig(lr=1e-3)).fit,
        data=replace(TINY.data, shape=(1, 8, 8)),  # type: ignore[type-var]  # TINY has data
    )
    return {
        "ddpm": ddpm,
        "wgan": wgan,
        "accumulated": fit(wgan, accumulate=4),
        "half": fit(ddpm, precision="bf16"),
        "wgan-gp": wgan_gp,
        "batch-norm": replace(TINY, trainer=FakeTrainerConfig(batch_norm=True)),
    }


@dataclass(frozen=True)
class Seen:
    """What a process saw, and the state it ended in."""

    rows: list[list[int]]
    logs: list[dict[str, float]]
    count: int
    state: Mapping[str, Tensor]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, tuple[Seen, Seen, Seen]]:
    """Of each recipe: one process alone, then the two that share its batches."""
    folder = tmp_path_factory.mktemp("distributed")
    site = write_fake_plugin(folder / "site")
    with installed(site):
        for name, recipe in recipes().items():
            (folder / f"{name}.json").write_text(dump_json(recipe.to_dict()))
    env = environment(site)
    paths = [str(folder / f"{name}.json") for name in recipes()]
    for kind, command in (("one", [sys.executable]), ("two", [*LAUNCH])):
        done = subprocess.run(
            [*command, str(DRIVER), str(folder / kind), str(STEPS), *paths],
            env=env,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr

    def read(kind: str, name: str, index: int) -> Seen:
        plain: dict[str, Any] = json.loads((folder / kind / name / f"seen-{index}.json").read_text())
        return Seen(**plain, state=load_file(folder / kind / name / f"state-{index}.safetensors"))

    return {name: (read("one", name, 0), read("two", name, 0), read("two", name, 1)) for name in recipes()}


@pytest.mark.parametrize("name", recipes())
def test_the_data_come_in_the_same_order(seen: Mapping[str, tuple[Seen, Seen, Seen]], name: str) -> None:
    alone, first, second = seen[name]
    assert (alone.count, first.count, second.count) == (1, 2, 2)
    assert len(alone.rows) == STEPS
    assert [a + b for a, b in zip(first.rows, second.rows, strict=True)] == alone.rows


@pytest.mark.parametrize("name", ["ddpm", "wgan", "accumulated", "wgan-gp"])
def test_losses_and_gradients_are_those_of_one_process(seen: Mapping[str, tuple[Seen, Seen, Seen]], name: str) -> None:
    alone, first, second = seen[name]
    assert first.logs == second.logs
    for here, there in zip(first.logs, alone.logs, strict=True):
        # A gradient's norm is a sum in another order of numbers that cancel.
        assert here == {name: pytest.approx(value, rel=1e-5 if "loss" in name else 1e-3, abs=1e-5) for name, value in there.items()}
    for key, value in alone.state.items():
        torch.testing.assert_close(first.state[key], value, rtol=1e-3, atol=1e-4)


def test_accumulated_parts_of_a_batch_make_the_step_of_the_whole(seen: Mapping[str, tuple[Seen, Seen, Seen]]) -> None:
    for whole, parts in zip(seen["wgan"][0].logs, seen["accumulated"][0].logs, strict=True):
        assert parts == pytest.approx(whole, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("name", recipes())
def test_the_processes_end_alike_to_the_bit(seen: Mapping[str, tuple[Seen, Seen, Seen]], name: str) -> None:
    _, first, second = seen[name]
    assert first.state.keys() == second.state.keys()
    assert [key for key in first.state if not torch.equal(first.state[key], second.state[key])] == []


def test_batch_norm_sees_a_process_own_rows(seen: Mapping[str, tuple[Seen, Seen, Seen]]) -> None:
    alone, first, _ = seen["batch-norm"]
    (mean,) = [key for key in alone.state if key.endswith("running_mean")]
    assert not torch.allclose(first.state[mean], alone.state[mean], rtol=1e-3)


@pytest.fixture
def processes() -> Processes:
    return Processes("cpu")


def test_processes_and_parts_split_a_batch_without_rest(processes: Processes) -> None:
    found = []
    processes.count = 2
    for index in range(2):
        processes.index = index
        found += processes.rows(12, 3)
    assert found == [slice(start, start + 2) for start in range(0, 12, 2)]
    with pytest.raises(ConfigError, match=r"batch of 16 cannot be split evenly into 3 parts in 2 processes .*multiple of 6"):
        processes.rows(16, 3)


def test_a_run_of_two_processes_goes_on_in_one(tmp_path: Path) -> None:
    env = {**environment(write_fake_plugin(tmp_path / "site")), "ZOO_PLUGINS": "zoo-fake"}
    command = ("-m", "zoo_core.cli", "train", "fake", "--device", "cpu", "-o", "fit.log_every=1")

    def train(*words: str, launch: tuple[str, ...] = (sys.executable,)) -> None:
        done = subprocess.run([*launch, *command, *words], env=env, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=200)
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("trained; the checkpoint is") == 1

    train("--steps", "15", "--out", "shared", launch=LAUNCH)
    assert json.loads((tmp_path / "shared" / "export" / "training.json").read_text())["processes"] == 2
    train("--steps", "20", "--out", "shared")
    train("--steps", "20", "--out", "alone")
    shared, alone = (read_metrics(tmp_path / name / "metrics.jsonl") for name in ("shared", "alone"))
    assert [row["step"] for row in shared] == list(range(1, 21))
    for here, there in zip(shared, alone, strict=True):
        assert here["loss.critic"] == pytest.approx(there["loss.critic"], rel=1e-5)


def test_two_processes_watch_and_evaluate_as_one_does(tmp_path: Path) -> None:
    env = {**environment(write_fake_plugin(tmp_path / "site")), "ZOO_PLUGINS": "zoo-fake"}

    def run(launch: tuple[str, ...], *words: str) -> str:
        command = [*launch, "-m", "zoo_core.cli", *words, "--device", "cpu"]
        done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=200)
        assert done.returncode == 0, done.stderr
        return done.stdout

    points = ["-o", "model.shape=[2]", "-o", "model.bounded=false", "-o", "data.shape=[2]", "--steps", "10"]
    told, curves = [], []
    for name, launch in (("alone", (sys.executable,)), ("shared", LAUNCH)):
        run(launch, "train", "fake", "--out", name, *points, "--eval-every", "5", "--metrics", "fd,kid", "--eval-n", "100")
        metrics = ["--metrics", "fd,kid,recall,nearest-train", "-n", "150", "--batch-size", "32", "--floors"]
        told.append(json.loads(run(launch, "evaluate", "local:alone", *metrics, "--json"))["metrics"])
        curves.append([(row["fd"], row["kid"]) for row in read_metrics(tmp_path / name / "metrics.jsonl") if "fd" in row])
    assert len(curves[0]) == 3  # the first one before any training
    assert curves[1] == [(pytest.approx(fd, rel=1e-3), pytest.approx(kid, rel=1e-3)) for fd, kid in curves[0]]
    # The same samples in the same batches: the same to the bit.
    names = ("metric", "value", "stderr", "n", "nfe", "floor", "harms")
    assert [[record[name] for name in names] for record in told[1]] == [[record[name] for name in names] for record in told[0]]


def test_sigterm_ends_all_processes_after_a_checkpoint(tmp_path: Path) -> None:
    env = {**environment(write_fake_plugin(tmp_path / "site")), "ZOO_PLUGINS": "zoo-fake"}
    words = ["-m", "zoo_core.cli", "train", "fake", "--device", "cpu", "--steps", "1000000", "-o", "fit.save_every=1000000", "--out", "run"]
    metrics = tmp_path / "run" / "metrics.jsonl"
    with subprocess.Popen([*LAUNCH, *words], env=env, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        try:
            deadline = time.monotonic() + 120
            while not (metrics.exists() and read_metrics(metrics)):
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)  # asks again; the deadline decides
            process.send_signal(signal.SIGTERM)
            _, told = process.communicate(timeout=60)
        finally:
            process.kill()
    assert told.count("zoo: saving a checkpoint before stopping") == 1
    snapshot = newest(tmp_path / "run" / "steps")
    assert snapshot is not None
    assert f"stopped at step {snapshot.step} of 1000000" in told
