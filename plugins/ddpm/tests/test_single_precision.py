"""A device without float64, such as Apple's, draws and trains: no float64 tensor is made on it."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from zoo_core import arguments
from zoo_core.rng import ImageRng, StepRng
from zoo_core.samplers import Ancestral, DPMSolver2M, Heun, Langevin, PredictorCorrector
from zoo_core.training.trainer import Batch
from zoo_ddpm.config import DDPMConfig, DDPMTrainerConfig
from zoo_ddpm.model import DDPM
from zoo_ddpm.trainer import DDPMTrainer


class _NoDouble(TorchDispatchMode):
    """Refuses operations that create float64 tensors, as MPS does."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if any(isinstance(leaf, torch.Tensor) and leaf.dtype == torch.float64 for leaf in tree_leaves(out)):
            raise TypeError(f"{func} makes a float64 tensor, which this device does not have")
        return out


@pytest.fixture
def single(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(arguments, "_SINGLE", {"cpu"})
    with _NoDouble():
        yield


@pytest.fixture
def model() -> DDPM:
    return DDPM(DDPMConfig(dim=8, image_size=8, channels=3, multipliers=(1, 2))).eval()


@pytest.mark.parametrize(
    "sampler", [Ancestral(steps=3), DPMSolver2M(steps=3), Heun(steps=3), Langevin(steps=1), PredictorCorrector(steps=2)]
)
def test_samplers_make_no_float64(sampler: Any, model: DDPM, single: None) -> None:
    drawn = sampler(model, ImageRng(0, range(2), torch.device("cpu")), sigmas=(80.0, 5.0, 0.5, 0.0))
    assert drawn.dtype == torch.float32
    assert bool(drawn.isfinite().all())


def test_training_makes_no_float64(model: DDPM, single: None) -> None:
    batch = Batch(x=torch.zeros(2, 3, 8, 8), labels=None, index=torch.arange(2))
    loss = DDPMTrainer(model, DDPMTrainerConfig())("model", batch, StepRng(0, 0, 2))
    loss.value.backward()
    assert bool(loss.value.isfinite())
