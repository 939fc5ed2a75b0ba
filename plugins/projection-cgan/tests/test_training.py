"""Theorems about training a generator of classes."""

import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import zoo_core
from zoo_core.cli import main
from zoo_core.data.dataset import load_data
from zoo_core.datasets import FolderConfig
from zoo_core.distributed import Processes
from zoo_core.errors import ConfigError, UsageError
from zoo_core.images import class_sheet
from zoo_core.recipes import EMAConfig, FitConfig, OptimizerConfig, Recipe
from zoo_core.samplers import Latent
from zoo_core.testing import assert_resumes, fake_zoo
from zoo_core.testing.fake_config import FakeDataConfig
from zoo_core.training.checkpoints import newest
from zoo_core.training.fit import fit
from zoo_core.training.loop import Loop, build
from zoo_projection_cgan.config import ProjectionCGANConfig, ProjectionCGANTrainerConfig

ADAM = OptimizerConfig(lr=2e-3, options={"betas": [0.0, 0.9]})
BLOBS = FakeDataConfig(shape=(1, 8, 8), classes=3, count=96)
TINY = Recipe(
    model=ProjectionCGANConfig(shape=(1, 8, 8), num_classes=3, latent=4, width=8, multipliers=(1,)),
    trainer=ProjectionCGANTrainerConfig(width=8, multipliers=(1, 1), halvings=1, n_critic=2),
    fit=FitConfig(
        steps=12,
        batch_size=12,
        optimizer=ADAM,
        optimizers={"critic": replace(ADAM, lr=4e-3)},
        ema=EMAConfig(decay=0.9),
        save_every=6,
        sample_every=0,
        log_every=3,
    ),
    data=BLOBS,
    sampler=Latent(),
)


@pytest.fixture(autouse=True, scope="module")
def _zoo() -> Iterator[None]:
    with fake_zoo("zoo-projection-cgan"):
        yield


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """Restores the signal handlers that ``zoo`` replaces."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("precision", "channels_last", "step"), [("no", False, 6), ("bf16", True, 7)], ids=["float32", "bf16, channels last"]
)
def test_a_run_that_was_stopped_and_resumed_ends_the_same_to_the_bit(
    tmp_path: Path, precision: str, channels_last: bool, step: int
) -> None:
    """In generator and critic, the vectors of spectral norm, both optimizers, and the averages of batch norm."""
    recipe = replace(TINY, fit=replace(TINY.fit, precision=precision, channels_last=channels_last))  # type: ignore[arg-type]
    names = " ".join(assert_resumes(recipe, tmp_path, after=step))
    parts = ("optimizer-critic", "optimizer-generator", "parametrizations.weight.0._u", "ema/norm.running_var")
    assert [part for part in parts if part not in names] == []


def _largest(loop: Loop) -> list[float]:
    """The largest singular value of each layer of the critic, for the matrix that torch normalises."""
    layers = [layer for layer in loop.trainer.critic.modules() if isinstance(layer, nn.Conv2d | nn.Linear | nn.Embedding)]  # type: ignore[union-attr]
    loop.trainer.eval()
    with torch.no_grad():
        found = [torch.linalg.svdvals(layer.weight.flatten(1))[0].item() for layer in layers]
    loop.trainer.train()
    return found


def test_the_critic_keeps_the_spectral_norm_one_through_training_and_a_resume(tmp_path: Path) -> None:
    fit(replace(TINY, fit=replace(TINY.fit, steps=30, save_every=30)), tmp_path)
    loop = Loop(TINY, build(TINY), load_data(BLOBS), Processes("cpu"))
    snapshot = newest(tmp_path / "steps")
    assert snapshot is not None
    loop.restore(snapshot)
    resumed = _largest(loop)
    loop.advance()
    assert len(resumed) == 2 + 2 + 1 + 2  # the second block keeps side and width, and so has no shortcut
    assert resumed == pytest.approx([1] * 7, abs=0.05)
    assert _largest(loop) == pytest.approx([1] * 7, abs=0.05)
    raw = [value for name, value in loop.trainer.named_parameters() if name.endswith("weight.original")]
    assert max(abs(torch.linalg.svdvals(value.detach().flatten(1))[0].item() - 1) for value in raw) > 0.1


def _photos(folder: Path) -> FolderConfig:
    """Images of three classes, light in their upper half, in their lower half, and on the left, with noise."""
    noise = np.random.default_rng(0)
    for name, part in {"a": np.s_[:4], "b": np.s_[4:], "c": np.s_[:, :4]}.items():
        (folder / name).mkdir(parents=True)
        for number in range(8):
            pixels = noise.integers(20, 60, (8, 8), dtype=np.uint8)
            pixels[part] += 150
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return FolderConfig(path=str(folder), size=8, channels=1)


@pytest.mark.parametrize("loss", ["hinge", "non-saturating"])
def test_images_are_of_the_class_that_was_asked_for(tmp_path: Path, loss: str) -> None:
    photos = _photos(tmp_path / "photos")
    trainer = replace(TINY.trainer, loss=loss, n_critic=1)  # type: ignore[call-arg]
    settings = replace(TINY.fit, steps=130, batch_size=24, optimizer=replace(ADAM, lr=1e-2), optimizers={}, save_every=130, log_every=65)
    recipe = replace(TINY, trainer=trainer, data=photos, fit=settings)
    model = zoo_core.load(f"local:{fit(recipe, tmp_path / 'run')}")
    data = load_data(photos)
    assert data.labels is not None
    centres = torch.stack([data.rows((data.labels == y).nonzero()[:, 0]).mean(dim=0) for y in range(3)])
    labels = torch.arange(60) % 3
    nearest = torch.cdist(model.sample(60, labels=labels).flatten(1), centres.flatten(1)).argmin(dim=1)
    assert (nearest == labels).float().mean() > 0.95


def test_without_labels_image_i_is_of_class_i_modulo_their_number(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = fit(TINY, tmp_path / "run")
    model = zoo_core.load(f"local:{run}")
    labels = torch.arange(7) % 3
    assert torch.equal(model.sample(7), model.sample(7, labels=labels))
    with pytest.raises(UsageError, match="needs labels"):
        model.decode(torch.zeros(2, 4))
    for out in ("x.npz", "x.png"):
        with pytest.raises(SystemExit) as done:
            main(["sample", f"local:{run}", "-n", "7", "--out", str(tmp_path / out)])
        assert not done.value.code, capsys.readouterr().err
    with np.load(tmp_path / "x.npz") as drawn:
        assert drawn["labels"].tolist() == labels.tolist()
    with Image.open(tmp_path / "x.png") as sheet:
        expected = class_sheet(model.sample(7), model.files.json("training.json")["data"]["classes"])
        assert np.array_equal(np.asarray(sheet), expected.permute(1, 2, 0).numpy())


def test_data_without_labels_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    Image.new("L", (8, 8)).save(tmp_path / "photos" / "one.png")
    bare = replace(TINY, data=FolderConfig(path=str(tmp_path / "photos"), size=8, channels=1))
    with pytest.raises(ConfigError, match=r"the data has 0 classes, and model\.num_classes is 3") as error:
        fit(bare, tmp_path / "run")
    assert "\n" not in str(error.value)
