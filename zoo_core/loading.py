"""``load``: from a reference to a model that is ready to use."""

import os
from typing import TYPE_CHECKING, Never

from zoo_core.checkpoint.config import read_config
from zoo_core.hub.fetch import fetch
from zoo_core.suggestions import LOAD, keywords_of, unknown_keyword

if TYPE_CHECKING:
    import torch

    from zoo_core.pretrained import Pretrained

__all__ = ["load"]


def load(
    reference: "str | os.PathLike[str]",
    *,
    device: "torch.device | str | None" = None,
    dtype: "torch.dtype | str | None" = None,
    **other: Never,
) -> "Pretrained":
    """Loads a checkpoint: verifies its files, builds the model and gives it the weights.

    Args:
        reference: ``NAME``, ``DIST:NAME``, the path of a folder (of a checkpoint or of a training run), or ``ORG/REPO[@REVISION]`` on the
            Hub. A folder that exists goes before a repository of that name; ``local:PATH`` is always the folder.
        device: such as ``cuda``; the CPU when None.
        dtype: the dtype that the net computes in: float32 (when None), bfloat16 or float16; ``auto`` is bfloat16 where the device
            computes it natively, and float32 elsewhere. Samples and noise stay float32.

    Raises:
        UsageError: if reference, device or dtype is not valid, or there is no such keyword.
        ConfigError: the config is wrong.
        UnknownNameError: no installed plugin has that checkpoint, or its family.
        IntegrityError: a file is not what is pinned.
        UnsafeContentError: the weights are no safe safetensors file.
        IncompatibleCheckpoint: weights and config do not fit each other.
    """
    for key in other:  # that users of other libraries type
        raise unknown_keyword("load", key, keywords_of(load), table=LOAD)
    files = fetch(reference)
    config = read_config(files)
    from zoo_core.checkpoint.build import assemble

    return assemble(files, config, device=device, dtype=dtype)
