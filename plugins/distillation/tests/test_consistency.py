"""Theorems about consistency models."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from zoo_core.errors import ConfigError
from zoo_core.interfaces import Teacher
from zoo_core.recipes import FitConfig, Recipe
from zoo_core.rng import ImageRng, StepRng
from zoo_core.samplers import DPMSolver2M, Heun
from zoo_core.testing import assert_resumes, fake_zoo
from zoo_core.testing.fake_config import FakeDataConfig
from zoo_core.training.trainer import Batch
from zoo_distillation import student as student_module
from zoo_distillation.config import ConsistencyConfig
from zoo_distillation.consistency import ConsistencyTrainer, distance
from zoo_distillation.ode import broadcast, heun_step
from zoo_distillation.samplers import Consistency
from zoo_distillation.schedulers import Nested
from zoo_ncsn_langevin.config import NCSNConfig
from zoo_ncsn_langevin.model import NCSN

BOUNDS = (0.02, 20.0)
POINTS = NCSNConfig(shape=(2,), net="mlp", width=64, blocks=2, sigma_min=BOUNDS[0], sigma_max=BOUNDS[1], sigma_data=2.0)


@pytest.fixture
def exact_teacher(monkeypatch: pytest.MonkeyPatch, exact: Any) -> None:
    """The teacher of every trainer is the exact denoiser."""
    monkeypatch.setattr(student_module, "load_teacher", lambda teacher, requires: exact)


def trainer_of(model: nn.Module, *, taught: bool, **options: Any) -> ConsistencyTrainer:
    teacher = Teacher(reference="exact") if taught else None
    return ConsistencyTrainer(model, ConsistencyConfig(teacher=teacher, scheduler=Nested(), **options))


def train(exact: Any, *, taught: bool, steps: int, rows: int = 512, **options: Any) -> NCSN:
    """A small net after ``steps`` steps of Adam on samples of the mixture."""
    torch.manual_seed(0)
    model = NCSN(POINTS)
    trainer = trainer_of(model, taught=taught, huber=0.3, **options)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    data = exact.draw(20_000).float()
    for step in range(steps):
        trainer.place(step, steps)
        index = torch.randint(len(data), (rows,), generator=torch.Generator().manual_seed(step))
        loss = trainer("model", Batch(x=data[index], labels=None, index=index), StepRng(0, step, rows)).value
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            trainer.after("model")
    return model.eval().requires_grad_(False)


def drawn(model: nn.Module, x: Tensor, steps: int) -> Tensor:
    return Consistency(steps=steps)(model, ImageRng(1, range(len(x))), x=x, sigmas=Nested().sigmas(steps, *BOUNDS))


def end_points(exact: Any, x: Tensor) -> Tensor:
    """The ends of the paths of the exact ODE from ``x`` at the largest level."""
    return Heun(steps=200)(exact, ImageRng(0, range(len(x))), x=x, sigmas=Nested().sigmas(200, *BOUNDS))


def test_a_distilled_model_maps_noise_to_the_end_of_the_odes_path_and_further_steps_help(exact_teacher: None, exact: Any) -> None:
    model = train(exact, taught=True, steps=600)
    x = exact.start(ImageRng(0, range(4000)), BOUNDS[1])
    one, two = drawn(model, x, 1), drawn(model, x, 2)
    apart = (one - end_points(exact, x)).norm(dim=1)
    assert apart.median() < 0.08  # of components with a standard deviation of 0.5, 4.1 apart
    assert apart.quantile(0.9) < 0.25
    assert exact.mixture.misfit(two).std < 0.8 * exact.mixture.misfit(one).std


def test_without_a_teacher_most_samples_come_near_the_same_end(exact: Any) -> None:
    model = train(exact, taught=False, steps=600)
    x = exact.start(ImageRng(0, range(2000)), BOUNDS[1])
    assert (drawn(model, x, 1) - end_points(exact, x)).norm(dim=1).median() < 0.2


@pytest.mark.parametrize("taught", [True, False], ids=["distillation", "training"])
def test_the_loss_is_that_of_the_paper(exact_teacher: None, exact: Any, mapped: Any, taught: bool) -> None:
    trainer = trainer_of(mapped(lambda x, sigma: 0.5 * x), taught=taught, levels=3, huber=1.0)
    trainer.average.function = lambda x, sigma: 0.25 * x
    batch = Batch(x=exact.draw(8), labels=None, index=torch.arange(8))
    loss = trainer("model", batch, StepRng(0, 0, 8)).value
    rng = StepRng(0, 0, 8)
    levels = torch.tensor(Nested().sigmas(3, *BOUNDS), dtype=torch.float64)
    i = rng.integers(0, 3)
    z = rng.normal(2)
    assert {0, 2} <= set(i.tolist())  # the lowest pair of levels is among the rows
    errors = []
    for row in range(8):
        sigma, below = levels[i[row], None], levels[i[row] + 1, None]
        x = (batch.x[row] + sigma * z[row])[None]
        near = heun_step(exact.denoise, x, sigma, below) if taught else (batch.x[row] + below * z[row])[None]
        end = 0.25 * near if below > 0 else near
        errors.append(math.sqrt((0.5 * x - end).square().sum().item() + 2) - math.sqrt(2))
    assert loss.item() == pytest.approx(sum(errors) / 8)


def test_on_the_path_of_a_sampler_every_level_learns_its_end(exact_teacher: None, exact: Any, mapped: Any) -> None:
    trainer = trainer_of(mapped(lambda x, sigma: 0.5 * x), taught=True, levels=3, huber=1.0, sampler=DPMSolver2M(clip=False), substeps=2)
    batch = Batch(x=exact.draw(4), labels=None, index=torch.arange(4))
    loss = trainer("model", batch, StepRng(0, 0, 4)).value
    states: list[Tensor] = []
    DPMSolver2M(clip=False)(
        exact,
        StepRng(0, 0, 4),
        sigmas=Nested().sigmas(6, *BOUNDS),
        x=exact.start(StepRng(0, 0, 4), BOUNDS[1]),
        on_step=lambda step, sigma, x, x0: states.append(x),
    )
    end = states[-1]
    errors = [((0.5 * x - end).square().sum(1) + 2).sqrt() - math.sqrt(2) for x in (states[0], states[2], states[4])]
    assert loss.item() == pytest.approx(torch.cat(errors).mean().item(), rel=1e-5)


def test_a_model_of_path_ends_maps_noise_to_the_end_of_the_odes_path(exact_teacher: None, exact: Any) -> None:
    model = train(exact, taught=True, steps=300, levels=8, sampler=DPMSolver2M(clip=False), rows=128)
    x = exact.start(ImageRng(0, range(2000)), BOUNDS[1])
    assert (drawn(model, x, 1) - end_points(exact, x)).norm(dim=1).median() < 0.15


def test_a_large_huber_constant_gives_the_squared_distance() -> None:
    a, b = torch.randn(2, 5, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    squared = (a - b).square().flatten(1).sum(1)
    torch.testing.assert_close(distance(a, b, huber=100.0) * 2 * 100 * 12**0.5, squared, rtol=1e-3, atol=0)
    torch.testing.assert_close(distance(a, b, huber=1e-6), squared.sqrt(), rtol=1e-5, atol=0)


def test_targets_come_from_a_moving_average_that_starts_at_the_model() -> None:
    torch.manual_seed(0)
    trainer = trainer_of(NCSN(POINTS), taught=False, decay=0.75)
    nn.init.normal_(next(trainer.model.parameters()))
    trainer.place(0, 10)
    (start, *_), (mean, *_) = (list(net.state_dict().values()) for net in (trainer.model, trainer.average))
    assert torch.equal(mean, start)
    before = start.clone()
    with torch.no_grad():
        next(trainer.model.parameters()).add_(1.0)
    trainer.after("model")
    torch.testing.assert_close(mean, before + 0.25)


def test_a_step_of_the_sampler_is_an_estimate_with_fresh_noise(mapped: Any) -> None:
    x = torch.randn(4, 2, generator=torch.Generator().manual_seed(0))
    rng = ImageRng(3, range(4))
    z = rng.normal(2)
    got = Consistency(steps=2)(mapped(lambda x, sigma: x / (1 + broadcast(sigma, x))), ImageRng(3, range(4)), x=x, sigmas=[3.0, 1.0, 0.0])
    torch.testing.assert_close(got, (x / 4 + z) / 2)


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 16])
@pytest.mark.parametrize("factor", [2, 3, 8])
def test_levels_nest_in_those_of_every_multiple(steps: int, factor: int) -> None:
    fine = Nested(sigma_max=80.0).sigmas(factor * steps, 0.01, 1000.0)
    assert fine[::factor] == Nested(sigma_max=80.0).sigmas(steps, 0.01, 1000.0)
    assert list(fine) == sorted(set(fine), reverse=True)
    assert (fine[0], fine[-1]) == (80.0, 0.0)
    assert fine[-2] > 0.01


def test_a_resumed_run_ends_as_a_whole_one(tmp_path: Path) -> None:
    recipe = Recipe(
        model=NCSNConfig(shape=(2,), net="mlp", width=8, blocks=1),
        trainer=ConsistencyConfig(levels=6),
        fit=FitConfig(steps=10, batch_size=8, save_every=5, sample_every=0, log_every=5),
        data=FakeDataConfig(shape=(2,), count=32),
        sampler=Consistency(steps=2),
        scheduler=Nested(),
    )
    with fake_zoo("zoo-ncsn-langevin", "zoo-distillation"):
        state = assert_resumes(recipe, tmp_path, after=5)
    assert [name for name in state if "average" in name]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"guidance": (1.0, 2.0)}, "guidance is that of a teacher"),
        ({"teacher": Teacher(reference="x"), "guidance": (3.0, 2.0)}, r"must be an interval \[low, high\]"),
        ({"sampler": DPMSolver2M()}, "trainer.sampler is that of a teacher"),
        ({"substeps": 2}, "trainer.substeps are those of trainer.sampler"),
        ({"huber": 0.0}, "huber"),
        ({"levels": 0}, "levels"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ConsistencyConfig(**options)
