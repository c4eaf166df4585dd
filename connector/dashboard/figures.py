"""Numbers that take a walk over all records: counted beside the pages, so that none waits for them."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillCounting
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cdp import queries
from cdp.db import transaction

GOOD_FOR = timedelta(seconds=30)
PATIENCE = 0.3  # seconds that a page waits when nothing has been counted yet


@dataclass(frozen=True)
class Figures:
    """The totals, how records fold into people, activities by kind and by day, and when they were counted."""

    at: datetime
    totals: queries.Row
    folding: list[queries.Row]
    kinds: dict[str, int]
    days: list[queries.Row]

    @property
    def activities(self) -> int:
        """How many activities there are."""
        return sum(self.kinds.values())


class Counter:
    """Counts at most every so often, one count at a time."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="figures")
        self._lock = threading.Lock()
        self._latest: Figures | None = None
        self._running: Future[Figures] | None = None

    def latest(self) -> Figures | None:
        """Return what was counted last, and count anew beside it when that is old; None until the first count ends.

        Raises:
            DatabaseUnavailable: the first count failed.
        """
        with self._lock:
            if self._running is not None and self._running.done():
                done, self._running = self._running, None
                self._latest = done.result()
            is_old = self._latest is None or datetime.now(UTC) - self._latest.at > GOOD_FOR
            if is_old and self._running is None:
                self._running = self._threads.submit(self._count)
            running, known = self._running, self._latest
        if known is not None or running is None:
            return known
        try:
            return running.result(PATIENCE)
        except StillCounting:
            return None

    def _count(self) -> Figures:
        with transaction(self._url) as database:
            return Figures(
                at=datetime.now(UTC),
                totals=queries.totals(database),
                folding=queries.people_by_source(database),
                kinds=queries.activities_by_kind(database),
                days=queries.recent_activities(database),
            )
