"""Finds what installed plugins offer, keeps broken ones apart, and turns names into specs and specs into classes.

Discovery is a loop of our own: pluggy's ``load_setuptools_entrypoints`` stops at the first broken plugin. Each plugin gets its own
``PluginManager``, so that whatever goes wrong in it becomes a :class:`Failure` on its record and nothing else.
"""

import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from functools import cached_property
from importlib import import_module
from importlib.metadata import Distribution, EntryPoint, distributions, entry_points
from itertools import chain
from pathlib import Path
from traceback import walk_tb
from typing import Any, Literal, TypeVar, cast

import pluggy

from zoo_core.errors import NameConflictError, PluginLoadError, UnknownNameError, UsageError
from zoo_core.hookspecs import ZooHooks
from zoo_core.registry.isolation import isolated, plugin_timeout, signals, stdout_on_stderr, why
from zoo_core.specs import KINDS, CheckpointSpec, RecipeSpec, Spec

__all__ = [
    "REPO",
    "Claim",
    "Failure",
    "Plugin",
    "Reference",
    "Registry",
    "current",
    "discover",
    "installations",
    "load_plugin",
    "other_meaning",
    "parse_reference",
    "registry",
    "resolve",
    "using",
]

GROUP = "zoo"
_CORE = "zoo_core.registry.builtin"
_SELECTION = "selection"
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,94}[a-z0-9])?")
# As on the Hub: no `--`, `..` or `.git`, which would make two repositories one folder of its cache; a revision is a safe path below `refs`.
REPO = r"(?![^@]*(?:--|\.\.))[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?/[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?(?<!\.git)"
_REVISION = r"(?=.{1,200}\Z)(?!.*\.\.)[A-Za-z0-9_][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.-]*)*"
_REPO = re.compile(rf"(?P<repo>{REPO})(?:@(?P<revision>{_REVISION}))?")
_NEWER = re.compile(
    r"(?P<spec>\w+Spec)(?:\.__init__)?\(\) got an unexpected keyword argument '(?P<field>\w+)'"
    r"|cannot import name '(?P<name>\w+)' from 'zoo_core"
    r"|module 'zoo_core[\w.]*' has no attribute '(?P<attribute>\w+)'"
    r"|No module named '(?P<module>zoo_core[\w.]*)'"
)

S = TypeVar("S", bound=Spec)


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


@dataclass(frozen=True)
class Registry:
    """What a set of plugins offers, by kind and name."""

    plugins: tuple[Plugin, ...] = field()

    @cached_property
    def _claims(self) -> Mapping[str, Mapping[str, tuple[Claim, ...]]]:
        claims: dict[str, dict[str, tuple[Claim, ...]]] = {kind: {} for kind in KINDS}
        for plugin in self.plugins:
            for spec in plugin.specs:
                named = claims[spec.kind]
                named[spec.key] = (*named.get(spec.key, ()), Claim(spec=spec, plugin=plugin))
        return claims

    @property
    def failures(self) -> tuple[Plugin, ...]:
        """The plugins that are broken."""
        return tuple(plugin for plugin in self.plugins if plugin.failure)

    def claims(self, kind: type[Spec] | str) -> Mapping[str, tuple[Claim, ...]]:
        """All claims of a kind, by name in alphabetical order; more than one claim on a name is a conflict."""
        named = self._claims[kind if isinstance(kind, str) else kind.kind]
        return dict(sorted(named.items()))

    def claim(self, kind: type[Spec] | str, name: str, prefer: str = "") -> Claim:
        """The one claim on ``name`` or ``DIST:name``.

        Of several claims on a bare name, that of the distribution ``prefer`` counts, or else that of zoo-core: no plugin takes its names.

        Raises:
            UnknownNameError: no plugin offers it.
            NameConflictError: several do, and ``name`` does not say which.
        """
        for plugin in self.failures:
            if plugin.failure and plugin.failure.step == _SELECTION:
                raise UnknownNameError(f"ZOO_PLUGINS: {plugin.failure.why}", "`zoo plugins` with ZOO_PLUGINS unset shows what is installed")
        kind = kind if isinstance(kind, str) else kind.kind
        dist, _, bare = name.rpartition(":")
        named = self._claims[kind]
        found = [claim for claim in named.get(bare, ()) if not dist or _normal(claim.plugin.dist) == _normal(dist)]
        if not found:
            kinds = "families" if kind == "family" else f"{kind}s"
            hint = f"`zoo list {kinds}` shows what is installed; a plugin that offers this {kind} has to be installed first"
            raise self.unknown(kind, name, named, hint)
        chosen = _chosen(found, prefer)
        if chosen is None:
            dists = [claim.plugin.dist for claim in found]
            which = " or ".join(claim.name for claim in found)
            raise NameConflictError(f"{kind} {bare!r} is claimed by {' and '.join(dists)}", f"say which: {which}")
        return chosen

    def unknown(self, kind: str, name: str, known: Iterable[str], hint: str = "") -> UnknownNameError:
        """The error for a name that nothing has: with the nearest ones, and with the plugins that are broken and may offer it."""
        error = UnknownNameError.of(kind, name, known, hint)
        broken = ", ".join(f"{plugin.dist} ({plugin.failure.why[:60]})" for plugin in self.failures if plugin.failure)
        if not broken:
            return error
        near = f"{error.hint} " if error.hint.startswith("did you mean") else ""
        return UnknownNameError(error.what, f"{near}broken: {broken}; `zoo plugins` shows where")

    def offers(self, kind: type[Spec] | str, name: str) -> bool:
        """Whether somebody claims the name or ``DIST:name``."""
        dist, _, bare = name.rpartition(":")
        claims = self._claims[kind if isinstance(kind, str) else kind.kind].get(bare, ())
        return any(not dist or _normal(claim.plugin.dist) == _normal(dist) for claim in claims)

    def meant(self, kind: type[Spec] | str, name: str) -> Claim | None:
        """The claim that a bare name means, or None where nothing or a conflict does; all others are written DIST:name."""
        return _chosen(self._claims[kind if isinstance(kind, str) else kind.kind].get(name, ()), "")

    def spec(self, kind: type[S], name: str) -> S:
        """The spec of that kind and name; raises as :meth:`claim` does."""
        return cast(S, self.claim(kind, name).spec)

    def name_of(self, kind: str, cls: type) -> str:
        """The name under which a config, sampler or scheduler class is registered; DIST:name where the bare name does not mean it.

        Raises:
            UnknownNameError: no plugin registers that class.
        """
        claim = self.claim_of(kind, cls)
        return claim.spec.key if self.meant(kind, claim.spec.key) == claim else claim.name

    def claim_of(self, kind: str, cls: type) -> Claim:
        """The claim that registers a config, sampler or scheduler class.

        Raises:
            UnknownNameError: no plugin registers that class.
        """
        target = f"{cls.__module__}:{cls.__qualname__}"
        found = [
            claim
            for claims in self._claims[kind].values()
            for claim in claims
            if (getattr(claim.spec, "config", "") or getattr(claim.spec, "target", "")) == target
        ]
        if not found:
            raise UnknownNameError(f"{target} is not registered as a {kind}", "return a spec for it from the plugin's zoo_specs hook")
        # A class with several names is written under that of its own package, and the one that adds no defaults.
        package = cls.__module__.partition(".")[0]
        return min(
            found,
            key=lambda claim: (
                claim.plugin.module.partition(".")[0] != package,
                len(getattr(claim.spec, "defaults", ())),
                claim.spec.name,
            ),
        )


def _chosen(found: Sequence[Claim], prefer: str) -> Claim | None:
    """The claim of ``prefer``, of zoo-core, or the only one, where there is exactly one of these."""
    own = [claim for claim in found if prefer and _normal(claim.plugin.dist) == _normal(prefer)]
    core = [claim for claim in found if claim.plugin.module == _CORE]
    return next((claims[0] for claims in (own, core, found) if len(claims) == 1), None)


def resolve(target: str) -> Any:
    """The object that ``"package.module:Name"`` names. Call it for registered targets only, never for text from a file.

    Raises:
        PluginLoadError: it cannot be imported, or has no such name.
    """
    module, _, name = target.partition(":")
    try:
        with signals() as came, stdout_on_stderr(module):
            found: Any = import_module(module)
            for part in name.split("."):
                found = getattr(found, part)
    except BaseException as error:
        if came:
            raise
        raise PluginLoadError(f"cannot load {target}: {why(error)}", "`zoo plugins --check` shows what is broken") from error
    return found


def _normal(name: str) -> str:
    """A distribution's name as pip compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _failure(step: str, error: BaseException, module: str) -> Failure:
    text, where = why(error), _where(error, module)
    newer = _NEWER.search(text) if isinstance(error, (TypeError, ImportError, AttributeError)) else None
    if newer and newer["spec"] in {None, *(cls.__name__ for cls in KINDS.values())}:
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
            if not _NAME.fullmatch(name):
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
    with signals() as came:
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


@dataclass(frozen=True, order=True)
class _Point:
    """An entry point and its distribution."""

    dist: str
    name: str
    module: str
    version: str

    @classmethod
    def of(cls, point: EntryPoint) -> "_Point":
        try:
            assert point.dist
            dist, version = point.dist.name or "?", point.dist.version or "?"
        except Exception:  # metadata that is missing or damaged, as an interrupted pip leaves it
            dist, version = "?", "?"
        return cls(dist, point.name, point.value, version)


def _points() -> list[_Point]:
    try:
        found: Iterable[EntryPoint] = entry_points(group=GROUP)
    except Exception:  # the metadata of some distribution cannot be read: leave that one out
        found = chain.from_iterable(map(_points_of, distributions()))
    return sorted({_Point.of(point) for point in found})


def _points_of(dist: Distribution) -> Iterable[EntryPoint]:
    try:
        return dist.entry_points.select(group=GROUP)
    except Exception:
        return ()


def _unknown(names: Sequence[str] | None, found: Sequence[_Point]) -> Iterator[tuple[str, UnknownNameError]]:
    known = {point.name for point in found} | {point.dist for point in found}
    for name in names or ():
        if _normal(name) not in map(_normal, known):
            yield name, UnknownNameError.of("plugin", name, known)


def _selected(names: Sequence[str] | None, found: Sequence[_Point]) -> Iterator[_Point]:
    chosen = {_normal(name) for name in names or ()}
    for point in found:
        if names is None or not chosen.isdisjoint({_normal(point.name), _normal(point.dist)}):
            yield point


def discover(names: Sequence[str] | None = None, *, record_unknown: bool = False) -> Registry:
    """Loads zoo-core's own plugin and every installed one, or those of ``names`` (entry points or distributions) alone.

    With ``record_unknown``, a name that is not installed becomes a broken plugin, and an error only when something is claimed.

    Raises:
        UnknownNameError: one of ``names`` is not installed.
    """
    from zoo_core import __version__

    points = _points()
    plugins = [load_plugin("core", _CORE, "zoo-core", __version__)]
    for name, error in _unknown(names, points):
        if not record_unknown:
            raise error
        plugins.append(Plugin(name=name, module="?", dist=name, version="?", failure=Failure(step=_SELECTION, why=str(error))))
    plugins += [load_plugin(point.name, point.module, point.dist, point.version) for point in _selected(names, points)]
    return Registry(tuple(plugins))


def installations(dist: str) -> list[str]:
    """The folders in which a distribution is installed; usually one.

    Names that differ in ``-``, ``_`` and ``.`` alone are one name. The first folder on Python's path is used, and hides the others.
    """
    return [str(found.locate_file("")) for found in distributions(name=dist)]


_current: list[Registry] = []


def current() -> tuple[Plugin, ...]:
    """The plugins of the registry of this process; none where it was not asked for yet. Finds nothing and raises nothing."""
    return _current[-1].plugins if _current else ()


def registry() -> Registry:
    """The registry of this process; found at the first call. ``ZOO_PLUGINS=a,b`` selects plugins, an empty value none."""
    if not _current:
        chosen = os.environ.get("ZOO_PLUGINS")
        names = None if chosen is None else [name.strip() for name in chosen.split(",") if name.strip()]
        _current.append(discover(names, record_unknown=True))
    return _current[-1]


@contextmanager
def using(temporary: Registry) -> Iterator[Registry]:
    """Makes ``temporary`` the registry inside a ``with`` block, for tests of plugins that are not installed."""
    _current.append(temporary)
    try:
        yield temporary
    finally:
        _current.pop()


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """A checkpoint as a user writes it: ``NAME``, ``DIST:NAME``, ``ORG/REPO[@REVISION]`` or ``local:PATH``."""

    kind: Literal["name", "hub", "local"]
    name: str
    revision: str | None = None

    def __str__(self) -> str:
        return f"local:{self.name}" if self.kind == "local" else self.name + (f"@{self.revision}" if self.revision else "")

    def spec(self) -> CheckpointSpec:
        """The registered checkpoint that a ``name`` reference means; raises as :meth:`Registry.claim` does."""
        return registry().spec(CheckpointSpec, self.name)

    @property
    def path(self) -> Path:
        """The checkpoint folder that a ``local`` reference means: PATH itself, or its ``export`` when PATH is a run folder."""
        try:
            root = Path(self.name).expanduser()
            return root / "export" if (root / "recipe.json").is_file() else root
        except PermissionError as error:
            from zoo_core.atomic import disk_error

            raise disk_error(f"cannot read {self.name}", error, "name another folder") from error
        except (OSError, RuntimeError, ValueError) as error:
            raise UsageError(f"{self.name!r} is not a path: {error}", "write the path of a folder") from error


def parse_reference(text: "str | os.PathLike[str]") -> Reference:
    """Reads a reference. A folder that exists means that folder: before a repository on the Hub, after the name of a registered checkpoint.

    ``ORG/REPO@main`` always means the Hub. A name without a slash means a folder only where that holds a checkpoint or a run.

    Raises:
        UsageError: ``text`` has none of the four forms.
    """
    if isinstance(text, os.PathLike):
        text = f"local:{os.fspath(text)}"
    if not isinstance(cast(object, text), str):
        raise UsageError(f"{text!r:.60} is not a checkpoint reference", "pass a name, or the path of a folder")
    if text.startswith("local:") and len(text) > len("local:") and "\0" not in text:
        return Reference(kind="local", name=text.removeprefix("local:"))
    is_path = text.startswith(("./", "../", "~", "/")) or text in (".", "..") or ("/" in text and os.path.isdir(text))
    if is_path and "\0" not in text:
        return Reference(kind="local", name=text)
    if match := _REPO.fullmatch(text):
        return Reference(kind="hub", name=match["repo"], revision=match["revision"])
    known = registry().claims(CheckpointSpec)
    if text not in known and ":" not in text and _is_checkpoint(text):
        return Reference(kind="local", name=text)
    if _NAME.fullmatch(text.rpartition(":")[2]) and (":" not in text or _NAME.fullmatch(text.rpartition(":")[0].lower())):
        return Reference(kind="name", name=text)
    what = f"{text[:200]!r} is not a checkpoint reference"
    if set(text) & set("*?["):
        found = [name for name in known if fnmatchcase(name, text)]
        raise UsageError(what, f"a pattern that matches {', '.join(found[:6]) or 'no checkpoint'}; write one name")
    if text.lower() in known:
        raise UsageError(what, f"did you mean {text.lower()}?")
    if "/" in text and ":" not in text:
        raise UsageError(what, f"there is no folder {text[:60]} here")
    raise UsageError(what, "write NAME, DIST:NAME, ORG/REPO[@REVISION] or the path of a folder")


def _is_checkpoint(folder: str) -> bool:
    """Whether a folder holds a checkpoint or a run."""
    return any(os.path.isfile(os.path.join(folder, name)) for name in ("config.json", "recipe.json"))


def other_meaning(text: str) -> str:
    """What a reference that means a folder would mean without that folder, as a sentence; empty where it can mean nothing else."""
    if text.startswith("local:") or parse_reference(text).kind != "local":
        return ""
    if _REPO.fullmatch(text):
        return f"{text} is the folder of that name here; {text}@main is the repository on the Hub"
    return f"{text} is the folder of that name here" if _NAME.fullmatch(text) else ""
