"""The feed of changes: a copy that follows it event by event holds the people there are, whatever happens to them."""

import json
from dataclasses import replace
from datetime import timedelta
from random import Random
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from cdp.errors import EventsForgotten, NotDecidable
from cdp.people import forget_events
from connector.cli.commands import app
from connector.errors import Refused
from tests.feed import Cdp
from tests.stories import OTHER_RULES, RULES
from tests.trust.world import NOISE, World, contact, lead

A = lead(1, "ann@acme.com", values={"company": "Acme"})
B = contact(2, "bob@acme.com", 2)
C = lead(3, "cid@acme.com", 3)


def told(world: World, after: int) -> list[tuple[str, str, list[UUID], list[UUID]]]:
    return [(one["kind"], one["cause"], one["old_ids"], one["new_ids"]) for one in world.events(after)]


def last(world: World) -> int:
    return max((one["event_id"] for one in world.events()), default=0)


def test_each_kind_is_told_with_its_ids_and_cause(world: World) -> None:
    a, b, c = A.handle, B.handle, C.handle
    steps: list[tuple[Any, list[Any]]] = [
        (lambda: world.change(A), [("created", "records", [], [a])]),
        (lambda: world.change(B), [("created", "records", [], [b])]),
        (lambda: world.change(replace(A, values={"company": "New"})), [("updated", "records", [a], [a])]),
        (lambda: world.change(replace(B, email=A.email)), [("merged", "records", [b, a], [a])]),
        (lambda: world.change(replace(C, email=A.email)), [("updated", "records", [a], [a])]),
        (lambda: world.split(C), [("split", "decision", [a], [a, c])]),
        (lambda: world.undo(1), [("merged", "decision", [a, c], [a])]),
        (lambda: world.change(replace(A, is_deleted=True)), [("updated", "records", [a], [b])]),
        (lambda: world.change(replace(B, is_deleted=True)), [("updated", "records", [b], [c])]),
        (lambda: world.change(replace(C, is_deleted=True)), [("deleted", "records", [c], [])]),
    ]
    for step, expected in steps:
        before = last(world)
        step()
        assert told(world, before) == [(kind, cause, sorted(old), sorted(new)) for kind, cause, old, new in expected]


def test_a_changed_configuration_is_a_cause(world: World) -> None:
    world.change(A, replace(B, email=A.email))
    before = last(world)
    world.rules = replace(RULES, never_merge=frozenset({"ann@acme.com"}))
    world.compare()
    kinds = {(kind, cause) for kind, cause, _, _ in told(world, before)}
    assert kinds == {("split", "configuration")}


def test_nothing_happens_and_nothing_is_told(world: World) -> None:
    world.change(A)
    before = last(world)
    world.cdp.deliver([world.now[A.handle]])
    world.compare()
    assert told(world, before) == []


def test_the_first_load_tells_each_person_once(cdp: Cdp) -> None:
    world = World(cdp)
    assert [one["kind"] for one in world.events()] == ["created"] * (len(NOISE) // 2)
    assert {one["person_id"] for one in world.events()} == cdp.people().keys()


@pytest.mark.slow
@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 10_000))
def test_a_copy_that_follows_holds_the_people_there_are(cdp: Cdp, seed: int) -> None:
    random = Random(seed)
    world = World(cdp)
    copy: dict[UUID, Any] = {}
    seen = follow(world, copy, 0)
    pool = [make(n, None, source) for make in (lead, contact) for n in range(1, 4) for source in (1, 2)]
    for _ in range(12):
        happen(world, random, pool)
        seen = follow(world, copy, seen)


def happen(world: World, random: Random, pool: list[Any]) -> None:
    chance = random.random()
    if chance < 0.1:
        world.rules = random.choice((RULES, *OTHER_RULES))
    elif chance < 0.3:
        try:
            world.decide(random.choice(["split", "join"]), [one.handle for one in random.sample(pool, 2)])
        except NotDecidable:
            return
    elif chance < 0.4 and world.decided:
        world.undo(random.choice(list(world.decided)))
    else:
        emails = (None, "ann@acme.com", "bob@acme.com", "cid@acme.com")
        world.say(
            *(
                replace(
                    one,
                    email=random.choice(emails),
                    is_deleted=random.random() < 0.25,
                    values={"company": random.choice("xyz")},
                    converted_to=random.choice([None, pool[-1].record_id]) if one.object == "Lead" else None,
                )
                for one in random.sample(pool, random.randint(1, 4))
            )
        )
    world.compare()


def follow(world: World, copy: dict[UUID, Any], seen: int) -> int:
    """Take out old ids and put in new ones with what the CDP says of them now; all and only these may have changed."""
    people = world.cdp.people()
    for event in world.events(seen):
        seen = event["event_id"]
        for old in event["old_ids"]:
            copy.pop(old, None)
        for new in event["new_ids"]:
            copy[new] = people.get(new)
    assert copy == people
    return seen


def test_old_events_are_forgotten_and_who_follows_from_them_is_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.change(A)
    world.change(replace(A, values={"company": "New"}))
    world.cdp.query("UPDATE person_event SET at = at - interval '2 days' WHERE id < 12 RETURNING 1")
    forgotten = [one["event_id"] for one in world.events()][:-1]
    assert forget_events(world.cdp.url, timedelta(days=1)) == len(forgotten)
    assert forget_events(world.cdp.url, timedelta(days=1)) == 0
    assert [one["kind"] for one in world.events()] == ["updated"]
    assert [one["kind"] for one in world.events(forgotten[-1])] == ["updated"]
    with pytest.raises(EventsForgotten, match=f"up to {forgotten[-1]} "):
        world.events(forgotten[-1] - 1)
    monkeypatch.setattr("connector.cli.trusting.Runtime", lambda: SimpleNamespace(database_url=world.cdp.url))
    refused = CliRunner().invoke(app, ["events", "--after", "0"])
    assert isinstance(refused.exception, Refused)
    assert len(CliRunner().invoke(app, ["events"]).stdout.splitlines()) == 1


def test_the_command_prints_what_came_after_a_number(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.change(A)
    monkeypatch.setattr("connector.cli.trusting.Runtime", lambda: SimpleNamespace(database_url=world.cdp.url))
    every = CliRunner().invoke(app, ["events"]).stdout.splitlines()
    number = json.loads(every[-2])["event_id"]
    [line] = CliRunner().invoke(app, ["events", "--after", str(number), "--json"]).stdout.splitlines()
    assert json.loads(line)["new_ids"] == [str(A.handle)]


def test_where_groups_recombine_a_later_event_may_name_an_old_id_again(world: World) -> None:
    other = lead(4, A.email)
    world.change(A, B, C, other)
    seen, copy = last(world), world.cdp.people()
    world.change(replace(A, email=B.email), replace(other, email=C.email))
    merged = [frozenset(one["old_ids"]) for one in world.events(seen) if one["kind"] == "merged"]
    assert set(merged) == {frozenset((A.handle, one.handle)) for one in (B, C)}
    assert len({one["at"] for one in world.events(seen)}) == 1
    follow(world, copy, seen)
