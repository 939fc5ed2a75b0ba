"""The waiting line of requests: bounded, in the order of arrival, one at work at a time."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from zoo_core.errors import Interrupted, ResourceError

__all__ = ["Line", "Place"]

_LOOK = 0.25  # seconds between looks at a place that was given up


class Place:
    """The place of a request in the line, which its owner can give up.

    >>> place = Place("visitor", seconds=60.0)
    >>> place.give_up()
    >>> place.check()
    Traceback (most recent call last):
    zoo_core.errors.Interrupted: stopped

    Args:
        owner: name of the visitor.
        seconds: time that the work may take, from its start.
    """

    def __init__(self, owner: str, seconds: float) -> None:
        self.owner = owner
        self._seconds = seconds
        self._end: float | None = None
        self._given_up = threading.Event()

    def begin(self) -> None:
        """Starts the clock of the work."""
        self._end = time.monotonic() + self._seconds

    def give_up(self) -> None:
        """Asks the work to stop at its next step."""
        self._given_up.set()

    def check(self) -> None:
        """Called between steps of the work.

        Raises:
            Interrupted: if the place was given up.
            ResourceError: if the time is over.
        """
        if self._given_up.is_set():
            raise Interrupted("stopped", signum=signal.SIGINT)
        if self._end is not None and time.monotonic() > self._end:
            raise ResourceError(f"this took longer than {self._seconds:g} s", "ask for fewer samples, or fewer steps")


class Line:
    """A waiting line.

    >>> line = Line(limit=1)
    >>> with line.place("a") as first:
    ...     len(line)
    1
    >>> len(line)
    0

    Args:
        limit: largest number of requests in the line, with the one at work.
        seconds: longest time of one of them at work.
    """

    def __init__(self, limit: int = 20, seconds: float = 300.0) -> None:
        self.limit = limit
        self._seconds = seconds
        self._places: list[Place] = []
        self._moved = threading.Condition()

    def __len__(self) -> int:
        return len(self._places)

    @contextmanager
    def place(self, owner: str = "", on_wait: Callable[[int], None] = lambda ahead: None) -> Iterator[Place]:
        """Waits for the turn of a request; in the ``with`` block it is at work, and leaves the line at the end.

        Args:
            owner: name of the visitor, for :meth:`give_up`.
            on_wait: called now and then with the number of requests ahead, at least 1.

        Raises:
            ResourceError: if the line is full.
            Interrupted: if the place was given up while it waited.
        """
        place = Place(owner, self._seconds)
        with self._moved:
            if len(self._places) >= self.limit:
                what = f"the page is busy: {self.limit} requests are in the line"
                raise ResourceError(what, "try again in a minute")
            self._places.append(place)
        try:
            while ahead := self._ahead(place):
                on_wait(ahead)
                place.check()
                with self._moved:
                    self._moved.wait(_LOOK)
            place.begin()
            yield place
        finally:
            with self._moved:
                self._places.remove(place)
                self._moved.notify_all()

    def give_up(self, owner: str) -> int:
        """Gives up all places of a visitor, and returns their number."""
        with self._moved:
            own = [place for place in self._places if place.owner == owner]
        for place in own:
            place.give_up()
        return len(own)

    def _ahead(self, place: Place) -> int:
        with self._moved:
            return self._places.index(place)
