"""Data sets in memory or on disk, and the order in which training reads them, a function of the seed and the step without a state."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import torch
from torch import Tensor

from zoo_core.data.factory import as_dataset
from zoo_core.data.stored import StoredImages
from zoo_core.errors import ConfigError
from zoo_core.interfaces import DatasetLike, Event
from zoo_core.registry import registry, resolve
from zoo_core.registry.faults import call_plugin
from zoo_core.rng import StepRng, Stream, permutation
from zoo_core.specs import DatasetSpec
from zoo_core.vocabulary import Vocabulary

__all__ = ["Attribute", "Batch", "Data", "load_data"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Rows of a data set.

    Args:
        x: samples, float32 (n, *event.shape); images in [-1, 1], and categories int64.
        labels: int64 (n,), or None.
        index: places of the rows in the data set, int64 (n,).
        captions: a text for each row; empty without captions.

    >>> Batch(x=torch.zeros(2, 3), labels=None, index=torch.tensor([4, 7])).x.shape
    torch.Size([2, 3])
    """

    x: Tensor
    labels: Tensor | None
    index: Tensor
    captions: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Attribute:
    """A property of the samples of a data set, such as their colour.

    Args:
        labels: its value for each sample, int64 (N,), at least 0.
        names: names of the values.

    >>> Attribute(labels=torch.tensor([0, 1, 0]), names=("red", "blue")).names[1]
    'blue'
    """

    labels: Tensor
    names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Data:
    """A data set in memory, or images in a file on disk.

    Args:
        x: uint8 images (N, c, h, w), or float32 samples (N, ...), which the model receives unchanged, or int64 categories (N, ...); of
            images on disk, a map of the file.
        labels: int64 (N,), at least 0, or None.
        classes: names of the labels.
        flip: True if training mirrors images left to right at random.
        stored: the file of the images, if they are on disk.
        recorded_digest: digest of the samples, if it is known without reading them.
        vocabulary: the tokens that categories stand for; those of int64 samples alone.
        captions: a text for each sample; empty without captions.
        attributes: further labels of the samples, by their names.

    Raises:
        ConfigError: if there is no sample, or if x or the labels are no tensors or have another dtype or shape, or captions are missing.

    >>> data = Data(x=torch.tensor([[[[0, 255]]]], dtype=torch.uint8), labels=torch.tensor([0]), classes=("edge",))
    >>> data.event.shape, data.rows(torch.tensor([0])).flatten().tolist()
    ((1, 1, 2), [-1.0, 1.0])
    >>> len(data.batch(seed=0, step=0, batch_size=4).x)  # epochs follow each other
    4
    """

    x: Tensor
    labels: Tensor | None = None
    classes: tuple[str, ...] = ()
    flip: bool = False
    stored: StoredImages | None = None
    recorded_digest: str = ""
    vocabulary: Vocabulary | None = None
    captions: tuple[str, ...] = ()
    attributes: Mapping[str, Attribute] = field(default_factory=dict)

    def __post_init__(self) -> None:
        x, labels = self.x, self.labels
        for name, value in (("data", x), ("labels", labels)):
            if not (isinstance(value, Tensor) or (value is None and name == "labels")):
                raise ConfigError(f"{name} must be one tensor, not a {type(value).__name__}", "stack them: all samples have one shape")
        if x.dtype not in (torch.uint8, torch.float32, torch.int64) or x.ndim < 2 or (x.dtype == torch.uint8 and x.ndim != 4):
            raise ConfigError(f"data must be uint8 images (N, c, h, w), float32 or int64 (N, ...), not {x.dtype} {tuple(x.shape)}")
        if not len(x):
            raise ConfigError("the data has no sample")
        if (x.dtype == torch.int64) != (self.vocabulary is not None):
            raise ConfigError("int64 samples are categories: they have a vocabulary, and no others do", "Data(x=..., vocabulary=...)")
        if self.vocabulary is not None and not 0 <= x.min() <= x.max() < len(self.vocabulary):
            raise ConfigError(f"categories must be in 0 ... {len(self.vocabulary) - 1}, not {int(x.min())} to {int(x.max())}")
        if labels is not None and (labels.dtype != torch.int64 or labels.shape != x.shape[:1] or labels.min() < 0):
            actual = f"{labels.dtype} {tuple(labels.shape)} from {labels.min()} on"
            raise ConfigError(f"labels must be int64 ({len(x)},) from 0 on, not {actual}")
        counts = [len(self.captions) or len(x), *(len(each.labels) for each in self.attributes.values())]
        if wrong := next((count for count in counts if count != len(x)), None):
            raise ConfigError(f"captions and attributes must be of all {len(x)} samples, not of {wrong}")

    def __len__(self) -> int:
        return len(self.x)

    @property
    def event(self) -> Event:
        """The shape of a sample, the range [-1, 1] for images, and the number of categories."""
        categories = None if self.vocabulary is None else len(self.vocabulary)
        return Event(shape=tuple(self.x.shape[1:]), range=(-1.0, 1.0) if self.x.dtype == torch.uint8 else None, categories=categories)

    @cached_property
    def digest(self) -> str:
        """The sha256 of all samples, labels, tokens and captions, in hex; resumed runs and records compare it."""
        if self.recorded_digest:
            return self.recorded_digest
        sha = hashlib.sha256(f"{self.x.dtype} {tuple(self.x.shape)}".encode())
        sha.update(self.x.contiguous().numpy().tobytes())
        if self.labels is not None:
            sha.update(self.labels.contiguous().numpy().tobytes())
        if self.vocabulary is not None:
            sha.update(json.dumps(self.vocabulary.tokens).encode())
        if self.captions:
            sha.update(json.dumps(self.captions).encode())
        return sha.hexdigest()

    def rows(self, index: Tensor) -> Tensor:
        """The samples at ``index`` (n,), float32 (n, *event.shape), or int64 categories; images in [-1, 1]."""
        x = self.x[index] if self.stored is None else self.stored.rows(index)
        return x.float() / 127.5 - 1 if x.dtype == torch.uint8 else x

    def batch(self, seed: int, step: int, batch_size: int, rows: slice = slice(None), device: torch.device | str = "cpu") -> Batch:
        """Returns rows of a batch. Epochs follow each other without a gap; each has its own order.

        Args:
            seed: seed of the order and the flips.
            step: number of the batch, from 0.
            batch_size: number of rows of the whole batch.
            rows: rows of the batch to return.
            device: device of the returned tensors.
        """
        index = self._index(seed, step, batch_size)[rows]
        x = self.rows(index)
        if self.flip:
            mirrored = StepRng(seed, step, batch_size, rows, stream=Stream.AUGMENT).uniform() < 0.5
            x = torch.where(mirrored.view(-1, *[1] * (x.ndim - 1)), x.flip(-1), x)
        labels = None if self.labels is None else self.labels[index].to(device)
        captions = tuple(self.captions[row] for row in index.tolist()) if self.captions else ()
        return Batch(x=x.to(device), labels=labels, index=index, captions=captions)

    def _index(self, seed: int, step: int, batch_size: int) -> Tensor:
        first, count = step * batch_size, len(self)
        parts = []
        while first < (step + 1) * batch_size:
            epoch, place = divmod(first, count)
            last = min(count, place + (step + 1) * batch_size - first)
            parts.append(_order(seed, epoch, count)[place:last])
            first += last - place
        return torch.cat(parts)


_order = lru_cache(maxsize=2)(permutation)


def load_data(choice: DatasetLike) -> Data:
    """Loads a data set.

    Args:
        choice: name of a registered data set, as :func:`zoo_core.data.factory.as_dataset` takes it, or its config.

    Raises:
        ConfigError: if there is no such data set, or the data is not where the config says, or holds no samples.
        PluginError: if the loader does not return a :class:`Data`.

    >>> load_data({"name": "moons", "count": 10}).x.shape
    torch.Size([10, 2])
    """
    config = as_dataset(choice)
    spec = registry().spec(DatasetSpec, registry().name_of("dataset", type(config)))
    return call_plugin(resolve(spec.target), config, kind=Data)
