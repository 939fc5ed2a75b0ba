"""Theorems about the classical models: their densities are those of closed forms, and latents lead back to samples."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from zoo_classical.config import GaussianMixtureConfig, KMeansConfig, PCAConfig
from zoo_classical.model import PCA, GaussianMixture, KMeans
from zoo_core.density.transforms import LEVEL
from zoo_core.errors import ConfigError
from zoo_core.images import from_uint8
from zoo_core.rng import ImageRng


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def fill(net: torch.nn.Module, seed: int = 0) -> None:
    for i, parameter in enumerate(net.parameters()):
        parameter.add_(0.3 * noise(*parameter.shape, seed=seed + i))


def pca(dims: int = 6, components: int = 3) -> PCA:
    net = PCA(PCAConfig(shape=(dims,), components=components))
    fill(net)
    return net


def mixture(components: int = 3, dims: int = 2, subspace: int | None = None) -> GaussianMixture:
    net = GaussianMixture(GaussianMixtureConfig(shape=(dims,), components=components, subspace=subspace))
    fill(net)
    net.weights.copy_(torch.arange(1, components + 1) / sum(range(components + 1)))
    if subspace is not None:
        net.axes.copy_(torch.linalg.qr(net.axes)[0])
    return net


def centres() -> KMeans:
    net = KMeans(KMeansConfig(shape=(2,), clusters=4))
    net.centres.copy_(torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 3.0], [3.0, 3.0]]))
    net.weights.copy_(torch.tensor([0.1, 0.2, 0.3, 0.4]))
    return net


def test_the_density_of_probabilistic_pca_is_that_of_its_gaussian() -> None:
    net, x = pca(), noise(20, 6, seed=9)
    covariance = net.loadings.double() @ net.loadings.double().T + net.noise.double() * torch.eye(6)
    expected = MultivariateNormal(net.mean.double(), covariance).log_prob(x.double())
    result = net.log_prob(x)
    assert (result.kind, result.space) == ("exact", "continuous")
    torch.testing.assert_close(result.value.double(), expected, rtol=1e-5, atol=1e-5)


def test_encode_is_the_mean_of_the_posterior_given_by_the_joint_gaussian() -> None:
    net, x = pca(), noise(5, 6, seed=9)
    w = net.loadings.double()
    gain = w.T @ torch.linalg.inv(w @ w.T + net.noise.double() * torch.eye(6))  # Cov(z, x) Cov(x)^-1
    torch.testing.assert_close(net.encode(x).double(), (x - net.mean).double() @ gain.T, rtol=1e-4, atol=1e-5)


def test_axes_and_variances_are_the_eigenvectors_and_eigenvalues_of_the_covariance() -> None:
    net = pca()
    covariance = net.loadings @ net.loadings.T + net.noise * torch.eye(6)
    torch.testing.assert_close(covariance @ net.axes, net.axes * net.variances, rtol=1e-4, atol=1e-5)
    assert bool((net.variances.diff() <= 0).all())
    assert torch.equal(net.axes.abs().amax(0), net.axes.amax(0))
    x = noise(4, 6)
    torch.testing.assert_close(net.project(net.project(x)), net.project(x), rtol=1e-4, atol=1e-5)


def test_the_density_of_a_mixture_is_the_weighted_sum_of_those_of_its_gaussians() -> None:
    net, x = mixture(), noise(30, 2, seed=9)
    roots = net.roots.double().tril()
    each = MultivariateNormal(net.means.double(), roots @ roots.transpose(1, 2)).log_prob(x.double()[:, None])
    expected = (each + net.weights.double().log()).logsumexp(1)
    torch.testing.assert_close(net.log_prob(x).value.double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("orthonormal", [True, False], ids=["orthonormal", "rounded"])
def test_the_density_of_a_mixture_in_a_subspace_is_that_of_its_gaussians_in_all_dimensions(orthonormal: bool) -> None:
    net, x = mixture(dims=5, subspace=2), noise(30, 5, seed=9)
    if not orthonormal:
        net.axes.add_(0.2 * noise(5, 2, seed=8))
    axes, roots, origin = net.axes.double(), net.roots.double().tril(), net.origin.double()
    across = torch.eye(5) - axes @ torch.linalg.inv(axes.T @ axes) @ axes.T
    inside = axes @ (roots @ roots.transpose(1, 2)) @ axes.T
    covariances = inside + (2 * net.log_noise.double()).exp() * across
    each = MultivariateNormal(origin + net.means.double() @ axes.T, covariances).log_prob(x.double()[:, None])
    expected = (each + net.weights.double().log()).logsumexp(1)
    torch.testing.assert_close(net.log_prob(x).value.double(), expected, rtol=1e-4, atol=1e-4)


def test_the_bound_on_the_mass_of_an_image_is_near_the_density_times_the_volume_of_its_level() -> None:
    net = PCA(PCAConfig(shape=(1, 2, 2), components=1))
    x = from_uint8(torch.tensor([[[[0, 100], [128, 255]]]], dtype=torch.uint8))
    bound = net.log_prob(x, rng=ImageRng(0, [0]), k=2000)
    assert (bound.kind, bound.space) == ("lower_bound", "uint8")
    expected = net.log_density(x) + 4 * math.log(LEVEL)
    torch.testing.assert_close(bound.value, expected, rtol=0, atol=1e-3)  # the density hardly changes over a level


def test_samples_of_a_mixture_have_its_weights_and_its_moments() -> None:
    net, n = mixture(), 20_000
    z = net.prior(ImageRng(0, range(n)))
    part = net._chosen(z[:, 0])
    x = net.decode(z)
    counts = torch.bincount(part, minlength=3).double()
    expected = n * net.weights.double()
    assert float(((counts - expected) ** 2 / expected).sum()) < 13.8  # 99.9 % of chi-square with 2 degrees of freedom
    for k in range(3):
        mine = x[part == k]
        spread = net.roots[k].tril() @ net.roots[k].tril().T
        error = 5 / math.sqrt(len(mine))
        assert float((mine.mean(0) - net.means[k]).abs().max()) < error * float(spread.diagonal().max().sqrt())
        assert float((mine.T.cov() - spread).abs().max()) < 1.5 * error * float(spread.abs().max())


def test_a_mixture_decodes_the_latents_of_a_sample_to_itself_or_to_its_projection() -> None:
    net, x = mixture(), noise(30, 2, seed=9)
    torch.testing.assert_close(net.decode(net.encode(x)), x, rtol=1e-4, atol=1e-5)
    net, x = mixture(dims=5, subspace=2), noise(30, 5, seed=9)
    nearest = net.origin + (x - net.origin) @ net.axes @ net.axes.T
    torch.testing.assert_close(net.decode(net.encode(x)), nearest, rtol=1e-4, atol=1e-5)


def test_centres_reconstruct_a_sample_as_the_nearest_and_are_drawn_by_their_weights() -> None:
    net = centres()
    x = torch.tensor([[0.1, 0.2], [2.8, 0.4], [-1.0, 9.0], [2.0, 2.0]])
    assert net.assign(x).tolist() == [0, 1, 2, 3]
    assert torch.equal(net.decode(net.encode(x)), net.centres)
    n = 10_000
    drawn = torch.bincount(net.assign(net.decode(net.prior(ImageRng(0, range(n))))), minlength=4).double()
    assert float(((drawn - n * net.weights) ** 2 / (n * net.weights)).sum()) < 16.3  # 99.9 %, 3 degrees of freedom


def test_a_centre_of_no_weight_is_reconstructed_all_the_same() -> None:
    net = centres()
    net.weights.copy_(torch.tensor([0.0, 0.5, 0.5, 0.0]))
    assert torch.equal(net.decode(net.encode(net.centres)), net.centres)


@pytest.mark.parametrize("name", ["encode", "log_prob", "decode"])
def test_densities_and_latents_are_computed_on_a_device_without_float64(name: str, without_float64: Callable[[], None]) -> None:
    nets: list[PCA | GaussianMixture] = [pca(), mixture(), mixture(dims=5, subspace=2)]
    without_float64()
    for net in nets:
        argument = net.prior(ImageRng(0, range(3))) if name == "decode" else noise(3, *net.shape)
        result = getattr(net, name)(argument)
        assert (result.value if name == "log_prob" else result).isfinite().all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PCAConfig(shape=(2,), components=2), "components must be less than the 2 dimensions"),
        (lambda: PCAConfig(shape=(2, 2)), "shape must be"),
        (lambda: GaussianMixtureConfig(shape=(4,), subspace=4), "subspace must be less than the 4 dimensions"),
        (lambda: GaussianMixtureConfig(shape=(1, 784, 784)), "more than 1,000,000,000 numbers"),
        (lambda: KMeansConfig(clusters=0), "clusters must be"),
    ],
)
def test_configs_that_mean_nothing_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()
