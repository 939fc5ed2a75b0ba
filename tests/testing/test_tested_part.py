"""The conformance checks of samplers, metrics and data sets pass for zoo-core's own, and each of them catches its faults."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest

from zoo_core.datasets import GaussianMixtureConfig, MoonsConfig
from zoo_core.errors import UnknownNameError, UsageError
from zoo_core.evaluation.factory import make_metric
from zoo_core.interfaces import ModelConfig
from zoo_core.registry import registry
from zoo_core.samplers import Heun, Latent
from zoo_core.samplers.factory import as_sampler
from zoo_core.specs import MetricSpec, SamplerSpec
from zoo_core.testing import checks_of, fake_zoo, installed, write_plugin
from zoo_core.testing.conformance import DATA_CHECKS, DATA_METRIC_CHECKS, METRIC_CHECKS, SAMPLER_CHECKS, Check
from zoo_core.testing.fake_config import FakeConfig, FakeDataConfig


@pytest.fixture(autouse=True)
def _zoo() -> Iterator[None]:
    with fake_zoo():
        yield


def few(name: str) -> Any:
    cls = type(as_sampler(name))
    return as_sampler({"name": name, **({"steps": 5} if "steps" in {item.name for item in fields(cls)} else {})})


with fake_zoo():
    OURS = {name: few(name) for name in registry().claims(SamplerSpec)} | {
        name: make_metric(name) for name in registry().claims(MetricSpec)
    }
    OURS |= {"moons": MoonsConfig(count=50), "gaussian-mixture": GaussianMixtureConfig(count=50)}
    OURS |= {"images": FakeDataConfig(shape=(3, 4, 4), count=9)}


@pytest.mark.parametrize("name", OURS)
def test_what_comes_with_zoo_core_conforms(name: str) -> None:
    for check in checks_of(OURS[name]):
        if check.name != "plugin_is_light":  # a process of its own for each
            check()


def test_what_is_no_part_or_not_offered_is_refused() -> None:
    class Mine(Latent):
        __slots__ = ()

    with pytest.raises(UnknownNameError, match="not registered as a sampler"):
        checks_of(Mine())
    with pytest.raises(UsageError, match="no checks of FakeConfig -- name a family"):
        checks_of(FakeConfig())  # type: ignore[arg-type]  # a family's config
    with pytest.raises(UsageError, match="of families"):
        checks_of(Heun(), capabilities={"denoise"})
    assert issubclass(FakeConfig, ModelConfig)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A subclass of something that conforms, with other lines in its body; ``load`` is the body of a data set's loader."""

    base: str
    check: str
    what: str
    body: str = "pass"
    top: str = ""
    load: str = "return fake_data(FakeDataConfig(shape=(3, 4, 4), count=9))"

    @property
    def kind(self) -> str:
        kinds = {
            "Accuracy": "data metric",
            "MoonsConfig": "dataset",
            "FrechetDistance": "metric",
            "NearestTrain": "metric",
            "Metric": "metric",
        }
        return kinds.get(self.base, "sampler")

    def written(self, folder: Path) -> Path:
        requires = "decode" if self.base == "Latent" else "denoise"
        spec = {
            "sampler": f"SamplerSpec(name='broken', target='zoo_broken:Broken', requires={requires!r})",
            "dataset": "DatasetSpec(name='broken', target='zoo_broken:load', config='zoo_broken:Broken')",
        }.get(self.kind, "MetricSpec(name='broken', target='zoo_broken:Broken')")
        source = (
            "import math, random\nfrom dataclasses import dataclass, replace\n"
            "from itertools import pairwise\nfrom typing import Any\n"
            "import numpy as np\nimport torch\nfrom zoo_core.datasets import *\n"
            "from zoo_core.evaluation.data_metrics import *\nfrom zoo_core.evaluation.feature_metrics import *\n"
            "from zoo_core.evaluation.metrics import *\n"
            "from zoo_core.evaluation.statistics import Estimate\nfrom zoo_core.hookspecs import hookimpl\n"
            "from zoo_core.samplers import *\nfrom zoo_core.schedulers import *\nfrom zoo_core.specs import *\n"
            "from zoo_core.testing.fake import fake_data\n"
            "from zoo_core.testing.fake_config import FakeDataConfig\nfrom zoo_core.data.dataset import Data\n"
            f"{self.top or '@dataclass(frozen=True, kw_only=True, slots=True)'}\n"
            f"class Broken({self.base}):\n{indent(self.body, '    ')}\n\n"
            f"def load(config):\n{indent(self.load, '    ')}\n\n"
            f"@hookimpl\ndef zoo_specs():\n    return [{spec}]\n"
        )
        return write_plugin(folder, "zoo-broken", source)


def _walk(lines: str) -> str:
    return f"steps: int = 5\ndef walk(self, x, sigmas, guide):\n{indent(lines, '    ')}"


def _call(lines: str) -> str:
    return f"steps: int = 5\ndef __call__(self, model, rng, **options):\n{indent(lines, '    ')}"


_SUPER = "super(Broken, self)"
_NO_SHOW = "x = guide.denoised(x, sigmas[0])\nreturn x"
_ODE = """for i, (sigma, after) in enumerate(pairwise(options['sigmas'] or self.noise_levels(model, None))):
    if i == 0:
        x = model.start(rng, sigma) if options.get('x') is None else options['x']
    x0 = model.denoise(x, torch.full((len(x),), sigma, dtype=torch.float64), options.get('labels'))
    if options.get('on_step'):
        options['on_step'](i, sigma, x, x0)
    x = x0 + FACTOR * (x - x0)
if options.get('on_step'):
    options['on_step'](i + 1, 0.0, x, x)
return x"""
_VALUES = (
    f"def __call__(self, model, x, labels, first):\n    found = {_SUPER}.__call__(model, x, labels, first)\n    return replace(found, "
)
_FD = f"def __call__(self, real, drawn):\n    found = {_SUPER}.__call__(real, drawn)\n    return "

FAULTS = [
    # Samplers
    Fault(
        base="Ancestral",
        check="options_come_back",
        what="they change whenever they are set",
        body="def __post_init__(self):\n    object.__setattr__(self, 'steps', self.steps + 1)",
    ),
    Fault(base="Ancestral", check="options_are_strict", what="anything goes", body="extra: Any = 3"),
    Fault(base="Ancestral", check="requires_is_declared", what="another capability", body="requires = 'decode'"),
    Fault(
        base="Ancestral",
        check="noise_levels_fit",
        what="levels outside the range",
        body=f"def noise_levels(self, model, scheduler):\n    return tuple(2 * s for s in {_SUPER}.noise_levels(model, scheduler))",
    ),
    Fault(
        base="Ancestral",
        check="noise_levels_fit",
        what="no zero at the end",
        body=f"def noise_levels(self, model, scheduler):\n    return {_SUPER}.noise_levels(model, scheduler)[:-1]",
    ),
    Fault(
        base="Ancestral",
        check="noise_levels_fit",
        what="the scheduler is ignored",
        body=f"def noise_levels(self, model, scheduler):\n    return {_SUPER}.noise_levels(model, None)",
    ),
    Fault(
        base="Ancestral",
        check="draws_samples",
        what="one sample for all",
        body=_call(f"return {_SUPER}.__call__(model, rng, **options)[:1]"),
    ),
    Fault(
        base="Ancestral",
        check="draws_samples",
        what="half precision",
        body=_call(f"return {_SUPER}.__call__(model, rng, **options).half()"),
    ),
    Fault(base="Ancestral", check="draws_samples", what="NaN", body=_walk("return x.log()")),
    Fault(
        base="Ancestral",
        check="levels_may_be_left_out",
        what="levels of its own",
        body=_call(f"return {_SUPER}.__call__(model, rng, **(options if options['sigmas'] else {{**options, 'sigmas': (9.0, 0.0)}}))"),
    ),
    Fault(
        base="Ancestral",
        check="rows_do_not_depend_on_their_batch",
        what="the norm of the batch",
        body=_walk("return guide.denoised(x, sigmas[0]) + x / x.norm()"),
    ),
    Fault(base="Ancestral", check="global_generators_are_left_alone", what="torch's noise", body=_walk("return x + torch.randn_like(x)")),
    Fault(
        base="Ancestral",
        check="global_generators_are_left_alone",
        what="torch's is read",
        body=_walk("with torch.random.fork_rng(devices=[]):\n    return x + torch.randn_like(x)"),
    ),
    Fault(
        base="Ancestral",
        check="global_generators_are_left_alone",
        what="numpy's is moved",
        body=_call(f"np.random.rand()\nreturn {_SUPER}.__call__(model, rng, **options)"),
    ),
    Fault(base="Latent", check="steps_are_reported", what="never", body=_call(f"return {_SUPER}.__call__(model, rng, x=options.get('x'))")),
    Fault(base="Ancestral", check="steps_are_reported", what="the end alone", body=_walk(_NO_SHOW)),
    Fault(
        base="Ancestral",
        check="steps_are_reported",
        what="changed in place afterwards",
        body=_walk("for i, sigma in enumerate(sigmas[:-1]):\n    guide.show(i, sigma, x, x)\n    x.mul_(0.5)\nreturn x.clone()"),
    ),
    Fault(
        base="Ancestral",
        check="steps_are_reported",
        what="another level",
        body=_walk("for i, sigma in enumerate(sigmas[:-1]):\n    guide.show(i, sigma / 2, x, x)\nreturn x + 0"),
    ),
    Fault(
        base="Ancestral",
        check="starts_at_x",
        what="a start of its own",
        body=_call(f"return {_SUPER}.__call__(model, rng, **{{**options, 'x': None}})"),
    ),
    Fault(
        base="Ancestral",
        check="starts_at_x",
        what="the start is changed",
        body=_walk("guide.show(0, sigmas[0], x.clone(), x)\nreturn x.mul_(0.5)"),
    ),
    Fault(
        base="Latent",
        check="starts_at_x",
        what="latents of its own",
        body=_call(f"return {_SUPER}.__call__(model, rng, **{{**options, 'x': None}})"),
    ),
    Fault(
        base="Latent",
        check="labels_are_passed_on",
        what="forgotten",
        body=_call(f"return {_SUPER}.__call__(model, rng, **{{**options, 'labels': None}})"),
    ),
    Fault(
        base="Ancestral",
        check="labels_are_passed_on",
        what="shared by the rows",
        body=_call(f"y = options['labels']\nreturn {_SUPER}.__call__(model, rng, **{{**options, 'labels': y.clamp(min=y.max())}})"),
    ),
    Fault(base="Ancestral", check="rises_with_fresh_noise", what="no noise", body=_call(_ODE.replace("FACTOR", "min(after / sigma, 1)"))),
    Fault(base="Ancestral", check="rises_with_fresh_noise", what="the old noise", body=_call(_ODE.replace("FACTOR", "after / sigma"))),
    Fault(
        base="Ancestral",
        check="rises_with_fresh_noise",
        what="NaN",
        body=_call(_ODE.replace("FACTOR", "(after / sigma if after <= sigma else math.nan)")),
    ),
    # Data sets
    Fault(
        base="MoonsConfig",
        check="options_come_back",
        what="it changes whenever it is made",
        body="def __post_init__(self):\n    object.__setattr__(self, 'count', self.count + 1)",
    ),
    Fault(base="MoonsConfig", check="options_are_strict", what="text for a number", body="extra: int | str = 3"),
    Fault(base="MoonsConfig", check="samples_are_well_formed", what="a bare tensor", load="return torch.zeros(3, 2)"),
    Fault(base="MoonsConfig", check="samples_are_well_formed", what="NaN", load="return Data(x=torch.full((3, 2), math.nan))"),
    Fault(
        base="MoonsConfig", check="samples_are_well_formed", what="pixels of 0 to 255", load="return Data(x=255 * torch.ones(3, 1, 4, 4))"
    ),
    Fault(
        base="MoonsConfig",
        check="samples_are_well_formed",
        what="channels last",
        load="return Data(x=torch.zeros(3, 4, 4, 3, dtype=torch.uint8))",
    ),
    Fault(
        base="MoonsConfig",
        check="labels_fit_their_classes",
        what="from 1 on",
        load="return Data(x=torch.zeros(3, 2), labels=torch.ones(3).long(), classes=('a',))",
    ),
    Fault(
        base="MoonsConfig",
        check="labels_fit_their_classes",
        what="classes without labels",
        load="return Data(x=torch.zeros(3, 2), classes=('a',))",
    ),
    Fault(base="MoonsConfig", check="it_is_the_same_every_time", what="torch's noise", load="return Data(x=torch.randn(3, 2))"),
    Fault(
        base="MoonsConfig",
        check="it_is_the_same_every_time",
        what="numpy's is moved",
        load="np.random.rand()\nreturn Data(x=torch.zeros(3, 2))",
    ),
    # Metrics
    Fault(base="Metric", check="options_come_back", what="no dataclass", top="# not decorated", body=_FD + "found"),
    Fault(base="NearestTrain", check="options_are_strict", what="anything goes", body="extra: Any = 3"),
    Fault(base="FrechetDistance", check="gives_an_estimate", what="a bare number", body=_FD + "found.value"),
    Fault(base="FrechetDistance", check="gives_an_estimate", what="a tensor", body=_FD + "Estimate(torch.tensor(found.value))"),
    Fault(base="FrechetDistance", check="gives_an_estimate", what="NaN", body=_FD + "Estimate(math.nan)"),
    Fault(base="FrechetDistance", check="gives_an_estimate", what="a negative error", body=_FD + "Estimate(found.value, -1.0)"),
    Fault(base="NearestTrain", check="gives_an_estimate", what="features that it did not ask for", body="features = False"),
    Fault(
        base="NearestTrain",
        check="gives_an_estimate",
        what="features changed in place",
        body=f"def __call__(self, real, drawn):\n    drawn.features.mul_(2)\n    return {_SUPER}.__call__(real, drawn)",
    ),
    Fault(
        base="NearestTrain",
        check="few_samples_are_refused_or_enough",
        what="an IndexError",
        body=f"def __call__(self, real, drawn):\n    drawn.features[4]\n    return {_SUPER}.__call__(real, drawn)",
    ),
    Fault(
        base="FrechetDistance", check="number_is_the_same_every_time", what="torch's noise", body=_FD + "Estimate(torch.rand(()).item())"
    ),
    Fault(base="FrechetDistance", check="better_is_right", what="the wrong way", body="better = 'higher'"),
    Fault(base="FrechetDistance", check="better_is_right", what="no way", body="better = 'more'"),
    Fault(
        base="Metric",
        check="real_samples_may_be_sorted",
        what="the first ones",
        body="features = True\nbetter = 'lower'\ndef __call__(self, real, drawn):\n"
        "    n = len(drawn.features)\n    gap = real.features[:n].mean(0) - drawn.features.mean(0)\n"
        "    return Estimate(float(gap.norm()))",
    ),
    # Metrics of data
    Fault(base="Accuracy", check="answers_for_every_sample", what="the mean", body=_VALUES + "values=found.values.mean())"),
    Fault(base="Accuracy", check="answers_for_every_sample", what="whole numbers", body=_VALUES + "values=found.values.long())"),
    Fault(base="Accuracy", check="answers_for_every_sample", what="NaN", body=_VALUES + "values=found.values / 0)"),
    Fault(base="Accuracy", check="answers_for_every_sample", what="facts that are no texts", body=_VALUES + "facts={'n': 3})"),
    Fault(
        base="Accuracy",
        check="answers_for_every_sample",
        what="terms of something else",
        body=_VALUES + "terms={'a': found.values, 'b': torch.ones(len(x))})",
    ),
    Fault(
        base="Accuracy",
        check="answers_for_every_sample",
        what="labels that it did not ask for",
        body="labels = False\n" + _VALUES + "values=labels.double())",
    ),
    Fault(
        base="Accuracy",
        check="answers_do_not_depend_on_their_batch",
        what="its place in the batch",
        body=_VALUES + "values=torch.arange(len(x)).double())",
    ),
    Fault(base="Accuracy", check="answers_are_the_same_every_time", what="torch's noise", body=_VALUES + "values=torch.rand(len(x)))"),
    Fault(base="Accuracy", check="models_that_cannot_answer_are_refused", what="nothing required", body="requires = ''"),
    Fault(base="Accuracy", check="models_that_cannot_answer_are_refused", what="no such capability", body="requires = 'fly'"),
    Fault(base="Accuracy", check="models_that_cannot_answer_are_refused", what="no way", body="better = 'near 1'"),
]


def checks(fault: Fault) -> dict[str, Check]:
    from importlib import import_module

    return {check.name: check for check in checks_of(import_module("zoo_broken").Broken())}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.kind}: {fault.check}: {fault.what}")
def test_a_check_catches_its_fault(fault: Fault, tmp_path: Path) -> None:
    with installed(fault.written(tmp_path), names=["zoo-broken"]), pytest.raises(AssertionError, match=r"\w"):
        checks(fault)[fault.check]()


@pytest.mark.parametrize("base", ["Ancestral", "Latent", "MoonsConfig", "FrechetDistance", "NearestTrain", "Accuracy"])
def test_the_copy_without_a_fault_conforms(base: str, tmp_path: Path) -> None:
    fault = Fault(base=base, check="", what="", body="steps: int = 5" if base == "Ancestral" else "pass")
    with installed(fault.written(tmp_path), names=["zoo-broken"]):
        for name, check in checks(fault).items():
            if name != "plugin_is_light":  # its module imports torch
                check()


def test_a_part_whose_plugin_is_heavy_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_PLUGIN_TIMEOUT", "120")  # its plugin imports torch, which a busy machine does not do in 15 s
    fault = Fault(base="Latent", check="plugin_is_light", what="")
    with installed(fault.written(tmp_path), names=["zoo-broken"]), pytest.raises(AssertionError, match="torch"):
        checks(fault)["plugin_is_light"]()


def test_every_check_has_a_fault_that_it_catches() -> None:
    bodies = {"sampler": SAMPLER_CHECKS, "dataset": DATA_CHECKS, "metric": METRIC_CHECKS}
    for kind, found in bodies.items():
        assert {fault.check for fault in FAULTS if fault.kind == kind} == {body.__name__.removeprefix("check_") for body in found}
    told = {body.__name__.removeprefix("check_") for body in DATA_METRIC_CHECKS if not body.__name__.startswith("check_options")}
    assert {fault.check for fault in FAULTS if fault.kind == "data metric"} == told
