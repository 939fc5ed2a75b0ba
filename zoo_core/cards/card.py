"""Model cards: a README.md with front matter for machines and a body for people.

Reading is strict, since a card may come from anywhere: pure-Python YAML without aliases, at most 64 KiB of it, plain
values only.

The key ``zoo`` of the front matter names the family of a checkpoint and the package that has it. It is shown to people
and never acted upon: config.json alone says how the model is built.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeGuard

from zoo_core.atomic import next_step
from zoo_core.errors import CardError

__all__ = [
    "DATASET",
    "LIBRARY",
    "LICENSE",
    "MAX_CARD_BYTES",
    "MAX_FRONT_MATTER_BYTES",
    "ModelCard",
    "demand",
    "is_strings",
    "load",
    "named_plugin",
    "parse",
]

LIBRARY = "zoo-core"
MAX_FRONT_MATTER_BYTES = 64 << 10
MAX_CARD_BYTES = 4 << 20
_MAX_DEPTH = 16
_FRONT_MATTER = re.compile(r"---[ \t]*\r?\n(?P<yaml>.*?)^---[ \t]*(?:\r?\n|\Z)(?P<body>.*)", re.DOTALL | re.MULTILINE)
_WORD = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")
LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,63}")
DATASET = re.compile(r"[\w.-]{1,96}(?:/[\w.-]{1,96})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class ModelCard:
    r"""The front matter of a card, and its markdown body.

    Args:
        metadata: keys and plain values of the front matter.
        body: markdown text.

    Example:
        >>> from zoo_core.cards import parse
        >>> card = parse("---\nlicense: mit\n---\n\n# Moons\n\nA flow that draws moons.\n")
        >>> card.title, card.license, card.summary
        ('Moons', 'mit', 'A flow that draws moons.')
    """

    metadata: Mapping[str, Any]
    body: str

    def __repr__(self) -> str:
        return f"ModelCard({self.title!r}, license={self.license!r}, {len(self.body):,} characters)"

    def __str__(self) -> str:
        """The text of the card; :func:`parse` reads it back."""
        import yaml

        front = yaml.safe_dump(dict(self.metadata), sort_keys=False, allow_unicode=True, width=120)
        return f"---\n{front}---\n\n{self.body}"

    @property
    def summary(self) -> str:
        """The first paragraph of text, in one line; empty if there is none."""
        paragraphs = (" ".join(part.split()) for part in re.split(r"\n\s*\n", self.body))
        return next((text for text in paragraphs if text and not text.startswith(("#", "!", "<", "|", "```"))), "")

    @property
    def title(self) -> str:
        """The first heading; empty if there is none."""
        headings = (line[2:].strip() for line in self.body.splitlines() if line.startswith("# "))
        return next(filter(None, headings), "")

    @property
    def license(self) -> str:
        """The licence by its name on the Hub; empty if none is stated."""
        return str(self.metadata.get("license", ""))

    @property
    def datasets(self) -> tuple[str, ...]:
        """Names of the data sets in the front matter."""
        datasets = self.metadata.get("datasets")
        return tuple(datasets) if is_strings(datasets) else ()

    def validate(self) -> None:
        """Checks the fields that the Hub and the zoo require.

        Raises:
            CardError: if a field is missing or not valid.
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
        demand(is_strings(datasets) and all(map(DATASET.fullmatch, datasets)), "datasets must be a list of names such as ORG/NAME")
        demand(bool(self.summary), "the body must begin with a paragraph that says what the model is")


def demand(condition: bool, what: str) -> None:
    """Raises CardError with the fault ``what`` of a card unless the condition holds."""
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
        text: text of the card, or its bytes in UTF-8.
        bare: whether text without front matter is accepted too, as a card without metadata.

    Raises:
        CardError: if the bytes are not UTF-8, too many, or begin with a byte order mark; if the front matter is
            missing, has no closing line, or is not YAML of plain values.
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
    except Exception as error:  # YAML's own errors, and RecursionError, ValueError, OverflowError, ... from hostile input
        reason = " ".join(str(error).split())[:120]
        raise CardError(f"model card: its front matter is not plain YAML: {reason}", "edit README.md") from error
    demand(isinstance(data, dict), "its front matter must be a mapping")
    return dict(data)


@cache
def _loader() -> Any:
    import yaml

    class Loader(yaml.SafeLoader):
        """Pure Python, since the C loader crashes on deep nesting; without aliases, repeated keys and dates."""

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


def named_plugin(card: object) -> tuple[str, str]:
    """The family and the distribution that the front matter of a card names, ``zoo: {family: ..., plugin: ...}``.

    Each is empty if it is missing or not a name. The author of the card wrote both: show them, but import and install
    nothing.
    """
    zoo = card.get("zoo") if isinstance(card, Mapping) else None
    words = [zoo.get(key) if isinstance(zoo, Mapping) else None for key in ("family", "plugin")]
    family, plugin = (word if isinstance(word, str) and _WORD.fullmatch(word) else "" for word in words)
    return family, plugin
