"""The registry: finds plugins, keeps broken ones apart, and turns names into specs and specs into classes."""

from zoo_core.registry.index import (
    REPO,
    Claim,
    Failure,
    Plugin,
    Reference,
    Registry,
    current,
    discover,
    installations,
    load_plugin,
    other_meaning,
    parse_reference,
    registry,
    resolve,
    using,
)

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
