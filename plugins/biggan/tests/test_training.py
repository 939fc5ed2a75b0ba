"""Training: the hinge loss, the orthogonal penalty, augmentation, averages of spectral norms, and a resume to the bit."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from zoo_biggan.config import BigGANConfig, BigGANTrainerConfig
from zoo_biggan.layers import orthogonal_penalty
from zoo_biggan.model import BigGAN
from zoo_biggan.recipes import CIFAR10, PAPER
from zoo_biggan.trainer import BigGANTrainer
from zoo_core.data.dataset import Batch
from zoo_core.models.spectral import Conv, Linear, SpectralNorm
from zoo_core.recipes import EMAConfig, FitConfig, OptimizerConfig, Recipe
from zoo_core.rng import StepRng
from zoo_core.samplers import Latent
from zoo_core.testing import assert_resumes, fake_zoo, start_loop
from zoo_core.testing.fake_config import FakeDataConfig
from zoo_core.training.augmentation import augmented

MODEL = BigGANConfig(shape=(1, 8, 8), num_classes=3, latent=6, embedding=3, width=8, multipliers=(1, 1), attention=(4,))
TINY = Recipe(
    model=MODEL,
    trainer=BigGANTrainerConfig(
        n_critic=2, width=8, multipliers=(1, 1), halvings=1, attention=(4,), orthogonal=1e-3, augment=("translation",)
    ),
    fit=FitConfig(
        steps=12,
        batch_size=12,
        optimizer=OptimizerConfig(lr=2e-3, options={"betas": [0.0, 0.9]}),
        ema=EMAConfig(decay=0.9),
        save_every=6,
        sample_every=0,
        log_every=3,
    ),
    data=FakeDataConfig(shape=(1, 8, 8), classes=3, count=96),
    sampler=Latent(),
)


@pytest.fixture(autouse=True, scope="module")
def _zoo() -> Iterator[None]:
    with fake_zoo("zoo-biggan"):
        yield


def trainer(**changes: Any) -> BigGANTrainer:
    config = BigGANTrainerConfig(**{"width": 8, "multipliers": (1, 1), "halvings": 1, "attention": (4,), **changes})
    return BigGANTrainer(BigGAN(MODEL), config)


def batch(rows: int = 6) -> Batch:
    x = torch.randn(rows, 1, 8, 8, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
    return Batch(x=x, labels=torch.arange(rows) % 3, index=torch.arange(rows))


def test_the_losses_are_hinges_of_both_sides() -> None:
    it = trainer().eval()
    given = batch()
    fake = it.model.decode(StepRng(0, 0, 6).normal(6), given.labels)
    of_real, of_fake = it.critic(given.x, cast(Tensor, given.labels)), it.critic(fake, cast(Tensor, given.labels))
    expected = sum(max(0.0, 1 - a) + max(0.0, 1 + b) for a, b in zip(of_real.tolist(), of_fake.tolist(), strict=True)) / 6
    assert it("critic", given, StepRng(0, 0, 6)).value.item() == pytest.approx(expected, rel=1e-5)
    assert it("generator", given, StepRng(0, 0, 6)).value.item() == pytest.approx(-of_fake.mean().item(), rel=1e-5, abs=1e-6)


def test_the_generator_pays_for_its_weights_but_not_for_the_class_embedding() -> None:
    plain, paying = trainer().eval(), trainer(orthogonal=0.5).eval()
    with torch.no_grad():
        for i, parameter in enumerate(paying.parameters()):
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(i)))
    plain.load_state_dict(paying.state_dict())
    layers = [each for each in paying.model.modules() if isinstance(each, Conv | Linear)]
    expected = sum(orthogonal_penalty(each.weight).item() for each in layers)
    losses = [it("generator", batch(), StepRng(0, 0, 6)) for it in (plain, paying)]
    assert expected > 1
    assert losses[1].logs["generator.orthogonal"].item() == pytest.approx(expected, rel=1e-5)
    assert (losses[1].value - losses[0].value).item() == pytest.approx(0.5 * expected, rel=1e-4)
    assert not losses[0].logs
    critic = [it("critic", batch(), StepRng(0, 0, 6)).value for it in (plain, paying)]
    assert torch.equal(*critic)
    losses[1].value.backward()
    assert cast(Tensor, paying.model.linear.weight.grad).abs().max() > 0.1


def test_the_critic_sees_both_kinds_of_images_augmented() -> None:
    it = trainer(augment=("colour", "cutout")).eval()
    given = batch()
    seen: list[Tensor] = []
    it.critic.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    it("critic", given, StepRng(0, 0, 6))
    rng = StepRng(0, 0, 6)
    fake = it.model.decode(rng.normal(6), given.labels)
    torch.testing.assert_close(seen[0], augmented(fake, ("colour", "cutout"), rng))
    torch.testing.assert_close(seen[1], augmented(given.x, ("colour", "cutout"), rng))
    assert (seen[1] - given.x).abs().max() > 0.1


def test_a_run_that_was_stopped_and_resumed_ends_as_one_that_was_not_to_the_bit(tmp_path: Path) -> None:
    state = assert_resumes(TINY, tmp_path, after=5)
    names = " ".join(state)
    parts = ("conv.spectral.u", "model/model.attention.4.gamma", "trainer/critic.attention.0.gamma", "ema/norm.running_var")
    assert [part for part in parts if part not in names] == []


def test_averaged_weights_keep_the_spectral_norm_one() -> None:
    """An average of u is shorter than 1, and that of the weights has another singular vector: sigma in eval mode allows for both."""
    fit = replace(TINY.fit, optimizer=OptimizerConfig(lr=2e-2, options={"betas": [0.0, 0.9]}), ema=EMAConfig(decay=0.9, warmup=False))
    loop = start_loop(replace(TINY, fit=fit))
    for _ in range(40):
        loop.advance()
    averaged = loop.published.eval()
    layers = [each for each in averaged.modules() if isinstance(each, Conv | Linear)]
    lengths = [cast(SpectralNorm, each.spectral).u.norm().item() for each in layers]
    assert min(lengths) < 0.99
    norms = [torch.linalg.svdvals(each.kernel.detach().flatten(1))[0].item() for each in layers]
    assert norms == pytest.approx([1] * len(norms), abs=0.1)


@pytest.mark.parametrize("recipe", [CIFAR10, PAPER], ids=["cifar10", "paper"])
def test_a_narrower_variant_of_each_recipe_takes_its_steps(recipe: Recipe) -> None:
    assert isinstance(recipe.model, BigGANConfig)
    assert isinstance(recipe.trainer, BigGANTrainerConfig)
    model = replace(recipe.model, width=1, num_classes=3, embedding=4)
    fit = replace(recipe.fit, batch_size=4, precision="no")
    data = FakeDataConfig(shape=recipe.model.shape, classes=3, count=8)
    loop = start_loop(replace(recipe, model=model, trainer=replace(recipe.trainer, width=1), fit=fit, data=data))
    before = [each.detach().clone() for each in loop.trainer.model.parameters()]
    for _ in range(2):
        loop.advance()
    logs = loop.logs()
    assert {"loss.critic", "loss.generator"} <= logs.keys()
    assert all(torch.isfinite(torch.tensor(value)) for value in logs.values())
    assert any(not torch.equal(now, was) for now, was in zip(loop.trainer.model.parameters(), before, strict=True))


@pytest.mark.slow
def test_images_are_of_the_class_that_was_asked_for() -> None:
    """The blobs of the three classes lie at three places, and so do those of the samples."""
    recipe = replace(
        TINY,
        trainer=BigGANTrainerConfig(width=8, multipliers=(1, 1), halvings=1, attention=(4,)),
        fit=replace(TINY.fit, batch_size=24, optimizer=OptimizerConfig(lr=5e-3, options={"betas": [0.0, 0.9]})),
    )
    loop = start_loop(recipe)
    for _ in range(480):  # twice what it takes on some processors
        loop.advance()
    net = cast(BigGAN, loop.published).eval()
    labels = torch.arange(60) % 3
    with torch.no_grad():
        drawn = net.decode(StepRng(9, 0, 60).normal(6), labels)
    data = loop.data
    assert data.labels is not None
    centres = torch.stack([data.rows((data.labels == y).nonzero()[:, 0]).mean(dim=0) for y in range(3)])
    assert torch.cdist(centres.flatten(1), centres.flatten(1))[0, 1] > 0.5
    nearest = torch.cdist(drawn.flatten(1), centres.flatten(1)).argmin(dim=1)
    assert (nearest == labels).float().mean() > 0.9


def test_nothing_but_spectral_norms_and_statistics_is_kept_beside_the_weights() -> None:
    names = {name.rsplit(".", 1)[-1] for name, _ in BigGAN(MODEL).named_buffers()}
    assert names == {"u", "running_mean", "running_var", "num_batches_tracked"}
