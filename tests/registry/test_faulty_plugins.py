"""A fault in a plugin's code is told with the plugin's name, the file and the line; `zoo plugins --check` tells it before."""

import json
import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from zoo_core.cli.console import MAX_LINE
from zoo_core.errors import PluginError
from zoo_core.registry.faults import call_plugin, expect, fault, plugin_error_from
from zoo_core.testing import fake_zoo, installed, write_checkpoint, write_plugin
from zoo_core.testing.fake import Fake
from zoo_core.testing.fake_config import FakeConfig
from zoo_core.testing.plugin_checks import findings

Zoo = Callable[..., Any]
Dots = Callable[..., Path]


def test_the_plugin_is_sound_where_nothing_is_changed(zoo: Zoo, write_dots: Dots, tmp_path: Path) -> None:
    with installed(write_dots(tmp_path), names=["zoo-faulty"]):
        assert zoo("plugins", "--check").code == 0
        assert zoo("train", "dot", "--out", "run").code == 0
        assert zoo("sample", "local:run", "-n", "2", "--out", "x.npz").code == 0


IN_FORWARD = "return Loss(value=(batch.x - self.model.mean).square().mean())"
FAULTS = {
    "an exception in a method": (
        IN_FORWARD,
        "return batch.y",
        r"\(zoo_faulty_model.py:22\): AttributeError: 'Batch' object has no attribute 'y'",
    ),
    "one that torch raises for it": (IN_FORWARD, "return torch.eye(2) @ torch.eye(3)", r"\(zoo_faulty_model.py:22\): RuntimeError: "),
    "a tensor for a loss": (
        IN_FORWARD,
        "return batch.x.mean()",
        r"\(zoo_faulty_model.py:21\): DotTrainer.forward returns a Tensor, not a Loss",
    ),
    "a loss that is no scalar": (".square().mean())", ".square())", r"\(.*:21\): the loss of phase 'model' has the shape \(4, 2\)"),
    "a loss that is a number": (IN_FORWARD, "return Loss(value=1.0)", "the loss of phase 'model' has the type float"),
    "a trainer without forward": (
        "def forward(",
        "def backward(",
        r"\(zoo_faulty_model.py:20\): TypeError: Can't instantiate abstract .*forward",
    ),
    "a trainer that is none": (
        "class DotTrainer(Trainer)",
        "class DotTrainer(Dot)",
        r"\(zoo_faulty_model.py:20\): TypeError: Dot.__init__\(\) takes 2",
    ),
    "a model that is none": (
        "class Dot(nn.Module):\n    def __init__(self, config):",
        "def Dot(config): return 3\nclass D:\n    def f(self, config):",
        r"\(zoo_faulty_model.py:8\): Dot returns an int, not a Module",
    ),
    "a loader that gives a tuple": (
        "return Data(x=torch.randn(16, 2))",
        "return torch.randn(16, 2), None",
        r"\(.*:24\): dots returns a tuple, not a Data",
    ),
    "a loader that takes nothing": (
        "def dots(config)",
        "def dots()",
        r"\(zoo_faulty_model.py:24\): TypeError: dots\(\) takes 0 positional",
    ),
    "a recipe that is none": (
        "target='zoo_faulty_config:TINY'",
        "target='zoo_core.recipes:OptimizerConfig'",
        ": zoo_core.recipes:OptimizerConfig is not a Recipe",
    ),
    "a field of an unknown type": (
        "size: int = 2",
        "size: list[int] = 2",
        r"\(zoo_faulty_config.py:13\): DotConfig.size is annotated list\[int\], which a config cannot hold: .*, tuple\[int, ...\], ",
    ),
    "a decode of another shape": (
        "return self.mean + z",
        "return (self.mean + z).T",
        r"\(zoo_faulty_model.py:17\): decode returns float32 of shape \(2, \d+\), not floats of shape \(\d+, 2\)",
    ),
}


@pytest.mark.parametrize("case", FAULTS)
def test_a_fault_in_a_plugin_names_plugin_file_and_line(case: str, zoo: Zoo, write_dots: Dots, tmp_path: Path) -> None:
    old, new, told = FAULTS[case]
    with installed(write_dots(tmp_path, old, new), names=["zoo-faulty"]):
        done = zoo("train", "dot", "--out", "run")
    assert re.match(rf"zoo: error: in zoo-faulty.*{told}", done.err.splitlines()[-1]), done.err
    assert "report it to the author of that plugin" in done.err
    assert (done.code, len(done.err.splitlines()[-1]) <= MAX_LINE) == (9, True)
    assert "Traceback" not in done.err


@pytest.mark.parametrize(("line", "told"), [("raise ValueError('odd size')", "odd size"), ("return self.size < None", "'<' not supported")])
def test_a_config_that_refuses_its_values_by_an_ordinary_exception_is_a_wrong_value(
    line: str, told: str, zoo: Zoo, write_dots: Dots, tmp_path: Path
) -> None:
    source = f"if self.size != 2: {line}"
    with installed(write_dots(tmp_path, "        pass", f"        {source}"), names=["zoo-faulty"]):
        done = zoo("train", "dot", "--dry-run", "-o", "model.size=3")
    assert done.code == 3
    assert re.match(rf"zoo: error: recipe.model: {re.escape(told)}.* -- correct that value\n", done.err)


def test_what_no_plugin_had_a_part_in_is_a_bug_of_the_zoo(
    zoo: Zoo, monkeypatch: pytest.MonkeyPatch, write_dots: Dots, tmp_path: Path
) -> None:
    def broken(*arguments: object, **options: object) -> None:
        raise KeyError("ours")

    monkeypatch.setattr("zoo_core.cli.train.Recipe.from_dict", broken)
    with installed(write_dots(tmp_path), names=["zoo-faulty"]):
        done = zoo("train", "dot", "--dry-run")
    assert (done.code, done.err[:25]) == (1, "zoo: error: a bug: KeyErr")


def test_the_innermost_place_in_a_plugin_is_the_culprit(tmp_path: Path) -> None:
    write_plugin(tmp_path, "zoo-outer", "import zoo_inner\n\ndef call():\n    zoo_inner.call()\n")
    write_plugin(tmp_path, "zoo-inner", "def call():\n    from json import loads\n    loads('x')\n")
    with installed(tmp_path, names=["zoo-outer", "zoo-inner"]):
        import zoo_outer  # type: ignore[import-not-found]  # it is written above

        with pytest.raises(ValueError, match="Expecting value") as caught:
            zoo_outer.call()
        assert str(plugin_error_from(caught.value)).startswith("in zoo-inner (zoo_inner.py:3): JSONDecodeError: Expecting value")


def test_the_fake_families_are_no_plugin_that_takes_the_blame_from_the_core() -> None:
    with fake_zoo():
        assert str(fault(FakeConfig, "odd")).startswith("in zoo_core.testing.fake_config (fake_config.py:")


def test_a_call_that_fails_within_is_left_as_it_is() -> None:
    def inner(number: int) -> int:
        return number + None  # type: ignore[operator]  # the slip

    with pytest.raises(TypeError, match="unsupported operand"):
        call_plugin(inner, 3, kind=int)
    with pytest.raises(PluginError, match=r"test_faulty_plugins.py:\d+\): TypeError: .*missing 1 required"):
        call_plugin(inner, kind=int)
    assert expect(inner, True, int) is True


@pytest.mark.parametrize(
    ("hint", "shown"),
    [
        ("Path", "Path"),
        ("Colour", "Colour"),
        ("set[str]", "set[str]"),
        ("Path | None", "pathlib.Path | None"),
        ("tuple[Path, ...]", "tuple[pathlib.Path, ...]"),
        ("Mapping[str, set]", "typing.Mapping[str, set]"),
        ("Mapping[int, int]", "typing.Mapping[int, int]"),
        ("tuple", "tuple"),
        ("Nothing", None),
    ],
)
def test_a_field_that_no_config_can_hold_is_told_with_those_that_it_can(
    hint: str, shown: str | None, zoo: Zoo, write_dots: Dots, tmp_path: Path
) -> None:
    with installed(write_dots(tmp_path, "size: int = 2", f"size: {hint!r} = 2"), names=["zoo-faulty"]) as found:
        told = findings(found.plugins[-1])["zoo_faulty_config:DotConfig"]
    reason = (
        f"size is annotated {shown}, which a config cannot hold" if shown else "annotations of DotConfig cannot be read: name 'Nothing'"
    )
    assert reason in told


@pytest.mark.parametrize(
    "hint", ["Any", "float | None", "Literal['a', 2]", "tuple[tuple[float, ...], str]", "Mapping[str, Latent]", "DotsConfig"]
)
def test_a_field_that_a_config_can_hold_is_none_to_tell(hint: str, write_dots: Dots, tmp_path: Path) -> None:
    with installed(write_dots(tmp_path, "size: int = 2", f"size: {hint!r} = 2"), names=["zoo-faulty"]) as found:
        assert not findings(found.plugins[-1])["zoo_faulty_config:DotConfig"]


# What `zoo plugins --check` sees

UNSOUND = {
    "the config of another kind": (
        "config='zoo_faulty_config:DotConfig'",
        "config='zoo_faulty_config:DotsConfig'",
        "zoo_faulty_config:DotsConfig",
        "it is not a config of a family",
    ),
    "the model's config for a data set": (
        "config='zoo_faulty_config:DotsConfig'",
        "config='zoo_faulty_config:DotConfig'",
        "zoo_faulty_config:DotConfig",
        "it is not a config of a dataset",
    ),
    "no config": (", config='zoo_faulty_config:DotTrainerConfig'", "", "trainer dot", "it has no config"),
    "a model that is none": (
        "target='zoo_faulty_model:Dot',",
        "target='zoo_faulty_model:dots',",
        "zoo_faulty_model:dots",
        "it is a function, not a class derived from Module",
    ),
    "a model for a trainer": (
        "zoo_faulty_model:DotTrainer'",
        "zoo_faulty_model:Dot'",
        "zoo_faulty_model:Dot",
        "it is the class Dot, not a class derived from Trainer",
    ),
    "a trainer without forward": (
        "def forward(",
        "def backward(",
        "zoo_faulty_model:DotTrainer",
        "lacks forward, which its base class asks for",
    ),
    "a recipe that is none": (
        "zoo_faulty_config:TINY",
        "zoo_core.recipes:OptimizerConfig",
        "zoo_core.recipes:OptimizerConfig",
        "it is the class OptimizerConfig, not a Recipe",
    ),
    "a metric for a sampler": (
        "zoo_core.samplers:Latent",
        "zoo_core.evaluation.feature_metrics:Recall",
        "zoo_core.evaluation.feature_metrics:Recall",
        "it is the class Recall, not a class derived from Sampler",
    ),
    "a sampler for a metric": (
        "zoo_core.evaluation.feature_metrics:FrechetDistance",
        "zoo_core.samplers:Heun",
        "zoo_core.samplers:Heun",
        "it is the class Heun, not a class derived from Metric or DataMetric",
    ),
    "a sampler for a scheduler": (
        "zoo_core.schedulers:Karras",
        "zoo_core.samplers:Heun",
        "zoo_core.samplers:Heun",
        "it is the class Heun, not a class derived from Scheduler",
    ),
    "a function for a command": ("zoo_core.cli.list:list_", "json:dumps", "json:dumps", "it is a function, not a click command"),
    "a loader that cannot be called": (
        "zoo_faulty_model:dots",
        "zoo_faulty_config:TINY",
        "zoo_faulty_config:TINY",
        "which cannot be called",
    ),
    "an unknown capability": (
        "{'decode'}",
        "{'decodes', 'decode'}",
        "family dot",
        "unknown capability: 'decodes'; there are denoise, decode",
    ),
    "a sampler's unknown capability": ("requires='decode'", "requires='denoize'", "sampler cold", "unknown capability: 'denoize'"),
    "another capability than the class's": (
        "requires='decode'",
        "requires='denoise'",
        "sampler cold",
        "requires 'denoise', its class 'decode'",
    ),
    "a metric's unknown capability": (
        "requires='features'",
        "requires='labels feature'",
        "metric distance",
        "unknown capability: 'feature'",
    ),
    "an unknown trainer": ("trainer='dot'", "trainer='nosuch'", "family dot", "unknown trainer 'nosuch'"),
    "an unknown sampler": ("sampler='latent'", "sampler='nosuch'", "family dot", "unknown sampler 'nosuch'"),
    "a sampler that it has no capability for": (
        "sampler='latent'",
        "sampler='heun'",
        "family dot",
        "heun requires denoise, which it does not have",
    ),
    "a recipe of an unknown family": ("family='dot'", "family='nosuch'", "recipe nosuch/tiny", "unknown family 'nosuch'"),
    "a recipe with another's model": (
        "model=DotConfig(),",
        "model=__import__('zoo_core.testing.fake_config').testing.fake_config.FakeConfig(),",
        "recipe dot/tiny",
        "its model is the class FakeConfig, which is not that of dot",
    ),
    "a default of no field": ("{'temperature': 0.5}", "{'stepz': 3}", "sampler cold", "unknown key 'stepz'"),
    "a default out of its range": ("{'temperature': 0.5}", "{'temperature': -1}", "sampler cold", "temperature must be in [0, 100]"),
    "a scheduler's default of no field": ("{'rho': 9.0}", "{'rhu': 9.0}", "scheduler steep", "unknown key 'rhu'"),
    "a config that is no dataclass": (
        "@dataclass(frozen=True, kw_only=True, slots=True)\nclass DotsConfig",
        "class DotsConfig",
        "zoo_faulty_config:DotsConfig",
        "it is not a dataclass",
    ),
    "a config that is not frozen": (
        "@dataclass(frozen=True, kw_only=True, slots=True)\nclass DotsConfig",
        "@dataclass\nclass DotsConfig",
        "zoo_faulty_config:DotsConfig",
        "it is not frozen",
    ),
    "a field that the tag hides": ("weight: float = 1.0", "name: str = 'x'", "zoo_faulty_config:DotTrainerConfig", "it has a field `name`"),
    "another way to a class": (
        "zoo_core.samplers:Latent",
        "zoo_core.samplers.latent:Latent",
        "zoo_core.samplers.latent:Latent",
        "it is written as latent, which is another",
    ),
    "a checkpoint of an unknown family": (
        "RecipeSpec(",
        "CheckpointSpec(name='cats', family='nosuch'), RecipeSpec(",
        "checkpoint cats",
        "unknown family 'nosuch'",
    ),
    "a recipe with data that nobody registers": (
        "data=DotsConfig()",
        "data=__import__('zoo_core.testing.fake_config').testing.fake_config.FakeDataConfig()",
        "recipe dot/tiny",
        "zoo_core.testing.fake_config:FakeDataConfig is not registered as a dataset",
    ),
    "a metric that is no dataclass": (
        "zoo_core.evaluation.feature_metrics:FrechetDistance",
        "zoo_faulty_model:Soft",
        "zoo_faulty_model:Soft",
        "it is not a dataclass",
    ),
}


@pytest.mark.parametrize("case", UNSOUND)
def test_the_check_tells_what_is_not_what_it_must_be(case: str, zoo: Zoo, write_dots: Dots, tmp_path: Path) -> None:
    old, new, where, why = UNSOUND[case]
    with installed(write_dots(tmp_path, old, new), names=["zoo-faulty"]):
        done = zoo("plugins", "--check", "--json")
        broken = json.loads(done.out)[-1]["broken"]
        assert why in broken[where], broken
        assert done.code == 9
        assert zoo("plugins").code == 0


def test_the_check_counts_what_is_fine_and_ends_with_what_is_broken(zoo: Zoo, write_dots: Dots, tmp_path: Path) -> None:
    with installed(write_dots(tmp_path, "trainer='dot'", "trainer='nosuch'"), names=["zoo-faulty"]):
        done = zoo("plugins", "--check")
    assert re.search(r"zoo-core .* \d+ ok  ", done.out)
    assert re.search(r"zoo-faulty .* \d+ ok, 1 broken  ", done.out)
    assert done.out.endswith("\n\nzoo-faulty: family dot\n  unknown trainer 'nosuch'\n")
    assert done.err == "zoo: error: 1 broken in zoo-faulty -- upgrade or uninstall the package that is at fault\n"


def test_the_check_of_one_plugin_looks_at_no_other(zoo: Zoo, write_dots: Dots, tmp_path: Path) -> None:
    with installed(write_dots(tmp_path, "trainer='dot'", "trainer='nosuch'"), names=["zoo-faulty"]):
        assert zoo("plugins", "--check", "zoo-core").code == 0
        done = zoo("plugins", "--check", "--json", "zoo-faulty")
        assert [plugin["dist"] for plugin in json.loads(done.out)] == ["zoo-faulty"]
        assert done.code == 9
        done = zoo("plugins", "zoo-fualty")
        assert (done.code, done.err) == (9, "zoo: error: unknown plugin 'zoo-fualty' -- did you mean zoo-faulty?\n")


INCAPABLE = {
    "a missing member": ("def prior(self, rng)", "def priro(self, rng)", "Dot has no prior (but priro)"),
    "a missing method": ("def decode(self, z, labels=None)", "def forward(self, z)", "Dot has no decode"),
    "nothing at all": ("{'decode'}", "{'encode'}", "Dot has no encode"),
    "a method without labels": (
        "def decode(self, z, labels=None)",
        "def decode(self, z)",
        "Dot has decode(z), which must be decode(z, labels=None)",
    ),
}


@pytest.mark.parametrize("case", INCAPABLE)
def test_a_model_that_cannot_do_what_its_family_declares_is_refused_before_it_trains(
    case: str, zoo: Zoo, write_dots: Dots, tmp_path: Path
) -> None:
    old, new, told = INCAPABLE[case]
    source = write_dots(tmp_path, old, new)
    if case == "nothing at all":  # so that nothing else is amiss
        plugin = source / "zoo_faulty.py"
        plugin.write_text(plugin.read_text().replace(" sampler='latent',", ""))
        config = source / "zoo_faulty_config.py"
        config.write_text(config.read_text().replace(",\n              sampler=Latent())", ")"))
    with installed(source, names=["zoo-faulty"]) as found:
        done = zoo("train", "dot", "--out", "run")
        assert findings(found.plugins[-1])["family dot"].endswith(told)
    line = done.err.splitlines()[-1]
    assert re.fullmatch(rf"zoo: error: in zoo-faulty \(zoo_faulty_model.py:8\): dot declares \w+, but {re.escape(told)} -- .*", line)
    assert done.code == 9
    assert not (tmp_path / "run").exists()


def test_a_misspelt_field_of_a_spec_is_no_newer_zoo_core(zoo: Zoo, write_dots: Dots, tmp_path: Path) -> None:
    with installed(write_dots(tmp_path, "trainer='dot', sampler='latent'", "trainer='dot', sumary='x'"), names=["zoo-faulty"]):
        assert "BROKEN: failed at hook: ModelSpec has no field 'sumary': did you mean summary?" in " ".join(zoo("plugins").out.split())


def test_a_misspelt_argument_of_family_is_named_with_the_right_one(zoo: Zoo, tmp_path: Path) -> None:
    source = (
        "from zoo_core.hookspecs import hookimpl\nfrom zoo_core.specs import family\n\n"
        "@hookimpl\ndef zoo_specs():\n    return family('a', package='b', model='C', capabilities={'decode'}, sumary='x')\n"
    )
    with installed(write_plugin(tmp_path, "zoo-slip", source), names=["zoo-slip"]):
        text = " ".join(zoo("plugins").out.split())
    assert "BROKEN: failed at hook: family has no field 'sumary': did you mean summary?" in text


def test_a_metric_that_fails_names_its_plugin_file_and_line(zoo: Zoo, tmp_path: Path) -> None:
    source = """
from dataclasses import dataclass
from zoo_core.evaluation.metrics import Metric
from zoo_core.hookspecs import hookimpl
from zoo_core.specs import MetricSpec

@dataclass(frozen=True, kw_only=True, slots=True)
class Slip(Metric):
    def __call__(self, real, drawn):
        return real.nothing

@hookimpl
def zoo_specs():
    return [MetricSpec(name='slip', target='zoo_slip:Slip', requires='features')]
"""
    with installed(write_plugin(tmp_path, "zoo-slip", source), names=[]), fake_zoo("zoo-slip"):
        write_checkpoint(tmp_path / "points", Fake(FakeConfig()), FakeConfig())
        done = zoo("evaluate", f"local:{tmp_path}/points", "--metrics", "slip", "--data", "fake-data", "-n", "40")
    assert "the metric slip failed: in zoo-slip (zoo_slip.py:10): AttributeError: " in done.err
    assert done.err.endswith("; the other metrics still work\n")


@pytest.mark.parametrize("call", ["torch.nn.Linear(2, 2)(x)", "torch.nn.Conv1d(1, 1, 1)(x[None])", "torch.ones(2, 2) @ x.T"])
def test_mixed_dtypes_lead_to_the_noise_levels(call: str, tmp_path: Path) -> None:
    source = f"from zoo_core.hookspecs import hookimpl\nimport torch\nx = torch.ones(1, 2).double()\ndef mixed():\n    return {call}\n"
    source += "@hookimpl\ndef zoo_specs():\n    return []\n"
    with installed(write_plugin(tmp_path, "zoo-mixed", source), names=["zoo-mixed"]):
        with pytest.raises(RuntimeError) as caught:
            import_module("zoo_mixed").mixed()
        error = plugin_error_from(caught.value)
    assert error is not None
    assert "(zoo_mixed.py:5)" in error.what
    assert error.hint.startswith("noise levels (sigma) are float64 and samples float32")


def test_hints_speak_to_the_author_where_the_install_is_editable(zoo: Zoo, write_dots: Dots, tmp_path: Path) -> None:
    source = write_dots(tmp_path, IN_FORWARD, "return batch.y")
    [info] = source.glob("*.dist-info")
    (info / "direct_url.json").write_text(json.dumps({"url": "file:///here", "dir_info": {"editable": True}}))
    with installed(source, names=["zoo-faulty"]):
        done = zoo("train", "dot", "--out", "run")
    assert done.err.endswith(" -- mend it there, it is installed editable; --debug shows the traceback\n")
