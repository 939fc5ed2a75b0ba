"""What goes wrong on purpose, and what was asked: faults that tests switch on, and the log of requests."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from threading import Event, Lock
from time import monotonic
from typing import Any, Literal

__all__ = ["Answer", "Fault", "Log", "Match", "Request"]

DELAY_LIMIT = 30.0
"""Seconds after which a delayed answer is sent although nobody set its event."""


@dataclass(kw_only=True, slots=True)
class Request:
    """A request as it arrived; ``status`` and ``sent`` are filled in just before the first byte of the answer.

    Args:
        method: ``GET``, ``HEAD``, ``POST``, ``PUT`` or ``DELETE``.
        path: percent-decoded, without the query.
        query: the values of each name.
        host: which of the two addresses was asked: the Hub's, or that of large files.
        authorized: whether there was an Authorization header, a wrong one included. The log keeps no token.
        range: the Range header.
        received: bytes of the body.
        status: of the answer; 0 where there was none.
        sent: bytes of the answer's body that the server set out to send.
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
"""A regular expression to find in ``METHOD path``, or a predicate."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What goes back to the client; ``Content-Length`` is added when it is sent."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def with_headers(self, headers: Mapping[str, str | None]) -> "Answer":
        """With these headers added or replaced, or left out where they are None, whatever the case of their names."""
        given = {name.lower() for name in headers}
        kept = {name: value for name, value in self.headers.items() if name.lower() not in given}
        return replace(self, headers=kept | {name: value for name, value in headers.items() if value is not None})


@dataclass(kw_only=True, slots=True)
class Fault:
    """What goes wrong with the requests that match. Several at once are fine.

    ``status``, and ``reset`` without ``truncate``, keep the request from the Hub: nothing is stored. With all others the Hub carries it out
    and only the answer suffers: ``truncate=0`` loses the answer of a commit that was made.

    Args:
        match: which requests.
        times: how often; None for always.
        on_request: called first, with the request: tests kill their client here.
        delay: the answer waits until it is set, or 30 seconds, or the server stops.
        status: the answer's status, with ``body`` and ``headers``.
        body: of an answer with another ``status``; a JSON error when None.
        headers: replace or add headers of the answer; None removes one.
        rewrite: makes another body of the body.
        flip: the index of a byte whose lowest bit is flipped; negative ones count from the end. An empty body, such as a redirect's, stays.
        short: sends as many bytes and says so, as if that were the file: there is no ``X-Linked-Size``.
        extra: sends as many zero bytes more.
        truncate: closes after as many bytes of a body whose length the header gave in full.
        reset: resets the connection instead of an answer, or after the bytes of ``truncate``.
        drip: sends one line of that part every 20 ms and never ends: ``headers``, or ``chunks`` (the extension of a chunk of the body).
        hits: how often it struck.
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
        """Whether it is this request's turn."""
        if self.times is not None and self.hits >= self.times:
            return False
        return self.match(request) if callable(self.match) else re.search(self.match, str(request)) is not None

    def before(self, request: Request, stopping: Event) -> None:
        """What happens before the Hub sees the request."""
        if self.on_request:
            self.on_request(request)
        end = monotonic() + DELAY_LIMIT
        while self.delay and not self.delay.wait(0.02) and not stopping.is_set() and monotonic() < end:
            pass

    @property
    def drops(self) -> bool:
        """Whether the connection is reset before the Hub sees the request."""
        return self.reset and self.truncate is None

    def replaced(self) -> Answer | None:
        """The answer that keeps the request from the Hub, if there is one."""
        if self.status is None:
            return None
        body = b'{"error": "a fault of the loopback Hub"}' if self.body is None else self.body
        return Answer(status=self.status, headers={"Content-Type": "application/json"}, body=body)

    def spoiled(self, answer: Answer) -> Answer:
        """The answer that is sent."""
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
    """The requests so far, the faults that are switched on, and what was raised in a thread of the server."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []
        self._lock = Lock()
        self._requests: list[Request] = []
        self._faults: list[Fault] = []

    def add(self, request: Request) -> Fault:
        """Notes a request. Of the faults that match, the one switched on last strikes; without any, a harmless one is returned."""
        with self._lock:
            self._requests.append(request)
            for fault in reversed(self._faults):
                if fault.strikes(request):
                    fault.hits += 1
                    return fault
        return Fault()

    @property
    def requests(self) -> tuple[Request, ...]:
        """All requests in the order of their arrival."""
        with self._lock:
            return tuple(self._requests)

    @contextmanager
    def fault(self, match: Match, **what: Any) -> Iterator[Fault]:
        """Switches a fault on for a ``with`` block."""
        fault = Fault(match=match, **what)
        with self._lock:
            self._faults.append(fault)
        try:
            yield fault
        finally:
            with self._lock:
                self._faults = [other for other in self._faults if other is not fault]
