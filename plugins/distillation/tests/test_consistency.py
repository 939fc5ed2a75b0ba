"""Theorems about consistency models."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from zoo_core.errors import ConfigError
from zoo_core.interfaces import Teacher
from zoo_core.recipes import FitConfig, Recipe
from zoo_core.rng import ImageRng, StepRng
from zoo_core.samplers import Ancestral, Heun
from zoo_core.testing import assert_resumes, fake_zoo
from zoo_core.testing.fake_config import FakeDataConfig
from zoo_core.training.trainer import Batch
from zoo_ddpm.config import DDPMConfig
from zoo_distillation import student as student_module
from zoo_distillation.config import ConsistencyConfig
from zoo_distillation.consistency import ConsistencyTrainer, distance
from zoo_distillation.samplers import Consistency
from zoo_distillation.schedulers import Nested
from zoo_ncsn_langevin.config import NCSNConfig
from zoo_ncsn_langevin.model import NCSN

NET = NCSNConfig(shape=(2,), net="mlp", width=64, blocks=2, sigma_min=0.3, sigma_max=20.0, sigma_data=2.0)


def trained(monkeypatch: pytest.MonkeyPatch, exact: Any, *, taught: bool, steps: int) -> NCSN:
    """A consistency model of the exact mixture."""
    monkeypatch.setattr(student_module, "load_teacher", lambda teacher, requires: exact)
    torch.manual_seed(0)
    model = NCSN(NET)
    config = ConsistencyConfig(teacher=Teacher(reference="exact") if taught else None, levels=18, scheduler=Nested())
    trainer = ConsistencyTrainer(model, config)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    data = exact.draw(20_000).float()
    for step in range(steps):
        trainer.place(step, steps)
        index = torch.randint(len(data), (512,), generator=torch.Generator().manual_seed(step))
        loss = trainer("model", Batch(x=data[index], labels=None, index=index), StepRng(0, step, 512)).value
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            trainer.after("model")
    return model.eval()


def end_points(exact: Any, x: Tensor) -> Tensor:
    """The ends of the exact ODE's paths from ``x`` at sigma 20."""
    return Heun(steps=200)(exact, ImageRng(0, range(len(x))), x=x, sigmas=Nested().sigmas(200, 0.3, 20.0))


@torch.no_grad()
def test_a_distilled_model_maps_noise_to_the_end_of_the_odes_path_and_more_steps_fit_the_mixture_better(
    monkeypatch: pytest.MonkeyPatch, exact: Any
) -> None:
    with torch.enable_grad():
        model = trained(monkeypatch, exact, taught=True, steps=600)
    n = 4000
    x = exact.start(ImageRng(0, range(n)), 20.0)
    one, two = (
        Consistency(steps=steps)(model, ImageRng(1, range(n)), x=x, sigmas=Nested().sigmas(steps, 0.3, 20.0)) for steps in (1, 2)
    )
    apart = (one - end_points(exact, x)).norm(dim=1)
    print("median", apart.median(), apart.quantile(0.9), exact.mixture.misfit(one), exact.mixture.misfit(two))
    assert apart.median() < 0.15
