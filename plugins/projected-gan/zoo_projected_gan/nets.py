"""Frozen features, their random projections, and the heads that judge them."""

import hashlib
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from zoo_core.errors import CapabilityError, ConfigError, IntegrityError, NotFoundError, UsageError
from zoo_core.interfaces import Event
from zoo_projected_gan.config import ProjectedGANTrainerConfig

__all__ = ["Backbone", "FeatureMaps", "Head", "Projector"]

_SLOPE = 0.2  # of the leaky rectifier, for negative inputs
_SMALLEST = 4  # a head halves the side until it is at most this


@runtime_checkable
class FeatureMaps(Protocol):
    """A model that gives the feature maps of its levels, as the family classifier does.

    >>> isinstance(nn.Identity(), FeatureMaps)
    False
    """

    def feature_maps(self, x: Tensor) -> tuple[Tensor, ...]:
        """The maps (n, c_l, h_l, w_l) of images ``x`` (n, *shape) in [-1, 1], the finest level first."""
        ...


class Backbone(nn.Module):
    """The levels of a net of timm, for images of one channel or three.

    Args:
        config: names of the net and of its weights, and the side to which images are resized.

    Raises:
        UsageError: if timm is not installed, or has no such net.
        NotFoundError: if there is no file of that name.
        IntegrityError: if it has another digest than ``config.backbone_sha256``.

    Example:
        >>> net = Backbone(ProjectedGANTrainerConfig(backbone="test_resnet", backbone_side=32)).eval()
        >>> [tuple(level.shape) for level in net.feature_maps(torch.zeros(1, 1, 8, 8))][:2]
        [(1, 32, 16, 16), (1, 32, 8, 8)]
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: ProjectedGANTrainerConfig) -> None:
        super().__init__()
        try:
            import timm
        except ImportError as error:
            raise UsageError(f"the backbone {config.backbone} needs timm", "pip install 'zoo-core[train]'") from error
        if not timm.is_model(config.backbone):
            raise UsageError(f"timm has no model {config.backbone!r:.60}", "`timm.list_models()` names them")
        options: dict[str, Any] = {"pretrained": False}
        if config.backbone_weights:
            options = {"pretrained": True, "pretrained_cfg_overlay": {"file": str(_checked(config))}}
        self.side = config.backbone_side
        self.net = timm.create_model(config.backbone, features_only=True, **options)
        facts = timm.models.get_pretrained_cfg(config.backbone)
        for name in ("mean", "std"):
            self.register_buffer(name, torch.tensor(getattr(facts, name)).view(1, -1, 1, 1))

    def feature_maps(self, x: Tensor) -> tuple[Tensor, ...]:
        """The maps of images ``x`` (n, 1 or 3, h, w) in [-1, 1], the finest level first."""
        x = x.expand(-1, 3, -1, -1)
        if self.side:
            x = F.interpolate(x, (self.side, self.side), mode="bilinear", antialias=x.shape[2] > self.side)
        return tuple(cast(list[Tensor], self.net(((x + 1) / 2 - self.mean) / self.std)))


def _checked(config: ProjectedGANTrainerConfig) -> Path:
    path = Path(config.backbone_weights).expanduser()
    if not path.is_file():
        raise NotFoundError(f"there is no file {str(path)[-80:]!r} with the weights of {config.backbone}", "see trainer.backbone_weights")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != config.backbone_sha256:
        what = f"{path.name} has the sha256 {digest:.12}..., and the recipe names {config.backbone_sha256:.12}..."
        raise IntegrityError(what, "put its file back, or name its digest in a new run")
    return path


class Projector(nn.Module):
    """Random fixed mixtures of the levels of a frozen net (arXiv:2111.01007, section 3.2).

    Cross-channel mixing is a 1x1 convolution C_l of each level F_l; cross-scale mixing adds to each level a 3x3 convolution K_l of the
    next coarser one, upsampled by bilinear interpolation:

        P_L = C_L F_L,    P_l = C_l F_l + up(K_l P_(l+1))

    so that the finest one sees all levels. The weights of C and K are normal with variance 2 / fan-in (He et al. 2015, arXiv:1502.01852),
    without biases. Nothing here is trained, and gradients pass through to the image. A net for images of more channels sees grey ones in
    each of them.

    Args:
        net: frozen net.
        shape: shape of an image.
        config: levels and channels. The global random generator gives the weights.

    Raises:
        CapabilityError: if the net has no method ``feature_maps``, or does not take images of that shape.
        ConfigError: if it has no such levels.

    Example:
        >>> class Halves(nn.Module):
        ...     def feature_maps(self, x):
        ...         return x, F.avg_pool2d(x, 2)
        >>> projector = Projector(Halves(), (1, 8, 8), ProjectedGANTrainerConfig(mixed=3))
        >>> [tuple(each.shape) for each in projector(torch.zeros(2, 1, 8, 8))]
        [(2, 3, 8, 8), (2, 6, 4, 4)]
    """

    def __init__(self, net: nn.Module, shape: tuple[int, ...], config: ProjectedGANTrainerConfig) -> None:
        super().__init__()
        if not isinstance(net, FeatureMaps):
            raise CapabilityError(f"{type(net).__name__} gives no feature maps", "choose a model with the method feature_maps")
        self.net = net.eval()
        self.levels = config.levels
        self.colours = cast(Event, net.event).shape[0] if hasattr(net, "event") else shape[0]
        with torch.no_grad():
            try:
                maps = self._maps(torch.zeros(1, *shape))
            except (RuntimeError, ValueError) as error:
                what = f"{type(net).__name__} does not take images of the shape {tuple(shape)}: {' '.join(str(error).split())[:80]}"
                raise CapabilityError(what, "choose a net for these images, or trainer.backbone_side") from error
        if any(level >= len(maps) for level in self.levels):
            raise ConfigError(f"levels must be below {len(maps)}, the number of levels of the net, not {', '.join(map(str, self.levels))}")
        maps = self._chosen(maps)
        self.sides = tuple(each.shape[2] for each in maps)
        self.widths = tuple(config.mixed << min(place, 2) for place in range(len(maps)))
        self.channels = nn.ModuleList(nn.Conv2d(each.shape[1], width, 1, bias=False) for each, width in zip(maps, self.widths, strict=True))
        coarser = zip(self.widths[1:], self.widths[:-1], strict=True)
        self.scales = nn.ModuleList(nn.Conv2d(width_in, width, 3, padding=1, bias=False) for width_in, width in coarser)
        for layer in (*self.channels, *self.scales):
            nn.init.kaiming_normal_(cast(nn.Conv2d, layer).weight, nonlinearity="relu")
        self.requires_grad_(False)

    def _maps(self, x: Tensor) -> tuple[Tensor, ...]:
        """The maps of the net, which sees grey images of one channel in as many channels as it takes."""
        return cast(FeatureMaps, self.net).feature_maps(x.expand(-1, self.colours, -1, -1) if x.shape[1] == 1 else x)

    def _chosen(self, maps: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(maps[level] for level in sorted(self.levels)) if self.levels else maps

    def forward(self, x: Tensor) -> list[Tensor]:
        """The projected maps (n, widths[l], sides[l], sides[l]) of images ``x`` (n, *shape), the finest level first."""
        mixed = [mix(level) for mix, level in zip(self.channels, self._chosen(self._maps(x)), strict=True)]
        out = [mixed.pop()]
        for level, scale in zip(reversed(mixed), reversed(self.scales), strict=True):
            coarse = F.interpolate(scale(out[0]), level.shape[2:], mode="bilinear", align_corners=False)
            out.insert(0, level + coarse)
        return out


class Head(nn.Sequential):
    """A critic of one projected level: convolutions that halve the side to at most 4, then a map of outputs (n, 1, h, w).

    Every convolution is divided by its spectral norm; batch norm and a leaky rectifier follow each but the last. In train mode, an output
    depends on the whole batch of its image.

    Args:
        width_in: number of input channels.
        side: side of the inputs.
        width: channels of the first convolution; each further one has twice as many.

    Example:
        >>> Head(3, 14, width=4)(torch.zeros(2, 3, 14, 14)).shape
        torch.Size([2, 1, 3, 3])
    """

    def __init__(self, width_in: int, side: int, width: int) -> None:
        layers: list[nn.Module] = []
        while side > _SMALLEST:
            conv = nn.Conv2d(width_in, width, 4, stride=2, padding=1, bias=False)
            layers += [spectral_norm(conv), nn.BatchNorm2d(width), nn.LeakyReLU(_SLOPE)]
            width_in, width, side = width, 2 * width, side // 2
        layers.append(spectral_norm(nn.Conv2d(width_in, 1, 3, padding=1)))
        super().__init__(*layers)
