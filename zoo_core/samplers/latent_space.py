"""Samplers of denoisers on models whose samples are decoded from latents."""

from typing import TYPE_CHECKING, Any

from zoo_core.interfaces import LatentModel

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["decoded", "latent_mask", "sampled_model"]


def sampled_model(model: Any) -> Any:
    """The model that a sampler gets: ``model.latent`` of a model with the capability ``latent``, otherwise the model itself.

    >>> from zoo_core.testing.fake import FakeLatent
    >>> from zoo_core.testing.fake_config import FakeLatentConfig
    >>> sampled_model(FakeLatent(FakeLatentConfig())).event.shape
    (3, 4, 4)
    """
    return model.latent if isinstance(model, LatentModel) else model


def decoded(model: Any, x: "Tensor", labels: "Tensor | None" = None) -> "Tensor":
    """The samples (n, *model.event.shape) of what a sampler drew with :func:`sampled_model`.

    >>> import torch
    >>> from zoo_core.testing.fake import FakeLatent
    >>> from zoo_core.testing.fake_config import FakeLatentConfig
    >>> decoded(FakeLatent(FakeLatentConfig()), torch.zeros(2, 3, 4, 4)).shape
    torch.Size([2, 3, 8, 8])
    """
    return model.decode(x, labels) if isinstance(model, LatentModel) else x


def latent_mask(mask: "Tensor", side: tuple[int, int]) -> "Tensor":
    """The part of latents that is known, bool (n, 1, *side): a cell is known where all pixels are that it stands for.

    >>> import torch
    >>> latent_mask(torch.tensor([[[[1, 1, 1, 0], [1, 1, 1, 1]]]]).bool(), (1, 2)).tolist()
    [[[[True, False]]]]

    Args:
        mask: known pixels, bool (n, c, h, w).
        side: height and width of a latent, by which h and w can be divided.
    """
    from torch.nn.functional import adaptive_max_pool2d

    unknown = (~mask).any(dim=1, keepdim=True).float()
    return adaptive_max_pool2d(unknown, side) == 0
