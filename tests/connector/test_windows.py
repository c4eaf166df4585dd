"""Old windows become one where they meet: what was read and every gap stay as they were."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdp import queries
from cdp.db import driver
from cdp.models import Cursor, ReadWindow
from connector import windows
from tests.feed import Cdp
from tests.oracle import BEGINNING

LAST = 40
Hours = tuple[int | None, int]
Steps = Sequence[tuple[int | None, int]]
# Beginnings are after, at or before the end of the window before: a gap, a meeting, an overlap; or everything anew.
steps = st.lists(st.tuples(st.sampled_from([None, -2, -1, 0, 0, 0, 1]), st.integers(1, 5)), min_size=1, max_size=12)


def ledger(steps: Steps) -> list[Hours]:
    """Windows one after the other, in hours."""
    made: list[Hours] = []
    end = 0
    for shift, length in steps:
        made.append((None if shift is None else end + shift, end := end + length))
    return made


def at(hour: int) -> datetime:
    return BEGINNING + timedelta(hours=hour)


def covered(kept: Sequence[Hours]) -> set[int]:
    return {hour for lo, hi in kept for hour in range(-LAST if lo is None else lo, hi)}


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps, st.integers(0, LAST))
def test_joining_keeps_what_is_covered_and_every_gap(cdp: Cdp, steps: Steps, moment: int) -> None:
    made = ledger(steps)
    with cdp.session() as session:
        driver(session).execute("TRUNCATE read_window; DELETE FROM cursor")
        session.add(Cursor(source_id=1, object="Lead"))
        for number, (lo, hi) in enumerate(made):
            begin = None if lo is None else at(lo)
            session.add(ReadWindow(source_id=1, object="Lead", run_id=number, lo=begin, hi=at(hi)))
            session.add(ReadWindow(source_id=2, object="Lead", run_id=number, lo=begin, hi=at(hi)))
            session.flush()
        [before] = queries.objects(session, 1)
        gone = windows.join_old(session, 1, "Lead", at(moment))
        [after] = queries.objects(session, 1)
    kept = stored(cdp, 1)
    assert len(kept) == len(made) - gone
    assert covered(kept) == covered(made)
    assert before["windows_contiguous"] == after["windows_contiguous"]
    assert [window for window in kept if window[1] >= moment] == [window for window in made if window[1] >= moment]
    assert sum(lo is None for lo, _ in kept) == sum(lo is None for lo, _ in made)
    assert stored(cdp, 2) == made


def stored(cdp: Cdp, source: int) -> list[Hours]:
    found = cdp.query("SELECT lo, hi FROM read_window WHERE source_id = %(source)s ORDER BY id", source=source)
    return [(None if row["lo"] is None else _hours(row["lo"]), _hours(row["hi"])) for row in found]


def _hours(moment: datetime) -> int:
    return int((moment - BEGINNING) / timedelta(hours=1))


def test_a_window_that_closes_joins_the_old_ones(cdp: Cdp) -> None:
    with cdp.session() as session:
        for day in range(20):
            lo = BEGINNING + timedelta(days=day)
            closed = ReadWindow(source_id=1, object="Lead", run_id=day, lo=lo, hi=lo + timedelta(days=1))
            windows.close(session, closed)
            session.flush()
    assert len(stored(cdp, 1)) == 16
