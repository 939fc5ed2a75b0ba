"""The command line: what it prints and where, how it fails, what it writes, and what it does not import."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load, save

from zoo_core.cli import main
from zoo_core.cli.console import MAX_LINE, error_line, inert
from zoo_core.cli.group import _BUILT_IN
from zoo_core.hub.fetch import fetch
from zoo_core.images import grid, to_uint8
from zoo_core.samplers import Ancestral
from zoo_core.testing import environment, fake_zoo, installed, write_checkpoint, write_checkpoint_plugin, write_fake_plugin, write_plugin
from zoo_core.testing.fake import Fake, FakeDenoiser
from zoo_core.testing.fake_config import FakeConfig, FakeDenoiserConfig

HEAD = "from zoo_core.hookspecs import hookimpl\nfrom zoo_core.specs import *\n\n@hookimpl\ndef zoo_specs():\n    return "
ZOO = (sys.executable, "-m", "zoo_core.cli")
HEAVY = {"torch", "numpy", "timm", "huggingface_hub"}
IMAGES = FakeDenoiserConfig(shape=(3, 8, 8), bounded=True, classes=3)


class Result(NamedTuple):
    code: int
    out: str
    err: str


Zoo = Callable[..., Result]


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Runs each test in a folder of its own and without a network, and puts signal handlers back."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("COLUMNS", "200")
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def zoo(capsys: pytest.CaptureFixture[str]) -> Zoo:
    """Runs ``zoo`` in this process."""

    def run(*args: object) -> Result:
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            main([str(arg) for arg in args])
        found = capsys.readouterr()
        return Result(exit_.value.code or 0, found.out, found.err)

    return run


@pytest.fixture
def fakes(tmp_path: Path) -> Iterator[Path]:
    """The fake families with two checkpoints, ``fake-points`` and ``fake-images``; the folder of the latter."""
    write_fake_plugin(tmp_path / "site")
    with fake_zoo():
        write_checkpoint_plugin(tmp_path / "site", "fake-points", Fake(FakeConfig()), FakeConfig())
        folder = write_checkpoint_plugin(tmp_path / "site", "fake-images", FakeDenoiser(IMAGES), IMAGES, Ancestral(steps=5))
    with installed(tmp_path / "site", names=["zoo-fake", "zoo-blobs"]):
        yield folder


def run(*args: object, env: dict[str, str] | None = None, site: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Runs ``zoo`` in a process of its own."""
    full = {**environment(*([site] if site else [])), **(env or {})}
    return subprocess.run([*ZOO, *map(str, args)], env=full, capture_output=True, text=True, check=False)


def one_error_line(result: Result | subprocess.CompletedProcess[str]) -> str:
    """The one line of an error; checks that it is one, and stdout empty."""
    out, err = (result.out, result.err) if isinstance(result, Result) else (result.stdout, result.stderr)
    assert out == ""
    assert re.fullmatch(r"zoo: error: [^\n]+\n", err), err
    assert len(err) <= MAX_LINE + 1
    return err


def test_the_list_names_checkpoints_with_family_size_and_licence(zoo: Zoo, fakes: Path) -> None:
    code, out, err = zoo("list")
    assert (code, err) == (0, "")
    header, *rows = [re.split(r"  +", line) for line in out.splitlines()]
    assert header == ["NAME", "FAMILY", "SIZE", "DATASET", "LICENSE", "SUMMARY"]
    assert [row[0] for row in rows] == ["fake-images", "fake-points"]
    assert rows[0][1] == "fake-denoiser"
    assert rows[0][3:5] == ["fake-data", "unknown"]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("checkpoints", "fake-points"),
        ("families", "fake"),
        ("samplers", "ancestral"),
        ("schedulers", "cosine"),
        ("datasets", "folder"),
        ("recipes", "fake/tiny"),
        ("trainers", "fake-denoiser"),
    ],
)
def test_every_kind_is_listed_for_people_and_for_programs(kind: str, name: str, zoo: Zoo, fakes: Path) -> None:
    assert any(line.split()[0] == name for line in zoo("list", kind).out.splitlines())
    code, out, err = zoo("list", kind, "--json")
    assert (code, err) == (0, "")
    [found] = [record for record in json.loads(out) if record["key"] == name]
    assert found["dist"] in ("zoo-core", "zoo-fake", "zoo-blobs")
    assert found["conflict"] is False


def test_a_kind_that_nobody_offers_says_so(zoo: Zoo, tmp_path: Path) -> None:
    with installed(tmp_path, names=[]):
        code, out, err = zoo("list", "families")
        assert (code, out) == (0, "")
        assert "none installed" in err
        assert json.loads(zoo("list", "families", "--json").out) == []


def test_a_name_claimed_twice_is_listed_twice_with_both_distributions(zoo: Zoo, tmp_path: Path) -> None:
    for dist in ("zoo-p", "zoo-q"):
        write_plugin(tmp_path / dist, dist, HEAD + "[CheckpointSpec(name='cats', family='x')]")
    with installed(tmp_path / "zoo-p", tmp_path / "zoo-q", names=["zoo-p", "zoo-q"]):
        code, out, err = zoo("list")
        assert code == 0
        assert [line.split("  ")[0] for line in out.splitlines()[1:]] == ["zoo-p:cats !", "zoo-q:cats !"]
        assert err == "zoo: ! checkpoint cats is claimed by zoo-p and zoo-q -- say which: zoo-p:cats or zoo-q:cats\n"
        result = zoo("show", "cats")
        assert result.code == 9
        assert "zoo-p and zoo-q" in one_error_line(result)


def test_a_broken_plugin_costs_the_list_one_line_and_nothing_else(zoo: Zoo, tmp_path: Path) -> None:
    write_plugin(tmp_path / "bad", "zoo-bad", "print('noise')\nraise RuntimeError('no \\x1b[31mluck\\n' + 'x' * 999)")
    write_plugin(tmp_path / "good", "zoo-good", HEAD + "[CheckpointSpec(name='cats', family='x')]")
    with installed(tmp_path / "bad", tmp_path / "good", names=["zoo-bad", "zoo-good"]):
        code, out, err = zoo("list", "--json")
        assert code == 0
        assert [record["name"] for record in json.loads(out)] == ["cats"]
        assert err.count("\n") == 1
        assert re.match(r"zoo: plugin zoo_bad \(zoo-bad\) failed at import: RuntimeError: no \\x1b\[31mluck x+\.\.\. -- ", err)
        assert len(err) <= MAX_LINE + 1
        assert "BROKEN: failed at import" in zoo("plugins").out
        code, out, err = zoo("plugins", "--check")
        assert code == 9
        assert zoo("--help").code == 0


def test_plugins_check_resolves_every_target(zoo: Zoo, fakes: Path, tmp_path: Path) -> None:
    code, out, err = zoo("plugins", "--check")
    assert (code, err) == (0, "")
    assert re.search(r"zoo-fake +\S+ +zoo_core.testing.fake_plugin +\d+ ok ", out)
    write_plugin(tmp_path / "bad", "zoo-bad", HEAD + "[ModelSpec(name='x', target='zoo_bad:Nothing')]")
    with installed(tmp_path / "bad", names=["zoo-bad"]):
        assert zoo("plugins").code == 0
        code, out, err = zoo("plugins", "--check", "--json")
        assert code == 9
        assert "zoo_bad:Nothing" in json.loads(out)[1]["broken"]


def test_show_is_a_page_with_the_rest_by_options_and_for_programs(zoo: Zoo, fakes: Path) -> None:
    code, out, err = zoo("show", "fake-images")
    assert (code, err) == (0, "")
    for told in ("fake-denoiser", "denoise labels", "960", "unknown", "zoo-blobs 1.0", "scheduler ", "zoo sample fake-images"):
        assert told in out
    assert len(out.splitlines()) <= 40
    assert "## Use" not in out
    assert zoo("show", "fake-images", "--card").out.rstrip() == json.loads(zoo("show", "fake-images", "--json").out)["readme"].rstrip()
    assert fetch("fake-images").digest("model.safetensors") in zoo("show", "fake-images", "--files").out
    code, out, err = zoo("show", "fake-images", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["capabilities"] == ["denoise", "labels"]
    assert zoo("show", "fake-images", "--json", "--card").code == 2


def test_escapes_in_a_card_are_shown_inert(zoo: Zoo, tmp_path: Path) -> None:
    with fake_zoo():
        folder = write_checkpoint(tmp_path / "x", Fake(FakeConfig()), FakeConfig())
        card = (folder / "README.md").read_text()
        (folder / "README.md").write_text(card.replace("A fake model.", "A \x1b]0;owned\x07 \u202efake \x9b31m model."))
        out = zoo("show", f"local:{folder}").out
    assert "\\x1b]0;owned\\x07 \\u202efake \\x9b31m" in out
    assert inert(out) == out


def test_pull_verifies_and_prints_the_folder(zoo: Zoo, fakes: Path) -> None:
    code, out, err = zoo("pull", "fake-images", "fake-points")
    assert code == 0
    assert [Path(line).name for line in out.splitlines()] == ["fake-images", "fake-points"]
    assert err.count("match their pins; from zoo-blobs 1.0") == 2


def test_sample_writes_a_grid_that_says_what_made_it(zoo: Zoo, fakes: Path) -> None:
    code, out, err = zoo("sample", "fake-images", "-n", 4, "--seed", 3, "--labels", "0,2", "--steps", 7, "-o", "eta=0.5", "--device", "cpu")
    assert (code, out) == (0, "")
    assert err.startswith("fake-images.png: 4 from fake-images, seed 3, ancestral, 7 steps (eta 0.5); ")
    with Image.open("fake-images.png") as image:
        text = image.text
    assert text["reference"] == "fake-images"
    assert text["weights"] == "sha256:" + fetch("fake-images").digest("model.safetensors")
    assert json.loads(text["sampler"]) == {"name": "ancestral", "steps": 7, "eta": 0.5, "clip": True, "variance": "small"}
    assert (text["seed"], json.loads(text["labels"]), text["images"]) == ("3", [0, 2, 0, 2], "0-3")


@pytest.mark.parametrize(
    ("labels", "classes", "columns"),
    [("0-2", [0, 1, 2], 3), ("1-2,0", [1, 2, 0], 3), ("2-2", [2], 5), ("0,2", [0, 2], 4), ("1,1,0,0,2,2", [1, 1, 0, 0, 2, 2], 6)],
)
def test_classes_take_turns_and_have_columns_of_their_own(zoo: Zoo, fakes: Path, labels: str, classes: list[int], columns: int) -> None:
    for out in ("x.png", "x.npz"):
        assert zoo("sample", "fake-images", "-n", 14, "--labels", labels, "--out", out).code == 0
    with np.load("x.npz") as data:
        assert data["labels"].tolist() == [classes[i % len(classes)] for i in range(14)]
        expected = grid(torch.from_numpy(data["samples"]), columns)
    with Image.open("x.png") as image:
        assert np.array_equal(np.asarray(image), expected.permute(1, 2, 0).numpy())


def test_the_same_images_come_as_grid_folder_and_npz(zoo: Zoo, fakes: Path) -> None:
    for out in ("x.npz", "cats", "x.png"):
        assert zoo("sample", "fake-images", "-n", 3, "--out", out).code == 0
    with np.load("x.npz") as data:
        pixels = to_uint8(torch.from_numpy(data["samples"]))
    for i, path in enumerate(sorted(Path("cats").iterdir())):
        with Image.open(path) as image:
            assert np.array_equal(np.asarray(image), pixels[i].permute(1, 2, 0).numpy())


def test_points_are_drawn_as_a_scatter_plot_and_not_clipped(zoo: Zoo, fakes: Path) -> None:
    assert zoo("sample", "fake-points", "-n", 400, "--out", "x.png").code == 0
    assert zoo("sample", "fake-points", "-n", 400, "--out", "x.npz").code == 0
    with np.load("x.npz") as data:
        assert np.abs(data["samples"]).max() > 1
    with Image.open("x.png") as image:
        assert image.width > 400


def test_naming_a_sampler_starts_from_its_own_defaults(zoo: Zoo, fakes: Path) -> None:
    assert "seed 0, ddim, 50 steps;" in zoo("sample", "fake-images", "-n", 1, "--sampler", "ddim").err
    assert "seed 0, ancestral, 5 steps;" in zoo("sample", "fake-images", "-n", 1).err
    assert ", 5 steps on karras;" in zoo("sample", "fake-images", "-n", 1, "--scheduler", "karras").err


BAD_USE: dict[str, tuple[int, tuple[str, ...]]] = {
    "unknown command": (2, ("smaple",)),
    "unknown option": (2, ("sample", "fake-images", "--sed", "1")),
    "missing argument": (2, ("sample",)),
    "seed out of range": (2, ("sample", "fake-images", "--seed", "-1")),
    "too many images": (2, ("sample", "fake-images", "-n", str(10**20))),
    "no name to write": (2, ("sample", "fake-images", "--out", "")),
    "a suffix alone": (2, ("sample", "fake-images", "--out", ".png")),
    "a figure without a name": (2, ("figure", "fake-images", "forward", "--out", "")),
    "a file for a folder": (2, ("sample", "fake-images", "--out", f"{__file__}/x.png")),
    "the sampler's name as an option": (2, ("sample", "fake-images", "-o", "name=ddim")),
    "the scheduler's name as an option": (2, ("sample", "fake-images", "--scheduler", "karras", "-o", "scheduler.name=cosine")),
    "options of no scheduler": (2, ("sample", "fake-images", "-o", "scheduler.rho=3")),
    "unknown scheduler option": (3, ("sample", "fake-images", "--scheduler", "karras", "-o", "scheduler.roh=3")),
    "bad number": (2, ("sample", "fake-images", "-n", "none")),
    "no images": (2, ("sample", "fake-images", "-n", "0")),
    "neither a kind nor a pattern that matches": (9, ("list", "cats")),
    "no reference": (2, ("show", "a b")),
    "bad labels": (2, ("sample", "fake-images", "--labels", "cat")),
    "a range of labels backwards": (2, ("sample", "fake-images", "--labels", "2-0")),
    "a range of labels without an end": (2, ("sample", "fake-images", "--labels", "0-")),
    "far too many labels": (2, ("sample", "fake-images", "--labels", "0-99999999999")),
    "label out of range": (2, ("sample", "fake-images", "--labels", "9")),
    "label out of range whose turn does not come": (2, ("sample", "fake-images", "-n", 1, "--labels", "0-9")),
    "guidance without labels": (2, ("sample", "fake-images", "--guidance", "2")),
    "unknown suffix": (2, ("sample", "fake-images", "--out", "x.gif")),
    "points one by one": (2, ("sample", "fake-points", "--out", "folder")),
    "no device": (2, ("sample", "fake-images", "--device", "abacus")),
    "bad percentages": (2, ("figure", "fake-images", "forward", "--at", "0,101")),
    "no loss": (2, ("figure", "fake-images", "loss")),
    "no picture": (2, ("figure", "fake-images", "forward", "--image", "nothing.png")),
    "unknown sampler": (3, ("sample", "fake-images", "--sampler", "dimm")),
    "unknown scheduler": (3, ("sample", "fake-images", "--scheduler", "cosines")),
    "unknown sampler option": (3, ("sample", "fake-images", "-o", "stepz=3")),
    "option without a value": (3, ("sample", "fake-images", "-o", "eta")),
    "option out of range": (3, ("sample", "fake-images", "-o", "eta=2")),
    "the hub": (4, ("pull", "ORG/NAME")),
    "no folder": (4, ("show", "local:nowhere")),
    "unknown checkpoint": (9, ("show", "fake-image")),
    "what it cannot do": (9, ("sample", "fake-points", "--sampler", "ddim")),
    "no noise levels": (9, ("figure", "fake-points", "reverse")),
}


@pytest.mark.parametrize("case", BAD_USE)
def test_every_failure_is_one_line_with_its_exit_code_and_writes_nothing(case: str, zoo: Zoo, fakes: Path, tmp_path: Path) -> None:
    expected, args = BAD_USE[case]
    before = sorted(tmp_path.iterdir())
    result = zoo(*args)
    one_error_line(result)
    assert result.code == expected
    assert sorted(tmp_path.iterdir()) == before


def test_suggestions_name_the_nearest(zoo: Zoo, fakes: Path) -> None:
    assert "did you mean sample?" in zoo("smaple").err
    assert "did you mean fake-images" in zoo("show", "fake-image").err
    assert "did you mean ddim" in zoo("sample", "fake-images", "--sampler", "dimm").err
    assert "did you mean steps?" in zoo("sample", "fake-images", "-o", "stepz=3").err
    assert "did you mean fake-images?" in zoo("show", "Fake-Images").err
    assert "use --sampler NAME" in zoo("sample", "fake-images", "-o", "name=ddim").err
    assert "labels must be in 0 ... 2, not 9" in zoo("sample", "fake-images", "--labels", "9").err
    assert "-- correct that value" in zoo("sample", "fake-images", "-o", "eta=2").err


def test_options_of_the_scheduler_change_the_noise_levels(zoo: Zoo, fakes: Path) -> None:
    for rho, name in ((3, "a.png"), (7, "b.png")):
        assert zoo("sample", "fake-images", "-n", 1, "--scheduler", "karras", "-o", f"scheduler.rho={rho}", "--out", name).code == 0
    with Image.open("a.png") as a, Image.open("b.png") as b:
        assert json.loads(a.info["scheduler"])["rho"] == 3
        assert a.tobytes() != b.tobytes()


def test_too_little_memory_is_exit_code_8_and_names_the_options(zoo: Zoo, fakes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **options: object) -> None:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")

    monkeypatch.setattr("zoo_core.pretrained.Pretrained.sample", full)
    result = zoo("sample", "fake-images", "--out", "x.png")
    assert result.code == 8
    assert "-n or --batch-size" in one_error_line(result)


def test_a_plugin_that_claims_the_names_of_others_breaks_no_checkpoint(zoo: Zoo, fakes: Path, tmp_path: Path) -> None:
    sly = "[SamplerSpec(name='ancestral', target='sly:S', requires='denoise'), SchedulerSpec(name='linear', target='sly:S')]"
    write_plugin(tmp_path / "sly", "zoo-sly", HEAD + sly)
    with installed(tmp_path / "site", tmp_path / "sly", names=["zoo-fake", "zoo-blobs", "zoo-sly"]):
        assert zoo("sample", "fake-images", "-n", 1, "--out", "x.png").code == 0
        assert zoo("sample", "fake-images", "-n", 1, "--sampler", "ancestral", "--scheduler", "linear", "--out", "x.png").code == 0
        _, out, err = zoo("list", "samplers")
        names = [re.split("  +", line)[0] for line in out.splitlines()[1:]]
        assert {"ancestral", "zoo-sly:ancestral !"} <= set(names)
        assert "zoo: ! sampler ancestral is that of zoo-core -- the other is written zoo-sly:ancestral\n" in err


def test_a_closed_stderr_and_a_folder_that_is_gone_are_borne(fakes: Path, tmp_path: Path) -> None:
    env = environment(tmp_path / "site")
    shell = f"{' '.join(ZOO)} show nothing-like-that 2>&-"
    done = subprocess.run(["sh", "-c", shell], env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (9, "")
    shell = f"mkdir gone && cd gone && rmdir ../gone && {' '.join(ZOO)} sample fake-images"
    done = subprocess.run(["sh", "-c", shell], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 8
    assert "the current folder is gone -- cd" in one_error_line(done)


def test_a_plugin_selected_in_vain_leaves_help_and_plugins(tmp_path: Path) -> None:
    for args in (("--help",), ("--version",), ("plugins",), ("list", "samplers")):
        assert run(*args, env={"ZOO_PLUGINS": "typo"}).returncode == 0
    done = run("show", "cat", env={"ZOO_PLUGINS": "typo"})
    assert done.returncode == 9
    assert "unknown plugin 'typo'" in one_error_line(done)


def test_damaged_weights_end_with_their_own_exit_codes(zoo: Zoo, fakes: Path, tmp_path: Path) -> None:
    whole = (fakes / "model.safetensors").read_bytes()
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "config.json").write_bytes((fakes / "config.json").read_bytes())
    (fakes / "model.safetensors").write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    state = load(whole)
    cases = {
        "fake-images": (5, None),
        "local:mine": (11, save({name: value for name, value in state.items() if name != "mean"})),
    }
    for reference, (expected, data) in cases.items():
        if data is not None:
            (mine / "model.safetensors").write_bytes(data)
        result = zoo("sample", reference)
        one_error_line(result)
        assert result.code == expected
    (mine / "model.safetensors").write_bytes(whole[:-1])
    assert zoo("sample", "local:mine").code == 7


def test_debug_may_stand_anywhere_and_adds_the_traceback(zoo: Zoo, fakes: Path) -> None:
    for args in (("--debug", "show", "nothing"), ("show", "nothing", "--debug")):
        code, _, err = zoo(*args)
        assert code == 9
        assert "Traceback" in err
        assert err.splitlines()[-1].startswith("zoo: error: unknown checkpoint 'nothing'")
    assert "Traceback" not in zoo("show", "nothing").err


def test_a_bug_is_one_line_too(zoo: Zoo, fakes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo_core.loading.info", lambda reference: 1 / 0)
    result = zoo("show", "fake-images")
    assert result.code == 1
    assert "ZeroDivisionError" in one_error_line(result)


def test_no_token_is_shown_not_even_in_a_traceback(zoo: Zoo, fakes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret-token-of-mine")
    for reference in ("local:secret-token-of-mine", "local:hf_AbCdEfGhIjKlMn"):
        for args in (("show", reference), ("show", reference, "--debug")):
            err = zoo(*args).err
            assert "zoo: error: " in err
            assert "secret-token" not in err
            assert "AbCdEfGh" not in err


def test_error_lines_are_short_inert_and_keep_their_hint() -> None:
    line = error_line("a\x1b[31m\nb\u202e" + "x" * 999, "do\nthis")
    assert line.startswith("zoo: error: a\\x1b[31m b\\u202exxx")
    assert line.endswith("... -- do this")
    assert len(line) == MAX_LINE
    assert len(error_line("w" * 999, "h" * 999)) == MAX_LINE


@pytest.mark.parametrize("name", _BUILT_IN)
def test_every_command_has_help_with_examples(name: str, zoo: Zoo, fakes: Path) -> None:
    code, out, err = zoo(name, "--help")
    assert (code, err) == (0, "")
    assert "Examples:\n" in out
    assert f"zoo {name}" in out.split("Examples:")[1]
    assert max(map(len, out.splitlines())) < 80


def test_help_is_what_zoo_alone_prints(zoo: Zoo, fakes: Path) -> None:
    assert zoo() == zoo("--help") == zoo("-h")
    for name in _BUILT_IN:
        assert re.search(rf"^  {name} ", zoo().out, re.MULTILINE)


COMMANDS = (
    "import click\n\n\n@click.command()\ndef hello():\n    click.echo('hello from a plugin')\n\n\n"
    + HEAD
    + "[CommandSpec(name='hello', target='zoo_hello:hello', summary='Says hello.'), CommandSpec(name='list', target='zoo_hello:hello')]"
)


def test_plugins_add_commands_and_replace_none(zoo: Zoo, tmp_path: Path) -> None:
    write_plugin(tmp_path / "hello", "zoo-hello", COMMANDS)
    with installed(tmp_path / "hello", names=["zoo-hello"]):
        assert "Says hello." in zoo("--help").out
        assert zoo("hello").out == "hello from a plugin\n"
        assert "hello" not in zoo("list", "samplers").out


def imports(*args: str, site: Path) -> set[str]:
    source = "import sys\nfrom zoo_core.cli import main\ntry: main()\nfinally: print('MODULES', *sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", source, *args], env=environment(site), capture_output=True, text=True, check=False)
    return set(done.stderr.rpartition("MODULES")[2].split())


def test_light_commands_import_nothing_heavy(fakes: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    for args in (("list",), ("list", "families", "--json"), ("plugins",), ("--help",), ("sample", "--help"), ("--version",), ("nope",)):
        loaded = imports(*args, site=site)
        assert "click" in loaded
        assert not loaded & {*HEAVY, "yaml", "PIL", "matplotlib", "tqdm"}, args
    assert not imports("show", "fake-images", site=site) & HEAVY
    assert not imports("pull", "ORG/NAME", site=site) & {*HEAVY, "yaml"}


def test_bad_options_and_configs_are_refused_before_torch(fakes: Path, tmp_path: Path) -> None:
    config = json.loads((fakes / "config.json").read_text())
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "config.json").write_text(json.dumps({**config, "model": {"name": "os.system"}}))
    for args in (
        ("sample", "fake-images", "--sampler", "dimm"),
        ("sample", "fake-images", "-o", "steps=true"),
        ("sample", "fake-images", "--out", "x.gif"),
        ("sample", "local:bad"),
        ("figure", "local:bad", "reverse"),
    ):
        assert not imports(*args, site=tmp_path / "site") & HEAVY, args


def test_version_help_list_and_plugins_work_with_every_plugin_broken(tmp_path: Path) -> None:
    for dist in ("zoo-ddpm", "zoo-bad"):
        write_plugin(tmp_path / "site", dist, "raise SystemExit(7)")
    for args in (("--version",), ("--help",), ("list", "samplers"), ("plugins",)):
        done = run(*args, site=tmp_path / "site")
        assert (done.returncode, bool(done.stdout)) == (0, True)
    done = run("--no-plugins", "list", "samplers", site=tmp_path / "site")
    assert (done.returncode, done.stderr) == (0, "")
    done = run("list", "samplers", site=tmp_path / "site", env={"ZOO_PLUGINS": ""})
    assert (done.returncode, done.stderr) == (0, "")


def test_what_a_plugin_prints_never_reaches_stdout(tmp_path: Path) -> None:
    write_plugin(tmp_path / "site", "zoo-loud", "print('loud')\n" + HEAD + "print('louder') or []")
    done = run("list", "samplers", "--json", site=tmp_path / "site")
    assert {"ancestral", "latent"} <= {record["name"] for record in json.loads(done.stdout)}


def test_a_reader_that_leaves_early_is_no_error() -> None:
    shell = f"{' '.join(ZOO)} list samplers | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", shell], env=environment(), capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.returncode in (0, 141)


SLOW = """
import time
from zoo_core.samplers import Ancestral
noise_levels = Ancestral.noise_levels
def slow(self, model, scheduler):
    open("started", "w").close()
    time.sleep(60)
Ancestral.noise_levels = slow
from zoo_core.cli import main
main()
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_with_their_exit_code_and_leave_no_file(number: int, code: int, fakes: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    env = environment(tmp_path / "site")
    command = [sys.executable, "-c", SLOW, "sample", "fake-images", "--out", "x.png"]
    with subprocess.Popen(command, env=env, cwd=work, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while not (work / "started").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert re.fullmatch(r"zoo: (interrupted|terminated)\n", err)
    assert [path.name for path in work.iterdir()] == ["started"]


def test_a_full_disk_is_exit_code_8(zoo: Zoo, fakes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    result = zoo("sample", "fake-images", "-n", 1, "--out", "x.png")
    assert result.code == 8
    assert "No space left" in one_error_line(result)
    assert not list(Path().glob("*.png*"))


def test_the_forward_figure_starts_at_the_picture_and_ends_in_noise(zoo: Zoo, fakes: Path) -> None:
    pixels = np.full((8, 8, 3), 200, dtype=np.uint8)
    Image.fromarray(pixels).save("grey.png")
    code, out, err = zoo("figure", "fake-images", "forward", "--image", "grey.png", "--out", "x.png")
    assert (code, out) == (0, "")
    assert "x.png: t = 0 (\u03c3 = 0, 0 %), t = 5 (\u03c3 = 0.169, 10 %), " in err
    assert err.endswith(", t = 50 (\u03c3 = 1,010, 100 %)\n")
    with Image.open("x.png") as image:
        cells = np.asarray(image.convert("RGB"))[-130:, :].astype(float)
    spread = [cells[5:120, left : left + 115].std() for left in range(5, 5 * 130, 130)]
    assert spread[0] == 0
    assert all(earlier < later + 5 for earlier, later in pairwise(spread))
    assert spread[-1] > 50


def test_the_reverse_figure_ends_with_the_sample(zoo: Zoo, fakes: Path) -> None:
    assert zoo("figure", "fake-images", "reverse", "-n", 1, "--out", "x.png").code == 0
    assert zoo("sample", "fake-images", "-n", 1, "--out", "s.npz").code == 0
    with Image.open("x.png") as image, np.load("s.npz") as data:
        cell = np.asarray(image)[-258:-130, -130:-2][8::16, 8::16]
        assert np.array_equal(cell, to_uint8(torch.from_numpy(data["samples"]))[0].permute(1, 2, 0).numpy())
        assert image.text["reference"] == "fake-images"


def test_the_loss_of_a_run_is_drawn_from_its_metrics(zoo: Zoo, tmp_path: Path) -> None:
    run_folder = tmp_path / "run"
    run_folder.mkdir()
    lines = [json.dumps({"step": step, "loss.model": 1 / step, "seconds": step}) for step in range(1, 50)]
    (run_folder / "metrics.jsonl").write_text("\n".join(lines) + '\n{"step": 50, "lo')
    code, out, err = zoo("figure", "run", "loss", "--out", "x.png")
    assert (code, out, err) == (0, "", "x.png: loss.model over 49 steps\n")
    assert zoo("figure", "local:run", "loss").err == "run-loss.png: loss.model over 49 steps\n"
    with Image.open("x.png") as image:
        assert image.width > 600
