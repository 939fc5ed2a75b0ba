"""The cache of features of real samples: the same numbers without the network, and none that are not the network's."""

import os
from pathlib import Path

import pytest
import torch
from torch import Tensor

from zoo_core.data.dataset import Data
from zoo_core.distributed import Processes
from zoo_core.evaluation import feature_cache, features
from zoo_core.evaluation.feature_spaces import FeatureSpace
from zoo_core.evaluation.features import FeatureExtractor, Gathered

COUNT, BATCH = 10, 4


class Network:
    """Counts its calls, and is multiplied by a factor."""

    def __init__(self) -> None:
        self.rows = 0
        self.factor = 1.0

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        self.rows += len(x)
        flat = x.flatten(1)[:, :6] * self.factor
        return flat.sin(), flat[:, :3].softmax(dim=1)


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Network:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path))
    monkeypatch.setattr(features, "WORTH_KEEPING", 0.0)
    return Network()


def images(seed: int = 0) -> Data:
    x = torch.randint(0, 256, (COUNT, 3, 4, 4), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
    return Data(x=x, labels=torch.arange(COUNT) % 3, classes=("a", "b", "c"))


def gathered(network: Network, data: Data, *, keeps: bool = True) -> tuple[Gathered, int]:
    """The statistics, and the number of rows that passed the network."""
    before = network.rows
    space = FeatureSpace(name="net", digest="0" * 64, event=None, classes=3, embed=network)
    found = FeatureExtractor(space=space, processes=Processes("cpu"), batch_size=BATCH, keeps=keeps).real(data)
    return found, network.rows - before


def assert_equal(a: Gathered, b: Gathered) -> None:
    assert torch.equal(a.features, b.features)
    assert torch.equal(a.probabilities, b.probabilities)
    assert torch.equal(a.pixels, b.pixels)
    assert torch.equal(a.total().mean, b.total().mean)
    assert torch.equal(a.total().covariance, b.total().covariance)
    assert a.labels is not None
    assert b.labels is not None
    assert torch.equal(a.labels, b.labels)


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("features/*"))


def test_the_second_pass_gives_equal_bits_and_needs_the_network_for_one_batch_alone(network: Network) -> None:
    first, rows = gathered(network, images())
    second, fewer = gathered(network, images())
    assert_equal(first, second)
    assert rows >= COUNT
    assert fewer <= 1 + BATCH


def test_streamed_statistics_are_those_of_the_first_pass_too(network: Network) -> None:
    first, _ = gathered(network, images(), keeps=False)
    second, fewer = gathered(network, images(), keeps=False)
    assert torch.equal(first.total().covariance, second.total().covariance)
    assert not len(second.features)
    assert fewer <= 1 + BATCH


def test_other_data_has_features_of_its_own(network: Network, tmp_path: Path) -> None:
    first, _ = gathered(network, images())
    other, rows = gathered(network, images(seed=1))
    assert rows >= COUNT
    assert not torch.equal(first.features, other.features)
    assert len(files(tmp_path)) == 2


def test_a_network_that_gives_other_numbers_under_its_old_digest_is_noticed(network: Network) -> None:
    gathered(network, images())
    network.factor = 1.1
    second, rows = gathered(network, images())
    assert rows >= COUNT
    assert torch.equal(second.features, network(images().rows(torch.arange(COUNT)))[0])


@pytest.mark.parametrize("place", [0, 20, -1])
def test_a_damaged_file_is_computed_again(network: Network, tmp_path: Path, place: int) -> None:
    first, _ = gathered(network, images())
    (path,) = files(tmp_path)
    damaged = bytearray(path.read_bytes())
    damaged[place] ^= 1
    path.write_bytes(damaged)
    second, rows = gathered(network, images())
    assert_equal(first, second)
    assert rows >= COUNT
    assert path.read_bytes() != bytes(damaged)


@pytest.mark.parametrize("data", [b"", b"\xff" * 8, b"\x02" + b"\0" * 7 + b"[]"])
def test_a_file_that_is_none_is_computed_again(network: Network, tmp_path: Path, data: bytes) -> None:
    gathered(network, images())
    files(tmp_path)[0].write_bytes(data)
    assert gathered(network, images())[1] >= COUNT


def test_a_short_pass_and_one_of_too_many_bytes_leave_no_file(network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "WORTH_KEEPING", 60.0)
    gathered(network, images())
    monkeypatch.setattr(features, "WORTH_KEEPING", 0.0)
    monkeypatch.setattr(feature_cache, "LARGEST", 100)
    gathered(network, images())
    assert files(tmp_path) == []


def test_a_folder_that_cannot_be_written_is_told_and_does_no_harm(
    network: Network, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "features").write_text("in the way")
    assert gathered(network, images())[0].count == COUNT
    assert "the features of the real samples are not kept" in caplog.text


def test_the_least_recently_used_files_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path))
    rows = {"features": torch.zeros(4, 3)}
    for age, key in enumerate(["old", "older", "oldest"]):
        feature_cache.write_features(key, rows)
        os.utime(tmp_path / f"features/{key}.safetensors", (1e9 - age, 1e9 - age))
    assert feature_cache.read_features("oldest", 4) is not None  # it is used now
    size = (tmp_path / "features/old.safetensors").stat().st_size
    monkeypatch.setattr(feature_cache, "TOTAL", 3 * size)
    feature_cache.write_features("new", rows)
    assert [path.stem for path in files(tmp_path)] == ["new", "old", "oldest"]
    assert feature_cache.read_features("new", 5) is None  # of another number of rows
