"""Layers and nets against longhand: attention, norms, orthogonality, truncation, spectral norm, and the paper's sizes."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo_biggan.config import BigGANConfig, BigGANTrainerConfig
from zoo_biggan.critic import Critic
from zoo_biggan.layers import ConditionNorm, SelfAttention, orthogonal_, orthogonal_penalty, truncated
from zoo_biggan.model import BigGAN
from zoo_biggan.recipes import PAPER
from zoo_core.errors import ConfigError, UsageError
from zoo_core.models.spectral import Conv, Embedding, Linear
from zoo_core.rng import ImageRng
from zoo_core.samplers import Latent

TINY = BigGANConfig(shape=(2, 12, 12), num_classes=3, latent=9, embedding=4, width=5, multipliers=(2, 1), attention=(6,))
CRITIC = BigGANTrainerConfig(width=5, multipliers=(1, 2, 2), halvings=2, attention=(6, 3))


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def disturbed(net: nn.Module) -> None:
    """Turns a net into float64, with gates, gains and biases that are not zero."""
    net.double()
    with torch.no_grad():
        for i, parameter in enumerate(net.parameters()):
            parameter.add_(0.3 * normal(*parameter.shape, seed=i))


def attended(layer: SelfAttention, x: Tensor) -> Tensor:
    """Self-attention of one image (channels, h, w), pixel by pixel."""
    f, g, h, o = (each.kernel[:, :, 0, 0] for each in (layer.f, layer.g, layer.h, layer.o))
    keys, values = (F.max_pool2d(torch.einsum("oc,chw->ohw", weight, x), 2).flatten(1) for weight in (g, h))
    out = x.clone()
    for i in range(x.shape[1]):
        for j in range(x.shape[2]):
            query = f @ x[:, i, j]
            shares = torch.exp(torch.stack([query @ key for key in keys.T]))
            shares = shares / shares.sum()
            seen = torch.stack([share * value for share, value in zip(shares, values.T, strict=True)]).sum(0)
            out[:, i, j] = layer.gamma * (o @ seen) + x[:, i, j]
    return out


def test_attention_is_the_longhand_softmax_over_pooled_places() -> None:
    layer = SelfAttention(16)
    disturbed(layer)
    layer.eval()
    x = normal(3, 16, 4, 6)
    torch.testing.assert_close(layer(x), torch.stack([attended(layer, each) for each in x]))


def test_attention_begins_as_the_identity_and_its_gate_learns_first() -> None:
    layer, x = SelfAttention(16).double(), normal(2, 16, 4, 4)
    assert torch.equal(layer(x), x)
    layer(x).square().sum().backward()
    assert layer.gamma.grad is not None
    assert layer.gamma.grad.abs() > 1e-6
    assert all(each.weight.grad is not None and not each.weight.grad.any() for each in (layer.f, layer.g, layer.h, layer.o))


def test_the_norm_of_a_condition_is_the_longhand_formula() -> None:
    layer = ConditionNorm(3, 5)
    disturbed(layer)
    layer.gain.eval(), layer.bias.eval()
    x, c = 2 + 3 * normal(4, 3, 2, 2), normal(4, 5, seed=1)
    mean, var = x.mean(dim=(0, 2, 3)), x.var(dim=(0, 2, 3), correction=0)
    found = layer(x, c)
    for row in range(4):
        gain, bias = 1 + layer.gain.kernel @ c[row], layer.bias.kernel @ c[row]
        for channel in range(3):
            normalised = (x[row, channel] - mean[channel]) / torch.sqrt(var[channel] + 1e-5)
            torch.testing.assert_close(found[row, channel], gain[channel] * normalised + bias[channel])


def test_the_penalty_is_the_sum_of_squared_products_of_pairs_of_filters() -> None:
    weight = normal(4, 3, 2, 2)
    filters = weight.flatten(1)
    expected = sum(float(filters[i] @ filters[j]) ** 2 for i in range(4) for j in range(4) if i != j)
    assert orthogonal_penalty(weight).item() == pytest.approx(expected)
    ones = 1 - torch.eye(4, dtype=torch.float64)
    columns = filters.T  # the paper's W, eq. 3
    torch.testing.assert_close(orthogonal_penalty(weight), torch.linalg.matrix_norm(columns.T @ columns * ones).square())
    assert orthogonal_penalty(torch.diag(torch.tensor([3.0, 0.1, 7.0]))) == 0


def test_initial_weights_are_orthogonal_and_have_no_penalty() -> None:
    net = nn.Sequential(nn.Conv2d(4, 3, 3), nn.Linear(8, 8), nn.Embedding(3, 7))
    orthogonal_(net)
    for layer in net:
        assert isinstance(layer.weight, Tensor)
        rows = layer.weight.flatten(1)
        torch.testing.assert_close(rows @ rows.T, torch.eye(len(rows)))
        assert orthogonal_penalty(layer.weight) < 1e-9


@pytest.mark.parametrize("bound", [0.2, 1.0, 2.5])
def test_truncated_numbers_are_distributed_as_numbers_drawn_again_while_they_are_too_large(bound: float) -> None:
    """By Kolmogorov-Smirnov: two samples of 200,000 differ by more than 0.0062 with a probability of 0.001."""
    drawn = normal(3_000_000)
    again = drawn[drawn.abs() <= bound][:200_000]
    found = truncated(normal(200_000, seed=1), bound)
    assert len(again) == 200_000
    assert found.abs().max() <= bound
    grid = torch.linspace(-bound, bound, 2001, dtype=torch.float64)
    shares = [torch.searchsorted(each.sort().values, grid) / len(each) for each in (again, found)]
    assert (shares[0] - shares[1]).abs().max() < 0.0062


def test_truncation_keeps_order_and_signs_and_does_nothing_at_a_large_bound() -> None:
    z = torch.linspace(-12, 12, 1001)
    found = truncated(z, 1.5)
    assert (found.diff() >= 0).all()
    assert torch.equal(found, -truncated(-z, 1.5))
    assert found[-1] == 1.5
    torch.testing.assert_close(truncated(z, 100.0), z, rtol=0, atol=0.1)
    near = z[z.abs() < 5]
    torch.testing.assert_close(truncated(near, 100.0), near)
    assert not truncated(z, 0.0).any()


@pytest.mark.parametrize("training", [True, False])
def test_the_generator_is_its_layers_in_their_order_with_a_chunk_of_z_for_each(training: bool) -> None:
    net = BigGAN(TINY)
    disturbed(net)
    z, labels = normal(4, 9), torch.tensor([0, 2, 1, 2])
    with torch.no_grad():
        for _ in range(100 if training else 0):  # until power iteration has converged
            net.train().decode(z, labels)
    found = net.train(training).decode(z, labels)
    net.eval()
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.train(training)
    first, second, third = z[:, :3], z[:, 3:6], z[:, 6:]
    shared = net.embed.weight[labels]
    h = F.linear(first, net.linear.kernel, net.linear.bias).view(4, 10, 3, 3)
    for i, (block, chunk) in enumerate(zip(net.blocks, (second, third), strict=True)):
        condition = torch.cat([shared, chunk], dim=1)
        inner = F.interpolate(block.norm1(h, condition).relu(), scale_factor=2.0)
        inner = F.conv2d(inner, block.conv1.kernel, block.conv1.bias, padding=1)
        inner = F.conv2d(block.norm2(inner, condition).relu(), block.conv2.kernel, block.conv2.bias, padding=1)
        h = inner + F.conv2d(F.interpolate(h, scale_factor=2.0), block.shortcut.kernel, block.shortcut.bias)
        if i == 0:
            h = torch.stack([attended(net.attention["6"], each) for each in h])
    x = F.conv2d(net.norm(h).relu(), net.conv.kernel, net.conv.bias, padding=1).tanh()
    torch.testing.assert_close(found.double(), x, rtol=0, atol=1e-4 if training else 1e-6)


def test_each_chunk_of_z_and_the_class_change_the_image() -> None:
    net = BigGAN(TINY)
    disturbed(net)
    net.eval().requires_grad_(False)
    z, labels = normal(1, 9), torch.tensor([1])
    for chunk in range(3):
        other = z.clone()
        other[:, 3 * chunk : 3 * chunk + 3] += 1
        assert (net.decode(z, labels) - net.decode(other, labels)).abs().max() > 1e-3
    assert (net.decode(z, labels) - net.decode(z, labels + 1)).abs().max() > 1e-3


def test_truncated_images_are_those_of_truncated_latents_and_so_the_sampler_draws_them() -> None:
    net = BigGAN(TINY).eval().requires_grad_(False)
    rng = ImageRng(3, range(4))
    labels = torch.tensor([0, 1, 2, 0])
    drawn = Latent(truncation=0.3)(net, rng, labels=labels)
    expected = net.decode(truncated(ImageRng(3, range(4)).normal(9), 0.3), labels)
    torch.testing.assert_close(drawn, expected, rtol=0, atol=0)
    assert (drawn - net.decode(ImageRng(3, range(4)).normal(9), labels)).abs().max() > 1e-3


def test_the_critic_is_the_projection_of_the_sum_of_a_residual_net_with_attention() -> None:
    critic = Critic((2, 12, 12), 3, CRITIC)
    disturbed(critic)
    critic.eval()
    x, labels = normal(4, 2, 12, 12), torch.tensor([1, 0, 2, 1])
    h = x
    for i, block in enumerate(critic.blocks):
        inner = F.conv2d(h.relu() if i else h, block.conv1.kernel, block.conv1.bias, padding=1)
        assert inner.shape[1] == block.conv2.out_channels  # wide
        inner = F.conv2d(inner.relu(), block.conv2.kernel, block.conv2.bias, padding=1)
        if isinstance(block.shortcut, nn.Conv2d):
            h = F.conv2d(h, block.shortcut.kernel, block.shortcut.bias)
        h = F.avg_pool2d(inner + h, 2) if i < 2 else inner + h
        if i < 2:
            h = torch.stack([attended(critic.attention[str(i)], each) for each in h])
    assert h.shape == (4, 10, 3, 3)
    phi = h.relu().sum(dim=(2, 3))
    project = critic.project
    expected = (project.embed.kernel[labels] * phi).sum(1) + phi @ project.linear.kernel[0] + project.linear.bias
    torch.testing.assert_close(critic.features(x).double(), phi, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(critic.float()(x.float(), labels).double(), expected, rtol=1e-4, atol=1e-4)


def test_every_layer_of_both_nets_but_the_shared_embedding_has_the_spectral_norm_one() -> None:
    labels = torch.tensor([0, 1])
    generator, critic = BigGAN(TINY), Critic((2, 12, 12), 3, CRITIC)
    with torch.no_grad():
        for _ in range(100):
            generator.decode(torch.randn(2, 9), labels)
            critic(torch.randn(2, 2, 12, 12), labels)
    for net, count in ((generator, 1 + 2 * 3 + 2 * 4 + 4 + 1), (critic, 3 * 2 + 2 + 2 * 4 + 2)):
        layers = [each for each in net.eval().modules() if isinstance(each, Conv | Linear | Embedding)]
        assert len(layers) == count
        for layer in layers:
            assert torch.linalg.svdvals(layer.kernel.detach().flatten(1))[0].item() == pytest.approx(1, abs=1e-3)


def test_the_papers_recipe_has_the_nets_that_the_authors_print_for_128x128() -> None:
    """70,433,988 and 87,982,370: the numbers of parameters in the logs of the authors' PyTorch code, at 96 channels."""
    assert isinstance(PAPER.model, BigGANConfig)
    assert isinstance(PAPER.trainer, BigGANTrainerConfig)
    with torch.device("meta"):
        nets = BigGAN(PAPER.model), Critic(PAPER.model.shape, 1000, PAPER.trainer)
    assert [sum(each.numel() for each in net.parameters()) for net in nets] == [70_433_988, 87_982_370]
    assert (PAPER.model.sides, PAPER.model.chunk) == ((8, 16, 32, 64, 128), 20)


def test_the_papers_recipe_optimises_as_the_paper_does() -> None:
    plain = PAPER.to_dict()
    assert plain["fit"]["batch_size"] == 2048
    assert plain["fit"]["optimizer"]["lr"] == 5e-5
    assert plain["fit"]["optimizers"]["critic"]["lr"] == 2e-4
    assert plain["fit"]["optimizer"]["options"]["betas"] == plain["fit"]["optimizers"]["critic"]["options"]["betas"] == [0.0, 0.999]
    assert plain["fit"]["ema"]["decay"] == 0.9999
    assert (plain["trainer"]["n_critic"], plain["trainer"]["orthogonal"]) == (2, 1e-4)


def test_nothing_is_decoded_without_labels() -> None:
    with pytest.raises(UsageError, match=r"needs labels -- pass labels="):
        BigGAN(TINY).decode(torch.zeros(2, 9))


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"shape": (1, 28, 32)}, "side"),
        ({"shape": (1, 14, 14)}, "halves 2 times"),
        ({"latent": 10}, "multiple of 3"),
        ({"attention": (5,)}, "attention must be sides .* 6, 12, not 5"),
        ({"multipliers": ()}, "multipliers"),
        ({"embedding": 0}, "embedding"),
    ],
)
def test_what_no_generator_can_be_is_refused(changes: dict[str, object], what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        replace(TINY, **changes)  # type: ignore[arg-type]  # names of fields, by hand


@pytest.mark.parametrize(
    ("changes", "what"),
    [({"halvings": 5}, "halvings"), ({"multipliers": ()}, "multipliers"), ({"augment": ("cutout", "cutout")}, "once")],
)
def test_what_no_critic_can_be_is_refused(changes: dict[str, object], what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        replace(CRITIC, **changes)  # type: ignore[arg-type]  # names of fields, by hand


@pytest.mark.parametrize(("changes", "what"), [({"halvings": 3}, "halves 3 times"), ({"attention": (12,)}, "not 12")])
def test_a_critic_that_does_not_suit_the_images_is_refused(changes: dict[str, object], what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        Critic((2, 12, 12), 3, replace(CRITIC, **changes))  # type: ignore[arg-type]  # names of fields, by hand


def test_pixels_that_are_equal_see_their_common_value() -> None:
    layer = SelfAttention(8).double().eval()
    with torch.no_grad():
        layer.gamma.fill_(1.0)
    x = normal(1, 8, 1, 1).expand(-1, -1, 6, 6).contiguous()  # of equal pixels, each sees their common value
    value = torch.einsum("vc,c->v", layer.h.kernel[:, :, 0, 0], x[0, :, 0, 0])
    expected = x[0, :, 0, 0] + layer.o.kernel[:, :, 0, 0] @ value
    torch.testing.assert_close(layer(x)[0, :, 3, 3], expected)
