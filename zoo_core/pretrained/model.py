"""The class ``Pretrained``, and its construction from the files of a checkpoint."""

import torch

from zoo_core.checkpoint.build import build
from zoo_core.checkpoint.config import CheckpointConfig, family_of
from zoo_core.checkpoint.files import Files
from zoo_core.pretrained.inpainting import Inpainting

__all__ = ["Pretrained", "assemble"]


class Pretrained(Inpainting):
    """A trained model with its config and card.

    Every draw is a function of a seed and an image's number; torch's global generator is neither read nor advanced. Results carry no
    gradients; for those, call ``model`` itself.

    >>> from zoo_core import load
    >>> points = load("realnvp-moons")
    >>> x = points.sample(8, seed=0)
    >>> bool((points.reconstruct(x) - x).abs().max() < 1e-3)
    True

    Attributes:
        model: the ``nn.Module`` of the family, in eval mode.
        config: config of the model.
        family: spec of the family.
        files: verified files of the checkpoint.
        device: device on which the net computes.
        dtype: dtype in which the net computes.
        base: the model that draws the conditions of this one, in a cascade such as ``load("A+B")``; otherwise None.
    """


def assemble(
    files: Files, config: CheckpointConfig, *, device: torch.device | str | None = None, dtype: torch.dtype | str | None = None
) -> Pretrained:
    """Builds the model of a checkpoint from its verified files; raises as :func:`zoo_core.load` does."""
    model = build(files, config)
    return Pretrained(model=model, config=config, family=family_of(config), files=files).to(device, dtype)
