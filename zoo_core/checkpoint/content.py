"""Checks of the content of a checkpoint's files: finite numbers, readable JSON, a readable card."""

import logging

from zoo_core.cards.card import MAX_CARD_BYTES
from zoo_core.cards.card import parse as parse_card
from zoo_core.cards.metrics_json import METRICS
from zoo_core.checkpoint.files import CARD, CONFIG, TRAINING, Files, Stream
from zoo_core.checkpoint.safetensors import check_finite, check_numbers, read_header
from zoo_core.config import MAX_JSON_BYTES, parse_json

__all__ = ["check_content", "check_file"]

_ROOM = 1 << 24  # bytes of a tensor that are checked at once; a multiple of the size of every dtype
_log = logging.getLogger(__name__)


def check_content(name: str, data: bytes, *, bare: bool = False) -> None:
    """Checks the content of a file of a checkpoint, depending on its name.

    Args:
        name: name of the file.
        data: its bytes.
        bare: whether to accept a card without front matter.

    Raises:
        UnsafeContentError: if weights are malformed, NaN, infinite or beyond the numbers of float32.
        ConfigError: if a JSON file of the zoo is not valid.
        CardError: if the card is not valid.
    """
    if name.endswith(".safetensors"):
        check_finite(data, read_header(data, len(data), name), name)
    elif name in (CONFIG, TRAINING, METRICS):
        parse_json(data[: MAX_JSON_BYTES + 1], name)
    elif name == CARD:
        parse_card(data[: MAX_CARD_BYTES + 1], bare=bare)


def check_file(files: Files, name: str) -> int:
    """Verifies a file and its content as :func:`check_content` does, and returns its size. Weights are never in memory as a whole.

    A card without front matter is harmless text: it is accepted with a warning, as by :func:`zoo_core.load`.

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
