"""The search for noise levels of few steps."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

import zoo_core
from zoo_core.cli.levels import levels
from zoo_core.errors import CapabilityError, UsageError
from zoo_core.evaluation.optimal_levels import optimise_levels
from zoo_core.pretrained import Pretrained
from zoo_core.samplers import Ancestral, DPMSolver2M, Latent, SDEDPMSolver2M
from zoo_core.testing import fake_zoo, write_checkpoint
from zoo_core.testing.fake import Fake, FakeDenoiser
from zoo_core.testing.fake_config import FakeConfig, FakeDenoiserConfig


@pytest.fixture(autouse=True)
def _zoo() -> Iterator[None]:
    with fake_zoo():
        yield


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    config = FakeDenoiserConfig(shape=(4,))
    return write_checkpoint(tmp_path / "denoiser", FakeDenoiser(config), config, Ancestral(steps=10))


@pytest.fixture
def model(folder: Path) -> Pretrained:
    return zoo_core.load(f"local:{folder}")


@pytest.mark.parametrize("sampler", [Ancestral(steps=4, eta=0.0), DPMSolver2M(steps=4)])
def test_the_levels_found_are_better_on_images_that_the_search_did_not_see(model: Pretrained, sampler: Ancestral) -> None:
    errors: list[float] = []
    found = optimise_levels(model, sampler, n=64, sigma_max=20.0, on_round=lambda done, error: errors.append(error))
    assert found.after < 0.75 * found.before
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] == pytest.approx(found.seen)
    chosen = found.scheduler.levels
    assert len(chosen) == 4
    assert chosen[0] == 20.0
    assert min(chosen) >= model.model.sigma_range[0]  # type: ignore[union-attr]
    ends = model.sample(64, first=64, sampler="heun", steps=400, scheduler={"name": "karras", "sigma_max": 20.0})
    error = (model.sample(64, first=64, sampler=sampler, scheduler=found.scheduler) - ends).square().mean(1).sqrt().mean()
    assert error == pytest.approx(found.after, abs=0.002)


@pytest.mark.parametrize("sampler", [Ancestral(steps=4), SDEDPMSolver2M(steps=4)])
def test_a_sampler_that_adds_noise_is_refused(model: Pretrained, sampler: Ancestral) -> None:
    with pytest.raises(UsageError, match="the sampler adds noise"):
        optimise_levels(model, sampler)


def test_a_single_step_and_a_decoder_are_refused(model: Pretrained, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least 2 steps"):
        optimise_levels(model, DPMSolver2M(steps=1))
    decoder = zoo_core.load(f"local:{write_checkpoint(tmp_path / 'flow', Fake(FakeConfig()), FakeConfig())}")
    with pytest.raises(CapabilityError):
        optimise_levels(decoder, Latent())


def test_the_command_prints_levels_that_zoo_sample_takes(folder: Path) -> None:
    words = [f"local:{folder}", "--steps", "3", "-n", "8", "--sigma-max", "20", "--rounds", "1", "--device", "cpu", "-o", "clip=false"]
    result = CliRunner().invoke(levels, [*words, "--json"], catch_exceptions=False)
    found = json.loads(result.stdout)
    assert found["error"]["levels"] <= found["error"]["karras"]
    text = CliRunner().invoke(levels, words, catch_exceptions=False).stdout
    chosen = json.dumps(found["scheduler"]["levels"], separators=(",", ":"))
    assert f"--sampler dpmpp-2m --steps 3 -o clip=false --scheduler levels -o scheduler.levels={chosen} --out" in text
