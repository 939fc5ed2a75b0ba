"""A parcel on its way to the Hub: what is there, what has to change, one commit, and a look at what arrived."""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from logging import ERROR
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from zoo_core import __version__
from zoo_core.cache import COMMIT, is_offline, oid_of
from zoo_core.cards import ModelCard
from zoo_core.deadline import Deadline
from zoo_core.errors import (
    CardError,
    GatedError,
    HubError,
    IntegrityError,
    NotFoundError,
    OfflineError,
    UnsafeContentError,
    UsageError,
    ZooError,
)
from zoo_core.hub import CARD
from zoo_core.publishing.parcel import PUBLISHED, Parcel
from zoo_core.specs import Pin
from zoo_core.wire import endpoint, host, is_plain

if TYPE_CHECKING:
    from httpx2 import Request, Response
    from huggingface_hub import HfApi

__all__ = ["Published", "after_commit", "check_endpoint", "check_tag", "send"]

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
        sent: those that the commit added or changed; empty where all of them were there already.
        deleted: files of an older version that the commit removed.
        kept: files of the repository that the zoo does not publish, and left alone.
        left_out: files of the folder that are not published.
        url: where people look at it.
    """

    repo: str
    commit: str
    files: Mapping[str, Pin]
    card: ModelCard = field(repr=False)
    sent: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    url: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Remote:
    """A commit of a repository, with the id of each file: the sha256 of a large one, git's id of any other."""

    commit: str
    private: bool
    oids: Mapping[str, str]

    def holds(self, name: str, data: bytes) -> bool:
        """Whether that is the content of a file there."""
        there = self.oids.get(name, "")
        return there == oid_of(data, there)

    def lacks(self, files: Mapping[str, bytes]) -> tuple[str, ...]:
        """Those of the files that are not there, or are others there."""
        return tuple(name for name, data in files.items() if not self.holds(name, data))


def check_endpoint() -> str:
    """The address of the Hub, checked before anything is asked of it.

    Raises:
        TrustError: it is plain http to another machine, so that everybody on the way could read the token.
        UsageError: it is no address.
        OfflineError: the network is switched off.
    """
    where = endpoint()
    if is_offline():
        raise _offline()
    return where


def check_tag(tag: str | None) -> None:
    """Raises UsageError where ``tag`` is no name for a tag."""
    if tag is not None and (not _TAG.fullmatch(tag) or ".." in tag or tag.endswith((".", ".lock")) or tag == "main"):
        raise UsageError(f"{tag!r} is no name for a tag", "write it as --tag v1")


def send(parcel: Parcel, *, private: bool = False, tag: str | None = None, progress: bool = False) -> Published:
    """Makes the parcel the content of its repository, in one commit, or in none where it is there already.

    Files of the zoo's that are no part of it any more are deleted in that commit; files of others stay.

    Raises:
        HubError: there is no login, or the Hub refuses or cannot be reached; somebody else published meanwhile; the tag is taken.
        UsageError: it is to be private, and the repository is not.
        IntegrityError: the Hub holds something else than what was sent.
    """
    with _client(parcel.repo, progress) as api:
        remote = _remote(api, parcel.repo) or _created(api, parcel, private)
        if private and not remote.private:
            raise UsageError(f"{parcel.repo} is there, and not private", "make it private in its settings, or leave --private out")
        sent = remote.lacks(parcel.files)
        deleted = tuple(name for name in remote.oids if name in PUBLISHED and name not in parcel.files)
        tagged = _tagged(api, parcel.repo, tag)
        if tagged and (sent or deleted or tagged != remote.commit):
            raise HubError(f"{parcel.repo} has a tag {tag} already, on another version", "choose another, such as --tag v2")
        commit = _commit(api, parcel, remote, sent, deleted) if sent or deleted else remote.commit
        if tag and not tagged:
            with after_commit(commit, told=lambda error: _told(error, parcel.repo, str(api.token))):
                api.create_tag(parcel.repo, tag=tag, revision=commit)
    return Published(
        repo=parcel.repo,
        commit=commit,
        files=parcel.pins,
        card=parcel.card,
        sent=sent,
        deleted=deleted,
        kept=tuple(name for name in remote.oids if name not in parcel.files and name not in (*deleted, ".gitattributes")),
        left_out=parcel.left_out,
        url=f"{api.endpoint}/{parcel.repo}",
    )


@contextmanager
def _client(repo: str, progress: bool) -> "Iterator[HfApi]":
    """The client, logged in; what it raises becomes an error of ours."""
    from huggingface_hub import HfApi, get_token

    token = ""
    try:
        with _tamed(progress):
            token = get_token() or ""
            if not token:
                raise HubError("publishing needs a login", "`hf auth login`, or set HF_TOKEN to a token that may write")
            yield HfApi(endpoint=check_endpoint(), token=token)
    except (ZooError, MemoryError):
        raise
    except Exception as error:  # the client raises far outside its own tree of errors, and some texts repeat headers, the token among them
        raise _told(error, repo, token) from None


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


def _remote(api: "HfApi", repo: str, revision: str | None = None) -> _Remote | None:
    """What a repository holds; None where there is no such repository, or none that we may see."""
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    try:
        info = api.model_info(repo, revision=revision, files_metadata=True, timeout=PATIENCE)
    except RepositoryNotFoundError as error:
        if isinstance(error, GatedRepoError) or error.response.status_code != 404:
            raise
        return None
    oids = {file.rfilename: file.lfs.sha256 if file.lfs else file.blob_id or "" for file in info.siblings or ()}
    return _Remote(commit=_checked(info.sha), private=bool(info.private), oids=oids)


def _created(api: "HfApi", parcel: Parcel, private: bool) -> _Remote:
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
        raise _refused_card("; ".join(str(error["message"]) for error in response.json()["errors"]), str(api.token))
    hf_raise_for_status(response)


def _tagged(api: "HfApi", repo: str, tag: str | None) -> str:
    """The commit that a tag names; empty where there is none."""
    tags = api.list_repo_refs(repo).tags if tag else ()
    return next((ref.target_commit for ref in tags if ref.name == tag), "")


def _commit(api: "HfApi", parcel: Parcel, remote: _Remote, sent: tuple[str, ...], deleted: tuple[str, ...]) -> str:
    """One commit on top of what was read: the Hub refuses it if there is another one by now."""
    from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete
    from huggingface_hub.errors import OfflineModeIsEnabled

    def committed(wrapped: Callable[[bytes], Any]) -> str:
        operations: list[CommitOperationAdd | CommitOperationCopy | CommitOperationDelete] = [
            *(CommitOperationAdd(path_in_repo=name, path_or_fileobj=wrapped(parcel.files[name])) for name in sent),
            *(CommitOperationDelete(path_in_repo=name, is_folder=False) for name in deleted),
        ]
        title = f"{parcel.name}, by zoo-core {__version__}"
        return api.create_commit(parcel.repo, operations, commit_message=title, parent_commit=remote.commit).oid

    try:
        oid = committed(bytes)
    except OfflineModeIsEnabled:
        raise
    except ConnectionError:
        # The client's Xet met a server without Xet. It sends open files by LFS, which both kinds of servers take.
        oid = committed(BytesIO)
    commit = _checked(oid)
    with after_commit(commit, told=lambda error: _told(error, parcel.repo, str(api.token))):
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


# Errors


@contextmanager
def after_commit(commit: str, told: Callable[[Exception], ZooError] | None = None) -> Iterator[None]:
    """An error of what is left to do says that the commit is made; ``told`` makes one of ours of the client's."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        ours = error if isinstance(error, ZooError) else told(error) if told else None
        if ours is None:
            raise
        ours.what = f"published as {commit}; {ours.what}"
        ours.hint = "; ".join(filter(None, [ours.hint, "another run makes no second commit, and does what is left"]))
        raise ours from ours.__cause__


def _told(error: Exception, repo: str, token: str) -> ZooError:
    """Our error for what the client raised. It never holds the token, even if the server sent it back."""
    import httpx2
    from huggingface_hub import errors

    if isinstance(error, RuntimeError) and isinstance(error.__cause__, Exception):  # an upload in one of the client's threads
        error = error.__cause__
    why = _line(error, token)
    if isinstance(error, errors.OfflineModeIsEnabled):
        return _offline()
    if isinstance(error, errors.GatedRepoError):
        return GatedError(f"{repo} is gated, and you may not see it", "ask its owner for access")
    if isinstance(error, errors.HfHubHTTPError):
        return _refused(error.response.status_code, repo, _line(error.server_message or "", token))
    if isinstance(error, httpx2.HTTPError | ConnectionError | TimeoutError):
        return HubError(f"the connection to the Hub failed: {why}", "run it again: it goes on from what has arrived")
    if isinstance(error, ValueError) and "README.md" in why:
        return _refused_card(why, token)
    if isinstance(error, errors.OIDCError | errors.DeviceCodeError | errors.LocalTokenNotFoundError):
        return HubError(f"cannot log in: {why}", "`hf auth login`, or set HF_TOKEN to a token that may write")
    return HubError(f"the Hub and its client do not get along: {type(error).__name__}: {why}", "run it again")


def _refused_card(why: str, token: str) -> CardError:
    return CardError(f"the Hub refuses the card: {_line(why, token)}", "edit README.md, or name another --license")


def _offline() -> OfflineError:
    return OfflineError("HF_HUB_OFFLINE forbids requests, and publishing needs the Hub", "unset it, or look with --dry-run")


def _refused(status: int, repo: str, message: str) -> HubError:
    said = f": {message}" if message else ""
    match status:
        case 401:
            return HubError("the Hub does not know your token", "`hf auth login`, or set HF_TOKEN to a token that may write")
        case 403:
            return HubError(f"you may not write to {repo}{said}", "use a token that may write, and a namespace that is yours")
        case 404:
            return NotFoundError(f"the Hub finds no {repo}{said}", "check its name and your rights")
        case 412:
            return HubError(f"somebody else published to {repo} meanwhile; nothing of yours was", "look at what is there, and run it again")
        case 408 | 429 | 500 | 502 | 503 | 504:
            return HubError(f"the Hub is too busy, or down (status {status}){said}", "run it again later")
    return HubError(f"the Hub refuses (status {status}){said}", f"look at the settings of {repo}")


def _line(error: object, token: str) -> str:
    text = " ".join(str(error).split())
    return (text.replace(token, "***") if token else text)[:200]
