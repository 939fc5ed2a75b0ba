"""Whose code is at fault: an error in a plugin's code names the plugin, the file and the line, so that its author hears of it."""

import json
from collections.abc import Callable
from importlib.metadata import distribution
from inspect import getsourcefile, getsourcelines, unwrap
from pathlib import Path
from traceback import walk_tb
from types import CodeType
from typing import TYPE_CHECKING, Any, TypeVar

from zoo_core.errors import PluginError
from zoo_core.registry.discovery import current
from zoo_core.registry.isolation import error_line
from zoo_core.registry.plugin import Plugin

__all__ = ["HINT", "call_plugin", "check_samples", "expect", "fault", "hint_for", "is_editable", "plugin_error_from", "plugin_of"]

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")
HINT = "tell the author of that plugin; --debug shows all"
_OWN_HINT = "mend it there, it is installed editable; --debug shows the traceback"


def is_editable(dist: str) -> bool:
    """Whether a distribution is an editable install (PEP 610), so that who sees its errors is likely its author."""
    try:
        found = json.loads(distribution(dist).read_text("direct_url.json") or "{}")
        return bool(found.get("dir_info", {}).get("editable"))
    except Exception:  # not installed, or its metadata is missing or damaged
        return False


def hint_for(plugin: Plugin | None) -> str:
    """The next step after an error in a plugin's code: for its author, or for who installed it."""
    return _OWN_HINT if plugin and is_editable(plugin.dist) else HINT


def plugin_of(module: str) -> Plugin | None:
    """The installed plugin in whose package a module lies, or in a package that its specs name; zoo-core itself is none."""
    places = [(package, plugin) for plugin in current() for package in _packages(plugin) if f"{module}.".startswith(f"{package}.")]
    return max(places, key=lambda place: len(place[0]), default=("", None))[1]


def _packages(plugin: Plugin) -> set[str]:
    targets = {getattr(spec, field, "").partition(":")[0] for spec in plugin.specs for field in ("target", "config")}
    packages = {module.rpartition(".")[0] or module for module in {plugin.module, *targets}}
    return {package for package in packages if package and package.partition(".")[0] != "zoo_core"}


def plugin_error_from(error: BaseException) -> PluginError | None:
    """What to tell of an exception that came out of a plugin's code: the innermost place there; None where no plugin had a part in it."""
    for frame, line in reversed(list(walk_tb(error.__traceback__))):
        if plugin := plugin_of(frame.f_globals.get("__name__", "")):
            return PluginError(f"in {plugin.dist} ({Path(frame.f_code.co_filename).name}:{line}): {error_line(error)}", hint_for(plugin))
    return None


def fault(by: object, what: str) -> PluginError:
    """The error to raise where a plugin's class or function ``by`` is not what it must be."""
    by = unwrap(by) if callable(by) else by
    module = getattr(by, "__module__", None) or type(by).__module__
    plugin = plugin_of(module)
    return PluginError(f"in {plugin.dist if plugin else module} ({_place(by)}): {what}", hint_for(plugin))


def _place(by: Any) -> str:
    """The file and line where a class or function begins; its name where that is not known."""
    code = getattr(by, "__code__", None)
    if isinstance(code, CodeType):
        return f"{Path(code.co_filename).name}:{code.co_firstlineno}"
    try:
        return f"{Path(getsourcefile(by) or '?').name}:{getsourcelines(by)[1]}"
    except (OSError, TypeError):
        return getattr(by, "__qualname__", type(by).__qualname__)


def expect(by: object, value: object, kind: type[T]) -> T:
    """``value``, which ``by`` gave.

    Raises:
        PluginError: it is no ``kind``.
    """
    if not isinstance(value, kind):
        raise fault(by, f"{getattr(by, '__qualname__', by)} gives {_article(type(value).__name__)}, not {_article(kind.__name__)}")
    return value


def _article(name: str) -> str:
    return f"{'an' if name[0] in 'AEIOUaeiou' else 'a'} {name}"


def check_samples(by: object, x: "Tensor", shape: tuple[int, ...]) -> None:
    """Checks what ``by`` gave for samples: assigned to their place, one row would silently do for all.

    Raises:
        PluginError: it is no tensor of floats, or of another shape.
    """
    dtype = str(getattr(x, "dtype", "")).removeprefix("torch.")
    if not dtype or x.shape != shape or not x.is_floating_point():
        given = f"{dtype} of shape {tuple(x.shape)}" if dtype else type(x).__name__
        raise fault(by, f"{getattr(by, '__name__', type(by).__name__)} gives {given}, not floats of shape {tuple(shape)}")


def call_plugin(by: Callable[..., object], *arguments: object, kind: type[T]) -> T:
    """``by(*arguments)``.

    Raises:
        PluginError: it is no ``kind``, or ``by`` is an abstract class or does not take these arguments.
    """
    try:
        value = by(*arguments)
    except TypeError as error:
        if error.__traceback__ and error.__traceback__.tb_next is None:  # not from within: the call itself
            raise fault(by, error_line(error)) from error
        raise
    return expect(by, value, kind)
