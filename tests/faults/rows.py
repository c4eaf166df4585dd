"""The faults, one row each: what goes wrong, how it is played, and the bug it was seen red with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.faults.filtering import edited_filters
from tests.faults.life import Life
from tests.faults.plays import (
    bad_rows,
    broken_pages,
    bursts,
    changing_schema,
    deletions,
    late_commits,
    lost_locators,
    lost_rights,
    many_of_one_stamp,
    odd_clocks,
    one_stamp,
)
from tests.faults.scene import Scene

Play = Callable[[Scene, Life], None]
Settings = Mapping[str, Any]
BY_BULK: Settings = {"bulk_threshold": 35}  # what is read at first goes by Bulk, what changes later by REST
BY_REST: Settings = {"bulk_threshold": 10**6}


@dataclass(frozen=True)
class Fault:
    """One row of the table: `play` breaks things and mends them; afterwards polls alone must bring everything right.

    `bug` is what was put back into a copy of the product to see the row red; at least `least` rows must be stored.
    """

    name: str
    what: str
    bug: str
    play: Play
    least: int = 100
    settings: Settings = field(default_factory=lambda: BY_REST)
    starts: tuple[datetime | timedelta, ...] = (timedelta(0),)

    def start(self, seed: int) -> datetime:
        """The org's time at the beginning: an offset from ours, or a day that matters."""
        chosen = self.starts[seed % len(self.starts)]
        return chosen if isinstance(chosen, datetime) else datetime.now(UTC).replace(microsecond=0) + chosen


LONG = {"F18": many_of_one_stamp}  # what the long form plays instead
NIGHTS = (datetime(2026, 10, 25, 0, 10, tzinfo=UTC), datetime(2026, 3, 29, 0, 10, tzinfo=UTC))
FAULTS = (
    Fault(
        "F10",
        "Pages cut in mid-body, invalid JSON, HTML with status 200, a wrong length, answers lost, by REST and by Bulk.",
        "the rows of a page are not compared with the number announced",
        broken_pages,
        settings=BY_BULK,
    ),
    Fault(
        "F11",
        "Query locators expire between pages of changing sizes.",
        "an expired locator is taken for the end of the pages",
        lost_locators,
    ),
    Fault(
        "F12",
        "Bursts of 503, 500, UNABLE_TO_LOCK_ROW and QUERY_TIMEOUT; connections that hang for ever.",
        "a window that takes too long is not halved",
        bursts,
    ),
    Fault(
        "F17",
        "Overlapping transactions commit rows with stamps 1 s to 30 min old while polls go on.",
        "a window ends at the server's now although a transaction is open",
        late_commits,
    ),
    Fault(
        "F18",
        "4,000 rows with one stamp, locators expiring among them.",
        "the keyset goes on after the stamp instead of after stamp and id",
        one_stamp,
        least=4000,
    ),
    Fault(
        "F19",
        "An org an hour ahead or behind, daylight-saving nights, a host in another zone, rows stamped in the future.",
        "windows end by this machine's clock",
        odd_clocks,
        starts=(NIGHTS[0], timedelta(hours=1), timedelta(hours=-1), NIGHTS[1]),
    ),
    Fault(
        "F20",
        "Deletions, purges and undeletions, then an outage of 16 days; the sweep that the resync asks for is run.",
        "an outage longer than the delete log is not noticed",
        deletions,
    ),
    Fault(
        "F21",
        "Two thirds of the Leads and a mapped field are hidden from the login and shown again.",
        "the sweep has no brake",
        lost_rights,
    ),
    Fault(
        "F22",
        "NUL, a lone surrogate, 131,072 characters, 31 February and 1e400 among good rows; mended later.",
        "a bad row fails its page",
        bad_rows,
    ),
    Fault(
        "F23",
        "Fields hidden in mid-run, added, renamed and retyped; everything read again among edits.",
        "INVALID_FIELD in mid-run is not followed by a second describe",
        changing_schema,
    ),
    Fault(
        "F24",
        "Filters edited while a window is half read; rows leave and come back; parents change and a sweep finds it.",
        "an edited filter is not followed by a complete read",
        edited_filters,
    ),
)
