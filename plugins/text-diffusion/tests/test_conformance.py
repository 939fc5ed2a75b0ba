"""The families of text diffusion pass zoo_core's conformance checks, and runs resume to the bit."""

from pathlib import Path

from zoo_core.data.text_sets import TextConfig
from zoo_core.recipes import EMAConfig, FitConfig, Recipe
from zoo_core.samplers import Ancestral, Unmask
from zoo_core.testing import assert_resumes, parametrize_checks
from zoo_core.testing.conformance import Check
from zoo_core.vocabulary import Vocabulary
from zoo_text_diffusion.config import EmbeddingDiffusionConfig, MaskDiffusionConfig

LETTERS = Vocabulary(tokens=("\n", " ", "a", "b", "z"))
MASK = MaskDiffusionConfig(vocabulary=LETTERS, length=6, layers=2, width=8, heads=2, hidden=8, kernel=3)
EMBEDDING = EmbeddingDiffusionConfig(vocabulary=LETTERS, length=6, layers=1, width=8, heads=2, hidden=8, kernel=3, size=6)
FIT = FitConfig(steps=6, batch_size=4, ema=EMAConfig(), save_every=3, sample_every=0)


@parametrize_checks("mask-diffusion", config=MASK)
def test_masked_diffusion_conforms(check: Check) -> None:
    check()


@parametrize_checks("embedding-diffusion", config=EMBEDDING)
def test_diffusion_on_embeddings_conforms(check: Check) -> None:
    check()


def text_in(folder: Path) -> TextConfig:
    (folder / "text.txt").write_text("a zab\nba zza baza\n" * 30)
    return TextConfig(path=str(folder / "text.txt"), length=6, stride=1)


def test_a_run_of_masked_diffusion_resumes_to_the_bit(tmp_path: Path) -> None:
    assert_resumes(Recipe(model=MASK, fit=FIT, data=text_in(tmp_path), sampler=Unmask(steps=3)), tmp_path, after=3)


def test_a_run_of_diffusion_on_embeddings_resumes_to_the_bit(tmp_path: Path) -> None:
    assert_resumes(Recipe(model=EMBEDDING, fit=FIT, data=text_in(tmp_path), sampler=Ancestral(steps=3)), tmp_path, after=3)
