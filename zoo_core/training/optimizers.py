"""Optimizers by their names in timm, and their state as tensors and plain numbers."""

from collections.abc import Mapping, Sequence
from textwrap import shorten
from typing import Any

import torch
from torch import Tensor, nn

from zoo_core.errors import ConfigError
from zoo_core.recipes import OptimizerConfig

__all__ = ["create", "restore", "state_of"]

_GROUP = "group-"


def create(config: OptimizerConfig, parameters: Sequence[nn.Parameter], where: str) -> torch.optim.Optimizer:
    """The optimizer of a config; ``where`` is its place in the recipe, for errors.

    Raises:
        ConfigError: timm has no such optimizer, or it has no such option.
    """
    from timm.optim import create_optimizer_v2

    options: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in config.options.items()}
    options.update(opt=config.name, lr=config.lr, weight_decay=config.weight_decay)
    try:
        return create_optimizer_v2(list(parameters), **options)
    except (TypeError, ValueError, RuntimeError, AssertionError, LookupError) as error:
        what = f"{where}: timm makes no optimizer {config.name!r} with these options: {shorten(str(error), 120, placeholder=' ...')}"
        raise ConfigError(what, f"`-o {where}.name=adam` is one that is there; {where}.options are its own") from error


def state_of(optimizer: torch.optim.Optimizer) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """The moments as tensors, ``{moment: {parameter's number: tensor}}``, and every plain number of the state and of the groups.

    What a group keeps as a tensor, such as lamb its step, is the moment ``group-NUMBER``.

    Raises:
        ConfigError: the optimizer keeps something that is neither.
    """
    plain = optimizer.state_dict()
    moments: dict[str, dict[str, Tensor]] = {}
    numbers: dict[str, dict[str, Any]] = {}
    for index, values in plain["state"].items():
        for name, value in values.items():
            if isinstance(value, Tensor):
                moments.setdefault(name, {})[str(index)] = value
            elif _is_plain(value):
                numbers.setdefault(str(index), {})[name] = value
            else:
                raise ConfigError(
                    f"a checkpoint cannot hold the state {name!r} of the optimizer {type(optimizer).__name__}", "choose another optimizer"
                )
    for number, group in enumerate(plain["param_groups"]):
        tensors = {key: value for key, value in group.items() if isinstance(value, Tensor)}
        moments.update({f"{_GROUP}{number}": tensors} if tensors else {})
    groups = [{key: value for key, value in group.items() if key != "params" and _is_plain(value)} for group in plain["param_groups"]]
    return moments, {"groups": groups, "state": numbers}


def _is_plain(value: object) -> bool:
    return value is None or type(value) in (bool, int, float, str)


def restore(
    optimizer: torch.optim.Optimizer,
    parameters: Sequence[nn.Parameter],
    moments: Mapping[str, Mapping[str, Tensor]],
    numbers: Mapping[str, Any],
    *,
    options: bool = True,
) -> None:
    """Puts back what :func:`state_of` gave; without ``options``, the groups keep the options that the optimizer was made with."""
    state: dict[int, dict[str, Any]] = {int(index): dict(values) for index, values in numbers["state"].items()}
    groups = optimizer.state_dict()["param_groups"]
    for number, (group, kept) in enumerate(zip(groups, numbers["groups"], strict=True)):
        group.update(kept if options else {})
        group.update(moments.get(f"{_GROUP}{number}", {}))
    for name, values in moments.items():
        if name.startswith(_GROUP):
            continue
        for index, value in values.items():
            parameter = parameters[int(index)]
            if value.shape == parameter.shape:
                # In the parameter's own memory layout, as the optimizer made it: the same kernels run after a resume.
                value = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
            state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": groups})
