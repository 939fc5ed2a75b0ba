"""The bundle of files to publish: read once, checked, and with a complete card. No request is made here."""

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Literal

from zoo_core import cards
from zoo_core.atomic import disk_error, write_file
from zoo_core.cards.card import ModelCard
from zoo_core.cards.metrics_json import METRICS
from zoo_core.checkpoint.config import CheckpointConfig, read_config
from zoo_core.checkpoint.content import check_content
from zoo_core.checkpoint.files import CARD, CONFIG, TRAINING, WEIGHTS, Files
from zoo_core.checkpoint.safetensors import TensorInfo, read_header
from zoo_core.config import dump_json, load_json, parse_json
from zoo_core.errors import CardError, IntegrityError, NotFoundError, UsageError
from zoo_core.hub.fetch import fetch, packaged
from zoo_core.publishing.card import complete
from zoo_core.publishing.options import option
from zoo_core.publishing.secrets import check_text, safe_names
from zoo_core.registry import REPO, Reference, parse_reference, registry
from zoo_core.specs import CheckpointSpec, ModelSpec, Pin

__all__ = ["PUBLISHED", "Bundle", "check_pin", "check_repo", "prepare", "write_pin"]

_PICTURES = ("samples.png", "quality.png", "nearest.png")
PUBLISHED = (CARD, CONFIG, WEIGHTS, TRAINING, METRICS, "reference.safetensors", "golden.safetensors", *_PICTURES, "LICENSE")
"""The files of a checkpoint folder that are published. Of a registered checkpoint, all pinned files are."""

_ROOM = 1 << 10  # the largest number of bytes that repo and commit take in checkpoints.json


@dataclass(frozen=True, kw_only=True, slots=True)
class Bundle:
    """The files that a repository is to hold.

    Args:
        repo: ``ORG/NAME`` on the Hub.
        name: name of the checkpoint, or of its folder.
        card: the complete card.
        files: the bytes of each file, by name.
        pins: the sha256 and size of each file, by name.
        left_out: files of the folder that are not published.
        pinned: whether a plugin pins the files, so that they are published byte for byte.
        kind: kind of the repository: of a model, or a Space.

    Example:
        >>> from zoo_core.cards import ModelCard
        >>> from zoo_core.publishing import Bundle
        >>> bundle = Bundle(repo="zoo/cats", name="cats", card=ModelCard({}, ""), files={"LICENSE": b"text"}, pins={})
        >>> bundle.repo, bundle.pinned
        ('zoo/cats', False)
    """

    repo: str
    name: str
    card: ModelCard
    files: Mapping[str, bytes] = field(repr=False)
    pins: Mapping[str, Pin]
    left_out: tuple[str, ...] = ()
    pinned: bool = False
    kind: Literal["model", "space"] = "model"

    @property
    def path(self) -> str:
        """The path of the repository in addresses of the Hub."""
        return self.repo if self.kind == "model" else f"spaces/{self.repo}"


def prepare(reference: "str | os.PathLike[str]", repo: str, *, license: str | None = None) -> Bundle:
    """Reads a checkpoint and checks everything that can be checked without the Hub.

    Files of a plugin are published byte for byte, so that one set of pins verifies the package and the repository; the
    card must already be complete. The card of a local folder is completed in the bundle, and the folder stays
    unchanged.

    Args:
        reference: ``NAME``, ``DIST:NAME``, ``local:PATH``, or the path of a folder, of a checkpoint or of a training
            run.
        repo: ``ORG/NAME``.
        license: the licence by its name on the Hub, if the card of a local folder does not state one yet.

    Raises:
        UsageError: if the reference or ``repo`` is not valid, or no licence is stated.
        CardError, ConfigError: if the card, the config or metrics.json is not valid, or they contradict each other.
        NotFoundError: if there is no such folder, or it has no card, config or weights.
        IntegrityError: if a file of a registered checkpoint is not the pinned one.
        UnsafeContentError: if the folder has links, code or secrets, or weights that are malformed, NaN or infinite.
        UnknownNameError: if no installed plugin has the family.
        IncompatibleCheckpoint: if weights and config do not fit each other.
    """
    check_repo(repo)
    files = _local_files(reference)
    names, left_out = _published_names(files)
    from zoo_core.checkpoint.build import check_fit

    if files.pins is None:  # the header first, before gigabytes of weights are read
        check_fit(files, read_config(files), files.tensors())
    data = {name: files.read(name) for name in names}
    tensors = _check_files(data)
    config = read_config(files)
    model: Any = check_fit(files, config, tensors)
    card = cards.parse(data[CARD])
    completed = _completed(files, data, repo, config, license or "", image=len(model.event.shape) == 3)
    if completed != card:
        _check_unpinned(files, card, completed)
        data[CARD] = str(completed).encode()
    for name, content in data.items():
        check_text(name, _header(content) if name.endswith(".safetensors") else content)
    _check_numbers(data)
    _check_golden(files)
    pins = {name: Pin(sha256=hashlib.sha256(content).hexdigest(), size=len(content)) for name, content in data.items()}
    return Bundle(repo=repo, name=files.name, card=completed, files=data, pins=pins, left_out=left_out, pinned=files.pins is not None)


def _completed(files: Files, data: Mapping[str, bytes], repo: str, config: CheckpointConfig, license: str, *, image: bool) -> ModelCard:
    """The complete card, which is valid."""
    card = cards.parse(data[CARD])
    completed = complete(
        card,
        parse_json(data[CONFIG], CONFIG),
        reference=repo if files.pins is None else files.name,
        names={files.name, card.title},
        plugin=registry().claim_of(ModelSpec.kind, type(config.model)).plugin.dist,
        license=_license(card, license, files),
        image=image,
        metrics=parse_json(data[METRICS], METRICS) if METRICS in data else None,
    )
    completed.validate()
    return completed


def check_repo(repo: str) -> None:
    """Raises UsageError if ``repo`` is not ``ORG/NAME``."""
    if not (isinstance(repo, str) and re.fullmatch(REPO, repo)):
        raise UsageError(f"{repo!r} is not the name of a repository on the Hub", "write it as ORG/NAME")


def _local_files(text: "str | os.PathLike[str]") -> Files:
    """The files of a checkpoint in a package or in a folder."""
    reference = parse_reference(text)
    if reference.layout:
        hint = f"`zoo export {reference} --format safetensors` writes one from it"
        raise UsageError(f"{reference} is not a checkpoint in the layout of the zoo", hint)
    if reference.kind == "hub" and not _is_run(reference):
        raise UsageError(f"there is no folder {text} here", "publish NAME, or the folder of a checkpoint or of a training run")
    if reference.kind == "name":
        return packaged(reference, registry().claim(CheckpointSpec, reference.name))
    return fetch(Reference(kind="local", name=reference.name))


def _is_run(reference: Reference) -> bool:
    """Whether a reference such as ``mine/export`` may name the missing export of a run, and not a repository."""
    return reference.revision is None and (Path(reference.name).parent / "recipe.json").is_file()


def _published_names(files: Files) -> tuple[Sequence[str], tuple[str, ...]]:
    """The names of the files to publish, and of those to leave out."""
    available = safe_names(files.folder)
    names = files.names if files.pins is not None else [name for name in PUBLISHED if name in available]
    for name in (CARD, CONFIG, WEIGHTS):
        if name not in names:
            raise NotFoundError(f"{files.folder} has no {name}", "a checkpoint has a card, a config and weights")
    return names, tuple(name for name in available if name not in names)


def _check_files(data: Mapping[str, bytes]) -> Mapping[str, TensorInfo]:
    """Checks the content of each file; returns the header of the weights."""
    for name, content in data.items():
        check_content(name, content)
    return read_header(data[WEIGHTS], len(data[WEIGHTS]), WEIGHTS)


def _check_numbers(data: Mapping[str, bytes]) -> None:
    """Raises IntegrityError if numbers were measured with other weights."""
    digest = hashlib.sha256(data[WEIGHTS]).hexdigest()
    records = parse_json(data[METRICS], METRICS).get("metrics", []) if METRICS in data else []
    for record in records:
        measured = record.get("weights", digest) if isinstance(record, dict) else digest
        if measured != digest:
            metric = f"{record.get('metric', 'a number')!s:.40}"
            what = f"{METRICS} holds {metric} of other weights ({measured!s:.12}..., these are {digest[:12]}...)"
            raise IntegrityError(what, "measure it again with `zoo evaluate`, or delete it")


def _check_golden(files: Files) -> None:
    """Draws the golden samples again, which shows that weights, sampler and code belong together."""
    from zoo_core.evaluation.golden import GOLDEN, check_golden

    if GOLDEN in files.names and check_golden(str(files.reference)).state != "ok":
        raise IntegrityError(f"{GOLDEN} of {files.name} differs from the samples that these weights draw", "write it anew, or delete it")


def _header(data: bytes) -> bytes:
    return data[8 : 8 + int.from_bytes(data[:8], "little")]


def _license(card: ModelCard, given: str, files: Files) -> str:
    """The licence to write into the card; empty if the card states one."""
    if given and not cards.LICENSE.fullmatch(given):
        hint = f"write it in small letters, such as {option('license', _small(given))}"
        raise UsageError(f"{option('license', given)} is not a licence's name on the Hub", hint)
    stated = card.license not in ("", cards.DRAFT_LICENSE)
    if stated and given and given != card.license:
        hint = f"leave {option('license')} out, or edit README.md"
        raise CardError(f"the card of {files.name} says license {card.license}, and not {option('license', given)}", hint)
    if not stated and given in ("", cards.DRAFT_LICENSE):
        raise UsageError(f"the card of {files.name} states no licence", f"state it, such as {option('license', 'mit')}")
    return "" if stated else given


def _small(name: str) -> str:
    return name.lower() if cards.LICENSE.fullmatch(name.lower()) else "mit"


def _check_unpinned(files: Files, card: ModelCard, completed: ModelCard) -> None:
    """Raises CardError if the card is pinned, and must not be changed."""
    if files.pins is None:
        return
    keys = [key for key, value in completed.metadata.items() if card.metadata.get(key) != value]
    lacks = ", ".join([*keys, *(["the use of its name"] if completed.body != card.body else [])])
    raise CardError(
        f"the card of {files.name} is pinned and not complete: {lacks}",
        "`zoo pin` renders and pins it",
    )


# Pins


def check_pin(path: Path, bundle: Bundle) -> None:
    """Checks that a checkpoints.json pins exactly the files of a bundle, and that there is room to write it anew.

    Args:
        path: path of the checkpoints.json.
        bundle: the bundle.

    Raises:
        ConfigError: if the file cannot be read.
        UsageError: if it has no such checkpoint.
        IntegrityError: if it pins other files.
        ResourceError: if its folder cannot be written, or the disk is full.
    """
    entry = load_json(path).get(bundle.name)
    if not isinstance(entry, dict) or not isinstance(entry.get("files"), dict):
        raise UsageError(f"{path} has no checkpoint {bundle.name}", f"{option('pin')} is for a checkpoint that a plugin carries")
    pinned = entry["files"]
    sent = _plain(bundle.pins)
    differ = sorted(name for name in {**pinned, **sent} if pinned.get(name) != sent.get(name))
    if differ:
        raise IntegrityError(
            f"{path} pins other files of {bundle.name}: {', '.join(differ)[:120]}",
            "publish it by its name, and run `zoo pin` before",
        )
    try:
        with TemporaryFile(dir=path.parent) as file:
            file.write(bytes(path.stat().st_size + _ROOM))
            file.flush()
    except OSError as error:
        raise disk_error(f"cannot write {path}", error, f"leave {option('pin')} out") from error


def write_pin(path: Path, bundle: Bundle, commit: str) -> None:
    """Writes repo and commit of a published checkpoint into checkpoints.json; raises as :func:`check_pin` does."""
    check_pin(path, bundle)
    entries = load_json(path)
    entries[bundle.name]["hub"] = {"repo": bundle.repo, "commit": commit}
    write_file(path, dump_json(entries).encode())


def _plain(pins: Mapping[str, Pin]) -> dict[str, dict[str, Any]]:
    return {name: {"sha256": pin.sha256, "size": pin.size} for name, pin in pins.items()}
