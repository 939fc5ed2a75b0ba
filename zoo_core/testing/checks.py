"""The conformance checks: each is a function over a :class:`Subject`, and its docstring says what must hold.

:mod:`zoo_core.testing.conformance` says which of them apply to a family.
"""

import copy
import json
import math
import pickle  # noqa: TID251  # of this process's own models; nothing is read from a file
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from zoo_core.capabilities import lacking
from zoo_core.config import decode, encode
from zoo_core.interfaces import CAPABILITIES, Classify, Decoder, Denoiser, Density, Encoder, Features, LogProb, ModelConfig
from zoo_core.registry import registry, resolve
from zoo_core.rng import ImageRng, Stream, isolated
from zoo_core.specs import CheckpointSpec, RecipeSpec, SamplerSpec
from zoo_core.testing.parts import Part
from zoo_core.testing.plugin_checks import findings
from zoo_core.testing.plugins import environment
from zoo_core.testing.subject import (
    ROWS,
    TOLERANCE,
    Subject,
    assert_same,
    assert_shaped,
    assert_strict,
    distance,
    global_state,
    outputs_of,
    same,
)

__all__ = [
    "check_capabilities_are_there",
    "check_classifies",
    "check_config_is_strict",
    "check_config_round_trips",
    "check_decodes",
    "check_denoises",
    "check_density_is_that_of_decode",
    "check_encode_gives_latents",
    "check_encode_inverts_decode",
    "check_gives_features",
    "check_global_generators_are_left_alone",
    "check_inputs_are_left_alone",
    "check_labels_matter",
    "check_loads_from_meta",
    "check_log_prob_is_well_formed",
    "check_models_can_be_copied_and_pickled",
    "check_more_draws_make_no_bound_worse",
    "check_noise_levels_fit",
    "check_plugin_is_light",
    "check_rows_do_not_depend_on_their_batch",
    "check_targets_resolve",
    "check_weights_survive_safetensors",
]

_SEEDS = 12
HEAVY = ("PIL", "accelerate", "einops", "huggingface_hub", "matplotlib", "numpy", "safetensors", "timm", "torch", "torchvision", "yaml")

# What the plugin says of itself


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
    """All that the plugin's specs name is there and of its kind, as ``zoo plugins --check`` tells; the default sampler fits the model."""
    for name, wrong in findings(subject.plugin).items():
        assert not wrong, f"{name}: {wrong}"
    family = subject.spec
    if family.sampler:
        requires = registry().spec(SamplerSpec, family.sampler).requires
        assert requires in subject.capabilities, f"the default sampler {family.sampler} requires {requires}, which {family.name} has not"


def check_config_round_trips(subject: Subject) -> None:
    """The config is the same after it went through JSON, and so are all of the family's recipes."""
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
    """The model has the methods of every capability that it must have, of no other, and the family declares them all."""
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
    return cast(Any, model).num_classes > 0 and isinstance(model, Denoiser | Decoder | Density)  # a classifier's are no choice


# Weights


def check_loads_from_meta(subject: Subject) -> None:
    """A model built on ``meta`` and given the weights with ``assign=True`` has nothing left on ``meta`` and computes the same."""
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
    """The state dict comes back from a safetensors file bit for bit, and with it what the model computes."""
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
    """A deep copy of a model and a pickled one, as multiprocessing sends it, have its parameters in their order and compute the same."""
    model = subject.model()
    try:
        others = {"copied": copy.deepcopy(model), "pickled": pickle.loads(pickle.dumps(model))}
    except Exception as error:
        raise AssertionError(f"a model cannot be copied and pickled: {type(error).__name__}: {error}") from error
    for how, other in others.items():
        names, found = ([name for name, _ in _tensors(each)] for each in (model, other))
        assert names == found, f"a {how} model has other parameters or buffers, or in another order"
        assert_same(outputs_of(subject, model), outputs_of(subject, other), f"of a {how} model")
        for (name, mine), (_, theirs) in zip(_tensors(model), _tensors(other), strict=True):
            assert not mine.numel() or mine.data_ptr() != theirs.data_ptr(), f"a {how} model shares the memory of {name}"


# Capabilities


def check_denoises(subject: Subject) -> None:
    """``denoise`` gives the shape and dtype of ``x``, finite at every trained level; ``start`` gives rows of the event's shape."""
    model = subject.model()
    denoiser, n = cast(Denoiser, model), ROWS
    lo, hi = denoiser.sigma_range
    x = denoiser.start(ImageRng(0, range(n)), hi)
    assert_shaped(x, (n, *denoiser.event.shape), "start")
    for sigma in (lo, math.sqrt(lo * hi), hi):
        x0 = denoiser.denoise(x / hi * sigma, torch.full((n,), sigma, dtype=torch.float64), subject.labels(model))
        assert_shaped(x0, (n, *denoiser.event.shape), f"denoise at sigma {sigma:g}")


def check_noise_levels_fit(subject: Subject) -> None:
    """``sigma_range`` is finite, and the model's own scheduler gives levels within it: decreasing, finite, then 0."""
    denoiser = cast(Denoiser, subject.model())
    lo, hi = denoiser.sigma_range
    assert 0 < lo <= hi < math.inf, f"sigma_range must be finite and increasing, not {lo}, {hi}"
    for steps in (1, 2, 7, 50) if lo < hi else (1,):
        sigmas = denoiser.scheduler.sigmas(steps, lo, hi)
        assert len(sigmas) == steps + 1 and sigmas[-1] == 0, f"sigmas({steps}) must be {steps} levels and 0, not {sigmas}"
        assert all(lo <= sigma <= hi for sigma in sigmas[:-1]), f"sigmas({steps}) leaves the range {lo}, {hi}: {sigmas}"
        assert all(a > b for a, b in pairwise(sigmas)), f"sigmas({steps}) does not decrease: {sigmas}"


def check_decodes(subject: Subject) -> None:
    """``decode`` of a draw from the prior gives samples of the event's shape, within its range."""
    model = subject.model()
    decoder = cast(Decoder, model)
    z = decoder.prior(ImageRng(0, range(ROWS)))
    assert len(z) == ROWS, f"the prior gives {len(z)} latents for {ROWS} rows"
    x = decoder.decode(z, subject.labels(model))
    assert_shaped(x, (ROWS, *decoder.event.shape), "decode")
    if decoder.event.range:
        (low, high), (least, most) = decoder.event.range, x.detach().aminmax()
        inside = low - TOLERANCE <= least <= most <= high + TOLERANCE
        assert inside, f"decode gives values from {least:.3g} to {most:.3g}, and event.range is [{low:g}, {high:g}]: clamp them"


def check_encode_gives_latents(subject: Subject) -> None:
    """``encode`` gives what ``decode`` takes, and the same latents every time."""
    model = subject.model()
    z = cast(Decoder, model).prior(ImageRng(0, range(ROWS)))
    labels = subject.labels(model)
    x = cast(Decoder, model).decode(z, labels)
    first, second = (cast(Encoder, model).encode(x, labels) for _ in range(2))
    assert_shaped(first, tuple(z.shape), "encode")
    assert torch.equal(first, second), "encode adds noise: it must give the posterior's mean, or the inverse"


def check_encode_inverts_decode(subject: Subject) -> None:
    """A model with an exact density is a flow: encode(decode(z)) = z."""
    model = subject.model()
    labels, (x, z) = subject.labels(model), _decoded(subject, model)
    if cast(Density, model).log_prob(x, labels, rng=ImageRng(1, range(ROWS))).kind != "exact":
        return
    difference = (cast(Encoder, model).encode(x, labels) - z).abs().max().item()
    assert difference < 1e-3, f"encode(decode(z)) differs from z by {difference:.2g}"


def _decoded(subject: Subject, model: nn.Module) -> tuple[Tensor, Tensor]:
    z = 0.5 * cast(Decoder, model).prior(ImageRng(0, range(ROWS)))
    return cast(Decoder, model).decode(z, subject.labels(model)), z


def check_log_prob_is_well_formed(subject: Subject) -> None:
    """``log_prob`` gives one finite number a row, says what kind it is and of what space; an estimate has its standard error, a mass is
    at most 1, and only images have one."""
    model = subject.model()
    result = cast(Density, model).log_prob(subject.judged(model), subject.labels(model), rng=ImageRng(1, range(ROWS)))
    assert isinstance(result, LogProb), f"log_prob gives a {type(result).__name__}, not a LogProb"
    assert result.kind in ("exact", "lower_bound", "estimate"), f"no such kind of log-probability: {result.kind!r}"
    assert result.space in ("continuous", "uint8", "binary"), f"no such space: {result.space!r}"
    assert_shaped(result.value, (ROWS,), "log_prob")
    assert result.kind != "estimate" or result.stderr is not None, "an estimate has a standard error"
    assert result.kind != "exact" or result.stderr is None, "what is exact has no standard error"
    if result.stderr is not None:
        assert_shaped(result.stderr, (ROWS,), "the standard error of log_prob")
        assert bool((result.stderr >= 0).all()), "a standard error is at least 0"
    if result.space != "continuous":
        most = result.value.max().item()
        assert most <= 0, f"a mass of {result.space} is at most 1, so its logarithm is no {most:.3g}: is the width of a level forgotten?"
        assert cast(Any, model).event.range == (-1.0, 1.0), f"{result.space} is of images in [-1, 1], and the event has another range"


def check_more_draws_make_no_bound_worse(subject: Subject) -> None:
    """A lower bound of 8 draws is, over many draws, no lower than that of one, and uses the ``rng`` that it is given."""
    model, labels = subject.model(), subject.labels(subject.model())
    density, x = cast(Density, model), subject.judged(model)
    values: dict[int, Tensor] = {}
    for k in (1, 8):
        found = [density.log_prob(x, labels, rng=ImageRng(seed, range(ROWS)), k=k) for seed in range(_SEEDS)]
        values[k] = torch.stack([each.value.double() for each in found])
        if found[0].kind != "lower_bound":
            return
    gained = values[8] - values[1]  # (seeds, ROWS)
    stderr = (gained.var(0) / _SEEDS).sqrt()
    lost = -(gained.mean(0) + 5 * stderr + TOLERANCE * (1 + values[1].abs().mean(0)))
    assert bool((lost <= 0).all()), f"the bound falls by {-gained.mean().item():.3g} nats where k grows from 1 to 8"


def check_density_is_that_of_decode(subject: Subject) -> None:
    """An exact density of few dimensions obeys the change of variables: log p(decode(z)) = log N(z) - log |det d decode / dz|."""
    model = subject.model().double()
    decoder = cast(Decoder, model)
    if math.prod(decoder.event.shape) > 256:
        return
    labels = subject.labels(model)
    z = 0.5 * decoder.prior(ImageRng(0, range(ROWS))).double()
    x = decoder.decode(z, labels)
    result = cast(Density, model).log_prob(x, labels, rng=ImageRng(1, range(ROWS)))
    if result.kind != "exact" or result.space != "continuous":
        return
    for row in range(ROWS):
        label = None if labels is None else labels[row : row + 1]
        jacobian: Tensor = torch.func.jacrev(partial(decoder.decode, labels=label))(z[row : row + 1])
        volume = torch.linalg.slogdet(jacobian.reshape(x[row].numel(), z[row].numel()))[1]
        expected = (-0.5 * (z[row] ** 2 + math.log(2 * math.pi))).sum() - volume
        difference = (result.value[row] - expected).abs().item()
        assert difference < 1e-3, f"log_prob differs by {difference:.3g} nats from the density that decode gives"


def check_labels_matter(subject: Subject) -> None:
    """There is at least one class, and another label of a row changes that row and no other."""
    model = subject.model()
    classes = cast(Any, model).num_classes
    assert isinstance(classes, int) and classes >= 1, f"num_classes must be a positive whole number, not {classes!r}"
    labels = torch.zeros(ROWS, dtype=torch.int64)
    changed = labels.clone()
    changed[1] = classes - 1
    before, after = (outputs_of(subject, model, labels=each) for each in (labels, changed))
    for name in before:
        moved = distance(before[name], after[name]).view(ROWS, -1).amax(dim=1)
        if name in ("denoise", "decode") and classes > 1 and not before[name].isnan().any():
            assert moved[1] > 0, f"{name} ignores the labels"
        moved[1] = 0
        assert moved.max() <= TOLERANCE, f"{name}: the label of row 1 changes another row"


def check_gives_features(subject: Subject) -> None:
    """``features`` gives a vector for each row, the same every time and another for another row."""
    model = subject.model()
    x = subject.batch(model).x
    first, second = (cast(Features, model).features(x) for _ in range(2))
    assert first.ndim == 2, f"features gives the shape {tuple(first.shape)}, not (n, d)"
    assert_shaped(first, (ROWS, first.shape[1]), "features")
    assert torch.equal(first, second), "features differ from call to call"
    assert bool(torch.pdist(first).min() > 0), "features are the same for different rows"


def check_classifies(subject: Subject) -> None:
    """``classify`` gives log-probabilities, the same every time; they depend on every row, and on every parameter of what does no more."""
    model = subject.model()
    judge, x = cast(Classify, model), subject.batch(model).x.requires_grad_(True)
    first, second = (judge.classify(x) for _ in range(2))
    assert_shaped(first, (ROWS, judge.num_classes), "classify")
    assert torch.equal(first, second), "log-probabilities differ from call to call"
    total = first.exp().sum(dim=1)
    assert bool((total - 1).abs().max() <= TOLERANCE), f"the probabilities of a row have the sum {total[0].item():.5g}, not 1"
    parameters = dict(model.named_parameters())
    of_x, *slopes = torch.autograd.grad(first[:, 0].sum(), [x, *parameters.values()], allow_unused=True)
    idle = [name for name, slope in zip(parameters, slopes, strict=True) if slope is None or not slope.any()]
    assert not idle or subject.capabilities - {"features", "classify"}, f"{', '.join(idle)} has no part in the probabilities"
    assert of_x is not None and bool(of_x.flatten(1).any(dim=1).all()), "the probabilities do not depend on every row"


# Promises


def check_rows_do_not_depend_on_their_batch(subject: Subject) -> None:
    """Row i is the same, to 1e-4, in every batch that it stands in: no batch statistics, no noise shared between rows."""
    model, outputs = subject.model(), {}
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
    """What the model is given is not changed in place: samplers and figures go on with it."""
    model, able, labels = subject.model(), subject.capabilities, subject.labels(subject.model())
    given: dict[str, tuple[Tensor, ...]] = {}
    if "denoise" in able:
        sigma = math.sqrt(math.prod(cast(Denoiser, model).sigma_range))
        levels = torch.full((ROWS,), sigma, dtype=torch.float64)
        given["denoise"] = (cast(Denoiser, model).start(ImageRng(0, range(ROWS)), sigma), levels)
    if "decode" in able:
        given["decode"] = (cast(Decoder, model).prior(ImageRng(0, range(ROWS))),)
    given |= {name: (subject.batch(model).x,) for name in ("encode", "features", "classify") if name in able}
    given |= {"log_prob": (subject.judged(model),)} if "density" in able else {}
    for name, tensors in given.items():
        kept, more = [each.clone() for each in tensors], {"rng": ImageRng(2, range(ROWS))} if name == "log_prob" else {}
        with torch.no_grad():
            method = getattr(model, name)
            method(*tensors, **more) if name in ("features", "classify") else method(*tensors, labels, **more)
        assert all(map(same, tensors, kept)), f"{name} changes what it is given in place"


def check_global_generators_are_left_alone(subject: Subject) -> None:
    """What the model computes neither reads nor moves the global generators of torch, numpy and Python."""
    model, outputs = subject.model(), []
    for seed in (1, 2):
        with isolated(seed, stream=Stream.STEP):
            before = global_state()
            outputs.append(outputs_of(subject, model))
            assert global_state() == before, "a global random generator was moved: draw from the rng argument"
    assert_same(outputs[0], outputs[1], "with the state of torch's global generator: draw from the rng argument")
