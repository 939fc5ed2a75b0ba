"""Theorems about ``zoo train``, in a process of its own."""

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from zoo_core.cli.train import train
from zoo_core.errors import ConfigError
from zoo_core.testing import environment, fake_zoo, write_fake_plugin

TRAIN = (sys.executable, "-m", "zoo_core.cli", "train")


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """Where the fake families are installed and no other plugin is looked at."""
    return {**environment(write_fake_plugin(tmp_path / "site")), "ZOO_PLUGINS": "zoo-fake"}


def zoo_train(*arguments: str, env: dict[str, str], cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*TRAIN, *arguments], env=env, cwd=cwd, capture_output=True, text=True, check=False)


def test_a_dry_run_prints_the_resolved_recipe_and_writes_nothing(env: dict[str, str], tmp_path: Path) -> None:
    done = zoo_train(
        "fake", "--dry-run", "--steps", "7", "--lr", "0.5", "-o", "model.classes=4", "-o", "sampler.temperature=0.5", env=env, cwd=tmp_path
    )
    recipe = json.loads(done.stdout)
    assert recipe["fit"]["steps"] == 7
    assert recipe["fit"]["optimizer"]["lr"] == 0.5
    assert recipe["model"] == {"name": "fake", "shape": [3, 8, 8], "classes": 4, "bounded": True}
    assert recipe["sampler"] == {"name": "latent", "temperature": 0.5, "truncation": None}
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


def test_a_dry_run_tells_how_often_it_goes_through_the_data_and_refuses_what_does_not_fit() -> None:
    with fake_zoo():
        dry = ["fake", "--dry-run", "--steps", "100", "--batch-size", "32"]
        told = CliRunner().invoke(train, [*dry, "-o", "data.count=256"]).stderr
        assert "256 samples of 3 x 8 x 8, 3 classes; 100 steps are 12.5 epochs\n" in told
        with pytest.raises(ConfigError, match="there is no folder /nowhere"):
            CliRunner().invoke(train, [*dry, "--data", "folder:/nowhere"], catch_exceptions=False)
        unset = CliRunner().invoke(train, [*dry, "--data", "folder:$NO_SUCH_VARIABLE"])
        assert (unset.exit_code, unset.stderr.splitlines()[-1]) == (
            0,
            "data         not here: $NO_SUCH_VARIABLE needs the environment variable NO_SUCH_VARIABLE",
        )
        with pytest.raises(ConfigError, match=r"samples of \[2\], the model of \[3, 8, 8\]"):
            CliRunner().invoke(train, [*dry, "--data", "moons"], catch_exceptions=False)


def test_a_run_leaves_a_checkpoint_that_its_reference_means(env: dict[str, str], tmp_path: Path) -> None:
    done = zoo_train("fake", "--recipe", "tiny", "--steps", "4", "--out", "run", env=env, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "")
    names = {path.name for path in (tmp_path / "run" / "export").iterdir()}
    assert names == {"README.md", "config.json", "golden.safetensors", "model.safetensors", "samples.png", "training.json"}
    record = json.loads((tmp_path / "run" / "export" / "training.json").read_text())
    assert record["command"] == "zoo train fake --recipe tiny --steps 4"
    assert "zoo sample local:run -n 16" in (tmp_path / "run" / "export" / "README.md").read_text()
    assert record["steps"] == 4
    sample = [sys.executable, "-m", "zoo_core.cli", "sample", "local:run", "-n", "3", "--out", "x.npz"]
    subprocess.run(sample, env=env, cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "x.npz").exists()


def test_the_recipe_file_of_a_run_is_a_recipe(env: dict[str, str], tmp_path: Path) -> None:
    zoo_train("fake", "--recipe", "tiny", "--steps", "3", "--out", "a", env=env, cwd=tmp_path)
    done = zoo_train("fake", "--recipe", "a/recipe.json", "--out", "b", env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    weights = [(tmp_path / name / "export" / "model.safetensors").read_bytes() for name in "ab"]
    assert weights[0] == weights[1]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--data", "moons"], {"name": "moons", "count": 10_000, "noise": 0.05, "seed": 0}),
        (["--data", "fake-data"], {"name": "fake-data", "count": 256}),
        (["--data", "gaussian-mixture", "-o", "data.means=[[0],[1]]"], {"weights": [0.2, 0.8], "means": [[0.0], [1.0]]}),
        (["--data", "mnist"], {"name": "mnist", "root": "$ZOO_DATA", "size": None}),
        (["--data", "mnist:digits"], {"name": "mnist", "root": "digits"}),
        (["--data", "cifar10", "--data-root", "$HERE"], {"name": "cifar10", "root": "$HERE"}),
        (["--recipe", "digits.json"], {"root": "a", "size": 32, "classes": ["3", "8"]}),
        (["--recipe", "digits.json", "--data", "mnist"], {"root": "a", "size": 32, "classes": ["3", "8"]}),
        (["--recipe", "digits.json", "--data", "mnist:b"], {"root": "b", "size": 32, "classes": ["3", "8"]}),
        (["--recipe", "digits.json", "--data-root", "b"], {"root": "b", "size": 32, "classes": ["3", "8"]}),
        (["--recipe", "digits.json", "--data", "fashion-mnist"], {"root": "$ZOO_DATA", "size": None, "classes": []}),
        (["--recipe", "photos.json", "--data", "folder:b"], {"path": "b", "size": 64, "classes": [], "flip": True}),
    ],
)
def test_data_is_chosen_by_name_and_keeps_what_the_recipe_says_of_the_same_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], expected: dict[str, object]
) -> None:
    monkeypatch.chdir(tmp_path)
    plain = {"model": {"name": "fake"}, "trainer": {"name": "fake"}, "fit": {}}
    digits = {"name": "mnist", "root": "a", "size": 32, "classes": ["3", "8"]}
    photos = {"name": "folder", "path": "a", "size": 64, "classes": ["cat"], "flip": True}
    for name, data in {"digits": digits, "photos": photos}.items():
        (tmp_path / f"{name}.json").write_text(json.dumps({**plain, "data": data}))
    with fake_zoo():
        done = CliRunner().invoke(train, ["fake", "--dry-run", *arguments])  # which may refuse the data, but prints what it is
    data = json.loads(done.stdout)["data"]
    assert {key: data[key] for key in expected} == expected


def test_a_run_on_mnist_records_the_root_as_it_was_written(env: dict[str, str], tmp_path: Path) -> None:
    for name, sides in {"images-idx3": (9, 28, 28), "labels-idx1": (9,)}.items():
        head = bytes([0, 0, 8, len(sides)]) + b"".join(side.to_bytes(4, "big") for side in sides)
        (tmp_path / f"train-{name}-ubyte").write_bytes(head + bytes(math.prod(sides)))
    shape = ["-o", "model.shape=[1,28,28]", "-o", "model.bounded=true", "-o", "fit.batch_size=4"]
    arguments = ["fake", *shape, "--steps", "2", "--data", "mnist", "--data-root", "$DIGITS", "--out", "run"]
    done = zoo_train(*arguments, env={**env, "DIGITS": str(tmp_path)}, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "run" / "export" / "training.json").read_text())
    assert record["recipe"]["data"]["root"] == "$DIGITS"
    assert record["data"]["count"] == 9
    assert len(record["data"]["classes"]) == 10


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["fake", "-o", "model.clases=4"], 3, "did you mean classes?"),
        (["fake", "-o", "model.classes=true"], 3, "model.classes"),
        (["fake", "-o", "fit.optimizer.lr=NaN"], 3, "fit.optimizer.lr"),
        (["fake", "-o", "model.shape=[1000000000]"], 3, "shape"),
        (["fake", "-o", "sampler=nothing"], 3, "nothing"),
        (["fake", "-o", "sampler.temp=1"], 3, "did you mean temperature?"),
        (["fake", "-o", "steps"], 3, "key=value"),
        (["fak"], 9, "did you mean fake"),
        (["fake", "--recipe", "tinny"], 9, "did you mean"),
        (["fake", "--recipe", "none.json"], 3, "none.json"),
        (["fake", "--data", "mnits"], 3, "unknown dataset 'mnits', and there is no folder of that name here -- did you mean mnist?"),
        (["fake", "--data", "moons:here"], 2, "takes no path"),
        (["fake", "--data", "folder"], 3, "missing path"),
        (["fake", "--data", "folder:x", "--data-root", "y"], 2, "folder has no root"),
        (["fake", "--data-root", "y"], 2, "fake-data has no root"),
        (["fake", "--data", "mnist", "-o", "data.classes=[3]"], 3, "data.classes[0] must be a string"),
        (["fake", "--data", "gaussian-mixture", "-o", "data.weights=[1]"], 3, "data.means"),
        (["fake", "--stpes", "3"], 2, "--steps"),
    ],
)
def test_bad_input_is_one_line_with_its_exit_code_before_torch_is_imported(
    env: dict[str, str], tmp_path: Path, arguments: list[str], code: int, words: str
) -> None:
    without_torch = tmp_path / "no-torch"
    without_torch.mkdir()
    (without_torch / "torch.py").write_text("raise SystemExit('torch was imported')")
    env = {**env, "PYTHONPATH": f"{without_torch}{os.pathsep}{env['PYTHONPATH']}"}
    done = zoo_train(*arguments, "--dry-run", env=env, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith("zoo: error: ")
    assert done.stderr.count("\n") == 1
    assert len(done.stderr) <= 301
    assert words in done.stderr


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_training_after_a_checkpoint_from_which_it_goes_on(
    env: dict[str, str], tmp_path: Path, signum: signal.Signals, code: int
) -> None:
    arguments = ["fake", "--recipe", "tiny", "-o", "fit.log_every=1", "-o", "fit.save_every=1000000000", "--out", "run"]
    process = subprocess.Popen([*TRAIN, *arguments, "--steps", "1000000"], env=env, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    metrics = tmp_path / "run" / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while not (metrics.exists() and metrics.stat().st_size) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signum)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == code
    (step,) = [int(path.name.removeprefix("step-")) for path in (tmp_path / "run" / "steps").glob("step-*")]
    *before, last = stderr.splitlines()
    assert before[0] == "training fake in run"
    assert last == f"zoo: stopped at step {step} of 1000000 -- the same command goes on from there"
    assert all(character.isprintable() or character == "\n" for character in stderr)
    done = zoo_train(*arguments, "--steps", str(step + 1), env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"\ngoing on from step {step:,} of {step + 1:,}\n" in done.stderr
    steps = [json.loads(line)["step"] for line in metrics.read_text().splitlines()]
    assert steps == list(range(1, step + 2))


@pytest.mark.parametrize(
    ("step", "told"), [(0, "stopped before anything was saved"), (7, "the newest checkpoint in run is that of step 7")]
)
def test_ctrl_c_before_the_first_step_says_what_is_saved(env: dict[str, str], tmp_path: Path, step: int, told: str) -> None:
    """While PyTorch is imported, which a module of that name stands for here."""
    (tmp_path / "slow").mkdir()
    (tmp_path / "slow" / "torch.py").write_text("import time; print('importing', flush=True); time.sleep(60)")
    if step:
        (tmp_path / "run" / "steps" / f"step-{step}").mkdir(parents=True)
    env = {**env, "PYTHONPATH": f"{tmp_path / 'slow'}{os.pathsep}{env['PYTHONPATH']}"}
    command = [*TRAIN, "fake", "--out", "run"]
    with subprocess.Popen(command, env=env, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stderr.readline() == "training fake in run\n"
        assert process.stdout.readline() == "importing\n"
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stderr.startswith("zoo: stopped")
    assert told in stderr


def test_a_changed_recipe_is_refused_with_the_difference_and_goes_on_by_fork(env: dict[str, str], tmp_path: Path) -> None:
    zoo_train("fake", "--steps", "3", "--out", "run", env=env, cwd=tmp_path)
    refused = zoo_train("fake", "--steps", "5", "--lr", "0.5", "--out", "run", env=env, cwd=tmp_path)
    assert refused.returncode == 11
    assert "fit.optimizer.lr: 0.01 -> 0.5" in refused.stderr
    assert "--fork" in refused.stderr
    forked = zoo_train("fake", "--steps", "5", "--lr", "0.5", "--out", "run", "--fork", env=env, cwd=tmp_path)
    assert forked.returncode == 0, forked.stderr
    record = json.loads((tmp_path / "run" / "export" / "training.json").read_text())
    assert record["forks"] == [{"step": 3, "changed": {"fit.optimizer.lr": [0.01, 0.5]}}]


def test_a_run_from_published_weights_has_their_model(env: dict[str, str], tmp_path: Path) -> None:
    zoo_train("fake", "--steps", "2", "-o", "model.classes=3", "--out", "a", env=env, cwd=tmp_path)
    done = zoo_train("fake", "--from", "local:a", "--steps", "2", "--keep", "1", "--out", "b", env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    recipe = json.loads((tmp_path / "b" / "recipe.json").read_text())
    assert (recipe["model"]["classes"], recipe["start_from"], recipe["fit"]["keep"]) == (3, "local:a", 1)
    other = zoo_train("fake-denoiser", "--from", "local:a", "--out", "c", env=env, cwd=tmp_path)
    assert (other.returncode, "local:a is a checkpoint of fake, not of fake-denoiser" in other.stderr) == (2, True)
    unfit = zoo_train("fake", "--recipe", "tiny", "--from", "local:a", "--out", "d", env=env, cwd=tmp_path)
    assert (unfit.returncode, "are of another model" in unfit.stderr) == (11, True)
    changes = ["-o", "model.shape=[5]", "-o", "model.bounded=false", "-o", "data.shape=[5]"]
    other = zoo_train("fake", "--from", "local:a", *changes, "--out", "e", env=env, cwd=tmp_path)
    assert other.returncode == 11
    assert re.search(
        r"another model: tensors reshaped: [\w., ]+ -- train with its model: leave --recipe and -o model.KEY out$", other.stderr
    )


def test_a_tracker_is_one_of_three(env: dict[str, str], tmp_path: Path) -> None:
    done = zoo_train("fake", "--tracker", "notebook", env=env, cwd=tmp_path)
    assert done.returncode == 2
    assert "'tensorboard', 'wandb', 'trackio'" in done.stderr
    assert zoo_train("fake", "--steps", "5", "--tracker", "tensorboard", "--out", "run", env=env, cwd=tmp_path).returncode == 0
    assert list((tmp_path / "run" / "tensorboard").glob("events.*"))
