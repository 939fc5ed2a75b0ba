"""The time limit of one request as a whole, from the first byte sent to the last byte received.

A read timeout alone does not bound a request: a server that sends one byte of a header line every few seconds is never
silent and never done. So a request runs in a thread of its own, which is left behind once its time is up.
"""

import math
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from threading import Thread
from typing import TypeVar

from zoo_core.errors import HubError

__all__ = ["Deadline"]

T = TypeVar("T")

_TICK = 0.5


class Deadline:
    """The end of a request, by the monotonic clock.

    With ``pace``, every byte that has arrived adds to the time, up to ``longest``: a large file may take long on a slow
    line, but a server that sends next to nothing is left soon. The time never depends on a size that a server claims.

    Args:
        server: name of the server, for the message.
        what: name of what was asked for, for the message.
        seconds: time for the request without any byte.
        pace: bytes per second that are enough to go on; infinite where bytes add no time.
        longest: time for the request with any number of bytes, in seconds.

    Example:
        >>> deadline = Deadline("hub.example", "a list", 30.0)
        >>> deadline.run(lambda: "answer")
        'answer'
    """

    def __init__(self, server: str, what: str, seconds: float, *, pace: float = math.inf, longest: float = math.inf) -> None:
        self.received = 0
        self._server = server
        self._what = what
        self._seconds = seconds
        self._pace = pace
        self._longest = longest
        self._start = time.monotonic()

    @property
    def left(self) -> float:
        """Seconds that are left; negative after the end."""
        return self._start + min(self._seconds + self.received / self._pace, self._longest) - time.monotonic()

    def check(self) -> None:
        """Raises HubError if the time is up."""
        if self.left < 0:
            spent = time.monotonic() - self._start
            raise HubError(f"{self._server} is too slow: {self._what} did not arrive within {spent:.0f} s", "try again later")

    def run(self, request: Callable[[], T]) -> T:
        """The result of ``request()``, which runs in a thread; its errors are raised here.

        After the end the thread is left to itself. It must call :meth:`check` before it changes anything.

        Raises:
            HubError: if the time is up before there is a result.
        """
        outcome: Future[T] = Future()

        def work() -> None:
            try:
                outcome.set_result(request())
            except BaseException as error:
                outcome.set_exception(error)

        Thread(target=work, name="zoo-request", daemon=True).start()
        while not outcome.done():
            self.check()
            wait([outcome], timeout=min(max(self.left, 0.0) + 0.001, _TICK))
        return outcome.result()
