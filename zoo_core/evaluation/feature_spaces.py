"""Feature spaces: what turns images into the vectors that distances compare.

A distance means something only together with its space, so a space has a digest, and nothing but Inception's features makes a distance an
FID. Names: a checkpoint that can give ``features`` (``classifier-cifar10``, or any reference), ``inception``, ``timm:NAME``, ``identity``.
"""

import hashlib
from collections.abc import Callable
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

__all__ = ["IDENTITY", "Space", "space"]

IDENTITY = "identity"
"""The space of the samples themselves: for points, which need no net to be compared."""


@dataclass(frozen=True, kw_only=True)
class Space:
    """A feature space.

    Args:
        name: as it is asked for.
        digest: the sha256 of its weights, in hex.
        event: the images that it takes; None for samples of any shape, as they are.
        classes: of its class probabilities; 0 where it has none.
        embed: images (n, c, h, w) in [-1, 1] -> features (n, d) float32, and probabilities (n, classes) or None.
        own_resizing: what ``embed`` does to the size of images itself, for the record; then they come as they are, in any size.
    """

    name: str
    digest: str
    event: Event | None
    classes: int
    embed: Callable[[Tensor], tuple[Tensor, Tensor | None]]
    own_resizing: str = ""

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Features and probabilities of images of any size: fitted to :attr:`event` by :meth:`resize` first."""
        with torch.no_grad():
            return self.embed(self.fit(x))

    def resize(self, shape: tuple[int, ...]) -> str:
        """What :meth:`fit` does to images of a shape, for the record: ``none``, or the filter and the side."""
        if self.own_resizing:
            return self.own_resizing
        same = self.event is None or tuple(shape[1:]) == self.event.shape[1:]
        return "none" if same or self.event is None else f"bilinear, antialiased, to {self.event.shape[-1]}"

    def fit(self, x: Tensor) -> Tensor:
        """Images as the space takes them: clamped to [-1, 1], its side, its number of channels.

        Raises:
            UsageError: colours would have to be thrown away, or ``x`` is no batch of images.
        """
        if self.event is None:
            return x
        channels, *size = self.event.shape
        if x.ndim != 4 or (x.shape[1] != channels and x.shape[1] != 1):
            what = f"{self.name} takes images of {channels} channels, not samples of {list(x.shape[1:])}"
            raise UsageError(what, "choose other --features")
        x = x.clamp(-1, 1)
        if list(x.shape[2:]) != size and not self.own_resizing:
            x = F.interpolate(x, size, mode="bilinear", antialias=True, align_corners=False)
        return x.expand(-1, channels, -1, -1)


def space(name: str, device: torch.device | str = "cpu", *, fetch: bool = True) -> Space:
    """The feature space of a name.

    Args:
        name: of a checkpoint with features, ``inception``, ``timm:NAME`` or ``identity``.
        device: where its network computes.
        fetch: whether what is not here may be fetched. If not, a checkpoint must be a registered one.

    Raises:
        UsageError: there is no such space, or it needs a package that is not installed.
        CapabilityError: the checkpoint gives no features.
        NotFoundError: its network is not here and cannot, or must not, be fetched.
        ZooError: as :func:`zoo_core.load` does.
    """
    if name == IDENTITY:
        digest = hashlib.sha256(IDENTITY.encode()).hexdigest()
        return Space(name=name, digest=digest, event=None, classes=0, embed=lambda x: (x.flatten(1).float(), None))
    if name == "inception":
        return _inception(device, fetch)
    if name.startswith("timm:"):
        return _timm(name, device, fetch)
    if not fetch:
        _demand_here(name)
    return _checkpoint(name, device)


def _demand_here(name: str) -> None:
    """Raises NotFoundError unless a registered checkpoint of that name is here."""
    reference = parse_reference(name)
    if reference.kind != "name" or not registered_copies(reference, registry().claim(CheckpointSpec, reference.name)):
        raise NotFoundError(f"the features of {name} are not here", f"`zoo pull {name}` fetches a registered checkpoint")


def _checkpoint(name: str, device: torch.device | str) -> Space:
    from zoo_core.loading import load

    judge = load(name, device=device)
    if "features" not in judge.capabilities:
        raise CapabilityError(f"{name} gives no features", "`zoo list families` shows what can: classifier-cifar10 and others")
    classes = "classify" in judge.capabilities

    def embed(x: Tensor) -> tuple[Tensor, Tensor | None]:
        x = x.to(device)
        return judge.features(x), judge.classify(x).exp() if classes else None

    count = int(getattr(judge.model, "num_classes", 0)) if classes else 0
    return Space(name=name, digest=fetch_files(name).digest(WEIGHTS), event=judge.event, classes=count, embed=embed)


def _inception(device: torch.device | str, fetch: bool) -> Space:
    path = inception.weights(fetch)
    net = inception.network(path, device)

    def embed(x: Tensor) -> tuple[Tensor, Tensor | None]:
        return net(inception.resized(to_uint8(x)))

    event = Event(shape=(3, inception.SIDE, inception.SIDE), range=(-1.0, 1.0))
    facts: dict[str, Any] = {"classes": inception.CLASSES, "own_resizing": inception.RESIZING}
    return Space(name="inception", digest=hashlib.sha256(path.read_bytes()).hexdigest(), event=event, embed=embed, **facts)


def _timm(name: str, device: torch.device | str, fetch: bool) -> Space:
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
        except Exception as error:  # of the Hub's client, of a model without published weights, ...
            what = f"the weights of {name} are not here and cannot be downloaded: {' '.join(str(error).split())[:80]}"
            hint = f"use those of a checkpoint, such as classifier-cifar10; {name}:untrained has random ones"
            raise NotFoundError(what, hint) from error
    settings: dict[str, Any] = timm.data.resolve_model_data_config(net)  # type: ignore[no-untyped-call]  # timm has no types
    mean, std = (torch.tensor(settings[key], device=device).view(1, -1, 1, 1) for key in ("mean", "std"))

    def embed(x: Tensor) -> tuple[Tensor, Tensor | None]:
        return net(((x.to(device) + 1) / 2 - mean) / std).float().cpu(), None

    event = Event(shape=tuple(settings["input_size"]), range=(-1.0, 1.0))
    return Space(name=name, digest=_digest(net), event=event, classes=0, embed=embed)


def _digest(net: nn.Module) -> str:
    sha = hashlib.sha256()
    for key, value in sorted(net.state_dict().items()):
        sha.update(key.encode())
        sha.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes() if value.numel() else b"")
    return sha.hexdigest()
