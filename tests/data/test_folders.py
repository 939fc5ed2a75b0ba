"""Theorems about folders of images as people have them: what is data, what is left out without a word, and what is told."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from zoo_core import images
from zoo_core.data.dataset import Data
from zoo_core.data.loaders import folder, mnist
from zoo_core.datasets import FolderConfig, MNISTConfig, expand
from zoo_core.errors import ConfigError, ResourceError, ZooError


def save(path: Path, colour: int = 0, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (8, 8), colour).save(path, **options)
    return path


def write(path: Path, data: bytes = b"\0\5\x16\7") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def read(path: Path, **options: Any) -> Data:
    return folder(FolderConfig(path=str(path), size=8, channels=1, **options))


def colours(data: Data) -> list[int]:
    return data.x[:, 0, 0, 0].tolist()


# --- what is left out without a word


@pytest.mark.parametrize(
    "name",
    [
        "._1.png",
        ".hidden.png",
        ".DS_Store",
        "Thumbs.db",
        "desktop.ini",
        "Icon\r",
        "1.json",
        "1.txt",
        "1.XMP",
        "LICENSE",
        "metadata.csv",
        "__MACOSX/._1.png",
        "__MACOSX/1.png",
        "@eaDir/1.png/SYNOFILE_THUMB_M.png",
        ".git/objects/ab/1.png",
        ".ipynb_checkpoints/1-checkpoint.png",
        ".Trash-1000/files/1.png",
        "$RECYCLE.BIN/1.png",
    ],
)
@pytest.mark.parametrize("place", ["", "cat/deep"])
def test_what_systems_and_tools_leave_behind_is_no_data_at_any_depth(name: str, place: str, tmp_path: Path) -> None:
    save(tmp_path / place / "1.png", 7)
    write(tmp_path / place / name)
    data = read(tmp_path)
    assert colours(data) == [7]
    assert data.classes == (("cat",) if place else ())


# --- what is left out and told


@pytest.mark.parametrize("place", ["", "cat/deep"])
def test_files_that_are_not_read_are_counted_by_suffix(place: str, tmp_path: Path) -> None:
    save(tmp_path / place / "1.png")
    for name in ("2.GIF", "3.gif", "4.mov", "5.zip", "IMG_0006"):
        write(tmp_path / place / name)
    with pytest.warns(RuntimeWarning, match=r"not read in .*: 2 \.gif, 1 [.\w ]+, 1 [.\w ]+, 1 [.\w ]+$"):
        assert len(read(tmp_path)) == 1


def test_a_folder_of_files_that_are_not_read_says_what_would_read_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo_core.data.folders.suffixes", lambda: frozenset({".png"}))
    write(tmp_path / "1.HEIC")
    with pytest.raises(ConfigError, match=r"no image .* in .*: it holds 1 \.heic \(to read them: pip install pillow-heif\)"):
        read(tmp_path)


def test_a_class_folder_without_images_is_told(tmp_path: Path) -> None:
    save(tmp_path / "cat" / "1.png")
    write(tmp_path / "dog" / "notes.txt")
    with pytest.warns(RuntimeWarning, match="no image in the class folders dog of .*, which are left out"):
        assert read(tmp_path).classes == ("cat",)


# --- what the zoo wrote


def sheet(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    images.save_png(path, torch.zeros(1, 1, 8, 8), {"Software": "zoo-core 0.1.0", "seed": "0"})


def preview(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    images.save_png(path, torch.zeros(1, 1, 8, 8), {"sampler": '{"name": "latent"}', "seed": "0"})


@pytest.mark.parametrize("drawn", [sheet, preview])
def test_what_the_zoo_drew_is_no_data(drawn: Callable[[Path], None], tmp_path: Path) -> None:
    save(tmp_path / "loose" / "1.png", 7)
    drawn(tmp_path / "loose" / "0.png")
    with pytest.warns(RuntimeWarning, match="left out in .*: 1 images that the zoo drew"):
        assert colours(read(tmp_path / "loose")) == [7]

    save(tmp_path / "classes" / "b" / "1.png", 7)
    drawn(tmp_path / "classes" / "a" / "1.png")
    drawn(tmp_path / "classes" / "cats.png")
    with pytest.warns(RuntimeWarning, match="1 images that the zoo drew"):
        data = read(tmp_path / "classes")
    assert (data.classes, colours(data)) == (("b",), [7])
    assert data.labels is not None
    assert data.labels.tolist() == [0]

    drawn(tmp_path / "samples" / "000000.png")
    with pytest.raises(ConfigError, match=r"the zoo drew all 1 images in .*samples"):
        read(tmp_path / "samples")


@pytest.mark.parametrize(
    "names", [["recipe.json", "metrics.jsonl"], ["recipe.json", "export/config.json"], ["config.json", "model.safetensors"]]
)
def test_run_folders_and_checkpoints_are_no_data(names: list[str], tmp_path: Path) -> None:
    save(tmp_path / "cat" / "1.png", 7)
    for name in names:
        write(tmp_path / "runs" / "mine" / name)
    save(tmp_path / "runs" / "mine" / "samples" / "step-1.png")
    with pytest.warns(RuntimeWarning, match="left out in .*: mine, which the zoo wrote"):
        data = read(tmp_path)
    assert (data.classes, colours(data)) == (("cat",), [7])
    with pytest.raises(ConfigError, match="is a run folder or a checkpoint"):
        read(tmp_path / "runs" / "mine")


# --- what cannot be read


def test_all_files_that_cannot_be_read_are_named_at_once(tmp_path: Path) -> None:
    save(tmp_path / "a" / "1.png")
    good = save(tmp_path / "a" / "2.jpg").read_bytes()
    write(tmp_path / "a" / "2.jpg", good[: len(good) // 2])
    write(tmp_path / "b" / "3.png", b"")
    write(tmp_path / "b" / "4.webp", b"no picture")
    (tmp_path / "b" / "5.png").symlink_to("nowhere")
    with pytest.raises(ConfigError, match=r"cannot read 4 of 4 files in .*: b/5\.png, a/2\.jpg, b/3\.png, b/4\.webp") as caught:
        read(tmp_path)
    reasons = caught.value.__notes__
    assert len(str(caught.value)) < 300 + len(str(tmp_path))
    assert [reason.partition(": ")[2] for reason in reasons[::2]] == ["it is a broken link", "it is empty"]


def test_of_very_many_files_that_cannot_be_read_the_first_are_named(tmp_path: Path) -> None:
    for i in range(50):
        write(tmp_path / f"{i:03d}-{'long' * 10}.png", b"no picture")
    with pytest.raises(ConfigError, match=r"cannot read 50 of 50 .*: 000-\S+, 001-\S+, \.\.\. -- remove") as caught:
        read(tmp_path)
    assert len(caught.value.__notes__) == 21
    assert caught.value.__notes__[-1] == "... and 30 more"


def test_zoo_prints_the_reason_of_each_file(tmp_path: Path, zoo: Callable[..., Any]) -> None:
    save(tmp_path / "photos" / "1.png")
    for name in ("2.png", "3.png"):
        write(tmp_path / "photos" / name, b"")
    done = zoo("train", "ddpm", "--recipe", "course", "--data", "folder:photos", "-o", "model.dim=8", "--dry-run")
    assert done.code == ConfigError.exit_code
    assert done.err.splitlines()[-3:] == [
        "cannot read photos/2.png: it is empty",
        "cannot read photos/3.png: it is empty",
        "zoo: error: cannot read 2 of 3 files in photos as images: 2.png, 3.png -- remove them, or repair them",
    ]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    save(tmp_path / "a" / "1.png")
    (tmp_path / "a" / "private").mkdir(mode=0)
    with pytest.raises(ConfigError, match="private as an image: Permission denied"):
        read(tmp_path)


# --- where the data is


def test_a_relative_path_that_is_not_there_says_from_where_it_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=rf"no folder photos in {tmp_path}, from which its relative path starts"):
        folder(FolderConfig(path="photos"))
    with pytest.raises(ConfigError, match=rf"in digits or its MNIST/raw, a path from {tmp_path}"):
        mnist(MNISTConfig(root="digits"))


def test_a_file_in_the_place_of_a_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"photos\.zip is a file, not a folder"):
        read(write(tmp_path / "photos.zip"))


def test_a_dollar_may_be_part_of_the_name_of_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ASH", raising=False)
    save(tmp_path / "c$ASH" / "1.png", 7)
    assert colours(read(tmp_path / "c$ASH")) == [7]
    monkeypatch.setenv("ASH", "at")
    assert colours(read(tmp_path / "c$ASH")) == [7]  # there is no folder "cat"
    save(tmp_path / "cat" / "1.png", 9)
    assert colours(read(tmp_path / "c$ASH")) == [9]
    assert expand("c$ASH") == "cat"


@pytest.mark.parametrize("names", [["train", "val", "test"], ["Train"], ["training", "validation"]])
def test_splits_are_no_classes_unless_they_are_named(names: list[str], tmp_path: Path) -> None:
    for name in names:
        save(tmp_path / name / "cat" / "1.png")
    with pytest.raises(ConfigError, match=rf"are splits of a data set, not classes -- --data folder:PATH/{names[0]} "):
        read(tmp_path)
    assert read(tmp_path, classes=tuple(names)).classes == tuple(names)


def test_a_train_beside_other_classes_is_a_class(tmp_path: Path) -> None:
    for name in ("bus", "train"):
        save(tmp_path / name / "1.png")
    assert read(tmp_path).classes == ("bus", "train")


# --- names, links and depth


def test_names_of_any_script_and_case_are_read(tmp_path: Path) -> None:
    names = ["Ärger", "котики", "猫", "a b", "Épi\u0301"]
    for i, name in enumerate(names):
        save(tmp_path / name / f"{name}.PNG", i)
    data = read(tmp_path)
    assert data.classes == tuple(sorted(names))
    assert colours(data) == [names.index(name) for name in data.classes]


def test_a_class_whose_name_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    try:
        os.mkdir(os.fsencode(tmp_path) + b"/caf\xe9")
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    with pytest.raises(ConfigError, match="is not UTF-8"):
        read(tmp_path)


def test_links_are_followed_and_circles_end(tmp_path: Path) -> None:
    save(tmp_path / "elsewhere" / "1.png", 7)
    save(tmp_path / "data" / "cat" / "1.png", 5)
    (tmp_path / "data" / "cat" / "more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / "cat" / "up").symlink_to(tmp_path / "data" / "cat")
    (tmp_path / "data" / "cat" / "self").symlink_to("self")
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "data" / "cat")
    assert colours(read(tmp_path / "data")) == [5, 7]


def test_folders_below_a_class_are_of_the_class_however_deep(tmp_path: Path) -> None:
    save(tmp_path / "b" / "/".join("d" * 300) / "1.png", 7)
    save(tmp_path / "a" / "x" / "1.png", 5)
    data = read(tmp_path)
    assert (data.classes, colours(data)) == (("a", "b"), [5, 7])


def test_what_is_no_file_is_told_and_not_waited_for(tmp_path: Path) -> None:
    save(tmp_path / "1.png")
    os.mkfifo(tmp_path / "2.png")
    with pytest.warns(RuntimeWarning, match="1 that are not files"):
        assert len(read(tmp_path)) == 1


def test_the_order_is_that_of_the_parts_of_the_paths(tmp_path: Path) -> None:
    for i, name in enumerate(("a/1.png", "a b/1.png", "a-b/1.png", "1.png", "b.png")):
        save(tmp_path / "cat" / name, i)
    paths = sorted(path for path in (tmp_path / "cat").rglob("*.png"))
    assert colours(read(tmp_path)) == [int(np.asarray(Image.open(path))[0, 0]) for path in paths]


# --- more or fewer classes than the model has


def test_a_model_of_more_classes_than_the_data_is_refused_with_the_way_on(tmp_path: Path, zoo: Callable[..., Any]) -> None:
    for name in ("cat", "dog"):
        save(tmp_path / "photos" / name / "1.png")
    dry = ["train", "ddpm", "--recipe", "course", "--data", "folder:photos", "-o", "model.dim=8", "--dry-run"]
    done = zoo(*dry, "-o", "model.num_classes=10")
    assert done.code == ConfigError.exit_code
    assert done.err.splitlines()[-1].endswith(
        "the data has 2 classes, and model.num_classes is 10: it would draw classes that it never saw -- -o model.num_classes=2"
    )
    assert zoo(*dry, "-o", "model.num_classes=2").code == 0


def test_a_checkpoint_of_more_classes_may_be_tuned_and_says_which_are_not_there(tmp_path: Path) -> None:
    from zoo_core.training.compatibility import check_fits

    model: Any = torch.nn.Module()
    model.num_classes, model.event = 3, Data(x=torch.zeros(2, 2)).event
    data = Data(x=torch.zeros(2, 2), labels=torch.tensor([0, 1]), classes=("a", "b"))
    with pytest.warns(RuntimeWarning, match="no sample of 1 of the model's 3 classes"):
        check_fits(model, data, begun=True)
    with pytest.raises(ZooError, match=r"-o model\.num_classes=2"):
        check_fits(model, data)


def test_images_that_do_not_fit_into_memory_are_refused_with_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo_core.hardware.memory.available_memory", lambda: 40 * 10**6)
    save(tmp_path / "1.png")
    assert len(read(tmp_path)) == 1
    save(tmp_path / "2.png")
    with pytest.raises(ResourceError, match=r"2 images of this size take 0\.1 GB of memory, and 0\.0 GB are available"):
        folder(FolderConfig(path=str(tmp_path), size=4096))
