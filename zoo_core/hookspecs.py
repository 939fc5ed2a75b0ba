"""The one hook of a zoo plugin."""

from collections.abc import Iterable

import pluggy

from zoo_core.specs import Spec

__all__ = ["ZooHooks", "hookimpl", "hookspec"]

hookspec = pluggy.HookspecMarker("zoo")
hookimpl = pluggy.HookimplMarker("zoo")


class ZooHooks:
    """Implement with ``@zoo_core.hookimpl`` in the module that the entry point of group ``zoo`` names."""

    @hookspec
    def zoo_specs(self) -> Iterable[Spec]:  # type: ignore[empty-body]  # pluggy wants the signature alone
        """Everything that the plugin offers. Called once; must import nothing heavy."""
