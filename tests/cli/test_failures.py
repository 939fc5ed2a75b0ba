"""Every failure of ``zoo`` is one line with an exit code: bad use, damage, bugs, memory and disk."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load, save

from zoo_core.cli.console import MAX_LINE, error_line
from zoo_core.testing import installed, write_plugin

HEAD = "from zoo_core.hookspecs import hookimpl\nfrom zoo_core.specs import *\n\n@hookimpl\ndef zoo_specs():\n    return "

pytestmark = pytest.mark.usefixtures("quiet")

Zoo = Callable[..., Any]
ErrorLine = Callable[[Any], str]


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
def test_every_failure_is_one_line_with_its_exit_code_and_writes_nothing(
    case: str, zoo: Zoo, fakes: Path, tmp_path: Path, one_error_line: ErrorLine
) -> None:
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


def test_too_little_memory_is_exit_code_8_and_names_the_options(
    zoo: Zoo, fakes: Path, monkeypatch: pytest.MonkeyPatch, one_error_line: ErrorLine
) -> None:
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


def test_damaged_weights_end_with_their_own_exit_codes(zoo: Zoo, fakes: Path, tmp_path: Path, one_error_line: ErrorLine) -> None:
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


def test_a_bug_is_one_line_too(zoo: Zoo, fakes: Path, monkeypatch: pytest.MonkeyPatch, one_error_line: ErrorLine) -> None:
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


def test_a_full_disk_is_exit_code_8(zoo: Zoo, fakes: Path, monkeypatch: pytest.MonkeyPatch, one_error_line: ErrorLine) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    result = zoo("sample", "fake-images", "-n", 1, "--out", "x.png")
    assert result.code == 8
    assert "No space left" in one_error_line(result)
    assert not list(Path().glob("*.png*"))
