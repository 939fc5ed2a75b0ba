"""Every error that the zoo raises on purpose, and the exit code that ``zoo`` ends with.

::

    ZooError                        1
    ├── UsageError                  2   the command line or call is wrong
    ├── ConfigError                 3   a config, recipe or option is wrong
    ├── CardError                   3   a model card is wrong
    ├── HubError                    4   the Hub did not give what was asked for
    │   ├── OfflineError                needs the network, and there is none
    │   ├── NotFoundError               no such repo, revision or file
    │   ├── GatedError                  needs a login or a licence accepted
    │   └── LoginError                  the token is not accepted, or cannot be read
    ├── IntegrityError              5   bytes differ from their pinned sha256 or size
    ├── TrustError                  6   would trust something that must not be trusted
    ├── UnsafeContentError          7   content that could do harm if it were opened
    ├── ResourceError               8   disk, memory or permissions
    ├── PluginError                 9   a plugin is broken
    │   ├── PluginLoadError             it could not be imported or registered
    │   └── NameConflictError           two plugins claim one name
    ├── UnknownNameError            9   nothing installed has that name
    ├── CapabilityError             9   the model cannot do that
    ├── LockTimeout                10   another process holds the folder
    ├── IncompatibleCheckpoint     11   weights and config do not fit each other
    └── Interrupted           130, 143  Ctrl-C or SIGTERM, after the state was saved

An error says what happened and, after two dashes, what to do next.
"""

from collections.abc import Iterable
from typing import ClassVar, Self

__all__ = [
    "CapabilityError",
    "CardError",
    "ConfigError",
    "GatedError",
    "HubError",
    "IncompatibleCheckpoint",
    "IntegrityError",
    "Interrupted",
    "LockTimeout",
    "LoginError",
    "NameConflictError",
    "NotFoundError",
    "OfflineError",
    "PluginError",
    "PluginLoadError",
    "ResourceError",
    "TrustError",
    "UnknownNameError",
    "UnsafeContentError",
    "UsageError",
    "ZooError",
]


class ZooError(Exception):
    """What happened (``what``) and what to do next (``hint``, may be empty)."""

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what, hint)
        self.what = what
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.what} -- {self.hint}" if self.hint else self.what


class UsageError(ZooError):
    """The command line or the call is wrong."""

    exit_code = 2


class ConfigError(ZooError):
    """A config, recipe or option is wrong; the message names the field."""

    exit_code = 3


class CardError(ZooError):
    """A model card cannot be read or is not valid."""

    exit_code = 3


class HubError(ZooError):
    """The Hub did not give what was asked for."""

    exit_code = 4


class OfflineError(HubError):
    """It needs the network, and there is none or it is switched off."""


class NotFoundError(HubError):
    """There is no such repo, revision or file."""


class GatedError(HubError):
    """The repo asks for a login, or for a licence to be accepted."""


class LoginError(HubError):
    """The token is not accepted or cannot be read, which says nothing about the repository."""


class IntegrityError(ZooError):
    """Bytes differ from their pinned sha256 or size."""

    exit_code = 5


class TrustError(ZooError):
    """Going on would trust something that must not be trusted."""

    exit_code = 6


class UnsafeContentError(ZooError):
    """Content that could do harm if it were opened."""

    exit_code = 7


class ResourceError(ZooError):
    """Disk, memory or permissions."""

    exit_code = 8


class PluginError(ZooError):
    """A plugin is broken."""

    exit_code = 9


class PluginLoadError(PluginError):
    """A plugin could not be imported or registered, or its target does not resolve."""


class NameConflictError(PluginError):
    """Two plugins claim one name."""


class UnknownNameError(ZooError):
    """Nothing installed has that name."""

    exit_code = 9

    @classmethod
    def of(cls, kind: str, name: str, known: Iterable[str], hint: str = "") -> Self:
        """An error that suggests the nearest known names, or else those that ``name`` is a part of, or else lists the first ones."""
        from difflib import get_close_matches

        known = sorted(known)
        near = get_close_matches(name, known, n=2, cutoff=0.5) if len(name) <= 200 else []
        part = name.lower().removesuffix("s")
        near = near or [each for each in known if len(part) > 2 and part in each][:3]
        if near:
            hint = f"did you mean {' or '.join(near)}?"
        elif not hint and known:
            hint = f"known: {', '.join(known[:8])}" + (", ..." if len(known) > 8 else "")
        return cls(f"unknown {kind} {name if len(name) <= 200 else name[:200] + '...'!r}", hint)


class CapabilityError(ZooError):
    """The model cannot do what was asked of it."""

    exit_code = 9


class LockTimeout(ZooError):
    """Another process holds the folder."""

    exit_code = 10


class IncompatibleCheckpoint(ZooError):
    """Weights and config do not fit each other, or another run's config or data was met on resume."""

    exit_code = 11


class Interrupted(ZooError):
    """Stopped by a signal after the state was saved; ``exit_code`` is 128 + the signal's number."""

    def __init__(self, what: str, hint: str = "", *, signum: int) -> None:
        super().__init__(what, hint)
        self.signum = signum
        self.exit_code = 128 + signum  # type: ignore[misc]  # the one error whose code depends on its cause
