"""``zoo doctor``."""

import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import click

from zoo_core.cli.console import bold, echo_json, inert, prose
from zoo_core.errors import ResourceError, ZooError
from zoo_core.hardware.memory import available_memory, human_size
from zoo_core.hub.cache import cache_folder
from zoo_core.hub.client import host
from zoo_core.hub.fetch import is_packaged, registered_copies
from zoo_core.hub.lockfile import LOCK, frozen_lock
from zoo_core.hub.redaction import TOKEN_VARIABLES, access_tokens
from zoo_core.registry import Reference, installations, registry
from zoo_core.specs import KINDS, CheckpointSpec
from zoo_core.trust.envelope import now
from zoo_core.trust.keys import carriers, check_extra

__all__ = ["Finding", "doctor", "findings"]

_PROXIES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy")
_SETTINGS = ("ZOO_PLUGINS", "ZOO_PLUGIN_TIMEOUT", "ZOO_STRICT", "ZOO_LOCK_TIMEOUT", "ZOO_DATA", "HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE")
_LOW_DISK = 1 << 30


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One line of ``zoo doctor``.

    >>> Finding(state="ok", topic="versions", text="torch 2.15.0").hint
    ''

    Args:
        state: ``ok``, ``note`` for what may surprise, or ``problem``.
        topic: section.
        text: what was found.
        hint: the next step; may be empty.
    """

    state: Literal["ok", "note", "problem"]
    topic: str
    text: str
    hint: str = ""


def findings() -> Iterator[Finding]:
    """Examines versions, machine, plugins, checkpoints, cache, and network. Makes no request."""
    yield from _versions()
    yield from _machine()
    yield from _plugins()
    yield from _names()
    yield from _checkpoints()
    yield from _cache()
    yield from _network()
    yield from _trust()
    yield from _settings()


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(as_json: bool) -> None:
    """Show where plugins, names, checkpoints and files come from, and what is wrong with this installation.

    It lists versions and their floors, the machine, plugins and what hides them, names that two plugins claim, copies of checkpoints, the
    cache, proxies, and where a token comes from (never its value). No request is made. The exit code is 8 if there is a problem.

    \b
    Examples:
      zoo doctor
      zoo doctor --json
    """
    found = list(findings())
    if as_json:
        echo_json([asdict(finding) for finding in found])
    else:
        _print(found)
    problems = [finding for finding in found if finding.state == "problem"]
    if problems:
        raise ResourceError(f"{len(problems)} problem{'s' * (len(problems) > 1)}: {problems[0].text}", problems[0].hint or "see above")


def _print(found: list[Finding]) -> None:
    topic = ""
    for finding in found:
        if finding.topic != topic:
            click.echo(("\n" if topic else "") + bold(finding.topic))
            topic = finding.topic
        mark = "" if finding.state == "ok" else f"{finding.state}: "
        prose(inert(f"{mark}{finding.text}" + (f" -- {finding.hint}" if finding.hint else "")), first="  ", hanging="    ")


def _versions() -> Iterator[Finding]:
    """The packages of the zoo, and those that zoo-core needs, with the floors that they miss."""
    from packaging.requirements import Requirement

    yield Finding(state="ok", topic="versions", text=f"python {sys.version.split()[0]}, {sys.executable}")
    ours = {plugin.dist for plugin in registry().plugins}
    missed: dict[str, str] = {}
    for dist in sorted(ours):
        for text in _requirements(dist):
            need = Requirement(text)
            if need.marker is None or need.marker.evaluate({"extra": ""}):
                here = _version(need.name)
                missed |= (
                    {}
                    if here and need.specifier.contains(here, prereleases=True)
                    else {f"{need.name} {here or 'missing'}": f"{dist} needs {text}"}
                )
    listed = [f"{name} {_version(name)}" for name in ("zoo-core", "torch", "numpy", "safetensors", "huggingface-hub", "pillow")]
    yield Finding(state="ok", topic="versions", text=", ".join(listed))
    for what, why in missed.items():
        yield Finding(state="problem", topic="versions", text=f"{what}: {why}", hint="pip check; pip install --upgrade")


def _requirements(dist: str) -> list[str]:
    try:
        return distribution(dist).requires or []
    except PackageNotFoundError:
        return []


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _machine() -> Iterator[Finding]:
    import torch

    from zoo_core.hardware.devices import devices
    from zoo_core.hardware.environment import build, processor
    from zoo_core.hardware.precision import is_native

    for name in devices():
        native = [dtype for dtype in ("bfloat16", "float16") if is_native(dtype, name)]
        what = f"{name}: {processor(torch.device(name))}; computes float32{''.join(f', {dtype}' for dtype in native)}"
        yield Finding(state="ok", topic="machine", text=what)
    yield Finding(state="ok", topic="machine", text=f"{build()['capability']}, {human_size(available_memory())} of memory available")


def _plugins() -> Iterator[Finding]:
    """The plugins by the folders that they are installed in, the broken ones, and those that hide others."""
    folders: dict[str, list[str]] = {}
    for plugin in registry().plugins:
        used, *hidden = installations(plugin.dist) or ["no folder of packages"]
        folders.setdefault(used, []).append(f"{plugin.dist} {plugin.version}")
        if plugin.failure:
            text = f"{plugin.dist} is broken: {plugin.failure}"
            yield Finding(state="problem", topic="plugins", text=text, hint=f"`zoo plugins --check {plugin.dist}` says more")
        if hidden:
            text = f"{plugin.dist} is used from {used}, which hides {', '.join(hidden)}"
            yield Finding(state="problem", topic="plugins", text=text, hint="uninstall one")
    for folder, names in folders.items():
        yield Finding(state="ok", topic="plugins", text=f"in {folder}: {', '.join(names)}")


def _names() -> Iterator[Finding]:
    """Names that several plugins claim."""
    clashes = 0
    for kind in KINDS.values():
        for name, claims in registry().claims(kind).items():
            if len(claims) > 1:
                clashes += 1
                dists = ", ".join(claim.plugin.dist for claim in claims)
                hint = f"write {claims[0].name} for the first"
                yield Finding(state="note", topic="names", text=f"the {kind.kind} {name} is claimed by {dists}", hint=hint)
    if not clashes:
        yield Finding(state="ok", topic="names", text="no name is claimed by two plugins")
    for entry in sorted(Path.cwd().iterdir() if os.access(Path.cwd(), os.R_OK) else []):
        if entry.is_dir() and entry.name in registry().claims(CheckpointSpec):
            text = f"the folder {entry.name} here has the name of a registered checkpoint, which goes before it"
            yield Finding(state="note", topic="names", text=text, hint=f"local:{entry.name} means the folder")


def _checkpoints() -> Iterator[Finding]:
    """The place of each registered checkpoint."""
    places: dict[str, list[str]] = {}
    for name, claims in registry().claims(CheckpointSpec).items():
        for claim in claims:
            spec = claim.spec
            assert isinstance(spec, CheckpointSpec)
            try:
                copies = registered_copies(Reference(kind="name", name=name), claim)
            except ZooError as error:
                yield Finding(state="problem", topic="checkpoints", text=f"{name}: {error.what}", hint=error.hint)
                continue
            if not copies and spec.hub is None:
                yield Finding(state="problem", topic="checkpoints", text=f"{name} is nowhere", hint=f"install {claim.plugin.dist} again")
            place = f"in {claim.plugin.dist}" if is_packaged(spec) else "in the cache" if copies else "on the Hub"
            places.setdefault(place, []).append(name)
    for place, names in places.items():
        yield Finding(state="ok", topic="checkpoints", text=f"{place}: {', '.join(sorted(names))}")


def _cache() -> Iterator[Finding]:
    folder = cache_folder()
    if not folder.is_dir():
        yield Finding(state="ok", topic="cache", text=f"{folder}, which is made by the first pull")
        return
    repositories = list(folder.glob("models--*"))
    yield Finding(state="ok", topic="cache", text=f"{folder}: {len(repositories)} repositories")
    if not os.access(folder, os.W_OK):
        yield Finding(state="problem", topic="cache", text=f"{folder} cannot be written to", hint="set HF_HOME to another folder")
    if (free := shutil.disk_usage(folder).free) < _LOW_DISK:
        yield Finding(
            state="problem", topic="cache", text=f"{human_size(free)} are left on its disk", hint="free some space, or set HF_HOME"
        )
    if hasattr(os, "getuid"):
        others = [path for path in folder.glob(".locks/*/*.lock") if path.stat().st_uid != os.getuid() and not os.access(path, os.W_OK)]
        if others:
            text = f"{len(others)} locks belong to another user, such as {others[0]}"
            yield Finding(state="problem", topic="cache", text=text, hint="make them writable for all who share the cache")


def _network() -> Iterator[Finding]:
    try:
        yield Finding(state="ok", topic="network", text=f"the Hub is {host()}")
    except ZooError as error:
        yield Finding(state="problem", topic="network", text=error.what, hint=error.hint)
    variable = next((name for name in TOKEN_VARIABLES if os.environ.get(name, "").strip()), "")
    token = f"the token is that of {variable}" if variable else "the token is that of a login" if access_tokens(1) else "there is no token"
    yield Finding(state="ok", topic="network", text=token)
    for name in _PROXIES:
        if value := os.environ.get(name):
            yield Finding(state="note", topic="network", text=f"{name} is {value if name.lower() == 'no_proxy' else _without_login(value)}")


def _without_login(url: str) -> str:
    """An address without the user and password in it."""
    try:
        parts = urlsplit(url if "//" in url else f"//{url}")
        return f"{parts.scheme + '://' if parts.scheme else ''}{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}"
    except ValueError:
        return "not an address"


def _trust() -> Iterator[Finding]:
    """The keys that plugins carry, and whether signatures by them can be checked."""
    found = carriers()
    can_check = True
    try:
        if found:
            check_extra()
    except ZooError as error:
        can_check = False
        what = f"{error.what}; what plugins carry keys for is refused"
        yield Finding(state="problem", topic="trust", text=what, hint=error.hint)
    for carrier in found:
        try:
            listed = carrier.carried()
        except ZooError as error:
            yield Finding(state="problem", topic="trust", text=error.what, hint=error.hint)
            continue
        keys = f"{len(listed.keys)} key{'s' * (len(listed.keys) > 1)}"
        until = f"version {listed.version}, until {listed.expires:%Y-%m-%d}"
        text = f"{carrier.dist} carries {keys} for {', '.join(listed.repositories)} ({until})"
        yield Finding(state="note" if listed.expires < now() else "ok", topic="trust", text=text)
        try:
            if listed.expires >= now() and can_check:  # a newer list may have come from a repository
                carrier.newest()
        except ZooError as error:
            yield Finding(state="problem", topic="trust", text=error.what, hint=error.hint)


def _settings() -> Iterator[Finding]:
    for name in _SETTINGS:
        if value := os.environ.get(name):
            yield Finding(state="note", topic="settings", text=f"{name}={value}")
    try:
        lock = frozen_lock()
    except ZooError as error:
        yield Finding(state="problem", topic="settings", text=error.what, hint=error.hint)
        return
    if lock is not None:
        yield Finding(
            state="note", topic="settings", text=f"frozen: only the {len(lock.checkpoints)} checkpoints of {lock.path} are loaded"
        )
    elif Path(LOCK).is_file():
        yield Finding(state="note", topic="settings", text=f"{LOCK} lies here, and is not used", hint="zoo --frozen, or ZOO_FROZEN=1")
