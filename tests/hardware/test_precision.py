"""``auto`` is bfloat16 where the hardware computes it, and float32 elsewhere. Hardware is faked: these pass on every machine."""

import json
import platform
import warnings
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from safetensors.torch import load_file
from torch import nn

from zoo_core.cli.group import zoo
from zoo_core.cli.progress import Progress
from zoo_core.cli.train import _Reports
from zoo_core.config import dump_json, load_json
from zoo_core.data.dataset import load_data
from zoo_core.distributed import Processes
from zoo_core.errors import IncompatibleCheckpoint, Interrupted
from zoo_core.hardware import precision
from zoo_core.hardware.precision import auto_precision, is_native, slowdown
from zoo_core.loading import load
from zoo_core.recipes import Recipe
from zoo_core.registry import registry, resolve
from zoo_core.specs import RecipeSpec
from zoo_core.testing import fake_zoo, write_checkpoint
from zoo_core.testing.fake import FakeDenoiser
from zoo_core.testing.fake_config import IMAGES, NOISE, FakeDenoiserConfig
from zoo_core.training.cost import estimate
from zoo_core.training.fit import Report, fit
from zoo_core.training.loop import Loop, build

AUTO = replace(NOISE, fit=replace(NOISE.fit, precision="auto"))
PRECISION = {True: "bf16", False: "no"}
Hardware = Callable[..., None]


@pytest.fixture(autouse=True)
def _zoo() -> Iterator[None]:
    with fake_zoo():
        yield


@pytest.fixture
def hardware(monkeypatch: pytest.MonkeyPatch) -> Hardware:
    """Fakes a machine that computes bfloat16, or one that emulates it and takes seven times as long."""

    def fake(*, native: bool, factor: float = 7.0) -> None:
        monkeypatch.setattr(precision, "is_native", lambda dtype, device="cpu": native or dtype == "float32")
        monkeypatch.setattr(precision, "slowdown", lambda dtype, device="cpu": factor)

    return fake


def with_precision(name: str, recipe: Recipe = NOISE) -> Recipe:
    return replace(recipe, fit=replace(recipe.fit, precision=name))  # type: ignore[arg-type]


def run_zoo(*arguments: str) -> Result:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        return CliRunner().invoke(zoo, arguments, catch_exceptions=False)


def messages(run: Callable[[], object]) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run()
    return [str(each.message) for each in caught]


# Kinds of hardware


@pytest.mark.parametrize(
    ("machine", "onednn", "flags", "native"),
    [
        ("x86_64", True, {"_is_avx512_bf16_supported"}, True),
        ("x86_64", True, {"_is_amx_tile_supported"}, True),
        ("x86_64", True, set(), False),  # oneDNN takes bfloat16 wherever there is AVX-512
        ("x86_64", False, {"_is_avx512_bf16_supported"}, False),  # ONEDNN_MAX_CPU_ISA=AVX2
        ("x86_64", None, set(), False),
        ("aarch64", True, set(), True),
        ("aarch64", False, set(), False),
        ("arm64", None, set(), False),  # torch for macOS has no oneDNN
    ],
)
def test_bfloat16_of_a_cpu_is_native_where_it_has_the_instructions_and_torch_uses_them(
    monkeypatch: pytest.MonkeyPatch, machine: str, onednn: bool | None, flags: set[str], native: bool
) -> None:
    class Ops:
        if onednn is not None:
            _is_mkldnn_bf16_supported = staticmethod(lambda: onednn)

    monkeypatch.setattr(torch.ops, "mkldnn", Ops)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda name=name: name in flags)
    assert (is_native("bfloat16"), auto_precision()) == (native, PRECISION[native])


@pytest.mark.parametrize(
    ("capability", "hip", "bfloat16", "float16"),
    [
        ((9, 0), None, True, True),
        ((8, 0), None, True, True),
        ((7, 5), None, False, True),
        ((6, 1), None, False, False),
        ((7, 0), "6", True, True),
    ],
)
def test_a_gpu_of_cuda_computes_bfloat16_from_capability_8_on(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], hip: str | None, bfloat16: bool, float16: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(torch.version, "hip", hip)
    assert (is_native("bfloat16", "cuda:1"), is_native("float16", "cuda:1")) == (bfloat16, float16)
    assert auto_precision("cuda:1") == PRECISION[bfloat16]


def test_auto_is_float32_on_mps_and_on_devices_that_nobody_measured() -> None:
    assert [auto_precision(device) for device in ("mps", "meta", "xpu")] == ["no"] * 3
    assert is_native("float16", "mps")
    assert is_native("float32", "mps")


def test_the_slowdown_is_that_of_autocast_here_and_moves_no_random_numbers() -> None:
    before = torch.get_rng_state()
    assert 0 < slowdown("bfloat16") < 1000
    assert torch.equal(torch.get_rng_state(), before)


# Recipes


def test_every_preset_that_is_narrow_leaves_the_choice_to_the_hardware() -> None:
    found = {claim.name: resolve(claim.spec.target).fit for claims in registry().claims(RecipeSpec).values() for claim in claims}  # type: ignore[union-attr]
    assert {fit.precision for fit in found.values()} <= {"auto", "no"}


@pytest.mark.parametrize("native", [True, False])
def test_auto_trains_as_the_precision_that_it_means(hardware: Hardware, tmp_path: Path, native: bool) -> None:
    hardware(native=native, factor=0.5)
    names = ("auto", PRECISION[native], PRECISION[not native])
    weights = [load_file(fit(with_precision(name, IMAGES), tmp_path / name) / "model.safetensors") for name in names]
    same = [all(torch.equal(weights[0][name], other[name]) for name in weights[0]) for other in weights[1:]]
    assert same == [True, False]


@pytest.mark.parametrize("native", [True, False])
def test_the_precision_that_was_chosen_stands_in_all_records(hardware: Hardware, tmp_path: Path, native: bool) -> None:
    hardware(native=native)
    reports: list[Report] = []
    export = fit(AUTO, tmp_path, on_report=reports.append)
    assert load_json(tmp_path / "recipe.json")["fit"]["precision"] == PRECISION[native]
    assert load_json(export / "training.json")["recipe"]["fit"]["precision"] == PRECISION[native]
    assert f'precision="{PRECISION[native]}"' in (export / "README.md").read_text()
    assert {report.precision for report in reports} == {PRECISION[native]}


def test_the_line_of_progress_says_the_precision(capsys: pytest.CaptureFixture[str]) -> None:
    line = {"steps": 5, "logs": {"loss.model": 1.0}, "speed": 10.0, "seconds_left": 0.0, "memory": 10**6}
    for name in ("bf16", "no"):
        _Reports(Progress("train"))(Report(step=5, precision=name, **line))  # type: ignore[arg-type]
    assert [word in text for word, text in zip(("in bf16", "in float32"), capsys.readouterr().err.splitlines(), strict=True)] == [
        True,
        True,
    ]


@pytest.mark.parametrize("native", [True, False])
def test_a_dry_run_prints_the_precision_that_this_machine_would_take(hardware: Hardware, tmp_path: Path, native: bool) -> None:
    hardware(native=native)
    (tmp_path / "recipe.json").write_text(dump_json(AUTO.to_dict()))
    done = run_zoo("train", "fake-denoiser", "--recipe", str(tmp_path / "recipe.json"), "--dry-run", "--device", "cpu")
    assert json.loads(done.stdout)["fit"]["precision"] == PRECISION[native]


def test_an_estimate_and_a_loop_take_a_recipe_that_says_auto(hardware: Hardware) -> None:
    for native in (True, False):
        hardware(native=native)
        assert estimate(AUTO) == estimate(with_precision(PRECISION[native]))
        loop = Loop(AUTO, build(AUTO), load_data(AUTO.data), Processes("cpu"))  # type: ignore[arg-type]
        assert loop.recipe == with_precision(PRECISION[native])


def test_processes_on_unlike_devices_agree_on_float32(hardware: Hardware, monkeypatch: pytest.MonkeyPatch) -> None:
    hardware(native=True)
    monkeypatch.setattr(Processes, "gather", lambda self, thing: [thing, "no"] if thing == "bf16" else [thing])
    loop = Loop(AUTO, build(AUTO), load_data(AUTO.data), Processes("cpu"))  # type: ignore[arg-type]
    assert loop.recipe.fit.precision == "no"


# Going on


def stopped(recipe: Recipe, out: Path) -> None:
    """A run that a signal ends after its first step."""
    with pytest.raises(Interrupted):
        fit(recipe, out, stopping=lambda: nullcontext(lambda: 15))


@pytest.mark.parametrize("began", [True, False])
def test_a_run_goes_on_in_the_precision_that_it_began_with_and_says_so(hardware: Hardware, tmp_path: Path, began: bool) -> None:
    hardware(native=began)
    stopped(AUTO, tmp_path / "run")
    hardware(native=not began)
    told = messages(lambda: fit(AUTO, tmp_path / "run"))
    assert f"goes on in {PRECISION[began]}" in told[0]
    assert f"auto would be {PRECISION[not began]}" in told[0]
    assert load_json(tmp_path / "run" / "recipe.json")["fit"]["precision"] == PRECISION[began]
    record = load_json(tmp_path / "run" / "export" / "training.json")
    assert (record["recipe"]["fit"]["precision"], "forks" in record) == (PRECISION[began], False)


def test_a_run_that_goes_on_where_it_began_says_nothing_and_ends_as_one_that_never_stopped(hardware: Hardware, tmp_path: Path) -> None:
    hardware(native=True)
    stopped(AUTO, tmp_path / "run")
    assert messages(lambda: fit(AUTO, tmp_path / "run")) == []
    whole, parts = (load_file(path / "model.safetensors") for path in (fit(AUTO, tmp_path / "whole"), tmp_path / "run" / "export"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_a_precision_that_is_named_is_compared_with_that_of_the_run(hardware: Hardware, tmp_path: Path) -> None:
    hardware(native=True)
    stopped(AUTO, tmp_path)
    with pytest.raises(IncompatibleCheckpoint, match=r"fit\.precision: bf16 -> no"):
        fit(with_precision("no"), tmp_path)
    fit(with_precision("no"), tmp_path, fork=True)
    assert load_json(tmp_path / "recipe.json")["fit"]["precision"] == "no"


def test_auto_is_no_run_in_float16(tmp_path: Path) -> None:
    stopped(with_precision("fp16"), tmp_path)
    with pytest.raises(IncompatibleCheckpoint, match=r"fit\.precision: fp16 -> "):
        fit(AUTO, tmp_path)


# What is slow


@pytest.mark.parametrize(("native", "factor", "count"), [(False, 7.0, 1), (False, 0.9, 0), (True, 7.0, 0)])
def test_a_named_precision_that_is_emulated_and_slower_is_warned_of_with_its_factor(
    hardware: Hardware, tmp_path: Path, native: bool, factor: float, count: int
) -> None:
    hardware(native=native, factor=factor)
    told = messages(lambda: fit(with_precision("bf16"), tmp_path))
    assert len(told) == count
    assert all("bfloat16 is emulated" in line and "7.0 times" in line and "fit.precision=auto" in line for line in told)


def test_a_dry_run_warns_too(hardware: Hardware, tmp_path: Path) -> None:
    hardware(native=False)
    (tmp_path / "recipe.json").write_text(dump_json(with_precision("bf16").to_dict()))
    done = run_zoo("train", "fake-denoiser", "--recipe", str(tmp_path / "recipe.json"), "--dry-run", "--device", "cpu")
    assert json.loads(done.stdout)["fit"]["precision"] == "bf16"
    assert done.stderr.startswith("zoo: warning: bfloat16 is emulated on this cpu: a convolution takes 7.0 times as long as in float32 -- ")


def test_auto_and_float32_are_never_warned_of(hardware: Hardware, tmp_path: Path) -> None:
    hardware(native=False)
    assert messages(lambda: fit(AUTO, tmp_path / "a")) + messages(lambda: fit(NOISE, tmp_path / "b")) == []


# Drawing


@pytest.fixture
def checkpoint(tmp_path: Path) -> str:
    config = FakeDenoiserConfig()
    return f"local:{write_checkpoint(tmp_path / 'fake', FakeDenoiser(config), config)}"


@pytest.mark.parametrize("native", [True, False])
def test_a_loaded_model_computes_in_the_dtype_that_auto_means(hardware: Hardware, checkpoint: str, native: bool) -> None:
    hardware(native=native)
    dtype = torch.bfloat16 if native else torch.float32
    assert (load(checkpoint, dtype="auto").dtype, load(checkpoint).to(dtype="auto").dtype) == (dtype, dtype)


def test_a_dtype_that_is_emulated_is_warned_of_wherever_it_is_named(hardware: Hardware, checkpoint: str, tmp_path: Path) -> None:
    hardware(native=False)
    told = messages(lambda: load(checkpoint, dtype="bfloat16")) + messages(lambda: load(checkpoint).to(dtype=torch.bfloat16))
    assert len(told) == 2
    assert all("7.0 times" in line and "auto" in line for line in told)
    done = run_zoo("sample", checkpoint, "-n", "1", "--dtype", "bfloat16", "--out", str(tmp_path / "x.npz"))
    assert done.stderr.startswith("zoo: warning: bfloat16 is emulated")
    assert messages(lambda: load(checkpoint).to("cpu", "float32")) == []


def test_samples_say_the_dtype_that_auto_meant(hardware: Hardware, checkpoint: str, tmp_path: Path) -> None:
    from PIL import Image

    hardware(native=False)
    out = tmp_path / "x.png"
    done = run_zoo("sample", checkpoint, "-n", "1", "--dtype", "auto", "--out", str(out))
    assert done.exit_code == 0
    text: dict[str, Any] = Image.open(out).text  # type: ignore[attr-defined]  # of a PNG
    assert text["dtype"] == "float32"


@pytest.mark.parametrize("channels_last", [True, False, None])
def test_a_family_says_whether_its_nets_are_drawn_from_channels_last(checkpoint: str, channels_last: bool | None) -> None:
    model = load(checkpoint)
    model.model.convolution = nn.Conv2d(4, 4, 3)
    if channels_last is not None:
        model.model.channels_last = channels_last  # type: ignore[assignment]  # a class attribute of other families
    model.sample(1)
    weight = model.model.get_parameter("convolution.weight")
    assert weight.is_contiguous(memory_format=torch.channels_last) is (channels_last is not False)
