"""Models with conditions: samples are of the posterior, guidance is between with and without, and cascades draw their conditions."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

import zoo_core
from zoo_core.errors import CapabilityError, UsageError
from zoo_core.evaluation.measurement import count_evaluations, model_facts
from zoo_core.pretrained import Pretrained
from zoo_core.registry.reference import stages_of
from zoo_core.samplers import Heun
from zoo_core.testing import fake_zoo, write_checkpoint
from zoo_core.testing.fake import FakeConditional, FakeDenoiser
from zoo_core.testing.fake_config import FakeConditionalConfig, FakeDenoiserConfig

SHAPE = (3, 8, 8)


@pytest.fixture(autouse=True)
def _fakes() -> Iterator[None]:
    with fake_zoo():
        yield


def conditional(folder: Path, **options: object) -> Path:
    config = FakeConditionalConfig(**options)  # type: ignore[arg-type]  # options of the test
    return write_checkpoint(folder, FakeConditional(config), config, Heun(steps=20))


@pytest.fixture
def points(tmp_path: Path) -> Pretrained:
    return zoo_core.load(conditional(tmp_path / "points", std=0.5, tau=0.25))


def posterior(condition: Tensor, std: float = 0.5, tau: float = 0.25) -> tuple[Tensor, float]:
    """The mean and the standard deviation of x_0 ~ N(0, std^2) given condition = x_0 + tau n, by Bayes' rule."""
    precision = std**-2 + tau**-2
    return condition / tau**2 / precision, precision**-0.5


def test_samples_given_a_condition_are_those_of_the_posterior(points: Pretrained) -> None:
    condition = torch.tensor([0.8, -0.4])
    x = points.sample(4000, condition=condition[None], steps=40)
    mean, deviation = posterior(condition)
    assert (x.mean(0) - mean).abs().max() < 5 * deviation / 4000**0.5 + 0.005  # and the error of 40 steps
    assert (x.std(0) / deviation - 1).abs().max() < 0.06
    free = points.sample(4000, steps=40)
    assert (free.std(0) / 0.5 - 1).abs().max() < 0.06


def test_each_sample_has_its_own_condition_whatever_the_batch_size(points: Pretrained) -> None:
    condition = torch.randn(7, 2, generator=torch.Generator().manual_seed(1))
    x = points.sample(condition=condition)
    assert x.shape == (7, 2)
    assert torch.allclose(x, points.sample(condition=condition, batch_size=2), atol=1e-6)
    assert torch.allclose(x[3:5], points.sample(condition=condition[3:5], first=3), atol=1e-6)
    deterministic = {"sampler": "heun", "steps": 40}
    moved = points.sample(condition=condition + 0.5, **deterministic) - points.sample(condition=condition, **deterministic)
    assert torch.allclose(moved, posterior(torch.full((7, 2), 0.5))[0], atol=2e-3)  # the same noise around another mean


def test_guidance_goes_beyond_the_condition_away_from_the_unconditional_estimate(points: Pretrained) -> None:
    condition = torch.full((64, 2), 0.5)
    plain = points.sample(condition=condition)
    assert torch.equal(points.sample(condition=condition, guidance=1.0), plain)
    zero = points.sample(condition=condition, guidance=0.0)
    assert torch.allclose(zero, points.sample(64), atol=1e-5)
    assert points.sample(condition=condition, guidance=3.0).mean() > plain.mean() + 0.05
    with pytest.raises(UsageError, match="guidance needs a condition"):
        points.sample(2, guidance=2.0)


def test_examples_are_the_conditions_where_none_are_given(tmp_path: Path) -> None:
    model = zoo_core.load(conditional(tmp_path / "examples", examples=3))
    examples = model.model.example_conditions
    assert isinstance(examples, Tensor)
    given = examples[torch.arange(2, 7) % 3]
    assert torch.allclose(model.sample(5, first=2), model.sample(5, first=2, condition=given), atol=1e-6)


def test_inpainting_keeps_the_known_part_and_the_condition(points: Pretrained) -> None:
    condition = torch.full((200, 2), 0.5)
    known = torch.full((200, 2), 0.3)
    x = points.inpaint(known, torch.tensor([True, False]), condition=condition, sampler="heun", steps=20)
    assert bool((x[:, 0] == 0.3).all())
    assert abs(x[:, 1].mean() - posterior(torch.tensor(0.5))[0]) < 0.06


def test_wrong_conditions_are_refused_in_a_line(points: Pretrained, tmp_path: Path) -> None:
    for wrong, said in (
        (torch.zeros(1, 3), r"condition must have the shape \(n, 2\)"),
        (torch.zeros(3, 2), "condition has 3 rows for 2 samples"),
        (torch.full((2, 2), torch.nan), "condition must be finite"),
        ([[0.0, 0.0]], "condition must be a tensor, not list"),
    ):
        with pytest.raises(UsageError, match=said):
            points.sample(2, condition=wrong)  # type: ignore[arg-type]  # wrong on purpose
    config = FakeDenoiserConfig()
    plain = zoo_core.load(write_checkpoint(tmp_path / "plain", FakeDenoiser(config), config, Heun(steps=4)))
    with pytest.raises(CapabilityError, match="plain cannot take a condition: its family takes no conditions"):
        plain.sample(2, condition=torch.zeros(2, 2))


@pytest.fixture
def stages(tmp_path: Path) -> str:
    """A cascade of images: Gaussian ones, and those that they are noisy observations of."""
    config = FakeDenoiserConfig(shape=SHAPE, bounded=True, std=0.3)
    first = write_checkpoint(tmp_path / "small", FakeDenoiser(config), config, Heun(steps=5))
    return f"local:{first}+local:{conditional(tmp_path / 'large', shape=SHAPE, bounded=True)}"


def test_a_cascade_draws_image_i_with_image_i_of_its_first_stage(stages: str) -> None:
    model = zoo_core.load(stages)
    first, last = (zoo_core.load(stage) for stage in stages_of(stages))
    assert model.name == "small+large"
    assert torch.equal(
        model.sample(3, first=2, seed=5), last.sample(condition=first.sample(3, first=2, seed=5).clamp(-1, 1), first=2, seed=5)
    )
    facts = model_facts(model)
    assert facts["base"]["name"] == "small"
    assert facts["base"]["nfe"] == 9
    assert facts["base"]["weights"] == first.files.digest("model.safetensors")
    assert count_evaluations(model, model.sampler) == 39  # of the last stage: two a step of Heun's method, one in the last


def test_stages_that_do_not_fit_are_refused(stages: str, tmp_path: Path) -> None:
    first, last = stages_of(stages)
    with pytest.raises(CapabilityError, match=r"small cannot follow .* in a cascade: its family takes no conditions"):
        zoo_core.load(f"{last}+{first}")
    with pytest.raises(UsageError, match=r"draws samples of the shape \(3, 8, 8\), and the conditions of points have \(2,\)"):
        zoo_core.load(f"{first}+local:{conditional(tmp_path / 'points')}")
    with pytest.raises(UsageError, match="is not a cascade"):
        zoo_core.load(f"{first}+")


def test_a_folder_whose_name_has_a_plus_is_a_folder(tmp_path: Path) -> None:
    folder = conditional(tmp_path / "a+b")
    assert zoo_core.load(f"local:{folder}").name == "a+b"


def test_prompts_are_conditions_that_the_model_computes(points: Pretrained, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CapabilityError, match="points cannot take prompts: it is not conditioned on texts"):
        points.sample(1, prompts="a")
    made = {"a": torch.tensor([0.5, 0.0]), "b": torch.tensor([-0.5, 1.0])}
    monkeypatch.setattr(
        FakeConditional, "prompt_conditions", lambda model, texts: torch.stack([made[text] for text in texts]), raising=False
    )
    expected = points.sample(condition=torch.stack([made["b"], made["a"]]), seed=3, guidance=2.0)
    assert torch.equal(points.sample(prompts=["b", "a"], seed=3, guidance=2.0), expected)
    assert torch.equal(points.sample(2, prompts="a", seed=3), points.sample(2, condition=made["a"][None], seed=3))
    with pytest.raises(UsageError, match="prompts and condition are both given"):
        points.sample(1, prompts="a", condition=made["a"][None])
    for wrong in ([], [1]):
        with pytest.raises(UsageError, match="prompts must be a text, or a list of them"):
            points.sample(1, prompts=wrong)  # type: ignore[arg-type]  # what the test is about
    with pytest.raises(UsageError, match="condition has 2 rows for 3 samples"):
        points.sample(3, prompts=["a", "b"])
