"""The conformance checks of every family: each is a function over a :class:`Subject`, and its docstring states the property.

:mod:`zoo_core.testing.conformance` lists the checks that apply to a family.
"""

import copy
import json
import math
import pickle  # noqa: TID251  # for models of this process; no file is read
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from zoo_core.capabilities import lacking, supports
from zoo_core.config import decode, encode
from zoo_core.interfaces import CAPABILITIES, Decoder, Denoiser, Density, LatentModel, ModelConfig, Unmasker
from zoo_core.registry import registry, resolve
from zoo_core.rng import ImageRng, Stream, isolated
from zoo_core.specs import CheckpointSpec, RecipeSpec, SamplerSpec
from zoo_core.testing.plugin_checks import findings
from zoo_core.testing.plugins import environment
from zoo_core.testing.tested_family import (
    ROWS,
    TOLERANCE,
    Subject,
    assert_same,
    assert_strict,
    distance,
    global_state,
    hide,
    outputs_of,
    same,
)
from zoo_core.testing.tested_part import Part

__all__ = [
    "check_capabilities_are_there",
    "check_config_is_strict",
    "check_config_round_trips",
    "check_global_generators_are_left_alone",
    "check_inputs_are_left_alone",
    "check_loads_from_meta",
    "check_models_can_be_copied_and_pickled",
    "check_plugin_is_light",
    "check_rows_do_not_depend_on_their_batch",
    "check_targets_resolve",
    "check_weights_survive_safetensors",
]

HEAVY = ("PIL", "accelerate", "einops", "huggingface_hub", "matplotlib", "numpy", "safetensors", "timm", "torch", "torchvision", "yaml")

# The plugin


def check_plugin_is_light(subject: Subject | Part) -> None:
    """Importing the plugin, calling its hook and reading its configs and recipes imports nothing heavy."""
    specs = [spec for spec in subject.plugin.specs if not isinstance(spec, CheckpointSpec)]
    light = {getattr(spec, "config", "") for spec in specs} | {spec.target for spec in specs if isinstance(spec, RecipeSpec)}
    source = (
        "import json, sys\n"
        "from zoo_core.registry import load_plugin, resolve\n"
        f"plugin = load_plugin('it', {subject.plugin.module!r}, 'it', '0')\n"
        "if plugin.failure: sys.exit(str(plugin.failure))\n"
        f"for target in {sorted(light - {''})!r}: resolve(target)\n"
        f"print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))\n"
    )
    where = environment(*(Path(path) for path in sys.path if path))
    done = subprocess.run([sys.executable, "-c", source], env=where, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, f"{subject.plugin.module} does not load in a process of its own: {done.stderr.strip()[-500:]}"
    heavy = json.loads(done.stdout.splitlines()[-1])
    assert not heavy, f"{subject.plugin.module}, its configs or its recipes import {', '.join(heavy)}; import it inside functions"


def check_targets_resolve(subject: Subject) -> None:
    """Every target of the plugin's specs is of its kind, as ``zoo plugins --check`` reports; the default sampler fits the model."""
    for name, wrong in findings(subject.plugin).items():
        assert not wrong, f"{name}: {wrong}"
    family = subject.spec
    if family.sampler:
        requires = registry().spec(SamplerSpec, family.sampler).requires
        assert supports(subject.capabilities, requires), (
            f"the default sampler {family.sampler} requires {requires}, which {family.name} does not have"
        )


def check_config_round_trips(subject: Subject) -> None:
    """The config and all recipes of the family come back from JSON unchanged."""
    recipes = [resolve(spec.target) for spec in subject.plugin.specs if isinstance(spec, RecipeSpec) and spec.family == subject.spec.name]
    for value in (subject.config, *recipes):
        text = json.dumps(encode(value), allow_nan=False)
        base = ModelConfig if value is subject.config else type(value)
        again = decode(base, json.loads(text))
        assert type(again) is type(value), f"{value} comes back from JSON as {type(again).__name__}"
        assert again == value, f"{value} comes back from JSON as {again}"


def check_config_is_strict(subject: Subject) -> None:
    """An unknown key, and a text, true or NaN for a number, are refused at every depth, with the name of the field."""
    assert_strict(subject.config, ModelConfig)


def check_capabilities_are_there(subject: Subject) -> None:
    """The model has exactly the methods of its capabilities, and the family declares all of these."""
    unknown = (subject.spec.capabilities | subject.capabilities) - CAPABILITIES.keys()
    assert not unknown, f"no such capability: {', '.join(sorted(unknown))}"
    undeclared = subject.capabilities - subject.spec.capabilities
    assert not undeclared, f"the family does not declare {', '.join(sorted(undeclared))}"
    model = subject.model()
    for name, protocol in CAPABILITIES.items():
        has = isinstance(model, protocol) and (name != "labels" or _takes_labels(model))
        if name in subject.capabilities:
            assert has, f"the capability {name} is that of {protocol.__name__}, but the model {lacking(model, name) or 'has no classes'}"
        else:
            assert not has, f"the model has all of {protocol.__name__}: declare the capability {name}"


def _takes_labels(model: nn.Module) -> bool:
    """Whether the model takes labels; a mere classifier has classes, but takes none."""
    return cast(Any, model).num_classes > 0 and isinstance(model, Denoiser | Decoder | Density | LatentModel)


# Weights


def check_loads_from_meta(subject: Subject) -> None:
    """A model that is built on ``meta`` and loads the weights with ``assign=True`` computes the same; no tensor stays on ``meta``."""
    model = subject.model()
    with torch.device("meta"):
        loaded: nn.Module = resolve(subject.spec.target)(subject.config)
    loaded.load_state_dict(model.state_dict(), strict=True, assign=True)
    left = [name for name, tensor in _tensors(loaded) if tensor.is_meta]
    assert not left, f"{', '.join(left)} stays on meta: register it as a persistent buffer, or compute it in forward"
    assert_same(outputs_of(subject, model), outputs_of(subject, loaded.eval()), "after loading into a model built on meta")


def _tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from model.named_parameters()
    yield from model.named_buffers()
    for prefix, module in model.named_modules():
        yield from ((f"{prefix}.{name}".lstrip("."), value) for name, value in vars(module).items() if isinstance(value, Tensor))


def check_weights_survive_safetensors(subject: Subject) -> None:
    """The state dict comes back from a safetensors file bit for bit, and determines the outputs of the model."""
    model, other = subject.model(), subject.model(seed=1)
    state = {name: tensor.detach().contiguous() for name, tensor in model.state_dict().items()}
    try:
        again = load(save(state))
    except (RuntimeError, ValueError) as error:
        raise AssertionError(f"the state dict cannot be written as safetensors: {error}") from error
    for name, tensor in state.items():
        assert again[name].dtype == tensor.dtype and torch.equal(again[name], tensor), f"{name} comes back changed"
    other.load_state_dict(again, strict=True)
    assert_same(
        outputs_of(subject, model), outputs_of(subject, other), "after a change of weights: something outside the state dict matters"
    )


def check_models_can_be_copied_and_pickled(subject: Subject) -> None:
    """A deep copy of a model and a pickled one (for multiprocessing) have its parameters in the same order, and compute the same."""
    model = subject.model()
    try:
        others = {"copied": copy.deepcopy(model), "pickled": pickle.loads(pickle.dumps(model))}
    except Exception as error:
        raise AssertionError(f"a model cannot be copied and pickled: {type(error).__name__}: {error}") from error
    for how, other in others.items():
        names, others_names = ([name for name, _ in _tensors(each)] for each in (model, other))
        assert names == others_names, f"a {how} model has other parameters or buffers, or in another order"
        assert_same(outputs_of(subject, model), outputs_of(subject, other), f"of a {how} model")
        for (name, mine), (_, theirs) in zip(_tensors(model), _tensors(other), strict=True):
            assert not mine.numel() or mine.data_ptr() != theirs.data_ptr(), f"a {how} model shares the memory of {name}"


# Promises


def check_rows_do_not_depend_on_their_batch(subject: Subject) -> None:
    """Row i is the same, to 1e-4, in every batch: no batch statistics, no noise shared between rows."""
    model = subject.model()
    outputs = {}
    for rows in (range(ROWS), range(2, 4), range(3, 4)):
        outputs[rows] = outputs_of(subject, model, rows)
    for rows in (range(2, 4), range(3, 4)):
        for name, alone in outputs[rows].items():
            together = outputs[range(ROWS)][name][rows.start : rows.stop]
            difference = (distance(alone, together) / (1 + together.abs().nan_to_num())).max().item()
            assert difference <= TOLERANCE, (
                f"{name} of row {rows.start} differs by {difference:.2g} between batches of {ROWS} and {len(rows)}"
            )


def check_inputs_are_left_alone(subject: Subject) -> None:
    """The model does not change its inputs in place: samplers and figures use them again."""
    model = subject.model()
    able = subject.capabilities
    labels = subject.labels(model)
    given: dict[str, tuple[Tensor, ...]] = {}
    if "denoise" in able:
        sigma = math.sqrt(math.prod(cast(Denoiser, model).sigma_range))
        levels = torch.full((ROWS,), sigma, dtype=torch.float64)
        given["denoise"] = (cast(Denoiser, model).start(ImageRng(0, range(ROWS)), sigma), levels)
    if "decode" in able:
        given["decode"] = (cast(Decoder, model).prior(ImageRng(0, range(ROWS))),)
    if "unmask" in able:
        given["unmask"] = (hide(subject.batch(model).x, cast(Unmasker, model).event, ImageRng(3, range(ROWS))),)
    given |= {name: (subject.batch(model).x,) for name in ("encode", "features", "classify") if name in able}
    given |= {"log_prob": (subject.judged(model),)} if "density" in able else {}
    for name, tensors in given.items():
        kept = [each.clone() for each in tensors]
        more = {"rng": ImageRng(2, range(ROWS))} if name == "log_prob" else {}
        with torch.no_grad():
            method = getattr(model, name)
            method(*tensors, **more) if name in ("features", "classify") else method(*tensors, labels, **more)
        assert all(map(same, tensors, kept)), f"{name} changes its input in place"


def check_global_generators_are_left_alone(subject: Subject) -> None:
    """The model neither reads nor moves the global generators of torch, numpy and Python."""
    model = subject.model()
    outputs = []
    for seed in (1, 2):
        with isolated(seed, stream=Stream.STEP):
            before = global_state()
            outputs.append(outputs_of(subject, model))
            assert global_state() == before, "a global random generator was moved: draw from the rng argument"
    assert_same(outputs[0], outputs[1], "with the state of torch's global generator: draw from the rng argument")
