"""Names from other libraries lead to the right call, and printed objects are short."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import zoo_core
from zoo_core.cards.card import ModelCard
from zoo_core.errors import ConfigError, UnknownNameError, UsageError
from zoo_core.images import grid, save_png, to_pil
from zoo_core.interfaces import LogProb
from zoo_core.pretrained import Pretrained
from zoo_core.samplers import Ancestral
from zoo_core.samplers.factory import as_sampler, as_scheduler
from zoo_core.suggestions import LOAD, METHODS, MODULE
from zoo_core.testing import environment, fake_zoo, write_checkpoint
from zoo_core.testing.fake import Fake, FakeDenoiser
from zoo_core.testing.fake_config import FakeConfig, FakeDenoiserConfig


@pytest.fixture(autouse=True)
def fakes() -> Iterator[None]:
    with fake_zoo():
        yield


def write_named(folder: Path, classes: list[str]) -> str:
    """A flow of so many classes as have names."""
    config = FakeConfig(shape=(1, 4, 4), classes=len(classes), bounded=True)
    (write_checkpoint(folder, Fake(config), config) / "training.json").write_text(json.dumps({"data": {"classes": classes}}))
    return str(folder)


@pytest.fixture
def flow(tmp_path: Path) -> Pretrained:
    """Images of the classes Bag, Coat and Ankle boot."""
    return zoo_core.load(write_named(tmp_path / "flow", ["Bag", "Coat", "Ankle boot"]))


@pytest.fixture
def denoiser(tmp_path: Path) -> Pretrained:
    config = FakeDenoiserConfig(shape=(1, 4, 4), bounded=True)
    return zoo_core.load(write_checkpoint(tmp_path / "denoiser", FakeDenoiser(config), config, Ancestral(steps=10)))


# Attributes and keywords


@pytest.mark.parametrize(
    ("name", "hint"),
    [("list_models", r"zoo_core\.checkpoints"), ("from_pretrained", r"zoo_core\.load"), ("checkpoinst", "mean check")],
)
def test_the_module_leads_to_the_right_name(name: str, hint: str) -> None:
    with pytest.raises(AttributeError, match=f"module 'zoo_core' has no attribute '{name}' -- .*{hint}"):
        getattr(zoo_core, name)
    assert not hasattr(zoo_core, name)


@pytest.mark.parametrize(
    ("name", "hint"),
    [("parameters", r"\.model\.parameters"), ("save_pretrained", "publish"), ("smaple", "mean sample"), ("unet", r"\.model is")],
)
def test_a_loaded_model_and_its_class_lead_to_the_right_name(name: str, hint: str, flow: Pretrained) -> None:
    for owner in (flow, Pretrained):
        with pytest.raises(AttributeError, match=f"Pretrained has no attribute '{name}' -- .*{hint}"):
            getattr(owner, name)
        assert not hasattr(owner, name)


def test_an_attribute_that_is_missing_inside_a_property_is_named(flow: Pretrained) -> None:
    del flow.model.event
    with pytest.raises(AttributeError, match="'Fake' object has no attribute 'event'"):
        _ = flow.event


def test_no_table_leads_away_from_what_there_is(flow: Pretrained) -> None:
    assert not set(MODULE) & set(dir(zoo_core))
    assert not set(METHODS) & set(dir(flow))
    assert not set(LOAD) & {"reference", "device", "dtype"}


def test_load_leads_other_keywords_to_its_own(tmp_path: Path) -> None:
    for given, hint in (
        ({"torch_dtype": "float16"}, "dtype="),
        ({"devcie": "cpu"}, "did you mean device"),
        ({"revision": "x"}, "@REVISION"),
    ):
        with pytest.raises(UsageError, match=f"load takes no .* -- .*{hint}"):
            zoo_core.load(str(tmp_path), **given)  # type: ignore[arg-type]  # wrong


def test_a_model_is_in_eval_mode_and_moves_as_a_module_does(flow: Pretrained) -> None:
    assert flow.eval() is flow.cpu() is flow
    if not torch.cuda.is_available():
        with pytest.raises(UsageError, match="there is no device 'cuda' here -- use cpu"):
            flow.cuda()


@pytest.mark.parametrize("device", ["cudaa", "cuda:99", "meta", "", 5.5, torch.device("cuda:99")])
def test_a_device_that_is_not_here_is_told_which_are(device: Any, flow: Pretrained) -> None:
    with pytest.raises(UsageError, match=r"^there is no device .* here -- use cpu[a-z0-9: ]*$"):
        flow.to(device)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("DPMSolver2M", "dpmpp-2m"),
        ("DPM++ 2M", "dpmpp-2m"),
        ("ddpm", "ancestral"),
        ("DDIMScheduler", "ddim"),
        ("Euler", "euler"),
        ("pc", "predictor"),
    ],
)
def test_other_names_of_samplers_are_led_to_the_registered_ones(typed: str, meant: str) -> None:
    for choice in (typed, {"name": typed, "steps": 3}):
        with pytest.raises(ConfigError, match=f"unknown sampler .* -- did you mean {meant}"):
            as_sampler(choice)


def test_other_names_of_schedulers_are_led_to_the_registered_ones() -> None:
    with pytest.raises(ConfigError, match="did you mean karras"):
        as_scheduler("Karras")
    with pytest.raises(ConfigError, match="did you mean geometric"):
        as_scheduler("exponential")


# Classes by name, masks by name


def test_classes_go_by_name_in_any_case_of_letters(flow: Pretrained, tmp_path: Path, zoo: Callable[..., Any]) -> None:
    assert flow.classes == ("Bag", "Coat", "Ankle boot")
    assert torch.equal(flow.sample(2, labels=["Coat", "ankle boot"]), flow.sample(2, labels=[1, 2]))
    assert torch.equal(flow.sample(2, labels="Coat"), flow.sample(2, labels=1))
    with pytest.raises(UsageError, match=r"no class is called 'Cot' -- did you mean Coat\?"):
        flow.sample(2, labels="Cot")
    for labels in ("Coat,ankle boot", "1,Ankle boot"):
        assert zoo("sample", str(tmp_path / "flow"), "-n", "2", "--labels", labels, "--out", "x.png").code == 0
    assert "no class is called 'Cot' -- did you mean Coat?" in zoo("sample", str(tmp_path / "flow"), "--labels", "Bag,Cot").err


def test_two_names_that_differ_in_case_alone_are_told_apart(tmp_path: Path) -> None:
    model = zoo_core.load(write_named(tmp_path / "letters", ["a", "A"]))
    assert torch.equal(model.sample(1, labels="A"), model.sample(1, labels=1))


def test_a_class_without_a_name_has_a_number(tmp_path: Path) -> None:
    config = FakeConfig(classes=3)
    model = zoo_core.load(write_checkpoint(tmp_path / "plain", Fake(config), config))
    assert model.classes == ()
    with pytest.raises(UsageError, match="no class is called 'Bag' -- these classes have no names"):
        model.sample(1, labels="Bag")


def test_a_mask_goes_by_name_as_on_the_command_line(denoiser: Pretrained) -> None:
    x, left = torch.zeros(1, 1, 4, 4), torch.zeros(4, 4)
    left[:, :2] = 1
    assert torch.equal(denoiser.inpaint(x, "left", steps=2), denoiser.inpaint(x, left, steps=2))
    with pytest.raises(UsageError, match="mask must be a tensor or, for images, one of top, bottom, left"):
        denoiser.inpaint(x, "lfet")


# Looking up


def test_names_are_found_by_pattern_and_by_part(tmp_path: Path) -> None:
    assert zoo_core.names("samplers", "pred*") == ("predictor-corrector",)
    assert zoo_core.names("samplers", ["d??m", "HEUN"]) == ("ddim", "heun")
    assert zoo_core.names("schedulers", "arr") == ("karras",)
    assert zoo_core.names("metrics", "no-such*") == ()
    with pytest.raises(UnknownNameError, match=r"unknown kind 'sampler' -- did you mean sampler"):
        zoo_core.names("sampler")
    with pytest.raises(UsageError, match="filter must be a pattern"):
        zoo_core.names("samplers", 5)  # type: ignore[arg-type]  # wrong


def test_checkpoints_are_found_by_family_too() -> None:
    source = "import zoo_core as z; print(z.checkpoints('*moons'), z.checkpoints(family='wgan-gp'), z.checkpoints('cat', family='maf'))"
    done = subprocess.run([sys.executable, "-c", source], env=environment(), capture_output=True, text=True, check=True)
    assert done.stdout == "('gmm-moons', 'maf-moons', 'realnvp-moons') ('wgan-gp-fashion-mnist',) ()\n"
    with pytest.raises(UnknownNameError, match="unknown family 'nope'"):
        zoo_core.checkpoints(family="nope")


def test_a_pattern_is_no_reference() -> None:
    with pytest.raises(UsageError, match=r"'d\*' is not a checkpoint reference -- a pattern that matches no checkpoint; write one name"):
        zoo_core.load("d*")


def test_zoo_list_takes_patterns(zoo: Callable[..., Any]) -> None:
    listed = json.loads(zoo("list", "samplers", "ddi*", "heun", "--json").out)
    assert [each["name"] for each in listed] == ["ddim", "heun"]
    assert "no checkpoints match sampler -- did you mean samplers" in zoo("list", "sampler").err
    assert json.loads(zoo("list", "x*", "--json").out) == []
    assert "zoo list --remote --search cat" in zoo("list", "--remote", "cat").err


def test_python_m_zoo_core_is_zoo() -> None:
    done = subprocess.run([sys.executable, "-m", "zoo_core", "--version"], env=environment(), capture_output=True, text=True, check=True)
    assert done.stdout.startswith("zoo-core ")


# What is printed


def test_a_loaded_model_shows_what_it_is(flow: Pretrained, denoiser: Pretrained) -> None:
    shown = repr(flow)
    for part in (
        "family='fake'",
        "shape=(1, 4, 4)",
        "parameters=80",
        "sampler='latent: ",
        "device='cpu'",
        "classes='Bag, Coat, Ankle boot'",
    ):
        assert part in shown
    assert "\n" not in shown
    assert ">Bag, Coat, Ankle boot</td>" in flow._repr_html_()
    assert "sampler='ancestral: steps=10, eta=1.0" in repr(denoiser)


def test_info_and_cards_print_shortly(flow: Pretrained) -> None:
    facts = zoo_core.info(str(flow.files.reference))
    assert "parameters   80\n" in repr(facts)
    assert len(repr(facts)) < 1000
    assert json.loads(json.dumps(facts)) == facts
    assert repr(ModelCard({"license": "mit"}, "# Cats\n" + "x" * 5000)) == "ModelCard('Cats', license='mit', 5,007 characters)"


def test_log_probabilities_are_a_sequence_with_a_mean(flow: Pretrained) -> None:
    found = flow.log_prob(flow.sample(4, labels=0))
    assert (len(found), found.mean()) == (4, found.value.double().mean().item())
    assert [float(row) for row in found] == found.value.tolist()
    assert found[1:3].value.equal(found.value[1:3])
    with pytest.raises(UsageError, match="the log-probabilities of 4 rows"):
        float(found)
    assert LogProb(value=torch.ones(2), kind="estimate", stderr=torch.tensor([0.1, 0.2]))[1].stderr == torch.tensor(0.2)


def test_images_become_pictures_to_look_at(flow: Pretrained, tmp_path: Path) -> None:
    images = flow.sample(4)
    picture = to_pil(images, columns=2)
    assert picture.size == tuple(grid(images, 2).shape[:0:-1])
    assert to_pil(images[0], scale=1).size == tuple(grid(images[:1], scale=1).shape[:0:-1])
    save_png(str(tmp_path / "x.png"), images[0])
    assert (tmp_path / "x.png").stat().st_size > 0
