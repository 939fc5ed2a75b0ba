"""A checkpoint's description in rows of a label and a text."""

from collections.abc import Iterator, Mapping
from typing import Any

from zoo_core.cards.card import LIBRARY
from zoo_core.cards.markdown import describe
from zoo_core.hardware.memory import human_size

__all__ = ["commits_of", "fact_rows"]


def fact_rows(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Rows of a table that describes a checkpoint: a label and a text, which may be empty.

    Args:
        facts: description of :func:`zoo_core.loading.info`.
    """
    training = facts["training"]
    files = facts["files"]
    yield "family", " ".join(filter(None, [facts["family"], facts["paper"]]))
    yield "family can", " ".join(facts["capabilities"])
    yield "parameters", f"{facts['parameters']:,}"
    yield "files", f"{len(files)}, {human_size(sum(pin['size'] for pin in files.values()))}"
    yield "license", facts["license"] or "not stated"
    yield "datasets", " ".join(facts["datasets"]) or "not stated"
    yield "from", facts["source"]
    yield "hub", "{repo} at {commit}".format(**facts["hub"]) if facts["hub"] else "not published"
    yield "model", _described(facts["config"].get("model"))
    walk = " on ".join(filter(None, (_described(facts[key]) for key in ("sampler", "scheduler"))))
    yield "sampler", walk or "none: it draws no samples"
    yield "trained", _trained(training)
    yield "by", str(training.get("command", ""))
    yield "versions", _versions(training)


def _described(part: Any) -> str:
    """A part of a config in one line, with its own parts in brackets."""
    if not isinstance(part, Mapping):
        return ""
    inner = [f"{key} {_described(value)}" for key, value in part.items() if isinstance(value, Mapping)]
    return describe(part) + "".join(f" ({text})" for text in inner)


def _trained(training: Mapping[str, Any]) -> str:
    """Steps, hours and processor of training.json, whose values may be of any type."""
    steps = training.get("steps")
    hours = training.get("hours")
    words = [
        f"{steps:,} steps" if isinstance(steps, int) else "",
        f"{hours:,} hours" if isinstance(hours, int | float) else "",
        str(training.get("processor") or ""),
    ]
    return ", ".join(filter(None, words))


def _versions(training: Mapping[str, Any]) -> str:
    versions = training.get("versions")
    words = [f"{name} {version}" for name, version in versions.items()] if isinstance(versions, Mapping) else []
    return ", ".join([*words, *(f"{name} commit {commit}" for name, commit in commits_of(training).items())])


def commits_of(training: Mapping[str, Any]) -> dict[str, str]:
    """The commits of a training.json by distribution: that of zoo-core, and those of plugins."""
    others = training.get("commits")
    commits = {LIBRARY: training.get("commit"), **(others if isinstance(others, Mapping) else {})}
    return {str(name): commit for name, commit in commits.items() if isinstance(commit, str) and commit}
