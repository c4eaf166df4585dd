"""The edge cases of identity as one table: what happens to which records, and the people they form in the end.

Each step is a set of records that arrive together, or a function of the world; people are held against the oracle after
every step. The numbers in the last column are those of the records.
"""

from collections.abc import Callable
from dataclasses import replace

import pytest

from cdp import erasure, ingest, queries, removal
from cdp.db import driver
from tests.feed import HOUR
from tests.oracle import BEGINNING, Record
from tests.trust.world import World, contact, lead

Step = tuple[Record, ...] | Callable[[World], None]
ANN, BOB = "ann@acme.com", "bob@acme.com"


def converted(record: Record, to: Record) -> Record:
    return replace(record, is_converted=True, converted_to=to.record_id)


def deleted(record: Record) -> Record:
    return replace(record, is_deleted=True)


def becomes(state: str, record: Record, merged_into: Record | None = None) -> Step:
    """A record that a sweep, a filter or a merge in Salesforce took out of the living."""

    def step(world: World) -> None:
        into = merged_into.record_id if merged_into else None
        with world.cdp.session() as session:
            driver(session).execute(
                "UPDATE record SET state = %s, merged_into = %s WHERE handle = %s", (state, into, record.handle)
            )
            driver(session).execute("INSERT INTO touched (handle) VALUES (%s)", (record.handle,))
        world.now[record.handle] = replace(deleted(record), merged_into=into)
        world.compare()

    return step


def removed(source_id: int) -> Step:
    """A source that is deleted with all it brought."""

    def step(world: World) -> None:
        with world.cdp.session() as session:
            removal.remove_slice(session, source_id)
        world.now = {handle: one for handle, one in world.now.items() if one.source_id != source_id}
        world.compare()

    return step


def erased(record: Record) -> Step:
    """A person that is erased on request."""

    def step(world: World) -> None:
        with world.cdp.session() as session:
            [person] = queries.resolve_person(session, str(record.handle))
            gone = erasure.erase(session, person, (b"k" * 32,)).handles
        world.now = {handle: one for handle, one in world.now.items() if handle not in gone}
        world.compare()

    return step


def comes_back(record: Record) -> Step:
    """An erased record that is read again."""

    def step(world: World) -> None:
        at = BEGINNING + 100 * HOUR
        newer = replace(record, version_at=at, modified_at=at, read_at=at)
        with world.cdp.session() as session:
            ingest.store(session, replace(world.cdp.batch([newer]), erasure_keys=(b"k" * 32,)))
        world.compare()

    return step


CASES: tuple[tuple[str, list[Step], list[list[int]]], ...] = (
    ("no email", [(lead(1), contact(2))], [[1], [2]]),
    ("blank email", [(lead(1, "  "), contact(2, "\u3000"))], [[1], [2]]),
    ("invalid email", [(lead(1, "ann at acme"), contact(2, "ann at acme"))], [[1], [2]]),
    ("two at signs", [(lead(1, "a@b@c.de"), contact(2, "a@b@c.de"))], [[1], [2]]),
    ("placeholder", [(lead(1, "no@email.com"), contact(2, "NO@email.com"))], [[1], [2]]),
    ("a lead and a contact of one org", [(lead(1, ANN), contact(2, ANN))], [[1, 2]]),
    ("two contacts of one org", [(contact(1, ANN), contact(2, ANN))], [[1, 2]]),
    ("the same person in two orgs", [(lead(1, ANN), contact(2, ANN, 2))], [[1, 2]]),
    ("a person account, which is a contact", [(contact(1, ANN), lead(2, ANN, 2))], [[1, 2]]),
    ("upper case and spaces", [(lead(1, " Ann@ACME.com"), contact(2, ANN, 2))], [[1, 2]]),
    ("Unicode twins", [(lead(1, "\u200bａnn@acme.com"), contact(2, ANN, 2))], [[1, 2]]),
    ("plus and dots are not folded", [(lead(1, "ann+x@acme.com"), contact(2, ANN)), (lead(3, "a.nn@acme.com"),)],
     [[1], [2], [3]]),
    ("changed email", [(lead(1, ANN), contact(2, ANN)), (contact(2, BOB),)], [[1], [2]]),
    ("email taken away", [(lead(1, ANN), contact(2, ANN)), (contact(2),)], [[1], [2]]),
    ("swapped emails", [(lead(1, ANN), contact(2, BOB), lead(3, ANN, 2), contact(4, BOB, 2)),
                        (lead(1, BOB), contact(2, ANN))], [[1, 4], [2, 3]]),
    ("a shared mailbox", [tuple(lead(n, "info@acme.com") for n in range(1, 5))], [[1], [2], [3], [4]]),
    ("a mailbox no longer shared", [tuple(lead(n, "info@acme.com") for n in range(1, 5)), (lead(4, ANN),)],
     [[1, 2, 3], [4]]),
    ("conversion with another email", [(contact(2, BOB), converted(lead(1, ANN), contact(2)))], [[1, 2]]),
    ("conversion without any email", [(contact(2), converted(lead(1), contact(2)))], [[1, 2]]),
    ("conversion to a contact not synced", [(converted(lead(1, ANN), contact(2)),)], [[1]]),
    ("conversion to a contact that comes later", [(converted(lead(1, ANN), contact(2)),), (contact(2, BOB),)],
     [[1, 2]]),
    ("conversion to an id of another org", [(contact(2, BOB, 2), converted(lead(1, ANN), contact(2)))], [[1], [2]]),
    ("conversion into a shared mailbox",
     [(*(contact(n, "info@acme.com") for n in range(1, 5)), converted(lead(5, ANN), contact(1)))],
     [[1, 5], [2], [3], [4]]),
    ("a chain over emails and conversions",
     [(lead(1, ANN, 2), converted(lead(2, ANN), contact(3)), contact(3, BOB), lead(4, BOB, 3))], [[1, 2, 3, 4]]),
    ("a chain that loses its middle",
     [(lead(1, ANN, 2), converted(lead(2, ANN), contact(3)), contact(3, BOB), lead(4, BOB, 3)),
      (deleted(converted(lead(2, ANN), contact(3))),)], [[1], [3, 4]]),
    ("merged in Salesforce", [(contact(1, ANN), contact(2, BOB)), becomes("deleted", contact(1, ANN), contact(2))],
     [[2]]),
    ("merged in a chain",
     [(contact(1, ANN), contact(2, BOB), contact(3)), becomes("deleted", contact(1, ANN), contact(2)),
      becomes("deleted", contact(2, BOB), contact(3))], [[3]]),
    ("deleted", [(lead(1, ANN), contact(2, ANN)), (deleted(contact(2, ANN)),)], [[1]]),
    ("undeleted", [(lead(1, ANN), contact(2, ANN)), (deleted(contact(2, ANN)),), (contact(2, ANN),)], [[1, 2]]),
    ("deleted for good", [(lead(1, ANN), contact(2, ANN)), becomes("gone", contact(2, ANN))], [[1]]),
    ("left the filter", [(lead(1, ANN), contact(2, ANN)), becomes("filtered", contact(2, ANN))], [[1]]),
    ("left the filter and returned",
     [(lead(1, ANN), contact(2, ANN)), becomes("filtered", contact(2, ANN)), (contact(2, ANN),)], [[1, 2]]),
    ("an org paused while another goes on", [(lead(1, ANN), contact(2, ANN, 2)), (lead(3, ANN),)], [[1, 2, 3]]),
    ("an org removed", [(lead(1, ANN, 2), contact(2, ANN, 3)), removed(3)], [[1]]),
    ("an org removed and added again", [(lead(1, ANN, 2), contact(2, ANN, 3)), removed(3), (contact(2, ANN, 3),)],
     [[1, 2]]),
    ("erased", [(lead(1, ANN), contact(2, ANN), lead(3, BOB)), erased(lead(1))], [[3]]),
    ("erased and read again", [(lead(1, ANN), contact(2, ANN)), erased(lead(1)), comes_back(contact(2, BOB))], []),
    ("erased, then a new record says the email",
     [(lead(1, ANN),), erased(lead(1)), comes_back(contact(9, ANN, 2))], []),
    ("split by decision", [(lead(1, ANN), contact(2, ANN), lead(3, ANN, 2)), lambda w: w.split(lead(1))],
     [[1], [2, 3]]),
    ("joined by decision", [(lead(1, ANN), contact(2, BOB)), lambda w: w.join(lead(1), contact(2))], [[1, 2]]),
)  # fmt: skip


@pytest.mark.parametrize(("steps", "people"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_the_people_of_a_case(world: World, steps: list[Step], people: list[list[int]]) -> None:
    for step in steps:
        if callable(step):
            step(world)
        else:
            world.change(*step)
    found = world.cdp.query(
        "SELECT array_agg(r.record_id::text) AS ids FROM membership AS m JOIN record AS r USING (handle)"
        " WHERE r.record_id NOT LIKE '%%0010__' GROUP BY m.person_id"
    )
    assert sorted(sorted(int(one[3:]) for one in row["ids"]) for row in found) == people
    assert world.verify().same


def test_an_id_of_a_merged_record_leads_to_the_winner(world: World) -> None:
    loser, middle, winner = contact(1, ANN), contact(2, BOB), contact(3)
    world.change(loser, middle, winner)
    for one, into in ((loser, middle), (middle, winner)):
        becomes("deleted", one, into)(world)  # type: ignore[operator]
    with world.cdp.session() as session:
        assert queries.resolve_person(session, str(loser.handle)) == [winner.handle]
        assert queries.resolve_person(session, loser.record_id) == [winner.handle]
