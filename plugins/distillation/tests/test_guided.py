"""Students of guided teachers: the scale is drawn for each row and is an input of the student (arXiv:2310.04378)."""

from typing import Any

import pytest
import torch
from torch import Tensor

from zoo_core.errors import ConfigError
from zoo_core.interfaces import Teacher, TrainerConfig
from zoo_core.rng import StepRng
from zoo_core.samplers import DPMSolver2M
from zoo_core.training.trainer import Batch
from zoo_distillation import student as student_module
from zoo_distillation.config import ConsistencyConfig, ProgressiveConfig
from zoo_distillation.consistency import ConsistencyTrainer
from zoo_distillation.progressive import ProgressiveTrainer
from zoo_distillation.schedulers import Nested

TEACHER = Teacher(reference="guided")
CLASSES = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])


@pytest.fixture
def nets(monkeypatch: pytest.MonkeyPatch, exact: Any) -> Any:
    """A teacher D(x, y) = y + 1, D(x) = 0, whose guided estimate is scale (y + 1) at every level, and a student that keeps its inputs."""

    class Teaching(type(exact)):  # type: ignore[misc]  # the fixture's class
        num_classes = 3

        def denoise(self, x: Tensor, sigma: Tensor, labels: Tensor | None = None) -> Tensor:
            return torch.zeros_like(x) if labels is None else (labels + 1).to(x)[:, None].expand_as(x)

    class Student(Teaching):
        guidance_embeds = True

        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(()))
            self.scales: list[Tensor] = []

        def denoise(self, x: Tensor, sigma: Tensor, labels: Tensor | None = None, *, guidance: Any = 1.0) -> Tensor:
            self.scales.append(guidance)
            return super().denoise(x, sigma, labels) * torch.as_tensor(guidance).to(x).view(-1, 1) + self.weight

    monkeypatch.setattr(student_module, "load_teacher", lambda teacher, requires: Teaching())
    return Teaching, Student


def batch() -> Batch:
    return Batch(x=torch.zeros(8, 2), labels=CLASSES, index=torch.arange(8))


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        (ConsistencyTrainer, ConsistencyConfig(teacher=TEACHER, scheduler=Nested(), guidance=(1.0, 5.0))),
        (ProgressiveTrainer, ProgressiveConfig(teacher=TEACHER, first_steps=2, last_steps=1, guidance=(1.0, 5.0), scheduler=Nested())),
        (
            ProgressiveTrainer,
            ProgressiveConfig(
                teacher=TEACHER, first_steps=2, last_steps=1, guidance=(1.0, 5.0), scheduler=Nested(), sampler=DPMSolver2M(clip=False)
            ),
        ),
    ],
)
def test_the_guided_teacher_is_learnt_at_the_scale_of_each_row(nets: Any, kind: Any, config: TrainerConfig) -> None:
    """A student that is the guided teacher at every scale has no loss, and one that ignores the scale has one."""
    student = nets[1]()
    trainer = kind(student, config)
    for step in (0, 7):  # both stages of the progressive trainer
        trainer.place(step, 8)
        assert float(trainer("model", batch(), StepRng(0, step, 8)).value.detach()) == pytest.approx(0.0, abs=1e-9)
    (scales, *_) = student.scales
    assert len(scales) % 8 == 0
    assert len(set(scales.tolist())) == 8  # one for each row, in all of its steps
    assert bool(((scales >= 1.0) & (scales <= 5.0)).all())
    student.denoise = lambda x, sigma, labels=None, guidance=None: nets[0].denoise(student, x, sigma, labels) + student.weight
    trainer.place(0, 8)
    assert float(trainer("model", batch(), StepRng(0, 0, 8)).value.detach()) > 0.1


def test_a_net_that_takes_no_scale_learns_one_scale_and_no_interval(nets: Any) -> None:
    student = nets[0]()
    student.weight = torch.nn.Parameter(torch.zeros(()))
    ConsistencyTrainer(student, ConsistencyConfig(teacher=TEACHER, scheduler=Nested(), guidance=(2.0, 2.0)))
    with pytest.raises(ConfigError, match="does not take a guidance scale"):
        ConsistencyTrainer(student, ConsistencyConfig(teacher=TEACHER, scheduler=Nested(), guidance=(1.0, 2.0)))
