"""Fixtures of the tests of the classical families."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from zoo_core import arguments


class _NoDouble(TorchDispatchMode):
    """Refuses operations that create float64 tensors, as MPS does."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if any(isinstance(leaf, torch.Tensor) and leaf.dtype == torch.float64 for leaf in tree_leaves(out)):
            raise TypeError(f"{func} makes a float64 tensor, which this device does not have")
        return out


@pytest.fixture
def without_float64(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """A call of it makes the rest of the test refuse float64 tensors."""
    mode = _NoDouble()
    entered = []

    def begin() -> None:
        monkeypatch.setattr(arguments, "_SINGLE", {"cpu"})
        entered.append(mode.__enter__())

    yield begin
    if entered:
        mode.__exit__(None, None, None)
