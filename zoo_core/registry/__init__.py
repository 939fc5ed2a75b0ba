"""The registry: discovers plugins, isolates broken ones, and resolves names to specs and specs to classes."""

from zoo_core.registry.claims import Registry, resolve
from zoo_core.registry.discovery import current, discover, installations, registry, using
from zoo_core.registry.plugin import Claim, Failure, Plugin, load_plugin
from zoo_core.registry.reference import REPO, Reference, other_meaning, parse_reference

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
