"""Golden samples: four images that a checkpoint drew when it was made, for everybody to draw again.

They say that weights, sampler, noise and arithmetic are together what they were. ``golden.safetensors`` holds them as ``samples`` (4,
*event.shape) float32, with the sampler, the seed, the labels and the build that drew them in its metadata.
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
from zoo_core.samplers.choice import as_sampler

__all__ = ["GOLDEN", "Golden", "check_golden", "write_golden"]

GOLDEN = "golden.safetensors"
COUNT, SEED = 4, 0
EXACT, ELSEWHERE, PIXELS = 1e-5, 1e-4, 0.999


@dataclass(frozen=True, kw_only=True, slots=True)
class Golden:
    """What a comparison found.

    Args:
        state: ``ok`` or ``differs``.
        same_build: whether this build is the one that drew them; then they must agree to 1e-5, and otherwise to 1e-4 and in 99.9 % of
            their 8-bit pixels: other processors add in other orders.
        largest: the largest difference of a value.
        pixels: the share of equal 8-bit pixels.
    """

    state: Literal["ok", "differs"]
    same_build: bool
    largest: float
    pixels: float


def write_golden(folder: Path) -> Path:
    """Draws the golden samples of the checkpoint in ``folder`` on the CPU and writes them there.

    Raises:
        CapabilityError: nothing can sample the model.
        ZooError: as :func:`zoo_core.load` does.
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
    """Draws the golden samples of a checkpoint again and compares.

    Raises:
        NotFoundError: it has none.
        ConfigError: they are not what the zoo writes.
        ZooError: as :func:`zoo_core.load` does.
    """
    model = load(reference)
    if GOLDEN not in model.files.names:
        raise NotFoundError(f"{reference} has no {GOLDEN}", "it was made by an older zoo-core, or is no model that draws samples")
    kept, facts = _read(model.files.read(GOLDEN))
    sampler, scheduler = as_sampler(facts["sampler"]), facts.get("scheduler")
    drawn = model.sample(len(kept), seed=facts["seed"], sampler=sampler, scheduler=scheduler, labels=facts["labels"])
    if drawn.shape != kept.shape:
        raise ConfigError(f"{GOLDEN} holds {list(kept.shape)}, and the model draws {list(drawn.shape)}", "make it again")
    same_build = facts["build"] == build()
    largest = float((drawn - kept).abs().max())
    pixels = float((_bytes(drawn) == _bytes(kept)).double().mean()) if model.event.range else 1.0
    ok = largest <= EXACT if same_build else largest <= ELSEWHERE and pixels >= PIXELS
    return Golden(state="ok" if ok else "differs", same_build=same_build, largest=largest, pixels=pixels)


def _read(data: bytes) -> tuple[Tensor, dict[str, Any]]:
    read_header(data, len(data), GOLDEN)
    try:
        header = parse_json(data[8 : 8 + int.from_bytes(data[:8], "little")], GOLDEN)
        told = header["__metadata__"]
        facts = {name: json.loads(told[name]) for name in ("sampler", "seed", "labels", "build")}
        facts |= {name: json.loads(told[name]) for name in ("scheduler",) if name in told}  # where it is not the model's own
        return load_tensors(data)["samples"], facts
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{GOLDEN} is not what the zoo writes: {' '.join(str(error).split())[:80]}", "make it again") from error


def _bytes(x: Tensor) -> Tensor:
    return ((x.clamp(-1, 1) + 1) * 127.5).round()
