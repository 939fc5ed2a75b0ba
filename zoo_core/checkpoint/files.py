"""The verified files of one checkpoint.

Each file is read once; its size and digest are compared with the required ones, and exactly those bytes are parsed.
"""

import hashlib
import os
import re
import stat
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import Any, TypeVar

from zoo_core.cards.card import MAX_CARD_BYTES
from zoo_core.checkpoint.safetensors import MAX_HEADER_BYTES, TensorInfo, read_header
from zoo_core.config import MAX_JSON_BYTES, parse_json
from zoo_core.errors import IncompatibleCheckpoint, IntegrityError, NotFoundError, ResourceError, UnsafeContentError
from zoo_core.hardware.memory import demand_memory
from zoo_core.registry import Reference
from zoo_core.specs import CheckpointSpec, Hub, Pin

__all__ = ["CARD", "CONFIG", "TRAINING", "WEIGHTS", "Files", "OnFile", "Stream", "check_name", "is_data", "max_size", "oid_of"]

CARD, CONFIG, WEIGHTS, TRAINING = "README.md", "config.json", "model.safetensors", "training.json"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}(?:/[A-Za-z0-9][A-Za-z0-9._-]{0,127}){0,3}", re.ASCII)
_SUFFIXES = {".md", ".json", ".safetensors", ".png", ".sig", ".txt", ""}
_LARGEST = {".json": MAX_JSON_BYTES, ".md": MAX_CARD_BYTES, ".parquet": 64 << 30, ".safetensors": 256 << 20, ".sig": 1 << 20}
_LARGEST_WEIGHTS = 16 << 30
_LARGEST_OTHER = 64 << 20
_CHUNK = 1 << 30
_STEP = 1 << 20  # bytes that are read and hashed at once, few enough for the processor's cache

T = TypeVar("T")

OnFile = Callable[["Files", str, int], None]
"""``on_file(files, name, size)``: called after each verified file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Files:
    """The files of one checkpoint.

    >>> from zoo_core.hub.fetch import fetch
    >>> files = fetch("realnvp-moons")
    >>> CONFIG in files.names, files.json(CONFIG)["format"]
    (True, 1)

    Args:
        reference: the reference, as the user wrote it.
        name: name of the checkpoint, or of its folder.
        folder: folder with the files.
        source: origin of the files, for people: a distribution and its version, or ``local folder``.
        spec: spec of a registered checkpoint.
        pins: required digest and size of each file; None for a local folder, which has no pins.
        dist: distribution that pins the files; empty without pins. Its claims on names in the config count first.
        hub: repository and commit on the Hub, if the files came from there.
        oids: required ids of the files on the Hub, if there are no pins.
        root: folder into which links in ``folder`` may lead; ``folder`` itself if None.
        fresh: files that were downloaded in this process, and verified on arrival.
        repair: function that replaces a damaged file, given its error; None if that is impossible.
    """

    reference: Reference
    name: str
    folder: Path
    source: str
    spec: CheckpointSpec | None = None
    pins: Mapping[str, Pin] | None = None
    dist: str = ""
    hub: Hub | None = None
    oids: Mapping[str, str] | None = None
    root: Path | None = None
    fresh: frozenset[str] = frozenset()
    repair: Callable[["Files", str, IntegrityError], None] | None = field(default=None, repr=False, compare=False)
    _digests: dict[str, str] = field(default_factory=dict, repr=False, compare=False)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the files: the pinned ones, those on the Hub, or those in a local folder that may belong to a checkpoint."""
        known = self.pins if self.pins is not None else self.oids
        if known is not None:
            return tuple(sorted(known))
        try:
            if self.reference.layout:  # which reads some of them, and refuses others by their names
                paths = [path for pattern in ("*", "*/*") for path in self.folder.glob(pattern) if path.is_file()]
                return tuple(sorted(path.relative_to(self.folder).as_posix() for path in paths))
            return tuple(sorted(path.name for path in self.folder.iterdir() if path.is_file() and is_data(path.name)))
        except OSError as error:
            raise ResourceError(f"cannot read {self.folder}: {_why(error)}") from error

    def read(self, name: str) -> bytes:
        """Reads a file once and verifies it. A damaged file in the cache is removed, and downloaded again once.

        Raises:
            IntegrityError: if the bytes differ from the pin, or from the id on the Hub.
            NotFoundError: if there is no such file.
            UnsafeContentError: if the name or a link leads out of the folder, or to something other than a regular file.
            ResourceError: if the file cannot be read.
        """
        try:
            return self.read_once(name)
        except IntegrityError as error:
            if self.repair is None:
                raise
            self.repair(self, name, error)
        return self.read_once(name)

    def stream(self, name: str, consume: "Callable[[Stream], T]") -> T:
        """Passes a file to ``consume`` while it is read, once from beginning to end, and verifies it.

        A result of ``consume`` from unverified bytes is never returned. A damaged file in the cache is replaced once, and read again. A
        ``fresh`` file was verified on arrival, and is verified again only if ``consume`` rejects it.

        Args:
            name: name of the file.
            consume: function of the stream.

        Returns:
            The result of ``consume``.

        Raises:
            ZooError: as :meth:`read` does, and as ``consume`` does.
        """
        try:
            return self._streamed(name, consume, name not in self.fresh)
        except IntegrityError as error:
            if self.repair is None:
                raise
            self.repair(self, name, error)
        return self._streamed(name, consume, True)

    def _streamed(self, name: str, consume: "Callable[[Stream], T]", hashed: bool) -> T:
        pin = self._pin(name)
        with self._open(name) as file:
            size = os.fstat(file.fileno()).st_size
            if pin and size != pin.size:
                raise self._tampered(f"{name} is {'longer' if size > pin.size else 'shorter'} than the pinned {pin.size} bytes")
            if not pin and size > (limit := max_size(name, self.reference.layout)):
                raise UnsafeContentError(f"{self.reference}: {name} is larger than {limit >> 20} MiB", "do not use it")
            oid = self.oids[name] if self.oids is not None else ""
            stream = Stream(file, size, name=name, git=len(oid) == 40, hashed=hashed)
            try:
                result = consume(stream)
            except (IncompatibleCheckpoint, UnsafeContentError):
                if not hashed:
                    return self._streamed(name, consume, True)
                if pin or oid:  # other bytes than those of the pinned file say nothing about it
                    self._verify(name, stream, pin, oid)
                raise
            self._verify(name, stream, pin, oid)
        return result

    def _verify(self, name: str, stream: "Stream", pin: Pin | None, oid: str) -> None:
        """Compares the digests of a whole file with the required ones."""
        if not stream.hashed:
            return
        digest, own = stream.finish(verified=bool(pin or oid))
        if pin and digest != pin.sha256:
            raise self._tampered(f"the sha256 of {name} is {digest[:12]}..., pinned is {pin.sha256[:12]}...")
        if oid and own != oid:
            raise self._tampered(f"the id of {name} is {own[:12]}..., on the Hub it is {oid[:12]}...")
        self._digests[name] = digest

    def read_once(self, name: str) -> bytes:
        """Reads and verifies a file as :meth:`read` does, without a repair."""
        pin = self._pin(name)
        limit = pin.size if pin else max_size(name, self.reference.layout)
        data = self._bytes(name, limit)
        if pin and len(data) != pin.size:
            raise self._tampered(f"{name} is {'longer' if len(data) > pin.size else 'shorter'} than the pinned {pin.size} bytes")
        if len(data) > limit:
            raise UnsafeContentError(f"{self.reference}: {name} is larger than {limit >> 20} MiB", "do not use it")
        digest = hashlib.sha256(data).hexdigest()
        if pin and digest != pin.sha256:
            raise self._tampered(f"the sha256 of {name} is {digest[:12]}..., pinned is {pin.sha256[:12]}...")
        if self.oids is not None:
            wanted = self.oids[name]
            oid = digest if len(wanted) == len(digest) else oid_of(data, wanted)
            if oid != wanted:
                raise self._tampered(f"the id of {name} is {oid[:12]}..., on the Hub it is {wanted[:12]}...")
        self._digests[name] = digest
        return data

    def digest(self, name: str) -> str:
        """Returns the sha256 of a file in hex: the pinned one, or that of a local file."""
        pin = self._pin(name)
        if pin is None and name not in self._digests:
            self.read(name)
        return pin.sha256 if pin else self._digests[name]

    def size(self, name: str) -> int:
        """Returns the size of a file in bytes: the pinned one, or that of a local file."""
        pin = self._pin(name)
        return pin.size if pin else self._place(name).stat().st_size

    def json(self, name: str) -> dict[str, Any]:
        """Reads a JSON object from a verified file; raises as :meth:`read` does, and ConfigError if it is not valid."""
        return parse_json(self.read(name), name)

    def tensors(self, name: str = WEIGHTS) -> Mapping[str, TensorInfo]:
        """Reads only the header of the weights, unverified: for display, never for loading."""
        self._pin(name)
        with self._open(name) as file:
            start = file.read(8)
            start += file.read(min(int.from_bytes(start, "little"), MAX_HEADER_BYTES + 1))
            return read_header(start, os.fstat(file.fileno()).st_size, name)

    def _pin(self, name: str) -> Pin | None:
        check_name(name)
        known = self.pins if self.pins is not None else self.oids
        if known is not None and name not in known:
            raise NotFoundError(f"{self.reference} has no file {name!r}", f"it has {', '.join(self.names)}")
        return self.pins[name] if self.pins is not None else None

    def _place(self, name: str) -> Path:
        try:
            path = (self.folder / name).resolve(strict=True)
        except FileNotFoundError as error:
            raise NotFoundError(f"{self.source} has no {name} for {self.reference}", self.repair_hint()) from error
        except (OSError, RuntimeError) as error:
            raise ResourceError(f"cannot read {name} of {self.reference}: {_why(error)}") from error
        if not path.is_relative_to((self.root or self.folder).resolve()):
            raise UnsafeContentError(f"{name} of {self.reference} is a link out of its folder", "put the file itself there")
        return path

    def _open(self, name: str) -> FileIO:
        path = self._place(name)
        try:
            # Non-blocking, so that a pipe in place of a file does not block forever.
            handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        except OSError as error:
            raise ResourceError(f"cannot read {path}: {_why(error)}") from error
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise UnsafeContentError(f"{name} of {self.reference} is not a regular file", "put a regular file there")
        return FileIO(handle)

    def _bytes(self, name: str, limit: int) -> bytes:
        """Returns the bytes of a file, of which at most ``limit`` + 1 are read."""
        parts = []
        with self._open(name) as file:
            size = min(os.fstat(file.fileno()).st_size, limit)
            demand_memory(size if size < _CHUNK else 2 * size, f"the bytes of {name} of {self.reference}", "use a larger machine")
            try:
                left = size + 1
                while left and (part := file.read(min(left, _CHUNK))):
                    parts.append(part)
                    left -= len(part)
            except (OSError, MemoryError) as error:
                raise ResourceError(f"cannot read {name} of {self.reference}: {_why(error)}") from error
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _tampered(self, what: str) -> IntegrityError:
        is_locked = self.pins is not None and self.spec is None  # by a lock file, and not by a package
        hint = "it is not the locked file: put that back, or lock the one that is here" if is_locked else self.repair_hint()
        return IntegrityError(f"{self.reference}: {what}", hint)

    def repair_hint(self) -> str:
        """The next step if a file is missing or wrong."""
        if self.hub is not None:
            return f"`zoo pull {self.reference}` fetches it again"
        if self.spec is None:
            return "look into the folder"
        return f"install {self.source.split()[0]} again; `zoo pin` if the change is yours"


class Stream:
    """A safetensors file that is read from beginning to end and hashed on the way.

    >>> from zoo_core.hub.fetch import fetch
    >>> fetch("realnvp-moons").stream(WEIGHTS, lambda stream: len(stream.header()) > 0)
    True

    Args:
        file: the open file.
        size: size in bytes.
        name: name of the file, for messages.
        git: whether its id on the Hub is git's sha1; otherwise it is the sha256.
        hashed: whether to hash the file.
    """

    def __init__(self, file: FileIO, size: int, *, name: str, git: bool = False, hashed: bool = True) -> None:
        self.size = size
        self.name = name
        self.hashed = hashed
        self._file = file
        self._left = size
        self._hashes = [hashlib.sha256()] + ([hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)] if git else [])

    def header(self) -> Mapping[str, TensorInfo]:
        """Reads the header, which comes first, and returns the tensors in the order of their bytes, which follow without gaps.

        Raises:
            UnsafeContentError: if it is malformed, or unsafe to open.
        """
        start = self._take(min(8, self._left))
        start += self._take(min(int.from_bytes(start, "little"), MAX_HEADER_BYTES + 1, self._left))
        tensors = read_header(start, self.size, self.name)
        return dict(sorted(tensors.items(), key=lambda item: (item[1].begin, item[1].end)))

    def fill(self, view: memoryview) -> None:
        """Reads the next bytes into ``view``.

        Raises:
            UnsafeContentError: if the file became shorter.
            ResourceError: if it cannot be read.
        """
        for begin in range(0, len(view), _STEP):
            part = view[begin : begin + _STEP]
            done = 0
            while done < len(part):
                try:
                    count = self._file.readinto(part[done:])
                except OSError as error:
                    raise ResourceError(f"cannot read {self.name}: {_why(error)}") from error
                if not count:
                    raise UnsafeContentError(f"{self.name} became shorter while it was read", "download the file again")
                done += count
            self._left -= done
            if self.hashed:
                for digest in self._hashes:
                    digest.update(part)

    def finish(self, verified: bool = False) -> tuple[str, str]:
        """Reads the rest of the file, and returns its sha256 and its id on the Hub.

        Args:
            verified: whether the caller compares the digests, which detects a file that became shorter.

        Raises:
            UnsafeContentError: if the file became shorter, and is not ``verified``.
        """
        step = memoryview(bytearray(min(_STEP, self._left)))
        with suppress(UnsafeContentError) if verified else nullcontext():
            while self._left:
                self.fill(step[: self._left])
        return self._hashes[0].hexdigest(), self._hashes[-1].hexdigest()

    def _take(self, count: int) -> bytes:
        taken = bytearray(count)
        self.fill(memoryview(taken))
        return bytes(taken)


def _why(error: BaseException) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


def check_name(name: str) -> None:
    """Checks that a file name cannot lead out of a folder, be hidden, or be mistaken for another.

    Raises:
        UnsafeContentError: if a part does not begin with a letter or digit, or contains anything but letters, digits, ``.``, ``_``, ``-``.
    """
    if not _NAME.fullmatch(name):
        raise UnsafeContentError(f"{name!r} is not a valid name for a file of a checkpoint", "use letters, digits, '.', '_' and '-'")


def is_data(name: str) -> bool:
    """Whether a file of that name may belong to a checkpoint: weights, JSON, text and pictures."""
    return bool(_NAME.fullmatch(name)) and Path(name).suffix.lower() in _SUFFIXES


def max_size(name: str, layout: str = "") -> int:
    """Returns the size limit in bytes of an unpinned file of that name, as its parser has it.

    In the ``layout`` of another library, all safetensors files are weights.
    """
    suffix = Path(name).suffix.lower()
    is_weights = suffix == ".safetensors" if layout else Path(name).name == WEIGHTS
    return _LARGEST_WEIGHTS if is_weights else _LARGEST.get(suffix, _LARGEST_OTHER)


def oid_of(data: bytes, like: str) -> str:
    """Returns the Hub's id of a file of these bytes: the sha256, or git's sha1 if ``like`` is not as long as a sha256."""
    return hashlib.sha256(data).hexdigest() if len(like) == 64 else hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
