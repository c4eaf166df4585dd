"""People: whatever arrives, in whatever order, from however many hands, they are what the oracle computes."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdp.db import driver
from cdp.people import Resolution
from tests import oracle
from tests.conftest import FIELDS, SOURCES, Cdp
from tests.oracle import BEGINNING, Record, Rules

HOUR = timedelta(hours=1)
PLACEHOLDER = "no@email.com"
RULES = Rules({field.name: (field.type, field.rule) for field in FIELDS}, frozenset({PLACEHOLDER}), 3)
OTHER_RULES = (
    replace(RULES, max_records_per_key=1),
    replace(RULES, never_merge=frozenset({PLACEHOLDER, "ann@acme.com"})),
)
IDS = {"Lead": "00Q{:015d}", "Contact": "003{:015d}"}

EMAILS = (
    "ann@acme.com",
    "\u200bAnn@ACME.com\u3000",
    "bob@acme.com",
    "bob@acme.com ",
    "ｂob＠acme.com",
    "cid@acme.com",
    "info@acme.com",
    "INFO@acme.com",
    PLACEHOLDER.upper(),
    "ann at acme",
    "ann@acme@com",
    "a nn@acme.com",
    "  ",
    None,
)
VALUES: dict[str, tuple[str | None, ...]] = {
    "active": (None, "true", "false"),
    "company": (None, "Acme", "acme", " ", "\u3000", " Acme "),
    "interests": (None, "tea", "tea;coffee"),
    "met_at": (None, "2026-02-01T08:00:00+00:00", "2025-02-01T08:00:00.123+00:00"),
    "score": (None, "0", "7.25", "-1"),
    "since": (None, "2024-02-29", "1999-12-31"),
    "tags": (None, "red", "blue;red", "green;blue"),
    "title": (None, "Head", "\t", "Hand"),
    "vip": (None, "true", "false"),
}
TRUTHS = st.sampled_from((None, True, False))


@dataclass(frozen=True)
class Story:
    """What happens to the records, and how it arrives: deliveries in order, and after each the rules to resolve by."""

    versions: tuple[Record, ...]
    deliveries: tuple[tuple[tuple[Record, ...], Rules | None], ...]


@st.composite
def contents(draw: st.DrawFn, blank: Record) -> Record:
    """A version of a record with everything drawn that may change."""
    is_converted = blank.object == "Lead" and draw(st.booleans())
    target = IDS["Contact"].format(draw(st.integers(1, 4)))
    return replace(
        blank,
        email=draw(st.sampled_from(EMAILS)),
        is_deleted=draw(st.integers(0, 5)) == 0,
        is_converted=is_converted,
        converted_to=target if is_converted else None,
        email_permission=draw(TRUTHS),
        sms_permission=draw(TRUTHS),
        values={name: draw(st.sampled_from(choice)) for name, choice in VALUES.items()},
    )


@st.composite
def lives(draw: st.DrawFn, source_id: int, kind: str, number: int) -> list[Record]:
    """The versions of one record: stamps rise, or stay while something changes unseen; each was read at its own time."""
    created_at = BEGINNING - draw(st.integers(0, 2)) * HOUR
    blank = Record(source_id, kind, IDS[kind].format(number), created_at=created_at)
    hours = draw(st.lists(st.integers(0, 3), min_size=1, max_size=3).map(sorted).filter(_at_most_two_alike))
    return [
        replace(
            draw(contents(blank)),
            version_at=BEGINNING + hour * HOUR,
            modified_at=BEGINNING + draw(st.integers(0, hour)) * HOUR,
            read_at=BEGINNING + (10 + place) * HOUR,
        )
        for place, hour in enumerate(hours)
    ]


def _at_most_two_alike(hours: list[int]) -> bool:
    return all(hours.count(hour) <= 2 for hour in hours)


@st.composite
def stories(draw: st.DrawFn) -> Story:
    """Lives of a few records, cut into deliveries in any order with repetitions, and people resolved in between."""
    slots = st.tuples(st.sampled_from(SOURCES), st.sampled_from(sorted(IDS)), st.integers(1, 4))
    chosen = draw(st.lists(slots, min_size=2, max_size=12, unique=True))
    versions = [version for slot in chosen for version in draw(lives(*slot))]
    repeated = draw(st.lists(st.sampled_from(versions), max_size=4))
    order = draw(st.permutations(versions + repeated))
    cuts = sorted(draw(st.lists(st.integers(0, len(order)), max_size=4)))
    parts = [order[low:high] for low, high in zip([0, *cuts], [*cuts, len(order)], strict=True)]
    between = st.sampled_from((None, RULES, RULES, RULES, *OTHER_RULES))
    return Story(tuple(versions), tuple((tuple(sorted(part, key=_batch)), draw(between)) for part in parts))


def _batch(record: Record) -> tuple[Any, ...]:
    return record.source_id, record.object, record.read_at


def bystanders(count: int) -> list[Record]:
    """Records that nothing happens to: they keep the touched share small, so that people are brought up to date piecemeal."""
    return [
        Record(1, "Lead", IDS["Lead"].format(1000 + n), f"bystander{n // 2}@else.com", values={"company": f"Else {n}"})
        for n in range(count)
    ]


def tell(cdp: Cdp, story: Story, noise: list[Record]) -> None:
    """Begin anew with the bystanders and let the story happen."""
    cdp.reset()
    cdp.deliver(noise)
    cdp.resolve(RULES)
    for records, rules in story.deliveries:
        cdp.deliver(records)
        if rules:
            cdp.resolve(rules)
    cdp.resolve(RULES)


@pytest.mark.slow
@pytest.mark.parametrize("noise", [bystanders(0), bystanders(90)], ids=["mostly rebuilt", "piecemeal"])
# A database for each example would cost more than the test: one serves all and is emptied in between.
@settings(max_examples=35, suppress_health_check=list(HealthCheck))
@given(story=stories())
def test_any_arrival_gives_the_people_of_the_oracle(cdp: Cdp, noise: list[Record], story: Story) -> None:
    everything = [*noise, *story.versions]
    expected = oracle.people(everything, RULES)
    tell(cdp, story, noise)
    assert cdp.people() == expected
    assert cdp.query("SELECT FROM touched") == []
    cdp.reset()
    cdp.deliver(sorted(everything, key=_batch))
    cdp.resolve(RULES)
    assert cdp.people() == expected


# --- known cases, each brought up to date piecemeal ---

ANN = Record(1, "Lead", IDS["Lead"].format(1), "ann@acme.com", values={"company": "Acme"})
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


def test_a_key_over_the_limit_merges_nobody_until_it_is_below_again(world: World) -> None:
    holders = [replace(ANN, record_id=IDS["Lead"].format(10 + n)) for n in range(5)]
    for holder in holders:
        world.change(holder)
    assert not world.together(*holders[:2])
    world.change(replace(holders[0], is_deleted=True))
    world.change(replace(holders[1], email=None))
    assert world.together(*holders[2:])
    world.change(holders[1])
    assert not world.together(*holders[2:])


def test_an_anchor_that_goes_hands_the_person_to_the_next(world: World) -> None:
    bob = replace(BOB, email=ANN.email)
    world.change(ANN, bob)
    world.change(replace(ANN, is_deleted=True))
    assert {"person_id": bob.handle} in world.cdp.query("SELECT person_id FROM person")


@pytest.mark.xfail(
    strict=True, reason="the scope of a resolution is found by keys and links, not by what orders anchors"
)
def test_a_corrected_creation_date_moves_the_anchor(world: World) -> None:
    other = replace(ANN, record_id=IDS["Lead"].format(6), created_at=BEGINNING + HOUR)
    world.change(ANN, other)
    world.change(replace(ANN, created_at=BEGINNING + 2 * HOUR))


def test_fields_of_different_rules_do_not_disturb_one_another(world: World) -> None:
    bob = replace(BOB, email=ANN.email, values={"company": "Newer", "title": "Second source"})
    world.change(replace(ANN, values={"company": "Older", "title": "First source"}))
    world.change(bob)


@pytest.mark.xfail(strict=True, reason="1.0 and 1.00 compare equal, so the one stored first stays")
def test_a_number_written_otherwise_is_kept_as_it_was_read_last(world: World) -> None:
    world.change(replace(ANN, values={"score": "1.0"}))
    first = world.now[ANN.handle]
    again = replace(first, read_at=first.read_at + HOUR, values={"score": "1.00"})
    world.now[ANN.handle] = again
    world.cdp.deliver([again])
    world.compare()


# --- configuration ---


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


# --- concurrency ---


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_many_hands_at_once_give_the_people_of_the_oracle(cdp: Cdp, seed: int) -> None:
    random = Random(seed)
    versions = [version for source in SOURCES for version in _busy(random, source)]
    work = [[version for version in versions if version.source_id == source] for source in SOURCES]
    done = threading.Event()

    def resolve_on() -> None:
        while not done.is_set():
            cdp.resolve(RULES)

    with ThreadPoolExecutor(5) as threads:
        resolvers = [threads.submit(resolve_on) for _ in range(2)]
        writers = [threads.submit(_write, cdp, mine, Random(seed)) for mine in work]
        try:
            for writer in writers:
                writer.result()
        finally:
            done.set()
        for resolver in resolvers:
            resolver.result()
    cdp.resolve(RULES)
    assert cdp.people() == oracle.people(versions, RULES)
    assert cdp.query("SELECT FROM touched") == []


def _busy(random: Random, source_id: int) -> list[Record]:
    """Six versions of forty records of one source, among few addresses."""
    slots = [(kind, number) for kind in IDS for number in range(20)]
    return [
        Record(
            source_id,
            kind,
            IDS[kind].format(number),
            f"person{random.randrange(25)}@acme.com",
            version_at=BEGINNING + stamp * HOUR,
            modified_at=BEGINNING + stamp * HOUR,
            read_at=BEGINNING + stamp * HOUR,
            is_deleted=random.random() < 0.15,
            converted_to=IDS["Contact"].format(random.randrange(20)) if kind == "Lead" else None,
            values={"company": f"Company {random.randrange(9)}"},
        )
        for stamp in range(6)
        for kind, number in slots
    ]


def _write(cdp: Cdp, versions: list[Record], random: Random) -> None:
    """Deliver versions in batches in any order, some rolled back before they come again."""
    random.shuffle(versions)
    for at in range(0, len(versions), 20):
        part = sorted(versions[at : at + 20], key=_batch)
        with suppress(Interrupted), cdp.session() as session:
            cdp.store(session, part)
            if random.random() < 0.3:
                raise Interrupted
        cdp.deliver(part)


class Interrupted(Exception):
    """A worker that ends before it commits."""
