"""The job script and the config of examples/scale: they are read, and the commands that they make are run without machines."""

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
JOB = ROOT / "examples/scale/train.slurm"
CONFIG = ROOT / "examples/scale/accelerate.yaml"


@pytest.fixture
def cluster(tmp_path: Path) -> dict[str, str]:
    """An environment of two machines, in which ``srun`` writes the words of its command into ``told``."""
    for name, body in (("scontrol", "printf 'node7\\nnode8\\n'"), ("srun", 'printf "%s\\n" "$@" > told')):
        (tmp_path / name).write_text(f"#!/bin/bash\n{body}\n")
        (tmp_path / name).chmod(stat.S_IRWXU)
    job = {"SLURM_JOB_NODELIST": "node[7-8]", "SLURM_NNODES": "2", "SLURM_GPUS_ON_NODE": "8", "SLURM_JOB_ID": "41"}
    return {"PATH": f"{tmp_path}:{os.environ['PATH']}", **job}


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
def test_the_job_starts_a_process_for_each_gpu_of_both_machines(tmp_path: Path, cluster: dict[str, str]) -> None:
    done = subprocess.run(
        ["bash", str(JOB), "-o", "fit.steps=5"], env={**cluster, "RECIPE": "wgan-gp/paper"}, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    told = (tmp_path / "told").read_text().splitlines()
    module = told.index("-m")
    assert told[0] == "torchrun"
    options = dict(zip(told[1:module:2], told[2:module:2], strict=True))
    assert (options["--nnodes"], options["--nproc-per-node"]) == ("2", "8")
    assert (options["--rdzv-endpoint"], options["--rdzv-id"]) == ("node7:29500", "41")
    assert told[module:] == [
        *("-m", "zoo_core.cli", "train", "wgan-gp", "--recipe", "paper", "--out", f"{tmp_path}/runs/paper", "-o", "fit.steps=5"),
    ]


def test_torchrun_takes_the_options_of_the_job(tmp_path: Path, cluster: dict[str, str]) -> None:
    from torch.distributed.run import parse_args

    subprocess.run(["bash", str(JOB)], env=cluster, cwd=tmp_path, check=True)
    words = (tmp_path / "told").read_text().splitlines()
    parsed = parse_args(words[1:])
    assert (parsed.nnodes, parsed.nproc_per_node, parsed.module, parsed.training_script) == ("2", "8", True, "zoo_core.cli")


def test_the_command_of_the_job_is_one_of_zoo(tmp_path: Path, cluster: dict[str, str]) -> None:
    from zoo_core.cli.group import zoo

    subprocess.run(["bash", str(JOB), "--dry-run"], env=cluster, cwd=tmp_path, check=True)
    words = (tmp_path / "told").read_text().splitlines()
    arguments = words[words.index("zoo_core.cli") + 1 :]
    command = zoo.get_command(None, arguments[0])  # type: ignore[arg-type]  # no context is needed
    assert command is not None
    with command.make_context("train", arguments[1:], resilient_parsing=False) as context:
        assert context.params["family"] == "ddpm"
        assert context.params["dry_run"] is True


def test_accelerate_reads_the_config() -> None:
    from accelerate.commands.config.config_args import load_config_from_file

    config = load_config_from_file(str(CONFIG))
    assert (config.num_processes, config.num_machines, str(config.distributed_type.value)) == (8, 1, "MULTI_GPU")
    assert config.mixed_precision == "no"
