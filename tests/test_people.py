"""People: whatever arrives, in whatever order, from however many hands, they are what the oracle computes."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings

from tests import oracle
from tests.feed import HOUR, SOURCES, Cdp
from tests.oracle import BEGINNING, Record
from tests.stories import IDS, RULES, Story, bystanders, in_batches, stories


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
@settings(max_examples=20, suppress_health_check=list(HealthCheck))
@given(story=stories())
def test_any_arrival_gives_the_people_of_the_oracle(cdp: Cdp, noise: list[Record], story: Story) -> None:
    everything = [*noise, *story.versions]
    expected = oracle.people(everything, RULES)
    tell(cdp, story, noise)
    assert cdp.people() == expected
    assert cdp.query("SELECT FROM touched") == []
    cdp.reset()
    cdp.deliver(sorted(everything, key=in_batches))
    cdp.resolve(RULES)
    assert cdp.people() == expected


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
        part = sorted(versions[at : at + 20], key=in_batches)
        with suppress(Interrupted), cdp.session() as session:
            cdp.store(session, part)
            if random.random() < 0.3:
                raise Interrupted
        cdp.deliver(part)


class Interrupted(Exception):
    """A worker that ends before it commits."""
