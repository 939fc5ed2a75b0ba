"""Model cards: a README.md whose front matter a machine reads and whose body a person reads.

Reading is strict, since a card may come from anywhere: pure-Python YAML without aliases, at most 64 KiB of it, plain values only. Writing
takes its numbers from training.json and metrics.json alone.

The key ``zoo`` of the front matter says which family a checkpoint is of, and which package to install for it. It is told to people and
never acted upon: what a checkpoint is made of is in its config.json.
"""

import math
import re
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeGuard

from zoo_core.atomic import next_step
from zoo_core.cards.markdown import code, describe
from zoo_core.cards.metrics import model_index
from zoo_core.cards.metrics_log import recorded_curve
from zoo_core.cards.tables import numbers_section
from zoo_core.errors import CardError

__all__ = [
    "CLASSIFICATION",
    "DRAFT_LICENSE",
    "DRAFT_LIMIT",
    "LIBRARY",
    "LICENSE",
    "LOCAL",
    "MAX_CARD_BYTES",
    "MAX_FRONT_MATTER_BYTES",
    "PIPELINE",
    "ModelCard",
    "Words",
    "demand",
    "describe",
    "draft",
    "family_name",
    "is_strings",
    "load",
    "load_call",
    "needs_line",
    "parse",
    "render",
    "use_section",
]

LIBRARY, PIPELINE = "zoo-core", "unconditional-image-generation"
LOCAL = "local:"
"""How the reference of a folder begins."""
CLASSIFICATION = "image-classification"
"""The Hub's tag of a model that judges images and draws none; its card says how to ask it."""
DRAFT_LICENSE = "unknown"
"""What a draft says in the place of a licence."""
MAX_FRONT_MATTER_BYTES = 64 << 10
MAX_CARD_BYTES = 4 << 20
_MAX_DEPTH = 16
_FRONT_MATTER = re.compile(r"---[ \t]*\r?\n(?P<yaml>.*?)^---[ \t]*(?:\r?\n|\Z)(?P<body>.*)", re.DOTALL | re.MULTILINE)
LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,63}")
_DATASET = re.compile(r"[\w.-]{1,96}(?:/[\w.-]{1,96})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class ModelCard:
    """The front matter of a card, and its markdown body."""

    metadata: Mapping[str, Any]
    body: str

    def __repr__(self) -> str:
        return f"ModelCard({self.title!r}, license={self.license!r}, {len(self.body):,} characters)"

    def __str__(self) -> str:
        """The card's text; :func:`parse` of it gives the card back."""
        import yaml

        front = yaml.safe_dump(dict(self.metadata), sort_keys=False, allow_unicode=True, width=120)
        return f"---\n{front}---\n\n{self.body}"

    @property
    def summary(self) -> str:
        """The first paragraph below the heading, in one line."""
        paragraphs = (" ".join(part.split()) for part in re.split(r"\n\s*\n", self.body))
        return next((text for text in paragraphs if text and not text.startswith(("#", "!", "<", "|", "```"))), "")

    @property
    def title(self) -> str:
        """The first heading."""
        headings = (line[2:].strip() for line in self.body.splitlines() if line.startswith("# "))
        return next(filter(None, headings), "")

    @property
    def license(self) -> str:
        """The licence by its name on the Hub."""
        return str(self.metadata.get("license", ""))

    @property
    def datasets(self) -> tuple[str, ...]:
        """The data sets, as the front matter names them."""
        datasets = self.metadata.get("datasets")
        return tuple(datasets) if is_strings(datasets) else ()

    def validate(self) -> None:
        """Checks what the Hub and the zoo ask of a card.

        Raises:
            CardError: a field is missing or is not what it must be.
        """
        data = self.metadata
        demand(
            isinstance(data.get("license"), str) and bool(LICENSE.fullmatch(data["license"])),
            "license must be a licence's name on the Hub",
        )
        demand(data["license"] != "other" or isinstance(data.get("license_name"), str), "license other needs a license_name")
        demand(data.get("library_name") == LIBRARY, f"library_name must be {LIBRARY}")
        demand(isinstance(data.get("pipeline_tag", ""), str), "pipeline_tag must be a string")
        demand(is_strings(data.get("tags")) and LIBRARY in data["tags"], f"tags must be a list of strings, {LIBRARY} among them")
        datasets = data.get("datasets", [])
        demand(is_strings(datasets) and all(map(_DATASET.fullmatch, datasets)), "datasets must be a list of names such as ORG/NAME")
        demand(bool(self.summary), "the body must begin with a paragraph that says what the model is")


def demand(condition: bool, what: str) -> None:
    """Raises CardError with ``what`` is wrong with a card, unless the condition holds."""
    if not condition:
        raise CardError(f"model card: {what}", "edit the front matter of README.md")


def is_strings(value: object) -> TypeGuard[list[str]]:
    """Whether ``value`` is a list of strings."""
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def load(path: Path) -> ModelCard:
    """Reads a card from a file; raises as :func:`parse` does."""
    try:
        with path.open("rb") as file:
            return parse(file.read(MAX_CARD_BYTES + 1))
    except OSError as error:
        raise CardError(f"cannot read {path}: {error.strerror or error}", next_step(error)) from error


def parse(text: str | bytes, *, bare: bool = False) -> ModelCard:
    """Reads a card.

    Args:
        text: of the card.
        bare: takes a text without front matter too, as a card without metadata.

    Raises:
        CardError: no UTF-8, too large, a byte order mark, no front matter or no line that closes it, or YAML that is not plain values.
    """
    if isinstance(text, bytes):
        demand(len(text) <= MAX_CARD_BYTES, f"it is larger than {MAX_CARD_BYTES >> 20} MiB")
        try:
            text = text.decode("utf-8")
        except UnicodeDecodeError as error:
            raise CardError(f"model card: it is not UTF-8: {error.reason} at byte {error.start}", "save README.md as UTF-8") from error
    demand(not text.startswith("\ufeff"), "it begins with a byte order mark")
    if bare and not text.startswith("---"):
        return ModelCard({}, text)
    demand(text.startswith("---"), "it has no front matter: its first line must be ---")
    match = _FRONT_MATTER.match(text)
    if match is None:
        raise CardError("model card: its front matter has no closing line", "add a line of --- after it")
    demand(len(match["yaml"].encode("utf-8", "surrogatepass")) <= MAX_FRONT_MATTER_BYTES, "its front matter is larger than 64 KiB")
    return ModelCard(_metadata(match["yaml"]), match["body"].lstrip("\r\n"))


def _metadata(text: str) -> dict[str, Any]:
    try:
        import yaml

        data = yaml.load(text, Loader=_loader())  # noqa: S506  # a SafeLoader, narrowed further
        _check_plain(data)
    except CardError:
        raise
    except Exception as error:  # yaml's own errors, and RecursionError, ValueError, OverflowError, ... of hostile input
        raise CardError(f"model card: its front matter is no plain YAML: {' '.join(str(error).split())[:120]}", "edit README.md") from error
    demand(isinstance(data, dict), "its front matter must be a mapping")
    return dict(data)


@cache
def _loader() -> Any:
    import yaml

    class Loader(yaml.SafeLoader):
        """Pure Python (the C loader crashes on deep nesting); without aliases, repeated keys and dates."""

        yaml_implicit_resolvers = {  # noqa: RUF012  # yaml's own name for it
            first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
            for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }

        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.events.AliasEvent):
                raise CardError("model card: its front matter uses a YAML alias", "write the value out")
            self.depth = getattr(self, "depth", 0) + 1
            demand(self.depth <= _MAX_DEPTH, f"its front matter is nested more than {_MAX_DEPTH} deep")
            node = super().compose_node(parent, index)
            self.depth -= 1
            return node

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            keys = [key.value for key, _ in node.value]
            demand(len({str(key) for key in keys}) == len(keys), "its front matter has a key twice")
            return super().construct_mapping(node, deep)

    return Loader


def _check_plain(value: object) -> None:
    if isinstance(value, dict):
        demand(all(isinstance(key, str) for key in value), "the keys of its front matter must be strings")
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _check_plain(item)
    number = isinstance(value, int | float) and math.isfinite(value) and abs(value) < 2**63
    demand(number or value is None or isinstance(value, dict | list | str), "its front matter must hold plain, finite values")


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
    return [bare] if _DATASET.fullmatch(bare) else []


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
    own = f"\nUnless told otherwise it is sampled by {code(walk)}.\n" if walk else ""
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
