"""Theorems about progressive distillation."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from zoo_core.errors import ConfigError, IncompatibleCheckpoint, IntegrityError
from zoo_core.interfaces import Teacher
from zoo_core.recipes import FitConfig, Recipe
from zoo_core.rng import ImageRng, StepRng
from zoo_core.samplers import Ancestral, DPMSolver2M
from zoo_core.schedulers import Karras
from zoo_core.testing import assert_resumes, fake_zoo, interrupt, write_checkpoint
from zoo_core.testing.fake_config import FakeDataConfig
from zoo_core.training.cost import estimate
from zoo_core.training.fit import fit
from zoo_core.training.trainer import Batch
from zoo_ddpm.config import DDPMConfig
from zoo_ddpm.model import DDPM
from zoo_distillation import student as student_module
from zoo_distillation.config import ProgressiveConfig
from zoo_distillation.ode import ddim_step, heun_step, walk
from zoo_distillation.progressive import ProgressiveTrainer, target
from zoo_distillation.schedulers import Nested

SMALL = DDPMConfig(image_size=8, dim=8, multipliers=(1, 2), linear_attention=(), heads=2, prediction="v")


def levels(*values: float) -> list[Tensor]:
    return [torch.tensor([value], dtype=torch.float64) for value in values]


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_one_step_of_the_optimal_student_is_two_ddim_steps_of_its_teacher(steps: int, exact: Any, mapped: Any) -> None:
    teacher = exact
    fine = Nested().sigmas(2 * steps, *teacher.sigma_range)
    after = dict(zip(fine[:-1:2], zip(fine[1::2], fine[2::2], strict=True), strict=True))

    def optimal(x: Tensor, sigma: Tensor) -> Tensor:
        path = [sigma, *(sigma.new_full(sigma.shape, value) for value in after[sigma[0].item()])]
        return target(x, walk(teacher.denoise, x, path, ddim_step), path[0], path[2])

    x = teacher.start(ImageRng(0, range(64)), fine[0]).double()
    ddim = Ancestral(steps=2 * steps, eta=0.0)
    two = ddim(teacher, ImageRng(0, range(64)), sigmas=fine, x=x)
    one = ddim(mapped(optimal), ImageRng(0, range(64)), sigmas=fine[::2], x=x)
    assert (one - two).abs().max() < 1e-6
    assert (two - x).abs().max() > 1


def test_the_target_is_the_published_one() -> None:
    # Algorithm 2 in the paper's own coordinates, z_t = alpha_t x + sigma_t eps with alpha_t^2 + sigma_t^2 = 1; our level is
    # sigma_t / alpha_t.
    generator = torch.Generator().manual_seed(0)
    z_t = torch.randn(5, 3, dtype=torch.float64, generator=generator)
    x_t, x_mid = torch.randn(2, 5, 3, dtype=torch.float64, generator=generator)
    t, mid, end = 3.0, 1.5, 0.4
    alpha, sigma = zip(*((1 / (1 + s**2) ** 0.5, s / (1 + s**2) ** 0.5) for s in (t, mid, end)), strict=True)
    z_mid = alpha[1] * x_t + sigma[1] / sigma[0] * (z_t - alpha[0] * x_t)
    z_end = alpha[2] * x_mid + sigma[2] / sigma[1] * (z_mid - alpha[1] * x_mid)
    published = (z_end - sigma[2] / sigma[0] * z_t) / (alpha[2] - sigma[2] / sigma[0] * alpha[0])
    estimates = iter((x_t, x_mid))
    x = z_t / alpha[0]
    path = [torch.full((5,), value, dtype=torch.float64) for value in (t, mid, end)]
    ours = target(x, walk(lambda x, level: next(estimates), x, path, ddim_step), path[0], path[2])
    torch.testing.assert_close(ours, published)


@pytest.fixture
def exact_teacher(monkeypatch: pytest.MonkeyPatch, exact: Any) -> None:
    """The teacher of every trainer is the exact denoiser."""
    monkeypatch.setattr(student_module, "load_teacher", lambda teacher, requires: exact)


def trainer_of(model: torch.nn.Module, **options: object) -> ProgressiveTrainer:
    config = ProgressiveConfig(teacher=Teacher(reference="exact"), scheduler=Nested(), **options)  # type: ignore[arg-type]
    return ProgressiveTrainer(model, config)


@pytest.mark.parametrize(("solver", "step"), [("ddim", ddim_step), ("heun", heun_step)])
def test_the_loss_is_the_weighted_error_against_the_target(
    exact_teacher: None, exact: Any, mapped: Any, solver: str, step: Callable[..., Tensor]
) -> None:
    trainer = trainer_of(mapped(lambda x, sigma: 0 * x), first_steps=2, last_steps=1, substeps=3, solver=solver)
    trainer.place(0, 10)
    batch = Batch(x=exact.draw(6), labels=None, index=torch.arange(6))
    loss = trainer("model", batch, StepRng(0, 0, 6)).value
    rng = StepRng(0, 0, 6)
    begin = 3 * rng.integers(0, 2)
    fine = Nested().sigmas(6, 0.02, 20.0)
    z = rng.normal(2)
    errors = []
    for i in range(6):
        path = levels(*fine[begin[i] : begin[i] + 4])
        x = (batch.x[i] + path[0] * z[i])[None]
        taught = target(x, walk(exact.denoise, x, path, step), path[0], path[3])  # type: ignore[arg-type]
        errors.append(max(path[0].item() ** -2, 1) * taught.square().mean().item())
    assert loss.item() == pytest.approx(sum(errors) / 6)


def test_later_stages_learn_from_the_student_of_the_stage_before(exact_teacher: None, mapped: Any) -> None:
    model = torch.nn.Linear(2, 2).double()
    student = mapped(lambda x, sigma: model(x))
    student.net = model
    trainer = trainer_of(student, first_steps=4, last_steps=1)
    stages = []
    for step in range(9):
        trainer.place(step, 9)
        stages.append(trainer.stage(step))
        copied = trainer.previous.net.weight.clone()
        if step in (3, 6):
            assert torch.equal(copied, model.weight)
        with torch.no_grad():
            model.weight.add_(1)
        assert torch.equal(trainer.previous.net.weight, copied)
    assert stages == [0, 0, 0, 1, 1, 1, 2, 2, 2]


@pytest.mark.parametrize(("first", "last"), [(6, 4), (12, 4), (2, 4), (8, 3)])
def test_the_numbers_of_steps_halve(first: int, last: int) -> None:
    with pytest.raises(ConfigError, match="first_steps must be last_steps times a power of 2"):
        ProgressiveConfig(teacher=Teacher(reference="x"), first_steps=first, last_steps=last)


def test_levels_that_do_not_nest_are_refused(exact_teacher: None, exact: Any) -> None:
    with pytest.raises(ConfigError, match=r"the levels of 16 steps must be levels of 32 steps, and those of Karras"):
        ProgressiveTrainer(exact, ProgressiveConfig(teacher=Teacher(reference="x"), scheduler=Karras()))


def teacher_in(folder: Path, seed: int = 0, config: DDPMConfig = SMALL) -> Teacher:
    torch.manual_seed(seed)
    write_checkpoint(folder, DDPM(config), config, Ancestral(steps=5))
    return Teacher(reference=f"local:{folder}")


def recipe_of(teacher: Teacher) -> Recipe:
    return Recipe(
        model=SMALL,
        trainer=ProgressiveConfig(teacher=teacher, first_steps=4, last_steps=1),
        fit=FitConfig(steps=12, batch_size=4, save_every=3, sample_every=0, log_every=3, lr_schedule="cosine", lr_cycles=3),
        data=FakeDataConfig(shape=(3, 8, 8), count=16),
        sampler=Ancestral(steps=1, eta=0.0),
        scheduler=Nested(),
    )


@pytest.mark.parametrize("after", [4, 6], ids=["within a stage", "across its end"])
def test_a_resumed_run_ends_as_a_whole_one(tmp_path: Path, after: int) -> None:
    with fake_zoo("zoo-ddpm", "zoo-distillation"):
        state = assert_resumes(recipe_of(teacher_in(tmp_path / "teacher")), tmp_path, after=after)
    assert [name for name in state if "previous" in name]
    assert not [name for name in state if "teacher" in name]


def test_another_teacher_stops_the_run(tmp_path: Path) -> None:
    with fake_zoo("zoo-ddpm", "zoo-distillation"):
        recipe = recipe_of(teacher_in(tmp_path / "teacher"))
        interrupt(recipe, tmp_path / "run", after=5)
        teacher_in(tmp_path / "teacher", seed=1)
        with pytest.raises(IntegrityError, match="the teacher's weights have changed"):
            fit(recipe, tmp_path / "run")


def test_a_student_begins_with_the_weights_of_a_teacher_with_its_net(tmp_path: Path) -> None:
    with fake_zoo("zoo-ddpm", "zoo-distillation"):
        trainer = ProgressiveTrainer(DDPM(SMALL), ProgressiveConfig(teacher=teacher_in(tmp_path / "teacher", seed=5)))
    trainer.prepare(Batch(x=torch.zeros(2, 3, 8, 8), labels=None, index=torch.arange(2)), StepRng(0, 0, 2))
    taught = trainer.frozen["teacher"].state_dict()
    assert all(torch.equal(value, taught[name]) for name, value in trainer.model.state_dict().items())


def test_a_teacher_of_other_samples_is_refused(tmp_path: Path) -> None:
    larger = DDPMConfig(image_size=16, dim=8, multipliers=(1, 2), linear_attention=(), heads=2)
    with fake_zoo("zoo-ddpm", "zoo-distillation"), pytest.raises(ConfigError, match="must have the same shape"):
        ProgressiveTrainer(DDPM(SMALL), ProgressiveConfig(teacher=teacher_in(tmp_path / "teacher", config=larger)))


def test_a_longer_run_of_other_stages_is_refused(tmp_path: Path) -> None:
    with fake_zoo("zoo-ddpm", "zoo-distillation"):
        recipe = recipe_of(teacher_in(tmp_path / "teacher"))
        interrupt(recipe, tmp_path / "run", after=5)
        with pytest.raises(IncompatibleCheckpoint, match="holds a run of 12 steps"):
            fit(Recipe.from_dict({**recipe.to_dict(), "fit": {**recipe.to_dict()["fit"], "steps": 24}}), tmp_path / "run")


@pytest.mark.filterwarnings("error")
def test_the_cost_of_a_step_is_known_without_the_teachers_weights(tmp_path: Path) -> None:
    with fake_zoo("zoo-ddpm", "zoo-distillation"):
        cost = estimate(recipe_of(teacher_in(tmp_path / "teacher")))
    assert cost.flops > 0
    assert cost.weights > 6 * 4 * cost.published  # with gradients, moments, the average, the teacher, and the stage's teacher


@pytest.mark.parametrize(("stage", "count", "substeps"), [(0, 2, 3), (1, 1, 2)])
def test_on_the_path_of_a_sampler_all_steps_are_learnt_from_its_states(
    exact_teacher: None, exact: Any, mapped: Any, stage: int, count: int, substeps: int
) -> None:
    """The first stage learns from the sampler's states at every third level, the second from the first student's own two steps."""
    trainer = trainer_of(mapped(lambda x, sigma: 0.1 * x), first_steps=2, last_steps=1, substeps=3, sampler=DPMSolver2M(clip=False))
    trainer.place(5 * stage, 10)
    loss = trainer("model", Batch(x=exact.draw(4), labels=None, index=torch.arange(4)), StepRng(0, 0, 4)).value
    sigmas = Nested().sigmas(substeps * count, 0.02, 20.0)
    start = exact.start(StepRng(0, 0, 4), 20.0)
    states: list[Tensor] = []
    if stage == 0:
        keep = lambda step, sigma, x, x0: states.append(x)  # noqa: E731
        DPMSolver2M(clip=False)(exact, StepRng(0, 0, 4), sigmas=sigmas, x=start, on_step=keep)
    else:
        states.append(start)
        for sigma, below in pairwise(sigmas):
            states.append(0.1 * states[-1] + below / sigma * (states[-1] - 0.1 * states[-1]))
    errors = []
    for k in range(count):
        x, end = states[substeps * k], states[substeps * (k + 1)]
        sigma, below = sigmas[substeps * k], sigmas[substeps * (k + 1)]
        taught = (end - below / sigma * x) / (1 - below / sigma)
        errors += (max(sigma**-2, 1) * (0.1 * x - taught).square().mean(1)).tolist()
    assert len(errors) == 4 * count
    assert loss.item() == pytest.approx(sum(errors) / len(errors), rel=1e-5)
