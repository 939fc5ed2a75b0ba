"""A strict codec between frozen dataclasses and JSON.

:func:`decode` rejects unknown keys, missing keys, wrong types (``"128"`` or ``true`` for an int), NaN and infinities, and names the field
by its path. A field annotated with a :class:`Tagged` class is a tagged union: ``{"name": "cosine", "T": 50}``, where the name is looked up
in the registry and never imported; ``"cosine"`` is the part with its defaults. Each dataclass checks its ranges in ``__post_init__`` with
:func:`check_range`, so that a wrong config is rejected before anything is built from it.

>>> from zoo_core.interfaces import Scheduler
>>> from zoo_core.schedulers import Cosine
>>> decode(Scheduler, {"name": "cosine", "T": 50})
Cosine(T=50, s=0.008)
>>> encode(Cosine(T=50))
{'name': 'cosine', 'T': 50, 's': 0.008}
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from inspect import isabstract
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, ClassVar, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from zoo_core.atomic import next_step
from zoo_core.errors import ConfigError, UnknownNameError

__all__ = ["Tagged", "apply_overrides", "check_fields", "check_range", "decode", "dump_json", "encode", "load_json", "parse_json"]

T = TypeVar("T")
MAX_JSON_BYTES = 8 << 20
MAX_DEPTH = 16
_KNOWN = "int, float, str, bool, Literal, None, tuple[int, ...], Mapping[str, int], or another dataclass"
_TAGGED = ("family", "trainer", "dataset", "sampler", "scheduler")


class Tagged:
    """Base class of configs that are encoded with their registered name; ``kind`` is the registry's kind of that name.

    >>> from zoo_core.schedulers import Karras
    >>> encode(Karras())["name"]
    'karras'
    """

    __slots__ = ()
    kind: ClassVar[str]


def check_range(config: object, **limits: tuple[float, float]) -> None:
    """Checks that each named field of a config lies in its closed range; each item of a tuple is checked, and None passes.

    >>> from zoo_core.recipes import EMAConfig
    >>> check_range(EMAConfig(decay=0.99), decay=(0.0, 1.0))

    Raises:
        ConfigError: if a field is out of its range.
    """
    for name, (low, high) in limits.items():
        value = getattr(config, name)
        for item in value if isinstance(value, tuple) else (value,):
            if item is not None and (isinstance(item, bool) or not isinstance(item, int | float) or not low <= item <= high):
                raise ConfigError(f"{name} must be in [{low:g}, {high:g}], not {_shown(item)}")


@cache
def _hints(cls: type) -> Mapping[str, Any]:
    return get_type_hints(cls)


def decode(cls: type[T], data: object, where: str = "config", *, prefer: str = "") -> T:
    """Builds a ``cls`` from plain JSON values.

    Args:
        cls: a dataclass, or a :class:`Tagged` base class.
        data: plain JSON values.
        where: prefix of the paths in errors.
        prefer: distribution whose claim counts where several plugins claim a name; zoo-core's own claim counts otherwise.

    Raises:
        ConfigError: if the data does not fit; names the path of the field.
        UnknownNameError: if the data names a family that no installed plugin offers.
        PluginError: if a named class has fields that the codec cannot read; see :func:`check_fields`.
    """
    try:
        return cast(T, _value(cls, data, where, prefer))
    except ConfigError as error:
        raise ConfigError(error.what, error.hint or "correct that value") from error


def _value(hint: Any, data: object, where: str, prefer: str) -> object:
    origin = get_origin(hint)
    if isinstance(hint, type) and issubclass(hint, Tagged):
        return _tagged(hint, data, where, prefer)
    if isinstance(hint, type) and is_dataclass(hint):
        return _dataclass(hint, data, where, prefer)
    if origin in (Union, UnionType):
        return _union(get_args(hint), data, where, prefer)
    if origin is Literal:
        if not any(type(data) is type(choice) and data == choice for choice in get_args(hint)):
            raise _wrong(where, f"one of {', '.join(map(str, get_args(hint)))}", data)
        return data
    if origin is tuple:
        return _tuple(get_args(hint), data, where, prefer)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(data, Mapping):
            raise _wrong(where, "an object", data)
        return {key: _value(get_args(hint)[1], item, f"{where}.{key}", prefer) for key, item in data.items()}
    return _scalar(hint, data, where)


def _scalar(hint: Any, data: object, where: str) -> object:
    if hint is Any:
        return _plain(data, where)
    if hint is float and type(data) in (int, float):
        number = _as_float(cast(float, data))
        if math.isfinite(number):
            return number
        raise _wrong(where, "a finite number", data)
    if type(data) is not hint:
        names = {int: "a whole number", float: "a number", str: "a string", bool: "true or false", NoneType: "null"}
        raise _wrong(where, names.get(hint, getattr(hint, "__name__", str(hint))), data)
    return data


def _plain(data: object, where: str, depth: int = 0) -> object:
    """Returns any JSON value of finite numbers and at most MAX_DEPTH levels."""
    if depth > MAX_DEPTH:
        raise ConfigError(f"{where} is nested more than {MAX_DEPTH} deep")
    if isinstance(data, Mapping):
        return {str(key): _plain(item, f"{where}.{key}", depth + 1) for key, item in data.items()}
    if isinstance(data, list | tuple):
        return [_plain(item, f"{where}[{index}]", depth + 1) for index, item in enumerate(data)]
    if type(data) is float:
        return _scalar(float, data, where)
    if data is None or type(data) in (str, bool, int):
        return data
    raise _wrong(where, "a JSON value", data)


def _as_float(number: float) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf


def _union(choices: Sequence[Any], data: object, where: str, prefer: str) -> object:
    if data is None and NoneType in choices:
        return None
    rest = [choice for choice in choices if choice is not NoneType]
    if len(rest) == 1:
        return _value(rest[0], data, where, prefer)
    for choice in rest:
        try:
            return _value(choice, data, where, prefer)
        except ConfigError:
            continue
    raise _wrong(where, " or ".join(getattr(choice, "__name__", str(choice)) for choice in choices), data)


def _tuple(items: Sequence[Any], data: object, where: str, prefer: str) -> object:
    if not isinstance(data, list | tuple):
        raise _wrong(where, "a list", data)
    if len(items) == 2 and items[1] is Ellipsis:
        items = [items[0]] * len(data)
    if len(items) != len(data):
        raise _wrong(where, f"a list of {len(items)}", data)
    return tuple(_value(hint, item, f"{where}[{index}]", prefer) for index, (hint, item) in enumerate(zip(items, data, strict=True)))


def _tagged(hint: type[Tagged], data: object, where: str, prefer: str) -> object:
    from zoo_core.registry import registry, resolve

    if isinstance(data, str):
        data = {"name": data}
    if not isinstance(data, Mapping) or type(data.get("name")) is not str:
        raise _wrong(where, f'an object with the "name" of a {hint.kind}', data)
    try:
        spec: Any = registry().claim(hint.kind, data["name"], prefer).spec
    except UnknownNameError as error:
        if hint.kind == "family":
            raise
        raise ConfigError(f"{where}: {error.what}", error.hint) from error
    cls = resolve(getattr(spec, "config", "") or spec.target)
    if not (isinstance(cls, type) and issubclass(cls, hint)):
        raise ConfigError(f"{where}: {hint.kind} {data['name']!r} is not a {hint.__name__}", "choose another")
    values = {**getattr(spec, "defaults", {}), **{key: value for key, value in data.items() if key != "name"}}
    return _dataclass(cls, values, where, prefer)


def _dataclass(cls: Any, data: object, where: str, prefer: str) -> object:
    if not isinstance(data, Mapping):
        raise _wrong(where, "an object", data)
    known = {item.name: item for item in fields(cls) if item.init}
    for key in data:
        if key not in known:
            near = UnknownNameError.of("key", str(key), known)
            raise ConfigError(f"{where}: {near.what}", near.hint)
    missing = [name for name, item in known.items() if name not in data and item.default is MISSING and item.default_factory is MISSING]
    if missing:
        raise ConfigError(f"{where}: missing {', '.join(missing)}")
    check_fields(cls)
    values = {key: _value(_hints(cls)[key], value, f"{where}.{key}", prefer) for key, value in data.items()}
    try:
        return cls(**values)
    except ConfigError as error:
        raise ConfigError(f"{where}.{error.what}", error.hint) from error
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where}: {' '.join(str(error).split()) or type(error).__name__}") from error


@cache
def check_fields(cls: type) -> None:
    """Checks that a dataclass is not abstract, and that the codec knows the types of its fields.

    Raises:
        PluginError: if it is abstract, or a field has another type; names the field.
    """
    from zoo_core.registry.faults import fault

    if isabstract(cls):
        raise fault(cls, f"{cls.__qualname__} lacks {', '.join(sorted(cast(Any, cls).__abstractmethods__))}, which its base class requires")
    try:
        hints = _hints(cls)
    except Exception as error:  # an annotation may raise anything
        raise fault(cls, f"the annotations of {cls.__qualname__} cannot be read: {error}") from error
    for item in fields(cast(Any, cls)):
        if item.init and not _is_known(hints[item.name]):
            hint = hints[item.name]
            shown = hint.__name__ if isinstance(hint, type) and not get_origin(hint) else str(hint)
            raise fault(cls, f"{cls.__qualname__}.{item.name} is annotated {shown}, which a config cannot hold: annotate it {_KNOWN}")


def _is_known(hint: Any) -> bool:
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return all(map(_is_known, inner))
    if origin is tuple:
        return all(_is_known(item) for item in inner if item is not Ellipsis)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return inner[0] is str and _is_known(inner[1])
    if isinstance(hint, type) and (issubclass(hint, Tagged) or is_dataclass(hint)):
        return True
    return origin is Literal or hint in (Any, NoneType, bool, int, float, str)


def _wrong(where: str, wanted: str, data: object) -> ConfigError:
    return ConfigError(f"{where} must be {wanted}, not {_shown(data)}")


def _shown(data: object) -> str:
    shown = "a list" if isinstance(data, list | tuple) else "an object" if isinstance(data, Mapping) else repr(data)
    return shown if len(shown) < 60 else shown[:57] + "..."


def encode(value: object) -> Any:
    """Returns the plain JSON values of a config, from which :func:`decode` builds an equal one.

    Raises:
        UnknownNameError: if the class of a tagged part is not registered.
    """
    if is_dataclass(value) and not isinstance(value, type):
        plain = {item.name: encode(getattr(value, item.name)) for item in fields(value) if item.init}
        if isinstance(value, Tagged):
            from zoo_core.registry import registry

            return {"name": registry().name_of(value.kind, type(value)), **plain}
        return plain
    if isinstance(value, Mapping):
        return {str(key): encode(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [encode(item) for item in value]
    return value


def apply_overrides(data: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Returns plain values with ``key.key=value`` texts applied; a value that is not JSON is taken as text.

    ``model.scheduler=linear`` and ``model.scheduler.name=linear`` choose another tagged part with that part's own defaults.

    >>> apply_overrides({"fit": {"steps": 100, "lr_schedule": "constant"}}, ["fit.steps=200", "fit.lr_schedule=cosine"])
    {'fit': {'steps': 200, 'lr_schedule': 'cosine'}}

    Args:
        data: plain JSON values, which stay unchanged.
        overrides: texts of the form ``key.key=value``.

    Raises:
        ConfigError: if a text has no ``=``, or its path leads through a value that is not an object.
    """
    result: dict[str, Any] = json.loads(json.dumps(data))
    for text in overrides:
        path, equals, raw = text.partition("=")
        keys = path.strip().split(".")
        if not equals or not all(keys):
            raise ConfigError(f"-o {text!r} does not have the form key=value", "write it as -o KEY=VALUE")
        try:
            value = json.loads(raw)
        except (ValueError, RecursionError):
            value = raw
        _put(result, keys, value, text)
    return result


def _put(node: dict[str, Any], keys: Sequence[str], value: object, text: str) -> None:
    for key in keys[:-1]:
        child = node[key] = _default_part(node, key) if node.get(key) is None else node[key]
        if isinstance(child, str) and _is_tag(child):
            child = node[key] = {"name": child}  # a part that was null, and got its name by the override before
        if not isinstance(child, dict):
            raise ConfigError(f"-o {text!r}: {key} is not an object", "`zoo show` and `zoo train --dry-run` print all keys")
        node = child
    last = keys[-1]
    named = node[last] if last in node else _default_part(node, last)
    if last not in node and named and isinstance(value, str):
        node[last] = named
    if isinstance(named, dict) and "name" in named and isinstance(value, str):
        node, last = named, "name"
    if last == "name" and node.get("name") != value and _is_tag(node.get("name")):
        node.clear()
    node[last] = value


def _default_part(node: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The default of a field of a tagged part, such as the scheduler of a trainer, as plain values; empty if it is no part."""
    from zoo_core.registry import registry, resolve

    name = node.get("name")
    for kind in _TAGGED if isinstance(name, str) and key not in node else ():
        for claim in registry().claims(kind).get(cast(str, name).rpartition(":")[2], ())[:1]:
            cls = resolve(getattr(claim.spec, "config", "") or cast(Any, claim.spec).target)
            default = next((item.default for item in fields(cls) if item.name == key), MISSING) if is_dataclass(cls) else MISSING
            if isinstance(default, Tagged):
                return cast(dict[str, Any], encode(default))
    return {}


def _is_tag(name: object) -> bool:
    """Whether a name belongs to a tagged part. An optimizer has a name too, but keeps its other fields when the name changes."""
    from zoo_core.registry import registry

    return isinstance(name, str) and any(name.rpartition(":")[2] in registry().claims(kind) for kind in _TAGGED)


def dump_json(data: object) -> str:
    """Returns the JSON text that the zoo writes: indented, with a newline at the end, without NaN."""
    return json.dumps(data, indent=2, allow_nan=False) + "\n"


def load_json(path: Path) -> dict[str, Any]:
    """Reads a JSON object from a file.

    Raises:
        ConfigError: if it cannot be read, is too large, is not a JSON object, or has a duplicate key.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_JSON_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}", next_step(error)) from error
    return parse_json(raw, str(path))


def parse_json(raw: bytes, where: str) -> dict[str, Any]:
    """Reads a JSON object from bytes; raises as :func:`load_json` does."""
    if len(raw) > MAX_JSON_BYTES:
        raise ConfigError(f"{where} is larger than {MAX_JSON_BYTES >> 20} MiB")
    try:
        data = json.loads(raw, object_pairs_hook=_unique, parse_constant=_finite, parse_float=_finite)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error.what}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{where} is not valid JSON: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{where} must hold a JSON object")
    return data


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text:.20} is not a number of JSON or float64")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for key, value in pairs:
        if key in data:
            raise ConfigError(f"duplicate key {_shown(key)}")
        data[key] = value
    return data
