"""Where we are in time: which window to read next, by the server's clock alone."""

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True)
class Window:
    """A half-open stretch `[lo, hi)` of the cursor field; `lo` None means from the beginning."""

    lo: datetime | None
    hi: datetime


def next_window(
    closed_to: datetime | None, server_now: datetime, covered_to: datetime | None, overlap: timedelta
) -> Window:
    """Return the window to read next.

    It reaches back by `overlap` behind the last closed one, since transactions commit with stamps from when they wrote,
    and ends at the server's now, held back to `covered_to` (latestDateCovered of /updated): a longer transaction is
    still open before that. It never ends before the last one did.
    """
    hi = min(server_now, covered_to) if covered_to is not None else server_now
    if closed_to is None:
        return Window(None, hi)
    return Window(min(closed_to, hi) - overlap, max(closed_to, hi))
