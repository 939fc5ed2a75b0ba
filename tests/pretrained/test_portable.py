"""Exported parts of checkpoints against the models."""

from pathlib import Path

import pytest

from zoo_core import load
from zoo_core.errors import UsageError, ZooError
from zoo_core.pretrained import portable
from zoo_core.pretrained.portable import export_part

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


@pytest.mark.filterwarnings("ignore")  # of the exporters
@pytest.mark.parametrize(("name", "part"), ONE_OF_EACH)
def test_onnx_computes_the_values_of_the_model(name: str, part: str, tmp_path: Path) -> None:
    for module in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(module, reason="ONNX needs the extra [export]")
    path = tmp_path / "part.onnx"
    assert export_part(load(name), path, part=part, n=3) <= 1e-4
    import onnx

    model = onnx.load(path)
    assert {item.key: item.value for item in model.metadata_props}["part"] == part
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_value == 3


@pytest.mark.filterwarnings("ignore")
def test_torch_export_computes_the_values_of_the_model(tmp_path: Path) -> None:
    assert export_part(load("realnvp-moons"), tmp_path / "a.pt2", part="encode", format="torch") <= 1e-4


@pytest.mark.filterwarnings("ignore")
def test_a_file_that_computes_other_values_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portable, "_program", lambda module, *_: (b"", lambda inputs: module(*inputs) + 1e-3))
    with pytest.raises(ZooError, match="differs from the model by"):
        export_part(load("vae-mnist-2d"), tmp_path / "a.pt2", format="torch")
    assert not (tmp_path / "a.pt2").exists()


def test_a_part_that_the_checkpoint_lacks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no part 'denoise'"):
        export_part(load("vae-mnist-2d"), tmp_path / "a.onnx", part="denoise")
