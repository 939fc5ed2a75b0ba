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
    """The optimizer of a config.

    Args:
        config: name in timm, learning rate and options.
        parameters: parameters to train.
        where: place of the config in the recipe, for errors.

    Raises:
        ConfigError: if timm has no optimizer of that name, or the optimizer does not take an option.
    """
    from timm.optim import create_optimizer_v2

    options: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in config.options.items()}
    options.update(opt=config.name, lr=config.lr, weight_decay=config.weight_decay)
    try:
        return create_optimizer_v2(list(parameters), **options)
    except (TypeError, ValueError, RuntimeError, AssertionError, LookupError) as error:
        what = f"{where}: timm makes no optimizer {config.name!r} with these options: {shorten(str(error), 120, placeholder=' ...')}"
        raise ConfigError(what, f"`-o {where}.name=adam` is one that exists; {where}.options are its options") from error


def state_of(optimizer: torch.optim.Optimizer) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """The moments as tensors, ``{moment: {parameter's number: tensor}}``, and the plain numbers of the state and of the groups.

    Tensors of a group, such as the step of lamb, are the moment ``group-NUMBER``.

    Raises:
        ConfigError: if the optimizer holds a value that is neither a tensor nor plain.
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
                what = f"a checkpoint cannot hold the state {name!r} of the optimizer {type(optimizer).__name__}"
                raise ConfigError(what, "choose another optimizer")
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
    """Restores the values of :func:`state_of`.

    Args:
        optimizer: optimizer to restore.
        parameters: its parameters, in the same order as before.
        moments, numbers: values of :func:`state_of`.
        options: whether to restore the options of the groups too; if False, they stay those of the optimizer's config.
    """
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
                # In the parameter's own memory layout, as the optimizer creates it: the same kernels run after a resume.
                value = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
            state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": groups})
