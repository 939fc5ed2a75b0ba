"""The index of the specs of all plugins by kind and name, and the resolution of targets."""

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
    """The specs of a set of plugins, by kind and name.

    >>> from zoo_core.specs import SchedulerSpec
    >>> spec = SchedulerSpec(name="my-levels", target="my_package.levels:MyLevels")
    >>> plugin = Plugin(name="mine", module="my_package.plugin", dist="zoo-mine", version="1.0", specs=(spec,))
    >>> Registry((plugin,)).claim("scheduler", "my-levels").name
    'zoo-mine:my-levels'

    Args:
        plugins: the plugins, working or broken.
    """

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
        """The broken plugins."""
        return tuple(plugin for plugin in self.plugins if plugin.failure)

    def claims(self, kind: type[Spec] | str) -> Mapping[str, tuple[Claim, ...]]:
        """Returns all claims of a kind, by name in alphabetical order; several claims on a name are a conflict."""
        named = self._claims[kind if isinstance(kind, str) else kind.kind]
        return dict(sorted(named.items()))

    def claim(self, kind: type[Spec] | str, name: str, prefer: str = "") -> Claim:
        """Returns the claim on ``name`` or ``DIST:name``.

        Of several claims on a bare name, that of ``prefer`` counts, or else that of zoo-core: plugins cannot take its names.

        Args:
            kind: class of a spec, or its kind.
            name: the name, bare or with its distribution.
            prefer: the preferred distribution.

        Raises:
            UnknownNameError: if no plugin offers it.
            NameConflictError: if several plugins do, and none of their claims counts more.
        """
        for plugin in self.failures:
            if plugin.failure and plugin.failure.step == SELECTION:
                raise UnknownNameError(f"ZOO_PLUGINS: {plugin.failure.why}", "`zoo plugins` with ZOO_PLUGINS unset shows what is installed")
        kind = kind if isinstance(kind, str) else kind.kind
        dist, _, bare = name.rpartition(":")
        named = self._claims[kind]
        claims = [claim for claim in named.get(bare, ()) if not dist or normalized(claim.plugin.dist) == normalized(dist)]
        if not claims:
            kinds = "families" if kind == "family" else f"{kind}s"
            hint = f"`zoo list {kinds}` shows what is installed; a plugin that offers this {kind} has to be installed first"
            raise self.unknown_name(kind, name, named, hint)
        chosen = _chosen(claims, prefer)
        if chosen is None:
            dists = [claim.plugin.dist for claim in claims]
            choices = " or ".join(claim.name for claim in claims)
            raise NameConflictError(f"{kind} {bare!r} is claimed by {' and '.join(dists)}", f"say which: {choices}")
        return chosen

    def unknown_name(self, kind: str, name: str, known: Iterable[str], hint: str = "") -> UnknownNameError:
        """Returns the error for an unknown name, with similar names, and with the broken plugins, which may offer it."""
        error = UnknownNameError.of(kind, name, known, hint)
        broken = ", ".join(f"{plugin.dist} ({plugin.failure.why[:60]})" for plugin in self.failures if plugin.failure)
        if not broken:
            return error
        near = f"{error.hint} " if error.hint.startswith("did you mean") else ""
        return UnknownNameError(error.what, f"{near}broken: {broken}; `zoo plugins` shows where")

    def offers(self, kind: type[Spec] | str, name: str) -> bool:
        """Whether a plugin claims the name or ``DIST:name``."""
        dist, _, bare = name.rpartition(":")
        claims = self._claims[kind if isinstance(kind, str) else kind.kind].get(bare, ())
        return any(not dist or normalized(claim.plugin.dist) == normalized(dist) for claim in claims)

    def claim_or_none(self, kind: type[Spec] | str, name: str) -> Claim | None:
        """Returns the claim that counts for a bare name; None if there is no claim, or a conflict. Other claims need ``DIST:name``."""
        return _chosen(self._claims[kind if isinstance(kind, str) else kind.kind].get(name, ()), "")

    def spec(self, kind: type[S], name: str) -> S:
        """Returns the spec of that kind and name; raises as :meth:`claim` does."""
        return cast(S, self.claim(kind, name).spec)

    def name_of(self, kind: str, cls: type) -> str:
        """Returns the registered name of a config, sampler or scheduler class; DIST:name if another claim on the bare name counts.

        Raises:
            UnknownNameError: if no plugin registers that class.
        """
        claim = self.claim_of(kind, cls)
        return claim.spec.key if self.claim_or_none(kind, claim.spec.key) == claim else claim.name

    def claim_of(self, kind: str, cls: type) -> Claim:
        """Returns the claim that registers a config, sampler or scheduler class.

        Raises:
            UnknownNameError: if no plugin registers that class.
        """
        target = f"{cls.__module__}:{cls.__qualname__}"
        matching = [
            claim
            for claims in self._claims[kind].values()
            for claim in claims
            if (getattr(claim.spec, "config", "") or getattr(claim.spec, "target", "")) == target
        ]
        if not matching:
            raise UnknownNameError(f"{target} is not registered as a {kind}", "return a spec for it from the plugin's zoo_specs hook")
        # Of several names of a class, that of its own package counts first, then the one with the fewest defaults.
        package = cls.__module__.partition(".")[0]
        return min(
            matching,
            key=lambda claim: (
                claim.plugin.module.partition(".")[0] != package,
                len(getattr(claim.spec, "defaults", ())),
                claim.spec.name,
            ),
        )


def _chosen(claims: Sequence[Claim], prefer: str) -> Claim | None:
    """Returns the claim of ``prefer``, or else of zoo-core, or else the only claim; None if there is none or a conflict."""
    own = [claim for claim in claims if prefer and normalized(claim.plugin.dist) == normalized(prefer)]
    core = [claim for claim in claims if claim.plugin.module == CORE]
    return next((group[0] for group in (own, core, claims) if len(group) == 1), None)


def resolve(target: str) -> Any:
    """Imports the object that ``"package.module:Name"`` names. Only registered targets may be passed, never text from a file.

    >>> resolve("zoo_core.schedulers:Karras")
    <class 'zoo_core.schedulers.Karras'>

    Raises:
        PluginLoadError: if the module cannot be imported or does not have that name.
    """
    module, _, name = target.partition(":")
    try:
        with record_signals() as arrived, stdout_on_stderr(module):
            target_object: Any = import_module(module)
            for part in name.split("."):
                target_object = getattr(target_object, part)
    except BaseException as error:
        if arrived:
            raise
        raise PluginLoadError(f"cannot load {target}: {error_line(error)}", "`zoo plugins --check` shows what is broken") from error
    return target_object
