"""Many at once: permutations, random lives from four workers, shared mailboxes, long chains, overlapping writers."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import groupby, permutations
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from cdp import decisions, merging
from cdp.db import Connection
from cdp.verification import verify
from connector.cli.commands import app
from tests import oracle
from tests.feed import HOUR, Cdp
from tests.oracle import BEGINNING, Record
from tests.stories import RULES, in_batches
from tests.trust.world import World, contact, identity, ids, lead

pytestmark = pytest.mark.slow


World_ = tuple[list[Record], list[Record]]


@pytest.fixture
def exported(cdp: Cdp, monkeypatch: pytest.MonkeyPatch) -> Callable[[], bytes]:
    """What `connector export people` prints."""
    monkeypatch.setattr("connector.cli.exporting.Runtime", lambda: SimpleNamespace(database_url=cdp.url))
    return lambda: CliRunner().invoke(app, ["export", "people"]).stdout_bytes


def after(record: Record, hours: int, **changes: Any) -> Record:
    """A later version of a record, read when it was made."""
    stamp = BEGINNING + hours * HOUR
    return replace(record, version_at=stamp, modified_at=stamp, read_at=stamp, **changes)


def swapped(world: int) -> World_:
    """Three records that only meet one another, and six events: an email swap, a conversion, deletes, an undelete."""
    ann, bob = f"ann{world}@acme.com", f"bob{world}@acme.com"
    a = lead(world, ann, values={"company": "Acme"})
    b, c = contact(2 * world, bob), contact(2 * world, ann, 2, values={"title": "Head"})
    return [a, b, c], [
        after(a, 1, email=bob),
        after(b, 1, email=ann),
        after(a, 2, is_converted=True, converted_to=b.record_id),
        after(c, 1, is_deleted=True),
        after(c, 2, values={"title": "Chief"}),
        after(b, 2, is_deleted=True),
    ]


def merged(world: int) -> World_:
    """Five records of which the second is joined to the fifth, and a chain of merges among what happens to them."""
    a = lead(world, f"ann{world}@acme.com", values={"company": "Acme"})
    b, c, d = (contact(3 * world + n, f"{'bcd'[n]}{world}@acme.com", values={"title": "bcd"[n]}) for n in range(3))
    e = contact(3 * world, f"eve{world}@acme.com", 2, values={"score": "1.50"})
    return [a, b, c, d, e], [
        after(a, 1, is_converted=True, converted_to=c.record_id),
        after(b, 1, is_deleted=True, merged_into=c.record_id),
        after(c, 1, email=d.email),
        after(c, 2, is_deleted=True, merged_into=d.record_id),
        after(d, 1, email=a.email, values={"title": "Head"}),
        after(e, 1, is_deleted=True),
    ]


@pytest.mark.parametrize(("make", "joined"), [(swapped, None), (merged, (1, 4))], ids=["swap", "merge"])
def test_every_order_of_six_events_gives_the_same_bytes(
    cdp: Cdp, exported: Callable[[], bytes], make: Callable[[int], World_], joined: tuple[int, int] | None
) -> None:
    told = [make(number) for number in range(720)]
    joins = [tuple(begun[place].handle for place in joined) for begun, _ in told] if joined else []

    def begin() -> None:
        cdp.reset()
        cdp.deliver(sorted((one for begun, _ in told for one in begun), key=in_batches))
        cdp.resolve(RULES)
        with cdp.session() as session:
            for join in joins:
                decisions.join(session, join, "a test")
        cdp.resolve(RULES)

    begin()
    for step in range(6):
        arriving = [events[order[step]] for order, (_, events) in zip(permutations(range(6)), told, strict=True)]
        cdp.deliver(sorted(arriving, key=in_batches))
        cdp.resolve(RULES)
    people, permuted = cdp.people(), exported()
    begin()
    cdp.deliver(sorted((one for _, events in told for one in events), key=in_batches))
    cdp.resolve(RULES)
    assert exported() == permuted
    assert permuted.count(b"\n") == len(people)
    by = replace(RULES, joins=tuple(map(frozenset, joins)))
    assert people == oracle.people([one for begun, events in told for one in (*begun, *events)], by)


@pytest.mark.parametrize("seed", range(2))
def test_thousands_of_random_stories_from_four_workers_give_the_same_bytes(
    cdp: Cdp, exported: Callable[[], bytes], seed: int
) -> None:
    random = Random(seed)
    versions = [version for number in range(1000) for version in story(random, number)]
    work: list[list[list[Record]]] = [[] for _ in range(4)]
    for chunk in cut(random, [*versions, *random.sample(versions, len(versions) // 5)], 1000):
        work[random.randrange(4)].append(chunk)

    def write(chunks: list[list[Record]]) -> None:
        for chunk in chunks:
            cdp.deliver(chunk)
            cdp.resolve(RULES)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(write, work))
    cdp.resolve(RULES)
    people, shuffled = cdp.people(), exported()
    cdp.reset()
    cdp.deliver(sorted(versions, key=in_batches))
    cdp.resolve(RULES)
    assert exported() == shuffled
    assert len(versions) > 10_000
    assert people == oracle.people(versions, RULES)


def story(random: Random, number: int) -> list[Record]:
    """Four records that only meet one another, and seven to twelve random events."""
    emails = (None, "x", f"ann{number}@acme.com", f"bob{number}@acme.com")
    a, b, c = lead(number), contact(2 * number), contact(2 * number + 1)
    now = {one.handle: replace(one, email=random.choice(emails)) for one in (a, b, c, contact(2 * number, source_id=2))}
    told = list(now.values())
    for hours in range(1, random.randint(8, 13)):
        name = random.choice(list(now))
        changes: dict[str, Any] = {"is_deleted": random.random() < 0.2, "merged_into": None}
        changes |= random.choice(({"email": random.choice(emails)}, {"values": {"company": f"Company {hours}"}}))
        if name == a.handle:
            changes |= {"is_converted": True, "converted_to": random.choice((b, c)).record_id}
        if name == b.handle and changes["is_deleted"]:
            changes["merged_into"] = c.record_id
        now[name] = after(now[name], hours, **changes)
        told.append(now[name])
    return told


def life(random: Random, place: int) -> list[Record]:
    source, number = 1 + place % 3, place // 3
    make = (lead, contact)[number % 2]
    return [
        make(
            number,
            random.choice((None, "x", f"person{random.randrange(60)}@acme.com")),
            source,
            version_at=BEGINNING + stamp * HOUR,
            modified_at=BEGINNING + stamp * HOUR,
            read_at=BEGINNING + stamp * HOUR,
            is_deleted=random.random() < 0.15,
            converted_to=contact(1 + 2 * random.randrange(25)).record_id if make is lead else None,
            values={"company": f"Company {random.randrange(9)}", "tags": random.choice((None, "a", "b;c"))},
        )
        for stamp in range(random.randint(4, 10))
    ]


def cut(random: Random, versions: list[Record], size: int) -> list[list[Record]]:
    random.shuffle(versions)
    return [sorted(versions[at : at + size], key=in_batches) for at in range(0, len(versions), size)]


@pytest.fixture
def considered(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many records each pass of the resolver works on."""
    passes: list[int] = []

    def counting(connection: Connection, *about: Any, **more: Any) -> None:
        passes.extend(connection.execute("SELECT count(*) FROM node").fetchone() or ())
        group(connection, *about, **more)

    group = merging.group
    monkeypatch.setattr(merging, "group", counting)
    return passes


def test_a_mailbox_of_5000_makes_no_giant_and_merges_again_below_the_limit(world: World, considered: list[int]) -> None:
    crowd = [lead(20_000 + n, "info@acme.com") for n in range(5000)]
    world.cdp.deliver(crowd)
    world.cdp.resolve(world.rules)
    assert world.cdp.query(
        "SELECT max(n) AS n FROM (SELECT count(*) AS n FROM membership GROUP BY person_id) AS c"
    ) == [{"n": 2}]
    world.cdp.deliver([lead(9000, "info@acme.com"), lead(9001, "ann@acme.com")])
    considered.clear()
    assert world.cdp.resolve(world.rules).written == 2
    assert considered == [2]
    stamp = BEGINNING + HOUR
    leaving = [replace(one, email=None, version_at=stamp, modified_at=stamp, read_at=stamp) for one in crowd[2:]]
    world.cdp.deliver(leaving)
    world.cdp.resolve(world.rules)
    assert world.groups(*crowd[:2], lead(9000)) == ids([*crowd[:2], lead(9000)])
    assert world.verify().same


def test_a_chain_of_200_links_is_one_person_and_only_it_is_worked_on(world: World, considered: list[int]) -> None:
    chain = [
        lead(100 + n, f"link{n}@acme.com", is_converted=True, converted_to=contact(100 + n).record_id)
        for n in range(200)
    ]
    held = [contact(100 + n, f"link{n + 1}@acme.com") for n in range(200)]
    random = Random(1)
    every = random.sample([*chain, *held], 400)
    for at in range(0, 400, 40):
        world.cdp.deliver(sorted(every[at : at + 40], key=in_batches))
        world.cdp.resolve(world.rules)
    assert [len(group) for group in world.groups(*chain, *held)] == [400]
    stamp = BEGINNING + HOUR
    considered.clear()
    world.cdp.deliver([replace(chain[100], is_deleted=True, version_at=stamp, read_at=stamp)])
    world.cdp.resolve(world.rules)
    assert considered == [399]
    assert sorted(len(group) for group in world.groups(*chain, *held)) == [199, 200]
    assert world.verify().same


def test_sixteen_writers_with_overlapping_batches_in_reversed_order(cdp: Cdp) -> None:
    random = Random(7)
    versions = sorted((version for place in range(60) for version in life(random, place)), key=in_batches)
    pages = [list(page) for _, alike in groupby(versions, key=in_batches) for page in [list(alike)]]
    done = threading.Event()

    def write(number: int) -> None:
        for page in pages if number % 2 else pages[::-1]:
            cdp.deliver(page if number % 3 else page[::-1])

    def resolve_on() -> None:
        while not done.is_set():
            cdp.resolve(RULES)

    with ThreadPoolExecutor(17) as threads:
        resolver = threads.submit(resolve_on)
        writers = [threads.submit(write, number) for number in range(16)]
        try:
            for writer in writers:
                writer.result()
        finally:
            done.set()
        resolver.result()
    cdp.resolve(RULES)
    assert cdp.people() == oracle.people(versions, RULES)
    assert verify(cdp.url, identity(RULES)).same
