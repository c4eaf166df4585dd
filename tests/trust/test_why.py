"""Why records are one person, and why they are not: in keys, links, decisions, and a sentence each."""

import json
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from cdp import queries
from connector.cli.commands import app
from connector.unmerged import unmerged
from tests.oracle import Record
from tests.trust.test_cases import ANN, BOB, becomes, converted, deleted
from tests.trust.world import World, contact, lead

CROWD = [lead(20 + n, "info@acme.com") for n in range(4)]


def bonds(world: World, record: Record) -> list[tuple[str, str, list[str]]]:
    with world.cdp.session() as session:
        [person] = queries.resolve_person(session, str(record.handle))
        found = queries.bonds(session, person)
    return [(one["kind"], one["by"], [name.rsplit(" ", 1)[-1][-1] for name in one["records"]]) for one in found]


def why_not(world: World, one: Sequence[Record], other: Sequence[Record]) -> dict[str, Any]:
    with world.cdp.session() as session:
        return queries.why_not(session, [r.handle for r in one], [r.handle for r in other])


def test_the_chain_that_holds_a_person_together_is_told_whole(world: World) -> None:
    bridge = converted(lead(2, ANN), contact(3))
    world.change(lead(1, ANN, 2), bridge, contact(3, BOB), lead(4, BOB, 3), lead(5, None, 3))
    world.join(lead(4, BOB, 3), lead(5, None, 3))
    assert bonds(world, bridge) == [
        ("email", ANN, ["2", "1"]),
        ("email", BOB, ["3", "4"]),
        ("conversion", f"org 1 Lead {bridge.record_id}", ["3", "2"]),
        ("decision", "1", ["4", "5"]),
    ]


def test_records_split_off_together_say_so(world: World) -> None:
    world.change(lead(1, ANN), lead(2, ANN), lead(3, ANN))
    number = world.split(lead(1), lead(2))
    assert bonds(world, lead(1)) == [("split", str(number), ["1", "2"])]
    assert bonds(world, lead(3)) == []


@pytest.mark.parametrize(
    ("records", "sentence"),
    [
        ((lead(1), contact(2, ANN)), "has no email"),
        ((lead(1, "  "), contact(2, ANN)), "has no email"),
        ((lead(1, "ann at acme"), contact(2, ANN)), "no valid address"),
        ((lead(1, "no@email.com"), contact(2, ANN)), "the placeholder no@email.com"),
        ((lead(1, ANN), contact(2, BOB)), "Their emails differ: ann@acme.com and bob@acme.com."),
        ((lead(1, "info@acme.com"), contact(2, ANN)), "a shared mailbox: 5 records hold it and at most 3 may merge"),
        ((deleted(lead(1, ANN)), contact(2, ANN)), "is in the recycle bin, and only live records form people"),
        (
            (converted(lead(1, ANN), contact(9)), contact(2, BOB)),
            "was converted to the contact 003000000000000009, which",
        ),
    ],
)
def test_each_reason_for_being_apart_has_its_sentence(world: World, records: tuple[Record, ...], sentence: str) -> None:
    world.change(*CROWD, *records)
    told = why_not(world, *([record] for record in records))
    assert not told["together"]
    assert any(sentence in reason for reason in told["reasons"]), told


@pytest.mark.parametrize(("state", "words"), [("gone", "deleted for good"), ("filtered", "the source's filter")])
def test_a_record_out_of_sight_says_why(world: World, state: str, words: str) -> None:
    world.change(lead(1, ANN), contact(2, ANN))
    becomes(state, lead(1))(world)  # type: ignore[operator]
    assert any(words in reason for reason in why_not(world, [lead(1)], [contact(2)])["reasons"])


def test_a_decision_is_named_as_the_reason(world: World) -> None:
    world.change(lead(1, ANN), contact(2, ANN), lead(3, ANN, 2))
    number = world.split(lead(1))
    [reason] = why_not(world, [lead(1)], [contact(2)])["reasons"]
    assert f"split from the others by decision {number}" in reason


def test_what_waits_for_the_resolver_says_so(world: World) -> None:
    world.change(lead(1, ANN), contact(2, BOB))
    world.say(lead(1, BOB))
    assert any("look again" in reason for reason in why_not(world, [lead(1)], [contact(2)])["reasons"])


def test_records_of_one_person_say_what_joins_them(world: World) -> None:
    world.change(lead(1, ANN), contact(2, ANN))
    told = why_not(world, [lead(1)], [contact(2)])
    assert told["together"]
    assert "share the email ann@acme.com" in told["reasons"][0]


def test_blocked_keys_are_listed_with_reason_and_count(world: World) -> None:
    world.change(*CROWD, lead(1, "no@email.com"), lead(2, "ann at acme"), lead(3, "x"), lead(4))
    with world.cdp.session() as session:
        found = queries.blocked_keys(session)
        told = unmerged(session)
    assert [(one["email"], one["reason"], one["records"]) for one in found] == [
        ("info@acme.com", "shared", 4),
        ("no@email.com", "placeholder", 1),
        ("ann at acme", "invalid", 1),
        ("x", "invalid", 1),
    ]
    assert [(one.check, one.status) for one in told] == [
        ("shared_mailboxes", "warning"),
        ("placeholders", "ok"),
        ("invalid_emails", "warning"),
    ]
    assert told[0].finding.endswith("shared by more than 3 records: info@acme.com (4).")
    assert told[2].emails == ({"email": "ann at acme", "records": 1}, {"email": "x", "records": 1})


def test_an_email_that_merges_nobody_finds_who_has_it(world: World) -> None:
    world.change(lead(1, "no@email.com"), lead(2, "Ann at Acme"), contact(3, "ann at acme "), lead(4))
    with world.cdp.session() as session:
        assert queries.resolve_person(session, "NO@email.com") == [lead(1).handle]
        assert queries.resolve_person(session, "ann at acme") == sorted([lead(2).handle, contact(3).handle])
        assert queries.resolve_person(session, "") == queries.resolve_person(session, "nobody") == []


@pytest.mark.parametrize("wanted", ["\\", "a\\b", "\\x", "sf_1_Lead_\\", r"back\slash@x.com"])
def test_a_backslash_is_a_letter(world: World, wanted: str) -> None:
    world.change(lead(1, r"back\slash@x.com"), lead(2))
    with world.cdp.session() as session:
        found = [lead(1).handle] if "@" in wanted else []
        assert queries.resolve_person(session, wanted) == found
        assert queries.find_records(session, wanted) == found
        assert [one["person_id"] for one in queries.search_people(session, wanted)] == found


def test_the_commands_tell_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.change(*CROWD, lead(1, ANN), replace(contact(2, ANN), values={"company": "Acme"}))
    monkeypatch.setattr("connector.cli.looking.Runtime", lambda: SimpleNamespace(database_url=world.cdp.url))

    def run(*words: str) -> str:
        return CliRunner().invoke(app, ["person", *words]).stdout

    told = json.loads(run(ANN, "--why", "--json"))
    assert [one["by"] for one in told["bonds"]] == [ANN]
    assert {one["obstacle"] for one in told["keys"]} == {None}
    assert "a shared mailbox" in run(CROWD[0].record_id)
    assert "held together by" in run(ANN, "--why")
    assert not json.loads(run("--why-not", lead(1).record_id, "info@acme.com", "--json"))["together"]
    assert "They are one person" in run("--why-not", lead(1).record_id, f"sf_1_Contact_{contact(2).record_id}")
    assert CliRunner().invoke(app, ["person"]).exit_code != 0
