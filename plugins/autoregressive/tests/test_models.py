"""Theorems about autoregressive models: order, exact probabilities, and drawing that agrees with them."""

import itertools
from math import log, prod

import pytest
import torch
from torch import Tensor

from zoo_autoregressive.config import AutoregressiveConfig, PixelCNNConfig, PixelTransformerConfig
from zoo_autoregressive.likelihoods import Bernoulli, Categorical, Levels, LogisticMixture
from zoo_autoregressive.model import Autoregressive, PixelCNN, PixelTransformer
from zoo_core.errors import ConfigError
from zoo_core.images import from_uint8
from zoo_core.rng import ImageRng, StepRng
from zoo_core.training.trainer import Batch

KINDS = ["pixelcnn", "transformer"]


def model(kind: str, shape: tuple[int, int, int] = (1, 3, 3), likelihood: str = "bernoulli", **options: int) -> Autoregressive:
    """A model with random weights, large enough that each value depends on those before."""
    common = {"shape": shape, "likelihood": likelihood, "mixtures": 2}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net: Autoregressive
        if kind == "pixelcnn":
            sizes = {"layers": 3, "channels": 8, "hidden": 16, "first_kernel": 5, **options}
            net = PixelCNN(PixelCNNConfig(**common, **sizes))  # type: ignore[arg-type]
        else:
            net = PixelTransformer(PixelTransformerConfig(**common, **{"layers": 2, "width": 8, "heads": 2, **options}))  # type: ignore[arg-type]
        for parameter in net.parameters():
            parameter.data += 0.5 * torch.randn(parameter.shape)
    return net.eval().requires_grad_(False)


def all_images() -> Tensor:
    """The 2^9 binary images of 3x3 pixels."""
    return torch.tensor(list(itertools.product((-1.0, 1.0), repeat=9))).view(-1, 1, 3, 3)


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_no_output_of_a_pixelcnn_depends_on_its_own_or_a_later_value(kernel: int) -> None:
    net = model("pixelcnn", (1, 4, 4), kernel=kernel).net.double()
    values = torch.randn(1, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    jacobian = torch.func.jacrev(lambda x: net.outputs(x).sum(-1))(values).view(16, 16)  # type: ignore[operator]
    assert torch.equal(jacobian, jacobian.tril(-1))
    if kernel > 1:
        seen = jacobian != 0
        assert bool(seen[15, :15].all()), "the last value sees all before it: there is no blind spot"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(1, 3, 4), (3, 2, 2)], ids=["grey", "colour"])
def test_a_change_of_a_value_changes_no_output_up_to_its_own(kind: str, shape: tuple[int, int, int]) -> None:
    net = model(kind, shape, "categorical").double()
    count = prod(shape)
    levels = torch.randint(0, 256, (1, shape[1], shape[2] * shape[0]), generator=torch.Generator().manual_seed(1))
    before = net.net(levels).view(count, -1)
    for place in range(count):
        changed = levels.clone().view(-1)
        changed[place] = (changed[place] + 100) % 256
        after = net.net(changed.view_as(levels)).view(count, -1)
        moved = (after - before).abs().amax(1)
        assert float(moved[: place + 1].max()) < 1e-12
        assert place == count - 1 or float(moved[place + 1 :].max()) > 1e-9


@pytest.mark.parametrize("kind", KINDS)
def test_probabilities_of_all_images_of_three_by_three_pixels_sum_to_one(kind: str) -> None:
    result = model(kind).double().log_prob(all_images().double())
    assert (result.kind, result.space) == ("exact", "binary")
    assert float(result.value.exp().sum()) == pytest.approx(1, abs=1e-12)
    assert float(result.value.exp().max()) < 0.9, "the model is not trivial"


@pytest.mark.parametrize("kind", KINDS)
def test_drawing_agrees_with_the_density(kind: str) -> None:
    net, n = model(kind), 20_000
    p = net.log_prob(all_images()).value.double().exp()
    x = net.decode(net.prior(ImageRng(0, range(n))))
    place = ((x.flatten(1) > 0).long() * 2 ** torch.arange(8, -1, -1)).sum(1)
    counts = torch.bincount(place, minlength=512).double()
    often = p * n >= 5
    observed = torch.cat([counts[often], counts[~often].sum()[None]])
    expected = n * torch.cat([p[often], p[~often].sum()[None]])
    chi_square = float(((observed - expected) ** 2 / expected.clamp(min=1e-9)).sum())
    freedom = len(expected) - 1
    assert freedom > 20
    assert chi_square < freedom + 4 * (2 * freedom) ** 0.5


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("likelihood", ["bernoulli", "categorical", "logistic-mixture"])
@pytest.mark.parametrize("shape", [(1, 4, 3), (3, 2, 2)], ids=["grey", "colour"])
def test_drawing_with_caches_gives_the_quantiles_of_full_passes(kind: str, likelihood: str, shape: tuple[int, int, int]) -> None:
    net = model(kind, shape, likelihood).double()
    u = torch.rand(6, shape[1], shape[2] * shape[0], dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    levels = net.net.draw(u, net.likelihood.quantile)
    outputs = net.net(levels).flatten(1, 2)
    for place in range(prod(shape)):
        expected = net.likelihood.quantile(outputs[:, place], u.flatten(1)[:, place])
        assert torch.equal(levels.flatten(1)[:, place], expected)


@pytest.mark.parametrize("kind", KINDS)
def test_the_channels_of_a_pixel_follow_each_other(kind: str) -> None:
    net = model(kind, (3, 2, 2), "categorical")
    x = from_uint8(torch.randint(0, 256, (2, 3, 2, 2), dtype=torch.uint8, generator=torch.Generator().manual_seed(3)))
    levels = net.observed(x, ImageRng(0, range(2)))
    assert levels[0, 1].tolist() == [round(float(value + 1) * 127.5) for value in x[0, :, 1].T.flatten()]
    drawn = net.decode(net.prior(ImageRng(0, range(2))))
    assert torch.equal(
        net.observed(drawn, ImageRng(0, range(2))),
        net.net.draw(torch.special.ndtr(net.prior(ImageRng(0, range(2))).permute(0, 2, 3, 1).flatten(2).double()), net.likelihood.quantile),
    )


def test_log_prob_of_binary_images_needs_no_random_numbers_and_grey_ones_are_drawn_by_their_row() -> None:
    net, binary = model("pixelcnn"), all_images()[:5]
    values = [net.log_prob(binary, rng=rng).value for rng in (None, ImageRng(7, range(5)))]
    assert torch.equal(*values)
    grey = 0.3 * binary
    one, other = (net.log_prob(grey, rng=ImageRng(7, rows)).value for rows in (range(5), range(5)))
    assert torch.equal(one, other)
    drawn = net.observed(grey.expand(5, 1, 3, 3), ImageRng(1, range(5)))
    assert not torch.equal(drawn, net.observed(grey, ImageRng(2, range(5))))


@pytest.mark.parametrize("likelihood", [Bernoulli(), Categorical(), LogisticMixture(3)], ids=["bernoulli", "categorical", "mixture"])
def test_masses_sum_to_one_and_quantiles_have_these_masses(likelihood: Levels) -> None:
    outputs = 2 * torch.randn(4, likelihood.outputs, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    levels = torch.arange(likelihood.count)
    masses = likelihood.log_mass(outputs[:, None].expand(-1, likelihood.count, -1), levels.expand(4, -1)).exp()
    torch.testing.assert_close(masses.sum(1), torch.ones(4, dtype=torch.float64))
    u = (torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000
    for row in range(4):
        found = likelihood.quantile(outputs[row].expand(len(u), -1), u)
        assert bool((found.diff() >= 0).all())
        shares = torch.bincount(found, minlength=likelihood.count).double() / len(u)
        torch.testing.assert_close(shares, masses[row], rtol=0, atol=1.1e-5)
    ends = torch.tensor([0.0, 1.0], dtype=torch.float64)
    assert bool((likelihood.quantile(outputs[:2], ends) < likelihood.count).all())


def test_the_mixture_of_logistics_is_the_difference_of_its_distribution_function_at_the_ends_of_a_level() -> None:
    likelihood = LogisticMixture(2)
    outputs = torch.randn(1, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    weights, means, scales = likelihood._parts(outputs)

    def below(x: float) -> float:
        return float((weights.softmax(1) * ((x - means) / scales).sigmoid()).sum())

    for level in (0, 1, 100, 254, 255):
        centre = level / 127.5 - 1
        low = 0.0 if level == 0 else below(centre - 1 / 255)
        high = 1.0 if level == 255 else below(centre + 1 / 255)
        assert float(likelihood.log_mass(outputs, torch.tensor([level])).exp()) == pytest.approx(high - low, rel=1e-9)


def test_the_loss_is_the_mean_of_log_prob_in_nats_per_value() -> None:
    net = model("pixelcnn", (1, 4, 4), "categorical")
    x = from_uint8(torch.randint(0, 256, (6, 1, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(3)))
    loss = net.loss(Batch(x=x, labels=None, index=torch.arange(6)), StepRng(0, 0, 6))
    nats = -net.log_prob(x).value.mean()
    assert float(loss.value) == pytest.approx(float(nats) / 16, rel=1e-5)
    assert float(loss.logs["bits_per_dim"]) == pytest.approx(float(nats) / (16 * log(2)), rel=1e-5)


def test_configs_that_mean_nothing_are_refused() -> None:
    with pytest.raises(ConfigError, match="kernel must be odd, not 4"):
        PixelCNNConfig(kernel=4)
    with pytest.raises(ConfigError, match="heads must divide width"):
        PixelTransformerConfig(width=10, heads=4)
    with pytest.raises(ConfigError, match="shape must be"):
        AutoregressiveConfig(shape=(28, 28))
