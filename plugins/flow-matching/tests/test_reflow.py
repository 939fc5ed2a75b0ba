"""Theorems about reflow."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from zoo_core.errors import ConfigError
from zoo_core.interfaces import Teacher
from zoo_core.recipes import FitConfig, OptimizerConfig, Recipe
from zoo_core.rng import ImageRng, StepRng, Stream
from zoo_core.samplers import Ancestral, DPMSolver2M, Guided, Heun
from zoo_core.schedulers import Karras
from zoo_core.testing import assert_resumes, fake_zoo, start_loop, write_checkpoint
from zoo_core.testing.fake import FakeDenoiser
from zoo_core.testing.fake_config import FakeDataConfig, FakeDenoiserConfig
from zoo_core.training.cost import estimate
from zoo_core.training.trainer import Batch
from zoo_ddpm.config import DDPMConfig
from zoo_ddpm.model import DDPM
from zoo_flow_matching import reflow as reflow_module
from zoo_flow_matching.config import FlowMatchingConfig, ReflowConfig
from zoo_flow_matching.model import FlowMatching
from zoo_flow_matching.reflow import Pairs, ReflowTrainer
from zoo_flow_matching.schedulers import Flow

EULER = Ancestral(steps=1, eta=0.0, clip=False)
CPU = torch.device("cpu")
ANY = Teacher(reference="exact")


@pytest.fixture(autouse=True)
def _zoo() -> Iterator[None]:
    with fake_zoo("zoo-flow-matching"):
        yield


def config_of(**options: object) -> ReflowConfig:
    return ReflowConfig(**{"teacher": ANY, "pool": 12, "part": 4, "every": 3, "scheduler": Flow(), **options})  # type: ignore[arg-type]


def test_a_pair_is_noise_and_the_end_of_its_path_along_the_teachers_ode(exact: Any) -> None:
    config = config_of(sampler=Heun(steps=5))
    pairs = Pairs(exact, config, num_classes=0)
    pairs.update(0, CPU)
    z, x0, _ = pairs.take(torch.arange(12))
    sigmas = Flow().sigmas(5, *exact.sigma_range)
    for part in (range(4), range(4, 8), range(8, 12)):
        noise = ImageRng(1, part, stream=Stream.NOISE).normal(2)
        torch.testing.assert_close(z[list(part)], noise)
        ends = Heun(steps=5)(exact, ImageRng(9, part), sigmas=sigmas, x=noise * sigmas[0])
        torch.testing.assert_close(x0[list(part)], ends)


def test_the_oldest_part_of_the_pool_is_drawn_anew_in_turn(exact: Any) -> None:
    pairs = Pairs(exact, config_of(), num_classes=0)
    held = []
    for step in range(10):
        pairs.update(step, CPU)
        held.append(sorted(k // 4 for k in pairs.numbers.tolist()[::4]))
    assert held[:3] == [[0, 1, 2]] * 3
    assert held[3:6] == [[1, 2, 3]] * 3
    assert held[9] == [3, 4, 5]
    late = Pairs(exact, config_of(), num_classes=0)
    late.update(9, CPU)
    assert torch.equal(late.numbers, pairs.numbers)
    for ours, theirs in zip(late.take(torch.arange(12))[:2], pairs.take(torch.arange(12))[:2], strict=True):
        assert torch.equal(ours, theirs)


def test_pairs_of_a_teacher_with_classes_have_classes_and_guidance() -> None:
    teacher = FakeDenoiser(FakeDenoiserConfig(shape=(2,), classes=3)).eval()
    pairs = Pairs(teacher, config_of(guidance=2.0, scheduler=teacher.scheduler), num_classes=3)
    pairs.update(0, CPU)
    z, x0, labels = pairs.take(torch.arange(12))
    assert labels is not None
    assert labels.tolist() == [0, 1, 2] * 4
    sampler = DPMSolver2M(steps=16, clip=False)
    sigmas = sampler.noise_levels(teacher, teacher.scheduler)
    with torch.no_grad():
        ends = sampler(Guided(teacher, 2.0), ImageRng(0, range(12)), sigmas=sigmas, x=z * sigmas[0], labels=labels)
    torch.testing.assert_close(x0, ends)


def test_a_sampler_that_adds_noise_is_refused(exact: Any) -> None:
    with pytest.raises(ConfigError, match=r"trainer.sampler adds noise"):
        Pairs(exact, config_of(sampler=Ancestral(steps=3)), num_classes=0).update(0, CPU)


def test_a_pool_of_broken_parts_is_refused() -> None:
    with pytest.raises(ConfigError, match="pool must be a multiple of part, not 10 for 4"):
        config_of(pool=10)


@pytest.fixture
def exact_teacher(monkeypatch: pytest.MonkeyPatch, exact: Any) -> None:
    """The teacher of every trainer is the exact denoiser."""
    monkeypatch.setattr(reflow_module, "load_teacher", lambda teacher, requires: exact)


def test_the_loss_is_that_of_lines_between_the_ends_of_the_pairs(exact_teacher: None, exact: Any) -> None:
    model = FlowMatching(FlowMatchingConfig(points=2, dim=8))
    trainer = ReflowTrainer(model, config_of())
    trainer.place(7, 10)
    batch = Batch(x=torch.zeros(6, 2), labels=None, index=torch.arange(6))
    loss = trainer("model", batch, StepRng(0, 0, 6)).value
    rng = StepRng(0, 0, 6)
    rows = rng.integers(0, 12)
    pairs = Pairs(exact, config_of(), num_classes=0)
    pairs.update(7, CPU)
    z, x0, _ = pairs.take(rows)
    t = rng.uniform()[:, None]
    v = model.velocity((1 - t) * x0 + t * z, t[:, 0])
    torch.testing.assert_close(loss, (v - (z - x0)).square().mean(), rtol=1e-4, atol=1e-5)


def train(steps: int, trainer: Any, **model: object) -> Any:
    recipe = Recipe(
        model=FlowMatchingConfig(points=2, dim=64, blocks=2, **model),  # type: ignore[arg-type]
        trainer=trainer,
        fit=FitConfig(steps=steps, batch_size=256, optimizer=OptimizerConfig(name="adam", lr=5e-3), lr_schedule="cosine"),
        data=FakeDataConfig(shape=(2,), count=64),
    )
    loop = start_loop(recipe)
    for _ in range(steps):
        loop.advance()
    return loop.trainer.model.eval()


def test_a_reflowed_model_needs_fewer_steps_than_its_teacher(exact_teacher: None, exact: Any) -> None:
    student = train(
        300, ReflowConfig(teacher=ANY, sampler=Heun(steps=12), scheduler=Karras(sigma_max=200.0), pool=2048, part=512, every=100)
    )
    sigmas = Flow().sigmas(200, *exact.sigma_range)
    x = exact.start(ImageRng(3, range(1000)), sigmas[0])
    with torch.no_grad():
        fine = Heun(steps=200)(exact, ImageRng(3, range(1000)), sigmas=sigmas, x=x)
        error = {
            name: (EULER(model, ImageRng(3, range(1000)), sigmas=(sigmas[0], 0.0), x=x) - fine).norm(dim=1).mean().item()
            for name, model in (("teacher", exact), ("student", student))
        }
    assert error["teacher"] > 1.0  # one step leads to the mean of the data
    assert error["student"] < 0.3 * error["teacher"]


def teacher_in(folder: Path, seed: int = 0, **changes: object) -> Teacher:
    config = FlowMatchingConfig(**{"points": 2, "dim": 8, **changes})  # type: ignore[arg-type]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        write_checkpoint(folder, FlowMatching(config), config, EULER)
    return Teacher(reference=f"local:{folder}")


def recipe_of(teacher: Teacher) -> Recipe:
    return Recipe(
        model=FlowMatchingConfig(points=2, dim=8),
        trainer=config_of(teacher=teacher),
        fit=FitConfig(steps=12, batch_size=4, save_every=3, sample_every=0, log_every=3),
        data=FakeDataConfig(shape=(2,), count=16),
        sampler=EULER,
    )


@pytest.mark.parametrize("after", [4, 6], ids=["within a part's time", "when a part is drawn"])
def test_a_resumed_run_ends_as_a_whole_one(tmp_path: Path, after: int) -> None:
    state = assert_resumes(recipe_of(teacher_in(tmp_path / "teacher")), tmp_path, after=after)
    assert not [name for name in state if "teacher" in name or "pool" in name]


def test_a_student_begins_with_the_weights_of_a_teacher_with_its_net(tmp_path: Path) -> None:
    loop = start_loop(recipe_of(teacher_in(tmp_path / "teacher", seed=5)))
    taught = loop.trainer.frozen["teacher"].state_dict()
    assert all(torch.equal(value, taught[name]) for name, value in loop.trainer.model.state_dict().items())


def test_a_student_of_another_family_with_the_same_net_does_not_begin_with_its_teachers_weights(tmp_path: Path) -> None:
    net: dict[str, Any] = {"image_size": 8, "dim": 8, "multipliers": (1, 2), "linear_attention": (), "heads": 2}
    config = DDPMConfig(**net)
    with fake_zoo("zoo-flow-matching", "zoo-ddpm"):
        write_checkpoint(tmp_path, DDPM(config), config, EULER)
        student = FlowMatching(FlowMatchingConfig(**net))
        trainer = ReflowTrainer(student, config_of(teacher=Teacher(reference=f"local:{tmp_path}")))
    before = {name: value.clone() for name, value in student.state_dict().items()}
    assert before.keys() == trainer.frozen["teacher"].state_dict().keys()
    trainer.prepare(Batch(x=torch.zeros(2, 3, 8, 8), labels=None, index=torch.arange(2)), StepRng(0, 0, 2))
    assert all(torch.equal(value, before[name]) for name, value in student.state_dict().items())


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"points": 3}, "must have the same shape"), ({"num_classes": 2}, "guidance needs a teacher and a student with classes")],
)
def test_a_teacher_that_does_not_fit_is_refused(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    teacher = teacher_in(tmp_path / "teacher", **changes)
    with pytest.raises(ConfigError, match=message):
        ReflowTrainer(FlowMatching(FlowMatchingConfig(points=2, dim=8)), config_of(teacher=teacher, guidance=2.0))
    with pytest.raises(ConfigError, match="must have the same"):
        ReflowTrainer(FlowMatching(FlowMatchingConfig(points=2, dim=8, num_classes=5)), config_of(teacher=teacher))


@pytest.mark.filterwarnings("error")
def test_the_cost_of_a_step_has_the_teachers_share(tmp_path: Path) -> None:
    teacher = teacher_in(tmp_path / "teacher", dim=512)
    recipe = recipe_of(teacher)
    few, many = (
        estimate(Recipe.from_dict({**recipe.to_dict(), "trainer": {**recipe.to_dict()["trainer"], "part": part, "pool": 12}})).flops
        for part in (3, 12)
    )
    assert 2 < many / few < 4.5  # the teacher's passes for 1 and for 4 pairs
