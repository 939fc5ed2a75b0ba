"""The errors that the zoo raises on purpose, and the exit code of ``zoo`` for each.

::

    ZooError                        1
    ├── UsageError                  2   the command line or call is wrong
    ├── ConfigError                 3   a config, recipe or option is wrong
    ├── CardError                   3   a model card is wrong
    ├── HubError                    4   the Hub did not deliver the requested files
    │   ├── OfflineError                needs the network, which is absent or switched off
    │   ├── NotFoundError               the repo, revision or file does not exist
    │   ├── GatedError                  needs a login or a licence accepted
    │   └── LoginError                  the token is not accepted, or cannot be read
    ├── IntegrityError              5   bytes differ from their pinned sha256 or size
    ├── TrustError                  6   the next step would trust unverified code or data
    ├── UnsafeContentError          7   content that is unsafe to open
    ├── ResourceError               8   disk, memory or permissions
    ├── PluginError                 9   a plugin is broken
    │   ├── PluginLoadError             it could not be imported or registered
    │   └── NameConflictError           two plugins claim one name
    ├── UnknownNameError            9   no installed plugin offers that name
    ├── CapabilityError             9   the model lacks the capability
    ├── LockTimeout                10   another process holds the folder
    ├── IncompatibleCheckpoint     11   weights and config do not fit each other
    ├── LostProcess                12   another process of the launcher has ended
    └── Interrupted           130, 143  Ctrl-C or SIGTERM, after the state was saved

The text of an error says what happened and, after two dashes, what to do next.

>>> error = UsageError("steps must be at least 1, not 0", "pass --steps 50")
>>> str(error)
'steps must be at least 1, not 0 -- pass --steps 50'
>>> error.exit_code
2
>>> isinstance(error, ZooError)
True
"""

import re
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
    "LostProcess",
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

# Of gloo, of NCCL, and of the store at which processes meet.
_GONE = re.compile(r"(closed|reset) by peer|Broken pipe|Timed out waiting \d+ ?ms|ncclRemoteError|NCCL.*(timed out|timeout)|failed to recv")


class ZooError(Exception):
    """Base class of all errors of the zoo.

    Args:
        what: the event, in one line.
        hint: the next step; may be empty.
    """

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
    """The Hub did not deliver the requested files."""

    exit_code = 4


class OfflineError(HubError):
    """The network is needed, but absent or switched off."""


class NotFoundError(HubError):
    """The repo, revision or file does not exist."""


class GatedError(HubError):
    """The repo requires a login, or acceptance of its licence."""


class LoginError(HubError):
    """The token is rejected or cannot be read; the repository itself may exist."""


class IntegrityError(ZooError):
    """Bytes differ from their pinned sha256 or size."""

    exit_code = 5


class TrustError(ZooError):
    """The next step would trust unverified code or data."""

    exit_code = 6


class UnsafeContentError(ZooError):
    """Content is unsafe to open."""

    exit_code = 7


class ResourceError(ZooError):
    """Disk space, memory or permissions do not suffice."""

    exit_code = 8


class PluginError(ZooError):
    """A plugin is broken."""

    exit_code = 9


class PluginLoadError(PluginError):
    """A plugin could not be imported or registered, or its target does not resolve."""


class NameConflictError(PluginError):
    """Two plugins claim one name."""


class UnknownNameError(ZooError):
    """No installed plugin offers that name."""

    exit_code = 9

    @classmethod
    def of(cls, kind: str, name: str, known: Iterable[str], hint: str = "") -> Self:
        """Returns an error that suggests similar known names, or names that contain ``name``, or lists the first eight.

        >>> UnknownNameError.of("sampler", "huen", ["ddim", "heun"]).hint
        'did you mean heun?'
        """
        from difflib import SequenceMatcher, get_close_matches

        known = sorted(known)
        near = get_close_matches(name, known, n=2, cutoff=0.5) if len(name) <= 200 else []
        likeness = [SequenceMatcher(None, each, name).ratio() for each in near]
        near = [each for each, ratio in zip(near, likeness, strict=True) if ratio > likeness[0] - 0.2]
        part = name.lower().removesuffix("s")
        near = near or [each for each in known if len(part) > 2 and part in each][:3]
        if near:
            hint = f"did you mean {' or '.join(near)}?"
        elif not hint and known:
            hint = f"known: {', '.join(known[:8])}" + (", ..." if len(known) > 8 else "")
        return cls(f"unknown {kind} {name if len(name) <= 200 else name[:200] + '...'!r}", hint)


class CapabilityError(ZooError):
    """The model lacks the requested capability."""

    exit_code = 9


class LockTimeout(ZooError):
    """Another process holds the folder."""

    exit_code = 10


class IncompatibleCheckpoint(ZooError):
    """Weights and config do not fit each other, or a run is resumed with another config or other data."""

    exit_code = 11


class LostProcess(ZooError):
    """Another process of ``torchrun`` or ``accelerate launch`` has ended, or does not answer."""

    exit_code = 12

    @classmethod
    def cause_of(cls, error: BaseException) -> Self | None:
        """The error to raise for an error of torch's, if that says that another process is gone.

        >>> LostProcess.cause_of(RuntimeError("[gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:5")).exit_code
        12
        """
        if isinstance(error, RuntimeError) and _GONE.search(str(error)):
            return cls(
                "another process of this run has ended or does not answer",
                "start the command again: training goes on from its last checkpoint",
            )
        return None


class Interrupted(ZooError):
    """A signal stopped the run after its state was saved; ``exit_code`` is 128 + the signal's number."""

    def __init__(self, what: str, hint: str = "", *, signum: int) -> None:
        super().__init__(what, hint)
        self.signum = signum
        self.exit_code = 128 + signum  # type: ignore[misc]  # the one error whose code depends on its cause
