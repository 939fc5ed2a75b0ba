"""``zoo figure REF inpaint`` of models that fill in one pass."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from zoo_core import images
from zoo_core.testing import write_checkpoint
from zoo_core.testing.fake import FakeFiller
from zoo_core.testing.fake_config import FakeFillerConfig

pytestmark = pytest.mark.usefixtures("quiet")


@pytest.fixture
def filler(fakes: Path) -> str:
    config = FakeFillerConfig(shape=(3, 8, 8), bounded=True, noise=0.0)
    write_checkpoint(Path("filler"), FakeFiller(config), config)
    images.save_png("photo.png", torch.full((1, 3, 8, 8), 0.5))
    return "local:filler"


def test_the_figure_shows_pictures_their_known_part_and_what_is_filled_in(filler: str, zoo: Callable[..., Any]) -> None:
    done = zoo("figure", filler, "inpaint", "--image", "photo.png", "--mask", "top", "--out", "figure.png")
    assert done.code == 0, done.err
    assert "1 images of which 50% is known (top), filled in one pass" in done.err + done.out
    with Image.open("figure.png") as figure:
        assert figure.text["mask"] == "top"


def test_without_a_picture_it_says_what_to_name(filler: str, zoo: Callable[..., Any], one_error_line: Callable[[Any], str]) -> None:
    result = zoo("figure", filler, "inpaint")
    assert "filler draws no samples to fill in -- name pictures: --image FILE" in one_error_line(result)
    assert result.code == 2
