"""Theorems about the vae family, on tiny nets."""

import itertools
import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from zoo_core.errors import ConfigError, UsageError
from zoo_core.rng import ImageRng, StepRng
from zoo_core.training.trainer import Batch
from zoo_vae import model as module
from zoo_vae.config import VAEConfig, VAETrainerConfig
from zoo_vae.likelihoods import bernoulli, discretised_logistic, gaussian, kl_to_standard_normal
from zoo_vae.model import VAE
from zoo_vae.recipes import LATENT_2D, MNIST
from zoo_vae.trainer import VAETrainer, kl_penalty

BINARY = VAEConfig(shape=(1, 6, 6), latent=3, hidden=(8,))
LEVELS = VAEConfig(shape=(2, 8, 8), net="conv", latent=3, width=4, likelihood="discretised-logistic")
POINTS = VAEConfig(shape=(5,), latent=2, hidden=(), likelihood="gaussian", scale="fixed", initial_scale=0.7)
CONFIGS = {"binary": BINARY, "levels": LEVELS, "points": POINTS}


def model(config: VAEConfig, seed: int = 0) -> VAE:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = VAE(config)
        for parameter in net.parameters():
            parameter.data.add_(0.1 * torch.randn_like(parameter))
    return net.eval().requires_grad_(False)


def images(net: VAE, n: int = 4) -> Tensor:
    return (0.5 * ImageRng(1, range(n)).normal(*net.event.shape)).clamp(-1, 1)


# The linear Gaussian model, whose posterior and evidence have closed forms


def linear(slack: float = 0.0) -> tuple[VAE, torch.distributions.MultivariateNormal]:
    """p(x | z) = N(W z + b, s^2 I) with the exact posterior as encoder, or with one too wide and shifted by ``slack``; and p(x).

    The columns of W are orthogonal, so that the posterior's covariance (I + W'W / s^2)^-1 is diagonal.
    """
    net = model(POINTS).double()
    s = POINTS.initial_scale
    w = torch.linalg.qr(torch.randn(5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))[0] * torch.tensor([1.5, 0.4])
    b = torch.linspace(-1, 1, 5, dtype=torch.float64)
    covariance = (torch.eye(2).double() + w.T @ w / s**2).inverse()
    to_mu = covariance @ w.T / s**2
    (layer,) = (each for each in net.encoder if isinstance(each, torch.nn.Linear))
    layer.weight.copy_(torch.cat([to_mu, torch.zeros_like(to_mu)]))
    layer.bias.copy_(torch.cat([-to_mu @ b + slack, covariance.diagonal().log() / 2 + slack]))
    net.decoder[0].weight.copy_(w)
    net.decoder[0].bias.copy_(b)
    return net, torch.distributions.MultivariateNormal(b, w @ w.T + s**2 * torch.eye(5).double())


def drawn(n: int) -> Tensor:
    return linear()[1].mean + 1.2 * torch.randn(n, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def test_with_the_exact_posterior_every_importance_weight_is_the_evidence() -> None:
    net, evidence = linear()
    x = drawn(6)
    for k in (2, 7, 50):
        torch.testing.assert_close(net.log_prob(x, rng=ImageRng(0, range(6)), k=k).value, evidence.log_prob(x))


def test_with_the_exact_posterior_the_elbo_is_the_evidence_on_average() -> None:
    net, evidence = linear()
    x = drawn(1)
    n = 5000
    values = net.log_prob(x.expand(n, 5), rng=ImageRng(0, range(n))).value
    assert values.mean().item() == pytest.approx(evidence.log_prob(x).item(), abs=5 * values.std().item() / n**0.5)


def test_with_a_worse_posterior_the_bounds_tighten_with_k_and_stay_below_the_evidence() -> None:
    net, evidence = linear(slack=0.5)
    x = drawn(1)
    n = 500
    truth = linear()[1].log_prob(drawn(1)).item()
    means = [net.log_prob(x.expand(n, 5), rng=ImageRng(0, range(n)), k=k).value.mean().item() for k in (1, 5, 40, 200)]
    assert means[0] < means[1] - 0.1 < means[2] < means[3] < truth
    assert truth - means[3] < 0.02
    mu, log_sigma = net.posterior(x)
    posterior = torch.distributions.Normal(mu, log_sigma.exp())
    exact = torch.distributions.Normal(mu - 0.5, (log_sigma - 0.5).exp())
    gap = torch.distributions.kl_divergence(posterior, exact).sum().item()
    assert means[0] == pytest.approx(truth - gap, abs=0.2)
    assert evidence.log_prob(x).item() == pytest.approx(truth)


# The bounds of any net


@pytest.mark.parametrize("name", CONFIGS)
def test_log_prob_is_the_bound_written_out(name: str) -> None:
    net = model(CONFIGS[name]).double()
    x = images(net).double()
    for k in (1, 3):
        rng = ImageRng(5, range(4))
        found = net.log_prob(x, rng=ImageRng(5, range(4)), k=k)
        observed = net.observed(x, rng)
        mu, log_sigma = net.posterior(x if name != "binary" else observed)
        q = torch.distributions.Normal(mu, log_sigma.exp())
        prior = torch.distributions.Normal(torch.zeros_like(mu), 1.0)
        ratios = []
        for eps in rng.normal(k, net.config.latent).double().unbind(1):
            z = mu + log_sigma.exp() * eps
            log_likelihood = net.log_likelihood(observed, z)
            ratios.append(log_likelihood + (prior.log_prob(z) - q.log_prob(z)).sum(1))
        expected = torch.stack(ratios).logsumexp(0) - math.log(k)
        if k == 1:
            expected = log_likelihood - torch.distributions.kl_divergence(q, prior).sum(1)
        torch.testing.assert_close(found.value, expected, rtol=1e-9, atol=1e-9)
        assert (found.kind, found.space) == ("lower_bound", {"binary": "binary", "levels": "uint8", "points": "continuous"}[name])


@pytest.mark.parametrize("scale", ["fixed", "learned", "predicted"])
@pytest.mark.parametrize("likelihood", ["bernoulli", "discretised-logistic", "gaussian"])
def test_the_likelihood_of_a_row_is_the_sum_over_its_values_under_the_decoders_parameters(likelihood: str, scale: str) -> None:
    net = model(replace(LEVELS, likelihood=likelihood, scale=scale, initial_scale=0.3))  # type: ignore[arg-type]
    x = images(net).sign()
    z = ImageRng(2, range(4)).normal(3)
    output = net.decoder(z)
    start = math.log(0.3)
    if likelihood == "bernoulli":
        values = bernoulli(x, output)
    else:
        log_scale = {"fixed": torch.tensor(start), "predicted": output[:, 2:] + start}.get(scale)
        if log_scale is None:
            log_scale = net.log_scale.view(1, 2, 1, 1)
            assert (net.log_scale - start).abs().max() < 0.5
        of = discretised_logistic if likelihood == "discretised-logistic" else gaussian
        values = of(x, output[:, :2], log_scale)
    torch.testing.assert_close(net.log_likelihood(x, z), values.sum((1, 2, 3)))


def test_neither_the_size_of_batches_nor_that_of_chunks_changes_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    for config, k in itertools.product(CONFIGS.values(), (1, 23)):
        net = model(config)
        x = images(net, 7)
        with monkeypatch.context() as patch:
            whole = net.log_prob(x, rng=ImageRng(3, range(7)), k=k).value
            for chunk in (1, 5, 16):
                patch.setattr(module, "CHUNK", chunk)
                torch.testing.assert_close(net.log_prob(x, rng=ImageRng(3, range(7)), k=k).value, whole)
            parts = [net.log_prob(x[i : i + 2], rng=ImageRng(3, range(7)[i : i + 2]), k=k).value for i in range(0, 7, 2)]
            torch.testing.assert_close(torch.cat(parts), whole)


def test_no_more_rows_than_a_chunk_go_through_a_net_or_are_drawn_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    net = model(BINARY)
    seen = []
    drawn = []

    class Watched(ImageRng):
        def normal(self, *shape: int) -> Tensor:
            drawn.append(len(self) * math.prod(shape[:-1]))
            return super().normal(*shape)

    for part in (net.encoder, net.decoder):
        part.register_forward_hook(lambda part, given, out: seen.append(len(out)))
    monkeypatch.setattr(module, "CHUNK", 10)
    for n, k in ((4, 30), (25, 3)):
        net.log_prob(images(net, n), rng=Watched(0, range(n)), k=k)
        assert max(drawn) <= max(n, 10)
    assert max(seen) <= 10


# Binary images


def test_a_row_of_a_seed_is_the_same_binary_image_for_every_k_and_in_every_batch() -> None:
    net = model(BINARY)
    x = images(net, 5)
    seen = []
    encoder = net.encoder.forward

    def watched(x: Tensor) -> Tensor:
        seen.append(x)
        return encoder(x)

    net.encoder.forward = watched  # type: ignore[method-assign]
    for rows, k in ((range(5), 1), (range(5), 9), (range(2, 4), 3)):
        net.log_prob(x[rows.start : rows.stop], rng=ImageRng(4, rows), k=k)
    assert torch.equal(seen[0], seen[1])
    assert torch.equal(seen[0][2:4], seen[2])
    assert seen[0].unique().tolist() == [-1, 1]
    net.log_prob(x, rng=ImageRng(5, range(5)))
    assert not torch.equal(seen[0], seen[3])


def test_grey_levels_are_the_probabilities_of_white_and_binary_images_stay() -> None:
    net = model(replace(BINARY, shape=(1, 1, 5)))
    n = 20_000
    x = torch.tensor([-1.0, -0.5, 0.0, 0.8, 1.0]).view(1, 1, 1, 5).expand(n, -1, -1, -1)
    white = (net.observed(x, StepRng(0, 0, n)) > 0).double().mean(0).flatten()
    assert (white[0], white[4]) == (0, 1)
    assert (white - torch.tensor([0, 0.25, 0.5, 0.9, 1])).abs().max() < 5 * 0.5 / n**0.5
    binary = torch.where(images(net, 50) > 0, 1.0, -1.0)
    assert torch.equal(net.observed(binary, ImageRng(0, range(50))), binary)


def test_the_mass_of_all_binary_images_is_one() -> None:
    net = model(VAEConfig(shape=(1, 2, 2), latent=1, hidden=(3,)))
    x = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=4))).view(16, 1, 2, 2)
    total = net.log_prob(x, rng=ImageRng(0, range(16)), k=4000).value.exp().sum().item()
    assert total == pytest.approx(1, abs=0.02)


# Latents


def test_decode_gives_the_mean_image_within_the_range() -> None:
    z = 20 * ImageRng(0, range(4)).normal(3)
    binary, levels = model(BINARY), model(LEVELS)
    torch.testing.assert_close(binary.decode(z), 2 * torch.sigmoid(binary.decoder(z)) - 1)
    torch.testing.assert_close(levels.decode(z), levels.decoder(z).clamp(-1, 1))
    assert levels.decoder(z).abs().max() > 1
    points = model(POINTS)
    assert points.event.range is None
    assert torch.equal(points.decode(z[:, :2]), points.decoder(z[:, :2]))


def test_encode_gives_the_mean_of_the_posterior() -> None:
    for config in CONFIGS.values():
        net = model(config)
        x = images(net)
        assert torch.equal(net.encode(x), net.encoder(x)[:, : config.latent])


# Training


@pytest.mark.parametrize("name", CONFIGS)
def test_the_loss_is_the_negative_elbo_and_the_logs_are_its_parts(name: str) -> None:
    net = model(CONFIGS[name])
    n = 8
    trainer = VAETrainer(net, VAETrainerConfig())
    batch = Batch(x=images(net, n), labels=None, index=torch.arange(n))
    loss = trainer("model", batch, ImageRng(0, range(n)))
    elbo = net.log_prob(batch.x, rng=ImageRng(0, range(n))).value.mean()
    torch.testing.assert_close(loss.value, -elbo)
    torch.testing.assert_close(loss.logs["elbo"], elbo)
    torch.testing.assert_close(loss.logs["reconstruction"] - loss.logs["kl"], elbo)
    x = net.observed(batch.x, ImageRng(0, range(n)))
    torch.testing.assert_close(loss.logs["kl"], kl_to_standard_normal(*net.posterior(x)).sum() / n)
    assert loss.logs.get("bits_per_dim", torch.nan) == (
        pytest.approx(-elbo.item() / (128 * math.log(2))) if name == "levels" else pytest.approx(math.nan, nan_ok=True)
    )


def test_beta_weighs_the_kl_and_free_bits_are_free() -> None:
    kl = torch.tensor([[0.1, 2.0, 0.0], [0.3, 4.0, 0.2]])
    assert kl_penalty(kl, 1.0, 0.0).item() == pytest.approx(0.2 + 3 + 0.1)
    assert kl_penalty(kl, 4.0, 0.0).item() == pytest.approx(4 * (0.2 + 3 + 0.1))
    assert kl_penalty(kl, 1.0, 0.5).item() == pytest.approx(0.5 + 3 + 0.5)
    assert kl_penalty(kl, 2.0, 0.15).item() == pytest.approx(2 * (0.2 + 3 + 0.15))


@pytest.mark.parametrize("settings", [VAETrainerConfig(beta=3.0), VAETrainerConfig(beta=0.5, free_bits=0.4)])
def test_the_trainers_loss_is_weighted_and_its_logs_are_not(settings: VAETrainerConfig) -> None:
    net = model(BINARY)
    n = 8
    net.encoder[-1].bias[0] = 1.0  # one dimension has more KL than is free, the others have less
    batch = Batch(x=images(net, n), labels=None, index=torch.arange(n))
    loss, plain = (VAETrainer(net, each)("model", batch, StepRng(0, 0, n)) for each in (settings, VAETrainerConfig()))
    assert loss.logs == plain.logs
    kl = kl_to_standard_normal(*net.posterior(net.observed(batch.x, StepRng(0, 0, n)))).mean(0)
    weighted = settings.beta * sum(max(settings.free_bits, each) for each in kl.tolist())
    assert loss.value.item() == pytest.approx(weighted - plain.logs["reconstruction"].item())
    assert kl.min() < 0.4 < kl.max()


@pytest.mark.parametrize("scale", ["fixed", "learned", "predicted"])
@pytest.mark.parametrize("name", CONFIGS)
def test_every_parameter_gets_a_gradient(name: str, scale: str) -> None:
    net = model(replace(CONFIGS[name], scale=scale, activation="silu")).requires_grad_(True)  # type: ignore[arg-type]
    n = 16
    batch = Batch(x=images(net, n), labels=None, index=torch.arange(n))
    VAETrainer(net, VAETrainerConfig())("model", batch, StepRng(0, 0, n)).value.backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in net.parameters())


# Configs and calls that are refused


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"latent": 0}, "latent"),
        ({"hidden": (400, 0)}, "hidden"),
        ({"net": "conv", "shape": (1, 30, 30)}, "halves 2 times"),
        ({"net": "conv", "shape": (2,)}, "channels, side, side"),
        ({"net": "conv", "multipliers": ()}, "multipliers"),
        ({"initial_scale": 0.0}, "initial_scale"),
        ({"shape": ()}, "shape"),
    ],
)
def test_a_config_out_of_range_is_refused_by_name(wrong: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        VAEConfig(**wrong)  # type: ignore[arg-type]


def test_a_bound_without_random_numbers_or_draws_is_refused() -> None:
    net = model(BINARY)
    with pytest.raises(UsageError, match="pass rng="):
        net.log_prob(images(net))
    with pytest.raises(UsageError, match="at least 1"):
        net.log_prob(images(net), rng=ImageRng(0, range(4)), k=0)


def test_the_recipe_of_digits_is_a_perceptron_of_one_hidden_layer_and_that_of_the_plane_one_of_three() -> None:
    shapes = {}
    for name, recipe in {"mnist": MNIST, "latent-2d": LATENT_2D}.items():
        assert isinstance(recipe.model, VAEConfig)
        with torch.device("meta"):
            net = VAE(recipe.model)
        shapes[name] = [tuple(parameter.shape) for key, parameter in net.named_parameters() if key.endswith("weight")]
    assert shapes["mnist"] == [(400, 784), (80, 400), (400, 40), (784, 400)]
    assert shapes["latent-2d"] == [(256, 784), (128, 256), (64, 128), (4, 64), (64, 2), (128, 64), (256, 128), (784, 256)]
