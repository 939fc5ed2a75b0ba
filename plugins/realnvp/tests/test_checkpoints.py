"""Theorems about the checkpoints of points: they are densities, and nearly as good as that of the data."""

import pytest
import torch

import zoo_core
from zoo_core.data.loaders import moons
from zoo_core.datasets import MoonsConfig
from zoo_core.pretrained import Pretrained

FLOOR = 0.290  # nats: the entropy of a point of two moons with noise 0.05


@pytest.fixture(params=["realnvp-moons", "maf-moons"], scope="module")
def flow(request: pytest.FixtureRequest) -> Pretrained:
    return zoo_core.load(request.param)


def test_the_density_integrates_to_one_and_is_a_number_everywhere(flow: Pretrained) -> None:
    cells = 400
    first, second = ((torch.arange(cells) + 0.5) / cells * 8 - 4 for _ in range(2))
    found = flow.log_prob(torch.cartesian_prod(first, second), batch_size=40_000).value.double()
    assert not found.isnan().any()
    assert (found.exp().sum() * (8 / cells) ** 2).item() == pytest.approx(1, abs=0.01)
    assert not flow.log_prob(1e3 * torch.randn(100, 2, generator=torch.Generator().manual_seed(0))).value.isnan().any()


def test_fresh_points_are_as_likely_as_their_entropy_allows(flow: Pretrained) -> None:
    points = moons(MoonsConfig(count=20_000, noise=0.05, seed=98765))
    found = -flow.log_prob(points.rows(torch.arange(20_000)), batch_size=20_000).value
    stderr = found.std().item() / 20_000**0.5
    assert FLOOR - 2 * stderr < found.mean().item() < FLOOR + 0.1


def test_samples_come_from_their_latents_and_go_back(flow: Pretrained) -> None:
    x = flow.sample(1000, seed=1)
    torch.testing.assert_close(flow.decode(flow.encode(x)), x, rtol=0, atol=1e-4)
