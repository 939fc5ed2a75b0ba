"""``zoo sample --condition``: pictures, folders of them, and checkpoints that draw them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import zoo_core
from zoo_core import images
from zoo_core.cli.conditions import pictures_of
from zoo_core.samplers import Heun
from zoo_core.testing import write_checkpoint
from zoo_core.testing.fake import FakeConditional
from zoo_core.testing.fake_config import FakeConditionalConfig

pytestmark = pytest.mark.usefixtures("quiet")

Zoo = Callable[..., Any]


@pytest.fixture
def larger(fakes: Path) -> str:
    config = FakeConditionalConfig(shape=(3, 8, 8), bounded=True)
    write_checkpoint(Path("larger"), FakeConditional(config), config, Heun(steps=4))
    return "local:larger"


@pytest.fixture
def pictures(fakes: Path) -> torch.Tensor:
    """Three pictures in a folder, as the values that their files hold."""
    small = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    images.save_folder("pictures", small)
    return images.from_uint8(images.to_uint8(small))


def samples(path: str) -> torch.Tensor:
    with np.load(path) as found:
        return torch.from_numpy(found["samples"])


def test_pictures_of_a_folder_take_turns_as_conditions(larger: str, pictures: torch.Tensor, zoo: Zoo) -> None:
    assert zoo("sample", larger, "-n", 5, "--condition", "pictures", "--out", "five.npz").code == 0
    expected = zoo_core.load(larger).sample(condition=pictures[[0, 1, 2, 0, 1]])
    assert torch.allclose(samples("five.npz"), expected, atol=1e-5)
    assert zoo("sample", larger, "-n", 1, "--condition", "pictures/000001.png", "--out", "one.npz").code == 0
    assert torch.allclose(samples("one.npz"), zoo_core.load(larger).sample(1, condition=pictures[1:2]), atol=1e-5)


def test_what_systems_leave_beside_pictures_is_no_condition_and_all_formats_are(larger: str, pictures: torch.Tensor) -> None:
    for name in ("._000001.png", ".hidden.jpg"):
        (Path("pictures") / name).write_bytes(b"")
    (Path("pictures") / "000001.png").rename("pictures/000001.apng")
    assert [path.name for path in pictures_of("pictures")] == ["000000.png", "000001.apng", "000002.png"]


def test_a_checkpoint_as_a_condition_is_a_cascade(larger: str, zoo: Zoo) -> None:
    assert zoo("sample", larger, "-n", 3, "--condition", "fake-images", "--out", "given.npz").code == 0
    done = zoo("sample", f"fake-images+{larger}", "-n", 3, "--out", "cascade.npz")
    assert done.code == 0
    assert "3 from fake-images+larger" in done.err + done.out
    assert torch.equal(samples("given.npz"), samples("cascade.npz"))
    first = zoo_core.load("fake-images").sample(3).clamp(-1, 1)
    assert torch.allclose(samples("cascade.npz"), zoo_core.load(larger).sample(condition=first), atol=1e-5)


def test_a_folder_of_samples_goes_on_with_the_same_conditions_alone(larger: str, pictures: torch.Tensor, zoo: Zoo) -> None:
    words = ("sample", larger, "-n", 2, "--out", "drawn", "--condition")
    assert zoo(*words, "pictures").code == 0
    assert "2 of them from before" in zoo(*words, "pictures").err
    assert "from before" not in zoo(*words, "pictures/000002.png").err
    with Image.open("drawn/000000.png") as image:
        assert image.text["conditions"].startswith("sha256:")


@pytest.mark.parametrize(
    ("words", "said", "code"),
    [
        (("local:larger", "--condition", "nobody.png"), "cannot read nobody.png as a picture", 2),
        (("local:larger", "--condition", "empty"), "there is no picture in this folder", 2),
        (("local:larger", "--condition", "no-such-checkpoint"), "unknown checkpoint 'no-such-checkpoint'", 9),
        (("fake-images", "--condition", "pictures"), "fake-images cannot take a condition: its family takes no conditions", 9),
        (("fake-images+", "--out", "x.png"), "is not a cascade", 2),
    ],
)
def test_conditions_that_do_not_fit_get_one_line(
    words: tuple[str, ...], said: str, code: int, larger: str, pictures: torch.Tensor, zoo: Zoo, one_error_line: Callable[[Any], str]
) -> None:
    Path("empty").mkdir()
    result = zoo("sample", *words)
    assert said in one_error_line(result)
    assert result.code == code


def test_prompts_take_turns_and_stand_in_the_files(larger: str, zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    def conditions(model: Any, texts: list[str]) -> torch.Tensor:
        return torch.stack([torch.full((3, 8, 8), len(text) / 10 - 0.4) for text in texts])

    assert "cannot take prompts" in zoo("sample", larger, "--prompt", "red").err
    monkeypatch.setattr(FakeConditional, "prompt_conditions", conditions, raising=False)
    assert zoo("sample", larger, "-n", 3, "--prompt", "red", "--prompt", "a cat", "--out", "three.npz").code == 0
    expected = zoo_core.load(larger).sample(prompts=["red", "a cat", "red"])
    assert torch.allclose(samples("three.npz"), expected, atol=1e-5)
    assert zoo("sample", larger, "-n", 2, "--prompt", "red", "--out", "two.png").code == 0
    with Image.open("two.png") as picture:
        assert picture.info["prompts"] == '["red"]'
    both = zoo("sample", larger, "--prompt", "red", "--condition", "two.png")
    assert both.code == 2
    assert "--prompt and --condition are both given" in both.err
