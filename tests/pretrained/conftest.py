"""Checkpoints of the fake families, loaded. Tests that use them put the fake plugin in place."""

from pathlib import Path

import pytest

import zoo_core
from zoo_core.pretrained import Pretrained
from zoo_core.samplers import Ancestral
from zoo_core.testing import write_checkpoint
from zoo_core.testing.fake import Fake, FakeDenoiser
from zoo_core.testing.fake_config import FakeConfig, FakeDenoiserConfig


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "flow", Fake(FakeConfig()), FakeConfig())


@pytest.fixture
def flow(folder: Path) -> Pretrained:
    return zoo_core.load(f"local:{folder}")


@pytest.fixture
def denoiser(tmp_path: Path) -> Pretrained:
    config = FakeDenoiserConfig(classes=3)
    return zoo_core.load(f"local:{write_checkpoint(tmp_path / 'denoiser', FakeDenoiser(config), config, Ancestral(steps=10))}")
