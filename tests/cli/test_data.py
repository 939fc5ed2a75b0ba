"""``zoo data``: what a data set is, and the one line when it cannot be read."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from zoo_core.config import load_json
from zoo_core.data.dataset import load_data
from zoo_core.testing import fake_zoo
from zoo_core.testing.hub import loopback_hub

pytestmark = pytest.mark.usefixtures("quiet")

Zoo = Callable[..., Any]


def picture(seed: int, side: int = 8) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ZOO_WORKERS", "1")
    for i in range(9):
        path = tmp_path / "photos" / ("cat" if i < 6 else "dog") / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(i))
    return tmp_path / "photos"


def told(out: str) -> dict[str, str]:
    return dict(line.split(maxsplit=1) for line in out.splitlines())  # type: ignore[arg-type]  # pairs


def test_a_folder_is_described(zoo: Zoo, photos: Path) -> None:
    code, out, err = zoo("data", "folder:photos", "-o", "size=8")
    lines = told(out)
    assert (code, err, list(lines)) == (0, "", ["samples", "classes", "digest", "place"])
    assert lines["samples"] == "9 of 3 x 8 x 8, from -1 to 1"
    assert lines["classes"] == "2: cat 6, dog 3"
    assert lines["digest"] == f"sha256:{load_data({'name': 'folder', 'path': 'photos', 'size': 8}).digest}"
    assert lines["place"].startswith("1.7 kB in memory; read in ")


def test_decode_puts_it_on_the_disk_where_it_is_found_again(zoo: Zoo, photos: Path) -> None:
    digest = told(zoo("data", "folder:photos", "-o", "size=8").out)["digest"]
    for words in (("--decode",), ()):
        lines = told(zoo("data", "folder:photos", "-o", "data.size=8", *words).out)
        assert lines["digest"] == digest
        assert lines["place"].startswith(f"1.7 kB on disk, {Path('cache').absolute()}/data/")


def test_the_sheet_shows_as_many_of_each_class(zoo: Zoo, photos: Path) -> None:
    outcome = zoo("data", "folder:photos", "-o", "size=8", "--out", "sheet.png")
    assert outcome.err == "sheet.png: 6 samples\n"  # three of each, as there are no more dogs
    with Image.open("sheet.png") as image:
        assert image.text["data"].startswith("sha256:")
        cells = np.asarray(image)
    # The first cat and the first dog, enlarged, side by side.
    data = load_data({"name": "folder", "path": "photos", "size": 8})
    for place in (0, 6):
        assert (cells == data.x[place, :, 0, 0].numpy()).all(-1).any()


def test_points_and_json(zoo: Zoo) -> None:
    facts = json.loads(zoo("data", "moons", "-o", "count=100", "--json", "--out", "moons.png").out)
    assert (facts["count"], facts["shape"], facts["classes"], facts["file"]) == (100, [2], {"outer": 50, "inner": 50}, None)
    assert facts["config"]["count"] == 100
    assert Path("moons.png").stat().st_size > 1000


def test_broken_files_are_named(zoo: Zoo, photos: Path, one_error_line: Callable[[Any], str]) -> None:
    (photos / "cat" / "1.png").write_bytes(b"")
    outcome = zoo("data", "folder:photos")
    assert outcome.code == 3
    assert one_error_line(outcome) == "zoo: error: cannot read photos/cat/1.png as an image: it is empty -- remove it, or repair it\n"
    (photos / "dog" / "7.png").write_bytes(b"PNG")
    outcome = zoo("data", "folder:photos", "--decode")
    assert "zoo: error: cannot read 2 of 9 pictures in photos as images: 1.png, 7.png -- remove them, or repair them" in outcome.err
    assert "cannot read photos/cat/1.png: it is empty" in outcome.err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["folder:none"], 3, "there is no folder none"),
        (["moons:x"], 2, "takes no path"),
        (["moons", "--out", "sheet.jpg"], 2, "a sheet is a PNG"),
        (["moons", "--decode"], 2, "moons is read into memory"),
        (["nothing"], 3, "unknown dataset 'nothing'"),
        (["folder:photos", "-o", "sise=8"], 3, "sise"),
        (["hub:a/b/c"], 3, "is no name of a data set on the Hub"),
        (["parquet:none.parquet"], 3, "there is no file none.parquet"),
    ],
)
def test_what_is_wrong_is_one_line(
    zoo: Zoo, photos: Path, one_error_line: Callable[[Any], str], words: list[str], code: int, message: str
) -> None:
    outcome = zoo("data", *words)
    assert outcome.code == code
    assert message in one_error_line(outcome)


def test_a_run_pins_the_commit_of_its_data_and_goes_on_with_it(
    zoo: Zoo, photos: Path, monkeypatch: pytest.MonkeyPatch, fakes: Path
) -> None:
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")

    def shard(first: int) -> bytes:
        out = io.BytesIO()
        parquet.write_table(pa.table({"image": [picture(i) for i in range(first, first + 12)], "label": [0, 1, 2] * 4}), out)
        return out.getvalue()

    shape = ("-o", "model.shape=[3,8,8]", "-o", "data.size=8", "--device", "cpu", "-o", "fit.sample_every=0")
    train = ("train", "fake", "--data", "hub:zoo/cats", "--out", "run", *shape)
    with loopback_hub() as hub, fake_zoo():
        for name, value in hub.environment(Path("hf").absolute()).items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("HF_HUB_OFFLINE")
        commit = hub.add_repo("datasets/zoo/cats", {"train.parquet": shard(0)})
        assert zoo(*train, "--steps", 3).code == 0
        hub.commit("datasets/zoo/cats", {"train.parquet": shard(100)})
        assert zoo(*train, "--steps", 6).code == 0
        recorded = load_json(Path("run/export/training.json"))
        assert recorded["recipe"]["data"]["revision"] == commit
        assert recorded["steps"] == 6
        record = json.loads(zoo("evaluate", "local:run", "--metrics", "pixel-std", "-n", 8, "--features", "identity", "--json").out)
        assert record["metrics"][0]["data"]["config"]["revision"] == commit
        assert record["metrics"][0]["dataset"] == "hub:zoo/cats"
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        assert zoo(*train, "--steps", 7).code == 0  # from the cache
