"""Theorems about fitting: closed forms, EM and Lloyd's steps are scikit-learn's, and runs resume to the bit."""

import warnings
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn import decomposition
from sklearn.cluster import KMeans as Clusters
from sklearn.mixture import GaussianMixture as Mixture
from torch import Tensor

from zoo_classical.config import (
    GaussianMixtureConfig,
    GaussianMixtureTrainerConfig,
    KMeansConfig,
    KMeansTrainerConfig,
    PCAConfig,
    PCATrainerConfig,
)
from zoo_classical.model import PCA, GaussianMixture, KMeans
from zoo_classical.trainer import GaussianMixtureTrainer, KMeansTrainer, PCATrainer
from zoo_core.datasets import GaussianMixtureConfig as PointsConfig
from zoo_core.errors import ConfigError, ZooError
from zoo_core.recipes import EMAConfig, FitConfig, OptimizerConfig, Recipe
from zoo_core.rng import StepRng
from zoo_core.testing import assert_resumes, fake_zoo, start_loop
from zoo_core.testing.fake_config import FakeDataConfig
from zoo_core.training.trainer import Batch, Trainer

POINTS = PointsConfig(weights=(0.2, 0.8), means=((-3.0, 0.0, 1.0), (2.0, 1.0, 0.0)), std=0.7, count=600)
FIT = FitConfig(steps=6, batch_size=200, ema=None, save_every=3, sample_every=0, log_every=1)
RECIPES = {
    "pca": Recipe(model=PCAConfig(shape=(3,), components=1), trainer=PCATrainerConfig(), fit=FIT, data=POINTS),
    "gmm": Recipe(model=GaussianMixtureConfig(shape=(3,), components=3), trainer=GaussianMixtureTrainerConfig(), fit=FIT, data=POINTS),
    "subspace": Recipe(
        model=GaussianMixtureConfig(shape=(1, 4, 4), components=2, subspace=3),
        trainer=GaussianMixtureTrainerConfig(floor=1e-3),
        fit=replace(FIT, batch_size=64),
        data=FakeDataConfig(shape=(1, 4, 4), count=64),
    ),
    "lloyd": Recipe(model=KMeansConfig(shape=(3,), clusters=4), trainer=KMeansTrainerConfig(), fit=FIT, data=POINTS),
    "mini-batch": Recipe(model=KMeansConfig(shape=(3,), clusters=4), trainer=KMeansTrainerConfig(memory=1.0), fit=FIT, data=POINTS),
}


@pytest.fixture(autouse=True, scope="module")
def _zoo() -> Iterator[None]:
    with fake_zoo("zoo-classical"):
        yield


def cloud(n: int = 500, d: int = 4) -> Tensor:
    x = torch.randn(n, d, generator=torch.Generator().manual_seed(0))
    return x * torch.tensor([3.0, 1.5, 0.7, 0.4])[:d] + torch.where(torch.arange(n) % 3 == 0, 4.0, 0.0)[:, None]


def batch(x: Tensor) -> Batch:
    return Batch(x=x, labels=None, index=torch.arange(len(x)))


def step(trainer: Trainer, x: Tensor, number: int = 0) -> float:
    with torch.no_grad():
        return float(trainer("fit", batch(x), StepRng(0, number, len(x))).value)


def prepared(trainer: Any, x: Tensor) -> Any:
    with torch.no_grad():
        trainer.prepare(batch(x), StepRng(0, 0, len(x)))
    return trainer


# Principal components


def test_one_batch_gives_the_closed_form_of_scikit_learn() -> None:
    x = cloud()
    net = PCA(PCAConfig(shape=(4,), components=2))
    loss = step(PCATrainer(net, PCATrainerConfig()), x)
    expected = decomposition.PCA(2).fit(x.double().numpy())
    unbiased = len(x) / (len(x) - 1)  # scikit-learn's variances; the likelihood is largest with means over n
    np.testing.assert_allclose(net.variances.numpy() * unbiased, expected.explained_variance_, rtol=1e-4)
    np.testing.assert_allclose(float(net.noise) * unbiased, expected.noise_variance_, rtol=1e-4)
    np.testing.assert_allclose(net.project(x), expected.inverse_transform(expected.transform(x.double().numpy())), atol=1e-3)
    assert loss == pytest.approx(-expected.score(x.double().numpy()), abs=1e-4)


def test_no_other_weights_are_more_likely() -> None:
    x = cloud()
    net = PCA(PCAConfig(shape=(4,), components=2))
    best = step(PCATrainer(net, PCATrainerConfig()), x)
    for name, parameter in net.named_parameters():
        kept = parameter.clone()
        for seed in range(4):
            noise = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed))
            parameter.copy_(kept + 0.02 * noise)
            assert float(-net.log_density(x).mean()) > best - 1e-6, name
        parameter.copy_(kept)


def test_batches_keep_mean_and_total_variance_exact_and_the_axes_nearly() -> None:
    x = cloud(900)
    whole, parts = (PCA(PCAConfig(shape=(4,), components=2)) for _ in range(2))
    step(PCATrainer(whole, PCATrainerConfig()), x)
    trainer = PCATrainer(parts, PCATrainerConfig())
    for number, rows in enumerate(x.split(300)):
        step(trainer, rows, number)
    torch.testing.assert_close(parts.mean, whole.mean, rtol=1e-4, atol=1e-5)
    total = [net.variances.sum() + 2 * net.noise for net in (parts, whole)]
    torch.testing.assert_close(*total, rtol=1e-4, atol=1e-5)
    assert float((parts.axes.T @ whole.axes).abs().diagonal().min()) > 0.99


# Expectation maximisation


def test_the_likelihood_of_em_never_falls_and_is_that_of_scikit_learn() -> None:
    x, steps = cloud(600, 2), 25
    net = GaussianMixture(GaussianMixtureConfig(shape=(2,), components=3))
    trainer = prepared(GaussianMixtureTrainer(net, GaussianMixtureTrainerConfig()), x)
    roots = net.roots.double().tril()
    start = {
        "weights_init": (net.weights.double() / net.weights.double().sum()).numpy(),
        "means_init": net.means.double().numpy(),
        "precisions_init": torch.linalg.inv(roots @ roots.transpose(1, 2)).numpy(),
    }
    losses = [step(trainer, x, number) for number in range(steps)]
    assert all(later <= before + 1e-6 for before, later in pairwise(losses))
    assert losses[-1] < losses[0] - 0.01
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = Mixture(3, max_iter=steps, tol=0.0, reg_covar=1e-6, **start).fit(x.double().numpy())
    np.testing.assert_allclose(-np.array(losses), expected.lower_bounds_, atol=1e-5)
    np.testing.assert_allclose(net.log_density(x), expected.score_samples(x.double().numpy()), atol=1e-3)


def test_em_finds_the_weights_of_a_mixture_of_two() -> None:
    loop = start_loop(replace(RECIPES["gmm"], model=GaussianMixtureConfig(shape=(3,), components=2), fit=replace(FIT, batch_size=600)))
    for _ in range(20):
        loop.advance()
    found = loop.published.get_parameter("weights").sort().values
    assert found.tolist() == pytest.approx([0.2, 0.8], abs=3 * (0.2 * 0.8 / 600) ** 0.5)


# Centres


def test_steps_of_lloyd_never_raise_the_loss_and_are_those_of_scikit_learn() -> None:
    x, steps = cloud(600, 2), 12
    net = KMeans(KMeansConfig(shape=(2,), clusters=5))
    trainer = prepared(KMeansTrainer(net, KMeansTrainerConfig()), x)
    rows = {tuple(row) for row in x.tolist()}
    assert all(tuple(centre) in rows for centre in net.centres.tolist()), "k-means++ begins with samples"
    start = net.centres.double().numpy().copy()
    losses = [step(trainer, x, number) for number in range(steps)]
    assert all(later <= before for before, later in pairwise(losses))
    expected = Clusters(5, init=start, n_init=1, max_iter=steps, tol=0.0, algorithm="lloyd").fit(x.double().numpy())
    np.testing.assert_allclose(net.centres, expected.cluster_centers_, atol=1e-4)
    np.testing.assert_allclose(net.weights.sum(), 1.0, rtol=1e-6)


def test_with_memory_a_centre_is_the_mean_of_all_rows_that_it_ever_got() -> None:
    net = KMeans(KMeansConfig(shape=(1,), clusters=2))
    trainer = KMeansTrainer(net, KMeansTrainerConfig(memory=1.0))
    net.centres.copy_(torch.tensor([[0.0], [10.0]]))
    step(trainer, torch.tensor([[1.0], [9.0], [8.0]]))
    step(trainer, torch.tensor([[2.0], [13.0]]), 1)
    assert net.centres.flatten().tolist() == [1.5, 10.0]
    assert net.weights.tolist() == pytest.approx([0.4, 0.6])


def test_a_centre_without_rows_stays() -> None:
    net = KMeans(KMeansConfig(shape=(1,), clusters=2))
    net.centres.copy_(torch.tensor([[0.0], [100.0]]))
    step(KMeansTrainer(net, KMeansTrainerConfig()), torch.tensor([[1.0], [3.0]]))
    assert net.centres.flatten().tolist() == [2.0, 100.0]


# Runs


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_a_run_that_was_stopped_and_resumed_ends_with_the_same_weights_to_the_bit(tmp_path: Path, name: str) -> None:
    state = assert_resumes(RECIPES[name], tmp_path, after=2)
    assert not any(part.startswith("optimizer") for part in state)


def test_accumulation_changes_nothing_since_a_step_is_of_the_whole_batch() -> None:
    losses = []
    for accumulate in (1, 4):
        loop = start_loop(replace(RECIPES["gmm"], fit=replace(FIT, accumulate=accumulate)))
        loop.advance()
        losses.append((loop.logs(), loop.published.state_dict()))
    assert losses[0][0] == losses[1][0]
    assert all(torch.equal(value, losses[1][1][name]) for name, value in losses[0][1].items())


@pytest.mark.parametrize("name", ["pca", "gmm", "lloyd"])
def test_data_that_is_not_finite_is_refused_in_one_line(name: str) -> None:
    loop = start_loop(RECIPES[name])
    begin = step if name == "pca" else prepared
    with pytest.raises(ZooError, match=r"scikit-learn cannot fit this batch: .*NaN"):
        begin(loop.trainer, torch.full((50, 3), torch.nan))


def test_a_covariance_that_is_singular_is_refused_with_the_floor_as_the_next_step() -> None:
    trainer = GaussianMixtureTrainer(GaussianMixture(GaussianMixtureConfig(components=2)), GaussianMixtureTrainerConfig(floor=0.0))
    x = torch.tensor([[0.0, 0.0], [0.0, 0.0], [1.0, 1.0], [1.0, 1.0]])
    with pytest.raises(ZooError, match=r"cannot fit this batch.* -- .*trainer\.floor"):
        prepared(trainer, x)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ema": EMAConfig()}, r"fit\.ema: no optimizer trains the model.* -- pass -o fit\.ema=null"),
        ({"optimizers": {"fit": OptimizerConfig()}}, r"fit\.optimizers\.fit: this phase has no optimizer"),
        ({"batch_size": 2}, "a batch of 2 rows cannot give 3 Gaussians -- --batch-size 3 is the least"),
    ],
)
def test_options_that_mean_nothing_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        start_loop(replace(RECIPES["gmm"], fit=replace(FIT, **changes)))
