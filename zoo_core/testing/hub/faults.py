"""Faults that tests switch on, and the log of requests."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from threading import Event, Lock
from time import monotonic
from typing import Any, Literal

__all__ = ["Answer", "Fault", "Log", "Match", "Request"]

DELAY_LIMIT = 30.0
"""Seconds after which a delayed answer is sent even if its event was not set."""


@dataclass(kw_only=True, slots=True)
class Request:
    """A request that arrived; ``status`` and ``sent`` are set just before the first byte of the answer.

    >>> request = Request(method="GET", path="/api/models", query={}, host="hub", authorized=False, range=None, received=0)
    >>> str(request)
    'GET /api/models'

    Args:
        method: ``GET``, ``HEAD``, ``POST``, ``PUT`` or ``DELETE``.
        path: percent-decoded path, without the query.
        query: values of the query by name.
        host: address that was asked: ``hub``, or ``content`` for large files.
        authorized: whether there was an Authorization header, even a wrong one. The log holds no token.
        range: the Range header.
        received: number of bytes of the body.
        status: status of the answer; 0 without an answer.
        sent: number of bytes of the answer's body that the server began to send.
    """

    method: str
    path: str
    query: Mapping[str, Sequence[str]]
    host: Literal["hub", "content"]
    authorized: bool
    range: str | None
    received: int
    status: int = 0
    sent: int = 0

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


Match = str | Callable[[Request], bool]
"""A regular expression to search in ``METHOD path``, or a predicate."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """An answer to the client, without the header ``Content-Length``.

    >>> Answer(headers={"ETag": "a"}).with_headers({"etag": "b"}).headers
    {'etag': 'b'}

    Args:
        status: HTTP status.
        headers: headers by name.
        body: body of the answer.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def with_headers(self, headers: Mapping[str, str | None]) -> "Answer":
        """The answer with headers added or replaced, or removed for None; the case of their names does not matter."""
        given = {name.lower() for name in headers}
        kept = {name: value for name, value in self.headers.items() if name.lower() not in given}
        return replace(self, headers=kept | {name: value for name, value in headers.items() if value is not None})


@dataclass(kw_only=True, slots=True)
class Fault:
    """A fault of the requests that match; options may be combined.

    ``status``, and ``reset`` without ``truncate``, keep the request from the Hub, which stores nothing. With all other options the Hub
    carries the request out, and only the answer is changed: ``truncate=0`` loses the answer of a successful commit.

    >>> Fault(flip=0).spoiled(Answer(body=b"a")).body
    b'`'

    Args:
        match: requests that have the fault.
        times: number of requests that have it; None for all.
        on_request: function called first with the request; tests kill their client here.
        delay: event for which the answer waits, at most 30 seconds or until the server stops.
        status: status of the answer, with ``body`` and ``headers``.
        body: body of an answer with another ``status``; a JSON error when None.
        headers: headers of the answer to add or replace; None removes one.
        rewrite: function from the body to another body.
        flip: index of a byte whose lowest bit is flipped; negative ones count from the end. An empty body, as of a redirect, stays.
        short: number of bytes to send as if they were the whole file, without ``X-Linked-Size``.
        extra: number of zero bytes to append.
        truncate: number of bytes after which to close, although the header announces the whole body.
        reset: whether to reset the connection instead of an answer, or after the bytes of ``truncate``.
        drip: part of the answer of which a line is sent every 20 ms without end: ``headers``, or ``chunks`` (extensions of a chunk).
        hits: number of requests that had the fault so far.
    """

    match: Match = ""
    times: int | None = None
    on_request: Callable[[Request], object] | None = None
    delay: Event | None = None
    status: int | None = None
    body: bytes | None = None
    headers: Mapping[str, str | None] = field(default_factory=dict)
    rewrite: Callable[[bytes], bytes] | None = None
    flip: int | None = None
    short: int | None = None
    extra: int = 0
    truncate: int | None = None
    reset: bool = False
    drip: Literal["headers", "chunks"] | None = None
    hits: int = 0

    def strikes(self, request: Request) -> bool:
        """Whether a request has the fault."""
        if self.times is not None and self.hits >= self.times:
            return False
        return self.match(request) if callable(self.match) else re.search(self.match, str(request)) is not None

    def before(self, request: Request, stopping: Event) -> None:
        """Calls ``on_request`` and waits for ``delay``, before the Hub gets the request."""
        if self.on_request:
            self.on_request(request)
        end = monotonic() + DELAY_LIMIT
        while self.delay and not self.delay.wait(0.02) and not stopping.is_set() and monotonic() < end:
            pass

    @property
    def drops(self) -> bool:
        """Whether the connection is reset before the Hub gets the request."""
        return self.reset and self.truncate is None

    def replaced(self) -> Answer | None:
        """The answer in the place of the Hub's; None without ``status``."""
        if self.status is None:
            return None
        body = b'{"error": "a fault of the loopback Hub"}' if self.body is None else self.body
        return Answer(status=self.status, headers={"Content-Type": "application/json"}, body=body)

    def spoiled(self, answer: Answer) -> Answer:
        """The answer of the Hub with the fault."""
        body = self.rewrite(answer.body) if self.rewrite else answer.body
        if self.flip is not None and body:
            changed = bytearray(body)
            changed[self.flip] ^= 1
            body = bytes(changed)
        body = body[: self.short] + bytes(self.extra)
        headers: dict[str, str | None] = {"Content-Length": str(len(body))}
        if self.short is not None:
            headers["X-Linked-Size"] = None
        return replace(answer, body=body).with_headers(headers).with_headers(self.headers)


class Log:
    """The requests so far, the active faults, and the exceptions in threads of the server.

    >>> log = Log()
    >>> with log.fault("GET /missing", status=404):
    ...     log.add(Request(method="GET", path="/missing", query={}, host="hub", authorized=False, range=None, received=0)).status
    404
    """

    def __init__(self) -> None:
        self.errors: list[Exception] = []
        self._lock = Lock()
        self._requests: list[Request] = []
        self._faults: list[Fault] = []

    def add(self, request: Request) -> Fault:
        """Logs a request, and returns its fault: the last active one that matches, or else one without effect."""
        with self._lock:
            self._requests.append(request)
            for fault in reversed(self._faults):
                if fault.strikes(request):
                    fault.hits += 1
                    return fault
        return Fault()

    @property
    def requests(self) -> tuple[Request, ...]:
        """All requests in the order of arrival."""
        with self._lock:
            return tuple(self._requests)

    @contextmanager
    def fault(self, match: Match, **options: Any) -> Iterator[Fault]:
        """Inside a ``with`` block, a fault is active."""
        fault = Fault(match=match, **options)
        with self._lock:
            self._faults.append(fault)
        try:
            yield fault
        finally:
            with self._lock:
                self._faults = [other for other in self._faults if other is not fault]
