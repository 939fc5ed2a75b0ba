"""Changes that publishing would make in a repository, file by file, and files in it that others have changed.

The zoo recognizes its own commits by their titles. The files of a repository are compared with those of the last such
commit: a file that differs was changed by somebody else, and is not replaced without ``force``. A card that was edited
on the Hub is merged if the edits and the new version touch different lines.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from itertools import pairwise
from typing import Literal

from zoo_core import __version__, cards
from zoo_core.checkpoint.files import CARD, oid_of
from zoo_core.errors import CardError, UsageError
from zoo_core.hub.signed import SIGNATURES
from zoo_core.publishing.bundle import PUBLISHED, Bundle
from zoo_core.publishing.options import option
from zoo_core.publishing.secrets import check_text
from zoo_core.specs import Pin

__all__ = ["Change", "Plan", "RemoteCommit", "changes_anything", "commit_title", "merge", "plan_commit"]

Change = Literal["add", "replace", "merge", "delete", "unchanged", "keep"]
"""``keep``: a file in the repository that the zoo does not publish and does not touch."""

_MAX_PAIRS = 200_000
_TITLE = re.compile(r"(?P<name>.+), by zoo-core \S+")


@dataclass(frozen=True, kw_only=True, slots=True)
class RemoteCommit:
    """The files of a commit on the Hub.

    Args:
        commit: its id; empty for a repository that does not exist yet.
        oids: the id of each file: the sha256 of a large one, git's id of any other.
        private: whether the repository is private.

    Example:
        >>> from zoo_core.publishing.changes import RemoteCommit
        >>> remote = RemoteCommit(commit="0" * 40, oids={"LICENSE": "f3a34851d44d6b97c90fbb99dfcadda1f8e8d3d8"})
        >>> remote.lacks({"LICENSE": b"other", "config.json": b"{}"})
        ('LICENSE', 'config.json')
    """

    commit: str
    oids: Mapping[str, str]
    private: bool = False

    def holds(self, name: str, data: bytes) -> bool:
        """Whether ``data`` is the content of that file."""
        there = self.oids.get(name, "")
        return there == oid_of(data, there)

    def lacks(self, files: Mapping[str, bytes]) -> tuple[str, ...]:
        """The names of the files that are missing or different there."""
        return tuple(name for name, data in files.items() if not self.holds(name, data))


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What one commit would do.

    Args:
        bundle: the files to send; its card holds the edits that were made on the Hub.
        changes: the change of each file of the bundle and of the repository.

    Example:
        >>> from zoo_core.cards import ModelCard
        >>> from zoo_core.publishing import Bundle
        >>> from zoo_core.publishing.changes import Plan
        >>> bundle = Bundle(repo="zoo/cats", name="cats", card=ModelCard({}, ""), files={"LICENSE": b"text"}, pins={})
        >>> Plan(bundle=bundle, changes={"LICENSE": "add", "banner.png": "keep"}).names("add", "replace")
        ('LICENSE',)
    """

    bundle: Bundle
    changes: Mapping[str, Change]

    def names(self, *kinds: Change) -> tuple[str, ...]:
        """Names of the files with one of these changes."""
        return tuple(name for name, kind in self.changes.items() if kind in kinds)


def commit_title(name: str) -> str:
    """The title of a commit that publishes the checkpoint ``name``.

    Example:
        >>> from zoo_core.publishing.changes import commit_title
        >>> commit_title("cats").startswith("cats, by zoo-core ")
        True
    """
    return f"{name}, by zoo-core {__version__}"


def plan_commit(
    bundle: Bundle,
    remote: RemoteCommit,
    titles: Iterable[tuple[str, str]],
    *,
    at: Callable[[str], RemoteCommit],
    read: Callable[[str, str], bytes],
    force: bool = False,
) -> Plan:
    """Compares a bundle with its repository.

    Args:
        bundle: the files to publish.
        remote: the newest commit of the repository.
        titles: ids and titles of its commits, the newest first.
        at: returns the files of another commit of the repository.
        read: returns the bytes of a file of a commit.
        force: whether to replace the work of others.

    Raises:
        UsageError: if files of others would be replaced, or another checkpoint, without ``force``.
        CardError: if the merged card is not a valid card.
    """
    commit, name = next(((commit, match["name"]) for commit, title in titles if (match := _TITLE.fullmatch(title))), ("", ""))
    last = remote if commit == remote.commit else at(commit) if commit else RemoteCommit(commit="", oids={})
    changes: dict[str, Change] = {}
    others = []
    for file, data in bundle.files.items():
        same = remote.holds(file, data)
        exists = file in remote.oids
        changes[file] = "unchanged" if same else "replace" if exists else "add"
        if exists and not same and remote.oids[file] != last.oids.get(file):
            others.append(file)
    for file, oid in remote.oids.items():
        if file not in bundle.files:
            own = last.oids.get(file) == oid
            changes[file] = "delete" if own and file in (*PUBLISHED, *SIGNATURES) else "keep"
    if force:
        return Plan(bundle=bundle, changes=changes)
    if name and name != bundle.name and changes_anything(changes):
        hint = f"publish to another repository, or replace it with {option('force', True)}"
        raise UsageError(f"{bundle.repo} holds another checkpoint, {name:.60}", hint)
    if others == [CARD] and not bundle.pinned and (merged := _with_merged_card(bundle, remote, last, read)):
        return Plan(bundle=merged, changes={**changes, CARD: "merge"})
    if others:
        which = ", ".join(others[:4]) + (f" and {len(others) - 4} more" if len(others) > 4 else "")
        raise UsageError(
            f"{bundle.repo} holds work of others that would be replaced: {which}",
            f"look with {option('dry_run', True)}; copy those files into your folder, or replace them with {option('force', True)}",
        )
    return Plan(bundle=bundle, changes=changes)


def changes_anything(changes: Mapping[str, Change]) -> bool:
    """Whether there is anything to commit."""
    return not {"add", "replace", "merge", "delete"}.isdisjoint(changes.values())


def _with_merged_card(bundle: Bundle, remote: RemoteCommit, last: RemoteCommit, read: Callable[[str, str], bytes]) -> Bundle | None:
    """The bundle with a card that has its own changes and those made on the Hub; None if they touch the same lines."""
    if CARD not in last.oids:
        return None
    try:
        base, theirs = read(last.commit, CARD).decode(), read(remote.commit, CARD).decode()
    except UnicodeDecodeError:
        return None
    text = merge(base, bundle.files[CARD].decode(), theirs)
    if text is None:
        return None
    data = text.encode()
    check_text(CARD, data)
    try:
        card = cards.parse(data)
        if bundle.kind == "model":
            card.validate()
    except CardError as error:
        hint = f"edit it there, or replace it with {option('force', True)}"
        raise CardError(f"the card with the edits on the Hub is not valid: {error.what}", hint) from None
    pin = Pin(sha256=hashlib.sha256(data).hexdigest(), size=len(data))
    return replace(bundle, card=card, files={**bundle.files, CARD: data}, pins={**bundle.pins, CARD: pin})


def merge(base: str, ours: str, theirs: str) -> str | None:
    r"""Three-way merge of texts, by lines.

    Args:
        base: the text that both versions were made from.
        ours: one version.
        theirs: the other.

    Returns:
        The text with the changes of both; None if they change the same or adjacent lines in different ways, or if too
        many lines are equal to compare them in a short time.

    Example:
        >>> from zoo_core.publishing.changes import merge
        >>> merge("a\nb\nc\nd\n", "A\nb\nc\nd\n", "a\nb\nc\nD\n")
        'A\nb\nc\nD\n'
    """
    lines = base.splitlines(keepends=True)
    both = [_edits(lines, text.splitlines(keepends=True)) for text in (ours, theirs)]
    if None in both:
        return None
    ordered = sorted({edit for edits in both for edit in edits or ()})
    if any(later[0] <= earlier[1] for earlier, later in pairwise(ordered)):
        return None
    for start, end, text in reversed(ordered):
        lines[start:end] = text
    return "".join(lines)


def _edits(base: Sequence[str], changed: Sequence[str]) -> list[tuple[int, int, tuple[str, ...]]] | None:
    """The changes of a text: start and end of replaced lines of ``base``, and the new lines.

    None if there are too many pairs of equal lines to compare.
    """
    most = min(len(base), len(changed))
    start = next((place for place in range(most) if base[place] != changed[place]), most)
    most -= start
    end = next((place for place in range(most) if base[-1 - place] != changed[-1 - place]), most)
    base, changed = base[start : len(base) - end], changed[start : len(changed) - end]
    counts = Counter(changed)
    if sum(counts[line] for line in base) > _MAX_PAIRS:
        return None
    matcher = SequenceMatcher(None, base, changed, autojunk=False)
    return [(start + i, start + j, tuple(changed[k:m])) for tag, i, j, k, m in matcher.get_opcodes() if tag != "equal"]
