"""Two processes fit as one does: each takes the step of a phase without an optimizer on the whole batch."""

import json
import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

from zoo_classical.config import GaussianMixtureConfig, GaussianMixtureTrainerConfig
from zoo_core.config import dump_json
from zoo_core.recipes import FitConfig, Recipe
from zoo_core.testing import environment, fake_zoo, write_fake_plugin
from zoo_core.testing.fake_config import FakeDataConfig

DRIVER = Path(__file__).parents[3] / "tests/training/distributed_driver.py"
LAUNCH = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
EM = Recipe(
    model=GaussianMixtureConfig(components=3),
    trainer=GaussianMixtureTrainerConfig(),
    fit=FitConfig(steps=4, batch_size=64, ema=None),
    data=FakeDataConfig(shape=(2,), count=64),
)


def test_two_processes_end_as_one_to_the_bit(tmp_path: Path) -> None:
    with fake_zoo("zoo-classical"):
        (tmp_path / "em.json").write_text(dump_json(EM.to_dict()))
    for kind, command in (("one", [sys.executable]), ("two", [*LAUNCH])):
        arguments = [*command, str(DRIVER), str(tmp_path / kind), "3", str(tmp_path / "em.json")]
        env = environment(write_fake_plugin(tmp_path / kind / "site"))
        done = subprocess.run(arguments, env=env, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr
    alone, *both = (tmp_path / path / "em" for path in ("one", "two", "two"))
    states = [load_file(folder / f"state-{i}.safetensors") for folder, i in ((alone, 0), (both[0], 0), (both[1], 1))]
    logs = [json.loads((folder / f"seen-{i}.json").read_text())["logs"] for folder, i in ((alone, 0), (both[0], 0), (both[1], 1))]
    assert logs[0] == logs[1] == logs[2]
    assert all(torch.equal(value, other[name]) for other in states[1:] for name, value in states[0].items())
