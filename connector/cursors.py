"""Where we are in time: which window to read next, by the server's clock alone, and in which passes."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

from connector import soql

LAST_MODIFIED = "LastModifiedDate"
SYSTEM_STAMP = "SystemModstamp"
SMALLEST_SPLIT = timedelta(minutes=2)


@dataclass(frozen=True)
class Window:
    """A half-open stretch `[lo, hi)` of the cursor field; `lo` None means from the beginning.

    An unbounded one is read without its upper bound: what comes early is only read early, and Salesforce has no index
    for one. The first half of a split window has to be bounded, or it would be no smaller than the whole.
    """

    lo: datetime | None
    hi: datetime
    bounded: bool = False

    def halves(self) -> "tuple[Window, Window] | None":
        """Return two windows that together are this one; None when it cannot be made smaller."""
        if self.lo is None or self.hi - self.lo < SMALLEST_SPLIT:
            return None
        middle = (self.lo + (self.hi - self.lo) / 2).replace(microsecond=0)
        return Window(self.lo, middle, bounded=True), Window(middle, self.hi, bounded=self.bounded)

    def kept(self) -> dict[str, Any]:
        """Return it as JSON, for a checkpoint in it."""
        return {"lo": self.lo and self.lo.isoformat(), "hi": self.hi.isoformat(), "bounded": self.bounded}

    @classmethod
    def resumed(cls, kept: Mapping[str, Any]) -> Self:
        """Return the window that was `kept`."""
        lo, hi = kept["lo"], datetime.fromisoformat(kept["hi"])
        return cls(datetime.fromisoformat(lo) if lo else None, hi, bounded=kept["bounded"])


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
    """One query over a window: `field` orders it and carries its keyset, `condition` selects its rows."""

    name: str
    field: str
    condition: str


def passes(window: Window, *, cursor_field: str, has_system_stamp: bool, condition: str = "") -> tuple[Pass, ...]:
    """Return the queries that together see every change of a window; `condition` narrows one from the beginning.

    Automation, deletion and system work may move SystemModstamp and leave LastModifiedDate alone (Help 000387261): the
    second pass, the drift poll, reads just those rows. SystemModstamp as the cursor sees both in one pass, and the
    first window reads everything anyway.
    """
    field = cursor_field if has_system_stamp else LAST_MODIFIED
    main = Pass("main", field, soql.both(_span(field, window), condition if window.lo is None else ""))
    if window.lo is None or field == SYSTEM_STAMP or not has_system_stamp:
        return (main,)
    drifted = soql.both(_span(SYSTEM_STAMP, window), soql.before(LAST_MODIFIED, window.lo))
    return main, Pass("drift", SYSTEM_STAMP, drifted)


def only_pass(window: Window, field: str) -> tuple[Pass, ...]:
    """Return the one query over a window of an object that changes nothing behind the back of its stamp."""
    return (Pass("main", field, _span(field, window)),)


def _span(field: str, window: Window) -> str:
    return soql.both(soql.since(field, window.lo), soql.before(field, window.hi) if window.bounded else "")
