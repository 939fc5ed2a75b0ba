"""Theorems about data sets on the Hub, against the loopback one: pinned, verified, and read from the cache without a network."""

import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from zoo_core.data.dataset import load_data
from zoo_core.data.factory import as_dataset
from zoo_core.datasets import HubDatasetConfig
from zoo_core.errors import ConfigError, GatedError, HubError, IntegrityError, NotFoundError, ZooError
from zoo_core.hub.datasets import pin_dataset
from zoo_core.testing.hub import LoopbackHub

pytest_plugins = ["zoo_core.testing.hub"]
pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ZOO_WORKERS", "1")


def shard(count: int, seed: int = 0, spoilt: int | None = None) -> bytes:
    """A Parquet file of pictures of 8 x 8 pixels with labels 0, 1, 0, ..."""
    cells = []
    for i, image in enumerate(np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)):
        file = io.BytesIO()
        Image.fromarray(image).save(file, "PNG")
        cells.append({"bytes": file.getvalue() if i != spoilt else b"no picture", "path": f"{i}.png"})
    features = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": ["cat", "dog"]}}
    note = {"huggingface": json.dumps({"info": {"features": features}})}
    out = io.BytesIO()
    parquet.write_table(pa.table({"image": cells, "label": [i % 2 for i in range(count)]}).replace_schema_metadata(note), out)
    return out.getvalue()


FILES = {"data/train-00000-of-00001.parquet": shard(12), "data/test-00000-of-00001.parquet": shard(5, 1)}


@pytest.fixture
def cats(hub: LoopbackHub) -> str:
    return hub.add_repo("datasets/zoo/cats", FILES)


def test_a_data_set_is_fetched_once_and_read_without_a_network_afterwards(
    hub: LoopbackHub, cats: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = load_data("hub:zoo/cats")
    assert (len(data), data.classes, tuple(data.x.shape[1:])) == (12, ("cat", "dog"), (3, 32, 32))
    assert len(load_data("hub:zoo/cats:test")) == 5
    fetched = [request for request in hub.requests if request.method == "GET" and request.host == "content"]
    assert len(fetched) == 2
    before = len(hub.requests)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert load_data("hub:zoo/cats").digest == data.digest
    assert load_data({"name": "hub", "repo": "zoo/cats", "size": 8}).digest != data.digest  # decoded anew, from the cached file
    assert len(hub.requests) == before


def test_a_pinned_commit_is_read_without_a_request(hub: LoopbackHub, cats: str) -> None:
    pinned = pin_dataset(as_dataset("hub:zoo/cats"))
    assert isinstance(pinned, HubDatasetConfig)
    assert pinned.revision == cats
    digest = load_data(pinned).digest
    hub.commit("datasets/zoo/cats", {"data/train-00000-of-00001.parquet": shard(12, seed=9)})
    before = len(hub.requests)
    assert load_data(pinned).digest == digest
    assert len(hub.requests) == before
    assert load_data("hub:zoo/cats").digest != digest


def test_a_commit_that_lists_other_files_than_before_is_refused(hub: LoopbackHub, cats: str) -> None:
    load_data("hub:zoo/cats")

    def other(body: bytes) -> bytes:
        return re.sub(rb'"sha256": "[0-9a-f]{64}"', b'"sha256": "' + b"0" * 64 + b'"', body)

    with (
        hub.fault("GET /api/datasets", rewrite=other),
        pytest.raises(IntegrityError, match=r"lists another data/t.* than when it was first"),
    ):
        load_data("hub:zoo/cats")


def test_the_token_is_not_sent_to_the_address_of_files(hub: LoopbackHub, cats: str) -> None:
    load_data("hub:zoo/cats")
    assert {request.authorized for request in hub.requests if request.host == "content"} == {False}


def test_a_file_with_a_flipped_byte_never_gets_into_the_cache(hub: LoopbackHub, cats: str) -> None:
    with hub.fault("GET /lfs/.*train", flip=100), pytest.raises(IntegrityError, match=r"train-00000-of-00001\.parquet of zoo/cats"):
        load_data("hub:zoo/cats")
    assert len(load_data("hub:zoo/cats")) == 12


def test_a_cached_file_that_was_damaged_is_fetched_again(hub: LoopbackHub, cats: str, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = load_data("hub:zoo/cats").digest
    from zoo_core.hub.repository import Repository

    path = Repository("zoo/cats", "datasets").cache.snapshot(cats) / "data/train-00000-of-00001.parquet"
    path.resolve().write_bytes(path.read_bytes()[:-1] + b"x")
    small = {"name": "hub", "repo": "zoo/cats", "size": 8}
    with monkeypatch.context() as offline:
        offline.setenv("HF_HUB_OFFLINE", "1")
        with pytest.raises(IntegrityError, match="in the cache is not the file of"):
            load_data(small)
        assert load_data("hub:zoo/cats").digest == digest  # decoded before
    assert len(load_data(small)) == 12


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image": "photo"}, r"no column 'photo' in data/train-00000-of-00001\.parquet of zoo/cats: it has image, label"),
        ({"split": "val"}, "zoo/cats has no split 'val': it has test, train"),
        ({"subset": "big"}, "zoo/cats has no subset 'big'"),
    ],
)
def test_what_is_missing_is_one_line(cats: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_data({"name": "hub", "repo": "zoo/cats", **options})


def test_a_broken_picture_is_one_line_or_left_out(hub: LoopbackHub) -> None:
    hub.add_repo("datasets/zoo/torn", {"train.parquet": shard(6, spoilt=4)})
    with pytest.raises(
        ConfigError, match=r"cannot read row 4 of train\.parquet of zoo/torn as an image: .* -- -o data\.broken=skip leaves it out"
    ):
        load_data("hub:zoo/torn")
    with pytest.warns(RuntimeWarning, match="1 pictures that cannot be read"):
        assert len(load_data({"name": "hub", "repo": "zoo/torn", "broken": "skip"})) == 5


def test_a_broken_table_is_one_line(hub: LoopbackHub) -> None:
    hub.add_repo("datasets/zoo/torn", {"train.parquet": b"PAR1 no table"})
    with pytest.raises(ConfigError, match=r"cannot read train\.parquet of zoo/torn: "):
        load_data("hub:zoo/torn")


def test_the_card_of_a_data_set_tells_its_subsets_and_splits(hub: LoopbackHub) -> None:
    card = (
        "---\nconfigs:\n- config_name: small\n  default: true\n  data_files:\n  - split: train\n    path: s/*\n"
        "- config_name: large\n  data_files:\n"
        "  - split: train\n    path: [l/0.parquet, l/1.parquet]\n  - split: extra\n    path: l/2.parquet\n---\n# Cats\n"
    )
    files = {"s/0.parquet": shard(2), "l/0.parquet": shard(3), "l/1.parquet": shard(4), "l/2.parquet": shard(5)}
    hub.add_repo("datasets/zoo/both", {**files, "README.md": card.encode()})

    def count(**options: str) -> int:
        return len(load_data({"name": "hub", "repo": "zoo/both", "size": 8, **options}))

    assert (count(), count(subset="large"), count(subset="large", split="extra")) == (2, 7, 5)
    with pytest.raises(ConfigError, match="no subset 'huge': it has small, large"):
        count(subset="huge")


def test_several_subsets_without_a_default_are_named(hub: LoopbackHub) -> None:
    hub.add_repo("datasets/zoo/many", {f"{name}/train/0.parquet": shard(3) for name in ("big", "tiny")})
    with pytest.raises(ConfigError, match=r"zoo/many has several subsets: big, tiny -- -o data\.subset=big"):
        load_data("hub:zoo/many")
    assert len(load_data({"name": "hub", "repo": "zoo/many", "subset": "tiny"})) == 3


def test_a_set_in_other_formats_is_read_as_the_hub_converts_it(hub: LoopbackHub) -> None:
    hub.add_repo("datasets/zoo/old", {"cats.zip": b"PK"})
    commit = hub.commit("datasets/zoo/old", {"default/train/0000.parquet": shard(4)})
    repo = hub.repos["datasets/zoo/old"]
    repo.refs["refs/convert/parquet"] = commit
    repo.commits.append(repo.commits.pop(0))  # `main` is the one without
    pinned = pin_dataset(as_dataset("hub:zoo/old"))
    assert isinstance(pinned, HubDatasetConfig)
    assert (pinned.revision, len(load_data(pinned))) == (commit, 4)
    hub.add_repo("datasets/zoo/zip", {"cats.zip": b"PK"})
    with pytest.raises(NotFoundError, match="has no Parquet files"):
        load_data("hub:zoo/zip")


@pytest.mark.parametrize("name", ["../etc", "a/b/c", "zoo/--x", "", "zoo/cats@main"])
def test_a_name_that_is_none_is_refused_before_any_request(hub: LoopbackHub, name: str) -> None:
    with pytest.raises(ZooError, match="is no name of a data set on the Hub"):
        load_data({"name": "hub", "repo": name})
    assert not hub.requests


def test_refusals_of_the_hub_are_those_of_models(hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add_repo("datasets/zoo/gated", FILES, gated=True)
    with pytest.raises(NotFoundError, match="has no zoo/none@main"):
        load_data("hub:zoo/none")
    monkeypatch.setenv("HF_TOKEN", hub.visitor_token)
    with pytest.raises(GatedError, match="gated"):
        load_data("hub:zoo/gated")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(HubError, match="HF_HUB_OFFLINE forbids requests"):
        load_data("hub:zoo/new")
