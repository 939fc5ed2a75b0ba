"""Theorems about the weights of ddpm's loss."""

import pytest
import torch
from torch import Tensor

from zoo_core.density.denoiser import bound
from zoo_core.errors import ConfigError
from zoo_core.rng import ImageRng
from zoo_core.schedulers import Cosine
from zoo_core.training.trainer import Batch
from zoo_ddpm.config import DDPMConfig, DDPMTrainerConfig
from zoo_ddpm.model import DDPM
from zoo_ddpm.trainer import DDPMTrainer

T = 6
PREDICTIONS = ("eps", "x0", "v")


def model_of(prediction: str) -> DDPM:
    torch.manual_seed(0)
    config = DDPMConfig(
        image_size=8,
        channels=1,
        dim=8,
        multipliers=(1, 2),
        linear_attention=(),
        scheduler=Cosine(T=T),
        prediction=prediction,  # type: ignore[arg-type]  # a parameter of the test
    )
    model = DDPM(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)  # no branch is zero
    return model


def loss_of_level(trainer: DDPMTrainer, x: Tensor, eps: Tensor, t: int) -> float:
    """The trainer's loss of level t with the noise ``eps``."""

    class Fixed:
        def integers(self, low: int, high: int) -> Tensor:
            assert (low, high) == (1, T + 1)
            return torch.full((len(x),), t)

        def normal(self, *shape: int) -> Tensor:
            return eps

    batch = Batch(x=x, labels=None, index=torch.arange(len(x)))
    with torch.no_grad():
        return trainer("model", batch, Fixed()).value.item()  # type: ignore[arg-type]  # the two draws that a loss takes


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_the_weight_bound_gives_each_term_of_the_variational_bound(prediction: str) -> None:
    model = model_of(prediction)
    trainer = DDPMTrainer(model, DDPMTrainerConfig(weight="bound"))
    x = torch.randint(0, 256, (3, 1, 8, 8), generator=torch.Generator().manual_seed(1)) / 127.5 - 1
    for t, sigma in enumerate(model.levels, start=1):
        eps = torch.randn(x.shape, generator=torch.Generator().manual_seed(t))
        with torch.no_grad():
            squared = (x - model.denoise(x + sigma * eps, sigma)).square().mean().item()
        below = model.levels[t - 2] ** -2 if t > 1 else 2 * sigma**-2  # t = 1: a normal decoder of variance sigma_1^2
        term = (below - sigma**-2) / 2 * squared
        assert loss_of_level(trainer, x, eps, t) == pytest.approx(T * term, rel=2e-3)


def test_the_mean_of_the_weighted_losses_is_the_consistency_of_the_bound() -> None:
    model = model_of("v")
    trainer = DDPMTrainer(model, DDPMTrainerConfig(weight="bound"))
    x = torch.randint(0, 256, (2, 1, 8, 8), generator=torch.Generator().manual_seed(1)) / 127.5 - 1
    rng = ImageRng(0, range(2))
    losses = [loss_of_level(trainer, x, rng.normal(*x.shape[1:]).to(x), t) for t in range(2, T + 1)]  # the bound's own draws
    consistency = bound(model, x, ImageRng(0, range(2))).consistency.mean().item()
    assert sum(losses) / T * x[0].numel() == pytest.approx(consistency, rel=2e-3)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_min_snr_limits_the_weight_of_the_image_to_five(prediction: str) -> None:
    model = model_of(prediction)
    trainer = DDPMTrainer(model, DDPMTrainerConfig(weight="min-snr"))
    x = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1
    for t, sigma in enumerate(model.levels, start=1):
        eps = torch.randn(x.shape, generator=torch.Generator().manual_seed(t))
        with torch.no_grad():
            squared = (x - model.denoise(x + sigma * eps, sigma)).square().mean().item()
        assert loss_of_level(trainer, x, eps, t) == pytest.approx(min(sigma**-2, 5.0) * squared, rel=2e-3)


@pytest.mark.parametrize("weight", ["bound", "min-snr"])
def test_absolute_errors_have_no_such_weight(weight: str) -> None:
    with pytest.raises(ConfigError, match=f"weight {weight} is defined for squared errors"):
        DDPMTrainerConfig(loss="l1", weight=weight)  # type: ignore[arg-type]  # a parameter of the test
