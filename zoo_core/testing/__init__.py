"""Test tools for the core and for plugins: fake families, plugins and checkpoints written on the spot, training runs, conformance checks.

A plugin runs every check that applies to its family with

    from zoo_core.testing import parametrize_checks

    @parametrize_checks("ddpm", config=DDPMConfig(dim=8))
    def test_ddpm_conforms(check):
        check()

The fake families are not installed: :func:`fake_zoo` registers them inside a ``with`` block, :func:`write_fake_plugin` in a folder that a
subprocess finds by its PYTHONPATH.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo_core.testing.checkpoints import pins_of, write_checkpoint, write_checkpoint_plugin
    from zoo_core.testing.conformance import Check, checks_of, parametrize_checks
    from zoo_core.testing.plugins import environment, fake_zoo, installed, write_fake_plugin, write_plugin
    from zoo_core.testing.training import assert_resumes, interrupt, run_state, start_loop, stop_after

__all__ = [
    "Check",
    "assert_resumes",
    "checks_of",
    "environment",
    "fake_zoo",
    "installed",
    "interrupt",
    "parametrize_checks",
    "pins_of",
    "run_state",
    "start_loop",
    "stop_after",
    "write_checkpoint",
    "write_checkpoint_plugin",
    "write_fake_plugin",
    "write_plugin",
]

_HOMES = {
    "Check": "conformance",
    "assert_resumes": "training",
    "checks_of": "conformance",
    "environment": "plugins",
    "fake_zoo": "plugins",
    "installed": "plugins",
    "interrupt": "training",
    "parametrize_checks": "conformance",
    "pins_of": "checkpoints",
    "run_state": "training",
    "start_loop": "training",
    "stop_after": "training",
    "write_checkpoint": "checkpoints",
    "write_checkpoint_plugin": "checkpoints",
    "write_fake_plugin": "plugins",
    "write_plugin": "plugins",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'zoo_core.testing' has no attribute {name!r}")
    return getattr(import_module(f"zoo_core.testing.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
