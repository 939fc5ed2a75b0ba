"""The old name of :mod:`zoo_core.distributed`, for scripts that import it."""

from zoo_core.distributed import Processes

__all__ = ["Processes"]
