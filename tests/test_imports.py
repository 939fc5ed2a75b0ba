"""Nothing heavy until it is needed, and every module says what is public in it."""

import ast
import inspect
import json
import pkgutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import zoo_core
from zoo_core.testing import environment, write_fake_plugin

HEAVY_IMPORTS = (
    "PIL",
    "cryptography",
    "einops",
    "huggingface_hub",
    "matplotlib",
    "numpy",
    "safetensors",
    "timm",
    "torch",
    "torchvision",
    "yaml",
)
# Modules that may import torch and numpy; every other module of zoo_core is light.
HEAVY_MODULES = (
    "zoo_core.checkpoint.build",
    "zoo_core.data.cache",
    "zoo_core.data.captioned",
    "zoo_core.data.dataset",
    "zoo_core.data.loaders",
    "zoo_core.data.readers",
    "zoo_core.data.stored",
    "zoo_core.data.table_loaders",
    "zoo_core.data.text",
    "zoo_core.data.vocabularies",
    "zoo_core.density",
    "zoo_core.distributed",
    "zoo_core.evaluation",
    "zoo_core.figures.densities",
    "zoo_core.figures.inpainting",
    "zoo_core.figures.dynamics",
    "zoo_core.figures.latents",
    "zoo_core.figures.levels",
    "zoo_core.figures.neighbours",
    "zoo_core.figures.process",
    "zoo_core.figures.scores",
    "zoo_core.figures.trajectories",
    "zoo_core.figures.unmasking",
    "zoo_core.images",
    "zoo_core.models.denoising",
    "zoo_core.models.text",
    "zoo_core.models.transformer",
    "zoo_core.models.critics",
    "zoo_core.models.convolutional",
    "zoo_core.models.residual",
    "zoo_core.models.spectral",
    "zoo_core.models.unet",
    "zoo_core.pretrained",
    "zoo_core.rng",
    "zoo_core.testing.capability_checks",
    "zoo_core.testing.checkpoints",
    "zoo_core.testing.checks",
    "zoo_core.testing.command_checks",
    "zoo_core.testing.conformance",
    "zoo_core.testing.fake",
    "zoo_core.testing.metric_checks",
    "zoo_core.testing.tested_part",
    "zoo_core.testing.sampler_checks",
    "zoo_core.testing.scheduler_checks",
    "zoo_core.testing.tested_family",
    "zoo_core.testing.text_checks",
    "zoo_core.testing.trainer_checks",
    "zoo_core.testing.training",
    "zoo_core.training",
)
MODULES = sorted(info.name for info in pkgutil.walk_packages(zoo_core.__path__, "zoo_core.") if not info.name.endswith("__main__"))
LIGHT = [name for name in ["zoo_core", *MODULES] if not name.startswith(HEAVY_MODULES)]


def heavy_after(source: str, **environ: str) -> list[str]:
    """The heavy modules that a fresh process holds after running ``source``."""
    source += f"\nimport json, sys; print(json.dumps([name for name in {HEAVY_IMPORTS!r} if name in sys.modules]))"
    env = {**environment(), "ZOO_PLUGINS": "", **environ}
    done = subprocess.run([sys.executable, "-c", source], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("module", LIGHT)
def test_a_light_module_imports_nothing_heavy(module: str) -> None:
    assert heavy_after(f"import {module}") == []


def test_the_modules_that_architecture_calls_light_are_light() -> None:
    names = "errors specs hookspecs registry config interfaces recipes datasets schedulers samplers cards hub cli"
    assert {"zoo_core", *(f"zoo_core.{name}" for name in names.split())} <= set(LIGHT)


def test_a_torch_import_would_be_seen() -> None:
    assert "torch" in heavy_after("import zoo_core.rng")


def test_finding_and_listing_plugins_imports_nothing_heavy(tmp_path: Path) -> None:
    source = (
        "from zoo_core.registry import registry\n"
        "from zoo_core.specs import KINDS\n"
        "assert 'fake' in registry().claims('family')\n"
        "for kind in KINDS: [str(claim.spec) for claims in registry().claims(kind).values() for claim in claims]\n"
    )
    where = environment(write_fake_plugin(tmp_path))
    assert heavy_after(source, ZOO_PLUGINS="zoo-fake", PYTHONPATH=where["PYTHONPATH"]) == []


def test_listing_imports_neither_the_hub_nor_what_reads_checkpoints() -> None:
    """Each module costs a millisecond of a command that takes a tenth of a second."""
    source = "import zoo_core.cli.list, sys; print([name for name in sys.modules if name.startswith('zoo_core.')])"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert not {f"zoo_core.{name}" for name in ("hub", "checkpoint", "cards", "config")} & set(ast.literal_eval(done.stdout))


def test_a_recipe_is_read_and_refused_before_anything_heavy_is_imported(tmp_path: Path) -> None:
    source = (
        "from zoo_core.config import apply_overrides\n"
        "from zoo_core.errors import ConfigError\n"
        "from zoo_core.recipes import Recipe\n"
        "from zoo_core.testing.fake_config import NOISE\n"
        "plain = NOISE.to_dict()\n"
        "for bad in ('fit.stesp=1', 'fit.steps=true', 'model.mean=NaN', 'model.shape=[1000000000]', 'model.scheduler=os.system'):\n"
        "    try: Recipe.from_dict(apply_overrides(plain, [bad]))\n"
        "    except ConfigError: continue\n"
        "    raise SystemExit(bad)\n"
        "assert Recipe.from_dict(plain) == NOISE\n"
    )
    where = environment(write_fake_plugin(tmp_path))
    assert heavy_after(source, ZOO_PLUGINS="zoo-fake", PYTHONPATH=where["PYTHONPATH"]) == []


@pytest.mark.parametrize("name", MODULES)
def test_all_names_what_is_public(name: str) -> None:
    module = import_module(name)
    public = getattr(module, "__all__", None)
    own = {
        key
        for key, value in vars(module).items()
        if not key.startswith("_") and (inspect.isclass(value) or inspect.isfunction(value)) and value.__module__ == name
    }
    if public is None:
        assert not own or name.startswith("zoo_core.cli"), f"{name} has no __all__"
        return
    assert len(set(public)) == len(public)
    for key in public:
        assert hasattr(module, key), f"__all__ of {name} names {key}, which is not there"
    assert own <= set(public), f"__all__ of {name} leaves out {sorted(own - set(public))}"


@pytest.mark.parametrize("package", [zoo_core, import_module("zoo_core.testing")], ids=lambda package: package.__name__)
def test_what_a_lazy_package_promises_is_there(package: object) -> None:
    for name in package.__all__:  # type: ignore[attr-defined]
        assert getattr(package, name) is not None
        assert name in dir(package)
    with pytest.raises(AttributeError, match="no attribute 'nothing_like_that'"):
        _ = package.nothing_like_that  # type: ignore[attr-defined]
