"""A fuzzer of all that is read from other people: ``python -m tools.fuzz --count 1000000``.

Each input is a valid file that was changed: bytes flipped, cut, repeated or replaced, and values of JSON exchanged for
odd ones. A reader may return a result or raise a ``ZooError``. Any other exception, more than ten seconds of CPU time,
memory beyond a gigabyte, and a result that the reader here knows to be wrong (AssertionError) are surprises. Input
i of a seed is always the same; a surprise is written to a file, to be mended and kept in tests/corpus, which the tests
read again.
"""

import json
import logging
import random
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch
from zlib import crc32

import click

from tools import fuzz_pins, fuzz_signatures
from zoo_core.errors import ZooError

__all__ = ["CORPUS", "TARGETS", "Target", "change", "main", "surprise"]

CORPUS = Path(__file__).parents[1] / "tests" / "corpus"
SECONDS = 10
MEMORY = 1 << 30

_TOKENS = [
    b"\x00",
    b"\xff",
    b"null",
    b"-1",
    b"1e999",
    b"NaN",
    b"9" * 40,
    b'"',
    b"\\ud800",
    b"{",
    b"[",
    b"]}",
    b"---\n",
    b"../",
    b"\n",
    b"&a *a",
]
_ODD: list[Any] = [
    None,
    True,
    -1,
    0,
    2**63,
    2**64,
    1e308,
    -0.5,
    "",
    "x" * 300,
    "../../etc",
    "\ud800",
    "\x1b[31m",
    [],
    {},
    [[]],
    {"": {}},
    "local:x",
]


@dataclass(frozen=True)
class Target:
    """A reader of untrusted bytes.

    >>> Target(read=len, sample=b"abc").read(b"ab")
    2

    Args:
        read: the reader.
        sample: a valid file.
    """

    read: Callable[[bytes], object]
    sample: bytes

    @property
    def is_json(self) -> bool:
        return self.sample[:1] in (b"{", b"[")


def _safetensors(data: bytes) -> object:
    """A file whose length is that of its header, so that readers get to what the header says.

    Raises AssertionError if it is accepted, and the library safetensors refuses it or reads other tensors.
    """
    from safetensors import SafetensorError, deserialize

    from zoo_core.checkpoint.safetensors import read_header

    data = len(data).to_bytes(8, "little") + data + bytes(22)
    tensors = read_header(data, len(data))
    try:
        theirs = {name: tuple(info["shape"]) for name, info in deserialize(data)}
    except SafetensorError as error:
        raise AssertionError(f"accepted, and safetensors says: {error}") from None
    if theirs != {name: info.shape for name, info in tensors.items()}:
        raise AssertionError("other tensors than those that safetensors reads")
    return tensors


def _config(data: bytes) -> object:
    from zoo_core.checkpoint.config import CheckpointConfig
    from zoo_core.config import decode, parse_json

    return decode(CheckpointConfig, parse_json(data, "config.json"))


def _card(data: bytes) -> object:
    from zoo_core.cards.card import named_plugin, parse

    card = parse(data, bare=True)
    return card.license, card.datasets, named_plugin(card.metadata)


def _metrics(data: bytes) -> object:
    from zoo_core.cards.metrics_json import comparable_groups, metric_records, sample_count, seconds_per_sample
    from zoo_core.config import parse_json

    records = metric_records(parse_json(data, "metrics.json"))
    return comparable_groups(records), [(seconds_per_sample(each), sample_count(each, "drawn")) for each in records]


def _training(data: bytes) -> object:
    from zoo_core.cards.metrics_log import recorded_curve
    from zoo_core.config import parse_json

    return recorded_curve(parse_json(data, "training.json"))


def _listing(data: bytes) -> object:
    """The Hub's description of a repository, as a server may send it.

    Raises AssertionError if it is accepted with a commit, an id or a name that may lead out of the cache.
    """
    from zoo_core.hub import client, repository

    with patch.object(repository, "get_json", lambda *_: client._json(data, "zoo/cats")):
        listing = repository.Repository("zoo/cats").listing("main", lambda name: True)
    ids = [(listing.commit, (40,)), *((oid, (40, 64)) for oid in listing.oids.values())]
    if any(len(oid) not in counts or not set(oid) <= set("0123456789abcdef") for oid, counts in ids):
        raise AssertionError(f"accepted as ids: {ids}")
    if any(not {"", ".", ".."}.isdisjoint(name.split("/")) or not name.isprintable() for name in (*listing.files, *listing.skipped)):
        raise AssertionError(f"accepted as names: {[*listing.files]}")
    return listing


def _manifest(data: bytes) -> object:
    """The manifest of a checkpoint of a run."""
    from zoo_core.training.checkpoints import newest

    with TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        step = Path(folder) / "step-3"
        step.mkdir()
        (step / "state.json").write_bytes(_STATE)
        (step / "MANIFEST.json").write_bytes(data)
        return newest(Path(folder))


def _png(data: bytes) -> object:
    from zoo_core.publishing.images import check_png

    return check_png("samples.png", _with_checksums(data))


def _with_checksums(data: bytes) -> bytes:
    """A PNG whose chunks have the right checksums, as far as it consists of chunks."""
    fixed, place = data[:8], 8
    while place + 12 <= len(data) and (end := place + 8 + int.from_bytes(data[place : place + 4], "big")) + 4 <= len(data):
        fixed += data[place:end] + crc32(data[place + 4 : end]).to_bytes(4, "big")
        place = end + 4
    return fixed + data[place:]


def _reference(data: bytes) -> object:
    from zoo_core.registry import parse_reference

    return parse_reference(data.decode("latin-1"))


def _json(**values: Any) -> bytes:
    return json.dumps(values).encode()


def _sample_png() -> bytes:
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    file, info = BytesIO(), PngInfo()
    info.add_text("sampler", '{"name": "ddim"}')
    info.add_itxt("note", "text", zip=True)
    Image.new("RGB", (4, 4)).save(file, "PNG", pnginfo=info)
    return file.getvalue()


_TENSORS = {
    "__metadata__": {"format": "pt"},
    "a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
    "b": {"dtype": "F16", "shape": [3], "data_offsets": [16, 22]},
}
_STATE = b'{"step": 3, "seconds": 1.0}'
_SIBLINGS = [
    {"rfilename": "config.json", "blobId": "1" * 40, "size": 6},
    {"rfilename": "model.safetensors", "blobId": "2" * 40, "size": 9, "lfs": {"sha256": "3" * 64, "size": 9, "pointerSize": 134}},
]
_RECORD = {
    "metric": "fd",
    "value": 0.5,
    "stderr": 0.01,
    "n": {"real": 60, "drawn": 20},
    "sampler": {"name": "ancestral", "steps": 5, "eta": 1.0, "clip": True, "variance": "small"},
    "features": {"name": "classifier-mnist", "weights": "ab" * 32},
    "dataset": "mnist",
    "pace": {"seconds": 3.0, "batch_size": 4},
}
_CARD = b"---\nlicense: mit\ndatasets:\n- mnist\ntags: [zoo-core]\nzoo:\n  family: vae\n  plugin: zoo-vae\n---\n\n# vae\n\nDigits.\n"

TARGETS: Mapping[str, Target] = {
    "safetensors": Target(_safetensors, _json(**_TENSORS)),
    "config": Target(
        _config,
        _json(
            format=1,
            weights_version=1,
            model={"name": "vae"},
            sampler={"name": "latent", "temperature": 0.7},
            scheduler={"name": "karras", "rho": 7.0},
        ),
    ),
    "card": Target(_card, _CARD),
    "metrics": Target(_metrics, _json(metrics=[_RECORD, {**_RECORD, "metric": "kid"}])),
    "training": Target(_training, _json(steps=3, curve={"steps": [1, 2], "logs": {"loss": [0.5, 0.25]}})),
    "listing": Target(_listing, _json(id="zoo/cats", sha="4" * 40, siblings=_SIBLINGS)),
    "manifest": Target(_manifest, json.dumps({"state.json": {"sha256": sha256(_STATE).hexdigest(), "size": len(_STATE)}}).encode()),
    "png": Target(_png, _sample_png()),
    "reference": Target(_reference, b"org/name@v1.0"),
    **{name: Target(*reader) for name, reader in {**fuzz_pins.READERS, **fuzz_signatures.READERS}.items()},
}
"""The readers by name."""


def change(target: Target, rng: random.Random) -> bytes:
    """A valid file with one to three changes."""
    data = target.sample
    for _ in range(rng.choice((1, 1, 2, 3))):
        data = _changed_json(data, rng) if target.is_json and rng.random() < 0.6 else _changed_bytes(data, rng)
    return data


def _changed_bytes(data: bytes, rng: random.Random) -> bytes:
    i = rng.randrange(len(data) + 1)
    j = min(len(data), i + rng.choice((1, 1, 2, 4, 8, len(data))))
    match rng.randrange(6):
        case 0:
            return data[:i] + bytes([rng.randrange(256)]) + data[i + 1 :]
        case 1:
            return data[:i] + data[j:]
        case 2:
            return data[:j] + data[i:j] * rng.choice((1, 2, 50)) + data[j:]
        case 3 if rng.random() < 0.3:
            return data[:i]
        case 4:
            return data[:i] + rng.choice(_TOKENS) * rng.choice((1, 1, 1, 5000)) + data[i:]
        case _:
            return data[:i] + rng.choice(_TOKENS) + data[j:]


def _changed_json(data: bytes, rng: random.Random) -> bytes:
    """The same JSON with one value exchanged, or one key removed or renamed; unchanged if it is no JSON any more."""
    try:
        value = json.loads(data)
        places = list(_places(value))
        holder, key = rng.choice(places)
        odd = rng.choice(_ODD)
        if isinstance(holder, dict) and rng.random() < 0.3:
            old = holder.pop(key)
            if rng.random() < 0.5:
                holder[str(odd)] = old
        else:
            holder[key] = rng.choice([odd, [holder[key]] * 3, {"name": holder[key]}])
        return json.dumps(value).encode()
    except (ValueError, IndexError, RecursionError):
        return data


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    keys: Any = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from _places(value[key])


@contextmanager
def _silent() -> Iterator[None]:
    """Inside a ``with`` block, there are no warnings, such as those of damaged checkpoints that are set aside."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


class _TooSlow(BaseException):
    """The time of one input is over."""


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise _TooSlow

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def surprise(target: Target, data: bytes) -> str:
    """What a reader did that it must not do; empty if it returned, or raised a ZooError."""
    try:
        with _limited(SECONDS):
            target.read(data)
    except ZooError as error:
        line = str(error)
        return "" if (error.what and line.isprintable()) or "\n" not in error.what else f"an error of several lines: {line[:80]!r}"
    except _TooSlow:
        return f"more than {SECONDS} s"
    except Exception as error:  # the point of this program
        return f"{type(error).__name__}: {str(error)[:200]}"
    return ""


def _accepted(target: Target, data: bytes) -> bool:
    with suppress(ZooError), _silent():
        target.read(data)
        return True
    return False


@click.command()
@click.option("--count", default=100_000, show_default=True, help="Number of inputs, shared by the readers.")
@click.option("--seed", default=0, show_default=True, help="Seed of the inputs.")
@click.option("--only", type=click.Choice(list(TARGETS)), help="One reader alone.")
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), default=Path("fuzz"), show_default=True, help="Folder for surprises."
)
def main(count: int, seed: int, only: str | None, out: Path) -> None:
    """Feeds changed files to every reader of untrusted bytes, and counts surprises."""
    chosen = {only: TARGETS[only]} if only else dict(TARGETS)
    found = 0
    started = time.perf_counter()
    for name, target in chosen.items():
        refused = 0
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for number in range(count // len(chosen)):
            data = change(target, random.Random(f"{seed} {name} {number}"))
            with _silent():
                what = surprise(target, data)
            if what:
                found += 1
                out.mkdir(parents=True, exist_ok=True)
                (out / f"{name}-{seed}-{number}").write_bytes(data)
                click.echo(f"{name} {number}: {what}", err=True)
            refused += not what and not _accepted(target, data) if number % 100 == 0 else 0
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
        if grown > MEMORY:
            found += 1
            click.echo(f"{name}: the memory grew by {grown >> 20} MB", err=True)
        share = refused / max(1, -(-(count // len(chosen)) // 100))
        click.echo(f"{name:12} {count // len(chosen):>9,} inputs, {share:.0%} refused, memory +{grown >> 20} MB")
    total = count // len(chosen) * len(chosen)
    click.echo(f"{total:,} inputs in {time.perf_counter() - started:.0f} s: {found} surprises")
    sys.exit(found > 0)


if __name__ == "__main__":
    main()
