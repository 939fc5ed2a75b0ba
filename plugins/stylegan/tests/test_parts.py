"""The figure of style mixing, the paper's recipe, and runs of two processes."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from safetensors.torch import load_file

from zoo_core.cli.figure import figure
from zoo_core.config import dump_json
from zoo_core.errors import CapabilityError
from zoo_core.recipes import EMAConfig, FitConfig, OptimizerConfig, Recipe
from zoo_core.testing import environment, fake_zoo, start_loop, write_checkpoint, write_fake_plugin
from zoo_core.testing.fake import Fake
from zoo_core.testing.fake_config import FakeConfig, FakeDataConfig
from zoo_stylegan.config import StyleGANConfig, StyleGANTrainerConfig
from zoo_stylegan.critic import Critic
from zoo_stylegan.figures import mixed
from zoo_stylegan.model import StyleGAN
from zoo_stylegan.recipes import AFHQ_CAT, FASHION_MNIST, PAPER

TINY = StyleGANConfig(shape=(1, 8, 8), latent=3, style=4, mapping_layers=2, width=4, most=8, stages=1, taps=(1, 1))


@pytest.fixture(autouse=True, scope="module")
def _zoo() -> Iterator[None]:
    with fake_zoo("zoo-stylegan"):
        yield


def drawn(target: Path, out: Path) -> Path:
    arguments = [f"local:{target}", "style-mixing", "-n", "3", "--out", str(out)]
    CliRunner().invoke(figure, arguments, catch_exceptions=False, standalone_mode=False)
    return out


def test_the_figure_of_style_mixing_is_a_picture_of_a_generator_with_styles(tmp_path: Path) -> None:
    target = write_checkpoint(tmp_path / "tiny", StyleGAN(TINY), TINY)
    with Image.open(drawn(target, tmp_path / "mixing.png")) as picture:
        assert picture.width > 200
        assert len(picture.convert("L").getcolors(256) or []) > 30
    config = FakeConfig(shape=(1, 8, 8))
    with pytest.raises(CapabilityError, match="no styles to mix"):
        drawn(write_checkpoint(tmp_path / "fake", Fake(config), config), tmp_path / "none.png")


def test_mixed_images_have_the_coarse_half_of_a_row_and_the_fine_half_of_a_column() -> None:
    net = StyleGAN(TINY).eval().requires_grad_(False)
    z = torch.randn(4, TINY.row, generator=torch.Generator().manual_seed(0))
    images = mixed(net, z, z)
    torch.testing.assert_close(torch.stack([images[i, i] for i in range(4)]), net.decode(z))
    w = net.styles(z)
    one = torch.stack([w[1], w[1], w[2], w[2]])[None]
    torch.testing.assert_close(images[1, 2][None], net.synthesise(one, z[1:2]).clamp(-1, 1))


def test_the_papers_recipe_has_the_nets_that_the_authors_print_for_configuration_f() -> None:
    """30,370,060 and 29,012,513: the totals of ``print_layers`` of their networks at 1024x1024."""
    assert isinstance(PAPER.model, StyleGANConfig)
    assert isinstance(PAPER.trainer, StyleGANTrainerConfig)
    with torch.device("meta"):
        nets = StyleGAN(PAPER.model), Critic(PAPER.model, PAPER.trainer)
    assert [sum(each.numel() for each in net.parameters()) for net in nets] == [30_370_060, 29_012_513]
    assert PAPER.model.styles == 18


@pytest.mark.parametrize("recipe", [FASHION_MNIST, AFHQ_CAT, PAPER], ids=["fashion-mnist", "afhq-cat", "paper"])
def test_a_narrower_variant_of_each_recipe_takes_its_steps(recipe: Recipe) -> None:
    assert isinstance(recipe.model, StyleGANConfig)
    assert isinstance(recipe.trainer, StyleGANTrainerConfig)
    stages = min(recipe.model.stages, 3)
    shape = (recipe.model.shape[0], *[min(recipe.model.shape[1], 32)] * 2)
    narrow = replace(
        recipe,
        model=replace(recipe.model, shape=shape, stages=stages, width=2, most=4, latent=4, style=4),
        trainer=replace(recipe.trainer, width=2, most=4),
        data=FakeDataConfig(shape=shape, count=16),
        fit=replace(recipe.fit, batch_size=4),
    )
    loop = start_loop(narrow)
    before = {name: value.clone() for name, value in loop.trainer.state_dict().items()}
    loop.advance()
    loop.check_finite(0, weights=True)
    still = [name for name, value in before.items() if torch.equal(loop.trainer.state_dict()[name], value)]
    # That of a critic's last layer adds as much to real as to generated images, and in float32 nearly so.
    allowed = {"model.grown", "critic.out.bias", *(set() if recipe is PAPER else {"path_mean"})}
    assert set(still) <= allowed


DRIVER = Path(__file__).parents[3] / "tests/training/distributed_driver.py"
LAUNCH = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
SHARED = Recipe(
    model=replace(TINY, shape=(1, 16, 16), stages=2),
    trainer=StyleGANTrainerConfig(width=4, most=8, growing=2),
    fit=FitConfig(
        steps=6, batch_size=16, optimizer=OptimizerConfig(name="sgd", lr=1e-2), ema=EMAConfig(decay=0.5, warmup=False), log_every=1
    ),
    data=FakeDataConfig(shape=(1, 16, 16), count=64),
)


@pytest.mark.slow
def test_two_processes_train_as_one_while_the_nets_grow(tmp_path: Path) -> None:
    """Groups of four rows lie within a process. The mean of w is of the rows of the first process, as statistics of batch norm are."""
    at_once = replace(SHARED, fit=replace(SHARED.fit, simultaneous=True))
    for name, recipe in (("grown", SHARED), ("at-once", at_once)):
        (tmp_path / f"{name}.json").write_text(dump_json(recipe.to_dict()))
    for kind, command in (("one", [sys.executable]), ("two", [*LAUNCH])):
        arguments = [*command, str(DRIVER), str(tmp_path / kind), "6", str(tmp_path / "grown.json"), str(tmp_path / "at-once.json")]
        env = environment(write_fake_plugin(tmp_path / kind / "site"))
        done = subprocess.run(arguments, env=env, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr
    for name in ("grown", "at-once"):
        check_the_same(*(tmp_path / path / name for path in ("one", "two", "two")))


def check_the_same(one: Path, first: Path, second: Path) -> None:
    states = [load_file(folder / f"state-{i}.safetensors") for folder, i in ((one, 0), (first, 0), (second, 1))]
    logs = [json.loads((folder / f"seen-{i}.json").read_text())["logs"] for folder, i in ((one, 0), (first, 0), (second, 1))]
    for mine, theirs in zip(logs[0], logs[1], strict=True):
        assert theirs == {name: pytest.approx(value, rel=1e-3, abs=1e-5) for name, value in mine.items()}
    for name, value in states[0].items():
        assert torch.equal(states[1][name], states[2][name]), name
        if not name.endswith("w_mean"):
            torch.testing.assert_close(states[1][name], value, rtol=1e-4, atol=1e-5, msg=name)
