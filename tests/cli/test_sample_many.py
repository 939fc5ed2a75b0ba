"""Theorems about many samples: processes share them, and a draw that was interrupted goes on, without a change of a bit."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from zoo_core.pretrained import Pretrained
from zoo_core.testing import environment

pytestmark = pytest.mark.usefixtures("quiet")

Zoo = Callable[..., Any]
LAUNCH = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
WORDS = ("sample", "fake-images", "--labels", "0-2", "--batch-size", "4", "--device", "cpu")


def command(
    folder: Path, *words: str, launch: tuple[str, ...] = (sys.executable,), program: tuple[str, ...] = ("-m", "zoo_core.cli")
) -> "subprocess.Popen[str]":
    env = {**environment(folder / "site"), "ZOO_PLUGINS": "zoo-fake,zoo-blobs", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([*launch, *program, *WORDS, *words], env=env, cwd=folder, stderr=subprocess.PIPE, text=True)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def written(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_two_processes_draw_the_images_of_one(tmp_path: Path, fakes: Path, zoo: Zoo) -> None:
    """21 images in batches of 4: six batches, the last of a single image, in turns."""
    for out in ("alone", "alone.npz", "alone.png"):
        assert zoo(*WORDS, "-n", 21, "--out", out).code == 0
    for out in ("shared", "shared.npz", "shared.png"):
        process = command(tmp_path, "-n", "21", "--out", out, launch=LAUNCH)
        _, told = process.communicate(timeout=300)
        assert process.returncode == 0, told
        assert told.count(f"{out}: 21 from fake-images, seed 0") == 1
    assert contents(tmp_path / "shared") == contents(tmp_path / "alone")
    assert (tmp_path / "shared.png").read_bytes() == (tmp_path / "alone.png").read_bytes()
    with np.load("alone.npz") as alone, np.load("shared.npz") as shared:
        assert np.array_equal(alone["samples"], shared["samples"])
        assert np.array_equal(alone["labels"], shared["labels"])


def test_a_file_says_which_image_it_is(fakes: Path, zoo: Zoo) -> None:
    assert zoo(*WORDS, "-n", 6, "--out", "cats").code == 0
    for i, path in enumerate(sorted(Path("cats").iterdir())):
        with Image.open(path) as image:
            assert (image.text["images"], image.text["labels"]) == (str(i), f"[{i % 3}]")


def test_a_draw_goes_on_where_it_stopped(fakes: Path, zoo: Zoo) -> None:
    assert zoo(*WORDS, "-n", 14, "--out", "cats").code == 0
    expected, before = contents(Path("cats")), written(Path("cats"))
    Path("cats/000005.png").unlink()
    Path("cats/000012.png").write_bytes(expected["000012.png"][:60])
    Path("cats/.tmp-000013.png-0123abcd").write_bytes(b"a part")
    outcome = zoo(*WORDS, "-n", 14, "--out", "cats")
    assert "cats: 14 from fake-images, seed 0, ancestral, 5 steps, 8 of them from before; " in outcome.err
    assert contents(Path("cats")) == expected
    after = written(Path("cats"))
    kept = [name for name in expected if after[name] == before[name]]
    assert sorted(kept) == [f"{i:06d}.png" for i in (0, 1, 2, 3, 8, 9, 10, 11)]


@pytest.mark.parametrize("changed", [("--seed", 1), ("--steps", 4), ("--labels", "2"), ("--batch-size", 5)])
def test_images_of_another_draw_are_replaced(fakes: Path, zoo: Zoo, changed: tuple[Any, ...]) -> None:
    assert zoo(*WORDS, "-n", 8, "--out", "cats").code == 0
    assert "from before" not in zoo(*WORDS, *changed, "-n", 8, "--out", "cats").err
    assert zoo(*WORDS, *changed, "-n", 8, "--out", "anew").code == 0
    assert contents(Path("cats")) == contents(Path("anew"))


def test_more_images_of_a_draw_are_added_to_it(fakes: Path, zoo: Zoo) -> None:
    assert zoo(*WORDS, "-n", 6, "--out", "cats").code == 0
    assert "12 from fake-images, seed 0, ancestral, 5 steps, 4 of them from before" in zoo(*WORDS, "-n", 12, "--out", "cats").err
    assert zoo(*WORDS, "-n", 12, "--out", "anew").code == 0
    assert contents(Path("cats")) == contents(Path("anew"))


def test_ctrl_c_keeps_what_is_drawn(fakes: Path, zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    sample = Pretrained.sample

    def interrupted(self: Pretrained, n: int, *, first: int, **options: Any) -> Any:
        if first == 8:
            raise KeyboardInterrupt
        return sample(self, n, first=first, **options)

    with monkeypatch.context() as patched:
        patched.setattr(Pretrained, "sample", interrupted)
        outcome = zoo(*WORDS, "-n", 12, "--out", "cats")
    assert (outcome.code, outcome.err) == (130, "zoo: stopped: 8 of 12 images are in cats -- the same command goes on from there\n")
    assert "8 of them from before" in zoo(*WORDS, "-n", 12, "--out", "cats").err


KILLED = """
import os, signal, sys
from zoo_core.cli import main
from zoo_core.pretrained import Pretrained
sample = Pretrained.sample
def killed(self, n, *, first, **options):
    if first >= 20:
        os.kill(os.getpid(), signal.SIGKILL)
    return sample(self, n, first=first, **options)
Pretrained.sample = killed
main(sys.argv[1:])
"""


def test_a_draw_of_two_processes_that_were_killed_goes_on_in_one(tmp_path: Path, fakes: Path, zoo: Zoo) -> None:
    (tmp_path / "killed.py").write_text(KILLED)
    process = command(tmp_path, "-n", "40", "--out", "cats", launch=LAUNCH, program=("killed.py",))
    process.communicate(timeout=300)
    assert process.returncode != 0
    left = contents(tmp_path / "cats")
    assert 4 <= len(left) <= 20
    assert f", {len(left) // 4 * 4} of them from before" in zoo(*WORDS, "-n", 40, "--out", "cats").err
    assert zoo(*WORDS, "-n", 40, "--out", "alone").code == 0
    assert contents(tmp_path / "cats") == contents(tmp_path / "alone")
