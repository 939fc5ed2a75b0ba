"""Exported parts of checkpoints against the models."""

from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from zoo_core import load
from zoo_core.errors import UsageError, ZooError
from zoo_core.pretrained import export as export_module
from zoo_core.pretrained.export import export_part
from zoo_core.rng import ImageRng
from zoo_core.samplers.factory import as_sampler

ONE_OF_EACH = [
    ("ncsn-gaussian-mixture", "denoise"),
    ("ncsn-gaussian-mixture", "step"),
    ("vae-mnist-2d", "decode"),
    ("vae-mnist-2d", "encode"),
    ("classifier-mnist", "features"),
    ("classifier-mnist", "classify"),
    ("realnvp-moons", "log_prob"),
    ("projection-cgan-fashion-mnist", "decode"),  # with labels
    pytest.param("ddpm-afhq-cat", "denoise", marks=pytest.mark.slow),
    pytest.param("ncsn-mnist", "step", marks=pytest.mark.slow),
    pytest.param("realnvp-moons", "decode", marks=pytest.mark.slow),
]


Export = Callable[[str, str], tuple[Path, float]]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Export:
    """Exports a part of a checkpoint once, with 3 rows, and gives its file and the difference from the model."""
    for module in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(module, reason="ONNX needs the extra [export]")
    folder = tmp_path_factory.mktemp("onnx")

    @cache
    def export(name: str, part: str) -> tuple[Path, float]:
        path = folder / f"{name}-{part}.onnx"
        return path, export_part(load(name), path, part=part, n=3)

    return export


def session_of(path: Path) -> Callable[..., torch.Tensor]:
    from onnxruntime import InferenceSession

    session = InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    return lambda **inputs: torch.from_numpy(session.run(None, {name: value.float().numpy() for name, value in inputs.items()})[0])


@pytest.mark.filterwarnings("ignore")  # of the exporters
@pytest.mark.parametrize(("name", "part"), ONE_OF_EACH)
def test_onnx_computes_the_values_of_the_model(name: str, part: str, exported: Export) -> None:
    path, difference = exported(name, part)
    assert difference <= 1e-4
    import onnx

    model = onnx.load(path)
    assert {item.key: item.value for item in model.metadata_props}["part"] == part
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_value == 3


@pytest.mark.filterwarnings("ignore")
def test_samples_of_a_decoder_can_be_drawn_from_its_file(exported: Export) -> None:
    decode = session_of(exported("vae-mnist-2d", "decode")[0])
    model = load("vae-mnist-2d")
    z = model.model.prior(ImageRng(7, range(3), "cpu"))
    assert torch.allclose(decode(z=z), model.sample(3, seed=7), atol=1e-4)


@pytest.mark.filterwarnings("ignore")
def test_samples_of_a_denoiser_can_be_drawn_from_the_file_of_a_step(exported: Export) -> None:
    step = session_of(exported("ncsn-gaussian-mixture", "step")[0])
    model = load("ncsn-gaussian-mixture")
    ddim = as_sampler({"name": "ddim", "steps": 10, "clip": False})
    sigmas = ddim.noise_levels(model.model, model.scheduler_of(ddim))
    x = model.model.start(ImageRng(7, range(3), "cpu"), sigmas[0])
    for sigma, following in pairwise(sigmas):
        x = step(x=x, sigma=torch.full((3,), sigma), sigma_next=torch.full((3,), following))
    assert torch.allclose(x, model.sample(3, seed=7, sampler=ddim), atol=1e-4)


@pytest.mark.filterwarnings("ignore")
def test_torch_export_computes_the_values_of_the_model(tmp_path: Path) -> None:
    assert export_part(load("realnvp-moons"), tmp_path / "a.pt2", part="encode", format="torch") <= 1e-4


@pytest.mark.filterwarnings("ignore")
def test_a_file_that_computes_other_values_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_module, "_program", lambda module, *_: (b"", lambda inputs: module(*inputs) + 1e-3))
    with pytest.raises(ZooError, match="differs from the model by"):
        export_part(load("vae-mnist-2d"), tmp_path / "a.pt2", format="torch")
    assert not (tmp_path / "a.pt2").exists()


def test_a_part_that_needs_draws_is_refused_before_it_is_traced(tmp_path: Path) -> None:
    for format in ("onnx", "torch"):
        with pytest.raises(UsageError, match=r"log_prob of vae-mnist-2d cannot be exported: .* needs random numbers") as error:
            export_part(load("vae-mnist-2d"), tmp_path / "a.onnx", part="log_prob", format=format)
        assert error.value.hint == "other parts are decode, encode"


def test_a_part_that_the_checkpoint_lacks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no part 'denoise'"):
        export_part(load("vae-mnist-2d"), tmp_path / "a.onnx", part="denoise")
