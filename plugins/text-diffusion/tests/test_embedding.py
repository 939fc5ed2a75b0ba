"""Theorems about diffusion on embeddings: rounding, learning, and every sampler of denoisers."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import zoo_core
from zoo_core.data.dataset import Batch
from zoo_core.errors import ConfigError
from zoo_core.pretrained import Pretrained
from zoo_core.registry import registry
from zoo_core.rng import ImageRng, StepRng
from zoo_core.samplers import Ancestral
from zoo_core.specs import SamplerSpec
from zoo_core.testing import fake_zoo, write_checkpoint
from zoo_core.vocabulary import Vocabulary
from zoo_text_diffusion.config import EmbeddingDiffusionConfig
from zoo_text_diffusion.embedding import EmbeddingDiffusion

LETTERS = Vocabulary(tokens=tuple("abcdefg"))
CONFIG = EmbeddingDiffusionConfig(vocabulary=LETTERS, length=4, layers=1, width=16, heads=2, hidden=16, kernel=3, size=8)
SAMPLERS = ("ancestral", "ddim", "dpmpp-2m", "dpmpp-2m-sde", "euler", "heun", "langevin", "lms", "predictor-corrector", "unipc")


@pytest.fixture(autouse=True, scope="module")
def _zoo() -> Iterator[None]:
    with fake_zoo("zoo-text-diffusion"):
        yield


def net() -> EmbeddingDiffusion:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return EmbeddingDiffusion(CONFIG)


@pytest.fixture
def loaded(tmp_path: Path) -> Pretrained:
    return zoo_core.load(write_checkpoint(tmp_path, net().eval(), CONFIG, Ancestral(steps=4)))


def test_every_token_is_the_nearest_to_its_own_embedding_and_to_points_around_it() -> None:
    model = net()
    x = torch.arange(7).repeat(4, 1).T  # each token at all places
    z = model.encode(x)
    assert torch.equal(model.decode(z), x)
    apart = torch.cdist(model.embeddings(), model.embeddings()).fill_diagonal_(torch.inf).min()
    push = torch.nn.functional.normalize(torch.randn(z.shape, generator=torch.Generator().manual_seed(0)), dim=-1)
    assert torch.equal(model.decode(z + 0.49 * float(apart.detach()) * push), x)
    torch.testing.assert_close(z.square().mean(-1), torch.ones(7, 4))


def test_the_names_are_those_of_all_samplers_of_denoisers() -> None:
    specs = [claims[0].spec for claims in registry().claims(SamplerSpec).values()]
    assert {spec.name for spec in specs if isinstance(spec, SamplerSpec) and spec.requires == "denoise"} == set(SAMPLERS)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_of_denoisers_draws_texts(loaded: Pretrained, sampler: str) -> None:
    x = loaded.sample(3, sampler=sampler, steps=4)
    assert (x.dtype, x.shape) == (torch.int64, (3, 4))
    assert torch.equal(loaded.sample(1, sampler=sampler, steps=4, first=2), x[2:])
    assert all(len(text) == 4 for text in loaded.show(x))


def test_given_letters_stay(loaded: Pretrained) -> None:
    x = loaded.read(["abcd", "gfed"])
    known = torch.tensor([True, False, False, True])
    filled = loaded.inpaint(x, known, steps=4, times=2)
    assert torch.equal(filled[:, known], x[:, known])


def test_learning_finds_the_only_text() -> None:
    """The data is one text: every sample is that text after some training."""
    model = net()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    x = model.read(["bead"]).expand(16, -1)
    for step in range(120):
        loss = model.loss(Batch(x=x, labels=None, index=torch.arange(16)), StepRng(0, step, 16))
        optimizer.zero_grad()
        loss.value.backward()
        optimizer.step()
    with torch.no_grad():
        z = Ancestral(steps=10)(model.latent, ImageRng(0, range(8)))
    assert model.show(model.decode(z)).count("bead") >= 7


def test_noise_levels_must_grow() -> None:
    with pytest.raises(ConfigError, match="sigma_min"):
        EmbeddingDiffusionConfig(sigma_min=2.0, sigma_max=1.0)
