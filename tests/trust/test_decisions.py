"""Decisions about people: what they do, that they last, and that taking one back leaves no trace."""

import json
from dataclasses import replace
from functools import partial
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from cdp import decisions
from cdp.errors import NotDecidable
from cdp.people import RESOLVER_LOCK
from connector import deciding
from connector.cli.commands import app
from connector.errors import BadInput, Refused
from tests.feed import Cdp
from tests.oracle import Record
from tests.together import together
from tests.trust.world import World, contact, identity, ids, lead

A = lead(1, "ann@acme.com", values={"company": "Acme"})
B = contact(2, "ann@acme.com", 2, values={"company": "Globex"})
C = lead(3, "ann@acme.com", 3)
D = lead(4, "dan@acme.com", 2)
PAIR = [A.handle, D.handle]


def test_a_split_parts_and_its_undoing_rejoins(world: World) -> None:
    world.change(A, B, C)
    before = world.cdp.people()
    number = world.split(A, B)
    assert world.groups(A, B, C) == ids([A, B], [C])
    world.undo(number)
    assert world.cdp.people() == before


def test_a_join_joins_and_its_undoing_parts(world: World) -> None:
    world.change(A, D)
    before = world.cdp.people()
    number = world.join(A, D)
    assert world.groups(A, D) == ids([A, D])
    world.undo(number)
    assert world.cdp.people() == before


def test_split_records_stay_alone_whatever_they_say_later(world: World) -> None:
    world.change(A, B, D)
    world.split(A)
    world.change(replace(A, email=D.email))
    assert world.groups(A, B, D) == ids([A], [B], [D])
    world.change(replace(D, is_converted=True, converted_to=B.record_id, email=B.email))
    assert world.groups(A, B, D) == ids([A], [B, D])


def test_decisions_outlive_deletion_and_return(world: World) -> None:
    world.change(A, B, C, D)
    world.split(A)
    world.join(B, D)
    world.change(replace(A, is_deleted=True), replace(B, is_deleted=True))
    world.change(A, B)
    assert world.groups(A, B, C, D) == ids([A], [B, C, D])


def test_decisions_outlive_a_replay_from_zero(world: World) -> None:
    world.change(A, B, D)
    world.split(A)
    world.join(B, D)
    people = world.cdp.people()
    world.cdp.query(
        "WITH gone AS (DELETE FROM record), left_ AS (DELETE FROM membership) DELETE FROM person RETURNING 1"
    )
    world.cdp.query("DELETE FROM people_state RETURNING 1")
    world.cdp.deliver(sorted(world.now.values(), key=lambda r: (r.source_id, r.object, r.read_at)))
    world.compare()
    assert world.cdp.people() == people
    assert world.verify().same


def test_a_split_outweighs_a_join(world: World) -> None:
    world.change(A, B, D)
    world.join(A, D)
    number = world.split(A)
    assert world.groups(A, B, D) == ids([A], [B], [D])
    world.undo(number)
    assert world.groups(A, B, D) == ids([A, B, D])


def merged(loser: Record, winner: Record) -> Record:
    return replace(loser, is_deleted=True, merged_into=winner.record_id)


def test_a_join_passes_to_the_winner_of_a_merge_in_salesforce(world: World) -> None:
    loser, winner, middle = lead(1, "ann@acme.com"), lead(7, "eve@acme.com"), lead(8)
    world.change(loser, winner, D)
    number = world.join(loser, D)
    world.change(merged(loser, winner))
    assert world.groups(winner, D) == ids([winner, D])
    world.change(middle, merged(winner, middle))
    assert world.groups(middle, D) == ids([middle, D])
    world.change(loser, winner)
    assert world.groups(loser, winner, middle, D) == ids([loser, D], [winner], [middle])
    world.undo(number)
    assert world.groups(loser, D) == ids([loser], [D])


def test_a_split_passes_to_the_winner_of_a_merge_in_salesforce(world: World) -> None:
    loser, winner = lead(1, "ann@acme.com"), lead(7, "ann@acme.com")
    world.change(loser, winner, B)
    number = world.split(loser)
    assert world.groups(loser, winner, B) == ids([loser], [winner, B])
    world.change(merged(loser, winner))
    assert world.groups(winner, B) == ids([winner], [B])
    with pytest.raises(NotDecidable, match=f"Decision {number} "):
        world.join(winner, B)
    world.change(loser)
    assert world.groups(loser, winner, B) == ids([loser], [winner, B])


def test_a_decision_waits_for_a_winner_that_is_not_here_yet(world: World) -> None:
    loser, winner = lead(1, "ann@acme.com"), lead(7, "eve@acme.com")
    world.change(loser, D)
    world.join(loser, D)
    world.change(merged(loser, winner))
    world.change(winner)
    assert world.groups(winner, D) == ids([winner, D])


def test_a_split_inside_a_split(world: World) -> None:
    world.change(A, B, C)
    outer = world.split(A, B)
    inner = world.split(A)
    assert world.groups(A, B, C) == ids([A], [B], [C])
    world.undo(outer)
    assert world.groups(A, B, C) == ids([A], [B, C])
    world.undo(inner)
    assert world.groups(A, B, C) == ids([A, B, C])


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        ("split", [A, D]),
        ("split", [A, B]),
        ("split", [lead(99)]),
        ("join", [A]),
        ("join", [A, A]),
        ("join", [A, lead(99)]),
    ],
    ids=["two people", "a whole person", "unknown", "one", "one twice", "with an unknown one"],
)
def test_what_cannot_be_decided_is_refused_and_leaves_nothing(world: World, kind: str, named: list[Any]) -> None:
    world.change(A, B, D)
    with pytest.raises(NotDecidable):
        world.decide(kind, [record.handle for record in named])
    assert world.cdp.query("SELECT FROM decision") == []


def test_a_join_with_a_split_record_names_the_decision_to_undo(world: World) -> None:
    world.change(A, B, D)
    number = world.split(A)
    with pytest.raises(NotDecidable, match=f"Decision {number} "):
        world.join(A, D)


def test_a_decision_is_undone_once(world: World) -> None:
    world.change(A, D)
    number = world.join(A, D)
    world.undo(number)
    with pytest.raises(NotDecidable):
        world.undo(number)


@pytest.mark.slow
@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 10_000))
def test_any_order_of_records_and_decisions_gives_the_people_of_the_oracle(cdp: Cdp, seed: int) -> None:
    random = Random(seed)
    world = World(cdp)
    emails = [None, "ann@acme.com", "bob@acme.com", "cid@acme.com"]
    pool = [make(n, None, source) for make in (lead, contact) for n in range(1, 4) for source in (1, 2)]
    for _ in range(12):
        step = random.random()
        alive = [
            record for record in world.now.values() if record in pool or record.record_id in {p.record_id for p in pool}
        ]
        if step < 0.5 or len(alive) < 3:
            chosen = random.sample(pool, random.randint(1, 3))
            world.change(
                *(
                    replace(
                        one,
                        email=random.choice(emails),
                        is_deleted=random.random() < 0.2,
                        merged_into=random.choice([None, *(p.record_id for p in pool if comes_after(p, one))]),
                        converted_to=random.choice([None, pool[-1].record_id]) if one.object == "Lead" else None,
                    )
                    for one in chosen
                )
            )
        elif step < 0.8:
            try:
                world.decide(
                    random.choice(["split", "join"]),
                    [one.handle for one in random.sample(alive, random.randint(1, 2))],
                )
            except NotDecidable:
                continue
        elif world.decided:
            world.undo(random.choice(list(world.decided)))
    for number in list(world.decided):
        world.undo(number)
    assert world.verify().same


def comes_after(one: Record, other: Record) -> bool:
    return (one.source_id, one.object) == (other.source_id, other.object) and one.record_id > other.record_id


@pytest.fixture
def cli(world: World, monkeypatch: pytest.MonkeyPatch) -> Any:
    runtime = SimpleNamespace(database_url=world.cdp.url, identity=identity(world.rules))
    monkeypatch.setattr("connector.cli.trusting.Runtime", lambda: runtime)

    def run(*words: str) -> Any:
        return CliRunner().invoke(app, [*words, "--json"])

    return run


def test_the_commands_decide_list_and_undo(world: World, cli: Any) -> None:
    world.change(A, B, C)
    made = json.loads(cli("people", "split", A.record_id, "--reason", "two brothers").stdout)
    assert (made["kind"], made["reason"], made["undone_at"]) == ("split", "two brothers", None)
    assert made["records"] == [f"sf_1_Lead_{A.record_id}"]
    assert world.groups(A, B, C) == ids([A], [B, C])
    [listed] = [json.loads(line) for line in cli("people", "decisions").stdout.splitlines()]
    assert listed == made
    assert json.loads(cli("people", "undo", str(made["decision_id"])).stdout)["undone_at"]
    assert world.groups(A, B, C) == ids([A, B, C])


@pytest.mark.parametrize(("reason", "words"), [(" ", "needs a reason"), ("x" * 1001, "at most 1,000 characters")])
def test_a_reason_is_given_and_bounded(world: World, cli: Any, reason: str, words: str) -> None:
    world.change(A, B, C)
    assert words in str(cli("people", "split", A.record_id, "--reason", reason).exception)
    assert words in str(cli("people", "join", A.record_id, B.record_id, "--reason", reason).exception)
    assert cli("people", "decisions").stdout == ""


def test_a_record_known_in_two_orgs_must_be_named_by_its_external_id(world: World, cli: Any) -> None:
    twin = replace(A, source_id=2)
    world.change(A, twin, B)
    refused = cli("people", "split", A.record_id, "--reason", "twins")
    assert refused.exit_code != 0
    assert "2 records" in str(refused.exception)
    assert cli("people", "split", f"sf_2_Lead_{A.record_id}", "--reason", "twins").exit_code == 0


@pytest.mark.parametrize("kind", ["split", "join"])
def test_a_decision_taken_six_times_at_once_is_made_once(world: World, kind: str) -> None:
    world.change(A, B, C, D)
    runtime: Any = SimpleNamespace(database_url=world.cdp.url, identity=identity(world.rules))
    decide = {"split": partial(deciding.split, runtime, [A.handle]), "join": partial(deciding.join, runtime, PAIR)}
    calls = [partial(decide[kind], "a test")] * 6
    outcomes = together(world.cdp.url, f"SELECT pg_advisory_xact_lock({RESOLVER_LOCK})", calls)  # type: ignore[arg-type]
    assert sorted(type(one).__name__ for one in outcomes) == ["Refused"] * 5 + ["int"]
    assert len(world.cdp.query("SELECT FROM decision")) == 1
    with pytest.raises(Refused, match="says just that already"):
        calls[0]()


def test_a_decision_waits_for_the_one_before_about_the_same_people(world: World) -> None:
    world.change(A, B, C, D)
    with world.cdp.session() as session:
        decisions.split(session, [A.handle], "a test")
    with pytest.raises(NotDecidable, match="is being carried out"), world.cdp.session() as session:
        decisions.split(session, [A.handle, B.handle], "a test")


@pytest.mark.parametrize("reason", ["", "  "])
def test_a_decision_without_a_reason_is_refused(world: World, cli: Any, reason: str) -> None:
    world.change(A, B, C, D)
    for words in (("split", A.record_id), ("join", A.record_id, D.record_id)):
        refused = cli("people", *words, "--reason", reason)
        assert isinstance(refused.exception, BadInput)
        assert "say why" in str(refused.exception)
    assert world.cdp.query("SELECT FROM decision") == []
