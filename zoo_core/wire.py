"""Requests to the Hub: each of them bounded in time, tries and size, to an address that may be trusted, with errors of the zoo's own.

They go through the session of the Hub's own client, so with its proxies, certificates and offline switch, and carry its token. The
environment is read at each call. Every redirect is looked at: plain HTTP leads to no other machine, and no token to another address. No
error of the client gets out, since the texts of some repeat what was sent, and so the token.
"""

import ipaddress
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import SplitResult, urlsplit

from zoo_core.cache import is_offline
from zoo_core.errors import GatedError, HubError, NotFoundError, OfflineError, TrustError, UsageError

if TYPE_CHECKING:
    import httpx2

__all__ = ["TIMEOUT", "WAITS", "answer", "ask", "endpoint", "host", "in_time", "trying"]

T = TypeVar("T")

TIMEOUT = 10.0
"""Seconds that a server may be silent."""
WAITS = (0.5, 1.5)
"""Seconds before the second and the third try of a request."""

_PATIENCE = 10.0
_ANSWER_SECONDS, _MAX_ANSWER = 30.0, 8 << 20
_MAX_REDIRECTS = 5
_TEMPORARY = {408, 429, 500, 502, 503, 504}
_REDIRECTS = {301, 302, 303, 307, 308}


class _Temporary(Exception):
    """A failure that another try may mend; ``final`` is the error if none does."""

    def __init__(self, final: HubError, after: float = 0.0) -> None:
        super().__init__(final)
        self.final, self.after = final, after


def endpoint() -> str:
    """The address of the Hub, by ``HF_ENDPOINT``.

    Raises:
        TrustError: it is plain HTTP to another machine.
        UsageError: it is no address.
    """
    given = os.environ.get("HF_ENDPOINT", "").strip().rstrip("/") or "https://huggingface.co"
    parts = _split(given)
    if not parts or parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise UsageError("HF_ENDPOINT is no address of a Hub", "write it as https://HOST, without a password, or unset it")
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        raise TrustError(f"HF_ENDPOINT {parts.hostname} is plain HTTP, which anybody on the way can read and change", "use https")
    return f"{parts.scheme}://{parts.netloc.lower()}{parts.path}"


def host() -> str:
    """The Hub's name, for people."""
    parts = urlsplit(endpoint())
    return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        return parts if parts.port is None or parts.port else None
    except ValueError:
        return None


def _check_redirect(url: str) -> None:
    """Lets HTTPS pass, and plain HTTP on this machine where the Hub itself is asked so."""
    parts = _split(url)
    plain = parts is not None and parts.scheme == "http" and _is_loopback(parts.hostname or "") and endpoint().startswith("http:")
    if not parts or not (parts.scheme == "https" or plain):
        raise TrustError(f"{host()} redirects to {url!r:.80}, which is no HTTPS", "do not use that Hub")


def _is_loopback(name: str) -> bool:
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def ask(path: str, query: Mapping[str, str], what: str) -> Any:
    """The JSON of the answer to a GET; ``what`` names it for people.

    Raises:
        HubError: it does not come, or is none.
    """
    url, deadline = endpoint() + path, time.monotonic() + _ANSWER_SECONDS
    raw = trying(what, lambda: _read(url, query, what, deadline))
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        raise HubError(f"the answer of {host()} about {what} is no JSON", "is HF_ENDPOINT a Hugging Face Hub?") from None


def _read(url: str, query: Mapping[str, str], what: str, deadline: float) -> bytes:
    raw = bytearray()
    with answer(url, {}, what, query) as response:
        for chunk in response.iter_raw():
            in_time(deadline, what)
            raw += chunk
            if len(raw) > _MAX_ANSWER:
                raise HubError(f"the answer of {host()} about {what} has no end", "is HF_ENDPOINT a Hugging Face Hub?")
    return bytes(raw)


def in_time(deadline: float, what: str) -> None:
    """Raises HubError after ``deadline``, by the monotonic clock: a server that drips is never silent, and never done."""
    if time.monotonic() > deadline:
        raise HubError(f"{host()} is too slow: {what} did not come in time", "try again later")


@contextmanager
def answer(url: str, headers: Mapping[str, str], what: str, query: Mapping[str, str] | None = None) -> Iterator["httpx2.Response"]:
    """The answer to one GET, its body still to come; redirects are followed, refusals raised."""
    import httpx2
    from huggingface_hub import get_session

    client = get_session()
    sent = {**_identity(), **headers}
    request: httpx2.Request | None = client.build_request("GET", url, params=query, headers=sent, timeout=httpx2.Timeout(TIMEOUT))
    for _ in range(_MAX_REDIRECTS):
        assert request
        response = client.send(request, stream=True, follow_redirects=False)
        try:
            if response.status_code not in _REDIRECTS or response.next_request is None:
                _check_status(response, what, "authorization" in sent, "/resolve/" in url)
                yield response
                return
            request = response.next_request
            _check_redirect(str(request.url))
        finally:
            response.close()
    raise HubError(f"{host()} redirects without end: {what} did not come", "is HF_ENDPOINT right?")


def _identity() -> dict[str, str]:
    """Who asks, and how the answer must not be packed: a few packed bytes can become gigabytes."""
    from huggingface_hub import constants, get_token

    from zoo_core import __version__

    headers = {"user-agent": f"zoo-core/{__version__}", "accept-encoding": "identity"}
    try:
        token = None if constants.HF_HUB_DISABLE_IMPLICIT_TOKEN else get_token()
    except Exception as error:  # a login that has to be renewed, and cannot be
        raise HubError(f"the Hugging Face token cannot be read: {type(error).__name__}", "log in again: `hf auth login`") from None
    if token and not re.fullmatch(r"[!-~]+", token):
        raise UsageError("the Hugging Face token holds characters that no token has", "set HF_TOKEN again, or unset it")
    return {**headers, "authorization": f"Bearer {token}"} if token else headers


def _check_status(response: "httpx2.Response", what: str, known: bool, is_file: bool) -> None:
    status, code = response.status_code, response.headers.get("X-Error-Code", "")
    if status in _TEMPORARY:
        after = response.headers.get("Retry-After", "")
        seconds = float(after) if re.fullmatch(r"[0-9]{1,6}", after) else 0.0
        hint = f"try again in {seconds:.0f} s" if seconds else "try again later"
        raise _Temporary(HubError(f"{host()} answered {status} for {what}", hint), seconds)
    if status not in (200, 206):
        raise _refusal(status, code, what, known, is_file)
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise HubError(f"{host()} sent {what} packed, which it was asked not to", "is there a proxy in between that packs?")


def _refusal(status: int, code: str, what: str, known: bool, is_file: bool) -> HubError:
    login = "accept its terms on its page there" if known else "log in: set HF_TOKEN, or run `hf auth login`"
    if code == "GatedRepo":
        return GatedError(f"{what} on {host()} is gated: its terms have to be accepted ({status})", login)
    if status == 404 or code == "RepoNotFound":
        code = code or ("EntryNotFound" if is_file else "")
        kind = {"RevisionNotFound": "no such revision", "EntryNotFound": "no such file"}.get(code, "no such repository, or it is private")
        return NotFoundError(f"{host()} has no {what}: {kind} ({status})", "check the spelling; a private one needs HF_TOKEN")
    if status == 401:
        refused = "the token is not accepted" if known else "it asks for a login"
        return GatedError(f"{host()} does not give {what}: {refused} (401)", "check HF_TOKEN, or unset it" if known else login)
    if status == 403:
        return GatedError(f"{host()} does not give {what}: this account may not read it (403)", "ask its authors, or use another HF_TOKEN")
    return HubError(f"{host()} answered {status} for {what}", "is HF_ENDPOINT a Hugging Face Hub?")


def trying(what: str, attempt: Callable[[], T]) -> T:
    """The outcome of an attempt, of which there are three if something temporary goes wrong. No error of the client gets out of here:
    the texts of some repeat headers, and so the token."""
    for wait in (*WAITS, None):
        try:
            return _translated(what, attempt)
        except _Temporary as error:
            if wait is None or error.after > _PATIENCE:
                raise error.final from None
            time.sleep(max(wait, error.after))
    raise AssertionError


def _translated(what: str, attempt: Callable[[], T]) -> T:
    forbidden = OfflineError(f"HF_HUB_OFFLINE forbids requests, also for {what}", "unset it to fetch what is not cached")
    if is_offline():
        raise forbidden
    import httpx2
    from huggingface_hub.errors import OfflineModeIsEnabled

    failed: Exception
    try:
        return attempt()
    except OfflineModeIsEnabled:
        failed = forbidden
    except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ProxyError) as error:
        why = " ".join(str(error).split())[:100] or type(error).__name__
        failed = _Temporary(OfflineError(f"cannot reach {host()} for {what}: {why}", "check the network; what is cached needs none"))
    except (httpx2.TimeoutException, TimeoutError):
        failed = _Temporary(HubError(f"{host()} was silent for {TIMEOUT:g} s: {what} did not come", "try again later"))
    except (httpx2.NetworkError, httpx2.RemoteProtocolError, ConnectionError):
        failed = _Temporary(HubError(f"the connection to {host()} broke: {what} did not come", "try again later"))
    except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as error:
        failed = HubError(f"{host()} cannot be asked for {what}: {type(error).__name__}", "is HF_ENDPOINT right?")
    raise failed from None
