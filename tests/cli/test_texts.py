"""Texts on the command line: drawn to the terminal and into files, shown step by step, and refused in one line."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from zoo_core.samplers import Unmask
from zoo_core.testing import fake_zoo, write_checkpoint
from zoo_core.testing.fake import Fake
from zoo_core.testing.fake_config import FakeConfig, FakeTextConfig
from zoo_core.testing.fake_text import FakeText

pytestmark = pytest.mark.usefixtures("quiet")

Zoo = Callable[..., Any]


@pytest.fixture(autouse=True)
def _zoo() -> Iterator[None]:
    with fake_zoo():
        yield


@pytest.fixture
def letters(tmp_path: Path) -> str:
    config = FakeTextConfig(length=6)
    return f"local:{write_checkpoint(tmp_path / 'letters', FakeText(config), config, Unmask(steps=3))}"


def test_texts_go_to_the_terminal_or_into_a_file_below_each_other(zoo: Zoo, letters: str, tmp_path: Path) -> None:
    shown = zoo("sample", letters, "-n", "3")
    assert shown.code == 0, shown.err
    assert [line for line in shown.out.splitlines() if line.startswith("---")] == ["--- 0 ---", "--- 1 ---", "--- 2 ---"]
    path = tmp_path / "x.txt"
    assert zoo("sample", letters, "-n", "3", "--out", str(path)).code == 0
    assert path.read_text() == shown.out
    one = zoo("sample", letters, "-n", "1").out
    assert len(one) == 7
    assert set(one) <= {"a", "b", "\n"}


def test_a_page_of_texts_is_a_picture(zoo: Zoo, letters: str, tmp_path: Path) -> None:
    path = tmp_path / "page.png"
    assert zoo("sample", letters, "-n", "2", "--out", str(path)).code == 0
    with Image.open(path) as image:
        assert image.info["seed"] == "0"
    figure = tmp_path / "unmasking.png"
    shown = zoo("figure", letters, "unmasking", "-n", "2", "--points", "4", "--out", str(figure))
    assert shown.code == 0, shown.err
    assert "2 texts at 4 stages" in shown.err
    with Image.open(figure) as image:
        assert image.size[1] > 8 * 17, "a line of text for each stage of each text"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("sample", "LETTERS", "--out", "folder"), 2, "a folder of pictures, but letters draws texts"),
        (("sample", "FLOW", "--out", "x.txt"), 2, "samples of flow are not texts"),
        (("sample", "LETTERS", "--sampler", "ddim"), 9, "cannot be sampled so"),
        (("figure", "FLOW", "unmasking"), 9, "cannot be drawn while places are shown"),
        (("figure", "LETTERS", "interpolate"), 2, "these figures are of images"),
        (("evaluate", "LETTERS", "--metrics", "fd", "--data", "text:text.txt"), 9, "fd compares numbers such as pixels"),
        (("evaluate", "LETTERS", "--metrics", "nll", "--data", "text:missing.txt"), 3, "there is no file"),
        (("evaluate", "LETTERS", "--metrics", "nll", "--data", "text:text.txt"), 3, "the character 'z' in line 2 is not in the vocabulary"),
        (("evaluate", "LETTERS", "--metrics", "nll", "--data", "text:good.txt", "-o", "data.length=5"), 3, "-o data.length=6"),
    ],
)
def test_what_does_not_go_is_one_line(
    zoo: Zoo, one_error_line: Callable[[Any], str], letters: str, tmp_path: Path, words: tuple[str, ...], code: int, message: str
) -> None:
    Path("text.txt").write_text("ab\nz" * 100)
    Path("good.txt").write_text("ab\n" * 100)
    config = FakeConfig()
    flow = f"local:{write_checkpoint(tmp_path / 'flow', Fake(config), config)}"
    result = zoo(*[{"LETTERS": letters, "FLOW": flow}.get(word, word) for word in words])
    assert result.code == code, result.err
    assert message in one_error_line(result)
