"""Inception features as papers have them: clean-fid's resizing and network, and class probabilities for the Inception score."""

import hashlib
import math
import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from zoo_core.errors import NotFoundError, UnsafeContentError, UsageError
from zoo_core.evaluation import inception
from zoo_core.evaluation.evaluate import evaluate
from zoo_core.evaluation.feature_spaces import load_feature_space
from zoo_core.images import from_uint8, to_uint8
from zoo_core.testing import fake_zoo
from zoo_core.testing.fake_config import IMAGES
from zoo_core.training.fit import fit


class TinyInception(nn.Module):
    """The parts of NVIDIA's file that clean-fid and we use: ``layers`` to (n, 2048, 1, 1), and ``output``."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.layers = nn.Sequential(nn.AvgPool2d(150, ceil_mode=True), nn.Conv2d(3, 2048, 2), nn.ReLU())
        self.output = nn.Linear(2048, 1008)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator)

    def forward(self, img: Tensor, return_features: bool = False, use_fp16: bool = False, no_output_bias: bool = False) -> Tensor:
        features = self.layers((img.to(torch.float32) - 128) / 128).reshape(-1, 2048)
        if return_features:
            return features
        logits = torch.nn.functional.linear(features, self.output.weight) if no_output_bias else self.output(features)
        return torch.softmax(logits, dim=1)


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "net" / inception.FILE
    path.parent.mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch writes TorchScript under protest
        torch.jit.script(TinyInception()).save(str(path))
    monkeypatch.setenv(inception.VARIABLE, str(path))
    return path


def pixels(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(256, shape, generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


@pytest.mark.parametrize("side", [(8, 8), (32, 32), (299, 299), (40, 700)])
def test_images_are_resized_as_clean_fid_does_it_bit_for_bit(side: tuple[int, int]) -> None:
    resize = pytest.importorskip("cleanfid.resize").build_resizer("clean")
    images = torch.cat([pixels(1, 3, *side), torch.tensor([0, 255], dtype=torch.uint8)[pixels(1, 3, *side, seed=1).long() % 2]])
    expected = np.stack([resize(image.permute(1, 2, 0).numpy()) for image in images])
    found = inception.resized(images)
    assert found.dtype == torch.float32
    assert np.array_equal(found.permute(0, 2, 3, 1).numpy(), expected)


def test_resizing_overshoots_no_pixel_and_repeats_grey() -> None:
    checks = (torch.arange(64).reshape(1, 1, 8, 8) % 2 * 255).to(torch.uint8)
    found = inception.resized(checks)
    assert found.shape == (1, 3, 299, 299)
    assert (found.min(), found.max()) == (0, 255)
    assert torch.equal(found[:, 0], found[:, 2])


def test_features_and_probabilities_are_those_of_the_network_of_the_file(weights: Path) -> None:
    judge = load_feature_space("inception")
    x = from_uint8(pixels(3, 3, 16, 16))
    features, probabilities = judge(x)
    net, ready = TinyInception(), inception.resized(to_uint8(x))
    torch.testing.assert_close(features, net(ready, return_features=True))
    assert probabilities is not None
    torch.testing.assert_close(probabilities, net(ready, no_output_bias=True))
    assert (judge.classes, judge.digest) == (1008, hashlib.sha256(weights.read_bytes()).hexdigest())
    assert judge.resize((3, 16, 16)) == judge.resize((3, 299, 299)) == inception.RESIZING


def test_features_are_those_that_clean_fid_computes_from_the_files_of_the_images(weights: Path) -> None:
    features = pytest.importorskip("cleanfid.features")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of torch, to clean-fid, which reads TorchScript
        net = features.InceptionV3W(str(weights.parent), download=False)
    resize = pytest.importorskip("cleanfid.resize").build_resizer("clean")
    images = pixels(4, 3, 20, 20)
    batch = torch.stack([torch.from_numpy(resize(image.permute(1, 2, 0).numpy())).permute(2, 0, 1) for image in images])
    with torch.no_grad():
        torch.testing.assert_close(load_feature_space("inception")(from_uint8(images))[0], net(batch))


def test_points_are_no_images_of_the_network(weights: Path) -> None:
    with pytest.raises(UsageError, match=r"inception takes images of 3 channels"):
        load_feature_space("inception")(torch.zeros(4, 2))


def test_fd_and_the_inception_score_are_measured_in_it_and_the_record_says_how(weights: Path, tmp_path: Path) -> None:
    with fake_zoo():
        fit(IMAGES, tmp_path / "run")
        fd, score = evaluate(f"local:{tmp_path / 'run'}", ["fd", "is"], n=12, features="inception")
    assert fd["features"] == {"name": "inception", "digest": load_feature_space("inception").digest, "resize": inception.RESIZING}
    assert fd["value"] > 0
    assert 1 <= score["value"] <= 1008


def test_a_network_that_is_not_here_is_not_asked_for_where_nothing_may_be_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def request(*args: Any, **options: Any) -> Any:
        raise AssertionError("asked the network")

    monkeypatch.setattr(inception.urllib.request, "urlopen", request)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.delenv(inception.VARIABLE, raising=False)
    with pytest.raises(NotFoundError, match=r"not here -- fetch https://"):
        load_feature_space("inception", fetch=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(NotFoundError, match=r"not here"):
        load_feature_space("inception")
    monkeypatch.setenv(inception.VARIABLE, str(tmp_path / "none.pt"))
    with pytest.raises(NotFoundError, match=r"names .*none\.pt, which is not a file"):
        load_feature_space("inception")


def test_the_network_is_fetched_whole_or_not_at_all(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > 100:
                raise ConnectionResetError("the connection broke")
            return super().read(101)

    content = weights.read_bytes()
    monkeypatch.delenv(inception.VARIABLE)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(inception.urllib.request, "urlopen", lambda url, timeout: Broken(content))
    with pytest.raises(NotFoundError, match=r"cannot be fetched: .*connection broke"):
        inception.weights()
    assert not any(path.is_file() for path in (tmp_path / "home").rglob("*"))
    monkeypatch.setattr(inception.urllib.request, "urlopen", lambda url, timeout: BytesIO(content))
    assert inception.weights().read_bytes() == content
    assert math.isfinite(load_feature_space("inception", fetch=False)(torch.zeros(1, 3, 8, 8))[0].sum().item())


@pytest.mark.parametrize("content", [b"", b"no network", b"PK\x03\x04 no archive"])
def test_a_file_that_is_no_network_is_refused(content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "net.pt").write_bytes(content)
    monkeypatch.setenv(inception.VARIABLE, str(tmp_path / "net.pt"))
    with pytest.raises(UnsafeContentError, match=r"is not an Inception network in TorchScript"):
        load_feature_space("inception")
