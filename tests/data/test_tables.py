"""Theorems about tables of pictures: Parquet and Arrow files are read as Hugging Face ``datasets`` reads them."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from zoo_core.data.dataset import Data, load_data
from zoo_core.data.readers import resize_and_crop
from zoo_core.data.tables import files_of_split, split_of
from zoo_core.errors import ConfigError

from .helpers import Array, pixels

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ZOO_WORKERS", "1")


def encoded(image: Array, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind)
    return file.getvalue()


def table(cells: list[Any], labels: list[Any] | None = None, *, names: list[str] | None = None, **columns: list[Any]) -> Any:
    """A table as ``datasets`` writes it, with its note about the columns if the labels have names."""
    given: dict[str, Any] = {"image": cells, **columns} | ({"label": labels} if labels is not None else {})
    features: dict[str, Any] = {"image": {"_type": "Image"}} | ({"label": {"names": names, "_type": "ClassLabel"}} if names else {})
    note = {"huggingface": json.dumps({"info": {"features": features}})} if names else {}
    made = pa.table(given)
    return made.replace_schema_metadata(note)


def load(path: Path, **options: Any) -> Data:
    return load_data({"name": path.suffix[1:] or "parquet", "path": str(path), "size": 8, **options})


def structs(x: Array) -> list[dict[str, Any]]:
    return [{"bytes": encoded(image), "path": None} for image in x]


def longhand(x: Array, size: int = 8) -> Array:
    return np.stack([np.asarray(resize_and_crop(Image.fromarray(image), size, "lanczos")).transpose(2, 0, 1) for image in x])


@pytest.mark.parametrize("group", [1000, 7])
def test_the_pictures_and_labels_of_a_parquet_file_come_in_their_order(tmp_path: Path, group: int) -> None:
    x = pixels(40, 10, 12, 3)
    labels = [i % 3 for i in range(40)]
    parquet.write_table(table(structs(x), labels, names=["cat", "dog", "owl"]), tmp_path / "a.parquet", row_group_size=group)
    data = load(tmp_path / "a.parquet")
    assert np.array_equal(data.x.numpy(), longhand(x))
    assert data.labels is not None
    assert (data.labels.tolist(), data.classes) == (labels, ("cat", "dog", "owl"))


def test_arrow_files_of_both_formats_are_that_parquet_file(tmp_path: Path) -> None:
    x = pixels(40, 10, 12, 3)
    made = table(structs(x), [i % 2 for i in range(40)], names=["cat", "dog"])
    parquet.write_table(made, tmp_path / "a.parquet")
    with pa.OSFile(str(tmp_path / "stream.arrow"), "wb") as file, pa.ipc.new_stream(file, made.schema) as writer:
        writer.write_table(made, max_chunksize=9)
    with pa.OSFile(str(tmp_path / "file.arrow"), "wb") as file, pa.ipc.new_file(file, made.schema) as writer:
        writer.write_table(made, max_chunksize=11)
    digests = {load(tmp_path / name).digest for name in ("a.parquet", "stream.arrow", "file.arrow")}
    assert len(digests) == 1


def test_what_datasets_writes_is_what_it_reads(tmp_path: Path) -> None:
    """A second implementation: its pictures, decoded by it, resized longhand."""
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    x = pixels(30, 10, 12, 3)
    features = datasets.Features({"picture": datasets.Image(), "kind": datasets.ClassLabel(names=["cat", "dog"])})
    columns = {"picture": [Image.fromarray(image) for image in x], "kind": [i % 2 for i in range(30)]}
    made = datasets.DatasetDict({"train": datasets.Dataset.from_dict(columns, features=features).shuffle(seed=1).flatten_indices()})
    made.save_to_disk(str(tmp_path / "saved"))
    made["train"].to_parquet(str(tmp_path / "a.parquet"))
    here = load_data({"name": "arrow", "path": str(tmp_path / "saved"), "size": 8})
    there = load(tmp_path / "a.parquet")
    assert here.digest == there.digest
    assert here.labels is not None
    assert here.labels.tolist() == made["train"]["kind"][:]
    assert np.array_equal(here.x.numpy(), longhand(np.stack([np.asarray(picture) for picture in made["train"]["picture"]])))


def test_plain_bytes_and_texts_as_labels_are_read_too(tmp_path: Path) -> None:
    x = pixels(4, 8, 8, 3)
    cells = [encoded(image) for image in x]
    parquet.write_table(table(cells, ["owl", "cat", "owl", "dog"]), tmp_path / "a.parquet")
    data = load(tmp_path / "a.parquet")
    assert data.labels is not None
    assert (data.labels.tolist(), data.classes) == ([2, 0, 2, 1], ("cat", "dog", "owl"))
    assert load(tmp_path / "a.parquet", label=None).labels is None


def test_hidden_labels_are_no_labels(tmp_path: Path) -> None:
    parquet.write_table(table(structs(pixels(2, 8, 8, 3)), [-1, -1], names=["cat"]), tmp_path / "a.parquet")
    assert load(tmp_path / "a.parquet").labels is None


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, -2], "-2 is not a label"),
        ([0, None], "None is not a label"),
        ([0.5, 1.0], "0.5 is not a label"),
        ([0, 2], "a label 2, beyond the 2 classes"),
    ],
)
def test_wrong_labels_are_refused(tmp_path: Path, labels: list[Any], message: str) -> None:
    parquet.write_table(table(structs(pixels(2, 8, 8, 3)), labels, names=["cat", "dog"]), tmp_path / "a.parquet")
    with pytest.raises(ConfigError, match=message):
        load(tmp_path / "a.parquet")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image": "photo"}, r"no column 'photo' in a\.parquet: it has image, text, label -- -o data\.image=COLUMN"),
        ({"label": "kind"}, r"no column 'kind' in a\.parquet: it has image, text, label -- -o data\.label=COLUMN"),
        ({"image": "text"}, r"the column 'text' of a\.parquet holds string, not encoded pictures"),
    ],
)
def test_a_column_that_is_missing_is_one_line(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    parquet.write_table(table(structs(pixels(2, 8, 8, 3)), [0, 1], text=["x", "y"]), tmp_path / "a.parquet")
    with pytest.raises(ConfigError, match=message):
        load(tmp_path / "a.parquet", **options)


def test_a_table_without_pictures_is_one_line(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"text": ["x"], "label": [0]}), tmp_path / "a.parquet")
    with pytest.raises(ConfigError, match=r"no column of pictures in a\.parquet: it has text, label"):
        load(tmp_path / "a.parquet")


def test_broken_pictures_are_named_by_file_and_row_or_left_out(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    x = pixels(20, 8, 8, 3)
    cells = structs(x)
    cells[3]["bytes"] = cells[3]["bytes"][:40]
    cells[17]["bytes"] = None
    parquet.write_table(table(cells, list(range(20))), tmp_path / "a.parquet", row_group_size=6)
    with pytest.raises(ConfigError, match=r"2 of 20 pictures .*: row 3 of a\.parquet, row 17 of a\.parquet -- -o data\.broken=skip leaves"):
        load(tmp_path / "a.parquet")
    data = load(tmp_path / "a.parquet", broken="skip")
    kept = [i for i in range(20) if i not in (3, 17)]
    assert data.labels is not None
    assert data.labels.tolist() == kept
    assert np.array_equal(data.x.numpy(), x[kept].transpose(0, 3, 1, 2))
    assert [str(warning.message) for warning in recwarn] == [f"left out in {tmp_path / 'a.parquet'}: 2 pictures that cannot be read"]


@pytest.mark.parametrize("damage", [b"PAR1 this is no table PAR1", b"", None])
def test_a_broken_table_is_one_line(tmp_path: Path, damage: bytes | None) -> None:
    path = tmp_path / "a.parquet"
    parquet.write_table(table(structs(pixels(50, 16, 16, 3))), path, compression="none")
    raw = path.read_bytes()
    # In the middle of the pictures' bytes: a page that does not hold what its head says.
    path.write_bytes(raw[:10] + bytes(range(256)) * 8 + raw[10 + 2048 :] if damage is None else damage)
    with pytest.raises(ConfigError, match=r"cannot read .*a\.parquet"):
        load(path)


def test_splits_are_told_by_names(tmp_path: Path) -> None:
    for name, count in (("train-00000-of-00002", 3), ("train-00001-of-00002", 2), ("test-00000-of-00001", 4)):
        parquet.write_table(table(structs(pixels(count, 8, 8, 3))), tmp_path / f"{name}.parquet")
    assert len(load_data({"name": "parquet", "path": str(tmp_path)})) == 5
    assert len(load_data({"name": "parquet", "path": str(tmp_path), "split": "test"})) == 4
    with pytest.raises(ConfigError, match="has no split 'val': it has test, train"):
        load_data({"name": "parquet", "path": str(tmp_path), "split": "val"})
    with pytest.raises(ConfigError, match=r"no \.arrow file in"):
        load_data({"name": "arrow", "path": str(tmp_path)})


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("data/train-00000-of-00002.parquet", "train"),
        ("en/validation/0000.parquet", "validation"),
        ("dev.parquet", "validation"),
        ("unlabelled-00000-of-00001.parquet", "unlabelled"),
        ("test/data-00000-of-00001.arrow", "test"),
        ("training.parquet", "train"),
        ("trained-cats.parquet", ""),
    ],
)
def test_the_split_of_a_name(name: str, split: str) -> None:
    assert split_of(name) == split


def test_files_that_tell_no_split_are_for_training() -> None:
    assert files_of_split(["b.parquet", "a.parquet"], "train", "x") == ["a.parquet", "b.parquet"]
