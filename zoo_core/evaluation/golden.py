"""Golden samples: four images that a checkpoint drew when it was made, which anybody can draw again.

If they agree, then weights, sampler, noise and arithmetic together are unchanged. ``golden.safetensors`` holds them as ``samples`` (4,
*event.shape) float32; its metadata holds the sampler, the seed, the labels and the build that drew them.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from safetensors.torch import load as load_tensors
from safetensors.torch import save
from torch import Tensor

from zoo_core.atomic import write_file
from zoo_core.checkpoint.safetensors import read_header
from zoo_core.config import encode, parse_json
from zoo_core.errors import ConfigError, NotFoundError
from zoo_core.hardware.environment import build
from zoo_core.loading import load
from zoo_core.pretrained import Pretrained
from zoo_core.samplers.factory import as_sampler

__all__ = ["GOLDEN", "Golden", "check_golden", "write_golden"]

GOLDEN = "golden.safetensors"
COUNT = 4
SEED = 0
SAME_BUILD_TOLERANCE = 1e-5
OTHER_BUILD_TOLERANCE = 1e-4
OTHER_BUILD_PIXELS = 0.999
"""The share of 8-bit pixels that must be equal on another build."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Golden:
    """The result of a comparison with golden samples.

    Args:
        state: ``ok`` or ``differs``.
        same_build: True if this build drew the golden samples. Then all values must agree to 1e-5; otherwise to 1e-4, and 99.9 % of the
            8-bit pixels must be equal: other processors add in other orders.
        largest: largest absolute difference of a value.
        pixels: share of equal 8-bit pixels, in [0, 1].

    >>> Golden(state="ok", same_build=True, largest=0.0, pixels=1.0).state
    'ok'
    """

    state: Literal["ok", "differs"]
    same_build: bool
    largest: float
    pixels: float


def write_golden(folder: Path) -> Path:
    """Draws the golden samples of the checkpoint in ``folder`` on the CPU and writes them there.

    Raises:
        CapabilityError: if no sampler can sample the model.
        ZooError: if the checkpoint cannot be loaded, see :func:`zoo_core.load`.
    """
    model = load(f"local:{folder}")
    labels = _labels(model)
    samples = model.sample(COUNT, seed=SEED, labels=labels)
    facts = {"sampler": encode(model.sampler), "seed": SEED, "labels": labels, "build": build()}
    if (levels := model.scheduler_of(model.sampler)) is not None:
        facts["scheduler"] = encode(levels)
    metadata = {"format": "pt", **{name: json.dumps(value) for name, value in facts.items()}}
    write_file(folder / GOLDEN, save({"samples": samples.contiguous()}, metadata=metadata))
    return folder / GOLDEN


def _labels(model: Pretrained) -> list[int] | None:
    classes = int(getattr(model.model, "num_classes", 0)) if "labels" in model.capabilities else 0
    return [number % classes for number in range(COUNT)] if classes else None


def check_golden(reference: str) -> Golden:
    """Draws the golden samples of a checkpoint again and compares them.

    Args:
        reference: reference of the checkpoint.

    Raises:
        NotFoundError: if the checkpoint has no golden samples.
        ConfigError: if the file of the golden samples is malformed.
        ZooError: if the checkpoint cannot be loaded, see :func:`zoo_core.load`.
    """
    model = load(reference)
    if GOLDEN not in model.files.names:
        raise NotFoundError(f"{reference} has no {GOLDEN}", "it was made by an older zoo-core, or its model draws no samples")
    golden, facts = _read(model.files.read(GOLDEN))
    sampler, scheduler = as_sampler(facts["sampler"]), facts.get("scheduler")
    drawn = model.sample(len(golden), seed=facts["seed"], sampler=sampler, scheduler=scheduler, labels=facts["labels"])
    if drawn.shape != golden.shape:
        raise ConfigError(f"{GOLDEN} holds {list(golden.shape)}, and the model draws {list(drawn.shape)}", "make it again")
    same_build = facts["build"] == build()
    largest = float((drawn - golden).abs().max())
    pixels = float((_to_bytes(drawn) == _to_bytes(golden)).double().mean()) if model.event.range else 1.0
    tolerance = SAME_BUILD_TOLERANCE if same_build else OTHER_BUILD_TOLERANCE
    ok = largest <= tolerance and (same_build or pixels >= OTHER_BUILD_PIXELS)
    return Golden(state="ok" if ok else "differs", same_build=same_build, largest=largest, pixels=pixels)


def _read(data: bytes) -> tuple[Tensor, dict[str, Any]]:
    read_header(data, len(data), GOLDEN)
    try:
        header = parse_json(data[8 : 8 + int.from_bytes(data[:8], "little")], GOLDEN)
        metadata = header["__metadata__"]
        facts = {name: json.loads(metadata[name]) for name in ("sampler", "seed", "labels", "build")}
        facts |= {name: json.loads(metadata[name]) for name in ("scheduler",) if name in metadata}  # if it is not the model's own
        return load_tensors(data)["samples"], facts
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{GOLDEN} is not what the zoo writes: {' '.join(str(error).split())[:80]}", "make it again") from error


def _to_bytes(x: Tensor) -> Tensor:
    return ((x.clamp(-1, 1) + 1) * 127.5).round()
