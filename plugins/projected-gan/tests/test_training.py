"""Training: hinges summed over heads, frozen parts that never change, and runs that resume to the bit."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor
from torch.nn.functional import softplus

from zoo_classifier.config import ClassifierConfig
from zoo_classifier.model import Classifier
from zoo_core.config import load_json
from zoo_core.data.dataset import Batch
from zoo_core.errors import CapabilityError, ConfigError, IntegrityError
from zoo_core.interfaces import Teacher
from zoo_core.recipes import EMAConfig, FitConfig, OptimizerConfig, Recipe
from zoo_core.rng import StepRng, Stream, isolated
from zoo_core.samplers import Latent
from zoo_core.testing import assert_resumes, fake_zoo, interrupt, start_loop, write_checkpoint
from zoo_core.testing.fake import Fake
from zoo_core.testing.fake_config import FakeConfig, FakeDataConfig
from zoo_core.training.augmentation import augmented
from zoo_core.training.cost import estimate
from zoo_core.training.fit import fit
from zoo_core.training.loop import build
from zoo_projected_gan.config import ProjectedGANConfig, ProjectedGANTrainerConfig
from zoo_projected_gan.model import ProjectedGAN
from zoo_projected_gan.recipes import FASHION_MNIST
from zoo_projected_gan.trainer import ProjectedGANTrainer

MODEL = ProjectedGANConfig(shape=(1, 8, 8), latent=3, width=4, stages=1, kernel=4)


@pytest.fixture(autouse=True, scope="module")
def _zoo() -> Iterator[None]:
    with fake_zoo("zoo-projected-gan", "zoo-classifier"):
        yield


def teacher_in(folder: Path, seed: int = 0) -> Teacher:
    config = ClassifierConfig(image_size=8, widths=(3, 4))
    with isolated(seed, stream=Stream.INIT):
        model = Classifier(config)
    write_checkpoint(folder, model, config)
    return Teacher(reference=f"local:{folder}")


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    return Recipe(
        model=MODEL,
        trainer=ProjectedGANTrainerConfig(teacher=teacher_in(tmp_path / "teacher"), backbone="", mixed=3, width=4),
        fit=FitConfig(
            steps=12,
            batch_size=8,
            optimizer=OptimizerConfig(lr=2e-3, options={"betas": [0.0, 0.99]}),
            ema=EMAConfig(),
            save_every=6,
            sample_every=0,
            log_every=3,
        ),
        data=FakeDataConfig(shape=(1, 8, 8), count=64),
        sampler=Latent(),
    )


def batch(rows: int = 4) -> Batch:
    x = torch.randn(rows, 1, 8, 8, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
    return Batch(x=x, labels=None, index=torch.arange(rows))


def outputs(it: ProjectedGANTrainer, x: Tensor) -> list[Tensor]:
    [net] = it.frozen.values()
    return [head(level) for head, level in zip(it.critic, net(x), strict=True)]


def sum_of(a: Tensor, b: Tensor) -> float:
    """Mean hinge of both sides, number by number."""
    real, fake = (each.flatten().tolist() for each in (a, b))
    return sum(max(0.0, 1 - value) for value in real) / len(real) + sum(max(0.0, 1 + value) for value in fake) / len(fake)


def test_the_losses_are_hinges_of_places_averaged_and_summed_over_heads(recipe: Recipe) -> None:
    it = cast(ProjectedGANTrainer, build(recipe)).eval()
    fake = it.model.decode(StepRng(0, 0, 4).normal(3))  # type: ignore[operator]  # of a generator
    of_real, of_fake = outputs(it, batch().x), outputs(it, fake)
    assert [tuple(each.shape) for each in of_real] == [(4, 1, 4, 4), (4, 1, 4, 4)]
    expected = sum(sum_of(a, b) for a, b in zip(of_real, of_fake, strict=True))
    loss = it("critic", batch(), StepRng(0, 0, 4))
    assert loss.value.item() == pytest.approx(expected, rel=1e-5)
    means = [torch.cat(each, dim=1).mean().item() for each in (of_real, of_fake)]
    assert loss.logs["critic.real"].item() == pytest.approx(means[0], rel=1e-4, abs=1e-6)
    assert loss.logs["critic.gap"].item() == pytest.approx(means[0] - means[1], rel=1e-4, abs=1e-6)
    generator = it("generator", batch(), StepRng(0, 0, 4)).value.item()
    assert generator == pytest.approx(-sum(each.mean().item() for each in of_fake), rel=1e-4, abs=1e-6)


def test_the_other_loss_takes_outputs_for_logits(recipe: Recipe) -> None:
    it = cast(ProjectedGANTrainer, build(replace(recipe, trainer=replace(recipe.trainer, loss="non-saturating")))).eval()  # type: ignore[call-arg]
    fake = it.model.decode(StepRng(0, 0, 4).normal(3))  # type: ignore[operator]  # of a generator
    pairs = zip(outputs(it, batch().x), outputs(it, fake), strict=True)
    expected = sum(softplus(-a).mean() + softplus(b).mean() for a, b in pairs)
    torch.testing.assert_close(it("critic", batch(), StepRng(0, 0, 4)).value, expected)


def test_the_features_see_both_kinds_of_images_augmented(recipe: Recipe) -> None:
    it = cast(ProjectedGANTrainer, build(replace(recipe, trainer=replace(recipe.trainer, augment=("cutout",))))).eval()  # type: ignore[call-arg]
    seen: list[Tensor] = []
    [net] = it.frozen.values()
    net.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    it("critic", batch(), StepRng(0, 0, 4))
    rng = StepRng(0, 0, 4)
    fake = it.model.decode(rng.normal(3))  # type: ignore[operator]  # of a generator
    torch.testing.assert_close(seen[0], augmented(fake, ("cutout",), rng))
    torch.testing.assert_close(seen[1], augmented(batch().x, ("cutout",), rng))


def test_frozen_parts_are_neither_trained_nor_saved_and_heads_and_generator_are(recipe: Recipe) -> None:
    loop = start_loop(recipe)
    trainer = cast(ProjectedGANTrainer, loop.trainer)
    frozen = {f"{key}.{name}": value.clone() for key, net in trainer.frozen.items() for name, value in net.state_dict().items()}
    trained = [each.detach().clone() for each in trainer.parameters()]
    assert any("running_mean" in name for name in frozen)  # of the classifier's batch norm
    assert any("scales" in name for name in frozen)
    for _ in range(3):
        loop.advance()
    for key, net in trainer.frozen.items():
        assert all(torch.equal(value, frozen[f"{key}.{name}"]) for name, value in net.state_dict().items())
    both = zip(trainer.parameters(), trained, strict=True)
    assert all(not torch.equal(now, was) for now, was in both if was.shape != (1,))  # within the margin, both hinges move a bias alike
    assert not [name for name in trainer.state_dict() if "channels" in name or "scales" in name or "body" in name]


def test_a_run_that_was_stopped_and_resumed_ends_as_one_that_was_not_to_the_bit(recipe: Recipe, tmp_path: Path) -> None:
    state = assert_resumes(recipe, tmp_path, after=5)
    assert {"trainer/critic.0.0.parametrizations.weight.0._u", "ema/net.1.running_var"} <= state.keys()
    assert not [name for name in state if "body" in name or "scales" in name]


def test_a_run_records_the_digest_of_its_teacher_and_refuses_another_one(recipe: Recipe, tmp_path: Path) -> None:
    folder = fit(replace(recipe, fit=replace(recipe.fit, steps=2, save_every=2)), tmp_path / "done")
    record: Any = load_json(folder / "training.json")["recipe"]["trainer"]
    assert len(record["teacher"]["sha256"]) == 64
    interrupt(recipe, tmp_path / "run", after=5)
    teacher_in(tmp_path / "teacher", seed=1)
    with pytest.raises(IntegrityError, match="the teacher's weights have changed since the run"):
        fit(recipe, tmp_path / "run")


def test_a_teacher_and_a_backbone_have_heads_of_their_own(recipe: Recipe) -> None:
    two = replace(recipe.trainer, backbone="test_resnet", backbone_side=32)  # type: ignore[call-arg]
    one, both = (cast(ProjectedGANTrainer, build(replace(recipe, trainer=each))) for each in (recipe.trainer, two))
    assert [len(it.critic) for it in (one, both)] == [2, 2 + 5]
    assert list(both.frozen) == ["projector-0", "projector-1"]
    levels = both.projected(batch().x)
    for found, expected in zip(levels, one.projected(batch().x), strict=False):
        torch.testing.assert_close(found, expected)  # the same seed, and so the same projections of the teacher


def test_it_trains_other_decoders_and_refuses_what_it_cannot(recipe: Recipe) -> None:
    config = FakeConfig(shape=(1, 8, 8), classes=0)
    with isolated(0, stream=Stream.INIT):
        it = ProjectedGANTrainer(Fake(config), cast(ProjectedGANTrainerConfig, recipe.trainer))
    for phase in it.phases(0):
        assert it(phase, batch(), StepRng(0, 0, 4)).value.isfinite()
    with pytest.raises(ConfigError, match="two rows"):
        it("critic", batch(1), StepRng(0, 0, 1))
    with pytest.raises(CapabilityError, match="does not take images"):
        build(replace(recipe, model=replace(MODEL, shape=(3, 8, 8))))  # type: ignore[call-arg]


def test_a_narrower_variant_of_the_recipe_takes_its_steps_and_its_cost_is_known(recipe: Recipe, tmp_path: Path) -> None:
    config = ClassifierConfig(widths=(2, 3, 4))
    write_checkpoint(tmp_path / "digits", Classifier(config), config)
    trainer = replace(
        cast(ProjectedGANTrainerConfig, FASHION_MNIST.trainer), teacher=Teacher(reference=f"local:{tmp_path / 'digits'}"), width=4
    )
    model = replace(cast(ProjectedGANConfig, FASHION_MNIST.model), width=2)
    narrow = replace(FASHION_MNIST, model=model, trainer=trainer, data=FakeDataConfig(shape=(1, 28, 28), count=16))
    loop = start_loop(replace(narrow, fit=replace(narrow.fit, batch_size=4, precision="no")))
    for _ in range(2):
        loop.advance()
    assert all(torch.isfinite(torch.tensor(value)) for value in loop.logs().values())
    assert estimate(narrow).published == sum(each.numel() for each in ProjectedGAN(model).parameters())
