"""Provenance: training.json as an in-toto statement with a predicate of SLSA, version 1 (https://slsa.dev/spec/v1.0/provenance).

It is made from the files of a checkpoint when somebody asks, so that a signature of these files also covers it.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from zoo_core.cards.facts import commits_of
from zoo_core.checkpoint.files import CONFIG, TRAINING, WEIGHTS, Files
from zoo_core.errors import NotFoundError
from zoo_core.trust.envelope import Statement

__all__ = ["distribution_url", "provenance"]

_KIND = "https://slsa.dev/provenance/v1"
_BUILD = "urn:zoo-core:train:1"
_MISSING = "not installed"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_COMMIT = re.compile(r"(?P<commit>[0-9a-f]{40}|[0-9a-f]{64})(?P<changes>\+changes)?")


def provenance(files: Files) -> Statement:
    """What a checkpoint was trained from: recipe, command, data, teachers, and versions and commits of the code.

    >>> from zoo_core.hub.fetch import fetch
    >>> statement = provenance(fetch("realnvp-moons"))
    >>> sorted(statement.subjects), statement.predicate["buildDefinition"]["externalParameters"]["recipe"]["data"]["name"]
    (['config.json', 'model.safetensors'], 'moons')

    Raises:
        NotFoundError: if the checkpoint has no training.json.
        ZooError: as :meth:`Files.json` raises.
    """
    if TRAINING not in files.names:
        raise NotFoundError(f"{files.reference} has no {TRAINING}: nothing says how it was trained", "ask its authors")
    training = files.json(TRAINING)
    core = _mapping(training.get("versions")).get("zoo-core", "")
    inner = ("steps", "hours", "processes", "processor", "converted_from")
    definition = {
        "buildType": _BUILD,
        "externalParameters": {"recipe": training.get("recipe"), "command": training.get("command")},
        "internalParameters": {key: training[key] for key in inner if key in training},
        "resolvedDependencies": [*_data(training), *_teachers(training.get("recipe")), *_code(training)],
    }
    record = {"name": TRAINING, "digest": {"sha256": files.digest(TRAINING)}}
    builder = {"id": distribution_url("zoo-core", str(core)), "version": {"zoo-core": str(core)}}
    return Statement(
        kind=_KIND,
        subjects={name: files.digest(name) for name in (WEIGHTS, CONFIG)},
        predicate={"buildDefinition": definition, "runDetails": {"builder": builder, "byproducts": [record]}},
    )


def distribution_url(name: str, version: str) -> str:
    """The package URL of a distribution on the Python index.

    >>> distribution_url("Zoo_Core", "0.1.0+cpu")
    'pkg:pypi/zoo-core@0.1.0%2Bcpu'
    """
    from urllib.parse import quote

    # A record may hold half of a surrogate pair, which is in no address.
    name, version = (quote(text, safe="", errors="replace") for text in (name.lower().replace("_", "-"), version))
    return f"pkg:pypi/{name}" + (f"@{version}" if version else "")


def _data(training: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    data = _mapping(training.get("data"))
    digest = data.get("digest")
    about = {"digest of": "the decoded samples", "config": _mapping(training.get("recipe")).get("data"), "count": data.get("count")}
    if data:
        yield {"name": "data", "annotations": about, **(_sha256(digest))}


def _teachers(part: Any, depth: int = 0) -> Iterator[dict[str, Any]]:
    """The checkpoints that a recipe names with their digests, at any depth."""
    if isinstance(part, Mapping) and depth < 20:
        if isinstance(part.get("reference"), str) and _sha256(part.get("sha256")):
            yield {"name": part["reference"], **_sha256(part["sha256"]), "annotations": {"digest of": WEIGHTS}}
        for each in part.values():
            yield from _teachers(each, depth + 1)


def _code(training: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Distributions with their versions, and their commits where these are known."""
    commits = commits_of(training)
    versions = {str(name): str(version) for name, version in _mapping(training.get("versions")).items() if version != _MISSING}
    python = versions.pop("python", "")
    if python:
        yield {"name": "python", "uri": f"pkg:generic/python@{python}"}
    for name in sorted({*versions, *commits}):
        commit = _COMMIT.fullmatch(commits.get(name, ""))
        entry: dict[str, Any] = {"name": name, "uri": distribution_url(name, versions.get(name, ""))}
        if commit:
            entry["digest"] = {"gitCommit": commit["commit"]}
            entry |= {"annotations": {"uncommitted changes": True}} if commit["changes"] else {}
        yield entry


def _sha256(digest: object) -> dict[str, Any]:
    return {"digest": {"sha256": digest}} if isinstance(digest, str) and _SHA256.fullmatch(digest) else {}


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
