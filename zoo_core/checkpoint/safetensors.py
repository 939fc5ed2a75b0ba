"""A strict parser of safetensors headers, and checks for finite numbers.

The format is 8 bytes with the length of a header, the header (JSON: name -> dtype, shape, offsets), and the tensors' bytes. The safetensors
library accepts duplicate keys, spends gigabytes on a header of a million tensors, and lets foreign exceptions through: so the header is
parsed here first, strictly and within limits.
"""

import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from zoo_core.errors import UnsafeContentError

__all__ = ["MAX_HEADER_BYTES", "MAX_RANK", "MAX_TENSORS", "TensorInfo", "check_finite", "check_numbers", "read_header"]

MAX_HEADER_BYTES = 8 << 20
MAX_TENSORS = 20_000
MAX_RANK = 8

_ITEM_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
# Masks of the exponent: all of its bits are set in NaN and infinity only.
_EXPONENTS = {"F64": 0x7FF0 << 48, "F32": 0x7F80 << 16, "F16": 0x7C00, "BF16": 0x7F80}
_HINT = "do not open it; download the file again"
_BEYOND_F32 = 0x47EFFFFFF0000000  # the bits of 2^128 - 2^103 in float64, the smallest number that float32 rounds to infinity


class TensorInfo(NamedTuple):
    """A tensor's entry in a header.

    >>> TensorInfo("F32", (3, 4), begin=64, end=112).elements
    12

    Args:
        dtype: such as ``F32``.
        shape: shape of the tensor.
        begin: offset of its first byte from the start of the file.
        end: offset after its last byte.
    """

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def elements(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


def read_header(data: bytes, size: int, name: str = "model.safetensors") -> Mapping[str, TensorInfo]:
    """Parses the header of a safetensors file.

    Args:
        data: beginning of the file, with the whole header.
        size: size of the file in bytes.
        name: name of the file, for messages.

    Raises:
        UnsafeContentError: if it is not a safetensors file, or is unsafe to open.
    """
    length = int.from_bytes(data[:8], "little")
    _demand(len(data) >= 8 and 0 < length <= size - 8, name, "is cut short")
    _demand(length <= MAX_HEADER_BYTES, name, f"has a header of {length} bytes, more than {MAX_HEADER_BYTES}")
    header = _json(data[8 : 8 + length], name)
    notes = header.pop("__metadata__", {})
    plain = isinstance(notes, dict) and all(isinstance(value, str) for value in notes.values())
    _demand(plain, name, "has a __metadata__ that holds more than strings")
    _demand(len(header) <= MAX_TENSORS, name, f"holds {len(header)} tensors, more than {MAX_TENSORS}")
    tensors = {key: _tensor(key, entry, 8 + length, name) for key, entry in header.items()}
    place = 8 + length
    for info in sorted(tensors.values(), key=lambda info: (info.begin, info.end)):
        _demand(info.begin == place, name, "has tensors that overlap or leave gaps")
        place = info.end
    _demand(place == size, name, f"ends at byte {size}, and its tensors at {place}")
    return tensors


def _demand(condition: bool, name: str, fault: str) -> None:
    if not condition:
        raise UnsafeContentError(f"{name} {fault}", _HINT)


def _json(raw: bytes, name: str) -> dict[str, Any]:
    _demand(raw.startswith(b"{"), name, "has no JSON object as its header")
    try:
        header: dict[str, Any] = json.loads(raw.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise UnsafeContentError(f"{name} has a malformed header: {error}", _HINT) from error
    return header


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) != len(pairs):
        raise ValueError("duplicate key")
    for text in (each for pair in pairs for each in pair if isinstance(each, str)):
        text.encode()  # half of a surrogate pair, which the format does not have, is a ValueError
    return data


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")


def _tensor(key: str, entry: Any, start: int, name: str) -> TensorInfo:
    match entry:
        case {"dtype": str(dtype), "shape": list(shape), "data_offsets": [int(begin), int(end)]} if len(entry) == 3:
            info = TensorInfo(dtype, tuple(shape), start + begin, start + end)
            if (
                len(shape) <= MAX_RANK
                and type(begin) is type(end) is int
                and all(type(side) is int and 0 <= side < 2**63 for side in shape)
                and 0 <= begin <= end
                and info.end - info.begin == info.elements * _ITEM_BYTES.get(dtype, -1)
            ):
                return info
    _demand(False, name, f"describes its tensor {key[:60]!r} in a way that the zoo does not read")
    raise AssertionError


def check_finite(data: bytes, tensors: Mapping[str, TensorInfo], name: str = "model.safetensors") -> None:
    """Checks all numbers of a whole file.

    Raises:
        UnsafeContentError: if a number is NaN, infinite, or beyond the numbers of float32.
    """
    for key, info in tensors.items():
        if info.dtype in _EXPONENTS and info.elements:
            check_numbers(memoryview(data)[info.begin : info.end], info.dtype, key, name)


def check_numbers(raw: memoryview, dtype: str, key: str, name: str = "model.safetensors") -> None:
    """Checks the numbers of a part of a tensor.

    Args:
        raw: little-endian bytes.
        dtype: dtype as in headers, such as ``F32``.
        key: name of the tensor, for messages.
        name: name of the file, for messages.

    Raises:
        UnsafeContentError: as :func:`check_finite` does.
    """
    import numpy as np

    if dtype not in _EXPONENTS:
        return
    exponent = np.array(_EXPONENTS[dtype], dtype=f"<u{_ITEM_BYTES[dtype]}")
    bits = np.frombuffer(raw, dtype=exponent.dtype)
    _demand(not bool(((bits & exponent) == exponent).any()), name, f"holds NaN or infinity in its tensor {key[:60]!r}")
    if dtype == "F64":  # nets compute in float32, in which larger numbers become infinite
        large = (bits & np.uint64(2**63 - 1)) >= np.uint64(_BEYOND_F32)
        _demand(not bool(large.any()), name, f"holds numbers beyond those of float32 in its tensor {key[:60]!r}")
