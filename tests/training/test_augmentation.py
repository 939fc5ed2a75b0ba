"""Differentiable augmentation against longhand."""

from functools import partial

import pytest
import torch
from torch import Tensor

from zoo_core.rng import StepRng
from zoo_core.training.augmentation import augmented


def images(n: int = 6, channels: int = 3, side: int = 8) -> Tensor:
    return torch.rand(n, channels, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_without_names_images_stay_as_they_are_and_nothing_is_drawn() -> None:
    x = images()
    assert augmented(x, (), StepRng(0, 0, 6)) is x


def test_colours_are_brightness_then_saturation_then_contrast_of_each_row() -> None:
    x = images()
    rng = StepRng(0, 0, 6)
    brightness, saturation, contrast = (rng.uniform().tolist() for _ in range(3))
    found = augmented(x, ["colour"], StepRng(0, 0, 6))
    for row in range(6):
        y = x[row] + brightness[row] - 0.5
        grey = y.mean(0)
        y = grey + 2 * saturation[row] * (y - grey)
        torch.testing.assert_close(found[row], y.mean() + (contrast[row] + 0.5) * (y - y.mean()))


def test_a_translation_moves_each_image_by_whole_pixels_up_to_an_eighth_of_the_side() -> None:
    n = 60
    x = images(n, side=16)
    moved = augmented(x, ["translation"], StepRng(0, 0, n))
    seen = set()
    for row in range(n):
        fitting = []
        for down in range(-2, 3):
            for right in range(-2, 3):
                shifted = torch.zeros(3, 20, 20)
                shifted[:, 2 + down : 18 + down, 2 + right : 18 + right] = x[row]
                if torch.equal(shifted[:, 2:18, 2:18], moved[row]):
                    fitting.append((down, right))
        assert len(fitting) == 1
        seen.add(fitting[0])
    assert len(seen) > 15
    assert {down for down, _ in seen} == {right for _, right in seen} == set(range(-2, 3))


def test_a_cutout_is_a_square_of_half_the_side_of_which_a_part_may_lie_outside() -> None:
    n = 200
    hidden = augmented(torch.ones(n, 1, 8, 8), ["cutout"], StepRng(0, 0, n))[:, 0] == 0
    sizes = set()
    for each in hidden:
        rows, columns = each.any(1), each.any(0)
        assert torch.equal(each, rows[:, None] & columns[None])
        for line in (rows, columns):
            places = line.nonzero().flatten()
            assert int(places[-1] - places[0]) + 1 == len(places)
            assert len(places) == 4 or int(places[0]) == 0 or int(places[-1]) == 7
            sizes.add(len(places))
    assert sizes == {2, 3, 4}


@pytest.mark.parametrize("name", ["colour", "translation", "cutout"])
def test_the_gradient_is_that_of_finite_differences_and_rows_are_their_own(name: str) -> None:
    x = images(3, side=8).double().requires_grad_(True)
    augment = partial(augmented, names=[name])
    assert torch.autograd.gradcheck(lambda each: augment(each, rng=StepRng(0, 0, 3)), (x,))
    part = StepRng(0, 0, 3, slice(1, 2))
    torch.testing.assert_close(augment(x[1:2], rng=part), augment(x, rng=StepRng(0, 0, 3))[1:2])
