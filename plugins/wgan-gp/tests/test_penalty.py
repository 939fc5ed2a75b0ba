"""Theorems about the penalty, clipping, and the critics trained with them."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from zoo_core.interfaces import Event, Rng
from zoo_core.rng import StepRng
from zoo_core.training.trainer import Batch, only
from zoo_wgan_gp.config import WGANGPConfig, WGANGPTrainerConfig
from zoo_wgan_gp.model import WGANGP
from zoo_wgan_gp.trainer import WGANGPTrainer, gradient_norms, interpolate

ROWS = 4
CONVOLUTIONS = WGANGPConfig(shape=(1, 8, 8), latent=3, width=3, stages=2, norm="none")
RESIDUAL = replace(CONVOLUTIONS, net="resnet", width=4)
NETS = pytest.mark.parametrize("config", [CONVOLUTIONS, RESIDUAL], ids=lambda config: config.net)


def trainer_of(config: WGANGPConfig, **settings: object) -> WGANGPTrainer:
    torch.manual_seed(0)
    model = WGANGP(config)
    return WGANGPTrainer(model, WGANGPTrainerConfig(width=4, **settings))  # type: ignore[arg-type]


def rows(seed: int, n: int = ROWS) -> Tensor:
    return torch.randn(n, 1, 8, 8, generator=torch.Generator().manual_seed(seed)).tanh()


def batch(x: Tensor) -> Batch:
    return Batch(x=x, labels=None, index=torch.arange(len(x)))


def penalty(trainer: WGANGPTrainer, real: Tensor, fake: Tensor) -> Tensor:
    value, _ = trainer.penalty(real, fake, None, StepRng(0, 0, len(real)))
    assert value is not None
    return value


def differences(f: nn.Module, x: Tensor, h: float = 1e-6) -> Tensor:
    """|grad f| of each row, (n,), by central differences in each of its values."""
    squares = torch.zeros(len(x), dtype=x.dtype)
    for i in range(x[0].numel()):
        step = torch.zeros_like(x[0]).flatten()
        step[i] = h
        step = step.view_as(x[0])
        squares += ((f(x + step) - f(x - step)) / (2 * h)) ** 2
    return squares.sqrt()


@NETS
@pytest.mark.parametrize("one_sided", [False, True])
def test_the_penalty_is_that_of_finite_differences(config: WGANGPConfig, one_sided: bool) -> None:
    """arXiv:1704.00028, eq. 3: lambda E (|grad f(x)| - 1)^2, with x on the line between a real and a generated sample."""
    trainer = trainer_of(config, penalty_weight=7.0, one_sided=one_sided).double()
    real = rows(1).double()
    fake = rows(2).double()
    share = StepRng(0, 0, ROWS).uniform(1, 1, 1).double()
    x = share * real + (1 - share) * fake
    with torch.no_grad():
        trainer.critic[-2].weight /= differences(trainer.critic, x).median()  # so that there are slopes above 1 and below
        slope = differences(trainer.critic, x)
    away = (slope - 1).clamp(min=0) if one_sided else slope - 1
    assert away.max() > 0.01
    assert (slope < 1).any()
    torch.testing.assert_close(penalty(trainer, real, fake), 7 * (away**2).mean(), rtol=1e-6, atol=1e-9)


@NETS
def test_the_gradient_of_the_penalty_is_that_of_finite_differences(config: WGANGPConfig) -> None:
    """The derivative of the penalty by the critic's weights needs the second derivative of the critic."""
    trainer = trainer_of(config).double()
    real = rows(1).double()
    fake = rows(2).double()
    weights = list(trainer.critic.parameters())
    h = 1e-6
    gradients = torch.autograd.grad(penalty(trainer, real, fake), weights, allow_unused=True)
    for weight, gradient in zip(weights, gradients, strict=True):
        if weight.ndim < 2:
            assert gradient is None  # where rectifiers stay as they are, biases change no slope: no zeros are sent back to them
            continue
        direction = torch.randn(weight.shape, dtype=weight.dtype, generator=torch.Generator().manual_seed(3))
        values = []
        for sign in (1, -2, 1):
            with torch.no_grad():
                weight += sign * h * direction
            values.append(penalty(trainer, real, fake).detach())
        assert gradient is not None
        expected = (values[0] - values[1]) / (2 * h)
        torch.testing.assert_close((gradient * direction).sum(), expected, rtol=1e-5, atol=1e-7)


@NETS
def test_the_slope_at_a_row_does_not_depend_on_the_other_rows(config: WGANGPConfig) -> None:
    f = trainer_of(config).critic
    x = rows(1)
    before = gradient_norms(f, x, create_graph=True)
    x[2] = 5 * x[2] + 1
    assert (gradient_norms(f, x, create_graph=True) == before).tolist() == [True, True, False, True]


def test_the_slope_is_of_all_of_a_row() -> None:
    """f(x) = w.x has the slope |w| for x of every shape."""
    w = torch.arange(12.0).view(1, 3, 2, 2)
    torch.testing.assert_close(
        gradient_norms(lambda x: (w * x).sum((1, 2, 3)), torch.zeros(5, 3, 2, 2), create_graph=False), w.norm().expand(5)
    )


def test_the_points_of_the_penalty_lie_anywhere_between_a_real_sample_and_its_generated_one() -> None:
    points = interpolate(torch.ones(2000, 1, 2, 2), torch.zeros(2000, 1, 2, 2), StepRng(0, 0, 2000))
    assert (points == points[:, :, :1, :1]).all()  # one share for each row
    share = points[:, 0, 0, 0].sort().values
    # Kolmogorov and Smirnov's distance from the uniform distribution: above 1.95 / sqrt(n) once in a thousand times.
    assert (share - (torch.arange(2000) + 0.5) / 2000).abs().max() < 1.95 / 2000**0.5


@pytest.mark.parametrize(("slope", "two_sided", "one_sided"), [(0.25, 10 * 0.75**2, 0.0), (1.0, 0.0, 0.0), (1.5, 10 * 0.5**2, 10 * 0.5**2)])
def test_one_sided_only_slopes_above_one_are_penalised(slope: float, two_sided: float, one_sided: float) -> None:
    for sided, expected in ((False, two_sided), (True, one_sided)):
        trainer = trainer_of(CONVOLUTIONS, one_sided=sided)
        trainer.critic = nn.Sequential(nn.Flatten(), nn.Linear(64, 1), nn.Flatten(0))
        with torch.no_grad():
            trainer.critic[1].weight.fill_(slope / 8)
        assert penalty(trainer, rows(1), rows(2)).item() == pytest.approx(expected, abs=1e-5)


def test_a_critic_without_a_slope_has_a_gradient_all_the_same() -> None:
    """The norm has no derivative at 0; no gradient may be NaN."""
    trainer = trainer_of(CONVOLUTIONS)
    for parameter in trainer.critic.parameters():
        nn.init.zeros_(parameter)
    value = penalty(trainer, rows(1), rows(2))
    assert value.item() == 10.0
    value.backward()  # type: ignore[no-untyped-call]  # of torch
    assert all(p.grad is None or p.grad.isfinite().all() for p in trainer.critic.parameters())


def test_the_logs_are_the_penalty_and_the_mean_slope() -> None:
    trainer = trainer_of(CONVOLUTIONS)
    x = rows(1)
    loss = trainer("critic", batch(x), StepRng(0, 0, ROWS))
    rng = StepRng(0, 0, ROWS)
    fake = trainer.model.decode(trainer.model.prior(rng)).detach()
    slope = gradient_norms(trainer.critic, interpolate(x, fake, rng), create_graph=False)
    torch.testing.assert_close(loss.logs["critic.slope"], slope.mean())
    torch.testing.assert_close(loss.logs["critic.penalty"], 10 * ((slope - 1) ** 2).mean())
    torch.testing.assert_close(loss.value.detach(), loss.logs["critic.penalty"] - loss.logs["critic.gap"])
    assert not any(value.requires_grad for value in loss.logs.values())


def test_clipping_has_no_penalty_but_tells_the_slope() -> None:
    trainer = trainer_of(CONVOLUTIONS, constraint="clipping")
    loss = trainer("critic", batch(rows(1)), StepRng(0, 0, ROWS))
    torch.testing.assert_close(loss.value.detach(), -loss.logs["critic.gap"])
    assert loss.logs["critic.slope"] > 0
    assert "critic.penalty" not in loss.logs


@pytest.mark.parametrize("phase", ["critic", "generator"])
def test_a_phase_has_gradients_for_its_own_side_alone(phase: str) -> None:
    trainer = trainer_of(RESIDUAL)
    with only(trainer, list(trainer.parameters_of(phase))):
        trainer(phase, batch(rows(1)), StepRng(0, 0, ROWS)).value.backward()
    trained = {name.split(".")[0] for name, each in trainer.named_parameters() if each.grad is not None and each.grad.abs().sum() > 0}
    assert trained == {"critic" if phase == "critic" else "model"}


def test_the_generators_batch_is_so_many_of_the_critics() -> None:
    trainer = trainer_of(CONVOLUTIONS, generator_factor=3)
    rng = StepRng(0, 0, ROWS)
    f, decode = trainer.critic, trainer.model.decode
    draws = [rng.normal(3) for _ in range(3)]
    assert not any(torch.equal(draws[0], other) for other in draws[1:])
    expected = -sum(f(decode(z)).mean() for z in draws) / 3
    torch.testing.assert_close(trainer("generator", batch(rows(1)), StepRng(0, 0, ROWS)).value, expected)
    critic = trainer("critic", batch(rows(1)), StepRng(0, 0, ROWS))
    torch.testing.assert_close(critic.logs["critic.fake"], f(decode(draws[0])).mean())


class Point(nn.Module):
    """A generator on the line that always returns theta."""

    event = Event(shape=(1,))

    def __init__(self, theta: float) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.tensor([theta]))

    def prior(self, rng: Rng) -> Tensor:
        return rng.normal(1)

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.theta.expand(len(z), 1)


def _point_masses(theta: float, theta_0: float, weight: float) -> tuple[dict[str, float], float]:
    """The logs of a trained critic of two point masses, and the generator's gradient."""
    trainer = trainer_of(CONVOLUTIONS, penalty_weight=weight)
    n = 16
    trainer.model = Point(theta)  # type: ignore[assignment]  # it has all that training uses
    trainer.critic = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 1), nn.Flatten(0))
    # On a line, slope -1 is a minimum too, and the penalty at 0 lies between: start there.
    nn.init.zeros_(trainer.critic[2].weight)
    real = batch(torch.full((n, 1), theta_0))
    steps = 400
    optimizer = torch.optim.Adam(trainer.critic.parameters(), lr=0.03)
    decay = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, steps)
    for step in range(steps):
        optimizer.zero_grad()
        loss = trainer("critic", real, StepRng(0, step, n))
        loss.value.backward()
        optimizer.step()
        decay.step()
    optimizer.zero_grad()
    trainer("generator", real, StepRng(0, 0, n)).value.backward()
    gradient = trainer.model.theta.grad
    assert isinstance(gradient, Tensor)
    return {name: value.item() for name, value in loss.logs.items()}, gradient.item()


@pytest.mark.parametrize(("theta", "theta_0"), [(-0.5, 1.0), (1.25, 0.5)])
@pytest.mark.parametrize("weight", [10.0, 100.0])
def test_between_two_points_the_slope_tends_to_one_and_the_gap_to_their_distance(theta: float, theta_0: float, weight: float) -> None:
    """The optimal critic of slope s between two points has the gap s d and the penalty lambda (s - 1)^2, so s = 1 + d / (2 lambda).

    That is 1 for lambda to infinity; and the gap is then |theta - theta_0|, their Wasserstein distance (arXiv:1701.07875, example 1).
    """
    d = abs(theta - theta_0)
    slope = 1 + d / (2 * weight)
    logs, gradient = _point_masses(theta, theta_0, weight)
    assert logs["critic.slope"] == pytest.approx(slope, abs=0.01)
    assert logs["critic.gap"] == pytest.approx(slope * d, abs=0.02)
    # A step down this gradient moves the generator towards the data, equally far at every distance.
    assert gradient == pytest.approx(slope * (1 if theta > theta_0 else -1), abs=0.1)
