"""The org's own clock, which tests and demos may move."""

import threading
from datetime import UTC, datetime, timedelta


class Clock:
    """A server clock in whole seconds of UTC; thread-safe.

    Without a start it follows real time; with one it stands still and moves only by `advance`.
    """

    def __init__(self, start: datetime | None = None) -> None:
        if start is not None and start.tzinfo is None:
            raise ValueError("the start of a clock needs a time zone")
        self._start = None if start is None else start.astimezone(UTC)
        self._offset = timedelta(0)
        self._lock = threading.Lock()

    def now(self) -> datetime:
        """Return the current time of the org, without fractions of a second."""
        with self._lock:
            return ((self._start or datetime.now(UTC)) + self._offset).replace(microsecond=0)

    def advance(self, seconds: float) -> None:
        """Shift the clock forward; ValueError for a negative shift."""
        if seconds < 0:
            raise ValueError("a clock only moves forward")
        with self._lock:
            self._offset += timedelta(seconds=seconds)
