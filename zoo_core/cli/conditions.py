"""The options ``--condition`` and ``--prompt``: pictures and texts that samples must fit."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from zoo_core.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from zoo_core.interfaces import Conditional
    from zoo_core.pretrained import Pretrained

__all__ = ["pictures_of", "read_conditions"]

_MOST = 10_000


def pictures_of(condition: str | None) -> Sequence[Path]:
    """Returns the picture files that ``--condition`` names, in the order of their names; none for a reference to a checkpoint.

    Raises:
        UsageError: if a folder has no pictures, or too many.
    """
    if condition is None:
        return ()
    from zoo_core.data.decoding import suffixes
    from zoo_core.data.folders import is_leftover

    path = Path(condition).expanduser()
    if path.is_file() or path.suffix.lower() in suffixes():
        return (path,)
    if not path.is_dir() or any((path / name).is_file() for name in ("config.json", "recipe.json")):
        return ()
    found = sorted(each for each in path.iterdir() if each.suffix.lower() in suffixes() and not is_leftover(each.name) and each.is_file())
    if not found:
        raise UsageError(f"--condition {condition}: there is no picture in this folder", "name a picture, or a folder of them")
    if len(found) > _MOST:
        raise UsageError(f"--condition {condition}: {len(found):,} pictures, and at most {_MOST:,} are read", "name a smaller folder")
    return found


def read_conditions(model: "Pretrained", pictures: Sequence[Path], prompts: Sequence[str]) -> "Tensor | None":
    """Reads pictures as conditions of a model, cropped to their shape and resized, or computes conditions of texts.

    Returns:
        The conditions, (k, *condition_event.shape), of pictures in [-1, 1]; None without pictures and texts.

    Raises:
        CapabilityError: if the model takes no conditions, or no texts.
        UsageError: if there are pictures and texts, its conditions are no images, a picture cannot be read, or a text is too long.
    """
    import torch

    from zoo_core import images
    from zoo_core.pretrained.conditions import prompted

    if prompts and pictures:
        raise UsageError("--prompt and --condition are both given", "leave one of them out")
    if not pictures:
        return prompted(model, prompts or None, None)
    model.require("condition", "take a condition")
    shape = cast("Conditional", model.model).condition_event.shape
    if not images.is_image(shape):
        raise UsageError(f"conditions of {model.name} are no images, but of the shape {tuple(shape)}", "pass them in Python: condition=")
    return torch.stack([images.read_image(path, shape) for path in pictures])
