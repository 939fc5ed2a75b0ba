"""Reference statistics: mean and covariance of real samples in a feature space, by which a distance can be measured without the samples.

``reference.safetensors`` lies beside metrics.json and holds, for each pair of feature space and data set, ``KEY.mean`` float64 (d,) and
``KEY.covariance`` float64 (d, d), the unbiased one. KEY is the beginning of the sha256 of the space's weights, a dash, and the beginning
of that of the data. The metadata ``references`` is JSON with the number of samples, the feature space and the data set of each KEY.
"""

import json
from collections.abc import Mapping
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from zoo_core.checkpoint.safetensors import read_header
from zoo_core.config import parse_json
from zoo_core.errors import ConfigError
from zoo_core.evaluation.statistics import Moments

__all__ = ["REFERENCE", "moments_of", "read_references", "reference_key", "with_reference"]

REFERENCE = "reference.safetensors"
_METADATA = "references"


def reference_key(features: Mapping[str, Any], data: Mapping[str, Any]) -> str:
    """The KEY of the feature space and the data set of a record.

    >>> reference_key({"digest": "a" * 64}, {"digest": "b" * 64})
    'aaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbb'
    """
    return f"{str(features['digest'])[:16]}-{str(data['digest'])[:16]}"


def read_references(content: bytes) -> dict[str, Moments]:
    """The moments in the content of a reference.safetensors, by KEY.

    Raises:
        UnsafeContentError: if it is not a safetensors file.
        ConfigError: if it is malformed.
        ZooError: if it holds numbers that are not finite.
    """
    tensors, references = _read(content)
    try:
        return {
            key: _moments(tensors[f"{key}.mean"], tensors[f"{key}.covariance"], int(facts["count"])) for key, facts in references.items()
        }
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{REFERENCE} is not what the zoo writes: {' '.join(str(error).split())[:80]}", "make it again") from error


def moments_of(content: bytes, digest: str) -> dict[str, Moments]:
    """The moments of the data with that digest, by the digest of the feature space; raises as :func:`read_references` does."""
    moments = read_references(content)
    _, references = _read(content)
    return {facts["features"]["digest"]: moments[key] for key, facts in references.items() if facts["data"]["digest"] == digest}


def _moments(mean: Tensor, covariance: Tensor, count: int) -> Moments:
    return Moments.from_state({"count": torch.tensor(count), "mean": mean, "scatter": covariance * (count - 1)})


def _read(content: bytes) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors of the file, and the metadata of each KEY."""
    read_header(content, len(content), REFERENCE)
    header = parse_json(content[8 : 8 + int.from_bytes(content[:8], "little")], REFERENCE)
    try:
        return load(content), dict(json.loads(header["__metadata__"][_METADATA]))
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{REFERENCE} is not what the zoo writes: {' '.join(str(error).split())[:80]}", "make it again") from error


def with_reference(content: bytes | None, record: Mapping[str, Any], moments: Moments) -> bytes:
    """Adds moments to the content of a reference.safetensors, or replaces older ones of the same KEY.

    Args:
        content: content of the file; None for a new one.
        record: record whose real samples have these moments.
        moments: moments of the real samples.

    Returns:
        The new content.

    Raises:
        UnsafeContentError, ConfigError: see :func:`read_references`.
    """
    tensors, references = _read(content) if content else ({}, {})
    key = reference_key(record["features"], record["data"])
    tensors |= {f"{key}.mean": moments.mean.contiguous(), f"{key}.covariance": moments.covariance.contiguous()}
    data = {"dataset": record["dataset"], "digest": record["data"]["digest"]}
    references[key] = {"count": moments.count, "data": data, "features": dict(record["features"])}
    # A single entry of metadata: safetensors writes several ones in any order.
    return bytes(save(tensors, metadata={_METADATA: json.dumps(references, sort_keys=True)}))
