"""Attribution of errors to plugins: an error in a plugin's code names the plugin, the file and the line, so that it reaches its author."""

import json
import re
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
HINT = "report it to the author of that plugin; --debug shows all"
_DTYPE_HINT = "noise levels (sigma) are float64 and samples float32: cast with sigma.to(x.dtype); --debug shows the traceback"
_MIXED_DTYPES = re.compile(r"type.*\bdouble\b", re.IGNORECASE)  # in messages of torch
_OWN_HINT = "mend it there, it is installed editable; --debug shows the traceback"


def is_editable(dist: str) -> bool:
    """Whether a distribution is an editable install (PEP 610), so that its user is probably its author."""
    try:
        origin = json.loads(distribution(dist).read_text("direct_url.json") or "{}")
        return bool(origin.get("dir_info", {}).get("editable"))
    except Exception:  # not installed, or its metadata is missing or damaged
        return False


def hint_for(plugin: Plugin | None) -> str:
    """Returns the next step after an error in a plugin's code, for its author or its user."""
    return _OWN_HINT if plugin and is_editable(plugin.dist) else HINT


def plugin_of(module: str) -> Plugin | None:
    """Returns the installed plugin whose package, or a package that its specs name, contains a module; None for zoo-core itself."""
    places = [(package, plugin) for plugin in current() for package in _packages(plugin) if f"{module}.".startswith(f"{package}.")]
    return max(places, key=lambda place: len(place[0]), default=("", None))[1]


def _packages(plugin: Plugin) -> set[str]:
    targets = {getattr(spec, field, "").partition(":")[0] for spec in plugin.specs for field in ("target", "config")}
    packages = {module.rpartition(".")[0] or module for module in {plugin.module, *targets}}
    return {package for package in packages if package and package.partition(".")[0] != "zoo_core"}


def plugin_error_from(error: BaseException) -> PluginError | None:
    """Returns the error to report for an exception from a plugin's code, with the innermost line there; None if no plugin is involved."""
    for frame, line in reversed(list(walk_tb(error.__traceback__))):
        if plugin := plugin_of(frame.f_globals.get("__name__", "")):
            text = error_line(error)
            hint = _DTYPE_HINT if _MIXED_DTYPES.search(text) else hint_for(plugin)
            return PluginError(f"in {plugin.dist} ({Path(frame.f_code.co_filename).name}:{line}): {text}", hint)
    return None


def fault(by: object, what: str) -> PluginError:
    """Returns the error for a fault of a plugin's class or function.

    Args:
        by: the class or function.
        what: the fault, in one line.
    """
    by = unwrap(by) if callable(by) else by
    module = getattr(by, "__module__", None) or type(by).__module__
    plugin = plugin_of(module)
    return PluginError(f"in {plugin.dist if plugin else module} ({_place(by)}): {what}", hint_for(plugin))


def _place(by: Any) -> str:
    """Returns the file and line where a class or function begins; its name if they are unknown."""
    code = getattr(by, "__code__", None)
    if isinstance(code, CodeType):
        return f"{Path(code.co_filename).name}:{code.co_firstlineno}"
    try:
        return f"{Path(getsourcefile(by) or '?').name}:{getsourcelines(by)[1]}"
    except (OSError, TypeError):
        return getattr(by, "__qualname__", type(by).__qualname__)


def expect(by: object, value: object, kind: type[T]) -> T:
    """Returns ``value``, the result of ``by``, after a check of its type.

    >>> expect(len, 3, int)
    3

    Raises:
        PluginError: if it is not a ``kind``.
    """
    if not isinstance(value, kind):
        raise fault(by, f"{getattr(by, '__qualname__', by)} returns {_article(type(value).__name__)}, not {_article(kind.__name__)}")
    return value


def _article(name: str) -> str:
    return f"{'an' if name[0] in 'AEIOUaeiou' else 'a'} {name}"


def check_samples(by: object, x: "Tensor", shape: tuple[int, ...], categories: int | None = None) -> None:
    """Checks samples ``x``, the result of ``by``: broadcasting would silently repeat a single row.

    Raises:
        PluginError: if ``x`` is not a tensor of floats of that shape; or of int64, if the samples are of ``categories``.
    """
    dtype = str(getattr(x, "dtype", "")).removeprefix("torch.")
    if not dtype or x.shape != shape or (not x.is_floating_point() if categories is None else dtype != "int64"):
        result = f"{dtype} of shape {tuple(x.shape)}" if dtype else type(x).__name__
        wanted = "floats" if categories is None else "int64"
        raise fault(by, f"{getattr(by, '__name__', type(by).__name__)} returns {result}, not {wanted} of shape {tuple(shape)}")


def call_plugin(by: Callable[..., object], *arguments: object, kind: type[T]) -> T:
    """Calls ``by(*arguments)`` and checks the type of the result.

    >>> call_plugin(int, "3", kind=int)
    3

    Raises:
        PluginError: if the result is not a ``kind``, or ``by`` is an abstract class or does not accept these arguments.
    """
    try:
        value = by(*arguments)
    except TypeError as error:
        if error.__traceback__ and error.__traceback__.tb_next is None:  # raised by the call itself, not inside it
            raise fault(by, error_line(error)) from error
        raise
    return expect(by, value, kind)
