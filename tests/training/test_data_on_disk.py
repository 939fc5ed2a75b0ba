"""Theorems about runs on a set on disk: processes that are killed in the middle of an epoch come to the same weights."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zoo_core.cards.metrics_log import read_metrics
from zoo_core.testing import environment, write_fake_plugin

KILLED = """
import os, signal, sys
from zoo_core.cli import main
from zoo_core.training.loop import Loop
advance = Loop.advance
def killed(self):
    if self.step == 7 and os.environ["RANK"] == "1":
        os.kill(os.getpid(), signal.SIGKILL)
    advance(self)
Loop.advance = killed
main(sys.argv[1:])
"""


@pytest.mark.slow
def test_two_processes_killed_in_the_middle_of_an_epoch_come_to_the_same_weights(tmp_path: Path) -> None:
    """100 images in batches of 16: step 7 is in the second epoch; the last checkpoint is that of step 6."""
    for i in range(100):
        path = tmp_path / "photos" / "abc"[i % 3] / f"{i:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (12, 10, 3), dtype=np.uint8)).save(path)
    (tmp_path / "killed.py").write_text(KILLED)
    env = {
        **environment(write_fake_plugin(tmp_path / "site")),
        "ZOO_PLUGINS": "zoo-fake",
        "ZOO_CACHE": str(tmp_path / "cache"),
        "ZOO_WORKERS": "2",
    }
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    words = [
        "--data",
        "folder:photos",
        "--device",
        "cpu",
        "--steps",
        "12",
        "--batch-size",
        "16",
        "-o",
        "data.size=8",
        "-o",
        "data.flip=true",
        "-o",
        "model.shape=[3,8,8]",
    ]
    words += ["-o", "fit.save_every=3", "-o", "fit.log_every=1", "-o", "fit.sample_every=0"]

    def train(out: str, *program: str) -> tuple[int, str]:
        command = [*launch, *program, "train", "fake", *words, "--out", out]
        done = subprocess.run(
            command, env={**env, "ZOO_WORKERS": "2"}, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300
        )
        return done.returncode, done.stderr

    cli = ("-m", "zoo_core.cli")
    done = subprocess.run([sys.executable, *cli, "data", "folder:photos", "-o", "size=8", "--decode"], env=env, cwd=tmp_path, check=True)
    assert done.returncode == 0
    assert train("whole", *cli)[0] == 0
    assert train("torn", "killed.py")[0] != 0
    assert [path.name for path in sorted((tmp_path / "torn" / "steps").glob("step-*"))][-1] == "step-6"
    code, told = train("torn", *cli)
    assert code == 0, told
    assert "going on from step 6 of 12" in told
    whole, torn = (tmp_path / name / "export" / "model.safetensors" for name in ("whole", "torn"))
    assert whole.read_bytes() == torn.read_bytes()
    losses = [[row["loss.critic"] for row in read_metrics(tmp_path / name / "metrics.jsonl")] for name in ("whole", "torn")]
    assert losses[0] == losses[1]
