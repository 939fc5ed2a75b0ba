"""The page of a study: one file without its key, used in a browser, and its answers counted by ``zoo tally``."""

import json
import re
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from zoo_core import load
from zoo_core.cli.group import zoo
from zoo_core.config import dump_json, encode
from zoo_core.data.dataset import load_data
from zoo_core.errors import ConfigError, UsageError
from zoo_core.evaluation.human import Answer, Key, Session, read_key
from zoo_core.evaluation.reproduce import rerun
from zoo_core.evaluation.study import make_study
from zoo_core.images import to_uint8
from zoo_core.testing import fake_zoo, write_checkpoint
from zoo_core.testing.fake import Fake
from zoo_core.testing.fake_config import FakeConfig, FakeDataConfig

pytestmark = pytest.mark.filterwarnings("ignore:.*:ResourceWarning")  # of the browser's pipes
SHAPE = (1, 8, 8)


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A checkpoint that draws images, in a folder, as a reference."""
    monkeypatch.chdir(tmp_path)
    config = FakeConfig(shape=SHAPE, bounded=True)
    with fake_zoo():
        yield f"local:{write_checkpoint(tmp_path / 'wildcat', Fake(config), config)}"


def run(*arguments: object) -> str:
    result = CliRunner().invoke(zoo, list(map(str, arguments)), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def write_study(checkpoint: str, **options: object) -> Key:
    plain = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    run("study", checkpoint, "--data", "fake-data", "-o", "data.shape=[1,8,8]", "--out", "study.html", *plain)
    return read_key(Path("study-key.json"))


def embedded() -> dict[str, Any]:
    [text] = re.findall(r'<script type="application/json" id="study">(.*?)</script>', Path("study.html").read_text(), re.DOTALL)
    study: dict[str, Any] = json.loads(text)
    return study


def png_chunks(data: bytes) -> list[bytes]:
    chunks, place = [], 8
    while place < len(data):
        size = int.from_bytes(data[place : place + 4], "big")
        chunks.append(data[place + 4 : place + 8])
        place += size + 12
    return chunks


def test_the_page_shows_the_pictures_of_the_key(checkpoint: str) -> None:
    key = write_study(checkpoint, number=20, exposure="100,0")
    pixels = make_study(checkpoint, n=20, exposures=(100, 0), data=FakeDataConfig(shape=SHAPE))[1]
    drawn = to_uint8(load(checkpoint).sample(10, seed=0, labels=[i % 3 for i in range(10)]))
    real = load_data(FakeDataConfig(shape=SHAPE))
    for picture, shown in zip(key.pictures, pixels, strict=True):
        expected = drawn[picture.index] if picture.kind == "drawn" else to_uint8(real.rows(torch.tensor([picture.index])))[0]
        assert shown.equal(expected)
    counts = {(kind, exposure): 5 for kind in ("real", "drawn") for exposure in (100, 0)}
    assert {pair: sum((each.kind, each.exposure) == pair for each in key.pictures) for pair in counts} == counts


def test_a_study_is_repeatable_and_another_seed_is_another_study(checkpoint: str) -> None:
    data = FakeDataConfig(shape=SHAPE)
    first, second, other = (make_study(checkpoint, n=20, data=data, seed=seed)[0] for seed in (0, 0, 1))
    assert first == second
    assert first.study != other.study


def test_the_page_holds_neither_the_key_nor_the_checkpoint(checkpoint: str) -> None:
    key = write_study(checkpoint, number=20)
    study = embedded()
    assert set(study) == {"study", "width", "height", "pictures"}
    assert {name for picture in study["pictures"] for name in picture} == {"source", "exposure"}
    pictures = [b64decode(picture["source"].partition(",")[2]) for picture in study["pictures"]]
    assert {tuple(png_chunks(data)) for data in pictures} == {(b"IHDR", b"IDAT", b"IEND")}  # no metadata gives it away
    assert study["study"] == key.study
    assert load(checkpoint).name == "wildcat"
    assert "wildcat" not in Path("study.html").read_text()


def test_answers_become_numbers_of_the_checkpoint(checkpoint: str) -> None:
    key = write_study(checkpoint, number=20)
    answers = tuple(Answer(picture=i, answer=picture.kind, shown=500.0, ms=700.0) for i, picture in enumerate(key.pictures))
    Path("answers.json").write_text(dump_json(encode(Session(study=key.study, session="a", answers=answers))))
    output = run("tally", "study-key.json", "answers.json", "--out", "wildcat/metrics.json")
    assert output.count("10/10") == 4
    assert "human-d-prime" in output
    records = json.loads(Path("wildcat/metrics.json").read_text())["metrics"]
    assert records[0]["value"] == 1.0
    assert records[0]["weights"] == load(checkpoint).files.digest("model.safetensors")
    again = list(rerun(checkpoint))
    assert [(each.state, "zoo tally" in each.why) for each in again] == [("absent", True)] * 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 21}, "such as -n 22"),
        ({"n": 6, "exposures": (100, 200)}, "such as -n 8"),
        ({"exposures": (100, 100)}, "different times"),
        ({"exposures": (-1,)}, "an exposure"),
        ({"n": 2000}, "real ones are asked for"),
    ],
)
def test_wrong_numbers_are_refused(checkpoint: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises((UsageError, ConfigError), match=message):
        make_study(checkpoint, data=FakeDataConfig(shape=SHAPE), **options)


def test_a_model_of_points_is_refused(tmp_path: Path) -> None:
    with fake_zoo(), pytest.raises(UsageError, match="a study shows images"):
        make_study(f"local:{write_checkpoint(tmp_path, Fake(FakeConfig()), FakeConfig())}", data=FakeDataConfig())


@pytest.mark.slow
def test_a_person_answers_by_keyboard_and_the_file_is_counted(checkpoint: str, browser: Any, tmp_path: Path) -> None:
    key = write_study(checkpoint, number=8, exposure="60,0")
    context = browser.new_context(viewport={"width": 390, "height": 844}, accept_downloads=True)
    page = context.new_page()
    requests: list[str] = []
    problems: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto((tmp_path / "study.html").as_uri())
    page.get_by_role("button", name="Start").click()
    with page.expect_download() as download:
        for place in range(8):
            page.get_by_text(f"{place + 1} of 8").wait_for()
            page.locator(f'#stage[data-phase="{"mask" if key.pictures[place].exposure else "picture"}"]').wait_for()
            page.keyboard.press("y" if place % 2 else "n")
    download.value.save_as(tmp_path / "answers.json")
    assert page.get_by_text("8 answers are in the file").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    context.close()
    answers = json.loads((tmp_path / "answers.json").read_text())["answers"]
    assert [answer["picture"] for answer in answers] == list(range(8))
    assert [answer["answer"] for answer in answers] == ["drawn", "real"] * 4
    assert all(answer["shown"] >= 50 for answer in answers)
    assert problems == []
    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []
    right = sum(answer["answer"] == picture.kind for answer, picture in zip(answers, key.pictures, strict=True))
    records = json.loads(run("tally", "study-key.json", "answers.json", "--json"))["metrics"]
    assert sum(sum(record["people"]["right"][kind][0] for kind in ("real", "drawn")) for record in records[::2]) == right
