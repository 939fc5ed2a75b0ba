"""Files of another library's layout as a checkpoint: their config is converted, and their weights are read as one safetensors file."""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from hashlib import sha256
from typing import Any, TypeVar

from zoo_core.checkpoint.files import CARD, CONFIG, WEIGHTS, Files, Stream
from zoo_core.checkpoint.safetensors import TensorInfo
from zoo_core.config import dump_json
from zoo_core.errors import NotFoundError, UnsafeContentError
from zoo_core.registry import Reference, registry, resolve
from zoo_core.registry.faults import call_plugin
from zoo_core.specs import LayoutSpec

__all__ = ["Converted", "Layout", "Part", "layout_of", "presented"]

T = TypeVar("T")
_STEP = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A file of weights among those that a model consists of.

    >>> part = Part(file="unet/diffusion_pytorch_model.safetensors", rename="unet.{}".format)
    >>> part.rename("conv_in.weight")
    'unet.conv_in.weight'

    Args:
        file: name of the safetensors file.
        rename: function from a tensor's name in the file to its name in the model's state dict; None leaves the tensor out.
    """

    file: str
    rename: Callable[[str], str | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Converted:
    """Files of another library's layout, as the zoo understands them.

    >>> parts = (Part(file="net.safetensors", rename=str),)
    >>> Converted(config={"format": 1, "weights_version": 1, "model": {"name": "my-family"}}, parts=parts).data
    {}

    Args:
        config: the plain values of config.json.
        parts: the files of weights, in the order in which they are read.
        data: tensors of bytes (uint8) that are made of other files, such as the tables of a tokenizer, by their names in the model's state
            dict.
    """

    config: Mapping[str, Any]
    parts: tuple[Part, ...]
    data: Mapping[str, bytes] = field(default_factory=dict)


class Layout(ABC):
    """The layout of another library's files: which of them are read, and how they become a checkpoint. It runs no code of theirs.

    A plugin registers a class by a :class:`zoo_core.specs.LayoutSpec`; it lies in a light module and is built without arguments.

    >>> class Renamed(Layout):
    ...     def is_wanted(self, name):
    ...         return name in ("options.json", "net.safetensors")
    ...     def check(self, reference, names):
    ...         pass
    ...     def convert(self, files):
    ...         model = {"name": "my-family", **files.json("options.json")}
    ...         parts = (Part(file="net.safetensors", rename=str),)
    ...         return Converted(config={"format": 1, "weights_version": 1, "model": model}, parts=parts)
    >>> Renamed().is_wanted("run.py")
    False
    """

    @abstractmethod
    def is_wanted(self, name: str) -> bool:
        """Whether a file is read, by its name in the folder or repository: safetensors, JSON and text only."""

    @abstractmethod
    def check(self, reference: str, names: Collection[str]) -> None:
        """Refuses files by their names, before any of them is fetched.

        Args:
            reference: the checkpoint, for messages.
            names: names of all files of the folder or repository, of which only the wanted ones are read.

        Raises:
            TrustError: if they are not of this layout, or hold code or pickles in place of what is wanted.
        """

    @abstractmethod
    def convert(self, files: Files) -> Converted:
        """Reads the JSON files. The weights may not be there yet.

        Raises:
            TrustError: if they name code of their own.
            ConfigError: if they describe a model that the layout does not read.
        """


def layout_of(reference: Reference) -> Layout:
    """The layout that a reference names.

    Raises:
        PluginError: if it is no layout.
    """
    target = resolve(registry().spec(LayoutSpec, reference.layout).target)
    return call_plugin(target, kind=Layout)  # type: ignore[type-abstract]  # a class derived from it


def presented(files: Files) -> Files:
    """The files of a checkpoint in the zoo's layout; the same object if they are in that.

    Raises:
        ZooError: as the layout does.
    """
    if not files.reference.layout:
        return files
    layout = layout_of(files.reference)
    layout.check(str(files.reference), files.names)
    converted = call_plugin(layout.convert, files, kind=Converted)
    same = {item.name: getattr(files, item.name) for item in fields(Files) if item.name not in ("pins", "oids", "fresh", "repair")}
    return _ConvertedFiles(**same, inner=files, converted=converted)


@dataclass(frozen=True, kw_only=True, slots=True)
class _ConvertedFiles(Files):
    """The files of a checkpoint that is converted while it is read: ``config.json``, ``model.safetensors`` and the card.

    Nothing is written. Each file below is verified as :class:`Files` does, and so is all that is made of it.

    Args:
        inner: the files as they are.
        converted: what the layout made of them.
    """

    inner: Files
    converted: Converted

    @property
    def names(self) -> tuple[str, ...]:
        return (CONFIG, WEIGHTS, *([CARD] if CARD in self.inner.names else ()))

    def read_once(self, name: str) -> bytes:
        if name == CONFIG:
            return dump_json(self.converted.config).encode()
        if name == WEIGHTS:
            return self.stream(WEIGHTS, lambda stream: b"".join(_chunks(stream)))
        self._known(name)
        return self.inner.read(name)

    def stream(self, name: str, consume: Callable[[Stream], T]) -> T:
        if name == WEIGHTS:
            return self._merged(self.converted.parts, (), consume)
        self._known(name)
        return self.inner.stream(name, consume)

    def _merged(self, parts: Sequence[Part], opened: tuple[tuple[Part, Stream], ...], consume: Callable[[Stream], T]) -> T:
        """Opens the files one inside the other, so that each is verified before the result is returned."""
        if not parts:
            return consume(_Merged(opened, self.converted.data))
        first, *rest = parts
        return self.inner.stream(first.file, lambda stream: self._merged(rest, (*opened, (first, stream)), consume))

    def digest(self, name: str) -> str:
        if name not in self._digests:
            if name == WEIGHTS:
                self._digests[name] = self.stream(WEIGHTS, _digest)
            else:
                self._digests[name] = sha256(self.read(name)).hexdigest()
        return self._digests[name]

    def size(self, name: str) -> int:
        if name == WEIGHTS:
            tensors = self.tensors()
            return len(_header(tensors)) + sum(info.end - info.begin for info in tensors.values())
        return len(self.read(name)) if name == CONFIG else self.inner.size(name)

    def tensors(self, name: str = WEIGHTS) -> Mapping[str, TensorInfo]:
        assert name == WEIGHTS
        return _joined(((part, self.inner.tensors(part.file)) for part in self.converted.parts), self.converted.data)

    def _known(self, name: str) -> None:
        if name not in self.names:
            raise NotFoundError(f"{self.reference} has no file {name!r}", f"it has {', '.join(self.names)}")


class _Merged(Stream):
    """Several streams of safetensors files as one, whose tensors follow each other without gaps."""

    def __init__(self, parts: Sequence[tuple[Part, Stream]], data: Mapping[str, bytes]) -> None:
        self.name = WEIGHTS
        self.hashed = True
        self._parts = parts
        self._data = data
        self._pieces: list[tuple[Stream | _Bytes, int, bool]] = []  # source, bytes, and whether they are wanted
        self.size = 0

    def header(self) -> Mapping[str, TensorInfo]:
        headers = [(part, stream, stream.header()) for part, stream in self._parts]
        tensors = _joined(((part, header) for part, _, header in headers), self._data)
        self._pieces = [
            (stream, info.end - info.begin, part.rename(name) is not None)
            for part, stream, header in headers
            for name, info in header.items()
        ]
        self._pieces += [(_Bytes(value), len(value), True) for value in self._data.values()]
        self.size = len(_header(tensors)) + sum(info.end - info.begin for info in tensors.values())
        return tensors

    def fill(self, view: memoryview) -> None:
        while len(view):
            stream, count, wanted = self._pieces.pop(0)
            if not wanted:
                _skip(stream, count)
                continue
            taken = min(count, len(view))
            stream.fill(view[:taken])
            view = view[taken:]
            if taken < count:
                self._pieces.insert(0, (stream, count - taken, True))


class _Bytes:
    """Bytes in memory, to be taken from the first on."""

    def __init__(self, data: bytes) -> None:
        self._left = memoryview(data)

    def fill(self, view: memoryview) -> None:
        view[:] = self._left[: len(view)]
        self._left = self._left[len(view) :]


def _skip(stream: "Stream | _Bytes", count: int) -> None:
    room = memoryview(bytearray(min(count, _STEP)))
    while count:
        stream.fill(room[: min(count, _STEP)])
        count -= min(count, _STEP)


def _joined(headers: "Iterator[tuple[Part, Mapping[str, TensorInfo]]]", data: Mapping[str, bytes]) -> dict[str, TensorInfo]:
    """The header of several files and of further tensors as one, with its own offsets.

    Raises:
        UnsafeContentError: if two tensors get one name.
    """
    found: dict[str, TensorInfo] = {}
    place = 0
    for part, header in headers:
        for name, info in header.items():
            renamed = part.rename(name)
            if renamed is None:
                continue
            if renamed in found:
                raise UnsafeContentError(f"{part.file} holds the tensor {renamed[:60]!r}, as another file does", "do not use it")
            count = info.end - info.begin
            found[renamed] = TensorInfo(info.dtype, info.shape, place, place + count)
            place += count
    for name, value in data.items():
        found[name] = TensorInfo("U8", (len(value),), place, place + len(value))
        place += len(value)
    start = len(_header(found))
    return {name: info._replace(begin=start + info.begin, end=start + info.end) for name, info in found.items()}


def _header(tensors: Mapping[str, TensorInfo]) -> bytes:
    """The first bytes of a safetensors file of these tensors; offsets count from the first of them."""
    first = min((info.begin for info in tensors.values()), default=0)
    entries = {
        name: {"dtype": info.dtype, "shape": list(info.shape), "data_offsets": [info.begin - first, info.end - first]}
        for name, info in tensors.items()
    }
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _chunks(stream: Stream) -> Iterator[bytes]:
    """The bytes of a merged file."""
    tensors = stream.header()
    yield _header(tensors)
    left = sum(info.end - info.begin for info in tensors.values())
    while left:
        room = bytearray(min(left, _STEP))
        stream.fill(memoryview(room))
        left -= len(room)
        yield bytes(room)


def _digest(stream: Stream) -> str:
    digest = sha256()
    for chunk in _chunks(stream):
        digest.update(chunk)
    return digest.hexdigest()
