"""How many API calls an org has made in the rolling 24 hours."""

from __future__ import annotations

import threading
from collections import deque
from datetime import datetime, timedelta

from .clock import Clock

WINDOW = timedelta(hours=24)


class ApiUsage:
    """Counts calls per second of the org's clock and forgets those older than 24 hours. Thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._seconds: deque[tuple[datetime, int]] = deque()
        self._used = 0

    def count(self, calls: int = 1) -> int:
        """Add calls made now; the answer is the usage after them."""
        now = self._clock.now()
        with self._lock:
            self._used += calls
            if self._seconds and self._seconds[-1][0] == now:
                calls += self._seconds.pop()[1]
            self._seconds.append((now, calls))
            return self._forget(now)

    def used(self) -> int:
        """Calls made in the last 24 hours."""
        now = self._clock.now()
        with self._lock:
            return self._forget(now)

    def _forget(self, now: datetime) -> int:
        while self._seconds and self._seconds[0][0] <= now - WINDOW:
            self._used -= self._seconds.popleft()[1]
        return self._used
