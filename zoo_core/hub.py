"""From a reference to verified bytes.

A checkpoint is found in the package that carries it, or in a local folder. Each file is read once, its size and sha256 are compared with
the pin, and those very bytes are what gets parsed. What no package carries lies on the Hub, which this version does not fetch from.
"""

import hashlib
import os
import re
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import Any

from zoo_core.cards import parse as parse_card
from zoo_core.config import parse_json
from zoo_core.errors import HubError, IntegrityError, NotFoundError, ResourceError, UnsafeContentError, UsageError
from zoo_core.registry import Reference, parse_reference, registry
from zoo_core.specs import CheckpointSpec, Pin
from zoo_core.weights import MAX_HEADER_BYTES, TensorInfo, check_finite, read_header

__all__ = ["CARD", "CONFIG", "TRAINING", "WEIGHTS", "Files", "OnFile", "check_name", "fetch", "is_data", "pull"]

CARD, CONFIG, WEIGHTS, TRAINING = "README.md", "config.json", "model.safetensors", "training.json"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}(?:/[A-Za-z0-9][A-Za-z0-9._-]{0,127}){0,3}", re.ASCII)
_SUFFIXES = {".md", ".json", ".safetensors", ".png", ".txt", ""}
_MAX_UNPINNED = 16 << 30
_CHUNK = 1 << 30

OnFile = Callable[["Files", str, int], None]
"""``on_file(files, name, size)``: called after each verified file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Files:
    """The files of one checkpoint.

    Args:
        reference: as it was asked for.
        name: of the checkpoint, or of its folder.
        folder: where the files lie.
        source: what put them there, for people: a distribution and its version, or ``local folder``.
        spec: of a registered checkpoint.
        pins: what each file must be; None for a local folder, which nothing pins.
        dist: the distribution that carries it; empty for a local folder. A name in its config means that distribution's first.
    """

    reference: Reference
    name: str
    folder: Path
    source: str
    spec: CheckpointSpec | None = None
    pins: Mapping[str, Pin] | None = None
    dist: str = ""
    _digests: dict[str, str] = field(default_factory=dict, repr=False, compare=False)

    @property
    def names(self) -> tuple[str, ...]:
        """The files: those that are pinned, or those of a local folder that a checkpoint may have."""
        if self.pins is not None:
            return tuple(sorted(self.pins))
        return tuple(sorted(path.name for path in self.folder.iterdir() if path.is_file() and is_data(path.name)))

    def read(self, name: str) -> bytes:
        """The bytes of a file, read once and verified.

        Raises:
            IntegrityError: they are not what is pinned.
            NotFoundError: there is no such file.
            UnsafeContentError: the name or a link leads out of the folder, or to something that is no file.
            ResourceError: the file cannot be read.
        """
        pin = self._pin(name)
        data = self._bytes(name, pin.size if pin else _MAX_UNPINNED)
        if pin and len(data) != pin.size:
            raise self._tampered(f"{name} is {'longer' if len(data) > pin.size else 'shorter'} than the pinned {pin.size} bytes")
        digest = hashlib.sha256(data).hexdigest()
        if pin and digest != pin.sha256:
            raise self._tampered(f"the sha256 of {name} is {digest[:12]}..., pinned is {pin.sha256[:12]}...")
        self._digests[name] = digest
        return data

    def digest(self, name: str) -> str:
        """The sha256 of a file in hex: the pinned one, or that of a local file."""
        pin = self._pin(name)
        if pin is None and name not in self._digests:
            self.read(name)
        return pin.sha256 if pin else self._digests[name]

    def size(self, name: str) -> int:
        """The size of a file in bytes: the pinned one, or that of a local file."""
        pin = self._pin(name)
        return pin.size if pin else self._place(name).stat().st_size

    def json(self, name: str) -> dict[str, Any]:
        """A JSON object from a verified file; raises as :meth:`read` does, and ConfigError."""
        return parse_json(self.read(name), name)

    def tensors(self) -> Mapping[str, TensorInfo]:
        """What the header of the weights says, without reading or verifying the rest: for showing, never for loading."""
        with self._open(WEIGHTS) as file:
            start = file.read(8)
            start += file.read(min(int.from_bytes(start, "little"), MAX_HEADER_BYTES + 1))
            return read_header(start, os.fstat(file.fileno()).st_size, WEIGHTS)

    def _pin(self, name: str) -> Pin | None:
        check_name(name)
        if self.pins is None:
            return None
        if name not in self.pins:
            raise NotFoundError(f"{self.reference} has no file {name!r}", f"it has {', '.join(self.names)}")
        return self.pins[name]

    def _place(self, name: str) -> Path:
        try:
            path = (self.folder / name).resolve(strict=True)
        except FileNotFoundError as error:
            raise NotFoundError(f"{self.source} has no {name} for {self.reference}", self._mend()) from error
        except (OSError, RuntimeError) as error:
            raise ResourceError(f"cannot read {name} of {self.reference}: {_why(error)}") from error
        if not path.is_relative_to(self.folder.resolve()):
            raise UnsafeContentError(f"{name} of {self.reference} is a link out of its folder", "put the file itself there")
        return path

    def _open(self, name: str) -> FileIO:
        path = self._place(name)
        try:
            # Non-blocking, so that a pipe in the place of a file does not hold us for ever.
            handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        except OSError as error:
            raise ResourceError(f"cannot read {path}: {_why(error)}") from error
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise UnsafeContentError(f"{name} of {self.reference} is no regular file", "put a regular file there")
        return FileIO(handle)

    def _bytes(self, name: str, limit: int) -> bytes:
        """The file's bytes, of which no more than ``limit`` + 1 are read."""
        parts = []
        with self._open(name) as file:
            try:
                left = min(os.fstat(file.fileno()).st_size, limit) + 1
                while left and (part := file.read(min(left, _CHUNK))):
                    parts.append(part)
                    left -= len(part)
            except (OSError, MemoryError) as error:
                raise ResourceError(f"cannot read {name} of {self.reference}: {_why(error)}") from error
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _tampered(self, what: str) -> IntegrityError:
        return IntegrityError(f"{self.reference}: {what}", self._mend())

    def _mend(self) -> str:
        if self.spec is None:
            return "look into the folder"
        return f"install {self.source.split()[0]} again; `python -m zoo_core.pins` if the change is yours"


def _why(error: BaseException) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


def check_name(name: str) -> None:
    """Refuses names that could lead out of a folder, hide, or be taken for another: each part begins with a letter or digit.

    Raises:
        UnsafeContentError: it is such a name, or holds more than letters, digits, ``.``, ``_``, ``-`` and ``/``.
    """
    if not _NAME.fullmatch(name):
        raise UnsafeContentError(f"{name!r} is no name for a file of a checkpoint", "use letters, digits, '.', '_' and '-'")


def is_data(name: str) -> bool:
    """Whether a file of that name belongs into a checkpoint: weights, JSON, text and pictures."""
    return bool(_NAME.fullmatch(name)) and Path(name).suffix.lower() in _SUFFIXES


def fetch(reference: str | Reference) -> Files:
    """Finds the files of a checkpoint. Nothing is read yet.

    Raises:
        UsageError: ``reference`` is none.
        UnknownNameError, NameConflictError: no installed plugin, or several, have a checkpoint of that name.
        NotFoundError: there is no such folder.
        HubError: the checkpoint is on the Hub alone.
    """
    reference = reference if isinstance(reference, Reference) else parse_reference(reference)
    if reference.kind == "hub":
        hint = f"for the folder, write local:{reference}" if Path(str(reference)).is_dir() else "`zoo list` shows what is installed"
        raise HubError(f"cannot fetch {reference}: this zoo-core reads no checkpoints from the Hub yet", hint)
    return _local(reference) if reference.kind == "local" else _carried(reference)


def _local(reference: Reference) -> Files:
    folder = reference.path
    if not folder.is_dir():
        raise NotFoundError(f"there is no folder {folder}", "local:PATH is the folder of a checkpoint or of a training run")
    if not (folder / CONFIG).exists():
        raise NotFoundError(
            f"{folder} holds no checkpoint: it has no {CONFIG}", "local:PATH is the folder of a checkpoint or of a training run"
        )
    named = folder.resolve().parent if folder.name == "export" else folder.resolve()
    return Files(reference=reference, name=named.name, folder=folder, source="local folder")


def _carried(reference: Reference) -> Files:
    claim = registry().claim(CheckpointSpec, reference.name)
    spec, dist = claim.spec, claim.plugin.dist
    assert isinstance(spec, CheckpointSpec)
    if spec.folder is None or not spec.folder.is_dir():
        raise HubError(
            f"{dist} does not carry the files of {spec.name}, and this zoo-core fetches none from the Hub yet", f"install {dist} again"
        )
    _check_names(spec)
    return Files(
        reference=reference,
        name=spec.name,
        folder=spec.folder,
        source=f"{dist} {claim.plugin.version}",
        spec=spec,
        pins=spec.files,
        dist=dist,
    )


def _check_names(spec: CheckpointSpec) -> None:
    for name in spec.files:
        check_name(name)
    if len({name.lower() for name in spec.files}) != len(spec.files):
        raise UnsafeContentError(f"{spec.name} pins two files whose names differ in case alone", "rename one of them")


def _check_content(name: str, data: bytes) -> None:
    if name.endswith(".safetensors"):
        check_finite(data, read_header(data, len(data), name), name)
    elif name.endswith(".json"):
        parse_json(data, name)
    elif name == CARD:
        parse_card(data)


def pull(*references: str, on_file: OnFile | None = None) -> list[Files]:
    """Fetches checkpoints and verifies every file: size and sha256, config, card, the header of the weights, and that these are finite.

    Raises:
        IntegrityError: a file is not what is pinned.
        NotFoundError: it has no config or no weights.
        UnsafeContentError: weights that are malformed, NaN or infinite.
        ConfigError, CardError: a JSON file or the card cannot be read.
        ZooError: as :func:`fetch` does.
    """
    if not references:
        raise UsageError("no checkpoint given", "`zoo list` shows what there is")
    fetched = [fetch(reference) for reference in references]
    for files in fetched:
        for name in (CONFIG, WEIGHTS):
            if name not in files.names:
                raise NotFoundError(f"{files.reference} is no checkpoint: it has no {name}", files._mend())
        for name in files.names:
            data = files.read(name)
            _check_content(name, data)
            if on_file:
                on_file(files, name, len(data))
    return fetched
