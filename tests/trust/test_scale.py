"""Many at once: permutations, random lives from four workers, shared mailboxes, long chains, overlapping writers."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import groupby, permutations
from random import Random

import pytest

from cdp.verification import verify
from tests import oracle
from tests.feed import HOUR, Cdp
from tests.oracle import BEGINNING, Record
from tests.stories import RULES, in_batches
from tests.trust.world import World, contact, identity, ids, lead

pytestmark = pytest.mark.slow


def lives(world: int) -> tuple[list[Record], list[Record]]:
    """Three records that only meet one another, and six events: an email swap, a conversion, deletes, an undelete."""
    ann, bob = f"ann{world}@acme.com", f"bob{world}@acme.com"
    a = lead(world, ann, values={"company": "Acme"})
    b, c = contact(2 * world, bob), contact(2 * world, ann, 2, values={"title": "Head"})
    events = [
        replace(a, version_at=BEGINNING + HOUR, email=bob),
        replace(b, version_at=BEGINNING + HOUR, email=ann),
        replace(a, version_at=BEGINNING + 2 * HOUR, is_converted=True, converted_to=b.record_id),
        replace(c, version_at=BEGINNING + HOUR, is_deleted=True),
        replace(c, version_at=BEGINNING + 2 * HOUR, values={"title": "Chief"}),
        replace(b, version_at=BEGINNING + 2 * HOUR, is_deleted=True),
    ]
    return [a, b, c], [replace(one, read_at=one.version_at, modified_at=one.version_at) for one in events]


def test_every_order_of_six_events_gives_the_same_people(cdp: Cdp) -> None:
    told = [lives(number) for number in range(720)]
    orders = [list(order) for order, (_, events) in zip(permutations(range(6)), told, strict=True)]
    cdp.deliver(sorted((one for begun, _ in told for one in begun), key=in_batches))
    cdp.resolve(RULES)
    for step in range(6):
        arriving = [events[order[step]] for order, (_, events) in zip(orders, told, strict=True)]
        cdp.deliver(sorted(arriving, key=in_batches))
        cdp.resolve(RULES)
    assert cdp.people() == oracle.people([one for begun, events in told for one in (*begun, *events)], RULES)


@pytest.mark.parametrize("seed", range(3))
def test_thousands_of_events_from_four_workers_give_the_people_of_the_oracle(cdp: Cdp, seed: int) -> None:
    random = Random(seed)
    versions = [version for place in range(150) for version in life(random, place)]
    work: list[list[list[Record]]] = [[] for _ in range(4)]
    for chunk in cut(random, [*versions, *random.sample(versions, len(versions) // 5)]):
        work[random.randrange(4)].append(chunk)

    def write(chunks: list[list[Record]]) -> None:
        for place, chunk in enumerate(chunks):
            cdp.deliver(chunk)
            if place % 7 == 0:
                cdp.resolve(RULES)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(write, work))
    cdp.resolve(RULES)
    assert len(versions) > 1000
    assert cdp.people() == oracle.people(versions, RULES)


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


def cut(random: Random, versions: list[Record]) -> list[list[Record]]:
    random.shuffle(versions)
    return [sorted(versions[at : at + 25], key=in_batches) for at in range(0, len(versions), 25)]


def test_a_mailbox_of_5000_makes_no_giant_and_merges_again_below_the_limit(world: World) -> None:
    crowd = [lead(20_000 + n, "info@acme.com") for n in range(5000)]
    world.cdp.deliver(crowd)
    world.cdp.resolve(world.rules)
    assert world.cdp.query(
        "SELECT max(n) AS n FROM (SELECT count(*) AS n FROM membership GROUP BY person_id) AS c"
    ) == [{"n": 2}]
    world.cdp.deliver([lead(9000, "info@acme.com"), lead(9001, "ann@acme.com")])
    started = time.monotonic()
    assert world.cdp.resolve(world.rules).written == 2
    assert time.monotonic() - started < 5
    stamp = BEGINNING + HOUR
    leaving = [replace(one, email=None, version_at=stamp, modified_at=stamp, read_at=stamp) for one in crowd[2:]]
    world.cdp.deliver(leaving)
    world.cdp.resolve(world.rules)
    assert world.groups(*crowd[:2], lead(9000)) == ids([*crowd[:2], lead(9000)])
    assert world.verify().same


def test_a_chain_of_200_links_is_one_person_in_bounded_time(world: World) -> None:
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
    started = time.monotonic()
    world.cdp.deliver([replace(chain[100], is_deleted=True, version_at=stamp, read_at=stamp)])
    world.cdp.resolve(world.rules)
    assert time.monotonic() - started < 5
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
