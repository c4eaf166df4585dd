"""What a filter does to a batch: what is let in lives, what is not leaves only its id and stamps behind."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import permutations
from typing import Any

from psycopg import sql

from cdp import ingest
from tests.feed import ANN, FIELDS, HOUR, Cdp, batch, cells, layout
from tests.oracle import BEGINNING, Record, Rules

RULES = Rules({field.name: (field.type, field.rule) for field in FIELDS})
ACME_ONLY = sql.SQL("coalesce(company = 'Acme', false)")


def version(hours: int, company: str, **changes: Any) -> Record:
    at = BEGINNING + hours * HOUR
    return replace(ANN, modified_at=at, version_at=at, read_at=at, values={"company": company}, **changes)


def deliver(cdp: Cdp, *records: Record, admitted: sql.Composable | None = ACME_ONLY) -> Any:
    with cdp.session() as session:
        outcomes = [
            ingest.store(
                session,
                batch([cells(record, FIELDS)], replace(layout(FIELDS), admitted=admitted), read_at=record.read_at),
            )
            for record in records
        ]
    cdp.resolve(RULES)
    return outcomes[-1]


def stored(cdp: Cdp) -> dict[str, Any]:
    [row] = cdp.query("SELECT state, email, f_company, email_permission, record_id, version_at FROM record")
    return row


def people(cdp: Cdp) -> Iterable[Any]:
    return cdp.people().values()


def test_what_is_let_in_lives(cdp: Cdp) -> None:
    deliver(cdp, version(1, "Acme"))
    assert stored(cdp)["state"] == "live"
    assert [person["company"] for person in people(cdp)] == ["Acme"]


def test_what_is_not_let_in_leaves_no_value(cdp: Cdp) -> None:
    outcome = deliver(cdp, version(1, "Other", email_permission=False))
    row = stored(cdp)
    assert row["state"] == "filtered"
    assert (row["email"], row["f_company"], row["email_permission"]) == (None, None, None)
    assert (outcome.read, outcome.written, outcome.imported, outcome.skipped) == (1, 0, 0, 1)
    assert not people(cdp)


def test_a_record_that_no_longer_matches_leaves_with_its_person(cdp: Cdp) -> None:
    deliver(cdp, version(1, "Acme"))
    outcome = deliver(cdp, version(2, "Other"))
    assert stored(cdp)["state"] == "filtered"
    assert stored(cdp)["email"] is None
    assert outcome.written == 1
    assert not people(cdp)


def test_an_older_version_that_matches_does_not_bring_it_back(cdp: Cdp) -> None:
    deliver(cdp, version(2, "Other"))
    deliver(cdp, version(1, "Acme"))
    assert stored(cdp)["state"] == "filtered"


def test_a_wider_filter_brings_it_back_unchanged(cdp: Cdp) -> None:
    deliver(cdp, version(1, "Acme"))
    before = [person | {} for person in people(cdp)], stored(cdp)
    deliver(cdp, replace(version(1, "Acme"), read_at=BEGINNING + 2 * HOUR), admitted=sql.SQL("false"))
    assert stored(cdp)["state"] == "filtered"
    deliver(cdp, replace(version(1, "Acme"), read_at=BEGINNING + 3 * HOUR))
    assert (list(people(cdp)), stored(cdp)) == before


def test_a_deleted_row_that_is_not_let_in_is_deleted_without_values(cdp: Cdp) -> None:
    deliver(cdp, version(1, "Other", is_deleted=True))
    assert stored(cdp)["state"] == "deleted"
    assert stored(cdp)["email"] is None


def test_a_value_of_the_wrong_type_does_not_hold_up_a_row_that_is_left_out(cdp: Cdp) -> None:
    outcome = deliver(cdp, replace(version(1, "Other"), values={"company": "Other", "score": "many"}))
    assert outcome.quarantined == 0
    assert stored(cdp)["state"] == "filtered"


def test_the_order_of_arrival_does_not_matter(cdp: Cdp) -> None:
    versions = [version(1, "Acme"), version(2, "Other"), version(3, "Acme", is_deleted=True), version(4, "Other")]
    for order in permutations(versions):
        cdp.reset()
        deliver(cdp, *order)
        row = stored(cdp)
        assert (row["state"], row["f_company"], row["version_at"]) == ("filtered", None, BEGINNING + 4 * HOUR)


def test_a_percent_sign_in_a_filter_is_only_a_percent_sign(cdp: Cdp) -> None:
    deliver(cdp, version(1, "50%s off"), admitted=sql.SQL("strpos(company, {}) > 0").format(sql.Literal("0%s")))
    assert stored(cdp)["state"] == "live"


def test_a_percent_sign_in_a_permission_is_only_a_percent_sign(cdp: Cdp) -> None:
    consent = {"email": replace(layout(FIELDS).consent["email"], no=frozenset({"100%s no"}))}
    values = [cell if cell != "no" else "100%s no" for cell in cells(replace(ANN, email_permission=False), FIELDS)]
    shape = layout(FIELDS, {"email": consent["email"], "sms": layout(FIELDS).consent["sms"]})
    cdp.put([values], shape)
    assert stored(cdp)["email_permission"] is False
