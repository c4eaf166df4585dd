"""Query text, compared whole; and what no name or id can smuggle into it."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector import soql

NOON = datetime(2026, 10, 1, 12, 0, 0, tzinfo=UTC)
ID = "00Q5e00000AbCdEEAV"


def test_a_selection_of_everything() -> None:
    assert soql.select("Lead", ("Id", "Email")) == "SELECT Id, Email FROM Lead"


def test_the_first_page_of_a_window() -> None:
    text = soql.select("Lead", ("Id", "Account.Name"), soql.since("LastModifiedDate", NOON), ("LastModifiedDate", "Id"))
    assert text == (
        "SELECT Id, Account.Name FROM Lead WHERE LastModifiedDate >= 2026-10-01T12:00:00Z ORDER BY LastModifiedDate, Id"
    )


def test_a_page_after_a_keyset_in_the_drift_pass() -> None:
    condition = soql.both(
        soql.since("SystemModstamp", NOON),
        soql.before("LastModifiedDate", NOON),
        soql.following("SystemModstamp", (NOON + timedelta(seconds=1), ID)),
    )
    assert soql.select("Contact", ("Id",), condition, ("SystemModstamp", "Id")) == (
        "SELECT Id FROM Contact WHERE SystemModstamp >= 2026-10-01T12:00:00Z "
        "AND LastModifiedDate < 2026-10-01T12:00:00Z "
        "AND (SystemModstamp > 2026-10-01T12:00:01Z OR (SystemModstamp = 2026-10-01T12:00:01Z AND Id > "
        "'00Q5e00000AbCdEEAV')) ORDER BY SystemModstamp, Id"
    )


def test_counting_takes_the_same_condition() -> None:
    assert soql.count("Lead") == "SELECT COUNT() FROM Lead"
    assert soql.count("Lead", soql.since("CreatedDate", NOON)) == (
        "SELECT COUNT() FROM Lead WHERE CreatedDate >= 2026-10-01T12:00:00Z"
    )


def test_a_window_from_the_beginning_has_no_condition() -> None:
    assert soql.since("LastModifiedDate", None) == ""
    assert soql.both("", soql.since("LastModifiedDate", None), "") == ""


def test_stamps_are_utc_to_the_second_whatever_the_zone() -> None:
    elsewhere = NOON.astimezone(timezone(timedelta(hours=-5, minutes=-30))).replace(microsecond=999_999)
    assert soql.stamp(elsewhere) == "2026-10-01T12:00:00Z"


@pytest.mark.parametrize("name", ["", "Id, Name", "Id FROM User", "1st", "a b", "a.", ".a", "é", "Id\n", "a'", "--"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not a Salesforce name"):
        soql.select("Lead", (name,))
    with pytest.raises(ValueError, match="not a Salesforce name"):
        soql.count(name)


@given(st.text(max_size=20))
def test_only_ids_are_quoted(text: str) -> None:
    try:
        quoted = soql.record_id(text)
    except ValueError:
        return
    assert quoted == f"'{text}'"
    assert text.isascii()
    assert text.isalnum()
    assert len(text) in (15, 18)


@given(st.text(alphabet="ab'\\\" \n;)", min_size=1, max_size=20))
def test_nothing_gets_out_of_a_keyset(text: str) -> None:
    with pytest.raises(ValueError, match="not a Salesforce id"):
        soql.following("SystemModstamp", (NOON, text))
