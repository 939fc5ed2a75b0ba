"""Theorems about the Transformer of texts: probabilities that sum to one, drawing that agrees with them, and runs that resume."""

import itertools
from pathlib import Path

import pytest
import torch

from zoo_autoregressive.config import TextTransformerConfig
from zoo_autoregressive.text import TextTransformer
from zoo_core.data.dataset import Batch
from zoo_core.data.text_sets import TextConfig
from zoo_core.errors import ConfigError
from zoo_core.recipes import EMAConfig, FitConfig, Recipe
from zoo_core.rng import ImageRng, StepRng
from zoo_core.samplers import Latent
from zoo_core.testing import assert_resumes
from zoo_core.vocabulary import Vocabulary

CONFIG = TextTransformerConfig(vocabulary=Vocabulary(tokens=("a", "b", "c")), length=4, layers=2, width=8, heads=2)
ALL = torch.tensor(list(itertools.product(range(3), repeat=4)))  # the 81 texts


def net() -> TextTransformer:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = TextTransformer(CONFIG)
        for parameter in model.parameters():
            parameter.data += 0.4 * torch.randn(parameter.shape)
    return model.eval().requires_grad_(False)


def test_probabilities_of_all_texts_sum_to_one_and_are_the_loss() -> None:
    result = net().double().log_prob(ALL)
    assert (result.kind, result.space) == ("exact", "categorical")
    assert float(result.value.exp().sum()) == pytest.approx(1, abs=1e-12)
    loss = net().loss(Batch(x=ALL, labels=None, index=torch.arange(81)), StepRng(0, 0, 81))
    assert float(loss.value) == pytest.approx(-float(result.value.mean()) / 4, rel=1e-5)


def test_drawing_agrees_with_the_density() -> None:
    model, n = net(), 10_000
    p = model.log_prob(ALL).value.double().exp()
    x = model.decode(model.prior(ImageRng(0, range(n))))
    counts = torch.bincount((x * torch.tensor([27, 9, 3, 1])).sum(1), minlength=81).double()
    often = p * n >= 5
    observed = torch.cat([counts[often], counts[~often].sum()[None]])
    expected = n * torch.cat([p[often], p[~often].sum()[None]])
    chi_square = float(((observed - expected) ** 2 / expected.clamp(min=1e-9)).sum())
    freedom = len(expected) - 1
    assert freedom > 20
    assert chi_square < freedom + 4 * (2 * freedom) ** 0.5


def test_a_run_resumes_to_the_bit_with_the_vocabulary_of_its_text(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("abcab\ncba " * 60)
    data = TextConfig(path=str(tmp_path / "text.txt"), length=4, stride=1, vocabulary=Vocabulary(tokens=("\n", " ", "a", "b", "c")))
    model = TextTransformerConfig(vocabulary=data.vocabulary, length=4, layers=1, width=8, heads=2)
    fit = FitConfig(steps=6, batch_size=4, ema=EMAConfig(), save_every=3, sample_every=0)
    assert_resumes(Recipe(model=model, fit=fit, data=data, sampler=Latent()), tmp_path, after=3)


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ConfigError, match="heads must divide width"):
        TextTransformerConfig(width=10, heads=4)
