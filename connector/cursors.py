"""Where we are in time: which window to read next, by the server's clock alone, and in which passes."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from connector import soql

LAST_MODIFIED = "LastModifiedDate"
SYSTEM_STAMP = "SystemModstamp"


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


@dataclass(frozen=True)
class Pass:
    """One query over a window: `field` orders it and carries its keyset, `condition` selects its rows.

    There is no upper bound: what comes early is only read early, and Salesforce has no index for one.
    """

    name: str
    field: str
    condition: str


def passes(window: Window, *, has_system_stamp: bool) -> tuple[Pass, ...]:
    """Return the queries that together see every change of a window.

    Automation, deletion and system work may move SystemModstamp and leave LastModifiedDate alone (Help 000387261): the
    second pass, the drift poll, reads just those rows. The first window reads everything anyway.
    """
    main = Pass("main", LAST_MODIFIED, soql.since(LAST_MODIFIED, window.lo))
    if window.lo is None or not has_system_stamp:
        return (main,)
    drifted = soql.both(soql.since(SYSTEM_STAMP, window.lo), soql.before(LAST_MODIFIED, window.lo))
    return main, Pass("drift", SYSTEM_STAMP, drifted)
