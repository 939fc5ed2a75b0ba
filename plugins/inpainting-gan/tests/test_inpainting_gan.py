"""Masks, the losses longhand, and inpainting by a trained net."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

import zoo_core
from zoo_core.data.dataset import Batch
from zoo_core.datasets import FolderConfig
from zoo_core.errors import ConfigError
from zoo_core.interfaces import TrainerConfig
from zoo_core.recipes import Recipe, load_recipe
from zoo_core.rng import ImageRng, StepRng
from zoo_core.testing import assert_resumes, write_checkpoint
from zoo_inpainting_gan.config import HOLES, InpaintingGANConfig, InpaintingGANTrainerConfig
from zoo_inpainting_gan.masks import box, half, random_masks, strokes
from zoo_inpainting_gan.model import InpaintingGAN
from zoo_inpainting_gan.trainer import InpaintingGANTrainer, hidden_error

SMALL = InpaintingGANConfig(image_size=8, dim=8, multipliers=(1, 2), attention=())
MANY = ImageRng(0, range(400))


def net(seed: int = 0) -> InpaintingGAN:
    torch.manual_seed(seed)
    model = InpaintingGAN(SMALL)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model.eval()


def batch(n: int = 4) -> Batch:
    x = torch.rand(n, 3, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1
    return Batch(x=x, labels=None, index=torch.arange(n))


def trainer_of(model: InpaintingGAN, **options: object) -> InpaintingGANTrainer:
    config: TrainerConfig = InpaintingGANTrainerConfig(critic_width=4, **options)  # type: ignore[arg-type]  # options of the test
    torch.manual_seed(5)
    assert isinstance(config, InpaintingGANTrainerConfig)
    return InpaintingGANTrainer(model, config)


def test_halves_are_the_four_halves_equally_often() -> None:
    hidden = half(MANY, 8)
    top = torch.zeros(8, 8, dtype=torch.bool)
    top[:4] = True
    shares = [(hidden == part).all(dim=(1, 2)).float().mean().item() for part in (top, ~top, top.T, ~top.T)]
    assert sum(shares) == pytest.approx(1)
    assert all(abs(share - 0.25) < 5 * (0.25 * 0.75 / 400) ** 0.5 for share in shares)


def test_boxes_are_rectangles_within_the_image_of_the_stated_size() -> None:
    hidden = box(MANY, 32)
    height, width = hidden.any(2).sum(1), hidden.any(1).sum(1)
    assert torch.equal(hidden.sum(dim=(1, 2)), height * width)
    for extent in (height, width):
        assert extent.min() >= 8
        assert extent.max() <= 20
    assert bool(hidden.any(0).any(0).all())  # a box may be at every column


def test_strokes_hide_the_pixels_near_their_lines() -> None:
    """Longhand for one image: a pixel is hidden if it is within the radius of a segment, by a fine walk along it."""
    side = 16
    hidden = strokes(ImageRng(2, [7]), side)[0]
    rng = ImageRng(2, [7])
    points = rng.uniform(4, 1, 2)[0] + 0.35 * rng.normal(4, 4, 2)[0].cumsum(1)
    points = points.clamp(0, 1) * (side - 1)
    radius = side * (0.03 + 0.04 * rng.uniform(4)[0])
    expected = torch.zeros(side, side, dtype=torch.bool)
    for stroke in range(4):
        for a, b in zip(points[stroke][:-1], points[stroke][1:], strict=True):
            walk = a + (b - a) * torch.linspace(0, 1, 2001)[:, None]
            for i in range(side):
                for j in range(side):
                    gap = (walk - torch.tensor([float(i), float(j)])).norm(dim=1).min()
                    expected[i, j] |= bool(gap <= radius[stroke] + 1e-5)
    assert torch.equal(hidden, expected)
    assert 0.05 < strokes(MANY, 32).float().mean() < 0.5


def test_masks_are_of_every_kind_and_of_their_row_alone() -> None:
    known = random_masks(MANY, 16, HOLES)
    assert known.shape == (400, 1, 16, 16)
    assert bool((known.flatten(1).any(1) & ~known.flatten(1).all(1)).all())
    again = random_masks(ImageRng(0, range(100, 103)), 16, HOLES)
    assert torch.equal(again, random_masks(ImageRng(0, range(90, 110)), 16, HOLES)[10:13])


def test_the_error_is_that_of_the_hidden_pixels() -> None:
    x = batch().x
    mask = torch.zeros(4, 1, 8, 8, dtype=torch.bool)
    mask[:, :, :6] = True
    y = x + torch.where(mask, 100.0, 2.0)
    assert hidden_error(x, y, mask).item() == pytest.approx(4.0, rel=1e-5)


def test_what_is_hidden_is_not_seen() -> None:
    model, x = net(), batch().x
    mask = random_masks(ImageRng(1, range(4)), 8, HOLES)
    assert torch.equal(model.fill(x, mask.expand_as(x), MANY), model.fill(torch.where(mask, x, 9.0), mask.expand_as(x), MANY))


def test_the_losses_are_those_of_the_paper() -> None:
    model = net()
    trainer, data = trainer_of(model, adversarial=0.3, penalty=0.0), batch()
    assert trainer.critic is not None
    mask = random_masks(StepRng(0, 0, 4), 8, HOLES)
    y = model.fill(data.x * mask, mask, MANY)
    pasted = torch.where(mask, data.x, y)
    error = ((~mask) * (y - data.x) ** 2).sum() / (3 * (~mask).sum())
    expected = error - 0.3 * F.logsigmoid(trainer.critic(pasted)).mean()
    torch.testing.assert_close(trainer("model", data, StepRng(0, 0, 4)).value, expected)
    judged = -F.logsigmoid(trainer.critic(data.x)).mean() - F.logsigmoid(-trainer.critic(pasted)).mean()
    torch.testing.assert_close(trainer("critic", data, StepRng(0, 0, 4)).value, judged)


def test_r1_is_the_squared_gradient_at_real_images() -> None:
    """Against central differences of the mean output over patches."""
    model, data = net(), batch(2)
    with_r1, without = trainer_of(model, penalty=2.0).double(), trainer_of(model, penalty=0.0).double()
    double = Batch(x=data.x.double(), labels=None, index=data.index)
    got = with_r1("critic", double, StepRng(0, 0, 2)).value - without("critic", double, StepRng(0, 0, 2)).value
    critic, total, step = with_r1.critic, 0.0, 1e-5
    assert critic is not None
    for row in range(2):
        x = double.x[row]
        nudges = step * torch.eye(x.numel(), dtype=torch.float64).view(-1, *x.shape)
        with torch.no_grad():
            slope = (critic(x + nudges) - critic(x - nudges)).flatten(1).mean(1) / (2 * step)
        total += float(slope.square().sum())
    assert got.item() == pytest.approx(total / 2, rel=1e-4)


def test_inpaint_uses_the_net_and_keeps_the_known_pixels(tmp_path: Path) -> None:
    model = net()
    loaded = zoo_core.load(write_checkpoint(tmp_path / "filler", model, SMALL))
    x = batch().x
    out = loaded.inpaint(x, "left")
    known = torch.zeros(1, 1, 8, 8, dtype=torch.bool)
    known[..., :4] = True
    mask = known.expand_as(x)
    expected: Tensor = torch.where(mask, x, model.fill(x * mask, mask, MANY))
    assert torch.allclose(out, expected, atol=1e-5)
    assert torch.equal(out[..., :4], x[..., :4])


def test_a_net_learns_to_continue_what_it_sees() -> None:
    """Images of one value, +0.5 or -0.5, of which half is hidden."""
    model = InpaintingGAN(SMALL)
    trainer = trainer_of(model, adversarial=0.0, holes=("half",))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    sign = torch.tensor([1.0, -1.0] * 4).view(8, 1, 1, 1)
    data = Batch(x=(0.5 * sign).expand(8, 3, 8, 8).contiguous(), labels=None, index=torch.arange(8))
    for step in range(60):
        optimizer.zero_grad()
        trainer("model", data, StepRng(0, step, 8)).value.backward()
        optimizer.step()
    known = torch.zeros(8, 3, 8, 8, dtype=torch.bool)
    known[:, :, :4] = True
    assert (model.fill(data.x * known, known, MANY) - data.x)[:, :, 4:].abs().mean() < 0.1


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    for i in range(6):
        path = tmp_path / "photos" / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        Image.effect_noise((8, 8), 60 + 10 * i).convert("RGB").save(path)
    recipe = load_recipe("inpainting-gan/afhq-cat")
    return replace(
        recipe,
        model=SMALL,
        trainer=InpaintingGANTrainerConfig(critic_width=4),
        fit=replace(recipe.fit, steps=6, batch_size=4, precision="no"),
        data=FolderConfig(path=str(tmp_path / "photos"), size=8, flip=True),
    )


def test_a_run_resumes_bit_for_bit(recipe: Recipe, tmp_path: Path) -> None:
    assert_resumes(recipe, tmp_path, after=3)


def test_no_kind_of_hole_is_refused() -> None:
    with pytest.raises(ConfigError, match="holes must name at least one kind"):
        InpaintingGANTrainerConfig(holes=())
