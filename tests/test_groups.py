"""Known cases of joining and parting, each resolved piecemeal and held against the oracle, and changes of the rules."""

from dataclasses import dataclass, replace
from itertools import pairwise

import pytest

from cdp.db import driver
from cdp.people import Resolution
from tests import oracle
from tests.feed import ANN, HOUR, Cdp
from tests.oracle import BEGINNING, Record, Rules
from tests.stories import IDS, PLACEHOLDER, RULES, bystanders

BOB = Record(2, "Contact", IDS["Contact"].format(2), "bob@acme.com", values={"company": "Bobs"})
NOISE = bystanders(20)


@dataclass
class World:
    """A CDP with bystanders in which records change one by one, people resolved after each."""

    cdp: Cdp
    rules: Rules = RULES
    hours: int = 0

    def __post_init__(self) -> None:
        self.now = {record.handle: record for record in NOISE}
        self.cdp.deliver(NOISE)
        self.cdp.resolve(self.rules)

    def change(self, *records: Record) -> None:
        """Give records a newer version together, and compare people with the oracle."""
        self.hours += 1
        stamp = BEGINNING + self.hours * HOUR
        newer = [replace(record, version_at=stamp, modified_at=stamp, read_at=stamp) for record in records]
        self.now.update({record.handle: record for record in newer})
        self.cdp.deliver(newer)
        self.compare()

    def compare(self) -> None:
        self.cdp.resolve(self.rules)
        assert self.cdp.people() == oracle.people(self.now.values(), self.rules)
        assert self.cdp.query("SELECT FROM touched") == []

    def together(self, *records: Record) -> bool:
        """Whether records are one person."""
        handles = [record.handle for record in records]
        query = "SELECT count(DISTINCT person_id) AS people FROM membership WHERE handle = ANY(%(handles)s)"
        return self.cdp.query(query, handles=handles) == [{"people": 1}]


@pytest.fixture
def world(cdp: Cdp) -> World:
    return World(cdp)


def test_a_person_is_known_by_the_handle_of_its_anchor(world: World) -> None:
    world.change(ANN, replace(BOB, email=ANN.email))
    assert world.cdp.query(
        "SELECT record_handle(%(org)s, 'Lead', %(id)s) = ANY(SELECT person_id FROM person) AS known",
        org=ANN.org_id,
        id=ANN.record_id,
    ) == [{"known": True}]


def test_a_changed_email_moves_a_record_between_people(world: World) -> None:
    world.change(ANN, BOB)
    assert not world.together(ANN, BOB)
    world.change(replace(ANN, email=" BOB@acme.com"))
    assert world.together(ANN, BOB)
    world.change(ANN)
    assert not world.together(ANN, BOB)


@pytest.mark.parametrize("at_once", [True, False])
def test_swapped_emails_end_right_in_any_order(world: World, at_once: bool) -> None:
    ann, bob = replace(ANN, record_id=IDS["Lead"].format(3)), replace(BOB, record_id=IDS["Contact"].format(4))
    world.change(ANN, BOB, ann, bob)
    swapped = replace(ANN, email=BOB.email), replace(BOB, email=ANN.email)
    for group in [swapped] if at_once else [(swapped[0],), (swapped[1],)]:
        world.change(*group)
    assert world.together(ANN, bob)
    assert world.together(BOB, ann)
    assert not world.together(ANN, BOB)


def test_a_conversion_joins_other_emails_and_its_end_parts_them(world: World) -> None:
    contact = replace(BOB, source_id=1)
    converted = replace(ANN, is_converted=True, converted_to=contact.record_id)
    world.change(converted)
    world.change(contact)
    assert world.together(ANN, contact)
    world.change(replace(contact, is_deleted=True))
    world.change(contact)
    assert world.together(ANN, contact)
    world.change(ANN)
    assert not world.together(ANN, contact)


def test_a_conversion_reaches_into_its_own_org_only(world: World) -> None:
    world.change(BOB, replace(ANN, is_converted=True, converted_to=BOB.record_id))
    assert not world.together(ANN, BOB)


def test_a_deleted_bridge_parts_what_it_held_together(world: World) -> None:
    contact = replace(BOB, source_id=1)
    bridge = replace(ANN, is_converted=True, converted_to=contact.record_id)
    ann = replace(ANN, record_id=IDS["Lead"].format(5))
    world.change(bridge, contact, ann)
    assert world.together(bridge, contact, ann)
    world.change(replace(bridge, is_deleted=True))
    assert not world.together(contact, ann)
    world.change(bridge)
    assert world.together(bridge, contact, ann)


def test_a_lead_without_an_address_leaves_its_contact_alone_when_it_goes(world: World) -> None:
    contact = replace(BOB, source_id=1)
    lead = replace(ANN, email=None, created_at=BEGINNING - HOUR, is_converted=True, converted_to=contact.record_id)
    world.change(lead, contact)
    assert world.together(lead, contact)
    world.change(replace(lead, is_deleted=True))
    assert {"person_id": contact.handle} in world.cdp.query("SELECT person_id FROM person")


def test_of_records_created_together_a_contact_comes_before_a_lead(world: World) -> None:
    contact = replace(BOB, source_id=1, record_id="00Z000000000000001", email=ANN.email)
    world.change(ANN, contact)
    assert {"person_id": contact.handle} in world.cdp.query("SELECT person_id FROM person")


def test_a_key_over_the_limit_merges_nobody_until_it_is_below_again(world: World) -> None:
    holders = [replace(ANN, record_id=IDS["Lead"].format(10 + n)) for n in range(5)]
    for holder in holders:
        world.change(holder)
    assert not world.together(*holders[:2])
    world.change(replace(holders[0], email=None))
    world.change(replace(holders[1], is_deleted=True))
    assert world.together(*holders[2:])
    world.change(holders[1])
    assert not world.together(*holders[2:])


def test_an_anchor_that_goes_hands_the_person_to_the_next(world: World) -> None:
    bob = replace(BOB, email=ANN.email)
    world.change(ANN, bob)
    world.change(replace(ANN, is_deleted=True))
    assert {"person_id": bob.handle} in world.cdp.query("SELECT person_id FROM person")


def test_a_corrected_creation_date_moves_the_anchor(world: World) -> None:
    other = replace(ANN, record_id=IDS["Lead"].format(6), created_at=BEGINNING + HOUR)
    world.change(ANN, other)
    world.change(replace(ANN, created_at=BEGINNING + 2 * HOUR))


BY_PRECEDENCE = (
    replace(BOB, source_id=2),
    replace(ANN, record_id=IDS["Lead"].format(2)),
    replace(ANN, record_id=IDS["Lead"].format(3)),
    replace(ANN, source_id=2),
    replace(ANN, is_converted=True),
)


@pytest.mark.parametrize(("winner", "loser"), list(pairwise(BY_PRECEDENCE)))
def test_ties_go_by_kind_then_org_then_id(world: World, winner: Record, loser: Record) -> None:
    world.change(
        replace(loser, email=ANN.email, values={"company": "Lost"}),
        replace(winner, email=ANN.email, values={"company": "Won"}),
    )
    query = "SELECT company FROM person WHERE email = 'ann@acme.com'"
    assert world.cdp.query(query) == [{"company": "Won"}]


def test_fields_of_different_rules_do_not_disturb_one_another(world: World) -> None:
    bob = replace(BOB, email=ANN.email, values={"company": "Newer", "title": "Second source"})
    world.change(replace(ANN, values={"company": "Older", "title": "First source"}))
    world.change(bob)


def test_a_changed_value_shows_in_its_person_only(world: World) -> None:
    bob = replace(BOB, email=ANN.email)
    world.change(ANN, bob)
    world.change(replace(bob, values={"company": "Changed"}))


def test_within_the_first_source_the_newest_value_wins(world: World) -> None:
    world.change(replace(ANN, record_id=IDS["Lead"].format(9), values={"title": "Newer"}, email=BOB.email))
    world.change(replace(ANN, values={"title": "Newest"}, email=BOB.email))
    world.change(replace(BOB, values={"title": "Of another source"}))
    assert world.cdp.query("SELECT title FROM person WHERE email = 'bob@acme.com'") == [{"title": "Newest"}]


def test_a_change_that_does_not_show_writes_no_person(world: World) -> None:
    lost = replace(ANN, email=BOB.email, version_at=BEGINNING + HOUR, modified_at=BEGINNING - HOUR)
    world.change(BOB)
    world.cdp.deliver([lost])
    world.cdp.resolve(RULES)
    world.cdp.deliver([replace(lost, version_at=BEGINNING + 2 * HOUR, values={"company": "Lost as well"})])
    assert world.cdp.resolve(RULES) == Resolution(touched=1, written=0, removed=0)


def test_a_number_has_one_form_however_it_is_written(world: World) -> None:
    world.change(replace(ANN, values={"score": "1.0"}))
    first = world.now[ANN.handle]
    again = replace(first, read_at=first.read_at + HOUR, values={"score": "1.00"})
    world.now[ANN.handle] = again
    world.cdp.deliver([again])
    world.compare()


def crowd() -> list[Record]:
    """Two that share a placeholder-to-be, and four that share an address."""
    pair = [replace(ANN, record_id=IDS["Lead"].format(20 + n)) for n in range(2)]
    four = [replace(BOB, record_id=IDS["Contact"].format(30 + n)) for n in range(4)]
    return pair + four


@pytest.mark.parametrize(
    "changed",
    [
        replace(RULES, never_merge=frozenset({"ann@acme.com"})),
        replace(RULES, never_merge=frozenset()),
        replace(RULES, max_records_per_key=4),
        replace(RULES, max_records_per_key=1),
    ],
    ids=["another placeholder", "no placeholder", "higher limit", "lower limit"],
)
def test_a_changed_configuration_recomputes_everybody_and_back(world: World, changed: Rules) -> None:
    world.change(*crowd(), replace(ANN, email=PLACEHOLDER), replace(BOB, email=PLACEHOLDER))
    for rules in (changed, RULES):
        world.rules = rules
        world.compare()


def test_a_changed_rule_recomputes_everybody(world: World) -> None:
    world.change(ANN)
    world.change(replace(BOB, email=ANN.email))
    with world.cdp.session() as session:
        driver(session).execute("UPDATE person_field SET rule = 'source_priority' WHERE name = 'company'")
    world.rules = replace(RULES, fields={**RULES.fields, "company": ("text", "source_priority")})
    world.compare()
    assert oracle.people(world.now.values(), RULES) != world.cdp.people()


def test_nothing_to_do_writes_nothing(world: World) -> None:
    world.change(ANN, BOB)
    before = world.cdp.query("SELECT ctid, xmin, person_id FROM person ORDER BY person_id")
    assert world.cdp.resolve(RULES) == Resolution(0, 0, 0)
    assert world.cdp.query("SELECT ctid, xmin, person_id FROM person ORDER BY person_id") == before


def test_bystanders_are_not_rewritten(world: World) -> None:
    query = "SELECT ctid, xmin, person_id FROM person WHERE email LIKE 'bystander%%' ORDER BY person_id"
    before = world.cdp.query(query)
    world.change(ANN, BOB)
    world.change(replace(ANN, email=BOB.email))
    assert world.cdp.query(query) == before
