"""Frozen features, random projections and heads against longhand, and what is refused."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from zoo_classifier.config import ClassifierConfig
from zoo_classifier.model import Classifier
from zoo_core.errors import CapabilityError, ConfigError, IntegrityError, NotFoundError, UsageError
from zoo_core.interfaces import Teacher
from zoo_core.rng import Stream, isolated
from zoo_projected_gan.config import ProjectedGANTrainerConfig
from zoo_projected_gan.nets import Backbone, Head, Projector

CONFIG = ProjectedGANTrainerConfig(mixed=3, width=4)
TIMM = ProjectedGANTrainerConfig(backbone="test_resnet", backbone_side=32)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def classifier(widths: tuple[int, ...] = (3, 4, 5), side: int = 12) -> Classifier:
    with isolated(1, stream=Stream.INIT):
        return Classifier(ClassifierConfig(image_size=side, widths=widths)).eval()


def projector(config: ProjectedGANTrainerConfig = CONFIG, seed: int = 0, side: int = 12) -> Projector:
    net = classifier(side=side)
    with isolated(seed, stream=Stream.INIT):
        return Projector(net, (1, side, side), config)


def enlarged(x: Tensor, height: int, width: int) -> Tensor:
    """Bilinear interpolation, pixel by pixel: centres of pixels at (i + 1/2) / side, and the border is repeated."""

    def mixture(old: int, new: int) -> Tensor:
        out = torch.zeros(new, old, dtype=x.dtype)
        for i in range(new):
            place = max(0.0, (i + 0.5) * old / new - 0.5)
            first = int(place)
            out[i, first] += 1 - (place - first)
            out[i, min(first + 1, old - 1)] += place - first
        return out

    return mixture(x.shape[2], height) @ x @ mixture(x.shape[3], width).T


@pytest.mark.parametrize("side", [12, 7])
def test_a_projected_level_is_its_mixed_channels_and_the_upsampled_convolution_of_the_coarser_one(side: int) -> None:
    net = projector(side=side).double()
    x = normal(2, 1, side, side)
    fine, middle, coarse = net.net.feature_maps(x)
    c, k = ([layer.weight for layer in layers] for layers in (net.channels, net.scales))
    mixed = [torch.einsum("oi,nihw->nohw", weight[:, :, 0, 0], level) for weight, level in zip(c, (fine, middle, coarse), strict=True)]
    third = mixed[2]
    second = mixed[1] + enlarged(F.conv2d(third, k[1], padding=1), *middle.shape[2:])
    first = mixed[0] + enlarged(F.conv2d(second, k[0], padding=1), side, side)
    assert net.widths == (3, 6, 12)
    for found, expected in zip(net(x), (first, second, third), strict=True):
        torch.testing.assert_close(found, expected)


def test_projections_are_functions_of_the_seed_with_he_variance_and_no_bias() -> None:
    wide = replace(CONFIG, mixed=512)
    first, again, other = (projector(wide, seed) for seed in (0, 0, 1))
    for name, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])
        if not name.startswith("net."):
            assert not torch.equal(value, other.state_dict()[name])
            assert "bias" not in name
            assert value.var().item() * value[0].numel() == pytest.approx(2, rel=0.15)


def test_nothing_of_a_projector_is_trained_but_slopes_pass_to_the_image() -> None:
    net = projector().double()
    assert not any(parameter.requires_grad for parameter in net.parameters())
    x = normal(1, 1, 12, 12).requires_grad_(True)
    scale = [normal(*level.shape, seed=i) for i, level in enumerate(net(x))]

    def value(x: Tensor) -> Tensor:
        return torch.stack([(level * each).sum() for level, each in zip(net(x), scale, strict=True)]).sum()

    value(x).backward()
    assert x.grad is not None
    for place in ((0, 0), (5, 7), (11, 3)):
        shift = torch.zeros(1, 1, 12, 12, dtype=torch.float64)
        shift[0, 0, *place] = 1e-5
        with torch.no_grad():
            slope = (value(x + shift) - value(x - shift)) / 2e-5
        assert x.grad[0, 0, *place].item() == pytest.approx(slope.item(), rel=1e-5)


def test_some_levels_are_used_alone() -> None:
    net = projector(replace(CONFIG, levels=(2, 1)))
    assert (net.sides, net.widths) == ((6, 3), (3, 6))
    x = normal(2, 1, 12, 12).float()
    coarse = F.conv2d(net.net.feature_maps(x)[2], net.channels[1].weight)
    torch.testing.assert_close(net(x)[1], coarse)


def test_a_net_for_colour_sees_grey_images_in_each_of_its_channels() -> None:
    with isolated(1, stream=Stream.INIT):
        net = Classifier(ClassifierConfig(image_size=12, channels=3, widths=(3, 4))).eval()
    grey = normal(2, 1, 12, 12).float()
    seen = Projector(net, (1, 12, 12), CONFIG)
    for found, expected in zip(seen(grey), seen(grey.repeat(1, 3, 1, 1)), strict=True):
        torch.testing.assert_close(found, expected)


class Bare(nn.Module):
    """A net without feature maps."""


@pytest.mark.parametrize(
    ("net", "shape", "levels", "error", "words"),
    [
        (Bare(), (1, 12, 12), (), CapabilityError, "Bare gives no feature maps"),
        (classifier(), (3, 12, 12), (), CapabilityError, r"Classifier does not take images of the shape \(3, 12, 12\)"),
        (classifier(), (1, 12, 12), (0, 3), ConfigError, "levels must be below 3"),
    ],
    ids=["no maps", "another shape", "no such level"],
)
def test_nets_that_cannot_serve_are_refused(
    net: nn.Module, shape: tuple[int, ...], levels: tuple[int, ...], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        Projector(net, shape, replace(CONFIG, levels=levels))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_backbone_gets_images_of_its_own_side_mean_and_deviation(channels: int) -> None:
    net = Backbone(replace(TIMM, backbone="resnet18", backbone_side=48)).eval()
    x = normal(2, channels, 16, 16).float().clamp(-1, 1)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    colour = x.repeat(1, 3 // channels, 1, 1)
    large = enlarged(colour.double(), 48, 48).float()
    seen = ((large + 1) / 2 - mean[:, None, None]) / std[:, None, None]
    for found, expected in zip(net.feature_maps(x), net.net(seen), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_a_backbone_has_the_weights_of_its_file_which_must_be_those_that_the_recipe_names(tmp_path: Path) -> None:
    with isolated(5, stream=Stream.INIT):
        whole = timm.create_model("test_resnet").eval()
    path = tmp_path / "weights.safetensors"
    save_file(whole.state_dict(), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    config = replace(TIMM, backbone_side=0, backbone_weights=str(path), backbone_sha256=digest)
    net = Backbone(config).eval()
    x = normal(2, 3, 64, 64).float().clamp(-1, 1)
    torch.testing.assert_close(net.feature_maps(x)[-1], whole.forward_features(x))  # type: ignore[operator]  # whose mean is 1/2
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(IntegrityError, match="put its file back"):
        Backbone(config)
    path.unlink()
    with pytest.raises(NotFoundError, match="there is no file"):
        Backbone(config)


def test_a_net_that_timm_does_not_have_is_refused() -> None:
    with pytest.raises(UsageError, match="timm has no model 'resnet5000'"):
        Backbone(replace(TIMM, backbone="resnet5000"))


@pytest.mark.parametrize(("side", "last"), [(28, 3), (14, 3), (7, 3), (8, 4), (4, 4), (2, 2)])
def test_a_head_halves_the_side_to_at_most_4_by_convolutions_of_spectral_norm_1(side: int, last: int) -> None:
    head = Head(3, side, width=4)
    with torch.no_grad():
        for _ in range(60):
            out = head(torch.randn(4, 3, side, side))
    assert out.shape == (4, 1, last, last)
    layers = [layer for layer in head.eval() if isinstance(layer, nn.Conv2d)]
    assert [layer.out_channels for layer in layers] == [*(4 << i for i in range(len(layers) - 1)), 1]
    for layer in layers:
        assert torch.linalg.svdvals(layer.weight.detach().flatten(1))[0].item() == pytest.approx(1, abs=1e-3)


def test_a_head_is_convolution_norm_and_leaky_rectifier_in_turn() -> None:
    head = Head(3, 8, width=4).double().eval()
    x = normal(2, 3, 8, 8)
    norm = head[1]
    assert isinstance(norm, nn.BatchNorm2d)
    norm.running_mean = normal(4, seed=1)
    norm.running_var = normal(4, seed=2).square() + 0.5
    h = F.conv2d(x, head[0].weight, stride=2, padding=1)  # type: ignore[arg-type]  # of a layer
    h = (h - norm.running_mean[:, None, None]) / (norm.running_var[:, None, None] + 1e-5).sqrt()
    h = torch.where(h > 0, h, 0.2 * h)
    torch.testing.assert_close(head(x), F.conv2d(h, head[3].weight, head[3].bias, padding=1))  # type: ignore[arg-type]  # of a layer


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"backbone": ""}, "name a teacher, a backbone, or both"),
        ({"backbone_weights": "net.pth", "backbone_sha256": "0" * 64}, "must be a .safetensors file"),
        ({"backbone_weights": "net.safetensors"}, "its digest of 64 hex digits"),
        ({"levels": (1, 1)}, "levels must name each once"),
        ({"augment": ("cutout", "cutout")}, "augment must name each once"),
        ({"mixed": 0}, "mixed"),
    ],
)
def test_configs_without_meaning_are_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        replace(CONFIG, **changes)  # type: ignore[arg-type]  # names of fields, by hand


def test_a_teacher_alone_is_enough() -> None:
    assert ProjectedGANTrainerConfig(teacher=Teacher(reference="x"), backbone="").backbone == ""
