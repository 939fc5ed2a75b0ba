"""One plugin: the record of what it offers or why it is broken, and how it is imported and its specs are checked.

Each plugin gets a ``PluginManager`` of its own, so that any error in it becomes a :class:`Failure` on its record and nothing else.
"""

import os
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass, fields
from importlib import import_module
from traceback import walk_tb

import pluggy

from zoo_core.errors import PluginLoadError
from zoo_core.hookspecs import ZooHooks
from zoo_core.registry.isolation import error_line, isolated, plugin_timeout, record_signals
from zoo_core.specs import KINDS, RecipeSpec, Spec

__all__ = ["CORE", "GROUP", "NAME", "SELECTION", "Claim", "Failure", "Plugin", "load_plugin", "normalized"]

GROUP = "zoo"
CORE = "zoo_core.registry.builtin"
"""The module of zoo-core's own plugin."""
SELECTION = "selection"
"""The step of a failure where ZOO_PLUGINS names a plugin that is not installed."""
NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,94}[a-z0-9])?")
"""Names of specs."""

_NEWER = re.compile(
    r"(?P<spec>\w+Spec)(?:\.__init__)?\(\) got an unexpected keyword argument '(?P<field>\w+)'"
    r"|cannot import name '(?P<name>\w+)' from 'zoo_core"
    r"|module 'zoo_core[\w.]*' has no attribute '(?P<attribute>\w+)'"
    r"|No module named '(?P<module>zoo_core[\w.]*)'"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """What went wrong in a plugin: the step (``import``, ``register``, ``hook``, ``specs``, ``selection``), why in one line, and where.

    ``where`` is the innermost place in the plugin's own package, as path:line, or what is known of it; empty for nothing.
    """

    step: str
    why: str
    where: str = ""
    newer: bool = False

    def __str__(self) -> str:
        return f"made for a newer zoo-core ({self.why})" if self.newer else f"failed at {self.step}: {self.why}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Plugin:
    """An entry point of group ``zoo``, what it offers, or why it offers nothing."""

    name: str
    module: str
    dist: str
    version: str
    specs: tuple[Spec, ...] = ()
    failure: Failure | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """A spec and the plugin that returned it."""

    spec: Spec
    plugin: Plugin

    @property
    def name(self) -> str:
        """The name that means this claim whatever else is installed."""
        return f"{self.plugin.dist}:{self.spec.key}"


def normalized(name: str) -> str:
    """A distribution's name as pip compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _failure(step: str, error: BaseException, module: str) -> Failure:
    from zoo_core.registry.moved import new_home

    text, where = error_line(error), _where(error, module)
    newer = _NEWER.search(text) if isinstance(error, (TypeError, ImportError, AttributeError)) else None
    if newer and not new_home(text) and newer["spec"] in {None, *(cls.__name__ for cls in KINDS.values())}:
        missing = newer["name"] or newer["attribute"] or newer["module"]
        if missing:
            return Failure(step=step, why=f"no {missing}", where=where, newer=True)
        lacking, near = f"{newer['spec']} has no field {newer['field']!r}", _near_field(newer["spec"], newer["field"])
        return Failure(step=step, why=f"{lacking}: did you mean {near}?" if near else lacking, where=where, newer=not near)
    return Failure(step=step, why=text, where=where)


def _near_field(spec: str, name: str) -> str:
    """The field of a spec that is spelt like ``name``, or nothing."""
    from difflib import get_close_matches

    known = [item.name for cls in KINDS.values() if cls.__name__ == spec for item in fields(cls)]
    return next(iter(get_close_matches(name, known, n=1, cutoff=0.7)), "")


def _where(error: BaseException, module: str) -> str:
    """The innermost place of an error in a plugin's own package, as path:line; its module's file where it came out of no line there."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    package = module.rpartition(".")[0] or module
    for frame, line in reversed(list(walk_tb(error.__traceback__))):
        if f"{frame.f_globals.get('__name__')}.".startswith(f"{package}."):
            return f"{frame.f_code.co_filename}:{line}"
    return getattr(sys.modules.get(module), "__file__", None) or ""


def _checked(specs: Iterable[Spec]) -> tuple[Spec, ...]:
    checked: dict[tuple[str, str], Spec] = {}
    for spec in specs:
        if type(spec) not in KINDS.values():
            raise TypeError(f"zoo_specs returned {type(spec).__name__}, which is no spec that this zoo-core knows")
        for item in fields(spec):
            if item.type in (str, "str") and not isinstance(getattr(spec, item.name), str):
                raise TypeError(f"{spec.kind} {spec.name!r}: {item.name} must be a string, not {getattr(spec, item.name)!r}")
        for name in (spec.name, spec.family) if isinstance(spec, RecipeSpec) else (spec.name,):
            if not NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no valid name (lower-case letters, digits, '.', '_', '-')")
        if checked.setdefault((spec.kind, spec.key), spec) is not spec:
            raise ValueError(f"{spec.kind} {spec.key!r} is offered twice")
    return tuple(checked.values())


def load_plugin(name: str, module: str, dist: str, version: str) -> Plugin:
    """Imports one plugin and calls its hook; whatever it raises becomes the record's ``failure``.

    Raises:
        PluginLoadError: it is broken, and ZOO_STRICT is 1; from what it raised.
    """
    specs: tuple[Spec, ...] = ()
    step, failure, seconds = "import", None, plugin_timeout()
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(ZooHooks)
    with record_signals() as came:
        try:
            with isolated(name, module, seconds):
                plugin = import_module(module)
                step = "register"
                manager.register(plugin)
                manager.check_pending()
                step = "hook"
                results = manager.hook.zoo_specs()
                if not results:
                    raise LookupError("it has no function zoo_specs marked @zoo_core.hookimpl, or that returned None")
                step = "specs"
                specs = _checked(spec for result in results for spec in result)
        except BaseException as error:
            if came:
                raise
            failure = _failure(step, error, module)
            if os.environ.get("ZOO_STRICT") == "1":
                raise PluginLoadError(f"plugin {name} ({dist}) {failure}", f"mend {failure.where or module}") from error
    return Plugin(name=name, module=module, dist=dist, version=version, specs=specs, failure=failure)
