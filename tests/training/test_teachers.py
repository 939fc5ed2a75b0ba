"""Theorems about frozen nets, teachers, and trainers that know the step."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from zoo_core.checkpoint.build import model_of
from zoo_core.cli import main
from zoo_core.config import load_json
from zoo_core.errors import CapabilityError, IncompatibleCheckpoint, IntegrityError
from zoo_core.interfaces import Teacher
from zoo_core.recipes import FitConfig, Recipe
from zoo_core.samplers import Ancestral
from zoo_core.testing import assert_resumes, fake_zoo, interrupt, write_checkpoint
from zoo_core.testing.fake import FakeDenoiser, FakeDenoiserTrainer
from zoo_core.testing.fake_config import (
    FakeConfig,
    FakeDataConfig,
    FakeDenoiserConfig,
    FakeDenoiserTrainerConfig,
    FakeStudentConfig,
    FakeTrainerConfig,
)
from zoo_core.training.cost import estimate
from zoo_core.training.fit import fit
from zoo_core.training.loop import build
from zoo_core.training.teachers import pin_teachers


@pytest.fixture(autouse=True)
def _zoo() -> Iterator[None]:
    with fake_zoo("zoo-vae"):
        yield


def teacher_in(folder: Path, seed: int = 0) -> Teacher:
    """A teacher with random weights in a folder."""
    torch.manual_seed(seed)
    config = FakeDenoiserConfig()
    model = FakeDenoiser(config)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.1)
    write_checkpoint(folder, model, config, Ancestral(steps=5))
    return Teacher(reference=f"local:{folder}")


def recipe_of(teacher: Teacher, steps: int = 6) -> Recipe:
    return Recipe(
        model=FakeDenoiserConfig(),
        trainer=FakeStudentConfig(teacher=teacher),
        fit=FitConfig(steps=steps, batch_size=4, save_every=2, sample_every=0, log_every=2),
        data=FakeDataConfig(count=16),
        sampler=Ancestral(steps=5),
    )


def test_a_frozen_net_moves_with_its_trainer_and_is_no_part_of_what_it_trains_and_saves() -> None:
    trainer = FakeDenoiserTrainer(FakeDenoiser(FakeDenoiserConfig()), FakeDenoiserTrainerConfig())
    before = {name for name, _ in trainer.named_parameters()}, trainer.state_dict().keys()
    net = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5))
    trainer.freeze("teacher", net)
    assert ({name for name, _ in trainer.named_parameters()}, trainer.state_dict().keys()) == before
    assert not any(parameter.requires_grad for parameter in net.parameters())
    trainer.train().to(torch.float64)
    assert not net.training
    assert {parameter.dtype for parameter in net.parameters()} == {torch.float64}


def test_a_frozen_part_of_the_model_is_saved_but_stays_in_eval_mode_without_gradients() -> None:
    model = FakeDenoiser(FakeDenoiserConfig())
    model.part = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5))
    trainer = FakeDenoiserTrainer(model, FakeDenoiserTrainerConfig())
    trainer.freeze_part(model.part)
    trainer.train()
    assert model.training
    assert not any(module.training for module in model.part.modules())
    assert not any(parameter.requires_grad for parameter in model.part.parameters())
    assert "model.part.0.weight" in trainer.state_dict()


def test_a_resumed_run_with_a_teacher_ends_as_a_whole_one_and_holds_no_weights_of_the_teacher(tmp_path: Path) -> None:
    state = assert_resumes(recipe_of(teacher_in(tmp_path / "teacher")), tmp_path, after=3)
    assert not [name for name in state if "teacher" in name]


def test_the_record_of_a_run_holds_the_digest_of_its_teacher(tmp_path: Path) -> None:
    recipe = recipe_of(teacher_in(tmp_path / "teacher"), steps=2)
    folder = fit(recipe, tmp_path / "run")
    for recorded in (load_json(tmp_path / "run" / "recipe.json"), load_json(folder / "training.json")["recipe"]):
        assert Recipe.from_dict(recorded).trainer == pin_teachers(recipe).trainer
        assert len(recorded["trainer"]["teacher"]["sha256"]) == 64


def test_a_run_is_not_resumed_with_another_teacher(tmp_path: Path) -> None:
    recipe = recipe_of(teacher_in(tmp_path / "teacher"))
    interrupt(recipe, tmp_path / "run", after=3)
    teacher_in(tmp_path / "teacher", seed=1)
    with pytest.raises(IntegrityError, match=r"the teacher's weights have changed since the run in .* began: sha256 "):
        fit(recipe, tmp_path / "run")


def test_a_recipe_with_the_digest_of_other_weights_is_refused(tmp_path: Path) -> None:
    recipe = pin_teachers(recipe_of(teacher_in(tmp_path / "teacher")))
    teacher_in(tmp_path / "teacher", seed=1)
    with pytest.raises(IntegrityError, match="has other weights than the recipe names"):
        fit(recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_teacher_needs_the_capability_that_its_trainer_uses(tmp_path: Path) -> None:
    config = FakeConfig(shape=(2,))
    write_checkpoint(tmp_path / "flow", model_of(config), config)
    with pytest.raises(CapabilityError, match=r"the teacher local:.* cannot denoise: it has no "):
        build(recipe_of(Teacher(reference=f"local:{tmp_path / 'flow'}")))


def test_a_trainer_that_uses_the_number_of_steps_is_not_extended_unasked(tmp_path: Path) -> None:
    recipe = recipe_of(teacher_in(tmp_path / "teacher"))
    fit(recipe, tmp_path / "run")
    with pytest.raises(IncompatibleCheckpoint, match="holds a run of"):
        fit(replace(recipe, fit=replace(recipe.fit, steps=8)), tmp_path / "run")


def test_reading_the_number_of_steps_must_be_declared() -> None:
    trainer = FakeDenoiserTrainer(FakeDenoiser(FakeDenoiserConfig()), FakeDenoiserTrainerConfig())
    with pytest.raises(RuntimeError, match="FakeDenoiserTrainer reads steps: it must declare uses_steps = True"):
        _ = trainer.steps


def test_the_cost_counts_the_weights_of_a_teacher_once(tmp_path: Path) -> None:
    recipe = recipe_of(teacher_in(tmp_path / "teacher"))
    alone = estimate(replace(recipe, trainer=FakeDenoiserTrainerConfig()))
    assert estimate(recipe).weights - alone.weights == 4 * alone.published


@pytest.mark.parametrize(
    ("model", "trainer", "message"),
    [
        (
            FakeConfig(),
            FakeStudentConfig(teacher=Teacher(reference="x")),
            "the trainer fake-student cannot train fake: the family cannot denoise",
        ),
        (FakeDenoiserConfig(), FakeTrainerConfig(), None),
    ],
)
def test_a_trainer_is_refused_by_its_spec_before_anything_is_built(
    model: FakeConfig, trainer: FakeTrainerConfig, message: str | None
) -> None:
    from zoo_core.capabilities import check_trainer

    if message is None:
        check_trainer(model, trainer)  # of one plugin: its author knows
    else:
        with pytest.raises(CapabilityError, match=message):
            check_trainer(model, trainer)


def test_the_trainer_of_another_family_is_refused_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["train", "fake-denoiser", "-o", "trainer=vae", "--dry-run"])
    assert stop.value.code == CapabilityError.exit_code
    error = capsys.readouterr().err
    assert (
        "the trainer vae cannot train fake-denoiser: it is made for its own families -- trainers that can: fake-denoiser, fake-student"
        in error
    )
