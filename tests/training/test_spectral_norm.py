"""Spectral norm of layers: algorithm 1 by hand, gradients of the quotient, and averages of the vectors."""

import copy
import pickle
from typing import cast

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo_core.models.spectral import Conv, Embedding, Linear, SpectralNorm, settle


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_a_pass_in_train_mode_is_a_step_of_algorithm_1() -> None:
    norm, weight = SpectralNorm(4).double(), normal(4, 3, 2, 2)
    u, matrix = norm.u.clone(), weight.flatten(1)
    for _ in range(3):
        v = matrix.T @ u / (matrix.T @ u).norm()
        u = matrix @ v / (matrix @ v).norm()
        torch.testing.assert_close(norm(weight), weight / (u @ matrix @ v))
        torch.testing.assert_close(norm.u, u)


def test_a_pass_in_eval_mode_moves_nothing_and_does_not_depend_on_the_length_of_u() -> None:
    norm, weight = SpectralNorm(4).double().eval(), normal(4, 6)
    first = norm(weight)
    torch.testing.assert_close(norm(weight), first, rtol=0, atol=0)
    norm.u.mul_(0.3)
    torch.testing.assert_close(norm(weight), first)
    _, values, _ = torch.linalg.svd(weight)
    for _ in range(300):
        norm.train()(weight)
    torch.testing.assert_close(norm.eval()(weight), weight / values[0])


def test_the_gradient_is_that_of_the_quotient_by_the_largest_singular_value() -> None:
    weight = normal(4, 6).requires_grad_(True)
    norm, scale = SpectralNorm(4).double(), normal(4, 6, seed=1)
    for _ in range(300):
        norm.iterate(weight)
    (norm(weight) * scale).sum().backward()
    exact = weight.detach().clone().requires_grad_(True)
    (exact / torch.linalg.matrix_norm(exact, 2) * scale).sum().backward()
    torch.testing.assert_close(weight.grad, exact.grad)


@pytest.mark.parametrize("kind", ["conv", "linear", "embedding"])
def test_layers_use_their_weights_divided_by_their_norms_and_without_the_option_as_they_are(kind: str) -> None:
    torch.manual_seed(0)  # of the weights and of u
    made = {
        "conv": lambda spectral: (Conv(3, 4, spectral=spectral), normal(2, 3, 5, 5)),
        "linear": lambda spectral: (Linear(3, 4, spectral=spectral), normal(2, 3)),
        "embedding": lambda spectral: (Embedding(4, 3, spectral=spectral), torch.tensor([0, 3, 3])),
    }[kind]
    for spectral in (True, False):
        layer, x = made(spectral)
        layer.double()
        settle(layer)
        weight = layer.weight.detach()
        if spectral:
            assert abs(torch.linalg.matrix_norm(layer.eval().kernel.flatten(1), 2).item() - 1) < 0.02
            weight = layer.kernel.detach()
        expected = {
            "conv": lambda weight=weight, layer=layer, x=x: F.conv2d(x, weight, layer.bias, padding=1),
            "linear": lambda weight=weight, layer=layer, x=x: F.linear(x, weight, layer.bias),
            "embedding": lambda weight=weight, x=x: weight[x],
        }[kind]
        torch.testing.assert_close(layer.eval()(x), expected())
        names = {name for name, _ in layer.state_dict().items()}
        assert ("spectral.u" in names) == spectral


def test_a_layer_can_be_copied_and_pickled_after_a_backward_pass() -> None:
    layer = Conv(3, 4, spectral=True)
    layer(torch.zeros(1, 3, 4, 4)).sum().backward()
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        torch.testing.assert_close(other.eval().kernel, layer.eval().kernel)


def test_settling_reaches_all_layers_of_a_net() -> None:
    net = nn.Sequential(Conv(3, 4, spectral=True), nn.Sequential(Linear(5, 5, spectral=True), Linear(2, 2)))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(normal(*parameter.shape))
    settle(net)
    for layer in (net[0], cast(nn.Sequential, net[1])[0]):
        layer = cast(Conv | Linear, layer)
        assert torch.linalg.matrix_norm(layer.eval().kernel.flatten(1), 2).item() == pytest.approx(1, abs=0.05)
