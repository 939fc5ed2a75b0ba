"""The metric of clusterings."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from zoo_core.errors import CapabilityError, ConfigError
from zoo_core.evaluation.metrics import Answers, DataMetric
from zoo_core.hardware.devices import inference

if TYPE_CHECKING:
    from zoo_core.pretrained import Pretrained

__all__ = ["Purity"]

_STRIDE = 1 << 20  # more than there are labels: a number holds cluster and label


@dataclass(frozen=True, kw_only=True, slots=True)
class Purity(DataMetric):
    """The share of samples that have the commonest label of their cluster, in [0, 1] (Manning et al. 2008, section 16.3).

    It grows with the number of clusters: compare it at equal numbers. The clusters are those of the model's method ``assign(x)``, which
    returns int64 (n,); the models of kmeans and gmm have it.

    >>> import torch
    >>> codes = torch.tensor([0, 0, 1]) * _STRIDE + torch.tensor([7, 8, 7])  # two clusters, with the labels 7, 8 and 7
    >>> Purity().combine(codes.double()).tolist()
    [1.0, 0.0, 1.0]
    """

    requires = ""
    better = "higher"

    def check(self, model: "Pretrained", name: str) -> None:
        if not callable(getattr(model.model, "assign", None)):
            raise CapabilityError(f"{name} needs a model that assigns clusters, and {model.name} does not", "families that do: gmm, kmeans")

    def __call__(self, model: "Pretrained", x: Tensor, labels: Tensor | None, first: int) -> Answers:
        if labels is None:
            raise ConfigError("purity needs data with labels", "name images in class folders, or a set that has labels")
        with inference(model.device, torch.float32):
            clusters: Tensor = model.model.assign(x.float().to(model.device)).cpu()  # type: ignore[operator]  # checked above
        return Answers(values=(clusters * _STRIDE + labels.cpu()).double())

    def combine(self, values: Tensor) -> Tensor:
        pairs, place, counts = torch.unique(values.long(), return_inverse=True, return_counts=True)
        largest: dict[int, tuple[int, int]] = {}  # by cluster: the count of its commonest label, and the place of the pair
        for row, (pair, count) in enumerate(zip(pairs.tolist(), counts.tolist(), strict=True)):
            cluster = pair // _STRIDE
            if count > largest.get(cluster, (0, 0))[0]:
                largest[cluster] = (count, row)
        common = torch.zeros(len(pairs), dtype=torch.bool)
        common[[row for _, row in largest.values()]] = True
        return common[place].double()
