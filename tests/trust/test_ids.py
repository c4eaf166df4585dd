"""Ids: any that was ever printed leads to the person that holds its record, or the companions it had."""

from dataclasses import replace
from random import Random
from uuid import UUID

import pytest

from cdp import erasure, queries, removal
from tests.oracle import Record
from tests.trust.test_cases import ANN, BOB, becomes, converted, deleted
from tests.trust.world import World, contact, lead

A, B, C = lead(1, ANN), contact(2, ANN, 2), lead(3, ANN, 3)


def leads(world: World, record: Record) -> list[UUID]:
    with world.cdp.session() as session:
        return queries.resolve_person(session, str(record.handle))


def gone(world: World, *records: Record) -> None:
    world.change(*(deleted(record) for record in records))


def test_the_id_of_a_deleted_anchor_leads_to_its_companions_and_on(world: World) -> None:
    world.change(A, B, C)
    assert leads(world, B) == [A.handle]
    gone(world, A)
    assert leads(world, A) == [B.handle]
    gone(world, B)
    assert leads(world, A) == leads(world, B) == [C.handle]
    gone(world, C)
    assert leads(world, A) == leads(world, C) == []


def test_it_follows_companions_wherever_they_go(world: World) -> None:
    world.change(A, B, lead(9, BOB))
    gone(world, A)
    world.change(replace(B, email=BOB))
    assert leads(world, A) == [lead(9).handle]


def test_a_deleted_bridge_leads_to_both_sides(world: World) -> None:
    bridge = converted(lead(1, ANN), contact(3))
    world.change(bridge, contact(3, BOB), lead(4, ANN, 2))
    gone(world, bridge)
    assert leads(world, bridge) == sorted([contact(3).handle, lead(4, source_id=2).handle])


def test_a_record_that_returns_leads_to_its_own_person_again(world: World) -> None:
    world.change(A, B)
    gone(world, A)
    world.change(replace(A, email=BOB))
    assert leads(world, A) == [A.handle]
    gone(world, A)
    assert leads(world, A) == []


def test_records_that_go_together_lead_to_those_that_stay(world: World) -> None:
    world.change(A, B, C)
    gone(world, A, B)
    assert leads(world, A) == leads(world, B) == [C.handle]


def test_ids_of_a_removed_source_lead_on(world: World) -> None:
    world.change(B, C)
    with world.cdp.session() as session:
        removal.remove_slice(session, 2)
    del world.now[B.handle]
    world.compare()
    assert leads(world, B) == [C.handle]


def test_a_merge_in_salesforce_outweighs_former_companions(world: World) -> None:
    loser, winner = lead(1, ANN), lead(5, BOB)
    world.change(loser, B, winner)
    becomes("deleted", loser, winner)(world)  # type: ignore[operator]
    assert leads(world, loser) == [winner.handle]


def test_a_merge_into_a_record_that_is_not_here_leads_to_companions(world: World) -> None:
    world.change(A, B)
    becomes("gone", A, lead(77))(world)  # type: ignore[operator]
    assert leads(world, A) == [B.handle]


def test_another_org_renames_nobody(world: World) -> None:
    world.change(A, contact(2, BOB))
    before = set(world.cdp.people())
    world.change(B, C, contact(9, BOB, 2))
    assert set(world.cdp.people()) == before


def test_erased_ids_lead_nowhere_and_nothing_leads_to_them(world: World) -> None:
    world.change(A, B, C)
    gone(world, A)
    with world.cdp.session() as session:
        erasure.erase(session, B.handle, (b"k" * 32,))
    world.cdp.resolve(world.rules)
    assert [leads(world, one) for one in (A, B, C)] == [[], [], []]
    assert world.cdp.query("SELECT FROM departure") == []


@pytest.mark.parametrize("seed", range(3))
def test_every_id_ever_told_leads_where_its_companions_are(world: World, seed: int) -> None:
    random = Random(seed)
    pool = [make(n, None, source) for make in (lead, contact) for n in range(1, 4) for source in (1, 2)]
    companions: dict[UUID, set[UUID]] = {}
    for _ in range(12):
        before = persons(world)
        chosen = random.sample(pool, random.randint(1, 4))
        world.change(
            *(replace(one, email=random.choice((ANN, BOB, "cid@acme.com")), is_deleted=random.random() < 0.4)
              for one in chosen)
        )  # fmt: skip
        after = persons(world)
        for left in before.keys() - after.keys():
            companions[left] = {after[one] for one in after if before.get(one) == before[left]}
        for event in world.events():
            assert resolved(world, event["person_id"]) == follow(event["person_id"], after, companions)


def persons(world: World) -> dict[UUID, UUID]:
    return {row["handle"]: row["person_id"] for row in world.cdp.query("SELECT handle, person_id FROM membership")}


def resolved(world: World, name: UUID) -> set[UUID]:
    with world.cdp.session() as session:
        return set(queries.resolve_person(session, str(name)))


def follow(name: UUID, now: dict[UUID, UUID], companions: dict[UUID, set[UUID]]) -> set[UUID]:
    if name in now:
        return {now[name]}
    return {end for one in companions.get(name, ()) for end in follow(one, now, companions)}
