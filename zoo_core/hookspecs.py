"""The one hook of a zoo plugin."""

from collections.abc import Iterable

import pluggy

from zoo_core.specs import Spec

__all__ = ["ZooHooks", "hookimpl", "hookspec"]

hookspec = pluggy.HookspecMarker("zoo")
hookimpl = pluggy.HookimplMarker("zoo")


class ZooHooks:
    """The hook that a plugin implements with ``@zoo_core.hookimpl``, in the module that its entry point of group ``zoo`` names.

    >>> from zoo_core.specs import SamplerSpec
    >>> @hookimpl
    ... def zoo_specs():
    ...     return [SamplerSpec(name="my-sampler", target="my_package.samplers:MySampler", requires="denoise")]
    >>> [spec.name for spec in zoo_specs()]
    ['my-sampler']
    """

    @hookspec
    def zoo_specs(self) -> Iterable[Spec]:  # type: ignore[empty-body]  # pluggy wants the signature alone
        """Returns the specs of all parts that the plugin offers. Called once; must not import torch or other heavy modules."""
