"""The text of a model card: front matter, summary, numbers, training and the way to use the model."""

import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zoo_core.cards.card import DATASET, LIBRARY, ModelCard
from zoo_core.cards.markdown import code, describe
from zoo_core.cards.metrics import model_index
from zoo_core.cards.metrics_log import recorded_curve
from zoo_core.cards.tables import numbers_section

__all__ = [
    "CLASSIFICATION",
    "DRAFT_LICENSE",
    "DRAFT_LIMIT",
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
"""How the reference of a folder begins."""
CLASSIFICATION = "image-classification"
"""The Hub's tag of a model that judges images and draws none; its card says how to ask it."""
DRAFT_LICENSE = "unknown"
"""What a draft says in the place of a licence."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Words:
    """What a person says about a checkpoint, beside what its files say of themselves.

    Args:
        summary: one sentence that says what it is.
        license: of the weights, by its name on the Hub.
        license_note: where the licence comes from.
        datasets: names for the front matter, such as ``mnist``; where there are none, the one of the recipe, unless that is a folder.
        data: the data set in words, such as "AFHQ cat, 4,656 images".
        paper: such as ``arXiv:2006.11239``.
        pipeline: the Hub's tag of its task: :data:`PIPELINE`, :data:`CLASSIFICATION` for a model that draws nothing, empty for samples that
            are no images. None chooses the first or the last by the shape of the data in training.json.
        limits: what it cannot do.
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
        name: of the checkpoint.
        config: its config.json.
        training: its training.json: ``recipe``, ``command``, ``steps``, ``hours``, ``processor``, ``commit``, ``versions``, ``data``,
            ``curve``, and ``sheet``, where the columns of its samples.png are classes; what is missing is left out. Every number on the
            card comes from here and from ``metrics``.
        words: the rest.
        reference: the name that it is loaded by, such as ``local:runs/cat``; that of the checkpoint when empty.
        plugin: the distribution that has its family.
        metrics: its metrics.json, see :mod:`zoo_core.cards.metrics`.
        pictures: the names of the pictures in its folder; those of its numbers are shown.

    Raises:
        ConfigError: metrics.json is wrong.
    """
    family, pipeline = family_name(config), _pipeline(training) if words.pipeline is None else words.pipeline
    front: dict[str, Any] = {"license": words.license, "library_name": LIBRARY}
    front |= {"pipeline_tag": pipeline} if pipeline else {}
    datasets = list(words.datasets) or _made_set(training)
    front |= {"datasets": datasets} if datasets else {}
    front["tags"] = [LIBRARY, family]
    front |= {"zoo": {"family": family, "plugin": plugin}} if plugin else {}
    front |= (
        {"model-index": model_index(name, metrics, pipeline, config.get("sampler"), config.get("scheduler"))} if metrics is not None else {}
    )
    draws = pipeline != CLASSIFICATION
    drawn = _grid(training.get("sheet")) if pipeline else "![samples](samples.png)"
    body = [
        f"# {name}\n\n{words.summary}",
        drawn if draws else "",
        use_section(reference or name, config, plugin, pipeline),
        numbers_section(name, metrics, pictures),
        _training(training),
        _data(training, words.data),
        f"## Licence\n\n{words.license}{f': {words.license_note}' if words.license_note else ''}",
        "## Limits\n\n" + "\n".join(f"- {text}" for text in (*words.limits, *(_LIMITS if draws else _LIMITS[1:]))),
        _citation(family, words.paper),
    ]
    return ModelCard(front, "\n\n".join(part for part in body if part) + "\n")


def _made_set(training: Mapping[str, Any]) -> list[str]:
    """The name of the data set in a training.json, where that names one by itself, such as ``moons``; a folder's path is nobody's name."""
    recipe = training.get("recipe")
    data = recipe.get("data") if isinstance(recipe, Mapping) else None
    name = data.get("name") if isinstance(data, Mapping) and "path" not in data else None
    bare = name.rpartition(":")[2] if isinstance(name, str) else ""
    return [bare] if DATASET.fullmatch(bare) else []


def _pipeline(training: Mapping[str, Any]) -> str:
    """The tag of a model that draws samples such as it was trained on: images, unless their shape is known to be another."""
    shape = training.get("data", {}).get("shape")
    return "" if shape is not None and not (len(shape) == 3 and shape[0] in (1, 3)) else PIPELINE


def _grid(sheet: Mapping[str, Any] | None) -> str:
    count, how = (sheet["images"], ", each column of one class") if sheet else (64, "")
    return f"![{count} samples in a grid](samples.png)\n\nImages 0 to {count - 1} of seed 0{how}, not chosen."


_LIMITS = (
    "It draws from what its training data shows, with that data's gaps and biases; nothing that it draws exists.",
    "It is made for study and research.",
)


DRAFT_LIMIT = "This card is a draft: say what it is, where its data comes from and under which licence it may be used."
"""What a draft says among its limits."""


def draft(name: str, config: Mapping[str, Any], training: Mapping[str, Any], pipeline: str | None = None, *, reference: str = "") -> str:
    """The text of a card for a run that nobody has described yet: valid, with the licence and the data to be filled in.

    The arguments are those of :func:`render` and :class:`Words`.
    """
    words = Words(summary=f"A {family_name(config)} model.", license=DRAFT_LICENSE, pipeline=pipeline, limits=(DRAFT_LIMIT,))
    return str(render(name, config, training, words, reference=reference))


def family_name(config: Mapping[str, Any]) -> str:
    """The name of the family, without the distribution by which a config tells it from another of that name."""
    return str(config["model"]["name"]).rpartition(":")[2]


def use_section(name: str, config: Mapping[str, Any], plugin: str, pipeline: str = PIPELINE) -> str:
    """How to get and to use the checkpoint that is loaded by ``name``; nothing has to be pulled where that is ``local:PATH``."""
    pull = "" if name.startswith(LOCAL) else f"zoo pull {name}\n"
    if pipeline == CLASSIFICATION:
        return _use_of_a_judge(name, plugin, pull)
    walk = " on ".join(describe(config[key]) for key in ("sampler", "scheduler") if config.get(key))
    own = f"\nBy default it is sampled by {code(walk)}.\n" if walk else ""
    needs = f"\n{needs_line(plugin)}\n" if plugin else ""
    last = _classes(config) - 1
    shell = shlex.quote(name)
    command = f"\nzoo sample {shell} -n 16 --seed 0 --labels {last} --out class.png" if last >= 0 else ""
    call = f"\nof_class = model.sample(16, seed=0, labels={last})  # one class, or one for each: 0 ... {last}" if last >= 0 else ""
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
{own}
{"Image" if pipeline else "Sample"} i of a seed is always drawn from the same noise, whatever the batch size and device.""".strip()


def _classes(config: Mapping[str, Any]) -> int:
    """How many classes the model has, where its config says it by the usual name."""
    count = config["model"].get("num_classes", 0)
    return count if type(count) is int else 0


def _use_of_a_judge(name: str, plugin: str, pull: str) -> str:
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
    """The sentence that names the package which a checkpoint needs."""
    return f"It needs the package `{plugin}`, a plugin of {LIBRARY}."


def load_call(reference: str) -> str:
    """The call that loads a checkpoint."""
    return f'zoo_core.load("{reference}")'


def _training(training: Mapping[str, Any]) -> str:
    steps, hours = training.get("steps"), training.get("hours")
    told = " ".join(
        filter(
            None,
            [
                f"{steps:,} steps" if steps is not None else "",
                f"in {hours:g} hours" if hours is not None else "",
                f"on {training['processor']}" if training.get("processor") else "",
            ],
        )
    )
    versions = ", ".join(f"{name} {version}" for name, version in training.get("versions", {}).items())
    lines = [f"{told}." if told else "", _curve(recorded_curve(training)), f"Versions: {versions}." if versions else ""]
    lines.append(f"{LIBRARY} commit: `{training['commit']}`." if training.get("commit") else "")
    command = f"```sh\n{training['command']}\n```" if training.get("command") else ""
    table = "\n".join(["| part | value |", "|---|---|", *_table(training.get("recipe", {}))])
    told = " ".join(filter(None, lines))
    return "\n\n".join(filter(None, ["## Training", command, told, table, "All of it, with the curve of the loss, is in training.json."]))


def _curve(curve: Mapping[str, Sequence[float | None]]) -> str:
    steps = curve.get("step", ())
    losses = [name for name in curve if name == "loss" or name.startswith("loss.")]
    told = []
    for name in losses:
        # A phase that does not run at every step has gaps.
        points = [(step, value) for step, value in zip(steps, curve[name], strict=True) if value is not None]
        if points:
            (first, high), (last, low) = points[0], points[-1]
            told.append(f"`{name}` went from {high:.3g} (by step {first:,}) to {low:.3g} (by step {last:,})")
    return "; ".join(told) + "." if told else ""


def _table(recipe: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in recipe.items():
        if isinstance(value, Mapping) and value:
            yield f"| {prefix}{name} | {code(describe(value))} |".replace("|  |", "| |")
            yield from _table({key: item for key, item in value.items() if isinstance(item, Mapping)}, f"{prefix}{name}.")


def _data(training: Mapping[str, Any], words: str) -> str:
    facts = training.get("data", {})
    count = f"{facts['count']:,}" if facts.get("count") else ""
    told = [f"{words}." if words else "", f"{count} samples." if count and count not in words else ""]
    told.append(f"The sha256 of what training saw, before mirroring, is `{facts['digest']}`." if facts.get("digest") else "")
    return "\n\n".join(["## Data", " ".join(filter(None, told))]) if any(told) else ""


def _citation(family: str, paper: str) -> str:
    if not paper.startswith("arXiv:"):
        return f"## Citation\n\n{paper}" if paper else ""
    number = paper.removeprefix("arXiv:")
    return f"## Citation\n\nThe family {family} follows [{paper}](https://arxiv.org/abs/{number}); please cite it."
