"""Models with the capability ``fill`` inpaint in one pass, without a sampler."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import zoo_core
from zoo_core.errors import CapabilityError, ConfigError, UsageError
from zoo_core.evaluation.data_metrics import InpaintingMSE
from zoo_core.evaluation.factory import make_metric
from zoo_core.pretrained import Pretrained
from zoo_core.rng import ImageRng
from zoo_core.samplers.masks import part_mask
from zoo_core.testing import fake_zoo, write_checkpoint
from zoo_core.testing.fake import FakeFiller
from zoo_core.testing.fake_config import FakeFillerConfig


@pytest.fixture
def model(tmp_path: Path) -> Iterator[Pretrained]:
    config = FakeFillerConfig(shape=(3, 4, 4), bounded=True, noise=0.01)
    with fake_zoo():
        yield zoo_core.load(write_checkpoint(tmp_path / "filler", FakeFiller(config), config))


def test_the_known_part_comes_back_and_the_rest_is_the_models(model: Pretrained) -> None:
    x = torch.full((3, 3, 4, 4), torch.nan)
    x[:, :, :2] = torch.tensor([-0.5, 0.0, 0.5]).view(3, 1, 1, 1)
    out = model.inpaint(x, "top", seed=3)
    assert torch.equal(out[:, :, :2], x[:, :, :2])
    noise = 0.01 * ImageRng(3, range(3)).normal(3, 4, 4)
    assert torch.allclose(out[:, :, 2:], x[:, :, :1, :1] + noise[:, :, 2:])


def test_image_i_does_not_depend_on_the_batch(model: Pretrained) -> None:
    x = torch.rand(5, 3, 4, 4, generator=torch.Generator().manual_seed(0)) - 0.5
    whole = model.inpaint(x, "left", seed=1)
    assert torch.allclose(model.inpaint(x, "left", seed=1, batch_size=2), whole, atol=1e-6)
    assert torch.allclose(model.inpaint(x[3:], "left", seed=1, first=3), whole[3:], atol=1e-6)


@pytest.mark.parametrize(("options", "named"), [({"sampler": "heun"}, "sampler"), ({"guidance": 2.0}, "guidance"), ({"steps": 5}, "steps")])
def test_what_belongs_to_a_walk_is_refused(options: dict[str, object], named: str, model: Pretrained) -> None:
    with pytest.raises(UsageError, match=f"filler fills in one pass: it takes no {named}"):
        model.inpaint(torch.zeros(1, 3, 4, 4), "top", **options)  # type: ignore[arg-type]  # options of the test


def test_it_draws_no_samples_of_its_own(model: Pretrained) -> None:
    with pytest.raises(CapabilityError, match=r"no installed sampler can sample .*model\.inpaint"):
        model.sample(1)


@pytest.mark.parametrize("part", ["top", "border"])
def test_the_metric_is_the_squared_error_of_the_hidden_pixels_alone(model: Pretrained, part: str) -> None:
    x = torch.rand(4, 3, 4, 4, generator=torch.Generator().manual_seed(0)) - 0.5
    hidden = ~part_mask(part, (3, 4, 4)).expand(3, 4, 4)
    filled = model.inpaint(x, part)
    longhand = [float(((filled[i] - x[i]) ** 2 * hidden).sum() / hidden.sum()) for i in range(4)]
    metric = make_metric("inpainting-mse", {"known": part})
    assert isinstance(metric, InpaintingMSE)
    assert metric(model, x, None, 0).values.tolist() == pytest.approx(longhand, rel=1e-5)
    assert torch.allclose(metric(model, x[2:], None, 2).values, metric(model, x, None, 0).values[2:], atol=1e-6)


def test_the_metric_takes_denoisers_of_images_and_refuses_the_others() -> None:
    metric = InpaintingMSE()
    with pytest.raises(CapabilityError, match="is a metric of images"):
        metric.check(zoo_core.load("ncsn-gaussian-mixture"), "inpainting-mse")
    with pytest.raises(CapabilityError, match=r"cannot inpaint: its family cannot denoise -- .*inpainting-gan"):
        metric.check(zoo_core.load("dcgan-mnist"), "inpainting-mse")
    metric.check(zoo_core.load("ncsn-mnist"), "inpainting-mse")
    with pytest.raises(ConfigError, match="known must be one of top, "):
        InpaintingMSE(known="middle")
