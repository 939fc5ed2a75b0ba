"""A small plugin on which tests make faults, ``zoo`` in this process, and a browser for the tests of pages."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tools.browser import chromium
from zoo_core.cli import main
from zoo_core.testing import write_plugin

# The family ``dot`` with all that it takes to be trained, a data set, and something of every other kind.
PLUGIN = """
from zoo_core.hookspecs import hookimpl
from zoo_core.specs import *

@hookimpl
def zoo_specs():
    return [
        ModelSpec(name='dot', target='zoo_faulty_model:Dot', config='zoo_faulty_config:DotConfig', trainer='dot', sampler='latent',
                  capabilities={'decode'}),
        TrainerSpec(name='dot', target='zoo_faulty_model:DotTrainer', config='zoo_faulty_config:DotTrainerConfig'),
        DatasetSpec(name='dots', target='zoo_faulty_model:dots', config='zoo_faulty_config:DotsConfig'),
        SamplerSpec(name='cold', target='zoo_core.samplers:Latent', requires='decode', defaults={'temperature': 0.5}),
        SchedulerSpec(name='steep', target='zoo_core.schedulers:Karras', defaults={'rho': 9.0}),
        MetricSpec(name='distance', target='zoo_core.evaluation.feature_metrics:FrechetDistance', requires='features'),
        CommandSpec(name='dotted', target='zoo_core.cli.list:list_'),
        RecipeSpec(name='tiny', family='dot', target='zoo_faulty_config:TINY'),
    ]
"""
CONFIG = """
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Literal, Mapping
from zoo_core.interfaces import DatasetConfig, ModelConfig, TrainerConfig
from zoo_core.recipes import FitConfig, OptimizerConfig, Recipe
from zoo_core.samplers import Latent

class Colour(Enum):
    RED = 1

@dataclass(frozen=True, kw_only=True, slots=True)
class DotConfig(ModelConfig):
    size: int = 2

    def __post_init__(self):
        pass

@dataclass(frozen=True, kw_only=True, slots=True)
class DotTrainerConfig(TrainerConfig):
    weight: float = 1.0

@dataclass(frozen=True, kw_only=True, slots=True)
class DotsConfig(DatasetConfig):
    path: str = ''

TINY = Recipe(model=DotConfig(), trainer=DotTrainerConfig(), fit=FitConfig(steps=2, batch_size=4, ema=None), data=DotsConfig(),
              sampler=Latent())
"""
MODEL = """
import torch
from torch import nn
from zoo_core.interfaces import Event
from zoo_core.data.dataset import Data
from zoo_core.training.trainer import Loss, Trainer

class Dot(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.event = Event(shape=(config.size,))
        self.mean = nn.Parameter(torch.zeros(config.size))

    def prior(self, rng):
        return rng.normal(*self.event.shape)

    def decode(self, z, labels=None):
        return self.mean + z

class DotTrainer(Trainer):
    def forward(self, phase, batch, rng):
        return Loss(value=(batch.x - self.model.mean).square().mean())

def dots(config):
    return Data(x=torch.randn(16, 2))

from zoo_core.evaluation.metrics import Metric

class Soft(Metric):
    def __call__(self, real, drawn):
        return None
"""
MODULES = {"zoo_faulty": PLUGIN, "zoo_faulty_config": CONFIG, "zoo_faulty_model": MODEL}


def _write_dots(folder: Path, old: str = "", new: str = "", *, name: str = "zoo-faulty") -> Path:
    """Writes the plugin as the distribution ``name``, with ``new`` in the place of ``old``, which stands in it once; the folder."""
    assert not old or sum(text.count(old) for text in MODULES.values()) == 1, old
    module = name.replace("-", "_")
    for part, text in MODULES.items():
        text, part = (word.replace("zoo_faulty", module) for word in (text.replace(old, new) if old else text, part))
        if part == module:
            write_plugin(folder, name, text)
        else:
            (folder / f"{part}.py").write_text(text)
    return folder


@pytest.fixture
def write_dots() -> Callable[..., Path]:
    """``write_dots(folder, old, new, name="zoo-faulty")`` writes that plugin with ``new`` for ``old``, and gives the folder."""
    return _write_dots


class Result(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def zoo(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., Result]]:
    """Runs ``zoo`` in this process, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def run(*arguments: object) -> Result:
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return Result(int(exit_.value.code or 0), printed.out, printed.err)

    yield run
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    path = chromium()
    if path is None:
        pytest.skip("needs a Chromium: `python -m tools.browser` installs one")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()
