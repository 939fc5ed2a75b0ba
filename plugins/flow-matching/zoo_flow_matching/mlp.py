"""A net for the velocities of points."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo_core.models.unet import timestep_embedding
from zoo_flow_matching.config import FlowMatchingConfig

__all__ = ["MLP"]


class MLP(nn.Module):
    """Residual layers with the time, and the class, added to each.

    Example:
        >>> net = MLP(FlowMatchingConfig(points=2, dim=8))
        >>> net(torch.zeros(3, 2), torch.ones(3)).shape
        torch.Size([3, 2])
    """

    def __init__(self, config: FlowMatchingConfig) -> None:
        super().__init__()
        width = config.dim
        self.dim = width
        self.embed = nn.Sequential(nn.Linear(width, width), nn.SiLU())
        # The last row is "no label".
        self.labels = nn.Embedding(config.num_classes + 1, width) if config.num_classes else None
        self.first = nn.Linear(config.points, width)
        self.layers = nn.ModuleList([nn.Linear(width, width) for _ in range(config.blocks)])
        self.last = nn.Linear(width, config.points)

    def forward(self, x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        embedding = self.embed(timestep_embedding(t, self.dim).to(x.dtype))
        if self.labels is not None:
            null = self.labels.num_embeddings - 1
            embedding = embedding + self.labels(torch.full_like(t, null, dtype=torch.int64) if labels is None else labels)
        h = self.first(x)
        for layer in self.layers:
            h = h + layer(F.silu(h + embedding))
        out: Tensor = self.last(F.silu(h))
        return out
