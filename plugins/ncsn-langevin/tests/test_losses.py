"""Exact theorems about score matching: expectations are quadratures, and traces have closed forms."""

import itertools
from collections.abc import Callable

import pytest
import torch
from numpy.polynomial.hermite_e import hermegauss
from torch import Tensor

from zoo_core.errors import ConfigError
from zoo_core.rng import StepRng
from zoo_core.training.trainer import Batch
from zoo_ncsn_langevin.config import NCSNConfig, NCSNTrainerConfig
from zoo_ncsn_langevin.losses import denoising, divergence, implicit, sliced
from zoo_ncsn_langevin.model import NCSN
from zoo_ncsn_langevin.trainer import NCSNTrainer

MEAN = 0.7  # of a Gaussian x_0
SPREAD = 1.3  # its standard deviation
SIGMA = 0.6  # of the added noise

Score = Callable[[Tensor], Tensor]

CPU = torch.device("cpu")


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def curved(x: Tensor) -> Tensor:
    """A score of (n, 3) that is neither linear nor a gradient."""
    a, b, c = x.unbind(1)
    return torch.stack([a.sin() * b, (b * c).tanh() - b, a**2 - c**3], dim=1)


def trace(x: Tensor) -> Tensor:
    a, b, c = x.unbind(1)
    return a.cos() * b + c * (1 - (b * c).tanh() ** 2) - 1 - 3 * c**2


def cubic(x: Tensor) -> Tensor:
    return 0.3 - 0.8 * x + 0.1 * x**2 - 0.05 * x**3


def expectations(score: Score, v: float = 1.0) -> dict[str, Tensor]:
    """The three losses for a 1-D Gaussian with noise by Gauss-Hermite quadrature, which is exact for polynomials of low degree."""
    nodes, weights = (torch.from_numpy(value) for value in hermegauss(12))
    weights = weights / weights.sum()
    x0 = (MEAN + SPREAD * nodes).repeat_interleave(12)[:, None]
    eps = nodes.repeat(12)[:, None]
    weight = (weights[:, None] * weights).flatten()
    x = x0 + SIGMA * eps
    losses = {
        "dsm": denoising(score(x), eps, torch.tensor(SIGMA, dtype=x.dtype)),
        "ism": implicit(score, x),
        "ssm": sliced(score, x, v + 0 * x[:, None]),
    }
    return {name: (weight * value).sum() for name, value in losses.items()}


def test_the_divergence_is_the_trace_of_the_jacobian() -> None:
    x = draw(5, 3).requires_grad_(True)
    torch.testing.assert_close(divergence(curved(x), x), trace(x))
    full = torch.func.vmap(torch.func.jacrev(lambda row: curved(row[None])[0]))(x.detach())
    torch.testing.assert_close(divergence(curved(x), x), full.diagonal(dim1=1, dim2=2).sum(1))


def test_implicit_score_matching_is_half_the_square_and_the_trace() -> None:
    x = draw(5, 3)
    torch.testing.assert_close(implicit(curved, x), 0.5 * (curved(x) ** 2).sum(1) + trace(x))


def test_sliced_score_matching_over_all_signs_is_implicit_score_matching() -> None:
    x = draw(5, 3)
    signs = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=3)), dtype=torch.float64)  # the mean of v v^T is I
    torch.testing.assert_close(sliced(curved, x, signs.expand(5, 8, 3)), implicit(curved, x))


def test_one_slice_is_the_slope_along_it() -> None:
    x, v = draw(5, 3), draw(5, 1, 3, seed=1)
    jacobian = torch.func.vmap(torch.func.jacrev(lambda row: curved(row[None])[0]))(x)
    expected = 0.5 * (curved(x) ** 2).sum(1) + torch.einsum("ni,nij,nj->n", v[:, 0], jacobian, v[:, 0])
    torch.testing.assert_close(sliced(curved, x, v), expected)


def test_denoising_and_implicit_score_matching_differ_by_a_constant_for_every_score() -> None:
    for score in (cubic, lambda x: -x, lambda x: 0.0 * x):
        values = expectations(score)
        torch.testing.assert_close(values["dsm"] - values["ism"], torch.tensor(0.5 / SIGMA**2, dtype=torch.float64))
        torch.testing.assert_close(values["ssm"], values["ism"])


def test_implicit_score_matching_is_the_distance_to_the_true_score_up_to_a_constant() -> None:
    variance = SPREAD**2 + SIGMA**2
    nodes, weights = (torch.from_numpy(value) for value in hermegauss(20))
    x = (MEAN + variance**0.5 * nodes)[:, None]
    weights = weights / weights.sum()
    explicit = (weights * 0.5 * ((cubic(x) + (x - MEAN) / variance) ** 2).flatten()).sum()
    torch.testing.assert_close(expectations(cubic)["ism"], explicit - 0.5 / variance)


@pytest.mark.parametrize("name", ["dsm", "ism", "ssm"])
def test_each_loss_is_least_at_the_score_of_the_noisy_gaussian_among_all_cubics(name: str) -> None:
    variance = SPREAD**2 + SIGMA**2
    truth = torch.tensor([MEAN / variance, -1 / variance, 0.0, 0.0], dtype=torch.float64, requires_grad=True)

    def loss(c: Tensor) -> Tensor:
        return expectations(lambda x: c[0] + c[1] * x + c[2] * x**2 + c[3] * x**3)[name]

    (slope,) = torch.autograd.grad(loss(truth), truth)
    torch.testing.assert_close(slope, torch.zeros(4, dtype=torch.float64), rtol=0, atol=1e-9)
    curvature = torch.autograd.functional.hessian(loss, truth.detach())
    assert torch.linalg.eigvalsh(curvature).min() > 1e-3


def points(**changes: object) -> NCSN:
    """A tiny net for points without zero weights."""
    config = NCSNConfig(
        **{"shape": (3,), "net": "mlp", "width": 8, "blocks": 1, "levels": 5, "sigma_min": 0.1, "sigma_max": 4.0, **changes}
    )  # type: ignore[arg-type]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = NCSN(config)
        for parameter in net.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    return net


@pytest.mark.parametrize("form", ["score", "scaled", "edm"])
@pytest.mark.parametrize("weight", ["variance", "output"])
@pytest.mark.parametrize("loss", ["dsm", "ism", "ssm"])
def test_the_trainers_loss_is_the_weighted_loss_of_its_score(form: str, weight: str, loss: str) -> None:
    net = points(form=form, sigma_data=0.5)
    n = 6
    trainer = NCSNTrainer(net, NCSNTrainerConfig(loss=loss, weight=weight, slices=2))  # type: ignore[arg-type]
    x0 = StepRng(1, 0, n).normal(3)
    value = trainer("model", Batch(x=x0, labels=None, index=torch.arange(n)), StepRng(0, 4, n)).value

    rng = StepRng(0, 4, n)
    sigma = torch.tensor(net.levels, dtype=torch.float64)[rng.integers(0, 5)]
    eps = rng.normal(3)
    sigma_ = sigma.float()[:, None]
    x = x0 + sigma_ * eps

    def score(x: Tensor) -> Tensor:
        return (net.denoise(x, sigma) - x) / sigma_**2

    losses = {
        "dsm": lambda: denoising(score(x), eps, sigma_),
        "ism": lambda: implicit(score, x),
        "ssm": lambda: sliced(score, x, rng.normal(2, 3)),
    }
    c_out = {"score": sigma**2, "scaled": sigma, "edm": sigma * 0.5 / (sigma**2 + 0.25).sqrt()}[form]
    weights = {"variance": sigma**2, "output": sigma**4 / c_out**2}[weight]
    torch.testing.assert_close(value, (weights.float() * losses[loss]()).mean() / 3, rtol=1e-4, atol=1e-4)


def test_sliced_and_implicit_training_have_the_same_gradient_on_average() -> None:
    net = points()
    n = 4096
    batch = Batch(x=StepRng(1, 0, 1).normal(3).expand(n, 3), labels=None, index=torch.arange(n))
    # 16 directions for each of many rows; levels and noise are the same.
    slopes = {}
    for loss in ("ism", "ssm"):
        trainer = NCSNTrainer(net, NCSNTrainerConfig(loss=loss, slices=16))  # type: ignore[arg-type]
        slopes[loss] = torch.cat(
            [g.flatten() for g in torch.autograd.grad(trainer("model", batch, StepRng(0, 0, n)).value, [*net.parameters()])]
        )
    assert (slopes["ism"] - slopes["ssm"]).norm() < 0.05 * slopes["ism"].norm()


def test_training_noise_is_every_level_equally_often_or_log_normal_within_the_range() -> None:
    net = points()
    n = 8000
    trainer = NCSNTrainer(net, NCSNTrainerConfig())
    values, counts = trainer._sigma(StepRng(0, 0, n), CPU).unique(return_counts=True)
    assert values.tolist() == list(net.levels)
    assert (counts - n / 5).abs().max() < 5 * (n * 0.16) ** 0.5
    normal = NCSNTrainer(net, NCSNTrainerConfig(noise="log-normal", log_mean=-0.5, log_std=0.4))._sigma(
        StepRng(0, 0, n), torch.device("cpu")
    )
    assert abs(normal.log().mean() + 0.5) < 0.03
    assert abs(normal.log().std() - 0.4) < 0.02
    wide = NCSNTrainer(net, NCSNTrainerConfig(noise="log-normal", log_std=9.0))._sigma(StepRng(0, 0, n), CPU)
    assert (wide.min(), wide.max()) == net.sigma_range


def test_the_exact_trace_is_refused_for_images() -> None:
    with pytest.raises(ConfigError, match=r"784 dimensions"):
        NCSNTrainer(NCSN(NCSNConfig(width=2, multipliers=(1,), dilations=(1,), blocks=1)), NCSNTrainerConfig(loss="ism"))
