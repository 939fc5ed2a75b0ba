"""Theorems about the nets: parameter counts of the paper, plain second implementations, and the optimal projection critic."""

from dataclasses import replace
from itertools import product
from math import pi
from typing import TypeVar

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo_core.errors import ConfigError, UsageError
from zoo_core.models.residual import DoublingConv, DownBlock, HalvingConv, Projection, UpBlock
from zoo_core.recipes import Recipe
from zoo_core.rng import StepRng
from zoo_core.training.adversarial import LOSSES
from zoo_core.training.loop import build
from zoo_core.training.trainer import Batch, only
from zoo_projection_cgan.config import ProjectionCGANConfig, ProjectionCGANTrainerConfig
from zoo_projection_cgan.model import Generator
from zoo_projection_cgan.nets import ConditionalBatchNorm, Critic
from zoo_projection_cgan.recipes import FASHION_MNIST, PAPER

_Net = TypeVar("_Net", bound=nn.Module)

TINY = ProjectionCGANConfig(shape=(2, 12, 12), num_classes=3, latent=4, width=5, multipliers=(2, 1))
TINY_CRITIC = ProjectionCGANTrainerConfig(width=5, multipliers=(1, 1, 2, 2))


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def _count(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def _conv(width_in: int, width: int, side: int) -> int:
    return width_in * width * side**2 + width


def test_the_recipe_paper_has_the_parameters_of_the_papers_nets() -> None:
    """Miyato et al. 2018, table 4, with the class in each block's two batch norms and in the projection."""
    assert isinstance(PAPER.model, ProjectionCGANConfig)
    assert isinstance(PAPER.trainer, ProjectionCGANTrainerConfig)
    with torch.device("meta"):
        generator = Generator(PAPER.model)
        critic = Critic((3, 32, 32), 10, PAPER.trainer)
    up = 2 * 10 * 2 * 256 + 2 * _conv(256, 256, 3) + _conv(256, 256, 1)
    assert _count(generator) == 128 * 4 * 4 * 256 + 4 * 4 * 256 + 3 * up + 2 * 256 + _conv(256, 3, 3) == 4_304_387
    image = _conv(3, 128, 3) + _conv(128, 128, 3) + _conv(3, 128, 1)
    halving = 2 * _conv(128, 128, 3) + _conv(128, 128, 1)
    assert _count(critic) == image + halving + 2 * 2 * _conv(128, 128, 3) + 10 * 128 + 128 + 1 == 1_055_105


def test_the_recipe_paper_optimises_as_the_paper_does() -> None:
    plain = PAPER.to_dict()
    assert plain["trainer"]["loss"] == "hinge"
    assert (plain["trainer"]["n_critic"], plain["trainer"]["generator_factor"]) == (5, 2)
    assert plain["fit"]["steps"] == 5 * 50_000
    assert plain["fit"]["batch_size"] == 64
    assert plain["fit"]["lr_schedule"] == "linear"
    assert plain["fit"]["optimizer"]["lr"] == 2e-4
    assert plain["fit"]["optimizer"]["options"]["betas"] == [0.0, 0.9]
    assert not plain["fit"]["optimizers"]


@pytest.mark.parametrize("recipe", [PAPER, FASHION_MNIST], ids=["paper", "fashion-mnist"])
def test_a_narrower_variant_of_a_recipe_takes_a_step_of_both_sides(recipe: Recipe) -> None:
    trainer = build(replace(recipe, model=replace(recipe.model, width=4), trainer=replace(recipe.trainer, width=4)))
    shape = trainer.model.event.shape
    batch = Batch(x=torch.zeros(6, *shape), labels=torch.arange(6), index=torch.arange(6))
    for phase in trainer.phases(0):
        with only(trainer, list(trainer.parameters_of(phase))):
            value = trainer(phase, batch, StepRng(0, 0, 6)).value
            value.backward()
        assert value.isfinite()
        assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in trainer.parameters_of(phase))


@pytest.mark.parametrize("bias", [True, False])
def test_a_convolution_and_a_doubling_or_halving_are_one_kernel(bias: bool) -> None:
    x = torch.randn(3, 4, 6, 6, dtype=torch.float64)
    doubling = DoublingConv(4, 5).double()
    halving = HalvingConv(4, 5).double()
    if not bias:
        doubling.bias = halving.bias = None
    doubled = F.interpolate(x, scale_factor=2.0, mode="nearest")
    torch.testing.assert_close(doubling(x), F.conv2d(doubled, doubling.weight, doubling.bias, padding=1))
    torch.testing.assert_close(halving(x), F.avg_pool2d(F.conv2d(x, halving.weight, halving.bias, padding=1), 2))


def _disturbed(net: _Net) -> _Net:
    """The net in float64, without weights at zero or one, so that none is without effect."""
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return net.double()


@pytest.mark.parametrize("training", [True, False])
def test_conditional_batch_norm_is_the_longhand_formula(training: bool) -> None:
    norm = _disturbed(ConditionalBatchNorm(3, 4)).train(training)
    labels = torch.tensor([0, 3, 3, 1, 0])
    x = 2 + 3 * torch.randn(5, 3, 2, 2, dtype=torch.float64)
    mean = x.mean(dim=(0, 2, 3))
    var = x.var(dim=(0, 2, 3), correction=0)
    unbiased = x.var(dim=(0, 2, 3), correction=1)
    if not training:
        norm.norm.running_mean = torch.randn(3).double()
        norm.norm.running_var = torch.rand(3).double() + 0.5
        mean = norm.norm.running_mean.clone()
        var = norm.norm.running_var.clone()
    found = norm(x, labels)
    for row, channel in product(range(5), range(3)):
        normalised = (x[row, channel] - mean[channel]) / torch.sqrt(var[channel] + 1e-5)
        expected = norm.gain[labels[row], channel] * normalised + norm.bias[labels[row], channel]
        torch.testing.assert_close(found[row, channel], expected)
    if training:  # the average of one batch, begun at 0 and 1
        torch.testing.assert_close(norm.norm.running_mean, 0.1 * mean)
        torch.testing.assert_close(norm.norm.running_var, 0.9 + 0.1 * unbiased)


@pytest.mark.parametrize("training", [True, False])
def test_the_generator_is_the_papers_net(training: bool) -> None:
    """A plain implementation: sides are doubled by repetition, before 3x3 and 1x1 convolutions alike."""
    net = _disturbed(Generator(TINY)).train(training)
    labels = torch.tensor([0, 2, 1, 2])
    z = torch.randn(4, 4, dtype=torch.float64)
    h = F.linear(z, net.linear.weight, net.linear.bias).view(4, 10, 3, 3)
    for block in net.blocks:
        assert isinstance(block, UpBlock)
        inner = F.interpolate(block.norm1(h, labels).relu(), scale_factor=2.0)
        inner = F.conv2d(inner, block.conv1.weight, block.conv1.bias, padding=1)
        inner = F.conv2d(block.norm2(inner, labels).relu(), block.conv2.weight, block.conv2.bias, padding=1)
        h = inner + F.conv2d(F.interpolate(h, scale_factor=2.0), block.shortcut.weight, block.shortcut.bias)
    x = F.conv2d(net.norm(h).relu(), net.conv.weight, net.conv.bias, padding=1).tanh()
    assert x.shape == (4, 2, 12, 12)
    torch.testing.assert_close(net.decode(z, labels).double(), x, rtol=1e-6, atol=1e-6)


def test_the_critic_is_the_projection_of_the_sum_of_a_residual_net() -> None:
    """h(x, y) = v_y . phi(x) + psi(phi(x)) (arXiv:1802.05637, eq. 9), written out with the weights after spectral norm."""
    critic = _disturbed(Critic((2, 12, 12), 3, TINY_CRITIC)).eval()
    x = torch.randn(4, 2, 12, 12, dtype=torch.float64)
    labels = torch.tensor([1, 0, 2, 1])
    h = x
    for i, block in enumerate(critic.blocks):
        assert isinstance(block, DownBlock)
        inner = F.conv2d(h.relu() if i else h, block.conv1.weight, block.conv1.bias, padding=1)
        inner = F.conv2d(inner.relu(), block.conv2.weight, block.conv2.bias, padding=1)
        if isinstance(block.shortcut, nn.Conv2d):
            h = F.conv2d(h, block.shortcut.weight, block.shortcut.bias)
        h = F.avg_pool2d(inner + h, 2) if i < 2 else inner + h
    assert h.shape == (4, 10, 3, 3)
    inner_widths = [block.conv1.out_channels for block in critic.blocks if isinstance(block, DownBlock)]
    assert inner_widths == [5, 5, 5, 10]  # those of the input, but for the first block's
    phi = h.relu().sum(dim=(2, 3))
    project = critic.project.float()
    v, w, b = (each.detach().double() for each in (project.embed.weight, project.linear.weight[0], project.linear.bias[0]))
    expected = torch.stack([v[y] @ phi[row] + w @ phi[row] + b for row, y in enumerate(labels)])
    torch.testing.assert_close(critic(x, labels).double(), expected, rtol=1e-5, atol=1e-5)


def test_every_layer_of_the_critic_has_the_spectral_norm_one() -> None:
    """In eval mode too, without power iterations; by singular values of the matrix of output channels (or classes) by all else."""
    critic = Critic((2, 12, 12), 3, TINY_CRITIC)
    layers = [layer for layer in critic.modules() if isinstance(layer, nn.Conv2d | nn.Linear | nn.Embedding)]
    assert len(layers) == 2 * 4 + 3 + 2  # all but one shortcut are convolutions: the block that keeps side and width has none
    with torch.no_grad():
        for _ in range(100):
            critic(torch.randn(2, 2, 12, 12), torch.tensor([0, 1]))
    for layer in critic.eval().modules():
        if isinstance(layer, nn.Conv2d | nn.Linear | nn.Embedding):
            assert torch.linalg.svdvals(layer.weight.flatten(1))[0].item() == pytest.approx(1, abs=1e-3)


MU = torch.tensor([[1.0, -0.5], [0.0, 0.8], [-1.2, 0.1]], dtype=torch.float64)
MU_HAT = torch.tensor([[0.2, 0.3], [0.5, 0.5], [-0.7, -0.6]], dtype=torch.float64)


def test_the_optimal_projection_of_gaussian_features_is_the_difference_of_their_means() -> None:
    """For p(x | y) = N(mu_y, I) and q(x | y) = N(mu_hat_y, I), log p/q = (mu_y - mu_hat_y) . x + b_y with
    b_y = (|mu_hat_y|^2 - |mu_y|^2) / 2 (arXiv:1802.05637, section 3).

    The features are x and, for b_y, the number 1; the expectations are Gauss-Hermite sums, the minimum is found by a quasi-Newton method.
    """
    nodes, masses = (torch.from_numpy(each) for each in np.polynomial.hermite_e.hermegauss(40))
    points = torch.cartesian_prod(nodes, nodes)
    weights = torch.outer(masses, masses).flatten() / (2 * pi)
    assert weights.sum().item() == pytest.approx(1)
    head = Projection(3, 3).double()
    loss = LOSSES["non-saturating"]
    optimizer = torch.optim.LBFGS(head.parameters(), max_iter=500, tolerance_grad=1e-11, tolerance_change=0, line_search_fn="strong_wolfe")

    def outputs(mean: Tensor, label: int) -> Tensor:
        x = points + mean
        found: Tensor = head(torch.cat([x, torch.ones(len(x), 1)], dim=1), torch.full((len(x),), label))
        return found

    def closure() -> Tensor:
        optimizer.zero_grad()
        of_real, of_fake = (torch.stack([weights @ side(outputs(means[y], y)) for y in range(3)]) for side, means in sides)
        value: Tensor = (of_real + of_fake).mean()
        value.backward()  # type: ignore[no-untyped-call]  # of torch
        return value

    sides = ((loss.real, MU), (loss.fake, MU_HAT))
    optimizer.step(closure)  # type: ignore[no-untyped-call]  # of torch
    with torch.no_grad():
        slopes = head.embed.weight + head.linear.weight  # psi is linear: it and v_y add up
        torch.testing.assert_close(slopes[:, :2], MU - MU_HAT, rtol=0, atol=1e-4)
        b = (MU_HAT.square().sum(dim=1) - MU.square().sum(dim=1)) / 2
        torch.testing.assert_close(slopes[:, 2] + head.linear.bias, b, rtol=0, atol=1e-4)


def test_a_class_bias_is_a_number_for_each_class_that_begins_at_zero() -> None:
    head, plain = Projection(4, 3, class_bias=True), Projection(4, 3)
    plain.load_state_dict({name: value for name, value in head.state_dict().items() if name != "class_bias"})
    assert head.class_bias is not None
    phi, labels = torch.randn(6, 4), torch.tensor([0, 1, 2, 2, 1, 0])
    torch.testing.assert_close(head(phi, labels), plain(phi, labels))
    with torch.no_grad():
        head.class_bias.copy_(torch.tensor([0.5, -1.0, 2.0]))
    expected = torch.tensor([0.5, -1.0, 2.0, 2.0, -1.0, 0.5])
    torch.testing.assert_close(head(phi, labels) - plain(phi, labels), expected)
    critic = Critic((2, 12, 12), 3, replace(TINY_CRITIC, class_bias=True))
    assert _count(critic) == _count(Critic((2, 12, 12), 3, TINY_CRITIC)) + 3


def test_nothing_is_decoded_without_labels() -> None:
    with pytest.raises(UsageError, match=r"needs labels -- pass labels=") as error:
        Generator(TINY).decode(torch.zeros(2, 4))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"shape": (1, 28, 32)}, "side"),
        ({"shape": (1, 28, 28), "multipliers": (1, 1, 1)}, "halves 3 times"),
        ({"num_classes": 0}, "num_classes"),
        ({"multipliers": ()}, "multipliers"),
        ({"width": 10**9}, "width"),
        ({"latent": 0}, "latent"),
    ],
)
def test_what_no_generator_can_be_is_refused(changes: dict[str, object], what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        replace(TINY, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "what"), [({"halvings": 5}, "halvings"), ({"multipliers": ()}, "multipliers"), ({"n_critic": 0}, "n_c")]
)
def test_what_no_critic_can_be_is_refused(changes: dict[str, object], what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        replace(TINY_CRITIC, **changes)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="halves 3 times"):
        Critic((2, 12, 12), 3, replace(TINY_CRITIC, halvings=3))
