"""Options that several commands have."""

from collections.abc import Sequence

from zoo_core.config import apply_overrides, decode
from zoo_core.errors import UsageError
from zoo_core.hub import fetch
from zoo_core.interfaces import DatasetConfig

__all__ = ["data_option"]


def data_option(reference: str, text: str | None, root: str | None, options: Sequence[str]) -> DatasetConfig | None:
    """What ``--data NAME[:PATH]``, ``--data-root DIR`` and ``-o data.KEY=VALUE`` say, the last of the checkpoint's own data without the
    first; None where they say nothing."""
    changes = [option.removeprefix("data.") for option in options if option.startswith("data.")]
    if root is not None:
        changes = [f"root={root}", *changes]
    if text is None and not changes:
        return None
    if text is None:
        from zoo_core.evaluation.evaluate import data_of

        return data_of(fetch(reference), changes)
    name, _, path = text.partition(":")
    if not name:
        raise UsageError(f"--data {text!r} names no data set", "write it as --data NAME or --data folder:PATH")
    config: DatasetConfig = decode(DatasetConfig, apply_overrides({"name": name, **({"path": path} if path else {})}, changes), "data")
    return config
