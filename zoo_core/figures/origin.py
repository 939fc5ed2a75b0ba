"""The origin of samples and figures, as metadata of their files."""

import json
from typing import TYPE_CHECKING

from zoo_core import __version__
from zoo_core.checkpoint.files import WEIGHTS
from zoo_core.config import encode
from zoo_core.interfaces import Sampler, Scheduler

if TYPE_CHECKING:
    from zoo_core.pretrained import Pretrained

__all__ = ["origin_of"]


def origin_of(model: "Pretrained", **facts: object) -> dict[str, str]:
    """The checkpoint, its weights and ``facts``, as the strings that a PNG carries; what is None is left out.

    A sampler without a scheduler gets the default scheduler of the checkpoint for it.
    """
    if isinstance(sampler := facts.get("sampler"), Sampler) and facts.get("scheduler") is None:
        facts["scheduler"] = model.scheduler_of(sampler)
    return {
        "Software": f"zoo-core {__version__}",
        "reference": model.reference,
        "weights": f"sha256:{model.files.digest(WEIGHTS)}",
        **({"base weights": f"sha256:{model.base.files.digest(WEIGHTS)}"} if model.base else {}),
        **{key: _text(value) for key, value in facts.items() if value is not None},
    }


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(encode(value) if isinstance(value, Sampler | Scheduler) else value)
