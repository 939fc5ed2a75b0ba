"""``zoo pin``: renders the model cards of a plugin's package, and writes its checkpoints.json."""

import hashlib
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from zoo_core import cards
from zoo_core.atomic import write_file
from zoo_core.cards.metrics_json import METRICS
from zoo_core.checkpoint.content import check_content
from zoo_core.checkpoint.files import CARD, CONFIG, TRAINING, WEIGHTS, check_name, is_data
from zoo_core.cli.console import inert
from zoo_core.config import decode, dump_json, load_json
from zoo_core.errors import ConfigError, UnsafeContentError, UsageError
from zoo_core.registry import registry
from zoo_core.specs import ModelSpec

__all__ = ["pin", "pin_checkpoint", "render_cards", "write_pins"]

PINS, WORDS = "checkpoints.json", "cards.toml"


@click.command()
@click.argument("plugins", type=click.Path(path_type=Path), metavar="PLUGIN...", nargs=-1, required=True)
def pin(plugins: tuple[Path, ...]) -> None:
    """Render the model cards of a plugin's package from its cards.toml, and write its checkpoints.json.

    PLUGIN is a package that holds plugin.py, or a folder with such packages in it. The plugin has to be installed.

    checkpoints.json gets an entry for each folder of model_cards/, with the sha256 and size of every file. Run the command whenever one
    of them has changed. What a card leaves open (a draft's summary, the licence unknown, no data set) stays as it is in
    checkpoints.json, and so does the place on the Hub until a file changes.

    \b
    PACKAGE/model_cards/NAME/  the files that `zoo train` wrote into RUN/export
    PACKAGE/cards.toml         a table [NAME] with summary, license, datasets,
                               license_note, data, paper, pipeline, limits

    \b
    Examples:
      zoo pin plugins/ddpm
      zoo pin .
    """
    for package in [package for root in plugins for package in _packages(root)]:
        changed = write_pins(package)
        click.echo(inert(f"{package / PINS}: {', '.join(changed) or 'nothing'} changed"))


def pin_checkpoint(folder: Path) -> dict[str, Any]:
    """The entry of a checkpoint folder in checkpoints.json, without ``hub``.

    Raises:
        CardError, ConfigError: if its card or a JSON file is missing or not valid.
        UnsafeContentError: if it holds a file that does not belong in a checkpoint, or weights that are malformed, NaN or infinite.
    """
    card = cards.load(folder / CARD)
    card.validate()
    family = _family(load_json(folder / CONFIG), folder)
    files = {path.relative_to(folder).as_posix(): _bytes(path) for path in sorted(folder.rglob("*")) if not path.is_dir()}
    _check(folder, files)
    return {
        "family": family,
        "summary": card.summary,
        "license": card.license,
        "dataset": ", ".join(card.datasets),
        "files": {name: {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)} for name, data in files.items()},
    }


def _bytes(path: Path) -> bytes:
    if path.is_symlink() or not path.is_file():
        raise UnsafeContentError(f"{path} is a link, or no regular file", "put the file itself there")
    return path.read_bytes()


def _check(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, data in files.items():
        check_name(name)
        if not is_data(name):
            raise UnsafeContentError(
                f"{folder / name} does not belong in a checkpoint", "weights, JSON, text and pictures do; move it away"
            )
        check_content(name, data)
    if WEIGHTS not in files:
        raise ConfigError(f"{folder} has no {WEIGHTS}", "put the trained weights there, or remove the folder")


def render_cards(package: Path) -> Mapping[Path, str]:
    """The model card of each table in ``package/cards.toml``, by the path of its README.md.

    Raises:
        ConfigError: if cards.toml, or a file of a checkpoint that it names, is missing or not valid.
        UnknownNameError: if no installed plugin has the family of a checkpoint.
    """
    path = package / WORDS
    if not path.exists():
        return {}
    try:
        tables = tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error
    rendered = {}
    for name, words in tables.items():
        folder = package / "model_cards" / name
        rendered[folder / CARD] = str(_render(name, folder, decode(cards.Words, words, f"{WORDS}: {name}")))
    return rendered


def _render(name: str, folder: Path, words: cards.Words) -> cards.ModelCard:
    config = load_json(folder / CONFIG)
    metrics = load_json(folder / METRICS) if (folder / METRICS).exists() else None
    plugin = registry().claim(ModelSpec, _family(config, folder)).plugin.dist
    pictures = [path.name for path in folder.glob("*.png")]
    return cards.render(name, config, load_json(folder / TRAINING), words, plugin=plugin, metrics=metrics, pictures=pictures)


def _family(config: Mapping[str, Any], folder: Path) -> str:
    try:
        return str(config["model"]["name"])
    except (KeyError, TypeError) as error:
        raise ConfigError(f"{folder / CONFIG} names no family", 'it must hold {"model": {"name": ...}}') from error


def write_pins(package: Path) -> Sequence[str]:
    """Renders the cards of a package and rewrites its checkpoints.json from ``model_cards/*``; returns the names of those that changed.

    Raises:
        ZooError: as :func:`pin_checkpoint` and :func:`render_cards` raise.
    """
    for card, text in render_cards(package).items():
        write_file(card, text.encode())
    path = package / PINS
    before = load_json(path) if path.exists() else {}
    folders = sorted(folder for folder in (package / "model_cards").glob("*") if folder.is_dir())
    entries = {folder.name: pin_checkpoint(folder) for folder in folders}
    for name, entry in entries.items():
        old = before.get(name, {})
        entry |= {key: old[key] for key in _left_open(entry, package / "model_cards" / name) if isinstance(old.get(key), str)}
        entry["hub"] = old.get("hub") if old.get("files") == entry["files"] else None
    if entries != before or not path.exists():
        write_file(path, dump_json(entries).encode())
    return [name for name in {**before, **entries} if before.get(name) != entries.get(name)]


def _left_open(entry: Mapping[str, Any], folder: Path) -> list[str]:
    """The fields that the card of a checkpoint leaves open: they keep their values in checkpoints.json."""
    open_ = {
        "summary": cards.DRAFT_LIMIT in cards.load(folder / CARD).body,
        "license": entry["license"] == cards.DRAFT_LICENSE,
        "dataset": not entry["dataset"],
    }
    return [key for key, is_open in open_.items() if is_open]


def _packages(root: Path) -> list[Path]:
    packages = [path.parent for path in (root / "plugin.py", *sorted(root.glob("*/plugin.py"))) if path.exists()]
    if not packages:
        raise UsageError(f"there is no plugin in {root}: neither it nor a folder in it holds plugin.py", "zoo pin plugins/ddpm")
    return packages
