"""Rows that cannot be stored: set aside with their reason while the others land, and healed by a good version."""

from dataclasses import replace

import pytest

from cdp.errors import MalformedBatch
from cdp.records import Outcome
from tests.feed import ANN, BOB, CID, HOUR, Cdp, line, row
from tests.oracle import BEGINNING


def quarantine(cdp: Cdp) -> dict[str, str]:
    return {row["record_id"]: row["reason"] for row in cdp.query("SELECT record_id, reason FROM quarantine")}


BAD_TEXT = {
    "NUL": (row(BOB, company="a\x00b"), "a text contains a NUL character"),
    "lone surrogate": (row(BOB, company="a\ud800b"), "a text is not valid Unicode"),
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


@pytest.mark.parametrize("bad", [row(BOB)[:-1], [*row(BOB), "x"]], ids=["column missing", "column too many"])
def test_a_batch_that_was_cut_off_is_refused_whole(cdp: Cdp, bad: list[str | None]) -> None:
    with pytest.raises(MalformedBatch, match="instead of 20"):
        cdp.put([row(ANN), bad])
    assert cdp.companies() == {}


@pytest.mark.parametrize(("bad", "reason"), BAD.values(), ids=BAD)
def test_a_bad_row_is_set_aside_with_its_reason_and_the_good_land(cdp: Cdp, bad: list[str | None], reason: str) -> None:
    outcome = cdp.put([row(ANN), bad, row(CID)])
    assert outcome == Outcome(read=3, written=2, imported=2, quarantined=1)
    assert cdp.companies() == {ANN.record_id: "Acme", CID.record_id: "Cids"}
    assert quarantine(cdp) == {BOB.record_id: reason}


def test_invalid_bytes_are_set_aside(cdp: Cdp) -> None:
    outcome = cdp.put_bytes(line(row(ANN)), line(row(BOB)).replace(b"Bobs", b"B\xff\xfebs"), line(row(CID)))
    assert outcome == Outcome(read=3, written=2, imported=2, quarantined=1)
    assert quarantine(cdp) == {BOB.record_id: "a text is not valid Unicode"}


def test_rows_that_are_bad_in_different_ways_are_all_set_aside(cdp: Cdp) -> None:
    late = replace(CID, record_id="00Q000000000000004")
    outcome = cdp.put([row(BOB, company="\x00"), row(CID, since="never"), row(late, score="x"), row(ANN)])
    assert outcome == Outcome(read=4, written=1, imported=1, quarantined=3)
    assert quarantine(cdp) == {
        BOB.record_id: "a text contains a NUL character",
        CID.record_id: "since is not a valid date",
        late.record_id: "score is not a valid numeric",
    }


def test_a_batch_of_bad_rows_only_is_set_aside(cdp: Cdp) -> None:
    assert cdp.put([row(BOB, score="x"), row(CID, company="\x00")]) == Outcome(read=2, quarantined=2)


def test_an_empty_batch_does_nothing(cdp: Cdp) -> None:
    assert cdp.put([]) == Outcome()


def test_a_stored_version_stays_when_a_newer_one_is_bad(cdp: Cdp) -> None:
    cdp.deliver([BOB])
    cdp.put([row(replace(BOB, version_at=BEGINNING + HOUR), score="x")])
    assert cdp.companies() == {BOB.record_id: "Bobs"}
    assert quarantine(cdp) == {BOB.record_id: "score is not a valid numeric"}


def test_the_reason_last_seen_is_kept(cdp: Cdp) -> None:
    cdp.put([row(BOB, score="x")])
    cdp.put([row(BOB, company="\x00")], read_at=BEGINNING + HOUR)
    assert cdp.query("SELECT reason, seen_at FROM quarantine") == [
        {"reason": "a text contains a NUL character", "seen_at": BEGINNING + HOUR}
    ]


def test_a_good_version_heals_its_own_quarantine_only(cdp: Cdp) -> None:
    cdp.put([row(BOB, score="x"), row(CID, company="\x00")])
    cdp.put([row(BOB)], source_id=2)
    assert set(quarantine(cdp)) == {BOB.record_id, CID.record_id}
    cdp.put([row(replace(BOB, version_at=BEGINNING + HOUR))])
    assert set(quarantine(cdp)) == {CID.record_id}


def test_an_older_version_does_not_hide_a_newer_bad_one(cdp: Cdp) -> None:
    newer = replace(BOB, version_at=BEGINNING + HOUR, read_at=BEGINNING + HOUR)
    cdp.put([row(newer, score="x")])
    cdp.deliver([BOB])
    assert set(quarantine(cdp)) == {BOB.record_id}


def test_a_superseded_bad_version_does_not_return_to_quarantine(cdp: Cdp) -> None:
    cdp.deliver([replace(BOB, version_at=BEGINNING + HOUR)])
    cdp.put([row(BOB, score="x")])
    assert quarantine(cdp) == {}


def test_every_row_of_a_batch_is_counted_once(cdp: Cdp) -> None:
    assert cdp.put([row(BOB, score="x"), row(BOB, score="y"), row(ANN)]).read == 3


@pytest.mark.parametrize("column", ["Id", "CreatedDate", "LastModifiedDate", "SystemModstamp"])
def test_a_row_without_a_necessary_value_is_set_aside(cdp: Cdp, column: str) -> None:
    assert cdp.put([row(ANN), row(BOB, **{column: None})]) == Outcome(read=2, written=1, imported=1, quarantined=1)
