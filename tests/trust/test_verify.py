"""`verify`: silent over what the resolver made, loud over anything else, and blind only to what is still queued."""

import json
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from psycopg import sql
from typer.testing import CliRunner

from cdp import verification
from cdp.db import driver
from cdp.errors import Unsettled
from cdp.merging import Identity
from connector.cli.commands import app
from tests.feed import ANN, BOB, CID, Cdp
from tests.stories import RULES, bystanders

IDENTITY = Identity(RULES.max_records_per_key, tuple(RULES.never_merge))
NOISE = bystanders(20)


@pytest.fixture
def settled(cdp: Cdp) -> Cdp:
    cdp.deliver([*NOISE, ANN, replace(BOB, email=ANN.email), CID])
    cdp.resolve(RULES)
    return cdp


def verify(cdp: Cdp) -> verification.Comparison:
    return verification.verify(cdp.url, IDENTITY)


def change(cdp: Cdp, statement: str, **values: Any) -> None:
    with cdp.session() as session:
        driver(session).execute(sql.SQL(statement), values)


def test_what_the_resolver_made_is_what_a_rebuild_makes(settled: Cdp) -> None:
    found = verify(settled)
    assert (found.records, found.people, found.pending, found.same) == (23, 12, 0, True)
    assert found.examples == []


@pytest.mark.parametrize(
    ("damage", "memberships", "people"),
    [
        ("UPDATE person SET company = 'Other' WHERE person_id = %(ann)s", 0, 1),
        ("UPDATE person SET score = 1.00 WHERE person_id = %(ann)s", 0, 1),
        ("DELETE FROM person WHERE person_id = %(ann)s", 0, 1),
        ("UPDATE membership SET person_id = %(cid)s WHERE handle = %(bob)s", 1, 0),
        ("UPDATE membership SET email_key = 'x@y.z' WHERE handle = %(bob)s", 1, 0),
        ("DELETE FROM membership WHERE handle = %(cid)s", 1, 0),
        ("UPDATE record SET email = 'new@acme.com' WHERE handle = %(bob)s", 1, 1),
    ],
)
def test_damage_is_found(settled: Cdp, damage: str, memberships: int, people: int) -> None:
    change(settled, "UPDATE record SET f_score = 1.0 WHERE handle = %(ann)s", ann=ANN.handle)
    change(settled, "UPDATE person SET score = 1.0 WHERE person_id = %(ann)s", ann=ANN.handle)
    change(settled, damage, ann=ANN.handle, bob=BOB.handle, cid=CID.handle)
    found = verify(settled)
    assert (found.memberships_different, found.people_different) == (memberships, people)


def test_an_example_names_the_columns_with_both_values(settled: Cdp) -> None:
    change(settled, "UPDATE person SET company = 'Other' WHERE person_id = %(ann)s", ann=ANN.handle)
    assert verify(settled).examples == [verification.Difference(ANN.handle, {"company": ("Other", "Acme")})]


def test_what_is_queued_is_left_out_and_nothing_else(settled: Cdp) -> None:
    settled.deliver([replace(CID, record_id="00Q000000000000009", email=NOISE[0].email)])
    found = verify(settled)
    assert (found.pending, found.same) == (1, True)
    change(settled, "UPDATE person SET company = 'Other' WHERE person_id = %(ann)s", ann=ANN.handle)
    assert verify(settled).people_different == 1


def test_other_rules_than_people_were_made_by_are_said_so(settled: Cdp) -> None:
    with pytest.raises(Unsettled):
        verification.verify(settled.url, replace(IDENTITY, max_records_per_key=1))


def test_nothing_can_be_written_beside_the_rebuild(settled: Cdp) -> None:
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction), verification.rebuilding(settled.url) as session:
        driver(session).execute("DELETE FROM person")


def test_the_resolver_works_on_while_people_are_verified(settled: Cdp) -> None:
    with verification.rebuilding(settled.url):
        settled.deliver([replace(CID, email=ANN.email, read_at=CID.read_at.replace(year=2027))])
        assert settled.resolve(RULES).removed == 1
    assert verify(settled).same


def test_the_command_ends_with_1_when_anything_differs(settled: Cdp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "connector.cli.trusting.Runtime", lambda: type("R", (), {"database_url": settled.url, "identity": IDENTITY})
    )
    same = CliRunner().invoke(app, ["verify", "--json"])
    assert (same.exit_code, json.loads(same.stdout)["same"]) == (0, True)
    change(settled, "UPDATE person SET company = 'Other' WHERE person_id = %(ann)s", ann=ANN.handle)
    other = CliRunner().invoke(app, ["verify"])
    assert other.exit_code == 1
    assert "Other" in other.stdout
