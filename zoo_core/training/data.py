"""The old name of :mod:`zoo_core.data.dataset`, for scripts that import it."""

from zoo_core.data.dataset import Batch, Data, load_data

__all__ = ["Batch", "Data", "load_data"]
