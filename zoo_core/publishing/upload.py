"""A parcel on its way to the Hub: what is there, what has to change, one commit, and a look at what arrived."""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from logging import ERROR
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from zoo_core.cards.card import ModelCard
from zoo_core.checkpoint.files import CARD
from zoo_core.errors import HubError, IntegrityError, NotFoundError, UnsafeContentError, UsageError, ZooError
from zoo_core.hub.cache import COMMIT, is_offline
from zoo_core.hub.client import ask_pages, endpoint, host, is_plain, read
from zoo_core.hub.deadline import Deadline
from zoo_core.publishing.bundle import Parcel
from zoo_core.publishing.changes import Change, Plan, Remote, changes_anything, planned, title_of
from zoo_core.publishing.failures import after_commit, offline, refused_card, translated, with_empty_repository
from zoo_core.publishing.options import option
from zoo_core.specs import Pin

if TYPE_CHECKING:
    from httpx2 import Request, Response
    from huggingface_hub import HfApi

__all__ = ["Published", "check_endpoint", "check_tag", "compare", "send"]

PATIENCE = 120.0
"""Seconds that the Hub may be silent."""

_PACE = 16 << 10  # bytes per second that an upload must have

_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """What is on the Hub now, or would be after a dry run.

    Args:
        repo: ``ORG/NAME``.
        commit: that holds the files; empty after a dry run.
        files: the sha256 and size of each.
        card: the complete card.
        changes: what the commit did to each of them, and to each other file of the repository; None after a dry run without a Hub.
        left_out: files of the folder that are not published.
        url: where people look at it.
    """

    repo: str
    commit: str
    files: Mapping[str, Pin]
    card: ModelCard = field(repr=False)
    changes: Mapping[str, Change] | None = None
    left_out: tuple[str, ...] = ()
    url: str = ""

    @property
    def sent(self) -> tuple[str, ...]:
        """The files that the commit added or changed; empty where all of them were there already."""
        return self._changed("add", "replace", "merge")

    @property
    def deleted(self) -> tuple[str, ...]:
        """The files of an older version that the commit removed."""
        return self._changed("delete")

    @property
    def kept(self) -> tuple[str, ...]:
        """The files of the repository that the zoo does not publish, and left alone."""
        return tuple(name for name in self._changed("keep") if name != ".gitattributes")

    def _changed(self, *kinds: Change) -> tuple[str, ...]:
        return tuple(name for name, kind in (self.changes or {}).items() if kind in kinds)


def check_endpoint() -> str:
    """The address of the Hub, checked before anything is asked of it.

    Raises:
        TrustError: it is plain http to another machine, so that everybody on the way could read the token.
        UsageError: it is no address.
        OfflineError: the network is switched off.
    """
    where = endpoint()
    if is_offline():
        raise offline()
    return where


def check_tag(tag: str | None) -> None:
    """Raises UsageError where ``tag`` is no name for a tag."""
    if tag is not None and (not _TAG.fullmatch(tag) or ".." in tag or tag.endswith((".", ".lock")) or tag == "main"):
        raise UsageError(f"{tag!r} is not a name for a tag", f"write it as {option('tag', 'v1')}")


def send(parcel: Parcel, *, private: bool = False, tag: str | None = None, progress: bool = False, force: bool = False) -> Published:
    """Makes the parcel the content of its repository, in one commit, or in none where it is there already.

    Files that an older version left there and that are no part of it any more are deleted in that commit; all others stay.

    Raises:
        HubError: if there is no login, the Hub refuses or cannot be reached, somebody else published meanwhile, or the tag is taken.
        UsageError: if it is to be private and the repository is not, or the repository holds work of others, without ``force``.
        IntegrityError: if the Hub holds something else than what was sent.
    """
    with _client(parcel.repo, progress) as api:
        told = partial(translated, repo=parcel.repo, token=str(api.token))
        found = _remote(api, parcel.repo)
        remote = found or _created(api, parcel, private)
        if private and not remote.private:
            raise UsageError(
                f"{parcel.repo} is there, and not private", f"make it private in its settings, or leave {option('private')} out"
            )
        with with_empty_repository(parcel.repo, found is None, told):
            plan = _plan(api, parcel, remote, force)
            needed = changes_anything(plan.changes)
            tagged = _tagged(api, parcel.repo, tag)
            if tagged and (needed or tagged != remote.commit):
                raise HubError(
                    f"{parcel.repo} has a tag {tag} already, on another version", f"choose another, such as {option('tag', 'v2')}"
                )
            commit = _commit(api, plan, remote) if needed else remote.commit
        if tag and not tagged:
            with after_commit(commit, told=told):
                api.create_tag(parcel.repo, tag=tag, revision=commit)
        return _published(plan, commit, str(api.endpoint))


def compare(parcel: Parcel, *, force: bool = False) -> Published:
    """What :func:`send` would do, by reading the repository alone.

    Raises:
        HubError: if the Hub refuses or cannot be reached.
        UsageError: if the repository holds work of others, without ``force``.
    """
    with _client(parcel.repo, progress=False, may_write=False) as api:
        remote = _remote(api, parcel.repo) or Remote(commit="", oids={})
        return _published(_plan(api, parcel, remote, force), "", str(api.endpoint))


def _published(plan: Plan, commit: str, endpoint: str) -> Published:
    parcel = plan.parcel
    return Published(
        repo=parcel.repo,
        commit=commit,
        files=parcel.pins,
        card=parcel.card,
        changes=plan.changes,
        left_out=parcel.left_out,
        url=f"{endpoint}/{parcel.repo}",
    )


def _plan(api: "HfApi", parcel: Parcel, remote: Remote, force: bool) -> Plan:
    """What is to change, by the history of the repository."""

    def at(commit: str) -> Remote:
        return _remote(api, parcel.repo, commit) or Remote(commit=commit, oids={})

    def content(commit: str, name: str) -> bytes:
        return read(f"/{parcel.repo}/resolve/{commit}/{name}", {}, f"{name} of {parcel.repo}")[0]

    there = set(remote.oids) - {".gitattributes"}
    return planned(parcel, remote, _history(parcel.repo) if there else (), at=at, read=content, force=force)


def _history(repo: str) -> Iterator[tuple[str, str]]:
    """The ids and titles of the commits of main, the newest first, asked for page by page."""
    what = f"the commits of {repo}"
    for page in ask_pages(f"/api/models/{repo}/commits/main", what):
        for item in page:
            if not isinstance(item, dict) or not isinstance(item.get("title"), str):
                raise HubError(f"{host()} does not say what {what} are", "is HF_ENDPOINT a Hugging Face Hub?")
            yield _checked(item.get("id")), item["title"]


@contextmanager
def _client(repo: str, progress: bool, may_write: bool = True) -> "Iterator[HfApi]":
    """The client, logged in if it has to write; its errors become errors of the zoo's."""
    from huggingface_hub import HfApi, get_token

    token = ""
    try:
        with _tamed(progress):
            token = get_token() or ""
            if not token and may_write:
                raise HubError("publishing needs a login", "`hf auth login`, or set HF_TOKEN to a token that may write")
            yield HfApi(endpoint=check_endpoint(), token=token or False)
    except (ZooError, MemoryError):
        raise
    except Exception as error:  # the client raises far outside its own tree of errors, and some texts repeat headers, the token among them
        raise translated(error, repo, token) from None


@contextmanager
def _tamed(progress: bool) -> Iterator[None]:
    """The client with bounded requests and without log lines: of itself it waits for ever."""
    from httpx2 import Timeout
    from huggingface_hub import get_session
    from huggingface_hub.utils import logging
    from huggingface_hub.utils.tqdm import (  # type: ignore[attr-defined]  # a constant that it imports, and obeys above all
        HF_HUB_DISABLE_PROGRESS_BARS,
        are_progress_bars_disabled,
        disable_progress_bars,
    )

    with ExitStack() as stack:
        stack.enter_context(_direct())
        session = get_session()
        if not progress and not are_progress_bars_disabled() and HF_HUB_DISABLE_PROGRESS_BARS is None:
            stack.enter_context(disable_progress_bars())
        stack.callback(logging.set_verbosity, logging.get_verbosity())
        stack.callback(setattr, session, "timeout", session.timeout)
        stack.callback(setattr, session, "send", session.send)
        session.send = _bounded(session.send)  # type: ignore[method-assign]  # of this session alone, and put back
        logging.set_verbosity(ERROR)
        session.timeout = Timeout(PATIENCE)
        yield


@contextmanager
def _direct() -> Iterator[None]:
    """Sends requests to a Hub on this machine past any proxy, which would read the token: they are plain HTTP."""
    from urllib.request import getproxies, proxy_bypass

    from huggingface_hub import close_session

    parts = urlsplit(endpoint())
    if not is_plain(endpoint()) or not getproxies().keys() & {"http", "all"} or proxy_bypass(parts.netloc):
        yield
        return
    before = {name: os.environ.get(name) for name in ("NO_PROXY", "no_proxy")}
    os.environ.update(dict.fromkeys(before, str(parts.hostname)))
    close_session()  # it keeps the proxies that it began with
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
        close_session()


def _bounded(send: "Callable[..., Response]") -> "Callable[..., Response]":
    """The client's ``send`` with a deadline for each request as a whole, which depends on the bytes that are sent."""

    def bounded(request: "Request", **options: Any) -> "Response":
        size = request.headers.get("Content-Length", "")
        seconds = PATIENCE + (int(size) / _PACE if size.isdecimal() else 0.0)
        return Deadline(host(), f"an answer to {request.method} {request.url.path}", seconds).run(lambda: send(request, **options))

    return bounded


def _remote(api: "HfApi", repo: str, revision: str | None = None) -> Remote | None:
    """What a repository holds; None where there is no such repository, or none that we may see."""
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    try:
        info = api.model_info(repo, revision=revision, files_metadata=True, timeout=PATIENCE)
    except RepositoryNotFoundError as error:
        if isinstance(error, GatedRepoError) or error.response.status_code != 404:
            raise
        return None
    oids = {file.rfilename: file.lfs.sha256 if file.lfs else file.blob_id or "" for file in info.siblings or ()}
    return Remote(commit=_checked(info.sha), private=bool(info.private), oids=oids)


def _created(api: "HfApi", parcel: Parcel, private: bool) -> Remote:
    """A new repository, once the Hub has said that it takes the card: it refuses unknown licences, for one."""
    _ask_about_card(api, parcel.files[CARD].decode())
    api.create_repo(parcel.repo, private=private, exist_ok=True)
    remote = _remote(api, parcel.repo)
    if remote is None:
        raise NotFoundError(f"the Hub created {parcel.repo} and does not show it", "run it again in a minute")
    return remote


def _ask_about_card(api: "HfApi", card: str) -> None:
    """The request that the client makes too, but only before a commit.

    Raises:
        CardError: the Hub refuses the card.
    """
    from huggingface_hub import get_session
    from huggingface_hub.utils import build_hf_headers, hf_raise_for_status  # type: ignore[attr-defined]  # its __init__ has no __all__

    asked = {"content": card, "repoType": "model"}
    response = get_session().post(f"{api.endpoint}/api/validate-yaml", json=asked, headers=build_hf_headers(token=api.token))
    if response.status_code == 400:
        raise refused_card("; ".join(str(error["message"]) for error in response.json()["errors"]), str(api.token))
    hf_raise_for_status(response)


def _tagged(api: "HfApi", repo: str, tag: str | None) -> str:
    """The commit that a tag names; empty where there is none."""
    tags = api.list_repo_refs(repo).tags if tag else ()
    return next((ref.target_commit for ref in tags if ref.name == tag), "")


def _commit(api: "HfApi", plan: Plan, remote: Remote) -> str:
    """One commit on top of what was read: the Hub refuses it if there is another one by now."""
    from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete
    from huggingface_hub.errors import OfflineModeIsEnabled

    parcel, sent, deleted = plan.parcel, plan.named("add", "replace", "merge"), plan.named("delete")

    def committed(wrapped: Callable[[bytes], Any]) -> str:
        operations: list[CommitOperationAdd | CommitOperationCopy | CommitOperationDelete] = [
            *(CommitOperationAdd(path_in_repo=name, path_or_fileobj=wrapped(parcel.files[name])) for name in sent),
            *(CommitOperationDelete(path_in_repo=name, is_folder=False) for name in deleted),
        ]
        return api.create_commit(parcel.repo, operations, commit_message=title_of(parcel.name), parent_commit=remote.commit).oid

    try:
        oid = committed(bytes)
    except OfflineModeIsEnabled:
        raise
    except ConnectionError:
        # The client's Xet met a server without Xet. It sends open files by LFS, which both kinds of servers take.
        oid = committed(BytesIO)
    commit = _checked(oid)
    with after_commit(commit, told=partial(translated, repo=parcel.repo, token=str(api.token))):
        arrived = _remote(api, parcel.repo, commit)
    lacks = arrived.lacks(parcel.files) if arrived else tuple(parcel.files)
    if lacks:
        raise IntegrityError(
            f"{parcel.repo} at {oid[:12]} does not hold what was sent: {', '.join(lacks)}",
            "run it again; if it stays so, look for a .gitignore in the repository",
        )
    return oid


def _checked(commit: object) -> str:
    if not isinstance(commit, str) or not COMMIT.fullmatch(commit):
        raise UnsafeContentError(f"the Hub names a commit {str(commit)[:60]!r}, which is none", "check HF_ENDPOINT")
    return commit
