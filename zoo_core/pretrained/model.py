"""A trained model, ready to use: what ``zoo_core.load`` returns."""

import torch

from zoo_core.checkpoint.build import build
from zoo_core.checkpoint.config import CheckpointConfig, family_of
from zoo_core.checkpoint.files import Files
from zoo_core.pretrained.sampling import Sampling

__all__ = ["Pretrained", "assemble"]


class Pretrained(Sampling):
    """A trained model with its config and card.

    Everything that it draws is a function of a seed and an image's number; torch's global generator is neither read nor moved. Results
    carry no gradients; for those, call ``model`` itself.

    Attributes:
        model: the ``nn.Module`` of the family, in eval mode.
        config: the family's config.
        family: the family's spec.
        files: where it came from.
    """


def assemble(
    files: Files, config: CheckpointConfig, *, device: torch.device | str | None = None, dtype: torch.dtype | str | None = None
) -> Pretrained:
    """Builds the model of a checkpoint from its verified files; raises as :func:`zoo_core.load` does."""
    model = build(files, config)
    return Pretrained(model=model, config=config, family=family_of(config), files=files).to(device, dtype)
