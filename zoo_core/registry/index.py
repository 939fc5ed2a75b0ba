"""The index of the specs of all plugins, by kind and name, and the objects that they name."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from typing import Any, TypeVar, cast

from zoo_core.errors import NameConflictError, PluginLoadError, UnknownNameError
from zoo_core.registry.isolation import error_line, record_signals, stdout_on_stderr
from zoo_core.registry.plugin import CORE, SELECTION, Claim, Plugin, normalized
from zoo_core.specs import KINDS, Spec

__all__ = ["Registry", "resolve"]

S = TypeVar("S", bound=Spec)


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
            if plugin.failure and plugin.failure.step == SELECTION:
                raise UnknownNameError(f"ZOO_PLUGINS: {plugin.failure.why}", "`zoo plugins` with ZOO_PLUGINS unset shows what is installed")
        kind = kind if isinstance(kind, str) else kind.kind
        dist, _, bare = name.rpartition(":")
        named = self._claims[kind]
        found = [claim for claim in named.get(bare, ()) if not dist or normalized(claim.plugin.dist) == normalized(dist)]
        if not found:
            kinds = "families" if kind == "family" else f"{kind}s"
            hint = f"`zoo list {kinds}` shows what is installed; a plugin that offers this {kind} has to be installed first"
            raise self.unknown_name(kind, name, named, hint)
        chosen = _chosen(found, prefer)
        if chosen is None:
            dists = [claim.plugin.dist for claim in found]
            which = " or ".join(claim.name for claim in found)
            raise NameConflictError(f"{kind} {bare!r} is claimed by {' and '.join(dists)}", f"say which: {which}")
        return chosen

    def unknown_name(self, kind: str, name: str, known: Iterable[str], hint: str = "") -> UnknownNameError:
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
        return any(not dist or normalized(claim.plugin.dist) == normalized(dist) for claim in claims)

    def claim_or_none(self, kind: type[Spec] | str, name: str) -> Claim | None:
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
        return claim.spec.key if self.claim_or_none(kind, claim.spec.key) == claim else claim.name

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
    own = [claim for claim in found if prefer and normalized(claim.plugin.dist) == normalized(prefer)]
    core = [claim for claim in found if claim.plugin.module == CORE]
    return next((claims[0] for claims in (own, core, found) if len(claims) == 1), None)


def resolve(target: str) -> Any:
    """The object that ``"package.module:Name"`` names. Call it for registered targets only, never for text from a file.

    Raises:
        PluginLoadError: it cannot be imported, or has no such name.
    """
    module, _, name = target.partition(":")
    try:
        with record_signals() as came, stdout_on_stderr(module):
            found: Any = import_module(module)
            for part in name.split("."):
                found = getattr(found, part)
    except BaseException as error:
        if came:
            raise
        raise PluginLoadError(f"cannot load {target}: {error_line(error)}", "`zoo plugins --check` shows what is broken") from error
    return found
