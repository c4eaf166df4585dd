"""The door into the CDP: what a batch may change in a record, and what it leaves alone."""

from dataclasses import replace
from itertools import permutations
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

from cdp import ingest, sweeps
from cdp.records import Layout, Outcome
from tests.feed import ANN, BOB, CID, FIELDS, FIXED, HOUR, Cdp, batch, cells, layout, row
from tests.oracle import BEGINNING, Record, exact, latest


def records(cdp: Cdp) -> list[dict[str, Any]]:
    """All records but when they were read, which repetition may leave earlier or later."""
    found = cdp.query("SELECT * FROM record ORDER BY handle")
    return [{name: exact(value) for name, value in row.items() if name != "read_at"} for row in found]


def test_a_new_record_is_written_and_queued(cdp: Cdp) -> None:
    assert cdp.deliver([ANN]) == Outcome(read=1, written=1, imported=1)
    assert cdp.query("SELECT handle FROM touched") == [{"handle": ANN.handle}]


def test_a_handle_can_be_told_from_the_record_alone(cdp: Cdp) -> None:
    cdp.deliver([ANN])
    assert cdp.query("SELECT handle FROM record") == [{"handle": ANN.handle}]


def test_unchanged_content_writes_nothing_while_no_earlier_reading_is_on_its_way(cdp: Cdp) -> None:
    cdp.deliver([ANN, BOB])
    before = cdp.query("SELECT ctid, xmin, * FROM record ORDER BY handle")
    again = cdp.batch([replace(one, read_at=BEGINNING + HOUR) for one in (ANN, BOB)])
    with cdp.session() as session:
        assert ingest.store(session, replace(again, contested=False)) == Outcome(read=2, skipped=2)
    assert cdp.query("SELECT ctid, xmin, * FROM record ORDER BY handle") == before
    assert len(cdp.query("SELECT FROM touched")) == 2


def test_a_newer_version_wins_and_an_older_never_does(cdp: Cdp) -> None:
    newer = replace(ANN, version_at=BEGINNING + HOUR, values={"company": "New"})
    assert cdp.deliver([newer]).written == 1
    late = replace(ANN, read_at=BEGINNING + 5 * HOUR)
    assert cdp.deliver([late]) == Outcome(read=1, skipped=1)
    assert cdp.companies() == {ANN.record_id: "New"}


@pytest.mark.parametrize("order", [(0, 1), (1, 0), (0, 1, 0), (1, 0, 1)])
def test_equal_stamps_with_other_content_converge_on_what_was_read_last(cdp: Cdp, order: tuple[int, ...]) -> None:
    readings = (ANN, replace(ANN, read_at=BEGINNING + HOUR, values={"company": "Read later"}))
    for place in order:
        cdp.deliver([readings[place]])
    assert cdp.companies() == {ANN.record_id: "Read later"}


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_content_that_came_back_at_an_equal_stamp_stays_back(cdp: Cdp, order: tuple[int, ...]) -> None:
    readings = [
        replace(ANN, read_at=BEGINNING + hour * HOUR, values={"company": text})
        for hour, text in enumerate(("Acme", "Between", "Acme"), 5)
    ]
    for place in order:
        cdp.deliver([readings[place]])
    assert cdp.companies() == {ANN.record_id: "Acme"}


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_a_stamp_from_the_future_guards_against_earlier_readings_only(cdp: Cdp, order: tuple[int, ...]) -> None:
    readings = [
        replace(ANN, version_at=BEGINNING + hour * HOUR, ahead=ahead * HOUR, values={"company": text})
        for hour, ahead, text in ((1, 0, "Before"), (2, 1000, "From the future"), (3, 0, "After"))
    ]
    for place in order:
        cdp.deliver([readings[place]])
    assert cdp.companies() == {ANN.record_id: "After"}


def test_a_record_that_was_gone_when_last_looked_for_is_not_revived_by_an_earlier_reading(cdp: Cdp) -> None:
    edited = replace(ANN, version_at=BEGINNING + HOUR, read_at=BEGINNING + HOUR)
    cdp.deliver([ANN])
    with cdp.session() as session:
        sweeps.mark_gone(session, 1, "Lead", [ANN.record_id], BEGINNING + 2 * HOUR)
    cdp.deliver([edited])
    assert cdp.query("SELECT state FROM record") == [{"state": "gone"}]
    cdp.deliver([replace(edited, read_at=BEGINNING + 3 * HOUR)])
    assert cdp.query("SELECT state FROM record") == [{"state": "live"}]


def test_of_several_versions_in_one_batch_the_newest_is_kept(cdp: Cdp) -> None:
    newest = replace(ANN, version_at=BEGINNING + 2 * HOUR, values={"company": "Newest"})
    middle = replace(ANN, version_at=BEGINNING + HOUR, values={"company": "Middle"})
    assert cdp.put(map(row, (middle, newest, ANN))) == Outcome(read=3, written=1, imported=1, skipped=2)
    assert cdp.companies() == {ANN.record_id: "Newest"}


def test_a_value_that_was_emptied_is_emptied(cdp: Cdp) -> None:
    cdp.deliver([ANN])
    cdp.deliver([replace(ANN, version_at=BEGINNING + HOUR, values={}, email=None)])
    assert cdp.query("SELECT email, f_company FROM record") == [{"email": None, "f_company": None}]


def test_a_deleted_row_keeps_its_record_and_an_older_live_one_does_not_revive_it(cdp: Cdp) -> None:
    deleted = replace(ANN, is_deleted=True, version_at=BEGINNING + HOUR, read_at=BEGINNING + HOUR)
    cdp.deliver([ANN])
    assert cdp.deliver([deleted]) == Outcome(read=1, written=1, deleted=1)
    assert cdp.deliver([deleted, ANN]).written == 0
    assert cdp.query("SELECT state FROM record") == [{"state": "deleted"}]


def test_a_deleted_row_that_was_never_seen_is_kept_as_a_guard(cdp: Cdp) -> None:
    cdp.deliver([replace(ANN, is_deleted=True, version_at=BEGINNING + HOUR)])
    cdp.deliver([ANN])
    assert cdp.query("SELECT state FROM record") == [{"state": "deleted"}]


def test_an_undeleted_row_lives_again(cdp: Cdp) -> None:
    cdp.deliver([replace(ANN, is_deleted=True)])
    cdp.deliver([replace(ANN, version_at=BEGINNING + HOUR)])
    assert cdp.query("SELECT state FROM record") == [{"state": "live"}]


def test_columns_that_a_batch_does_not_have_stay(cdp: Cdp) -> None:
    cdp.deliver([replace(ANN, converted_to="003000000000000001", email_permission=False)])
    kept = [name for name in FIXED if name not in ("email", "converted_to", "is_converted")]
    fixed = MappingProxyType({name: FIXED[name] for name in kept})
    narrow = Layout(tuple(fixed.values()), fixed, MappingProxyType({}))
    later = (BEGINNING + HOUR).isoformat()
    cells = {"Id": ANN.record_id, "IsDeleted": "false"}
    assert cdp.put([[cells.get(name, later) for name in narrow.columns]], narrow).written == 1
    assert cdp.query("SELECT version_at, email, converted_to, email_permission, f_company FROM record") == [
        {
            "version_at": BEGINNING + HOUR,
            "email": ANN.email,
            "converted_to": "003000000000000001",
            "email_permission": False,
            "f_company": "Acme",
        }
    ]


def test_columns_that_nobody_mapped_are_passed_over(cdp: Cdp) -> None:
    shape = layout(FIELDS)
    wide = replace(shape, columns=("Unmapped", *shape.columns, 'Also "unmapped"'))
    assert cdp.put([["x\ny", *row(ANN), None]], wide).written == 1
    assert cdp.companies() == {ANN.record_id: "Acme"}


def test_the_same_id_in_another_org_or_object_is_another_record(cdp: Cdp) -> None:
    cdp.deliver([ANN, replace(ANN, source_id=2), replace(ANN, object="Contact")])
    assert len(records(cdp)) == 3


def test_a_batch_that_is_rolled_back_leaves_nothing(cdp: Cdp) -> None:
    with cdp.session() as session:
        cdp.store(session, [ANN, replace(BOB, values={"score": "many"})])
        session.rollback()
    for table in ("record", "touched", "quarantine"):
        assert cdp.query(sql.SQL("SELECT FROM {}").format(sql.Identifier(table))) == []


def test_two_batches_of_one_transaction_may_differ_in_layout(cdp: Cdp) -> None:
    with cdp.session() as session:
        ingest.store(session, cdp.batch([ANN]))
        ingest.store(session, batch([cells(BOB, ())], layout(())))
    assert cdp.companies() == {ANN.record_id: "Acme", BOB.record_id: None}


VERSIONS = [
    replace(record, version_at=BEGINNING + stamp * HOUR, read_at=BEGINNING + read * HOUR, values={"company": text})
    for record in (ANN, BOB, replace(CID, source_id=2))
    for stamp, read, text in ((0, 0, "first"), (1, 1, "second"), (1, 2, "second seen again"), (2, 3, None))
]


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(VERSIONS * 2), cuts=st.sets(st.integers(1, len(VERSIONS) * 2 - 1), max_size=5))
def test_repeated_and_reordered_batches_give_the_same_records(cdp: Cdp, order: list[Record], cuts: set[int]) -> None:
    cdp.reset()
    cdp.deliver(latest(VERSIONS))
    expected = records(cdp)
    cdp.reset()
    for low, high in zip([0, *sorted(cuts)], [*sorted(cuts), len(order)], strict=True):
        cdp.deliver(sorted(order[low:high], key=lambda record: (record.source_id, record.read_at)))
    assert records(cdp) == expected
