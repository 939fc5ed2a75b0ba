"""Upload of a bundle: read the repository, plan the changes, make one commit, and check the files that arrived."""

import logging
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
from zoo_core.hub.client import endpoint, get_body, get_json_pages, host, is_plain_http
from zoo_core.hub.deadline import Deadline
from zoo_core.publishing.bundle import Bundle
from zoo_core.publishing.changes import Change, Plan, RemoteCommit, changes_anything, commit_title, plan_commit
from zoo_core.publishing.failures import after_commit, offline_error, refused_card_error, translate_error, with_empty_repository
from zoo_core.publishing.options import option
from zoo_core.publishing.signing import Signer, check_unsigned
from zoo_core.specs import Pin

if TYPE_CHECKING:
    from httpx2 import Request, Response
    from huggingface_hub import HfApi

__all__ = ["Published", "check_endpoint", "check_tag", "compare", "preview", "send"]

_log = logging.getLogger(__name__)

PATIENCE = 120.0
"""Seconds that the Hub may be silent."""

_PACE = 16 << 10  # bytes per second that an upload must have

_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """The published version of a checkpoint, or the planned one after a dry run.

    Args:
        repo: ``ORG/NAME``.
        commit: commit that holds the files; empty after a dry run.
        files: the sha256 and size of each file, by name.
        card: the complete card.
        changes: the change of each file of the checkpoint and of the repository; None after a dry run that could not
            reach the Hub.
        left_out: files of the folder that are not published.
        url: address of the repository for a browser.

    Example:
        >>> from zoo_core.cards import ModelCard
        >>> from zoo_core.publishing import Published
        >>> changes = {"model.safetensors": "replace", "config.json": "unchanged", "golden.safetensors": "delete"}
        >>> published = Published(repo="zoo/cats", commit="0" * 40, files={}, card=ModelCard({}, ""), changes=changes)
        >>> published.sent, published.deleted
        (('model.safetensors',), ('golden.safetensors',))
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
        """The files that the commit added or changed; empty if all of them were there already."""
        return self._changed("add", "replace", "merge")

    @property
    def deleted(self) -> tuple[str, ...]:
        """The files of an older version that the commit removed."""
        return self._changed("delete")

    @property
    def kept(self) -> tuple[str, ...]:
        """The files of the repository that the zoo does not publish and did not touch."""
        return tuple(name for name in self._changed("keep") if name != ".gitattributes")

    def _changed(self, *kinds: Change) -> tuple[str, ...]:
        return tuple(name for name, kind in (self.changes or {}).items() if kind in kinds)


def check_endpoint() -> str:
    """The address of the Hub, checked before any request.

    Raises:
        TrustError: if it is plain HTTP to another machine, so that everybody on the way could read the token.
        UsageError: if it is not an address.
        OfflineError: if the environment forbids requests.
    """
    address = endpoint()
    if is_offline():
        raise offline_error()
    return address


def check_tag(tag: str | None) -> None:
    """Raises UsageError if ``tag`` is not a name for a tag."""
    if tag is not None and (not _TAG.fullmatch(tag) or ".." in tag or tag.endswith((".", ".lock")) or tag == "main"):
        raise UsageError(f"{tag!r} is not a name for a tag", f"write it as {option('tag', 'v1')}")


def send(
    bundle: Bundle,
    *,
    private: bool = False,
    tag: str | None = None,
    progress: bool = False,
    force: bool = False,
    signer: Signer | None = None,
) -> Published:
    """Makes a repository hold the files of a bundle, in one commit, or in none if it holds them already.

    Files of an older version that the bundle does not have are deleted in that commit; all others stay.

    Args:
        bundle: the files to send.
        private: whether to create the repository as a private one; an existing public one is refused.
        tag: name of a tag for the commit.
        progress: whether to show the client's progress bars on stderr.
        force: whether to replace the work of others in the repository.
        signer: signer of the version; None for none.

    Raises:
        HubError: if there is no login, the Hub refuses or cannot be reached, somebody else published meanwhile, or the
            tag is taken.
        UsageError: if ``private`` is set and the repository is public, or it holds work of others or is signed, without
            ``force`` or ``signer``.
        IntegrityError: if the Hub holds something else than what was sent.
    """
    with _client(bundle.repo, progress) as api:
        translate = partial(translate_error, repo=bundle.repo, token=str(api.token))
        existing = _remote_commit(api, bundle)
        remote = existing or _created(api, bundle, private)
        if private and not remote.private:
            hint = f"make it private in its settings, or leave {option('private')} out"
            raise UsageError(f"{bundle.repo} exists, and is not private", hint)
        with with_empty_repository(bundle.repo, existing is None, translate):
            plan = _plan(api, bundle, remote, force or existing is None, signer)  # the Hub writes a README.md into a new Space
            needed = changes_anything(plan.changes)
            tagged = _tagged(api, bundle, tag)
            if tagged and (needed or tagged != remote.commit):
                hint = f"choose another, such as {option('tag', 'v2')}"
                raise HubError(f"{bundle.repo} has a tag {tag} already, on another version", hint)
            commit = _commit(api, plan, remote) if needed else remote.commit
        if tag and not tagged:
            with after_commit(commit, translate):
                api.create_tag(bundle.repo, tag=tag, revision=commit, repo_type=bundle.kind)
        return _published(plan, commit, str(api.endpoint))


def compare(bundle: Bundle, *, force: bool = False, signer: Signer | None = None) -> Published:
    """The result that :func:`send` would have. The repository is only read.

    Args:
        bundle: the files to compare.
        force: whether to replace the work of others in the repository.

    Raises:
        HubError: if the Hub refuses or cannot be reached.
        UsageError: if the repository holds work of others, without ``force``.
    """
    with _client(bundle.repo, progress=False, may_write=False) as api:
        remote = _remote_commit(api, bundle) or RemoteCommit(commit="", oids={})
        return _published(_plan(api, bundle, remote, force, signer), "", str(api.endpoint))


def preview(bundle: Bundle, *, force: bool = False, signer: Signer | None = None) -> Published:
    """The result of a dry run: that of :func:`compare`, or without changes, and with a warning, if the Hub cannot be asked."""
    try:
        return compare(bundle, force=force, signer=signer)
    except HubError as error:
        _log.warning("zoo: warning: the changes in %s are unknown: %s", bundle.repo, error)
        return Published(repo=bundle.repo, commit="", files=bundle.pins, card=bundle.card, left_out=bundle.left_out)


def _published(plan: Plan, commit: str, endpoint: str) -> Published:
    bundle = plan.bundle
    return Published(
        repo=bundle.repo,
        commit=commit,
        files=bundle.pins,
        card=bundle.card,
        changes=plan.changes,
        left_out=bundle.left_out,
        url=f"{endpoint}/{bundle.path}",
    )


def _plan(api: "HfApi", bundle: Bundle, remote: RemoteCommit, force: bool, signer: Signer | None) -> Plan:
    """The changes to make, by the history of the repository, with signatures if there is a signer."""
    if not (signer or force):
        check_unsigned(bundle.repo, remote)

    def at(commit: str) -> RemoteCommit:
        return _remote_commit(api, bundle, commit) or RemoteCommit(commit=commit, oids={})

    def content(commit: str, name: str) -> bytes:
        return get_body(f"/{bundle.path}/resolve/{commit}/{name}", {}, f"{name} of {bundle.repo}")[0]

    is_empty = not set(remote.oids) - {".gitattributes"}
    plan = plan_commit(bundle, remote, () if is_empty else _history(bundle), at=at, read=content, force=force)
    return signer.signed(plan, remote, content) if signer else plan


def _history(bundle: Bundle) -> Iterator[tuple[str, str]]:
    """The ids and titles of the commits of main, the newest first, requested page by page."""
    what = f"the commits of {bundle.repo}"
    for page in get_json_pages(f"/api/{bundle.kind}s/{bundle.repo}/commits/main", what):
        for item in page:
            if not isinstance(item, dict) or not isinstance(item.get("title"), str):
                raise HubError(f"{host()} does not say what {what} are", "is HF_ENDPOINT a Hugging Face Hub?")
            yield _checked(item.get("id")), item["title"]


@contextmanager
def _client(repo: str, progress: bool, may_write: bool = True) -> "Iterator[HfApi]":
    """The client, logged in if it has to write; its errors become errors of the zoo."""
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
        raise translate_error(error, repo, token) from None


@contextmanager
def _tamed(progress: bool) -> Iterator[None]:
    """Bounds the client's requests in time, which otherwise wait for ever, and silences its log lines."""
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
    """Sends requests to a Hub on this machine without a proxy, which would read the token: they are plain HTTP."""
    from urllib.request import getproxies, proxy_bypass

    from huggingface_hub import close_session

    parts = urlsplit(endpoint())
    if not is_plain_http(endpoint()) or not getproxies().keys() & {"http", "all"} or proxy_bypass(parts.netloc):
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
    """The client's ``send`` with a deadline for each whole request, which depends on the number of bytes to send."""

    def bounded(request: "Request", **options: Any) -> "Response":
        size = request.headers.get("Content-Length", "")
        seconds = PATIENCE + (int(size) / _PACE if size.isdecimal() else 0.0)
        return Deadline(host(), f"an answer to {request.method} {request.url.path}", seconds).run(lambda: send(request, **options))

    return bounded


def _remote_commit(api: "HfApi", bundle: Bundle, revision: str | None = None) -> RemoteCommit | None:
    """The files of a repository at a revision; None if there is no such repository, or it is hidden from this token."""
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    try:
        ask = api.model_info if bundle.kind == "model" else api.space_info
        info = ask(bundle.repo, revision=revision, files_metadata=True, timeout=PATIENCE)
    except RepositoryNotFoundError as error:
        if isinstance(error, GatedRepoError) or error.response.status_code != 404:
            raise
        return None
    oids = {file.rfilename: file.lfs.sha256 if file.lfs else file.blob_id or "" for file in info.siblings or ()}
    return RemoteCommit(commit=_checked(info.sha), private=bool(info.private), oids=oids)


def _created(api: "HfApi", bundle: Bundle, private: bool) -> RemoteCommit:
    """A new repository, once the Hub has accepted the card; it refuses unknown licences, for example."""
    _validate_card(api, bundle)
    sdk = "gradio" if bundle.kind == "space" else None
    api.create_repo(bundle.repo, repo_type=bundle.kind, space_sdk=sdk, private=private, exist_ok=True)
    remote = _remote_commit(api, bundle)
    if remote is None:
        raise NotFoundError(f"the Hub created {bundle.repo}, but does not show it", "run it again in a minute")
    return remote


def _validate_card(api: "HfApi", bundle: Bundle) -> None:
    """Asks the Hub to validate the card. The client makes the same request, but only before a commit.

    Raises:
        CardError: if the Hub refuses the card.
    """
    from huggingface_hub import get_session
    from huggingface_hub.utils import build_hf_headers, hf_raise_for_status  # type: ignore[attr-defined]  # its __init__ has no __all__

    body = {"content": bundle.files[CARD].decode(), "repoType": bundle.kind}
    response = get_session().post(f"{api.endpoint}/api/validate-yaml", json=body, headers=build_hf_headers(token=api.token))
    if response.status_code == 400:
        raise refused_card_error("; ".join(str(error["message"]) for error in response.json()["errors"]), str(api.token))
    hf_raise_for_status(response)


def _tagged(api: "HfApi", bundle: Bundle, tag: str | None) -> str:
    """The commit of a tag; empty if there is no such tag."""
    tags = api.list_repo_refs(bundle.repo, repo_type=bundle.kind).tags if tag else ()
    return next((ref.target_commit for ref in tags if ref.name == tag), "")


def _commit(api: "HfApi", plan: Plan, remote: RemoteCommit) -> str:
    """Makes one commit on top of the one that was read; the Hub refuses it if there is a newer one."""
    from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete
    from huggingface_hub.errors import OfflineModeIsEnabled

    bundle = plan.bundle

    def create(wrap: Callable[[bytes], Any]) -> str:
        operations: list[CommitOperationAdd | CommitOperationCopy | CommitOperationDelete] = [
            *(
                CommitOperationAdd(path_in_repo=name, path_or_fileobj=wrap(bundle.files[name]))
                for name in plan.names("add", "replace", "merge")
            ),
            *(CommitOperationDelete(path_in_repo=name, is_folder=False) for name in plan.names("delete")),
        ]
        title = commit_title(bundle.name)
        return api.create_commit(bundle.repo, operations, commit_message=title, parent_commit=remote.commit, repo_type=bundle.kind).oid

    try:
        commit = _checked(create(bytes))
    except OfflineModeIsEnabled:
        raise
    except ConnectionError:
        # The client's Xet met a server without Xet. The client sends open files by LFS, which both kinds of servers accept.
        commit = _checked(create(BytesIO))
    with after_commit(commit, partial(translate_error, repo=bundle.repo, token=str(api.token))):
        arrived = _remote_commit(api, bundle, commit)
    lacks = arrived.lacks(bundle.files) if arrived else tuple(bundle.files)
    if lacks:
        raise IntegrityError(
            f"{bundle.repo} at {commit[:12]} does not hold what was sent: {', '.join(lacks)}",
            "run it again; if it stays so, look for a .gitignore in the repository",
        )
    return commit


def _checked(commit: object) -> str:
    if not isinstance(commit, str) or not COMMIT.fullmatch(commit):
        raise UnsafeContentError(f"the Hub names a commit {str(commit)[:60]!r}, which is not the id of one", "check HF_ENDPOINT")
    return commit
