"""Checks of what the files of a checkpoint hold: numbers that are finite, JSON and a card that can be read."""

import logging

from zoo_core.cards.card import MAX_CARD_BYTES
from zoo_core.cards.card import parse as parse_card
from zoo_core.cards.metrics import METRICS
from zoo_core.checkpoint.files import CARD, CONFIG, TRAINING, Files, Stream
from zoo_core.checkpoint.safetensors import check_finite, check_numbers, read_header
from zoo_core.config import MAX_JSON_BYTES, parse_json

__all__ = ["check_content", "check_file"]

_ROOM = 1 << 24  # bytes of a tensor that are looked at at once; a multiple of the size of every number
_log = logging.getLogger(__name__)


def check_content(name: str, data: bytes, *, bare: bool = False) -> None:
    """Looks into a file of a checkpoint, by its name, for what must not be there.

    Args:
        name: name of the file.
        data: its bytes.
        bare: takes a card without front matter too.

    Raises:
        UnsafeContentError: weights that are malformed, NaN, infinite or beyond the numbers of float32.
        ConfigError, CardError: a JSON file that the zoo reads, or the card, cannot be read.
    """
    if name.endswith(".safetensors"):
        check_finite(data, read_header(data, len(data), name), name)
    elif name in (CONFIG, TRAINING, METRICS):
        parse_json(data[: MAX_JSON_BYTES + 1], name)
    elif name == CARD:
        parse_card(data[: MAX_CARD_BYTES + 1], bare=bare)


def check_file(files: Files, name: str) -> int:
    """Verifies a file, and looks into it as :func:`check_content` does; returns its size. Weights are never in memory as a whole.

    A card without front matter is text, and harms nobody: it is taken with a warning, as :func:`load` takes it.

    Raises:
        ZooError: as :meth:`Files.read` and :func:`check_content` do.
    """
    if name.endswith(".safetensors"):
        return files.stream(name, _check_tensors)
    data = files.read(name)
    check_content(name, data, bare=True)
    if name == CARD and not data.startswith(b"---"):
        _log.warning("zoo: warning: the card of %s has no front matter: it states no licence and no data", files.reference)
    return len(data)


def _check_tensors(stream: Stream) -> int:
    room = memoryview(bytearray(min(_ROOM, stream.size)))
    for key, info in stream.header().items():
        for begin in range(info.begin, info.end, _ROOM):
            part = room[: min(_ROOM, info.end - begin)]
            stream.fill(part)
            check_numbers(part, info.dtype, key, stream.name)
    return stream.size
