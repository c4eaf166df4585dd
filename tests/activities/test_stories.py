"""Random stories of two orgs, polled at random times: every activity that there must be is there once, and no other."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from cdp import db, queries
from connector.runtime import Runtime
from connector.settings import Settings
from connector.simulator import Org, SimulatorServer
from connector.simulator.clock import Clock
from tests.activities.expected import Expectation, Told
from tests.activities.plays import ACTS, attempt, begin
from tests.connector.conftest import KEY, Site
from tests.faults.conftest import LONG
from tests.faults.test_stateful import empty

START = datetime(2026, 3, 28, 20, tzinfo=UTC)
SEEDS = st.integers(0, 2**20)
STEPS = st.lists(st.tuples(st.sampled_from(ACTS), SEEDS, st.booleans(), st.booleans()), min_size=15, max_size=60)
EFFORT = settings(
    max_examples=40 if LONG else 4,
    derandomize=not LONG,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
    phases=tuple(Phase) if LONG else [Phase.explicit, Phase.generate],  # shrinking takes minutes
)
NAMES = {"status_updated": "status", "stage_changed": "stage", "amount_changed": "amount"}


def told(activity: queries.Row) -> Told:
    """An exported activity as the expectation has it."""
    about = activity["attributes"]
    of = next((name for ending, name in NAMES.items() if activity["kind"].endswith(ending)), None)
    old, new = (about.get(f"old_{of}"), about.get(f"new_{of}")) if of else (None, None)
    if activity["kind"] == "opportunity_reopened":
        old = about["old_stage"]
    person = str(activity["person_id"]) if activity["person_id"] else None
    names = ("kind", "object", "record_id", "occurred_at")
    return Told(*(activity[name] for name in names), old, new, person)


def exported(site: Site) -> list[queries.Row]:
    with db.transaction(site.url) as session:
        return list(queries.activities(session))


def people_of(site: Site, org: Org) -> dict[str, str]:
    return {
        record["record_id"]: person
        for person, profile in site.people().items()
        for record in profile["records"]
        if record["org_id"] == org.org_id
    }


def in_order(activities: Sequence[Told]) -> list[Told]:
    return sorted(activities, key=repr)


@EFFORT
@given(seed=SEEDS, steps=STEPS)
def test_every_activity_is_there_once_and_none_besides(
    database_url: str, ca_dir: Path, seed: int, steps: Sequence[Any]
) -> None:
    empty(database_url)
    with two_orgs(database_url, ca_dir) as site:
        polls: dict[str, list[int]] = {name: [] for name in site.orgs}

        def poll(name: str) -> None:
            site.orgs[name].clock.advance(120)  # the delete log tells of whole minutes
            assert site.sync(name)["state"] == "succeeded"
            polls[name].append(len(site.orgs[name].history))

        for name, org in site.orgs.items():
            begin(org, Random(seed))
            site.connect(name)
            poll(name)
        for act, number, first, polled in steps:
            name = "acme" if first else "globex"
            attempt(site.orgs[name], Random(number), act)
            if polled and number % 2:
                poll(name)
        for name in site.orgs:
            poll(name)
        compare(site, polls)


@contextmanager
def two_orgs(database_url: str, ca_dir: Path) -> Iterator[Site]:
    """An installation and two new orgs."""
    orgs = [Org(name, clock=Clock(START)) for name in ("acme", "globex")]
    with SimulatorServer(orgs, ca_dir=ca_dir) as server:
        hosts = [server.url(org).removeprefix("https://") for org in orgs]
        chosen = {"database_url": database_url, "encryption_keys": KEY, "ca_bundle": server.ca_file}
        runtime = Runtime(Settings(home=ca_dir / "home", allowed_hosts=hosts, **chosen, _env_file=None))
        yield Site(runtime, server, {org.key: org for org in orgs})


def compare(site: Site, polls: dict[str, list[int]]) -> None:
    """Hold what is exported against the expectation, and each timeline against the export."""
    activities = exported(site)
    for name, org in site.orgs.items():
        wanted = Expectation(org, polls[name], people_of(site, org)).all()
        assert in_order([told(one) for one in activities if one["source"] == name]) == in_order(wanted)
    assert len({one["activity_id"] for one in activities}) == len(activities)
    with db.transaction(site.url) as session:
        for person in site.people():
            mine = [one for one in activities if str(one["person_id"]) == person]
            assert sorted(map(str, queries.timeline(session, person))) == sorted(map(str, mine))
