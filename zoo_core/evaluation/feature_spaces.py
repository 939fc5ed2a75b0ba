"""Feature spaces: networks that turn images into the vectors that distances compare.

A distance means something only together with its feature space, so a space has a digest; only Inception's features make a distance an FID.
Names: a checkpoint with the capability ``features`` (``classifier-cifar10``, or any reference), ``inception``, ``timm:NAME``, ``identity``.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo_core.checkpoint.files import WEIGHTS
from zoo_core.errors import CapabilityError, NotFoundError, UsageError
from zoo_core.evaluation import inception
from zoo_core.hub.cache import is_offline
from zoo_core.hub.fetch import fetch as fetch_files
from zoo_core.hub.fetch import registered_copies
from zoo_core.images import to_uint8
from zoo_core.interfaces import Event
from zoo_core.registry import parse_reference, registry
from zoo_core.rng import Stream, isolated
from zoo_core.specs import CheckpointSpec

__all__ = ["IDENTITY", "FeatureSpace", "load_feature_space"]

IDENTITY = "identity"
"""The space of the samples themselves, for points, which are compared without a network."""


@dataclass(frozen=True, kw_only=True)
class FeatureSpace:
    """A feature space.

    Args:
        name: name of the space.
        digest: sha256 of its weights, in hex.
        event: images that it takes; None for samples of any shape.
        classes: number of its class probabilities; 0 without classes.
        embed: function of images (n, c, h, w) in [-1, 1] that returns features (n, d) float32, and probabilities (n, classes) or None.
        texts: function of texts that returns their features (n, d), for a model of images and texts; else None.
        own_resizing: description, for the record, of the resizing that ``embed`` does itself; then it takes images of any size.

    >>> import torch
    >>> def channel_means(x):
    ...     return x.mean(dim=(2, 3)), None
    >>> space = FeatureSpace(name="colours", digest="0" * 64, event=Event(shape=(3, 8, 8)), classes=0, embed=channel_means)
    >>> space(torch.zeros(4, 1, 16, 16))[0].shape, space.resize((1, 16, 16))
    (torch.Size([4, 3]), 'bilinear, antialiased, to 8')
    """

    name: str
    digest: str
    event: Event | None
    classes: int
    embed: Callable[[Tensor], tuple[Tensor, Tensor | None]]
    texts: Callable[[Sequence[str]], Tensor] | None = None
    own_resizing: str = ""

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Features (n, d) and probabilities of images (n, c, h, w) of any size, which :meth:`fit` fits to :attr:`event` first."""
        with torch.no_grad():
            return self.embed(self.fit(x))

    def resize(self, shape: tuple[int, ...]) -> str:
        """Describes, for the record, how :meth:`fit` resizes images of a shape: ``none``, or the filter and the side."""
        if self.own_resizing:
            return self.own_resizing
        same = self.event is None or tuple(shape[1:]) == self.event.shape[1:]
        return "none" if same or self.event is None else f"bilinear, antialiased, to {self.event.shape[-1]}"

    def fit(self, x: Tensor) -> Tensor:
        """Fits images (n, c, h, w) to the space: clamped to [-1, 1], resized, and with its number of channels.

        Raises:
            UsageError: if ``x`` is not a batch of images, or has more channels than the space takes.
        """
        if self.event is None:
            return x
        channels, *size = self.event.shape
        if x.ndim != 4 or (x.shape[1] != channels and x.shape[1] != 1):
            problem = f"{self.name} takes images of {channels} channels, not samples of {list(x.shape[1:])}"
            raise UsageError(problem, "choose other --features")
        x = x.clamp(-1, 1)
        if list(x.shape[2:]) != size and not self.own_resizing:
            x = F.interpolate(x, size, mode="bilinear", antialias=True, align_corners=False)
        return x.expand(-1, channels, -1, -1)


def load_feature_space(name: str, device: torch.device | str = "cpu", *, fetch: bool = True) -> FeatureSpace:
    """Loads a feature space by its name.

    Args:
        name: reference of a checkpoint with features, ``inception``, ``timm:NAME`` or ``identity``.
        device: device of its network.
        fetch: True to download missing weights. If False, a checkpoint must be a registered one.

    Raises:
        UsageError: if there is no such space, or it needs a package that is not installed.
        CapabilityError: if the checkpoint gives no features.
        NotFoundError: if its weights are not here and are not, or cannot be, downloaded.
        ZooError: if the checkpoint cannot be loaded, see :func:`zoo_core.load`.

    >>> load_feature_space("identity").resize((2,))
    'none'
    """
    if name == IDENTITY:
        digest = hashlib.sha256(IDENTITY.encode()).hexdigest()
        return FeatureSpace(name=name, digest=digest, event=None, classes=0, embed=lambda x: (x.flatten(1).float(), None))
    if name == "inception":
        return _inception(device, fetch)
    if name.startswith("timm:"):
        return _timm(name, device, fetch)
    if not fetch:
        _check_here(name)
    return _checkpoint(name, device)


def _check_here(name: str) -> None:
    """Raises NotFoundError unless the files of a registered checkpoint of that name are here."""
    reference = parse_reference(name)
    if reference.kind != "name" or not registered_copies(reference, registry().claim(CheckpointSpec, reference.name)):
        raise NotFoundError(f"the features of {name} are not here", f"`zoo pull {name}` fetches a registered checkpoint")


def _checkpoint(name: str, device: torch.device | str) -> FeatureSpace:
    from zoo_core.loading import load

    model = load(name, device=device)
    if "features" not in model.capabilities:
        raise CapabilityError(f"{name} gives no features", "`zoo list families` shows which do: classifier-cifar10 and others")
    classes = "classify" in model.capabilities

    def embed(x: Tensor) -> tuple[Tensor, Tensor | None]:
        x = x.to(device)
        return model.features(x), model.classify(x).exp() if classes else None

    count = int(getattr(model.model, "num_classes", 0)) if classes else 0
    texts = model.text_features if hasattr(model.model, "text_features") else None
    facts: dict[str, Any] = {"digest": fetch_files(name).digest(WEIGHTS), "event": model.event, "classes": count}
    return FeatureSpace(name=name, embed=embed, texts=texts, **facts)


def _inception(device: torch.device | str, fetch: bool) -> FeatureSpace:
    path = inception.weights(fetch)
    net = inception.network(path, device)

    def embed(x: Tensor) -> tuple[Tensor, Tensor | None]:
        return net(inception.resized(to_uint8(x)))

    event = Event(shape=(3, inception.SIDE, inception.SIDE), range=(-1.0, 1.0))
    facts: dict[str, Any] = {"classes": inception.CLASSES, "own_resizing": inception.RESIZING}
    return FeatureSpace(name="inception", digest=hashlib.sha256(path.read_bytes()).hexdigest(), event=event, embed=embed, **facts)


def _timm(name: str, device: torch.device | str, fetch: bool) -> FeatureSpace:
    try:
        import timm
    except ImportError as error:
        raise UsageError(f"{name} needs timm", "pip install 'zoo-core[eval]'") from error

    architecture, _, training = name.removeprefix("timm:").partition(":")
    if training not in ("", "untrained") or not timm.is_model(architecture):
        raise UsageError(f"timm has no model {name.removeprefix('timm:')!r}", "timm:NAME, or timm:NAME:untrained for random weights")
    if not (training or fetch or is_offline()):
        raise NotFoundError(f"the weights of {name} might have to be fetched", "HF_HUB_OFFLINE=1 takes them from the cache")
    with isolated(0, stream=Stream.INIT):
        try:
            net = timm.create_model(architecture, pretrained=not training, num_classes=0).eval().to(device)
        except Exception as error:  # the Hub's client fails, the model has no published weights, ...
            problem = f"the weights of {name} are not here and cannot be downloaded: {' '.join(str(error).split())[:80]}"
            hint = f"use those of a checkpoint, such as classifier-cifar10; {name}:untrained has random ones"
            raise NotFoundError(problem, hint) from error
    settings: dict[str, Any] = timm.data.resolve_model_data_config(net)  # type: ignore[no-untyped-call]  # timm has no types
    mean, std = (torch.tensor(settings[key], device=device).view(1, -1, 1, 1) for key in ("mean", "std"))

    def embed(x: Tensor) -> tuple[Tensor, Tensor | None]:
        return net(((x.to(device) + 1) / 2 - mean) / std).float().cpu(), None

    event = Event(shape=tuple(settings["input_size"]), range=(-1.0, 1.0))
    return FeatureSpace(name=name, digest=_digest(net), event=event, classes=0, embed=embed)


def _digest(net: nn.Module) -> str:
    sha = hashlib.sha256()
    for key, value in sorted(net.state_dict().items()):
        sha.update(key.encode())
        sha.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes() if value.numel() else b"")
    return sha.hexdigest()
