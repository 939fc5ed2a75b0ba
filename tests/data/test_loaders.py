"""Theorems about the data sets of zoo-core: registration, options, and missing files."""

import dataclasses
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from zoo_core.config import decode, encode
from zoo_core.data.dataset import load_data
from zoo_core.data.loaders import mnist
from zoo_core.datasets import CIFAR10Config, FashionMNISTConfig, FolderConfig, MNISTConfig
from zoo_core.errors import ConfigError
from zoo_core.interfaces import DatasetConfig
from zoo_core.registry import registry, resolve
from zoo_core.specs import DatasetSpec

from .helpers import LABELS, write_idx


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (MNISTConfig(), "no train-images-idx3-ubyte and train-labels-idx1-ubyte in {} or its MNIST/raw"),
        (FashionMNISTConfig(split="test"), "no t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte in {} or its FashionMNIST/raw"),
        (CIFAR10Config(), "no data_batch_1.bin, ..., data_batch_5.bin in {} or its cifar-10-batches-bin"),
        (CIFAR10Config(split="test"), "no test_batch.bin in {} or its cifar-10-batches-bin"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_missing_files_are_named_with_what_to_do_and_the_network_is_not_touched(
    tmp_path: Path, no_network: None, config: Any, words: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_data(replace(config, root=str(tmp_path)))
    assert caught.value.what == words.format(tmp_path)
    assert "data.download=true" in caught.value.hint
    assert "--data-root" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_one_missing_file_of_several_is_named_with_its_folder(tmp_path: Path) -> None:
    write_idx(tmp_path / "mnist")
    (tmp_path / "mnist" / f"{LABELS}.gz").unlink()
    with pytest.raises(ConfigError, match=rf"no {LABELS} in {tmp_path}/mnist --"):
        mnist(MNISTConfig(root=str(tmp_path)))


def test_the_root_is_a_variable_by_default_and_stays_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_idx(tmp_path / "mnist")
    monkeypatch.delenv("ZOO_DATA", raising=False)
    with pytest.raises(ConfigError, match=r"ZOO_DATA.*--data-root DIR"):
        mnist(MNISTConfig())
    monkeypatch.setenv("ZOO_DATA", str(tmp_path))
    assert len(mnist(MNISTConfig())) == 12
    assert encode(MNISTConfig())["root"] == "$ZOO_DATA"


@pytest.mark.parametrize("name", ["cifar10", "fashion-mnist", "folder", "gaussian-mixture", "mnist", "moons"])
def test_every_data_set_is_registered_with_a_config_that_is_its_json(name: str) -> None:
    spec = registry().spec(DatasetSpec, name)
    assert spec.summary
    assert callable(resolve(spec.target))
    config = resolve(spec.config)(**({"path": "x"} if name == "folder" else {}))
    assert decode(DatasetConfig, encode(config)) == config
    assert hash(config)


def test_the_documentation_has_every_data_set_with_its_options() -> None:
    rows = [line for line in (Path(__file__).parents[2] / "docs" / "training.md").read_text().splitlines() if line.startswith("| `")]
    for name, (claim,) in registry().claims(DatasetSpec).items():
        if claim.plugin.dist == "zoo-core":
            row = next(row for row in rows if re.match(rf"\| `{name}(:PATH|:ORG/NAME)?` \|", row))
            row += " ".join(line for line in rows if (base := re.match(r"\| `([\w-]+)", line)) and f"those of `{base[1]}`" in row)
            for option in dataclasses.fields(resolve(claim.spec.config)):  # type: ignore[attr-defined]
                assert re.search(rf"`{option.name}[=`]", row), f"{name}: {option.name}"


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("mnist", {"size": 27}, "size must be 28 or more"),
        ("mnist", {"size": 0, "resize": "box"}, "size must be in"),
        ("mnist", {"split": "validation"}, "split must be one of train, test"),
        ("mnist", {"classes": ["10"]}, "unknown class '10'"),
        ("mnist", {"classes": ["1", "1"]}, "classes names a class twice"),
        ("mnist", {"channels": 3}, "unknown key 'channels'"),
        ("cifar10", {"classes": ["kat"]}, "unknown class 'kat' -- did you mean cat"),
        ("cifar10", {"resize": "pad"}, "resize must be one of box"),
        ("fashion-mnist", {"size": 5000}, "size must be in"),
        ("moons", {"count": 1}, "count must be in"),
        ("moons", {"noise": -0.1}, "noise must be in"),
        ("gaussian-mixture", {"weights": [0.5, 0.4]}, "weights must have the sum 1, not 0.9"),
        ("gaussian-mixture", {"weights": [1.5, -0.5]}, "weights must be in"),
        ("gaussian-mixture", {"weights": [1.0]}, "means must be as many as the 1 weights, not 2"),
        ("gaussian-mixture", {"weights": [], "means": []}, "weights must have the sum 1"),
        ("gaussian-mixture", {"means": [[1.0], [1.0, 2.0]]}, "means must be of one dimension"),
        ("gaussian-mixture", {"means": [[], []]}, "means must be of one dimension"),
        ("gaussian-mixture", {"means": [[1e300, 0], [0, 0]]}, "means must be in"),
        ("gaussian-mixture", {"std": 0.0}, "std must be in"),
    ],
)
def test_options_that_make_no_sense_are_refused_before_anything_is_read(name: str, values: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        decode(DatasetConfig, {"name": name, **values})


@pytest.mark.parametrize(
    ("config", "next_step"),
    [
        (FolderConfig(path="$ZOO_NOT_SET/train"), "set it: export ZOO_NOT_SET=..., or use your own images: --data folder:PATH"),
        (MNISTConfig(root="$ZOO_NOT_SET"), "--data-root DIR is the folder with its files; -o data.download=true fetches them"),
    ],
    ids=["folder", "mnist"],
)
def test_data_in_a_variable_that_is_not_set_says_what_else_would_do(config: DatasetConfig, next_step: str) -> None:
    with pytest.raises(ConfigError, match=rf"needs the environment variable ZOO_NOT_SET -- .*{next_step}"):
        load_data(config)
