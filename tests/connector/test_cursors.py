"""Windows of time: never a gap, never backwards, and no commit so late that it is missed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector import soql
from connector.cursors import LAST_MODIFIED, SYSTEM_STAMP, Pass, Window, next_window, passes
from connector.simulator import Org
from connector.simulator.query import run_query

START = datetime(2026, 10, 1, 12, 0, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
moments = st.integers(0, 7200).map(lambda seconds: START + timedelta(seconds=seconds))
overlaps = st.integers(0, 1200).map(lambda seconds: timedelta(seconds=seconds))


@given(st.lists(st.tuples(moments, st.none() | moments), min_size=1), overlaps)
def test_windows_meet_and_never_end_before_the_last(
    polls: Sequence[tuple[datetime, datetime | None]], overlap: timedelta
) -> None:
    closed_to = None
    for now, covered_to in polls:
        window = next_window(closed_to, now, covered_to, overlap)
        if closed_to is None:
            assert window.lo is None
        else:
            assert window.lo is not None
            assert window.lo <= closed_to - overlap
            assert window.hi >= closed_to
        assert window.hi <= max(now, closed_to or now)
        closed_to = window.hi


@pytest.mark.parametrize(
    ("closed_to", "covered_to", "window"),
    [
        (None, None, Window(None, START)),
        (None, START - HOUR, Window(None, START - HOUR)),
        (START - HOUR, None, Window(START - HOUR - timedelta(minutes=10), START)),
        (START - HOUR, START - HOUR / 2, Window(START - HOUR - timedelta(minutes=10), START - HOUR / 2)),
        (START - HOUR / 2, START - HOUR, Window(START - HOUR - timedelta(minutes=10), START - HOUR / 2)),
        (START + HOUR, None, Window(START - timedelta(minutes=10), START + HOUR)),
    ],
)
def test_known_windows(closed_to: datetime | None, covered_to: datetime | None, window: Window) -> None:
    assert next_window(closed_to, START, covered_to, timedelta(minutes=10)) == window


@dataclass(frozen=True)
class Write:
    """A row stamped when it was written, visible when its transaction commits."""

    opened_at: int
    stamp: int
    committed_at: int


@st.composite
def writes(draw: st.DrawFn, longest: int) -> Write:
    opened_at = draw(st.integers(0, 5000))
    stamp = opened_at + draw(st.integers(0, longest))
    return Write(opened_at, stamp, draw(st.integers(stamp, opened_at + longest)))


def reads_all(written: Sequence[Write], polls: Sequence[int], *, covered: bool, overlap: int) -> bool:
    """Poll at the given seconds and once at the end; tell whether every write was seen."""
    closed_to, seen = None, set()
    for second in [*sorted(polls), 100_000]:
        open_since = [w.opened_at for w in written if w.opened_at < second < w.committed_at]
        covered_to = _at(min([second, *open_since])) if covered else None
        window = next_window(closed_to, _at(second), covered_to, timedelta(seconds=overlap))
        seen |= {w for w in written if w.committed_at <= second and (window.lo is None or _at(w.stamp) >= window.lo)}
        closed_to = window.hi
    return seen == set(written)


def _at(second: int) -> datetime:
    return START + timedelta(seconds=second)


@given(st.lists(writes(longest=4000)), st.lists(st.integers(0, 9000)))
def test_with_a_watermark_any_late_commit_is_seen(written: list[Write], polls: list[int]) -> None:
    assert reads_all(written, polls, covered=True, overlap=0)


@given(st.lists(writes(longest=600)), st.lists(st.integers(0, 9000)))
def test_without_one_commits_no_later_than_the_overlap_are_seen(written: list[Write], polls: list[int]) -> None:
    assert reads_all(written, polls, covered=False, overlap=600)


def test_the_first_window_is_one_pass_over_everything() -> None:
    assert passes(Window(None, START), cursor_field=LAST_MODIFIED, has_system_stamp=True) == (
        Pass("main", "LastModifiedDate", ""),
    )


def test_an_object_without_a_system_stamp_has_no_drift_pass() -> None:
    condition = "LastModifiedDate >= 2026-10-01T12:00:00Z"
    only = Pass("main", "LastModifiedDate", condition)
    assert passes(Window(START, START + HOUR), cursor_field=LAST_MODIFIED, has_system_stamp=False) == (only,)


def test_the_system_stamp_as_the_cursor_sees_all_in_one_pass() -> None:
    only = Pass("main", "SystemModstamp", "SystemModstamp >= 2026-10-01T12:00:00Z")
    assert passes(Window(START, START + HOUR), cursor_field=SYSTEM_STAMP, has_system_stamp=True) == (only,)


def test_both_passes_see_every_change_once() -> None:
    org, wanted = Org("acme"), set()
    stamps = [START - HOUR, START - timedelta(seconds=1), START, START + timedelta(seconds=1)]
    for modified in stamps:
        for touched in (stamp for stamp in stamps if stamp >= modified):
            values = {"LastName": "Lima", "Company": "Lima", "LastModifiedDate": modified, "SystemModstamp": touched}
            record_id = org.insert("Lead", values)
            wanted |= {record_id} if touched >= START else set()
    found = [
        record_id
        for each in passes(Window(START, START + HOUR), cursor_field=LAST_MODIFIED, has_system_stamp=True)
        for record_id in run_query(org, soql.select("Lead", ("Id",), each.condition), include_deleted=True).rows
    ]
    assert sorted(found) == sorted(wanted)
