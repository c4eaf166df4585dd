"""The door into the CDP: what a batch may change, what it leaves alone, and what becomes of rows that cannot be stored."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdp import ingest
from cdp.records import Consent, Layout, Outcome
from tests.conftest import FIELDS, FIXED, Cdp, batch, cells, layout, line
from tests.oracle import BEGINNING, Record, exact, latest

HOUR = timedelta(hours=1)
ANN = Record(1, "Lead", "00Q000000000000001", "ann@acme.com", values={"company": "Acme"})
BOB = Record(1, "Lead", "00Q000000000000002", "bob@acme.com", values={"company": "Bobs"})
CID = Record(1, "Lead", "00Q000000000000003", "cid@acme.com", values={"company": "Cids"})


def companies(cdp: Cdp) -> dict[str, str | None]:
    return {row["record_id"]: row["f_company"] for row in cdp.query("SELECT record_id, f_company FROM record")}


def records(cdp: Cdp) -> list[dict[str, Any]]:
    """All records but when they were read, which repetition may leave earlier or later."""
    found = cdp.query("SELECT * FROM record ORDER BY handle")
    return [{name: exact(value) for name, value in row.items() if name != "read_at"} for row in found]


def quarantine(cdp: Cdp) -> dict[str, str]:
    return {row["record_id"]: row["reason"] for row in cdp.query("SELECT record_id, reason FROM quarantine")}


def touched(cdp: Cdp) -> int:
    return len(cdp.query("SELECT * FROM touched"))


def put(cdp: Cdp, rows: Iterable[Sequence[str | None]], shape: Layout | None = None, **about: Any) -> Outcome:
    """Store rows of text."""
    with cdp.session() as session:
        return ingest.store(session, batch(rows, shape or layout(FIELDS), **about))


def put_bytes(cdp: Cdp, *lines: bytes) -> Outcome:
    """Store CSV lines as they are."""
    whole = cdp.batch([ANN])
    with cdp.session() as session:
        return ingest.store(session, replace(whole, chunks=lambda: iter(lines)))


def row(record: Record, **changes: str | None) -> list[str | None]:
    """A record's row with other text in some columns."""
    names = layout(FIELDS).columns
    return [changes.get(name, cell) for name, cell in zip(names, cells(record, FIELDS), strict=True)]


# --- what changes a record ---


def test_a_new_record_is_written_and_queued(cdp: Cdp) -> None:
    assert cdp.deliver([ANN]) == Outcome(read=1, written=1)
    assert cdp.query("SELECT handle FROM touched") == [{"handle": ANN.handle}]


def test_a_handle_can_be_told_from_the_record_alone(cdp: Cdp) -> None:
    cdp.deliver([ANN])
    assert cdp.query("SELECT handle FROM record") == [{"handle": ANN.handle}]


def test_unchanged_content_writes_nothing(cdp: Cdp) -> None:
    cdp.deliver([ANN, BOB])
    before = cdp.query("SELECT ctid, xmin, * FROM record ORDER BY handle")
    assert cdp.deliver([replace(ANN, read_at=BEGINNING + HOUR), BOB]) == Outcome(read=2, skipped=2)
    assert cdp.query("SELECT ctid, xmin, * FROM record ORDER BY handle") == before
    assert touched(cdp) == 2


def test_a_newer_version_wins_and_an_older_never_does(cdp: Cdp) -> None:
    newer = replace(ANN, version_at=BEGINNING + HOUR, values={"company": "New"})
    assert cdp.deliver([newer]).written == 1
    late = replace(ANN, read_at=BEGINNING + 5 * HOUR)
    assert cdp.deliver([late]) == Outcome(read=1, skipped=1)
    assert companies(cdp) == {ANN.record_id: "New"}


@pytest.mark.parametrize("order", [(0, 1), (1, 0), (0, 1, 0), (1, 0, 1)])
def test_equal_stamps_with_other_content_converge_on_what_was_read_last(cdp: Cdp, order: tuple[int, ...]) -> None:
    readings = (ANN, replace(ANN, read_at=BEGINNING + HOUR, values={"company": "Read later"}))
    for place in order:
        cdp.deliver([readings[place]])
    assert companies(cdp) == {ANN.record_id: "Read later"}


@pytest.mark.xfail(
    strict=True, reason="an unchanged reading does not move read_at, so an older one may still overwrite it"
)
def test_content_that_came_back_at_an_equal_stamp_stays_back(cdp: Cdp) -> None:
    first, between, last = (
        replace(ANN, read_at=BEGINNING + hour * HOUR, values={"company": text})
        for hour, text in enumerate(("Acme", "Between", "Acme"))
    )
    for reading in (first, last, between):
        cdp.deliver([reading])
    assert companies(cdp) == {ANN.record_id: "Acme"}


def test_of_several_versions_in_one_batch_the_newest_is_kept(cdp: Cdp) -> None:
    newest = replace(ANN, version_at=BEGINNING + 2 * HOUR, values={"company": "Newest"})
    middle = replace(ANN, version_at=BEGINNING + HOUR, values={"company": "Middle"})
    assert cdp.deliver([middle, newest, ANN]) == Outcome(read=3, written=1, skipped=2)
    assert companies(cdp) == {ANN.record_id: "Newest"}


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
    assert put(cdp, [[cells.get(name, later) for name in narrow.columns]], narrow).written == 1
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
    assert put(cdp, [["x\ny", *row(ANN), None]], wide).written == 1
    assert companies(cdp) == {ANN.record_id: "Acme"}


def test_the_same_id_in_another_org_or_object_is_another_record(cdp: Cdp) -> None:
    cdp.deliver([ANN, replace(ANN, source_id=2), replace(ANN, object="Contact")])
    assert len(records(cdp)) == 3


def test_a_batch_that_is_rolled_back_leaves_nothing(cdp: Cdp) -> None:
    bad = replace(BOB, values={"score": "many"})
    with pytest.raises(RuntimeError), cdp.session() as session:
        cdp.store(session, [ANN, bad])
        raise RuntimeError
    assert (records(cdp), touched(cdp), quarantine(cdp)) == ([], 0, {})


def test_two_batches_of_one_transaction_may_differ_in_layout(cdp: Cdp) -> None:
    with cdp.session() as session:
        ingest.store(session, cdp.batch([ANN]))
        ingest.store(session, batch([cells(BOB, ())], layout(())))
    assert companies(cdp) == {ANN.record_id: "Acme", BOB.record_id: None}


VERSIONS = [
    replace(record, version_at=BEGINNING + stamp * HOUR, read_at=BEGINNING + read * HOUR, values={"company": text})
    for record in (ANN, BOB, replace(CID, source_id=2))
    for stamp, read, text in ((0, 0, "first"), (1, 1, "second"), (1, 2, "second seen again"), (2, 3, None))
]


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(VERSIONS * 2), cuts=st.sets(st.integers(1, len(VERSIONS) * 2 - 1), max_size=5))
def test_repeated_and_reordered_batches_give_the_same_records(cdp: Cdp, order: list[Record], cuts: set[int]) -> None:
    cdp.reset()
    cdp.deliver(latest(VERSIONS))
    expected = records(cdp)
    cdp.reset()
    for low, high in zip([0, *sorted(cuts)], [*sorted(cuts), len(order)], strict=True):
        cdp.deliver(sorted(order[low:high], key=lambda record: (record.source_id, record.read_at)))
    assert records(cdp) == expected


# --- values ---

UNCHANGED = [
    "a\rb", "a\nb", "a\r\nb", "\n", "a\tb", "NULL", "null", "\\N", "#N/A", "007", "1e5", '"', '""', 'say "hi", he said', ",", "'",
    "   ", " padded ", "\\.", "a\n\\.\nb", "\\.\n", "\\", "%s {0} $1", "naïve", "\u65e5\u672c\u8a9e", "\U0001f600", "e\u0301", "\u00a0",
    "\ufeffmark", "\u2028", "\u202eright to left", "true", "2026-01-01", "x" * 131_072,
]  # fmt: skip


@pytest.mark.parametrize("scrubbed", [False, True], ids=["plain", "beside a bad row"])
def test_text_arrives_unchanged(cdp: Cdp, scrubbed: bool) -> None:
    rows = [row(replace(ANN, record_id=f"00Q{place:015d}"), company=text) for place, text in enumerate(UNCHANGED)]
    assert put(cdp, [*rows, *([row(BOB, company="\x00")] if scrubbed else [])]).written == len(UNCHANGED)
    assert [text for _, text in sorted(companies(cdp).items())] == UNCHANGED


texts = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x00"), min_size=1)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(texts | st.text('",\r\n\\. \tN', min_size=1), min_size=1, max_size=30))
def test_any_text_arrives_unchanged(cdp: Cdp, values: list[str]) -> None:
    cdp.reset()
    put(cdp, [row(replace(ANN, record_id=f"00Q{place:015d}"), company=text) for place, text in enumerate(values)])
    assert [text for _, text in sorted(companies(cdp).items())] == values


def test_lines_may_end_in_any_one_way(cdp: Cdp) -> None:
    for ending in (b"\n", b"\r\n", b"\r"):
        cdp.reset()
        whole = b"".join(line(row(record, company="a\r\nb")).rstrip(b"\n") + ending for record in (ANN, BOB))
        assert put_bytes(cdp, whole).written == 2
        assert set(companies(cdp).values()) == {"a\r\nb"}


def test_typed_values_arrive_as_their_types(cdp: Cdp) -> None:
    values = {
        "active": "false",
        "interests": "tea;coffee",
        "met_at": "2026-02-01T08:00:00.123+0000",
        "score": "0012.50",
        "since": "2024-02-29",
    }
    cdp.deliver([replace(ANN, values=values)])
    query = "SELECT f_active, f_interests, f_met_at, f_score::text, f_since::text FROM record"
    assert cdp.query(query) == [
        {
            "f_active": False,
            "f_interests": ["tea", "coffee"],
            "f_met_at": BEGINNING.replace(month=2, hour=8, microsecond=123_000),
            "f_score": "12.50",
            "f_since": "2024-02-29",
        }
    ]


# --- rows that cannot be stored ---

BAD_TEXT = {
    "NUL": (row(BOB, company="a\x00b"), "a text contains a NUL character"),
    "lone surrogate": (row(BOB, company="a\ud800b"), "a text is not valid Unicode"),
    "column missing": (row(BOB)[:-1], "the row has 18 columns instead of 19"),
    "column too many": ([*row(BOB), "x"], "the row has 20 columns instead of 19"),
}
BAD_VALUES = {
    "date": ({"since": "2026-02-30"}, "since is not a valid date"),
    "number": ({"score": "many"}, "score is not a valid numeric"),
    "boolean": ({"active": "perhaps"}, "active is not a valid boolean"),
    "time": ({"met_at": "25 o'clock"}, "met_at is not a valid timestamptz"),
    "stamp": ({"SystemModstamp": "yesterday-ish"}, "SystemModstamp is not a valid timestamptz"),
    "deletion": ({"IsDeleted": "so so"}, "IsDeleted is not a valid boolean"),
    "conversion": ({"IsConverted": "so so"}, "IsConverted is not a valid boolean"),
}
BAD = BAD_TEXT | {name: (row(BOB, **changes), reason) for name, (changes, reason) in BAD_VALUES.items()}


@pytest.mark.parametrize(("bad", "reason"), BAD.values(), ids=BAD)
def test_a_bad_row_is_set_aside_with_its_reason_and_the_good_land(cdp: Cdp, bad: list[str | None], reason: str) -> None:
    outcome = put(cdp, [row(ANN), bad, row(CID)])
    assert outcome == Outcome(read=3, written=2, quarantined=1)
    assert companies(cdp) == {ANN.record_id: "Acme", CID.record_id: "Cids"}
    assert quarantine(cdp) == {BOB.record_id: reason}


def test_invalid_bytes_are_set_aside(cdp: Cdp) -> None:
    outcome = put_bytes(cdp, line(row(ANN)), line(row(BOB)).replace(b"Bobs", b"B\xff\xfebs"), line(row(CID)))
    assert outcome == Outcome(read=3, written=2, quarantined=1)
    assert quarantine(cdp) == {BOB.record_id: "a text is not valid Unicode"}


def test_rows_that_are_bad_in_different_ways_are_all_set_aside(cdp: Cdp) -> None:
    late = replace(CID, record_id="00Q000000000000004")
    outcome = put(cdp, [row(BOB, company="\x00"), row(CID, since="never"), row(late, score="x"), row(ANN)])
    assert outcome == Outcome(read=4, written=1, quarantined=3)
    assert quarantine(cdp) == {
        BOB.record_id: "a text contains a NUL character",
        CID.record_id: "since is not a valid date",
        late.record_id: "score is not a valid numeric",
    }


def test_a_batch_of_bad_rows_only_is_set_aside(cdp: Cdp) -> None:
    assert put(cdp, [row(BOB, score="x"), row(CID, company="\x00")]) == Outcome(read=2, quarantined=2)


def test_an_empty_batch_does_nothing(cdp: Cdp) -> None:
    assert put(cdp, []) == Outcome()


def test_a_stored_version_stays_when_a_newer_one_is_bad(cdp: Cdp) -> None:
    cdp.deliver([BOB])
    put(cdp, [row(replace(BOB, version_at=BEGINNING + HOUR), score="x")])
    assert companies(cdp) == {BOB.record_id: "Bobs"}
    assert quarantine(cdp) == {BOB.record_id: "score is not a valid numeric"}


def test_the_reason_last_seen_is_kept(cdp: Cdp) -> None:
    put(cdp, [row(BOB, score="x")])
    put(cdp, [row(BOB, company="\x00")], read_at=BEGINNING + HOUR)
    assert cdp.query("SELECT reason, seen_at FROM quarantine") == [
        {"reason": "a text contains a NUL character", "seen_at": BEGINNING + HOUR}
    ]


def test_a_good_version_heals_its_own_quarantine_only(cdp: Cdp) -> None:
    put(cdp, [row(BOB, score="x"), row(CID, company="\x00")])
    put(cdp, [row(BOB)], source_id=2)
    assert set(quarantine(cdp)) == {BOB.record_id, CID.record_id}
    put(cdp, [row(replace(BOB, version_at=BEGINNING + HOUR))])
    assert set(quarantine(cdp)) == {CID.record_id}


@pytest.mark.xfail(strict=True, reason="quarantine is healed by any version of the record")
def test_an_older_version_does_not_hide_a_newer_bad_one(cdp: Cdp) -> None:
    newer = replace(BOB, version_at=BEGINNING + HOUR, read_at=BEGINNING + HOUR)
    put(cdp, [row(newer, score="x")])
    cdp.deliver([BOB])
    assert set(quarantine(cdp)) == {BOB.record_id}


@pytest.mark.xfail(strict=True, reason="quarantine is not compared with the stored version")
def test_a_superseded_bad_version_does_not_return_to_quarantine(cdp: Cdp) -> None:
    cdp.deliver([replace(BOB, version_at=BEGINNING + HOUR)])
    put(cdp, [row(BOB, score="x")])
    assert quarantine(cdp) == {}


@pytest.mark.xfail(strict=True, reason="bad rows of one id are counted as one")
def test_every_row_of_a_batch_is_counted_once(cdp: Cdp) -> None:
    assert put(cdp, [row(BOB, score="x"), row(BOB, score="y"), row(ANN)]).read == 3


@pytest.mark.xfail(strict=True, raises=psycopg.errors.NotNullViolation, reason="the whole batch fails")
@pytest.mark.parametrize("column", ["Id", "CreatedDate", "LastModifiedDate", "SystemModstamp"])
def test_a_row_without_a_necessary_value_is_set_aside(cdp: Cdp, column: str) -> None:
    assert put(cdp, [row(ANN), row(BOB, **{column: None})]) == Outcome(read=2, written=1, quarantined=1)


# --- consent ---

OPT_OUT = Consent("Answer", no=frozenset({"true"}), complement=True)
OPT_IN = Consent("Answer", yes=frozenset({"true"}), complement=True)
PICKLIST = Consent("Answer", yes=frozenset({"Yes", "Sure"}), no=frozenset({"No"}))
BOTH = Consent("Answer", yes=frozenset({"Maybe", "Yes"}), no=frozenset({"Maybe"}))
CASES = [
    (OPT_OUT, "true", False),
    (OPT_OUT, "false", True),
    (OPT_OUT, None, None),
    (OPT_IN, "true", True),
    (OPT_IN, "false", False),
    (OPT_IN, None, None),
    (PICKLIST, "Yes", True),
    (PICKLIST, "Sure", True),
    (PICKLIST, "No", False),
    (PICKLIST, "yes", None),
    (PICKLIST, "Perhaps", None),
    (PICKLIST, None, None),
    (BOTH, "Maybe", False),
]


@pytest.mark.parametrize(("consent", "text", "may"), CASES)
@pytest.mark.parametrize("channel", ["email", "sms"])
def test_an_answer_is_read_as_the_mapping_says(
    cdp: Cdp, channel: str, consent: Consent, text: str | None, may: bool | None
) -> None:
    shape = layout((), {channel: consent})
    put(cdp, [[*cells(ANN, ())[: len(FIXED)], text]], shape)
    assert cdp.query("SELECT email_permission, sms_permission FROM record") == [
        {"email_permission": None, "sms_permission": None, f"{channel}_permission": may}
    ]
