"""The metric and the figures of the classical families."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from zoo_classical.config import GaussianMixtureConfig, KMeansConfig, PCAConfig
from zoo_classical.metrics import Purity
from zoo_classical.model import PCA, GaussianMixture, KMeans
from zoo_core.cli.figure import figure
from zoo_core.errors import CapabilityError, ConfigError, ZooError
from zoo_core.evaluation.evaluate import evaluate
from zoo_core.loading import load
from zoo_core.pretrained import Pretrained
from zoo_core.testing import fake_zoo, write_checkpoint
from zoo_core.testing.fake import Fake
from zoo_core.testing.fake_config import FakeConfig, FakeDataConfig


@pytest.fixture(autouse=True)
def _zoo() -> Iterator[None]:
    with fake_zoo("zoo-classical"):
        yield


def clustering(folder: Path, centres: torch.Tensor) -> Pretrained:
    config = KMeansConfig(shape=(2,), clusters=len(centres))
    net = KMeans(config)
    net.centres.copy_(centres)
    return load(f"local:{write_checkpoint(folder, net, config)}")


def purity_of(model: Pretrained, x: torch.Tensor, labels: list[int]) -> float:
    metric = Purity()
    return float(metric.combine(metric(model, x, torch.tensor(labels), 0).values).mean())


def test_purity_is_the_share_of_the_commonest_label_of_each_cluster(tmp_path: Path) -> None:
    model = clustering(tmp_path, torch.tensor([[0.0, 0.0], [9.0, 9.0]]))
    x = torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.5, 0.5], [9.0, 8.0], [8.0, 9.0]])
    assert purity_of(model, x, [3, 3, 1, 1, 0]) == pytest.approx(3 / 5)
    assert purity_of(model, x, [3, 3, 3, 1, 1]) == 1.0


def test_purity_of_an_evaluation_is_that_of_all_samples_together(tmp_path: Path) -> None:
    angle = 2 * torch.pi * torch.arange(3) / 3
    model = clustering(tmp_path, 0.8 * torch.stack([angle.cos(), angle.sin()], dim=1))
    [record] = evaluate(model, "purity", data=FakeDataConfig(shape=(2,), classes=3, count=90), batch_size=7)
    assert record["value"] == 1.0  # the blobs are far apart
    mixed = clustering(tmp_path / "one", torch.zeros(1, 2))
    [record] = evaluate(mixed, "purity", data=FakeDataConfig(shape=(2,), classes=3, count=90), batch_size=7)
    assert record["value"] == pytest.approx(1 / 3)


def test_purity_refuses_models_without_clusters_and_data_without_labels(tmp_path: Path) -> None:
    flow = load(f"local:{write_checkpoint(tmp_path / 'flow', Fake(FakeConfig()), FakeConfig())}")
    with pytest.raises(CapabilityError, match="needs a model that assigns clusters"):
        evaluate(flow, "purity", data=FakeDataConfig())
    model = clustering(tmp_path / "k", torch.zeros(2, 2))
    with pytest.raises(ConfigError, match="needs data with labels"):
        Purity()(model, torch.zeros(3, 2), None, 0)


IMAGES = (1, 4, 4)
CHECKPOINTS = {
    "pca": (PCA, PCAConfig(shape=IMAGES, components=3)),
    "gmm": (GaussianMixture, GaussianMixtureConfig(shape=IMAGES, components=3, subspace=2)),
    "kmeans": (KMeans, KMeansConfig(shape=IMAGES, clusters=3)),
    "plane": (GaussianMixture, GaussianMixtureConfig(shape=(2,), components=3)),
    "line": (KMeans, KMeansConfig(shape=(1,), clusters=3)),
}


def drawn(folder: Path, name: str, kind: str) -> Path:
    cls, config = CHECKPOINTS[name]
    target = write_checkpoint(folder / name, cls(config), config)  # type: ignore[arg-type]
    out = folder / f"{kind}.png"
    CliRunner().invoke(figure, [f"local:{target}", kind, "--out", str(out)], catch_exceptions=False, standalone_mode=False)
    return out


@pytest.mark.parametrize(
    ("name", "kind"),
    [("pca", "principal-axes"), ("pca", "explained-variance"), ("gmm", "centres"), ("kmeans", "centres"), ("plane", "centres")],
)
def test_figures_are_pictures(tmp_path: Path, name: str, kind: str) -> None:
    with Image.open(drawn(tmp_path, name, kind)) as picture:
        assert picture.width > 100
        assert len(picture.convert("L").getcolors(256) or []) > 10


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("kmeans", "principal-axes", "this figure is of the families pca, and kmeans is of kmeans"),
        ("pca", "centres", "this figure is of the families gmm or kmeans"),
        ("line", "centres", "line has 1 dimension"),
    ],
)
def test_figures_refuse_what_they_cannot_draw(tmp_path: Path, name: str, kind: str, message: str) -> None:
    with pytest.raises(ZooError, match=message):
        drawn(tmp_path, name, kind)
