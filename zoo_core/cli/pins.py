"""``python -m zoo_core.cli.pins plugins/ddpm``: renders the model cards of a plugin's package, and writes its checkpoints.json.

A card is rendered from its config.json, training.json and metrics.json, and from what a person says about it in the package's cards.toml;
it is complete, so that what the package carries can be published byte for byte. The plugin has to be installed.
An entry says what a card's front matter and config.json say, and the sha256 and size of every file: checkpoints.json is written anew from
the cards, so that the two never disagree. What a card leaves open (a draft's summary, the licence ``unknown``, no data set) stays as it was
in checkpoints.json. Where a checkpoint is published (``hub``) is kept as long as its files are unchanged; only ``zoo publish`` can know it.
"""

import hashlib
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo_core import cards
from zoo_core.atomic import write_file
from zoo_core.cards.metrics import METRICS
from zoo_core.checkpoint.content import check_content
from zoo_core.checkpoint.files import CARD, CONFIG, TRAINING, WEIGHTS, check_name, is_data
from zoo_core.config import decode, dump_json, load_json
from zoo_core.errors import ConfigError, UnsafeContentError, UsageError, ZooError
from zoo_core.registry import registry
from zoo_core.specs import ModelSpec

__all__ = ["main", "pin", "rendered_cards", "write_pins"]

PINS, WORDS = "checkpoints.json", "cards.toml"
HELP = """Usage: python -m zoo_core.cli.pins FOLDER...

Renders the model cards of a plugin's package from its cards.toml, and writes
its checkpoints.json: an entry for each folder of model_cards/, with the
sha256 and size of every file. Run it whenever one of them has changed.

FOLDER is a package that holds plugin.py, or a folder with such packages in
it, such as plugins/ddpm. The plugin has to be installed.

  PACKAGE/model_cards/NAME/  what `zoo train` wrote into RUN/export
  PACKAGE/cards.toml         what a person says of it: a table [NAME] with
                             summary, license, license_note, datasets, data,
                             paper, pipeline, limits
"""


def pin(folder: Path) -> dict[str, Any]:
    """The entry of one checkpoint folder, without ``hub``.

    Raises:
        CardError, ConfigError: its card or a JSON file is missing or wrong.
        UnsafeContentError: it holds a file that does not belong into a checkpoint, or weights that are malformed, NaN or infinite.
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
                f"{folder / name} does not belong into a checkpoint", "weights, JSON, text and pictures do; move it away"
            )
        check_content(name, data)
    if WEIGHTS not in files:
        raise ConfigError(f"{folder} has no {WEIGHTS}", "put the trained weights there, or remove the folder")


def rendered_cards(package: Path) -> Mapping[Path, str]:
    """The cards that ``package/cards.toml`` has words for: where each belongs, and its text.

    Raises:
        ConfigError: the words, or the files of a checkpoint that they name, are missing or wrong.
        UnknownNameError: no installed plugin has its family.
    """
    path = package / WORDS
    if not path.exists():
        return {}
    try:
        told = tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error
    cards_at = {}
    for name, words in told.items():
        folder = package / "model_cards" / name
        cards_at[folder / CARD] = str(_rendered(name, folder, decode(cards.Words, words, f"{WORDS}: {name}")))
    return cards_at


def _rendered(name: str, folder: Path, words: cards.Words) -> cards.ModelCard:
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
        ZooError: as :func:`pin` does.
    """
    for card, text in rendered_cards(package).items():
        write_file(card, text.encode())
    path = package / PINS
    before = load_json(path) if path.exists() else {}
    folders = sorted(folder for folder in (package / "model_cards").glob("*") if folder.is_dir())
    entries = {folder.name: pin(folder) for folder in folders}
    for name, entry in entries.items():
        old = before.get(name, {})
        entry |= {key: old[key] for key in _left_open(entry, package / "model_cards" / name) if isinstance(old.get(key), str)}
        entry["hub"] = old.get("hub") if old.get("files") == entry["files"] else None
    if entries != before or not path.exists():
        write_file(path, dump_json(entries).encode())
    return [name for name in {**before, **entries} if before.get(name) != entries.get(name)]


def _left_open(entry: Mapping[str, Any], folder: Path) -> list[str]:
    """What the card of a checkpoint does not say, so that nobody's word is overwritten with nothing."""
    open_ = {
        "summary": cards.DRAFT_LIMIT in cards.load(folder / CARD).body,
        "license": entry["license"] == cards.DRAFT_LICENSE,
        "dataset": not entry["dataset"],
    }
    return [key for key, is_open in open_.items() if is_open]


def _packages(root: Path) -> list[Path]:
    found = [path.parent for path in (root / "plugin.py", *sorted(root.glob("*/plugin.py"))) if path.exists()]
    if not found:
        raise UsageError(
            f"there is no plugin in {root}: it has no plugin.py, nor has a folder in it",
            "name the folder of a plugin, such as plugins/ddpm",
        )
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Pins the plugins in the folders of ``argv``, and tells on stdout what changed; returns the exit code."""
    from zoo_core.cli.console import error_line

    roots = list(sys.argv[1:] if argv is None else argv)
    if {"-h", "--help"} & {*roots}:
        sys.stdout.write(HELP)
        return 0
    try:
        if not roots:
            raise UsageError("no folder given", "python -m zoo_core.cli.pins plugins/ddpm")
        for package in [package for root in roots for package in _packages(Path(root))]:
            changed = write_pins(package)
            sys.stdout.write(f"{package / PINS}: {', '.join(changed) or 'nothing'} changed\n")
    except ZooError as error:
        sys.stderr.write(error_line(error.what, error.hint) + "\n")
        return error.exit_code
    except OSError as error:
        sys.stderr.write(error_line(f"{error.strerror or error}: {error.filename}") + "\n")
        return 8
    return 0


if __name__ == "__main__":
    sys.exit(main())
