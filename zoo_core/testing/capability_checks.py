"""The conformance checks of capabilities: each is a function over a :class:`~zoo_core.testing.tested_family.Subject`."""

import math
from functools import partial
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor, nn

from zoo_core.capabilities import lacking
from zoo_core.interfaces import Classify, Conditional, Decoder, Denoiser, Density, Encoder, Features, Filler, LatentModel, LogProb
from zoo_core.rng import ImageRng
from zoo_core.testing.tested_family import ROWS, TOLERANCE, Subject, assert_shaped, distance, outputs_of

__all__ = [
    "check_classifies",
    "check_decodes",
    "check_denoises",
    "check_density_is_that_of_decode",
    "check_encode_gives_latents",
    "check_encode_inverts_decode",
    "check_fills",
    "check_gives_features",
    "check_has_latents",
    "check_labels_matter",
    "check_log_prob_is_well_formed",
    "check_more_draws_make_no_bound_worse",
    "check_noise_levels_fit",
    "check_takes_conditions",
]

_SEEDS = 12


def check_denoises(subject: Subject) -> None:
    """``denoise`` returns the shape and dtype of ``x``, finite at every trained level; ``start`` returns rows of the event's shape."""
    model = subject.model()
    denoiser = cast(Denoiser, model)
    shape = (ROWS, *denoiser.event.shape)
    lo, hi = denoiser.sigma_range
    x = denoiser.start(ImageRng(0, range(ROWS)), hi)
    assert_shaped(x, shape, "start")
    for sigma in (lo, math.sqrt(lo * hi), hi):
        x0 = denoiser.denoise(x / hi * sigma, torch.full((ROWS,), sigma, dtype=torch.float64), subject.labels(model))
        assert_shaped(x0, shape, f"denoise at sigma {sigma:g}")


def check_noise_levels_fit(subject: Subject) -> None:
    """``sigma_range`` is finite, and the levels of the model's own scheduler lie within it: decreasing, finite, then 0."""
    denoiser = cast(Denoiser, subject.model())
    lo, hi = denoiser.sigma_range
    assert 0 < lo <= hi < math.inf, f"sigma_range must be finite and increasing, not {lo}, {hi}"
    for steps in (1, 2, 7, 50) if lo < hi else (1,):
        sigmas = denoiser.scheduler.sigmas(steps, lo, hi)
        assert len(sigmas) == steps + 1 and sigmas[-1] == 0, f"sigmas({steps}) must be {steps} levels and 0, not {sigmas}"
        assert all(lo <= sigma <= hi for sigma in sigmas[:-1]), f"sigmas({steps}) leaves the range {lo}, {hi}: {sigmas}"
        assert all(a > b for a, b in pairwise(sigmas)), f"sigmas({steps}) does not decrease: {sigmas}"


def check_has_latents(subject: Subject) -> None:
    """``latent`` is a denoiser without a range; ``decode`` maps its latents into the event's range, and ``encode`` gives such latents."""
    model = subject.model()
    latent = cast(LatentModel, model).latent
    flaw = lacking(latent, "denoise")
    assert not flaw, f"latent {flaw}"
    assert latent.event.range is None, "the latents' event has a range: samplers would clamp them"
    shape = (ROWS, *latent.event.shape)
    z = latent.start(ImageRng(0, range(ROWS)), 1.0)
    assert_shaped(z, shape, "latent.start")
    assert_shaped(latent.denoise(z, torch.ones(ROWS, dtype=torch.float64), subject.labels(model)), shape, "latent.denoise")
    event = cast(LatentModel, model).event
    x = cast(LatentModel, model).decode(z, subject.labels(model)).detach()
    assert_shaped(x, (ROWS, *event.shape), "decode", event.categories)
    low, high = event.range or (-math.inf, math.inf)
    assert low - TOLERANCE <= float(x.min()) and float(x.max()) <= high + TOLERANCE, "decode leaves event.range: clamp its values"
    if "encode" in subject.capabilities:
        assert_shaped(cast(Encoder, model).encode(x, subject.labels(model)), shape, "encode")


def check_takes_conditions(subject: Subject) -> None:
    """``conditioned`` returns a denoiser with the event of the unconditional one, and the condition of a row changes that row alone."""
    model = subject.model()
    assert subject.capabilities & {"denoise", "latent"}, "a model with conditions needs the capability denoise or latent too"
    plain = cast(LatentModel, model).latent if "latent" in subject.capabilities else cast(Denoiser, model)
    condition = subject.conditions(model)
    changed = condition.clone()
    changed[1] = -condition[1]
    estimates = []
    for each in (condition, changed):
        given = cast(Conditional, model).conditioned(each, ImageRng(4, range(ROWS)))
        flaw = lacking(given, "denoise")
        assert not flaw, f"what conditioned returns {flaw}"
        assert given.event == plain.event, f"conditioned changes the event from {plain.event} to {given.event}"
        sigma = math.sqrt(math.prod(given.sigma_range))
        x = plain.start(ImageRng(0, range(ROWS)), sigma)
        x0 = given.denoise(x, torch.full((ROWS,), sigma, dtype=torch.float64), subject.labels(model)).detach()
        assert_shaped(x0, (ROWS, *plain.event.shape), "denoise of conditioned")
        estimates.append(x0)
    moved = distance(*estimates).view(ROWS, -1).amax(dim=1)
    assert moved[1] > 0, "the condition changes nothing"
    moved[1] = 0
    assert moved.max() <= TOLERANCE, "the condition of row 1 changes another row"
    examples = getattr(model, "example_conditions", None)
    event = cast(Conditional, model).condition_event
    assert examples is None or tuple(examples.shape[1:]) == tuple(event.shape), "example_conditions have another shape than condition_event"


def check_fills(subject: Subject) -> None:
    """``fill`` returns samples of the event's shape, within its range; what it fills in depends on the known part of its row alone."""
    model = subject.model()
    filler = cast(Filler, model)
    known, mask = subject.known(model)
    x = filler.fill(known, mask, ImageRng(5, range(ROWS))).detach()
    assert_shaped(x, (ROWS, *filler.event.shape), "fill")
    low, high = filler.event.range or (-math.inf, math.inf)
    assert low - TOLERANCE <= float(x.min()) and float(x.max()) <= high + TOLERANCE, "fill leaves event.range: clamp its values"
    changed = known.clone()
    changed[1] = -changed[1]
    moved = distance(x, filler.fill(changed, mask, ImageRng(5, range(ROWS))).detach()).view(ROWS, -1).amax(dim=1)
    assert moved[1] > 0, "what fill draws does not depend on the known part"
    moved[1] = 0
    assert moved.max() <= TOLERANCE, "the known part of row 1 changes another row"


def check_decodes(subject: Subject) -> None:
    """``decode`` returns samples of the event's shape, within its range, for draws from the prior."""
    model = subject.model()
    decoder = cast(Decoder, model)
    z = decoder.prior(ImageRng(0, range(ROWS)))
    assert len(z) == ROWS, f"the prior gives {len(z)} latents for {ROWS} rows"
    x = decoder.decode(z, subject.labels(model))
    assert_shaped(x, (ROWS, *decoder.event.shape), "decode", decoder.event.categories)
    if decoder.event.range:
        (low, high), (least, most) = decoder.event.range, x.detach().aminmax()
        inside = low - TOLERANCE <= least <= most <= high + TOLERANCE
        assert inside, f"decode gives values from {least:.3g} to {most:.3g}, and event.range is [{low:g}, {high:g}]: clamp them"


def check_encode_gives_latents(subject: Subject) -> None:
    """``encode`` returns latents of the prior's shape, the same every time."""
    model = subject.model()
    z = cast(Decoder, model).prior(ImageRng(0, range(ROWS)))
    labels = subject.labels(model)
    x = cast(Decoder, model).decode(z, labels)
    first, second = (cast(Encoder, model).encode(x, labels) for _ in range(2))
    assert_shaped(first, tuple(z.shape), "encode")
    assert torch.equal(first, second), "encode adds noise: it must give the posterior's mean, or the inverse"


def check_encode_inverts_decode(subject: Subject) -> None:
    """A model with an exact density and as many latents as dimensions is a flow: encode(decode(z)) = z."""
    model = subject.model()
    labels = subject.labels(model)
    x, z = _decoded(subject, model)
    if z.numel() != x.numel():
        return
    if cast(Density, model).log_prob(x, labels, rng=ImageRng(1, range(ROWS))).kind != "exact":
        return
    difference = (cast(Encoder, model).encode(x, labels) - z).abs().max().item()
    assert difference < 1e-3, f"encode(decode(z)) differs from z by {difference:.2g}"


def _decoded(subject: Subject, model: nn.Module) -> tuple[Tensor, Tensor]:
    z = 0.5 * cast(Decoder, model).prior(ImageRng(0, range(ROWS)))
    return cast(Decoder, model).decode(z, subject.labels(model)), z


def check_log_prob_is_well_formed(subject: Subject) -> None:
    """``log_prob`` returns a finite number for each row, with its kind and space.

    An estimate has a standard error; a mass is at most 1, and only images and categories have one.
    """
    model = subject.model()
    result = cast(Density, model).log_prob(subject.judged(model), subject.labels(model), rng=ImageRng(1, range(ROWS)))
    assert isinstance(result, LogProb), f"log_prob gives a {type(result).__name__}, not a LogProb"
    assert result.kind in ("exact", "lower_bound", "estimate"), f"unknown kind of log-probability: {result.kind!r}"
    assert result.space in ("continuous", "uint8", "binary", "categorical"), f"unknown space: {result.space!r}"
    assert_shaped(result.value, (ROWS,), "log_prob")
    assert result.kind != "estimate" or result.stderr is not None, "an estimate has a standard error"
    assert result.kind != "exact" or result.stderr is None, "an exact log-probability has no standard error"
    if result.stderr is not None:
        assert_shaped(result.stderr, (ROWS,), "the standard error of log_prob")
        assert bool((result.stderr >= 0).all()), "a standard error is at least 0"
    if result.space != "continuous":
        most = result.value.max().item()
        assert most <= 0, f"a mass of {result.space} is at most 1, so its logarithm cannot be {most:.3g}: is the width of a level missing?"
    event = cast(Any, model).event
    assert (result.space == "categorical") == (event.categories is not None), (
        f"the space {result.space} does not fit {event.categories or 'no'} categories"
    )
    if result.space in ("uint8", "binary"):
        assert event.range == (-1.0, 1.0), f"{result.space} is of images in [-1, 1], and the event has another range"


def check_more_draws_make_no_bound_worse(subject: Subject) -> None:
    """A lower bound from 8 draws is, over many draws, at least that from one, and uses its argument ``rng``."""
    model = subject.model()
    density = cast(Density, model)
    labels = subject.labels(model)
    x = subject.judged(model)
    values: dict[int, Tensor] = {}
    for k in (1, 8):
        bounds = [density.log_prob(x, labels, rng=ImageRng(seed, range(ROWS)), k=k) for seed in range(_SEEDS)]
        values[k] = torch.stack([bound.value.double() for bound in bounds])
        if bounds[0].kind != "lower_bound":
            return
    gained = values[8] - values[1]  # (seeds, ROWS)
    stderr = (gained.var(0) / _SEEDS).sqrt()
    lost = -(gained.mean(0) + 5 * stderr + TOLERANCE * (1 + values[1].abs().mean(0)))
    assert bool((lost <= 0).all()), f"the bound falls by {-gained.mean().item():.3g} nats from k = 1 to k = 8"


def check_density_is_that_of_decode(subject: Subject) -> None:
    """The exact density of a flow of few dimensions obeys the change of variables: log p(decode(z)) = log N(z) - log |det d decode / dz|.

    A flow has as many latents as dimensions.
    """
    model = subject.model().double()
    decoder = cast(Decoder, model)
    if math.prod(decoder.event.shape) > 256:
        return
    labels = subject.labels(model)
    z = 0.5 * decoder.prior(ImageRng(0, range(ROWS))).double()
    x = decoder.decode(z, labels)
    if z.numel() != x.numel():
        return
    result = cast(Density, model).log_prob(x, labels, rng=ImageRng(1, range(ROWS)))
    if result.kind != "exact" or result.space != "continuous":
        return
    for row in range(ROWS):
        label = None if labels is None else labels[row : row + 1]
        jacobian: Tensor = torch.func.jacrev(partial(decoder.decode, labels=label))(z[row : row + 1])
        volume = torch.linalg.slogdet(jacobian.reshape(x[row].numel(), z[row].numel()))[1]
        expected = (-0.5 * (z[row] ** 2 + math.log(2 * math.pi))).sum() - volume
        difference = (result.value[row] - expected).abs().item()
        assert difference < 1e-3, f"log_prob differs by {difference:.3g} nats from the density of decode"


def check_labels_matter(subject: Subject) -> None:
    """There is at least one class, and the label of a row changes that row alone."""
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
    """``features`` returns a vector for each row, the same every time, and different for different rows."""
    model = subject.model()
    x = subject.batch(model).x
    first, second = (cast(Features, model).features(x) for _ in range(2))
    assert first.ndim == 2, f"features gives the shape {tuple(first.shape)}, not (n, d)"
    assert_shaped(first, (ROWS, first.shape[1]), "features")
    assert torch.equal(first, second), "features differ from call to call"
    assert bool(torch.pdist(first).min() > 0), "features are the same for different rows"


def check_classifies(subject: Subject) -> None:
    """``classify`` returns log-probabilities, the same every time, which depend on every row.

    If the model can do no more, they depend on every parameter too.
    """
    model = subject.model()
    judge = cast(Classify, model)
    x = subject.batch(model).x.requires_grad_(True)
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
