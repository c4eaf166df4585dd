"""Numbers that take a walk over all records: counted beside the pages, so that none waits for them."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillCounting
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cdp import queries
from cdp.db import transaction

GOOD_FOR = timedelta(seconds=30)  # or less, where counting takes less than a tenth of that
COUNTING_SHARE = 0.1
PATIENCE = 0.3  # seconds that a page waits for a first count, or for one that takes no longer


@dataclass(frozen=True)
class Figures:
    """The totals, how records fold into people, activities by kind and by day; when counted, and how long that took."""

    at: datetime
    took: timedelta
    totals: queries.Row
    folding: list[queries.Row]
    kinds: dict[str, int]
    days: list[queries.Row]

    @property
    def activities(self) -> int:
        """How many activities there are."""
        return sum(self.kinds.values())

    @property
    def is_old(self) -> bool:
        """Tell whether it is time to count again."""
        return datetime.now(UTC) - self.at > min(GOOD_FOR, self.took / COUNTING_SHARE)


class Counter:
    """Counts when the last count is old, one at a time."""

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
            known = self._latest
            if self._running is None and (known is None or known.is_old):
                self._running = self._threads.submit(self._count)
            running = self._running
        if running is None or (known is not None and known.took.total_seconds() > PATIENCE):
            return known
        try:
            return running.result(PATIENCE)
        except StillCounting:
            return known

    def _count(self) -> Figures:
        begun = datetime.now(UTC)
        with transaction(self._url) as database:
            totals = queries.totals(database)
            folding = queries.people_by_source(database)
            kinds = queries.activities_by_kind(database)
            days = queries.recent_activities(database)
        ended = datetime.now(UTC)
        return Figures(ended, ended - begun, totals, folding, kinds, days)
