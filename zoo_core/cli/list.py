"""``zoo list``."""

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import click

from zoo_core.cli.console import echo_json, human_size, report_failures, say, table
from zoo_core.registry import Claim, registry
from zoo_core.specs import (
    CheckpointSpec,
    DatasetSpec,
    MetricSpec,
    ModelSpec,
    RecipeSpec,
    SamplerSpec,
    SchedulerSpec,
    Spec,
    TrainerSpec,
)

__all__ = ["list_"]

_KINDS: Mapping[str, type[Spec]] = {
    "checkpoints": CheckpointSpec,
    "families": ModelSpec,
    "samplers": SamplerSpec,
    "schedulers": SchedulerSpec,
    "datasets": DatasetSpec,
    "metrics": MetricSpec,
    "recipes": RecipeSpec,
    "trainers": TrainerSpec,
}


def _size(spec: Any) -> str:
    return human_size(sum(pin.size for pin in spec.files.values()))


_Column = tuple[str, Callable[[Any], str]]
_PAPER: _Column = ("PAPER", lambda spec: spec.paper)
_COLUMNS: Mapping[str, list[_Column]] = {
    "checkpoints": [
        ("FAMILY", lambda spec: spec.family),
        ("SIZE", _size),
        ("DATASET", lambda spec: spec.dataset),
        ("LICENSE", lambda spec: spec.license),
    ],
    "families": [("CAN", lambda spec: " ".join(sorted(spec.capabilities))), _PAPER],
    "samplers": [("NEEDS", lambda spec: spec.requires), _PAPER],
    "schedulers": [_PAPER],
    "datasets": [("LICENSE", lambda spec: spec.license)],
    "metrics": [("NEEDS", lambda spec: spec.requires), _PAPER],
    "recipes": [],
    "trainers": [_PAPER],
}
_EMPTY = "none installed -- they come with plugins; `zoo plugins` shows those that are there"


@click.command("list")
@click.argument("kind", type=click.Choice(list(_KINDS)), default="checkpoints", metavar="[KIND]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(kind: str, as_json: bool) -> None:
    """What is installed.

    KIND is checkpoints (unless another is given), families, samplers, schedulers, datasets, metrics, recipes or trainers.

    A name with a ! is claimed by two plugins; write it as DIST:NAME to say whose is meant. The names of zoo-core stay its own.

    \b
    Examples:
      zoo list
      zoo list families
      zoo list samplers --json
    """
    claims = registry().claims(_KINDS[kind])
    meant = [registry().meant(_KINDS[kind], name) for name in claims]
    if as_json:
        echo_json([_record(claim, claim not in meant) for found in claims.values() for claim in found])
    elif claims:
        columns = _COLUMNS[kind]
        rows = [
            [_name(claim, claim not in meant), *(get(claim.spec) for _, get in columns), claim.spec.summary]
            for found in claims.values()
            for claim in found
        ]
        used = [i for i in range(len(columns) + 2) if any(row[i] for row in rows)]
        headers = ["NAME", *(header for header, _ in columns), "SUMMARY"]
        table([headers[i] for i in used], [[row[i] for i in used] for row in rows], cut=True)
    else:
        say(f"zoo: {kind}: {_EMPTY}")
    report_failures()


def _name(claim: Claim, conflict: bool) -> str:
    return f"{claim.name} !" if conflict else claim.spec.key


def _record(claim: Claim, conflict: bool) -> dict[str, Any]:
    plain = {item.name: _plain(getattr(claim.spec, item.name)) for item in fields(claim.spec)}
    return {"key": claim.spec.key, **plain, "dist": claim.plugin.dist, "version": claim.plugin.version, "conflict": conflict}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, Path):
        return str(value)
    if is_dataclass(value):
        return {item.name: _plain(getattr(value, item.name)) for item in fields(value)}
    return value
