"""Lock files: the commit, the digests and the plugins of checkpoints, so that another machine loads exactly the same.

``zoo lock`` writes ``zoo.lock``; ``load(reference, lock="zoo.lock")``, ``zoo --frozen`` and ZOO_FROZEN load nothing else.
"""

import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zoo_core.atomic import write_file
from zoo_core.checkpoint.files import check_name
from zoo_core.config import dump_json, load_json
from zoo_core.errors import ConfigError, IntegrityError, TrustError, UnsafeContentError
from zoo_core.hub.cache import COMMIT
from zoo_core.registry import REPO, registry
from zoo_core.specs import CheckpointSpec, Hub, Pin
from zoo_core.trust.envelope import in_words

__all__ = ["LOCK", "Lock", "LockedCheckpoint", "frozen_lock", "is_frozen"]

LOCK = "zoo.lock"
"""The default name of a lock file."""
_FORMAT = 1
_OFF = ("", "0", "false", "no", "off")
_ON = ("1", "true", "yes", "on")
_ANEW = "delete it; `zoo lock REFERENCE` writes a new one"  # which reads the one that is there
_REPO = re.compile(REPO)
_SHA256 = re.compile(r"[0-9a-f]{64}")
# Of distributions and versions: these get into lines such as `pip install 'zoo-vae==0.1.0'`, which somebody may copy into a shell.
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]{0,127}")


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedCheckpoint:
    """One checkpoint in a lock file.

    >>> checkpoint = LockedCheckpoint(files={"config.json": Pin(sha256="ab" * 32, size=310)}, distributions={"zoo-core": "0.1.0"})
    >>> checkpoint.files["config.json"].size
    310

    Args:
        files: digest and size of each file.
        distributions: versions of the packages that its config needs, by name.
        hub: repository and commit, for files from the Hub.
    """

    files: Mapping[str, Pin]
    distributions: Mapping[str, str] = field(default_factory=dict)
    hub: Hub | None = None

    def to_dict(self) -> dict[str, Any]:
        """The checkpoint as plain values."""
        return {
            "hub": {"repo": self.hub.repo, "commit": self.hub.commit} if self.hub else None,
            "distributions": dict(sorted(self.distributions.items())),
            "files": {name: {"sha256": pin.sha256, "size": pin.size} for name, pin in sorted(self.files.items())},
        }

    def check_spec(self, reference: str, spec: CheckpointSpec, again: str) -> None:
        """Compares the pins of an installed package with those of the lock file; ``again`` is the command that locks anew.

        Raises:
            IntegrityError: if a file differs, is missing, or is new; or if the files were locked from another repository or commit.
        """
        what = ""
        for name in sorted({*spec.files, *self.files}):
            if not what and spec.files.get(name) != self.files.get(name):
                what = "has another" if name in spec.files and name in self.files else "has no" if name in self.files else "also has"
                what += f" {name}"
        if not what and self.hub and self.hub != spec.hub:
            here = f"{spec.hub.repo} at {spec.hub.commit[:12]}" if spec.hub else "no repository"
            what = f"is of {here}, and locked is {self.hub.repo} at {self.hub.commit[:12]}"
        if what:
            hint = f"install the locked version of its package again, or {again} locks anew"
            raise IntegrityError(f"{reference} is not the locked checkpoint: the installed one {what}", hint)


@dataclass(frozen=True, kw_only=True, slots=True)
class Lock:
    """A lock file.

    >>> Lock(path=Path("zoo.lock"), checkpoints={}).find("vae-mnist")
    Traceback (most recent call last):
        ...
    zoo_core.errors.TrustError: vae-mnist is not in zoo.lock -- `zoo lock vae-mnist` adds it

    Args:
        path: path of the file.
        checkpoints: locked checkpoints by their references.
    """

    path: Path
    checkpoints: Mapping[str, LockedCheckpoint]

    @classmethod
    def read(cls, path: "str | os.PathLike[str]") -> "Lock":
        """Reads a lock file.

        Raises:
            ConfigError: if there is no such file, or it is not a lock file.
        """
        place = Path(path)
        if not place.is_file():
            raise _missing(place)
        try:
            data = load_json(place)
            if data["format"] != _FORMAT:
                what = f"{place} has format {data['format']!r}, and this zoo-core reads {_FORMAT}"
                raise ConfigError(what, f"pip install --upgrade zoo-core, or {_ANEW}")
            return cls(path=place, checkpoints={name: _checkpoint(entry) for name, entry in data["checkpoints"].items()})
        except ConfigError as error:
            raise ConfigError(error.what, error.hint or _ANEW) from None
        except UnsafeContentError as error:
            raise ConfigError(f"{place} is not a lock file: {error.what[:200]}", _ANEW) from None
        except (LookupError, TypeError, AttributeError, ValueError) as error:
            raise ConfigError(f"{place} is not a lock file: {in_words(error)[:200]}", _ANEW) from None

    def write(self) -> None:
        """Writes the file in one step, its entries sorted; raises ResourceError if it cannot be written."""
        entries = {name: checkpoint.to_dict() for name, checkpoint in sorted(self.checkpoints.items())}
        write_file(self.path, dump_json({"format": _FORMAT, "checkpoints": entries}).encode())

    def command(self, reference: str) -> str:
        """The command that locks a reference in this file.

        >>> Lock(path=Path("zoo.lock"), checkpoints={}).command("zoo/cats"), Lock(path=Path("x/y.lock"), checkpoints={}).command("zoo/cats")
        ('`zoo lock zoo/cats`', '`zoo lock zoo/cats --out x/y.lock`')
        """
        words = ["zoo", "lock", reference, *([] if str(self.path) == LOCK else ["--out", str(self.path)])]
        return f"`{shlex.join(words)}`"

    def find(self, reference: str) -> LockedCheckpoint:
        """The locked checkpoint of a reference, once the installed packages are found to be those of the lock file.

        Raises:
            TrustError: if the reference is not in the file, or a package has another version here or is not installed.
        """
        if reference not in self.checkpoints:
            raise TrustError(f"{reference} is not in {self.path}", f"{self.command(reference)} adds it")
        found = self.checkpoints[reference]
        for name, wanted in found.distributions.items():
            if (here := _installed(name)) != wanted:
                what = f"{name} {here} is installed" if here else f"{name} is not installed"
                hint = f"pip install '{name}=={wanted}', or {self.command(reference)} locks what is here"
                raise TrustError(f"{reference} is locked with {name} {wanted} in {self.path}, and {what}", hint)
        return found


def _checkpoint(entry: Mapping[str, Any]) -> LockedCheckpoint:
    """The checkpoint of an entry, which somebody may have edited: names become paths, and others are shown to people."""
    hub = entry["hub"]
    for name, pin in entry["files"].items():
        check_name(name)
        _demand(_SHA256, pin["sha256"], f"a sha256 of {name}")
        if type(pin["size"]) is not int or pin["size"] < 0:
            raise ValueError(f"{pin['size']!r:.80} is not a size of {name}")
    for name, wanted in entry["distributions"].items():
        _demand(_WORD, name, "the name of a distribution")
        _demand(_WORD, wanted, f"a version of {name}")
    if hub is not None:
        _demand(_REPO, hub["repo"], "a repository")
        _demand(COMMIT, hub["commit"], "a commit")
    return LockedCheckpoint(
        files={name: Pin(sha256=pin["sha256"], size=pin["size"]) for name, pin in entry["files"].items()},
        distributions=dict(entry["distributions"]),
        hub=Hub(repo=hub["repo"], commit=hub["commit"]) if hub is not None else None,
    )


def _demand(pattern: re.Pattern[str], value: object, what: str) -> None:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ValueError(f"{value!r:.80} is not {what}")


def _installed(distribution: str) -> str:
    return next((plugin.version for plugin in registry().plugins if plugin.dist == distribution), "")


def is_frozen() -> bool:
    """Whether ZOO_FROZEN demands a lock file."""
    return os.environ.get("ZOO_FROZEN", "").strip().lower() not in _OFF


def frozen_lock() -> Lock | None:
    """The lock file that ZOO_FROZEN demands: ``zoo.lock`` for 1, or the file at its path; None if the variable is unset, empty or 0.

    Raises:
        ConfigError: if there is no such file, or it is not a lock file.
    """
    if not is_frozen():
        return None
    value = os.environ["ZOO_FROZEN"].strip()
    path = Path(LOCK if value.lower() in _ON else value)
    if not path.is_file():
        raise _missing(path, ", which --frozen or ZOO_FROZEN demands")
    return Lock.read(path)


def _missing(path: Path, why: str = "") -> ConfigError:
    """The error of a lock file that is not there."""
    if path.is_dir():
        return ConfigError(f"{path} is a folder, and no lock file{why}", f"name the file, such as {path / LOCK}")
    return ConfigError(f"there is no lock file {path}{why}", f"{Lock(path=path, checkpoints={}).command('REFERENCE')} writes one")
