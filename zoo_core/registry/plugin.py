"""Plugins: their import, the checks of their specs, and records of their specs or failures.

Each plugin is registered alone, so that an error in it becomes a :class:`Failure` on its record and affects no other plugin.
"""

import os
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from functools import cache
from importlib import import_module
from traceback import walk_tb
from types import ModuleType

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

# Compiled when something failed, since `zoo list` counts milliseconds.
_NEWER = (
    r"(?P<spec>\w+Spec|family)(?:\.__init__)?\(\) got an unexpected keyword argument '(?P<field>\w+)'"
    r"|cannot import name '(?P<name>\w+)' from 'zoo_core"
    r"|module 'zoo_core[\w.]*' has no attribute '(?P<attribute>\w+)'"
    r"|No module named '(?P<module>zoo_core[\w.]*)'"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """A failure of a plugin.

    >>> str(Failure(step="import", why="ModuleNotFoundError: No module named 'jax'"))
    "failed at import: ModuleNotFoundError: No module named 'jax'"

    Args:
        step: ``import``, ``register``, ``hook``, ``specs`` or ``selection``.
        why: the cause, in one line.
        where: innermost place in the plugin's own package, as path:line or only the path; empty if unknown.
        newer: whether the plugin needs a newer zoo-core.
    """

    step: str
    why: str
    where: str = ""
    newer: bool = False

    def __str__(self) -> str:
        return f"made for a newer zoo-core ({self.why})" if self.newer else f"failed at {self.step}: {self.why}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Plugin:
    """An entry point of group ``zoo``, with its specs or its failure.

    >>> plugin = Plugin(name="mine", module="my_package.plugin", dist="zoo-mine", version="1.0")
    >>> plugin.failure is None
    True

    Args:
        name: name of the entry point.
        module: its module.
        dist: name of its distribution.
        version: version of its distribution.
        specs: the specs that its hook returned.
        failure: the failure, if it is broken.
    """

    name: str
    module: str
    dist: str
    version: str
    specs: tuple[Spec, ...] = ()
    failure: Failure | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """A spec and the plugin that returned it.

    >>> from zoo_core.specs import SamplerSpec
    >>> plugin = Plugin(name="mine", module="my_package.plugin", dist="zoo-mine", version="1.0")
    >>> Claim(spec=SamplerSpec(name="my-sampler"), plugin=plugin).name
    'zoo-mine:my-sampler'
    """

    spec: Spec
    plugin: Plugin

    @property
    def name(self) -> str:
        """The unambiguous name of this claim, ``DIST:name``."""
        return f"{self.plugin.dist}:{self.spec.key}"


def normalized(name: str) -> str:
    """Returns a distribution's name as pip compares it.

    >>> normalized("Zoo_Mine")
    'zoo-mine'
    """
    return re.sub(r"[-_.]+", "-", name).lower()


def _failure(step: str, error: BaseException, module: str) -> Failure:
    from zoo_core.registry.moved import new_home

    text, where = error_line(error), _where(error, module)
    newer = re.search(_NEWER, text) if isinstance(error, (TypeError, ImportError, AttributeError)) else None
    if newer and not new_home(text) and newer["spec"] in {None, *_specs(module)}:
        missing = newer["name"] or newer["attribute"] or newer["module"]
        if missing:
            return Failure(step=step, why=f"no {missing}", where=where, newer=True)
        lacking = f"{newer['spec']} has no field {newer['field']!r}"
        near = _near_field(_specs(module)[newer["spec"]], newer["field"])
        return Failure(step=step, why=f"{lacking}: did you mean {near}?" if near else lacking, where=where, newer=not near)
    return Failure(step=step, why=text, where=where)


def _specs(module: str) -> dict[str, Callable[..., object]]:
    """The classes of specs by name, and the function ``family`` where a plugin's module uses that of zoo-core."""
    from zoo_core.specs import family

    imported = getattr(sys.modules.get(module), "family", None) is family
    return {**{cls.__name__: cls for cls in KINDS.values()}, **({"family": family} if imported else {})}


def _near_field(spec: Callable[..., object], name: str) -> str:
    """Returns the field of a spec, or argument of a function, that is spelt like ``name``; empty if there is none."""
    from difflib import get_close_matches
    from inspect import signature

    return next(iter(get_close_matches(name, signature(spec).parameters, n=1, cutoff=0.7)), "")


def _where(error: BaseException, module: str) -> str:
    """Returns the innermost place of an error in a plugin's own package, as path:line; without such a line, the file of its module."""
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
            raise TypeError(f"zoo_specs returned {type(spec).__name__}, which is not a spec of this zoo-core")
        for item in fields(spec):
            if item.type in (str, "str") and not isinstance(getattr(spec, item.name), str):
                raise TypeError(f"{spec.kind} {spec.name!r}: {item.name} must be a string, not {getattr(spec, item.name)!r}")
        for name in (spec.name, spec.family) if isinstance(spec, RecipeSpec) else (spec.name,):
            if not NAME.fullmatch(name):
                raise ValueError(f"{name!r} is not a valid name (lower-case letters, digits, '.', '_', '-')")
        if checked.setdefault((spec.kind, spec.key), spec) is not spec:
            raise ValueError(f"{spec.kind} {spec.key!r} is offered twice")
    return tuple(checked.values())


@cache
def _manager() -> pluggy.PluginManager:
    """The manager of all plugins, one at a time: to read the hook's specification anew for each costs as much as their imports."""
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(ZooHooks)
    return manager


def load_plugin(name: str, module: str, dist: str, version: str) -> Plugin:
    """Imports one plugin and calls its hook; any exception becomes the ``failure`` of the record.

    Args:
        name: name of the entry point.
        module: its module.
        dist: name of its distribution.
        version: version of its distribution.

    Raises:
        PluginLoadError: if the plugin is broken and ZOO_STRICT is 1; the cause is the plugin's exception.
    """
    specs: tuple[Spec, ...] = ()
    step = "import"
    failure = None
    seconds = plugin_timeout()
    manager = _manager()
    plugin: ModuleType | None = None
    with record_signals() as arrived:
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
            if arrived:
                raise
            failure = _failure(step, error, module)
            if os.environ.get("ZOO_STRICT") == "1":
                raise PluginLoadError(f"plugin {name} ({dist}) {failure}", f"mend {failure.where or module}") from error
        finally:
            if plugin and manager.is_registered(plugin):
                manager.unregister(plugin)
    return Plugin(name=name, module=module, dist=dist, version=version, specs=specs, failure=failure)
