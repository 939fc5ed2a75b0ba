"""Adversarial losses against numbers worked out by hand and theorems of the papers."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from zoo_core.errors import ConfigError, ZooError
from zoo_core.interfaces import Event, Rng, TrainerConfig
from zoo_core.rng import StepRng
from zoo_core.training.adversarial import LOSSES, AdversarialLoss, AdversarialTrainer
from zoo_core.training.trainer import Batch, only

LN2, LN3, LN4 = math.log(2), math.log(3), math.log(4)


# By hand, for outputs ln 3 of a real sample and -ln 3 of a generated one: probabilities 3/4 and 1/4 of being real.
@pytest.mark.parametrize(
    ("name", "critic", "generator"),
    [
        ("non-saturating", 2 * math.log(4 / 3), LN4),
        ("minimax", 2 * math.log(4 / 3), math.log(3 / 4)),
        ("reverse-kl", 2 * math.log(4 / 3), math.log(3 / 4) - math.log(1 / 4)),
        ("least-squares", (LN3 - 1) ** 2 / 2 + LN3**2 / 2, (LN3 + 1) ** 2 / 2),
        ("hinge", 0.0, LN3),
        ("wasserstein", -2 * LN3, LN3),
    ],
)
def test_losses_are_what_they_are_by_hand(name: str, critic: float, generator: float) -> None:
    loss, real, fake = LOSSES[name], torch.tensor([LN3]), torch.tensor([-LN3])
    assert (loss.real(real) + loss.fake(fake)).item() == pytest.approx(critic, abs=1e-6)
    assert loss.generator(fake).item() == pytest.approx(generator, abs=1e-6)


def test_the_hinge_is_at_one() -> None:
    loss = LOSSES["hinge"]
    assert loss.real(torch.tensor([0.25, 1.0, 3.0])).tolist() == [0.75, 0.0, 0.0]
    assert loss.fake(torch.tensor([0.25, -1.0, -3.0])).tolist() == [1.25, 0.0, 0.0]


@pytest.mark.parametrize("name", LOSSES)
def test_each_side_wants_what_it_should(name: str) -> None:
    """Down its gradient the critic raises the output of real samples and lowers that of generated ones; the generator raises it."""
    loss, x = LOSSES[name], torch.tensor([-0.5, 0.0, 0.5], requires_grad=True)
    signs = {side: torch.autograd.grad(getattr(loss, side)(x).sum(), x)[0].sign() for side in ("real", "fake", "generator")}
    assert (signs["real"] == -1).all()
    assert (signs["generator"] == -1).all()
    if name == "least-squares":  # generated samples have the target 0
        assert signs["fake"].tolist() == [-1, 0, 1]
    else:
        assert (signs["fake"] == 1).all()


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("size", [80.0, -80.0])
def test_large_outputs_have_finite_losses_and_gradients(name: str, size: float) -> None:
    x = torch.tensor([size], requires_grad=True)
    for side in ("real", "fake", "generator"):
        value = getattr(LOSSES[name], side)(x)
        (slope,) = torch.autograd.grad(value, x)
        assert value.isfinite().all()
        assert slope.isfinite().all()
        # Where a sigmoid is 1 to the last bit, its logarithm must not be that of 0.
        if name in ("non-saturating", "minimax", "reverse-kl"):
            assert abs(value.item()) == pytest.approx(80.0) or abs(value.item()) < 1e-30


def test_minimax_gives_a_losing_generator_no_gradient_and_the_others_do() -> None:
    """Goodfellow et al. 2014, section 3: as D -> 0, log(1 - D) saturates; -log D does not."""
    slopes = {}
    for name in ("minimax", "non-saturating", "reverse-kl"):
        x = torch.tensor([-20.0], requires_grad=True)
        (slope,) = torch.autograd.grad(LOSSES[name].generator(x), x)
        slopes[name] = abs(slope.item())
    assert slopes["minimax"] < 1e-8
    assert slopes["non-saturating"] == pytest.approx(1, abs=1e-6)
    assert slopes["reverse-kl"] == pytest.approx(1, abs=1e-6)


GRID = torch.linspace(-12, 12, 4001, dtype=torch.float64)


def _log_normal(mean: float, std: float) -> Tensor:
    return -(((GRID - mean) / std) ** 2) / 2 - math.log(std * math.sqrt(2 * math.pi))


LOG_P, LOG_Q = _log_normal(0.0, 1.0), _log_normal(1.5, 0.7)
P, Q = LOG_P.exp(), LOG_Q.exp()


def _best_outputs(name: str) -> Tensor:
    """Outputs over GRID that minimise the critic's loss of p and q, by gradient descent on the outputs themselves."""
    loss, outputs = LOSSES[name], torch.zeros_like(GRID, requires_grad=True)
    optimizer = torch.optim.LBFGS([outputs], max_iter=500, tolerance_grad=1e-14, tolerance_change=1e-16, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        # Divided by p + q, so that every point is as well conditioned as any other; the minimum of each is where it was.
        value: Tensor = ((P * loss.real(outputs) + Q * loss.fake(outputs)) / (P + Q)).sum()
        value.backward()  # type: ignore[no-untyped-call]  # of torch
        return value

    optimizer.step(closure)  # type: ignore[no-untyped-call]  # of torch
    return outputs.detach()


@pytest.mark.parametrize("name", ["non-saturating", "minimax", "reverse-kl", "least-squares"])
def test_the_optimal_critic_tells_the_share_of_the_data(name: str) -> None:
    """D* = p / (p + q): Goodfellow et al. 2014, proposition 1; for least squares, Mao et al. 2017, eq. 5."""
    near = (GRID > -3) & (GRID < 4)
    share = (LOG_P - LOG_Q).sigmoid()
    found = LOSSES[name].judgement(_best_outputs(name))
    # Where the search stops depends on how a processor rounds: 1.3e-4 was seen on one.
    torch.testing.assert_close(found[near], share[near], rtol=0, atol=1e-3)


def _integral(values: Tensor) -> float:
    return float(torch.trapezoid(values, GRID))


def test_at_the_optimal_critic_the_value_is_that_of_the_jensen_shannon_divergence() -> None:
    """Goodfellow et al. 2014, theorem 1: V = 2 JS(p, q) - log 4."""
    outputs, loss = LOG_P - LOG_Q, LOSSES["minimax"]
    value = -_integral(P * loss.real(outputs) + Q * loss.fake(outputs))
    middle = ((P + Q) / 2).log()
    divergence = (_integral(P * (LOG_P - middle)) + _integral(Q * (LOG_Q - middle))) / 2
    assert 0.1 < divergence < LN2
    assert value == pytest.approx(2 * divergence - LN4, abs=1e-9)


def test_at_the_optimal_critic_the_reverse_kl_loss_is_that_divergence() -> None:
    """E_q[log(1 - D) - log D] = E_q[log q - log p] = KL(q, p), which for Gaussians is log(s_p/s_q) + (s_q^2 + m^2) / (2 s_p^2) - 1/2."""
    found = _integral(Q * LOSSES["reverse-kl"].generator(LOG_P - LOG_Q))
    assert found == pytest.approx(-math.log(0.7) + (0.49 + 2.25) / 2 - 0.5, abs=1e-9)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Config(TrainerConfig):
    pass


class _Shift(nn.Module):
    """x = z + shift, of points in the plane."""

    event = Event(shape=(2,))

    def __init__(self, classes: int = 0) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(2))
        self.num_classes = classes

    def prior(self, rng: Rng) -> Tensor:
        return rng.normal(2)

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return z + self.shift


def _trainer(loss: str = "non-saturating", n_critic: int = 1, classes: int = 0) -> AdversarialTrainer:
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1), nn.Flatten(0))
    return AdversarialTrainer(_Shift(classes), _Config(), critic, loss=loss, n_critic=n_critic)


def _batch(n: int = 6) -> Batch:
    return Batch(x=torch.linspace(-1, 1, 2 * n).view(n, 2), labels=None, index=torch.arange(n))


@pytest.mark.parametrize("name", LOSSES)
def test_the_trainer_gives_both_losses_and_what_the_critic_says(name: str) -> None:
    trainer, batch, loss = _trainer(name), _batch(), LOSSES[name]
    made = StepRng(0, 0, 6).normal(2)
    real, fake = trainer.critic(batch.x), trainer.critic(made)
    critic, generator = (trainer(phase, batch, StepRng(0, 0, 6)) for phase in ("critic", "generator"))
    torch.testing.assert_close(critic.value, loss.real(real).mean() + loss.fake(fake).mean())
    torch.testing.assert_close(generator.value, loss.generator(fake).mean())
    says = {"critic.real": loss.judgement(real).mean(), "critic.fake": loss.judgement(fake).mean(), "critic.gap": real.mean() - fake.mean()}
    torch.testing.assert_close(critic.logs, says)
    assert not any(value.requires_grad for value in critic.logs.values())


@pytest.mark.parametrize("phase", ["critic", "generator"])
def test_a_phase_has_gradients_for_its_own_side_alone(phase: str) -> None:
    trainer = _trainer()
    with only(trainer, list(trainer.parameters_of(phase))):
        trainer(phase, _batch(), StepRng(0, 0, 6)).value.backward()
    trained = {name.split(".")[0] for name, each in trainer.named_parameters() if each.grad is not None and each.grad.abs().sum() > 0}
    assert trained == {"critic" if phase == "critic" else "model"}


def test_the_generator_waits_for_its_steps_of_the_critic() -> None:
    trainer = _trainer(n_critic=3)
    assert [trainer.phases(step) for step in range(4)] == [("critic", "generator"), ("critic",), ("critic",), ("critic", "generator")]


class _Reader(nn.Module):
    """A critic that remembers what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[Tensor, Tensor]] = []

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        self.seen.append((x.detach(), labels))
        return x.sum(1)


def test_generated_samples_and_the_critic_have_the_labels_of_the_batch_as_often_as_there_are_samples() -> None:
    critic, labels = _Reader(), torch.tensor([2, 0, 1, 1, 0, 2])
    trainer = AdversarialTrainer(_Shift(3), _Config(), critic, loss="hinge", generator_factor=2)
    for phase in ("critic", "generator"):
        trainer(phase, replace(_batch(), labels=labels), StepRng(0, 0, 6))
    (fake, of_fake), (real, of_real), (made, of_made) = critic.seen
    assert [len(x) for x in (fake, real, made)] == [6, 6, 12]
    assert of_fake.tolist() == of_real.tolist() == labels.tolist()
    assert of_made.tolist() == 2 * labels.tolist()
    assert len(made.unique(dim=0)) == 12


class _Relativistic(AdversarialTrainer):
    """Jolicoeur-Martineau 2018 (arXiv:1807.00734), eqs. 9 and 10: each side looks at real and generated samples in pairs."""

    def critic_loss(self, of_real: Tensor, of_fake: Tensor) -> Tensor:
        return softplus(of_fake - of_real).mean()

    def generator_loss(self, of_fake: Tensor, of_real: Callable[[], Tensor]) -> Tensor:
        return softplus(of_real() - of_fake).mean()


def test_a_family_may_have_losses_of_its_own() -> None:
    plain, batch = _trainer(), _batch()
    trainer = _Relativistic(plain.model, _Config(), plain.critic, loss="non-saturating")
    gap = trainer.critic(batch.x) - trainer.critic(StepRng(0, 0, 6).normal(2))
    critic, generator = (trainer(phase, batch, StepRng(0, 0, 6)) for phase in ("critic", "generator"))
    torch.testing.assert_close(critic.value, (1 + (-gap).exp()).log().mean())
    torch.testing.assert_close(generator.value, (1 + gap.exp()).log().mean())
    assert critic.logs["critic.gap"].item() == pytest.approx(gap.mean().item(), abs=1e-6)
    squared = AdversarialLoss(real=torch.square, fake=torch.square, generator=torch.square)
    by_functions = AdversarialTrainer(plain.model, _Config(), plain.critic, loss=squared)("generator", batch, StepRng(0, 0, 6)).value
    torch.testing.assert_close(by_functions, trainer.critic(StepRng(0, 0, 6).normal(2)).square().mean())


def test_a_critic_without_one_output_a_sample_and_an_unknown_loss_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"no adversarial loss 'hinged' -- .*hinge"):
        _trainer("hinged")
    trainer = AdversarialTrainer(_Shift(), _Config(), nn.Linear(2, 1), loss="hinge")
    with pytest.raises(ZooError, match=r"outputs \(6, 1\) for 6 samples"):
        trainer("critic", _batch(), StepRng(0, 0, 6))


def test_a_model_with_classes_is_not_trained_without_labels() -> None:
    with pytest.raises(ConfigError, match="the data no labels"):
        _trainer(classes=3)("critic", _batch(), StepRng(0, 0, 6))
