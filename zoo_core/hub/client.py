"""HTTP requests to the Hub: bounded in time, tries and size, sent to trusted addresses only, with errors of the zoo.

HTTPS requests use the session of the Hub's own client, with its proxies, certificates, offline switch and token. Plain
HTTP is for a Hub on this machine; it never goes through a proxy, which would read the token. The environment is read at
each call. Every redirect is checked: plain HTTP leads to no other machine, and no token to another address. Errors of
the client are replaced, since the texts of some repeat headers, and so the token.
"""

import atexit
import ipaddress
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from email.utils import parsedate_to_datetime
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import SplitResult, urlsplit

from zoo_core.errors import GatedError, HubError, LoginError, NotFoundError, OfflineError, TrustError, UsageError
from zoo_core.hub.cache import is_offline
from zoo_core.hub.deadline import Deadline
from zoo_core.hub.redaction import TOKEN_VARIABLES

if TYPE_CHECKING:
    import httpx2

__all__ = [
    "TIMEOUT",
    "WAITS",
    "endpoint",
    "get_body",
    "get_json",
    "get_json_pages",
    "get_response",
    "host",
    "is_plain_http",
    "login_hint",
    "proxy_of",
    "retry_after",
    "with_retries",
]

T = TypeVar("T")

TIMEOUT = 10.0
"""Seconds that a server may be silent."""
WAITS = (0.5, 1.5)
"""Seconds before the second and the third try of a request."""

_PATIENCE = 10.0
_ANSWER_SECONDS, _MAX_ANSWER = 30.0, 8 << 20
_MAX_PAGES = 1000
_MAX_REDIRECTS = 5
_TEMPORARY = {408, 429, 500, 502, 503, 504}
_REDIRECTS = {301, 302, 303, 307, 308}


class _Temporary(Exception):
    """A failure that may not happen again; ``final`` is the error after the last try."""

    def __init__(self, final: HubError, after: float = 0.0) -> None:
        super().__init__(final)
        self.final, self.after = final, after


def endpoint() -> str:
    """The address of the Hub, from ``HF_ENDPOINT``.

    Raises:
        TrustError: if it is plain HTTP to another machine.
        UsageError: if it is not an address.
    """
    set_to = os.environ.get("HF_ENDPOINT", "")
    given = set_to.strip().rstrip("/") or "https://huggingface.co"
    if set_to != set_to.strip():
        os.environ["HF_ENDPOINT"] = set_to.strip()  # the Hub's client reads it too, and fails at a blank
    parts = _split(given)
    if not parts or parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise UsageError("HF_ENDPOINT is not an address of a Hub", "write it as https://HOST, without a password, or unset it")
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        raise TrustError(f"HF_ENDPOINT {parts.hostname} is plain HTTP, which anybody on the way can read and change", "use https")
    return f"{parts.scheme}://{parts.netloc.lower()}{parts.path}"


def host() -> str:
    """Name of the Hub, with its port if it has one, for messages."""
    parts = urlsplit(endpoint())
    return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        return parts if parts.port is None or parts.port else None
    except ValueError:
        return None


def _check_redirect(url: str) -> None:
    """Raises TrustError unless a redirect leads to HTTPS, or to this machine if the Hub itself is on it."""
    parts = _split(url)
    plain = parts is not None and parts.scheme == "http" and _is_loopback(parts.hostname or "") and endpoint().startswith("http:")
    if not parts or not (parts.scheme == "https" or plain):
        raise TrustError(f"{host()} redirects to {url!r:.80}, which is not HTTPS", "do not use that Hub")


def _is_loopback(name: str) -> bool:
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def get_json(path: str, query: Mapping[str, str], what: str) -> Any:
    """The JSON answer to a GET.

    Args:
        path: path below the Hub's address.
        query: query parameters.
        what: name of what is asked for, for messages.

    Raises:
        HubError: if there is no answer, or it is not JSON.
    """
    return _json(get_body(path, query, what)[0], what)


def get_json_pages(path: str, what: str) -> Iterator[list[Any]]:
    """The pages of a long JSON list, each requested when it is needed, and no more than a thousand.

    Args:
        path: path of the first page below the Hub's address.
        what: name of what is asked for, for messages.

    Raises:
        HubError: if there is no answer, it is not a JSON list, or its next page is on another server.
    """
    for _ in range(_MAX_PAGES):
        raw, after = get_body(path, {}, what)
        page = _json(raw, what)
        if not isinstance(page, list):
            raise HubError(f"the answer of {host()} about {what} is not a list", "is HF_ENDPOINT a Hugging Face Hub?")
        yield page
        if not after:
            return
        if not after.startswith(f"{endpoint()}/"):  # which would get the token
            raise HubError(f"{host()} says that {what} goes on at another server", "is HF_ENDPOINT right?")
        path = after.removeprefix(endpoint())
    raise HubError(f"the answer of {host()} about {what} has no end", "is HF_ENDPOINT a Hugging Face Hub?")


def _json(raw: bytes, what: str) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        raise HubError(f"the answer of {host()} about {what} is not JSON", "is HF_ENDPOINT a Hugging Face Hub?") from None


def get_body(path: str, query: Mapping[str, str], what: str) -> tuple[bytes, str]:
    """The body of the answer to a GET, at most 8 MiB, and the address of the next page; empty if there is none.

    Args:
        path: path below the Hub's address.
        query: query parameters.
        what: name of what is asked for, for messages.

    Raises:
        HubError: if there is no answer.
    """
    url = endpoint() + path
    deadline = Deadline(host(), what, _ANSWER_SECONDS)
    return with_retries(what, lambda: _read(url, query, what, deadline), deadline)


def _read(url: str, query: Mapping[str, str], what: str, deadline: Deadline) -> tuple[bytes, str]:
    raw = bytearray()
    with get_response(url, {}, what, query) as response:
        for chunk in response.iter_raw():
            deadline.check()
            raw += chunk
            if len(raw) > _MAX_ANSWER:
                raise HubError(f"the answer of {host()} about {what} has no end", "is HF_ENDPOINT a Hugging Face Hub?")
        return bytes(raw), response.links.get("next", {}).get("url", "")


@contextmanager
def get_response(url: str, headers: Mapping[str, str], what: str, query: Mapping[str, str] | None = None) -> Iterator["httpx2.Response"]:
    """The answer to one GET, with its body unread; redirects are followed, and refusals are raised."""
    import httpx2

    sent = {**_identity(), **headers}
    client = _client(url)
    request: httpx2.Request | None = client.build_request("GET", url, params=query or None, headers=sent, timeout=httpx2.Timeout(TIMEOUT))
    for _ in range(_MAX_REDIRECTS):
        assert request
        response = _client(str(request.url)).send(request, stream=True, follow_redirects=False)
        try:
            if response.status_code not in _REDIRECTS or response.next_request is None:
                _check_status(response, what, "authorization" in sent, "/resolve/" in url)
                yield response
                return
            request = response.next_request
            _check_redirect(str(request.url))
        finally:
            response.close()
    raise HubError(f"{host()} redirects without end: {what} did not arrive", "is HF_ENDPOINT right?")


def _client(url: str) -> "httpx2.Client":
    """The session of the Hub's own client; for plain HTTP, which stays on this machine, one that uses no proxy."""
    if is_plain_http(url):
        return _direct()
    from huggingface_hub import get_session

    return get_session()


@cache
def _direct() -> "httpx2.Client":
    import httpx2

    client = httpx2.Client(trust_env=False)
    atexit.register(client.close)
    return client


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_direct.cache_clear)  # connections cannot be shared with a child process


def is_plain_http(url: str) -> bool:
    """Whether an address is plain HTTP."""
    return url.lower().startswith("http://")


def proxy_of(url: str) -> str:
    """The proxy for an address from the environment, as ``HOST:PORT`` without a password; empty if there is none."""
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(url)
    proxies = {} if is_plain_http(url) or proxy_bypass(parts.netloc) else getproxies()
    given = _split(proxies.get(parts.scheme) or proxies.get("all") or "")
    return given.netloc.rpartition("@")[2] if given else ""


def _identity() -> dict[str, str]:
    """Headers with the token, and without compression: a few compressed bytes can become gigabytes."""
    from huggingface_hub import constants, get_token

    from zoo_core import __version__

    headers = {"user-agent": f"zoo-core/{__version__}", "accept-encoding": "identity"}
    try:
        token = None if constants.HF_HUB_DISABLE_IMPLICIT_TOKEN else get_token()
    except Exception as error:  # a login that has to be renewed, and cannot be
        raise LoginError(f"the Hugging Face token cannot be read: {type(error).__name__}", login_hint()) from None
    if token and not re.fullmatch(r"[!-~]+", token):
        raise UsageError("the Hugging Face token has characters that no token has", login_hint())
    return {**headers, "authorization": f"Bearer {token}"} if token else headers


def login_hint() -> str:
    """The next step after a token was not accepted: it is in the environment, or in the file of ``hf auth login``."""
    given = next((name for name in TOKEN_VARIABLES if os.environ.get(name)), "")
    return f"set {given} again, or unset it" if given else "log in again: `hf auth login`; or log out: `hf auth logout`"


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds until another try is welcome, from ``Retry-After`` (seconds or a date) or ``RateLimit``.

    0 if the server states neither.
    """
    given = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]{1,6}", given):
        return float(given)
    with suppress(ValueError, TypeError, OverflowError):
        return max(0.0, parsedate_to_datetime(given).timestamp() - time.time())
    limit = re.search(r";\s*r\s*=\s*0\s*;\s*t\s*=\s*([0-9]{1,6})", headers.get("RateLimit", ""))
    return float(limit[1]) if limit else 0.0


def _check_status(response: "httpx2.Response", what: str, known: bool, is_file: bool) -> None:
    status = response.status_code
    code = response.headers.get("X-Error-Code", "")
    if status in _TEMPORARY:
        seconds = retry_after(response.headers)
        hint = f"try again in {seconds:.0f} s" if seconds else "try again later"
        raise _Temporary(HubError(f"{host()} answered {status} for {what}", hint), seconds)
    if status not in (200, 206):
        raise _refusal(status, code, what, known, is_file)
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise HubError(f"{host()} sent {what} compressed, which it was asked not to do", "is there a proxy in between that compresses?")


def _refusal(status: int, code: str, what: str, known: bool, is_file: bool) -> HubError:
    login = "accept its terms on its page there" if known else "log in: set HF_TOKEN, or run `hf auth login`"
    if code == "GatedRepo":
        return GatedError(f"{what} on {host()} is gated: its terms have to be accepted ({status})", login)
    if status == 404 or code == "RepoNotFound":
        code = code or ("EntryNotFound" if is_file else "")
        kind = {"RevisionNotFound": "no such revision", "EntryNotFound": "no such file"}.get(code, "no such repository, or it is private")
        return NotFoundError(f"{host()} has no {what}: {kind} ({status})", "check the spelling; a private one needs HF_TOKEN")
    if status == 401 and known:
        return LoginError(f"{host()} does not give {what}: the token is not accepted (401)", login_hint())
    if status == 401:
        return GatedError(f"{host()} does not give {what}: it asks for a login (401)", login)
    if status == 403:
        return GatedError(f"{host()} does not give {what}: this account may not read it (403)", "ask its authors, or use another HF_TOKEN")
    return HubError(f"{host()} answered {status} for {what}", "is HF_ENDPOINT a Hugging Face Hub?")


def with_retries(what: str, attempt: Callable[[], T], deadline: Deadline) -> T:
    """The result of an attempt, which is made three times if failures are temporary, within one deadline.

    Errors of the client are replaced: the texts of some repeat headers, and so the token.
    """
    for wait in (*WAITS, None):
        try:
            return _translated(what, lambda: deadline.run(attempt))
        except _Temporary as error:
            if wait is None or error.after > _PATIENCE:
                raise error.final from None
            time.sleep(max(wait, error.after))
    raise AssertionError


def _translated(what: str, attempt: Callable[[], T]) -> T:
    forbidden = OfflineError(f"HF_HUB_OFFLINE forbids requests, also for {what}", "unset it to fetch files that are not cached")
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
        failed = _Temporary(_unreachable(what, error))
    except (httpx2.TimeoutException, TimeoutError):
        failed = _Temporary(HubError(f"{host()} was silent for {TIMEOUT:g} s: {what} did not arrive", "try again later"))
    except (httpx2.NetworkError, httpx2.RemoteProtocolError, ConnectionError):
        failed = _Temporary(HubError(f"the connection to {host()} broke: {what} did not arrive", "try again later"))
    except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as error:
        failed = HubError(f"the request to {host()} for {what} failed: {type(error).__name__}", "is HF_ENDPOINT right?")
    raise failed from None


def _unreachable(what: str, error: Exception) -> OfflineError:
    why = " ".join(str(error).split())[:100] or type(error).__name__
    proxy = proxy_of(endpoint())
    if proxy:
        return OfflineError(f"cannot reach {host()} through the proxy {proxy} for {what}: {why}", "check HTTPS_PROXY, or unset it")
    return OfflineError(f"cannot reach {host()} for {what}: {why}", "check the network; cached files need none")
