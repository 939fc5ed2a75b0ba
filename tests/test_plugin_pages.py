"""The packages that docs/plugins.md and docs/parts.md write are what they say: their blocks are put into files, installed and used."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import zoo_core
from zoo_core.cli.pin import write_pins
from zoo_core.cli.recipes import first_preset
from zoo_core.data.dataset import load_data
from zoo_core.datasets import FolderConfig
from zoo_core.errors import CapabilityError
from zoo_core.evaluation.factory import make_metric
from zoo_core.evaluation.features import Gathered
from zoo_core.registry import Registry, registry, using
from zoo_core.rng import StepRng
from zoo_core.samplers import Heun, Latent
from zoo_core.specs import DatasetSpec, ModelSpec, RecipeSpec, TrainerSpec
from zoo_core.testing import checks_of, environment, installed, start_loop, write_checkpoint, write_plugin
from zoo_core.testing.gaussian_mixture import mixture
from zoo_core.training.fit import fit

DOCS = Path(__file__).parents[1] / "docs"


def files(page: str) -> dict[str, str]:
    """The blocks of a page that begin with the name of a file, by that name."""
    blocks = re.findall(r"^```\w+\n# (\S+\.\w+)\n(.*?)^```$", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL)
    return dict(blocks)


def write(folder: Path, page: str, dist: str) -> Path:
    package = dist.replace("-", "_")
    write_plugin(folder, dist, "", entry=f"{dist.removeprefix('zoo-')} = {package}.plugin")
    for name, text in {f"{package}/__init__.py": "", **files(page)}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def pixels(tmp_path: Path) -> Iterator[Registry]:
    with installed(write(tmp_path / "plugin", "plugins.md", "zoo-pixels"), names=["zoo-pixels"]) as found:
        assert not found.failures
        yield found


@pytest.fixture
def extras(tmp_path: Path) -> Iterator[Registry]:
    with installed(write(tmp_path / "plugin", "parts.md", "zoo-extras"), names=["zoo-extras"]) as found:
        assert not found.failures
        yield found


def conforms(module: str) -> int:
    """Runs the tests of a file that a page writes; returns how many there were."""
    path = next(Path(folder) / f"tests/{module}.py" for folder in sys.path if (Path(folder) / f"tests/{module}.py").exists())
    scope: dict[str, Any] = {}
    exec(compile(path.read_text(), str(path), "exec"), scope)  # noqa: S102  # a block of ours
    runs = [(test, param.values) for name, test in scope.items() if name.startswith("test_") for param in test.pytestmark[0].args[1]]
    for test, values in runs:
        test(*values)
    return len(runs)


def test_every_python_block_of_the_pages_is_a_file() -> None:
    for page in ("plugins.md", "parts.md"):
        named = [name for name in files(page) if name.endswith(".py")]
        assert len(named) == (DOCS / page).read_text().count("```python\n") > 5


# A family


def test_the_family_of_the_page_conforms(pixels: Registry) -> None:
    assert conforms("test_pixels") > 10


def test_the_family_of_the_page_is_trained_sampled_and_loaded(pixels: Registry, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for i in range(4):
        Image.new("RGB", (8, 8), (60 * i, 120, 200)).save(photos / f"{i}.png")
    recipe = import_module("zoo_pixels.recipes").QUICK
    small = replace(recipe, model=replace(recipe.model, image_size=8), data=FolderConfig(path=str(photos), size=8))
    exported = fit(replace(small, fit=replace(recipe.fit, steps=60, batch_size=4, sample_every=0)), tmp_path / "run")
    x = zoo_core.load(f"local:{exported}").sample(64, seed=0)
    assert x[:, 1].mean().item() == pytest.approx(120 / 127.5 - 1, abs=0.15)
    assert first_preset("pixels") == "quick"


def test_without_a_name_the_first_recipe_of_the_plugins_own_list_is_meant(tmp_path: Path) -> None:
    source = (
        "from zoo_core.hookspecs import hookimpl\nfrom zoo_core.specs import ModelSpec, RecipeSpec\n\n"
        "@hookimpl\ndef zoo_specs():\n"
        "    return [ModelSpec(name='mine'), *(RecipeSpec(name=name, family='mine') for name in 'cba')]\n"
    )
    with installed(write_plugin(tmp_path, "zoo-mine", source), names=["zoo-mine"]):
        assert first_preset("mine") == first_preset("zoo-mine:mine") == "c"


@pytest.mark.parametrize("target", ["zoo_pixels.adversarial:PixelsAgainstACritic", "zoo_pixels.relativistic:Relativistic"])
def test_the_generator_of_the_page_trains_against_its_critic(pixels: Registry, target: str) -> None:
    trainer = TrainerSpec(name="pixels", target=target, config="zoo_pixels.config:PixelsTrainerConfig")
    with changed(pixels, trainer):
        config = import_module("zoo_pixels.config").PixelsConfig(image_size=8)
        for check in checks_of("pixels", config=config):
            if check.name.startswith("trainer"):
                check()


def test_the_family_with_and_without_classes_conforms(pixels: Registry, tmp_path: Path) -> None:
    config = import_module("zoo_pixels.class_config").ClassPixelsConfig
    spec = registry().spec(ModelSpec, "pixels")
    target = {"target": "zoo_pixels.class_model:ClassPixels", "config": "zoo_pixels.class_config:ClassPixelsConfig"}
    with changed(pixels, replace(spec, capabilities=frozenset({"decode", "labels"}), **target)):
        for kind, able in ((config(image_size=8, num_classes=3), {"decode", "labels"}), (config(image_size=8), {"decode"})):
            for check in checks_of("pixels", config=kind, capabilities=able):
                if not check.name.startswith("trainer"):  # that of the page knows no classes
                    check()
        plain = write_checkpoint(
            tmp_path / "plain", import_module("zoo_pixels.class_model").ClassPixels(config(image_size=8)), config(image_size=8)
        )
        with pytest.raises(CapabilityError, match="trained without labels"):
            zoo_core.load(f"local:{plain}").sample(1, labels=0)


def test_weights_of_an_older_version_load_into_the_renamed_model(pixels: Registry, tmp_path: Path) -> None:
    model = import_module("zoo_pixels.model").Pixels(config := import_module("zoo_pixels.config").PixelsConfig(image_size=8))
    torch.nn.init.constant_(model.mean, 0.25)
    old = write_checkpoint(tmp_path / "old", model, config, Latent(temperature=0.0))
    with changed(pixels, replace(registry().spec(ModelSpec, "pixels"), target="zoo_pixels.renamed:RenamedPixels")):
        assert (zoo_core.load(f"local:{old}").sample(1) == 0.25).all()
        zoo_core.pull(f"local:{old}")
        new = write_checkpoint(tmp_path / "new", import_module("zoo_pixels.renamed").RenamedPixels(config), config, Latent(temperature=0.0))
        assert (zoo_core.load(f"local:{new}").sample(1) == 0).all()


def test_the_words_of_the_page_become_a_card_and_a_pinned_checkpoint(pixels: Registry, tmp_path: Path) -> None:
    config = import_module("zoo_pixels.config").PixelsConfig(image_size=8)
    package = Path(str(import_module("zoo_pixels").__file__)).parent
    folder = write_checkpoint(package / "model_cards/pixels-photos", import_module("zoo_pixels.model").Pixels(config), config)
    (folder / "training.json").write_text("{}")
    assert write_pins(package) == ["pixels-photos"]
    [found] = zoo_core.specs.checkpoints("zoo_pixels")
    assert (found.license, found.summary) == ("cc-by-4.0", "32x32 photographs, as a Gaussian for each pixel.")
    assert "300 photographs of our own" in (folder / "README.md").read_text()
    with changed(pixels, found):
        assert zoo_core.load("pixels-photos").sample(2).shape == (2, 3, 8, 8)


@contextmanager
def changed(found: Registry, spec: Any) -> Iterator[Registry]:
    """``found``, with that spec of zoo-pixels in the place of its own of that name, or besides, and without its recipe."""
    *others, plugin = found.plugins
    kept = [each for each in plugin.specs if (each.kind, each.key) != (spec.kind, spec.key) and not isinstance(each, RecipeSpec)]
    with using(Registry((*others, replace(plugin, specs=(*kept, spec))))) as registry:
        yield registry


@pytest.fixture
def diffusion(tmp_path: Path) -> Iterator[Registry]:
    folder = write(tmp_path / "plugin", "plugins.md", "zoo-my-diffusion")
    with installed(folder, names=["zoo-my-diffusion"]) as found:
        assert not found.failures
        yield found


def test_the_velocity_net_of_the_page_conforms_and_learns(diffusion: Registry) -> None:
    spec = registry().spec(ModelSpec, "my-diffusion")
    config = import_module("zoo_my_diffusion.config").MyDiffusionConfig(num_classes=2, width=32)
    with changed(diffusion, replace(spec, target="zoo_my_diffusion.flow:RectifiedFlow")):
        for check in checks_of("my-diffusion", config=config):
            check()
        recipe = replace(import_module("zoo_my_diffusion.recipes").MOONS, model=config)
        loop = start_loop(replace(recipe, fit=replace(recipe.fit, steps=150)))
        losses = []
        for _ in range(150):
            loop.advance()
            losses.append(loop.logs()["loss.model"])
        assert sum(losses[-20:]) < 0.8 * sum(losses[:20])


# Parts


def test_the_parts_of_the_page_conform(extras: Registry) -> None:
    assert conforms("test_extras") > 20


def test_the_sampler_of_the_page_is_of_order_2() -> None:
    """The error to a fine solution falls by four where the number of steps doubles; that to 0, which all share, is left out."""
    scope: dict[str, Any] = {"__name__": __name__}
    exec(files("parts.md")["zoo_extras/samplers.py"], scope)  # noqa: S102  # a block of ours
    sampler, model = scope["DPMSolver2"](), mixture()

    def end(steps: int, sampler: Any = sampler) -> torch.Tensor:
        x = model.start(StepRng(0, 0, 200), 20.0).double()
        levels = [20 * (0.2 / 20) ** (i / steps) for i in range(steps + 1)]
        return torch.as_tensor(sampler(model, StepRng(1, 0, 200), sigmas=levels, x=x))

    truth = end(800, Heun(clip=False))
    errors = [(end(steps) - truth).norm(dim=1).median().item() for steps in (20, 40, 80)]
    assert [errors[0] / errors[1], errors[1] / errors[2]] == pytest.approx([4, 4], rel=0.15)


def test_the_energy_distance_of_the_page_is_that_of_two_normals(extras: Registry) -> None:
    """In one dimension, E|X - Y| of N(0, 1) and N(d, 1) is 2 phi(d / sqrt 2) sqrt 2 + d (2 Phi(d / sqrt 2) - 1)."""
    from math import pi, sqrt

    from torch.distributions import Normal

    d, n = 2.0, 4000
    x, y = StepRng(0, 0, n).normal(1), d + StepRng(1, 0, n).normal(1)
    found = []
    for features in (x, y):
        found.append(Gathered(1))
        found[-1].add(features, None, torch.arange(n))
    u = torch.tensor(d / sqrt(2))
    between = sqrt(2) * 2 * Normal(0.0, 1.0).log_prob(u).exp().item() + d * (2 * Normal(0.0, 1.0).cdf(u).item() - 1)
    made: Any = make_metric("energy", {"most": n})
    assert made(*found).value == pytest.approx(2 * between - 2 * 2 / sqrt(pi), rel=0.05)


def test_the_data_set_of_the_page_lies_on_its_rings(extras: Registry) -> None:
    config = import_module("zoo_extras.config").RingsConfig(rings=3, count=600, noise=0.0)
    data = load_data(config)
    assert data.labels is not None
    torch.testing.assert_close(data.x.norm(dim=1), data.labels + 1.0)
    assert registry().spec(DatasetSpec, "rings").license == "cc0-1.0"


def test_the_command_line_lists_the_parts_and_measures_by_them(tmp_path: Path) -> None:
    folder = write(tmp_path / "plugin", "parts.md", "zoo-extras")
    env = {**environment(folder), "ZOO_PLUGINS": "zoo-extras"}
    for kind, name in (("samplers", "dpm-2"), ("schedulers", "even-time"), ("metrics", "energy"), ("datasets", "rings")):
        done = subprocess.run([sys.executable, "-m", "zoo_core.cli", "list", kind], env=env, capture_output=True, text=True, check=True)
        assert name in done.stdout


def test_the_command_of_the_page_prints_the_levels_of_a_checkpoint(tmp_path: Path) -> None:
    folder = write(tmp_path / "plugin", "parts.md", "zoo-extras")
    env = {**environment(folder), "ZOO_PLUGINS": "zoo-extras,zoo-ncsn-langevin"}
    words = [sys.executable, "-m", "zoo_core.cli", "noise-levels", "ncsn-gaussian-mixture", "--steps", "3"]
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=True)
    assert [float(line) for line in done.stdout.split()] == pytest.approx([200, 3.162, 0.05, 0], rel=1e-3)


def test_the_figure_of_the_page_is_drawn(tmp_path: Path) -> None:
    folder = write(tmp_path / "plugin", "parts.md", "zoo-extras")
    env = {**environment(folder), "ZOO_PLUGINS": "zoo-extras,zoo-ncsn-langevin"}
    words = [sys.executable, "-m", "zoo_core.cli", "figure", "ncsn-gaussian-mixture", "spread", "-n", "20", "--out", "spread.svg"]
    subprocess.run(words, env=env, capture_output=True, text=True, check=True, cwd=tmp_path)
    text = (tmp_path / "spread.svg").read_text()
    assert "ncsn-gaussian-mixture · spread · seed 0" in text
    assert '"n": "20"' in text.replace("&quot;", '"')
