"""A hint fits its cause, and names what there is: of the disk, of commands and options, of figures."""

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from zoo_core.atomic import check_folder, next_step, write_file
from zoo_core.cli.group import _BUILT_IN
from zoo_core.cli.hints import COMMANDS, OPTIONS
from zoo_core.cli.sample import sample
from zoo_core.data.dataset import load_data
from zoo_core.datasets import FolderConfig, UnsetVariable
from zoo_core.errors import ResourceError, UnknownNameError
from zoo_core.registry import resolve
from zoo_core.samplers import Ancestral, Latent
from zoo_core.testing import installed, write_checkpoint_plugin, write_fake_plugin
from zoo_core.testing.fake import Fake, FakeDenoiser
from zoo_core.testing.fake_config import FakeConfig, FakeDenoiserConfig

Zoo = Callable[..., Any]
IMAGES = FakeDenoiserConfig(shape=(3, 8, 8), bounded=True, classes=3)


@pytest.fixture
def fakes(tmp_path: Path) -> Iterator[Path]:
    """``fake-points``, which decodes latents, and ``fake-images``, which denoises."""
    write_fake_plugin(tmp_path / "site")
    with installed(tmp_path / "site", names=["zoo-fake"]):
        write_checkpoint_plugin(tmp_path / "site", "fake-points", Fake(FakeConfig()), FakeConfig(), Latent())
        write_checkpoint_plugin(tmp_path / "site", "fake-images", FakeDenoiser(IMAGES), IMAGES, Ancestral(steps=5))
    with installed(tmp_path / "site", names=["zoo-fake", "zoo-blobs"]):
        yield tmp_path / "site"


# The disk

DISK = {
    errno.ENOSPC: "free some space",
    errno.EROFS: "read-only",
    errno.EACCES: "permission is missing",
    errno.EPERM: "permission is missing",
    errno.ENOENT: "that folder does not exist",
    errno.ENOTDIR: "a file stands where a folder is needed",
    errno.EISDIR: "a folder has that name",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EMFILE: "ulimit -n",
    errno.EIO: "the device reports a fault",
    errno.EDOM: "check the disk and the permissions",
}


@pytest.mark.parametrize("number", DISK)
def test_what_the_disk_refuses_has_the_hint_of_its_cause(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(ResourceError) as caught:
        write_file(tmp_path / "x.png", b"")
    assert DISK[number] in caught.value.hint
    assert ("free some" in caught.value.hint) == (number == errno.ENOSPC)
    assert os.strerror(number) in caught.value.what


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EROFS, errno.EACCES])
def test_a_folder_in_which_no_file_can_be_made_is_found_out_before_anything_is_drawn(
    number: int, zoo: Zoo, fakes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**options: object) -> None:  # as /proc and a read-only disk do, to root too
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("zoo_core.atomic.TemporaryFile", refuse)
    monkeypatch.setattr("zoo_core.pretrained.Pretrained.sample", lambda *given, **options: pytest.fail("it was drawn"))
    done = zoo("sample", "fake-images", "--out", "x.png")
    assert done.code == 8
    step = next_step(OSError(number, ""), "choose another --out")
    assert done.err == f"zoo: error: cannot write x.png: {os.strerror(number)} -- {step}\n"


def test_a_name_that_is_too_long_is_told_as_that(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="File name too long -- choose a shorter name"):
        check_folder(tmp_path / ("x" * 300 + ".png"))


def test_checking_a_folder_leaves_nothing_in_it(tmp_path: Path) -> None:
    check_folder(tmp_path / "new" / "x.png")
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_there_is_replaced_with_a_word(zoo: Zoo, fakes: Path) -> None:
    assert "replaced" not in zoo("sample", "fake-images", "-n", "1", "--out", "x.png").err
    assert zoo("sample", "fake-images", "-n", "1", "--out", "x.png").err.startswith("zoo: x.png is there already, and will be replaced\n")
    assert "x.png is there already" in zoo("figure", "fake-images", "forward", "-n", "1", "--out", "x.png").err
    assert "replaced" not in zoo("sample", "fake-images", "-n", "1", "--out", "folder").err
    assert "folder holds files already" in zoo("sample", "fake-images", "-n", "1", "--out", "folder").err


# Other programs' words


def test_commands_of_other_programs_lead_to_the_zoos(zoo: Zoo, fakes: Path) -> None:
    done = zoo("generate", "fake-images")
    assert (done.code, done.err) == (2, "zoo: error: unknown command 'generate' -- zoo sample NAME draws samples\n")
    assert "zoo list --remote --search TEXT" in zoo("find", "cat").err
    for wrong, hint in COMMANDS.items():
        assert wrong not in _BUILT_IN
        assert any(f"zoo {name}" in hint for name in (*_BUILT_IN, "--version", "--help")), hint


def test_options_of_other_programs_lead_to_the_zoos(zoo: Zoo, fakes: Path) -> None:
    assert zoo("sample", "fake-images", "--num-inference-steps", "3").err.endswith(" -- write --steps N\n")
    assert zoo("sample", "fake-images", "--num_images", "3").err.endswith(" -- write -n N\n")
    assert zoo("sample", "fake-images", "--sed", "3").err.endswith(" -- did you mean --seed?\n")
    assert zoo("pull", "fake-images", "--num-inference-steps", "3").err.endswith(" -- see `zoo pull --help`\n")
    assert "zoo completion --install" in zoo("--install-completion").err
    names = {name for target, _ in _BUILT_IN.values() for parameter in resolve(target).params for name in parameter.opts}
    for wrong, (wanted, hint) in OPTIONS.items():
        assert f"--{wrong}" not in {name for parameter in sample.params for name in parameter.opts}
        assert hint
        assert wanted in names or not wanted


def test_steps_of_a_model_that_draws_in_one_pass_say_so(zoo: Zoo, fakes: Path) -> None:
    done = zoo("sample", "fake-points", "--steps", "10")
    assert done.err == (
        "zoo: error: sampler: latent draws in one pass and has no steps -- leave --steps out; its options: temperature, truncation\n"
    )
    assert done.code == 3


def test_a_recipes_spelling_of_a_samplers_option_says_how_to_write_it_here(zoo: Zoo, fakes: Path) -> None:
    done = zoo("sample", "fake-images", "-o", "sampler.method=midpoint", "-o", "sampler.eta=0.5")
    assert done.err.endswith("unknown key 'sampler.method' -- it is an option of the sampler itself: write method=midpoint eta=0.5\n")
    assert done.code == 3


def test_an_option_of_a_recipe_without_its_part_names_the_parts_that_have_it(zoo: Zoo, fakes: Path) -> None:
    done = zoo("train", "fake", "--dry-run", "-o", "lr_schedule=cosine")
    assert done.err.endswith(" -- did you mean -o fit.lr_schedule=cosine?\n")
    assert done.code == 2


def test_an_option_of_a_scheduler_that_stands_beside_a_samplers_says_where_it_belongs(zoo: Zoo, fakes: Path) -> None:
    done = zoo("sample", "fake-images", "-o", "sigma_max=20")
    assert "unknown key 'sigma_max' -- it is an option of schedulers: -o scheduler.sigma_max=20 with --scheduler karras" in done.err
    assert done.code == 3


def test_a_part_of_a_name_leads_to_the_names_that_have_it(zoo: Zoo, fakes: Path) -> None:
    assert zoo("show", "image").err.endswith("-- did you mean fake-images?\n")
    assert UnknownNameError.of("checkpoint", "cats", ["ddpm-afhq-cat", "vae"]).hint == "did you mean ddpm-afhq-cat?"
    assert UnknownNameError.of("checkpoint", "at", ["ddpm-afhq-cat"], "install it").hint == "install it"


@pytest.mark.parametrize("name", ["dpm++", "DPM++ 2M", "dpmsolver++"])
def test_a_sampler_may_be_misspelt_with_plus_signs(name: str, zoo: Zoo, fakes: Path) -> None:
    assert zoo("sample", "fake-images", "--sampler", name).err.endswith("-- did you mean dpmpp-2m?\n")


def test_a_path_where_a_data_set_is_meant_is_led_to_folder(zoo: Zoo, fakes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for path in ("photos", "./photos", "/nowhere/photos"):
        done = zoo("train", "fake", "--data", path)
        assert done.code == 3
        assert done.err.endswith(f"unknown dataset '{path}' -- of a folder of images, write folder:{path}\n")


def test_data_of_an_unknown_name_says_that_there_is_neither_a_data_set_nor_a_folder(zoo: Zoo, fakes: Path) -> None:
    done = zoo("train", "fake", "--data", "photos")
    assert done.code == 3
    assert done.err.startswith("zoo: error: unknown dataset 'photos', and there is no folder of that name here -- ")
    assert "folder:PATH" in done.err
    assert "did you mean" not in done.err


@pytest.mark.parametrize("command", [("train", "fake"), ("evaluate", "fake-points"), ("verify", "fake-points", "--metrics")])
def test_data_of_a_misspelt_name_is_led_to_the_nearest(command: tuple[str, ...], zoo: Zoo, fakes: Path) -> None:
    done = zoo(*command, "--data", "mnits:x" if command[0] == "verify" else "mnits")
    assert done.code == 3
    assert done.err.endswith(" -- did you mean mnist?\n")


def test_data_of_an_unset_variable_says_once_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH", raising=False)
    with pytest.raises(UnsetVariable) as caught:
        load_data(FolderConfig(path="$NO_SUCH/train"))
    assert caught.value.hint == "set it: export NO_SUCH=..., or use your own images: --data folder:PATH"


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("show", "`zoo list`"),
        ("sample", "`zoo list`"),
        ("pull", "`zoo list`"),
        ("figure", "`zoo list`"),
        ("train", "`zoo list families`"),
        ("figure fake-points", "figures of fake-points: "),
        ("figure nothing-here", "see `zoo figure --help`"),
    ],
)
def test_an_argument_that_is_left_out_says_what_may_stand_there(words: str, hint: str, zoo: Zoo, fakes: Path) -> None:
    done = zoo(*words.split())
    assert done.code == 2
    assert done.err.startswith("zoo: error: Missing argument ")
    assert hint in done.err


# Figures


def test_a_figure_that_a_model_cannot_have_lists_those_that_it_can(zoo: Zoo, fakes: Path) -> None:
    done = zoo("figure", "fake-points", "reverse")
    assert done.code == 9
    assert "its family cannot denoise -- figures of fake-points: " in done.err
    assert "density" in done.err
    assert "reverse," not in done.err


def test_a_checkpoint_is_offered_the_figures_of_those_records_alone_that_it_has(zoo: Zoo, fakes: Path, tmp_path: Path) -> None:
    assert not {"loss", "metrics", "quality"} & set(figures_of("fake-points", zoo))
    run = tmp_path / "run"
    run.mkdir()
    (run / "metrics.jsonl").write_text('{"step": 1, "loss.model": 1.0}\n')
    assert figures_of(str(run), zoo) == ["loss"]
    (run / "metrics.jsonl").write_text('{"step": 1, "loss.model": 1.0, "fd": 2.0}\n')
    assert figures_of(str(run), zoo) == ["loss", "metrics"]


def figures_of(target: str, zoo: Zoo) -> list[str]:
    """The kinds of figures that the error for a missing KIND offers."""
    error: str = zoo("figure", target).err
    return error.strip().rpartition(": ")[2].split(", ")
