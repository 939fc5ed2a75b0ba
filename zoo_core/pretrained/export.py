"""A part of a checkpoint in a file that runs without the zoo: ONNX, or a program of torch.export."""

import io
import json
import warnings
from collections.abc import Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from zoo_core.arguments import as_int
from zoo_core.atomic import write_file
from zoo_core.checkpoint.files import WEIGHTS
from zoo_core.errors import UsageError, ZooError
from zoo_core.pretrained.model import Pretrained
from zoo_core.rng import ImageRng

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["PARTS", "TOLERANCE", "export_part", "parts_of"]

PARTS = {
    "denoise": "denoise",
    "step": "denoise",
    "decode": "decode",
    "encode": "encode",
    "log_prob": "density",
    "features": "features",
    "classify": "classify",
}
"""The parts that can be exported, and the capability that each needs."""
TOLERANCE = 1e-4
"""The largest difference between the file and the model, as a share of the largest value, which counts as 1 if it is smaller."""
_LABELLED = ("denoise", "step", "decode", "encode", "log_prob")


class _Part(nn.Module):
    """A part as a module of tensors alone."""

    def __init__(self, model: nn.Module, part: str) -> None:
        super().__init__()
        self.model = model
        self.part = part

    def forward(self, x: Tensor, *others: Tensor) -> Tensor:
        model: Any = self.model
        if self.part == "denoise":
            return model.denoise(x, others[0].double(), *others[1:])
        if self.part == "step":
            sigma, following, *labels = others
            x0 = model.denoise(x, sigma.double(), *labels)
            share = (following / sigma).view(-1, *[1] * (x.ndim - 1))
            return x0 + share * (x - x0)
        output = getattr(model, self.part)(x, *others)
        return output.value if self.part == "log_prob" else output


def parts_of(pretrained: Pretrained) -> tuple[str, ...]:
    """The parts of a checkpoint that can be exported; the first is the default."""
    return tuple(part for part, capability in PARTS.items() if capability in pretrained.capabilities)


def export_part(pretrained: Pretrained, path: Path, *, part: str = "", format: str = "onnx", n: int = 1) -> float:
    """Exports a part of a checkpoint, runs the file, and compares it with the model on other inputs.

    Inputs are float32, labels int64, and their first dimension is ``n``: ``denoise`` takes x, sigma (n,) and, for models with classes,
    labels (n,); ``step`` takes sigma_next too, and returns x0 + sigma_next / sigma (x - x0), a step of DDIM or Euler; ``decode`` takes z,
    all others x.

    Args:
        pretrained: the checkpoint, on the CPU, in float32.
        path: file to write.
        part: name in :data:`PARTS`; the first of :func:`parts_of` if empty.
        format: ``onnx``, or ``torch`` for a program of torch.export.
        n: number of rows that the file computes at once.

    Returns:
        The largest difference between the file and the model, relative as :data:`TOLERANCE` is.

    Raises:
        UsageError: if the checkpoint has no such part, or ONNX is not installed.
        ZooError: if the part cannot be exported, or the file computes other values than the model; then nothing is written.
    """
    parts = parts_of(pretrained)
    if (part or not parts) and part not in parts:
        hint = f"its parts are {', '.join(parts)}" if parts else ""
        raise UsageError(f"{pretrained.name} has no part {part!r} to export", hint)
    part = part or parts[0]
    n = as_int("n", n, 1, 4096)
    module = _Part(pretrained.model, part).eval().requires_grad_(False)
    names, values = _inputs(pretrained, part, n, seed=0)
    origin = {"reference": str(pretrained.files.reference), "weights": f"sha256:{pretrained.files.digest(WEIGHTS)}", "part": part}
    with _silence(), torch.no_grad():
        try:
            module(*values)
        except ZooError as error:  # it needs random numbers, for example
            hint = f"other parts are {', '.join(name for name in parts if name != part)}"
            raise UsageError(f"{part} of {pretrained.name} cannot be exported: {error.what}", hint) from error
        try:
            content, run = (_onnx if format == "onnx" else _program)(module, names, values, origin)
        except ZooError:
            raise
        except Exception as error:
            what = f"{part} of {pretrained.name} cannot be exported: {type(error).__name__}: {str(error).splitlines()[0][:120]}"
            raise ZooError(what, "try --format torch" if format == "onnx" else "its code depends on the values of its inputs") from error
        _, others = _inputs(pretrained, part, n, seed=1)
        expected = module(*others)
        difference = _difference(run(others), expected)
    if not difference <= TOLERANCE:
        raise ZooError(f"the exported {part} of {pretrained.name} differs from the model by {difference:.2g}", "nothing was written")
    write_file(path, content)
    return difference


def _inputs(pretrained: Pretrained, part: str, n: int, seed: int) -> tuple[list[str], tuple[Tensor, ...]]:
    """Names and examples of the inputs, which differ by row and by seed."""
    model: Any = pretrained.model
    rng = ImageRng(seed, range(n), "cpu")
    if part == "decode":
        inputs = {"z": model.prior(rng)}
    elif PARTS[part] == "denoise":
        low, high = model.sigma_range
        share = (0.3 + 0.1 * seed + 0.4 * rng.uniform(1)[:, 0]).double()
        sigma = low * (high / low) ** share
        inputs = {"x": model.start(rng, high) / high * sigma.view(-1, *[1] * len(model.event.shape)).float(), "sigma": sigma.float()}
        if part == "step":
            inputs["sigma_next"] = inputs["sigma"] * 0.8
    elif model.event.categories is not None:
        inputs = {"x": rng.integers(0, model.event.categories, *model.event.shape)}
    else:
        inputs = {"x": rng.uniform(*model.event.shape) * 2 - 1}
    if "labels" in pretrained.capabilities and part in _LABELLED:
        inputs["labels"] = (torch.arange(n) + seed) % model.num_classes
    return list(inputs), tuple(inputs.values())


def _onnx(module: nn.Module, names: Sequence[str], values: tuple[Tensor, ...], origin: dict[str, str]) -> tuple[bytes, Any]:
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError:
        raise UsageError("ONNX needs an extra", "pip install 'zoo-core[export]', or take --format torch") from None
    program: Any = torch.onnx.export(
        module, values, input_names=list(names), output_names=["output"], dynamo=True, verbose=False, opset_version=20
    )
    model = program.model_proto
    onnx.helper.set_model_props(model, origin)
    content = model.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    held = {each.name for each in session.get_inputs()}

    def run(inputs: Sequence[Tensor]) -> Tensor:
        feed = {name: value.numpy() for name, value in zip(names, inputs, strict=True) if name in held}
        return torch.from_numpy(session.run(None, feed)[0])

    return content, run


def _program(module: nn.Module, names: Sequence[str], values: tuple[Tensor, ...], origin: dict[str, str]) -> tuple[bytes, Any]:
    program = torch.export.export(module, values)
    file = io.BytesIO()
    torch.export.save(program, file, extra_files={"origin.json": json.dumps({**origin, "inputs": list(names)})})
    content = file.getvalue()
    loaded = torch.export.load(io.BytesIO(content)).module()
    return content, lambda inputs: loaded(*inputs)


def _difference(output: Tensor, expected: Tensor) -> float:
    if output.shape != expected.shape:
        return float("inf")
    scale = max(1.0, expected.abs().max().item())
    return ((output.double() - expected.double()).abs().max() / scale).item()


@contextmanager
def _silence() -> "Iterator[None]":
    """Keeps the exporters' messages, which are about torch and not about the checkpoint, from the terminal."""
    import logging

    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
