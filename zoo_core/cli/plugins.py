"""``zoo plugins``."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from zoo_core.cli.console import bold, echo_json, error_line, inert, prose, report_conflicts, say
from zoo_core.cli.tables import table
from zoo_core.errors import PluginError, UnknownNameError
from zoo_core.registry import Plugin, Registry, installations, registry, using
from zoo_core.registry.faults import is_editable
from zoo_core.registry.plugin import normalized
from zoo_core.registry.uninstalled import plugins_in
from zoo_core.testing.plugin_checks import findings

__all__ = ["plugins"]


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME|PATH/]...")
@click.option("--check", is_flag=True, help="Import every target of the plugins, build their models, and report faults.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def plugins(names: tuple[str, ...], check: bool, as_json: bool) -> None:
    """List the installed plugins, what they offer, and what is broken: all of them, or each NAME, a package or an entry point.

    A PATH with a slash, or a dot, is the folder of a plugin that need not be installed. Broken plugins come first. With --check, faults
    are listed below the table, and make the exit code 9.

    \b
    Examples:
      zoo plugins
      zoo plugins --check
      zoo plugins --check zoo-ddpm
      zoo plugins --check ./my-plugin
      ZOO_PLUGINS=zoo-ddpm zoo plugins
    """
    folders = [name for name in names if "/" in name or name in (".", "..")]
    with _in_place([Path(folder) for folder in folders]) as own:
        chosen = [*own, *_chosen([name for name in names if name not in folders])] if names else registry().plugins
        checked = {plugin.module: findings(plugin) for plugin in chosen} if check else {}
        guilty = [plugin for plugin in chosen if plugin.failure or any(checked.get(plugin.module, {}).values())]
        ordered = chosen if as_json else [*guilty, *(plugin for plugin in chosen if plugin not in guilty)]
        _print(ordered, checked, check=check, as_json=as_json)
    if check and guilty:
        broken = sum(bool(plugin.failure) + sum(map(bool, checked[plugin.module].values())) for plugin in guilty)
        editable = all(plugin in own or is_editable(plugin.dist) for plugin in guilty)
        hint = (
            "mend them; ZOO_STRICT=1 shows the traceback of an import" if editable else "upgrade or uninstall the package that is at fault"
        )
        raise PluginError(f"{broken} broken in {', '.join(plugin.dist for plugin in guilty)}", hint)


def _print(chosen: Sequence[Plugin], checked: Mapping[str, Mapping[str, str]], *, check: bool, as_json: bool) -> None:
    """Prints the plugins, as JSON or as a table with their faults below it."""
    if as_json:
        echo_json([_record(plugin, checked.get(plugin.module)) for plugin in chosen])
    else:
        heads = ["PLUGIN", "VERSION", "MODULE", *(["CHECKED"] if check else []), "OFFERS"]
        rows = [[plugin.dist, plugin.version, plugin.module, *_counts(plugin, checked), _offers(plugin)] for plugin in chosen]
        table(heads, rows, drop=("MODULE", "VERSION"))
        _print_faults(checked, chosen)
        _warn_of_hidden(chosen)
        report_conflicts(registry())


@contextmanager
def _in_place(folders: Sequence[Path]) -> Iterator[list[Plugin]]:
    """Inside a ``with`` block, the plugins of ``folders`` are registered, in place of installed ones of the same distributions."""
    own = [plugin for folder in folders for plugin in plugins_in(folder)]
    dists = {normalized(plugin.dist) for plugin in own}
    others = [plugin for plugin in registry().plugins if normalized(plugin.dist) not in dists]
    with using(Registry((*others, *own))):
        yield own


def _chosen(names: Sequence[str]) -> Sequence[Plugin]:
    """The plugins of these distributions or entry points.

    Raises:
        UnknownNameError: if one of them is not installed.
    """
    every = registry().plugins
    chosen: list[Plugin] = []
    for name in names:
        own = [plugin for plugin in every if name in (plugin.name, plugin.dist)]
        if not own:
            raise UnknownNameError.of("plugin", name, {plugin.dist for plugin in every}, "`zoo plugins` lists those that are installed")
        chosen += own
    return list(dict.fromkeys(chosen))


def _counts(plugin: Plugin, checked: Mapping[str, Mapping[str, str]]) -> list[str]:
    if plugin.module not in checked:
        return []
    wrong = sum(map(bool, checked[plugin.module].values())) + bool(plugin.failure)
    fine = f"{len(checked[plugin.module]) + bool(plugin.failure) - wrong} ok"
    return [f"{fine}, {wrong} broken" if wrong else fine]


def _warn_of_hidden(plugins: Sequence[Plugin]) -> None:
    """Warns of each distribution that is installed in two folders."""
    for plugin in plugins:
        used, *hidden = installations(plugin.dist) or [""]
        if hidden:
            say(error_line(f"{plugin.dist} is used from {used}, which hides {', '.join(hidden)}", "uninstall one", "zoo: warning: "))


def _print_faults(checked: Mapping[str, Mapping[str, str]], plugins: Sequence[Plugin]) -> None:
    """Prints each target that is broken, with the reason as a paragraph."""
    for plugin in plugins:
        for target, why in checked.get(plugin.module, {}).items():
            if why:
                click.echo("\n" + bold(inert(f"{plugin.dist}: {target}")))
                prose(why, first="  ", hanging="  ")


def _offers(plugin: Plugin) -> str:
    if plugin.failure:
        return f"BROKEN: {plugin.failure}" + (f" ({plugin.failure.where})" if plugin.failure.where else "")
    counts = Counter(spec.kind for spec in plugin.specs)
    return ", ".join(f"{count} {_plural(kind, count)}" for kind, count in counts.items()) or "nothing"


def _plural(kind: str, count: int) -> str:
    return kind if count == 1 else kind[:-1] + "ies" if kind.endswith("y") else kind + "s"


def _record(plugin: Plugin, targets: Mapping[str, str] | None) -> dict[str, Any]:
    broken = plugin.failure
    kinds = sorted({spec.kind for spec in plugin.specs})
    record: dict[str, Any] = {
        "name": plugin.name,
        "dist": plugin.dist,
        "version": plugin.version,
        "module": plugin.module,
        "folders": installations(plugin.dist),
        "failure": {"step": broken.step, "why": inert(broken.why), "where": inert(broken.where)} if broken else None,
        "offers": {kind: [spec.key for spec in plugin.specs if spec.kind == kind] for kind in kinds},
    }
    return record if targets is None else {**record, "broken": {target: why for target, why in targets.items() if why}}
