"""``zoo plugins``."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import click

from zoo_core.cli.console import echo_json, inert, report_conflicts, table
from zoo_core.errors import PluginError
from zoo_core.registry import Plugin, registry
from zoo_core.soundness import findings

__all__ = ["plugins"]


@click.command()
@click.option("--check", is_flag=True, help="Import everything that the plugins name, and see whether it is what it must be.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def plugins(check: bool, as_json: bool) -> None:
    """Which plugins are installed, what they offer, and what is broken.

    With --check the exit code is 9 when anything is broken.

    \b
    Examples:
      zoo plugins
      zoo plugins --check
      ZOO_PLUGINS=zoo-ddpm zoo plugins
    """
    found = registry().plugins
    checked = {plugin.module: findings(plugin) for plugin in found} if check else {}
    if as_json:
        echo_json([_record(plugin, checked.get(plugin.module)) for plugin in found])
    else:
        table(
            ("PLUGIN", "VERSION", "MODULE", "OFFERS"), [(plugin.dist, plugin.version, plugin.module, _offers(plugin)) for plugin in found]
        )
        if check:
            click.echo()
            rows = [(plugin, target, why) for plugin in found for target, why in checked[plugin.module].items()]
            table(("PLUGIN", "TARGET", "STATE"), [(plugin.dist, target, why or "ok") for plugin, target, why in rows])
        report_conflicts(registry())
    broken = sum(plugin.failure is not None for plugin in found) + sum(
        bool(why) for targets in checked.values() for why in targets.values()
    )
    if check and broken:
        raise PluginError(f"{broken} broken", "upgrade or uninstall the package that is at fault")


def _offers(plugin: Plugin) -> str:
    if plugin.failure:
        return f"BROKEN: {plugin.failure}" + (f" ({plugin.failure.where})" if plugin.failure.where else "")
    counts = Counter(spec.kind for spec in plugin.specs)
    return ", ".join(f"{count} {_plural(kind, count)}" for kind, count in counts.items()) or "nothing"


def _plural(kind: str, count: int) -> str:
    return kind if count == 1 else kind[:-1] + "ies" if kind.endswith("y") else kind + "s"


def _record(plugin: Plugin, targets: Mapping[str, str] | None) -> dict[str, Any]:
    broken = plugin.failure
    failure = {"step": broken.step, "why": inert(broken.why), "where": inert(broken.where)} if broken else None
    record: dict[str, Any] = {
        "name": plugin.name,
        "dist": plugin.dist,
        "version": plugin.version,
        "module": plugin.module,
        "failure": failure,
    }
    record["offers"] = {
        kind: [spec.key for spec in plugin.specs if spec.kind == kind] for kind in sorted({spec.kind for spec in plugin.specs})
    }
    return record if targets is None else {**record, "broken": {target: why for target, why in targets.items() if why}}
