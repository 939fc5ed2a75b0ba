"""The text of a model card: front matter, summary, numbers, training and the way to use the model."""

import json
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zoo_core.cards.card import DATASET, LIBRARY, ModelCard
from zoo_core.cards.facts import commits_of
from zoo_core.cards.markdown import code, describe
from zoo_core.cards.metrics_json import model_index
from zoo_core.cards.metrics_log import recorded_curve
from zoo_core.cards.tables import numbers_section

__all__ = [
    "CLASSIFICATION",
    "DRAFT_LICENSE",
    "DRAFT_LIMIT",
    "FILLING",
    "LOCAL",
    "PIPELINE",
    "Words",
    "draft",
    "family_name",
    "load_call",
    "needs_line",
    "render",
    "use_section",
]

PIPELINE = "unconditional-image-generation"
LOCAL = "local:"
"""Prefix of a reference to a folder."""
CLASSIFICATION = "image-classification"
"""The Hub's tag of a classifier, which draws no images; its card shows how to classify some."""
FILLING = "image-to-image"
"""The Hub's tag of a model that fills holes in images; its card shows how to fill some."""
DRAFT_LICENSE = "unknown"
"""Placeholder of the licence in a draft."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Words:
    """The text of a card that a person writes; everything else comes from the checkpoint's files.

    Args:
        summary: one sentence that describes the model.
        license: licence of the weights, by its name on the Hub.
        license_note: origin of the licence.
        datasets: names for the front matter, such as ``mnist``; by default that of the recipe, unless it is a folder.
        data: the data set in words, such as "AFHQ cat, 4,656 images".
        paper: the paper to cite, such as ``arXiv:2006.11239``.
        pipeline: the Hub's tag of its task: :data:`PIPELINE`, :data:`CLASSIFICATION` for a classifier, :data:`FILLING` for a model that
            fills holes, empty for samples that are not images. None chooses the first or the last by the shape of the data in
            training.json.
        limits: a sentence for each limitation.

    Example:
        >>> from zoo_core.cards import Words
        >>> words = Words(summary="A flow that draws moons.", license="mit", paper="arXiv:1605.08803")
        >>> words.pipeline is None
        True
    """

    summary: str
    license: str
    license_note: str = ""
    datasets: tuple[str, ...] = ()
    data: str = ""
    paper: str = ""
    pipeline: str | None = None
    limits: tuple[str, ...] = ()


def render(
    name: str,
    config: Mapping[str, Any],
    training: Mapping[str, Any],
    words: Words,
    *,
    reference: str = "",
    plugin: str = "",
    metrics: Mapping[str, Any] | None = None,
    pictures: Collection[str] = (),
) -> ModelCard:
    """The card of a trained checkpoint.

    Args:
        name: name of the checkpoint.
        config: content of its config.json.
        training: content of its training.json: ``recipe``, ``command``, ``steps``, ``hours``, ``processor``,
            ``commit`` of zoo-core, ``commits`` of plugins, ``versions``, ``data``, ``curve``, and ``sheet`` if the columns of its
            samples.png are classes; missing keys are left out. Every number on the card comes from here and from ``metrics``.
        words: the text that a person writes.
        reference: the name that it is loaded by, such as ``local:runs/cat``; by default ``name``.
        plugin: the distribution that has its family; may be empty.
        metrics: content of its metrics.json, see :mod:`zoo_core.cards.metrics_json`.
        pictures: names of the pictures in its folder; pictures of its numbers are shown.

    Raises:
        ConfigError: if metrics.json is not valid.
    """
    family = family_name(config)
    pipeline = _pipeline(training) if words.pipeline is None else words.pipeline
    front: dict[str, Any] = {"license": words.license, "library_name": LIBRARY}
    front |= {"pipeline_tag": pipeline} if pipeline else {}
    datasets = list(words.datasets) or _generated_data(training)
    front |= {"datasets": datasets} if datasets else {}
    front["tags"] = [LIBRARY, family]
    front |= {"zoo": {"family": family, "plugin": plugin}} if plugin else {}
    if metrics is not None:
        front["model-index"] = model_index(name, metrics, pipeline, config.get("sampler"), config.get("scheduler"))
    draws = pipeline not in (CLASSIFICATION, FILLING)
    prompts = training.get("prompts") or ()
    samples = _captioned(prompts) if prompts else _grid(training.get("sheet")) if pipeline else "![samples](samples.png)"
    body = [
        f"# {name}\n\n{words.summary}",
        samples if draws else _filled(pictures) if pipeline == FILLING else "",
        use_section(reference or name, config, plugin, pipeline, prompt=prompts[0] if prompts else ""),
        numbers_section(name, metrics, pictures),
        _training(training),
        _data(training, words.data),
        f"## Licence\n\n{words.license}{f': {words.license_note}' if words.license_note else ''}",
        "## Limits\n\n" + "\n".join(f"- {text}" for text in (*words.limits, *(_LIMITS if draws else _LIMITS[1:]))),
        _citation(family, words.paper),
    ]
    return ModelCard(front, "\n\n".join(part for part in body if part) + "\n")


def _generated_data(training: Mapping[str, Any]) -> list[str]:
    """The name of the data set in a training.json, such as ``moons``; the path of a folder is not a name."""
    recipe = training.get("recipe")
    data = recipe.get("data") if isinstance(recipe, Mapping) else None
    name = data.get("name") if isinstance(data, Mapping) and "path" not in data else None
    bare = name.rpartition(":")[2] if isinstance(name, str) else ""
    return [bare] if DATASET.fullmatch(bare) else []


def _pipeline(training: Mapping[str, Any]) -> str:
    """The Hub's tag of a model by the shape of its data: images, unless training.json has another shape."""
    shape = training.get("data", {}).get("shape")
    return "" if shape is not None and not (len(shape) == 3 and shape[0] in (1, 3)) else PIPELINE


def _captioned(prompts: Sequence[str]) -> str:
    return (
        f"![36 samples, each above its prompt](samples.png)\n\nImages 0 to 35 of seed 0, without guidance, not chosen; the prompts are the "
        f"first {len(prompts)} captions of the training data in its shuffled order, in turns."
    )


def _grid(sheet: Mapping[str, Any] | None) -> str:
    count = sheet["images"] if sheet else 64
    columns = ", each column of one class" if sheet else ""
    return f"![{count} samples in a grid](samples.png)\n\nImages 0 to {count - 1} of seed 0{columns}, not chosen."


def _filled(pictures: Collection[str]) -> str:
    return "![images, their known part, and the filled images](filled.png)" if "filled.png" in pictures else ""


_LIMITS = (
    "It draws from what its training data shows, with that data's gaps and biases; nothing that it draws exists.",
    "It is made for study and research.",
)


DRAFT_LIMIT = "This card is a draft: say what it is, where its data comes from and under which licence it may be used."
"""Placeholder among the limits of a draft."""


def draft(name: str, config: Mapping[str, Any], training: Mapping[str, Any], pipeline: str | None = None, *, reference: str = "") -> str:
    """The text of a card for a run without a description: valid, with placeholders for the licence and the data.

    The arguments are those of :func:`render` and :class:`Words`.
    """
    words = Words(summary=f"A {family_name(config)} model.", license=DRAFT_LICENSE, pipeline=pipeline, limits=(DRAFT_LIMIT,))
    return str(render(name, config, training, words, reference=reference))


def family_name(config: Mapping[str, Any]) -> str:
    """The name of the family in a config.json, without the distribution that may stand before it."""
    return str(config["model"]["name"]).rpartition(":")[2]


def use_section(name: str, config: Mapping[str, Any], plugin: str, pipeline: str = PIPELINE, *, prompt: str = "") -> str:
    """The section of a card that shows how to pull and use a checkpoint.

    Args:
        name: the reference that it is loaded by; ``local:PATH`` needs no pull.
        config: content of its config.json.
        plugin: the distribution that has its family; may be empty.
        pipeline: the Hub's tag of its task.
        prompt: a prompt that it knows; empty for a model without prompts.
    """
    pull = "" if name.startswith(LOCAL) else f"zoo pull {name}\n"
    if pipeline == CLASSIFICATION:
        return _classifier_use(name, plugin, pull)
    if pipeline == FILLING:
        return _filler_use(name, plugin, pull)
    sampler = " on ".join(describe(config[key]) for key in ("sampler", "scheduler") if config.get(key))
    default = f"\nBy default it is sampled by {code(sampler)}.\n" if sampler else ""
    needs = f"\n{needs_line(plugin)}\n" if plugin else ""
    last = _classes(config) - 1
    shell = shlex.quote(name)
    command = f"\nzoo sample {shell} -n 16 --seed 0 --labels {last} --out class.png" if last >= 0 else ""
    call = f"\nof_class = model.sample(16, seed=0, labels={last})  # one class, or one for each: 0 ... {last}" if last >= 0 else ""
    if prompt:
        command = f"\nzoo sample {shell} -n 16 --seed 0 --prompt {shlex.quote(prompt)} --guidance 3 --out prompt.png"
        call = f"\nof_prompt = model.sample(16, seed=0, prompts=[{json.dumps(prompt)}], guidance=3.0)"
    return f"""## Use
{needs}
```sh
{pull}zoo sample {shell} -n 16 --seed 0 --out samples.png{command}
```

```python
import zoo_core

model = {load_call(name)}
samples = model.sample(16, seed=0){call}
```
{default}
{"Image" if pipeline else "Sample"} i of a seed is always drawn from the same noise, whatever the batch size and device.""".strip()


def _classes(config: Mapping[str, Any]) -> int:
    """The number of classes of the model; 0 if its config has no ``num_classes``."""
    count = config["model"].get("num_classes", 0)
    return count if type(count) is int else 0


def _filler_use(name: str, plugin: str, pull: str) -> str:
    needs = f"\n{needs_line(plugin)}\n" if plugin else ""
    return f"""## Use
{needs}
```sh
{pull}zoo figure {shlex.quote(name)} inpaint --image photo.jpg --mask left
```

```python
import zoo_core

model = {load_call(name)}
filled = model.inpaint(images, mask)  # (n, *model.event.shape) in [-1, 1]; a mask of any shape that fits, 1 where images are known
```"""


def _classifier_use(name: str, plugin: str, pull: str) -> str:
    needs = f"\n{needs_line(plugin)}\n" if plugin else ""
    command = f"\n```sh\n{pull}```\n" if pull else ""
    return f"""## Use
{needs}{command}
```python
import zoo_core

model = {load_call(name)}
features = model.features(images)  # (n, d), for images (n, *model.event.shape) in [-1, 1]
log_probabilities = model.classify(images)  # (n, num_classes)
```"""


def needs_line(plugin: str) -> str:
    """The sentence that names the package that a checkpoint needs."""
    return f"It needs the package `{plugin}`, a plugin of {LIBRARY}."


def load_call(reference: str) -> str:
    """The call that loads a checkpoint."""
    return f'zoo_core.load("{reference}")'


def _training(training: Mapping[str, Any]) -> str:
    steps = training.get("steps")
    hours = training.get("hours")
    effort = [
        f"{steps:,} steps" if steps is not None else "",
        f"in {hours:g} hours" if hours is not None else "",
        f"on {training['processor']}" if training.get("processor") else "",
    ]
    versions = ", ".join(f"{name} {version}" for name, version in training.get("versions", {}).items())
    sentences = [
        f"{' '.join(filter(None, effort))}." if any(effort) else "",
        _curve(recorded_curve(training)),
        f"Versions: {versions}." if versions else "",
        *(f"{name} commit: `{commit}`." for name, commit in commits_of(training).items()),
    ]
    parts = [
        "## Training",
        f"```sh\n{training['command']}\n```" if training.get("command") else "",
        " ".join(filter(None, sentences)),
        "\n".join(["| part | value |", "|---|---|", *_table(training.get("recipe", {}))]),
        "All of it, with the curve of the loss, is in training.json.",
    ]
    return "\n\n".join(filter(None, parts))


def _curve(curve: Mapping[str, Sequence[float | None]]) -> str:
    steps = curve.get("step", ())
    losses = [name for name in curve if name == "loss" or name.startswith("loss.")]
    sentences = []
    for name in losses:
        # A phase that does not run at every step has gaps.
        points = [(step, value) for step, value in zip(steps, curve[name], strict=True) if value is not None]
        if points:
            first, high = points[0]
            last, low = points[-1]
            sentences.append(f"`{name}` went from {high:.3g} (by step {first:,}) to {low:.3g} (by step {last:,})")
    return "; ".join(sentences) + "." if sentences else ""


def _table(recipe: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in recipe.items():
        if isinstance(value, Mapping) and value:
            yield f"| {prefix}{name} | {code(describe(value))} |".replace("|  |", "| |")
            yield from _table({key: item for key, item in value.items() if isinstance(item, Mapping)}, f"{prefix}{name}.")


def _data(training: Mapping[str, Any], words: str) -> str:
    facts = training.get("data", {})
    count = f"{facts['count']:,}" if facts.get("count") else ""
    sentences = [
        f"{words}." if words else "",
        f"{count} samples." if count and count not in words else "",
        f"The sha256 of what training saw, before mirroring, is `{facts['digest']}`." if facts.get("digest") else "",
    ]
    return "\n\n".join(["## Data", " ".join(filter(None, sentences))]) if any(sentences) else ""


def _citation(family: str, paper: str) -> str:
    if not paper.startswith("arXiv:"):
        return f"## Citation\n\n{paper}" if paper else ""
    number = paper.removeprefix("arXiv:")
    return f"## Citation\n\nThe family {family} follows [{paper}](https://arxiv.org/abs/{number}); please cite it."
