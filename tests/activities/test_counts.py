"""Rows are counted as they come and go: whatever happens to two orgs, the counts are those of the tables."""

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from psycopg import sql

from cdp import db, erasure, queries
from cdp.tables import PLAIN
from connector import lifecycle, runs
from connector.simulator import Org
from tests.activities.plays import ACTS, attempt, begin, live
from tests.activities.test_stories import EFFORT, SEEDS, two_orgs
from tests.connector.conftest import Site
from tests.faults.test_stateful import empty

WORK = ("poll", "sweep", "resync", "erase")
STEPS = st.lists(
    st.tuples(st.lists(st.tuples(st.sampled_from(ACTS), SEEDS), max_size=12), st.booleans(), st.sampled_from(WORK)),
    min_size=3,
    max_size=5,
)
STORED = sql.SQL(" UNION ALL ").join(
    sql.SQL("SELECT source_id, {} AS object, state, count(*) AS rows FROM {} GROUP BY 1, 2, 3").format(
        sql.Literal(name), table.identifier
    )
    for name, table in PLAIN.items()
)


@EFFORT
@given(seed=SEEDS, steps=STEPS)
def test_counts_are_those_of_the_tables(database_url: str, ca_dir: Path, seed: int, steps: Sequence[Any]) -> None:
    empty(database_url)
    with two_orgs(database_url, ca_dir) as site:
        for name, org in site.orgs.items():
            begin(org, Random(seed))
            site.connect(name)
            site.sync(name)
        assert counted(site)
        for acts, first, work in steps:
            name = "acme" if first else "globex"
            for act, number in acts:
                attempt(site.orgs[name], Random(number), act)
            do(site, name, work)
            assert counted(site) == stored(site)
        for step in ("disconnect", "archive"):
            lifecycle.take(site.runtime, "acme", step)
        site.execute(lifecycle.begin_removal(site.runtime, "acme"))
        assert counted(site) == stored(site)
        assert {source for source, _, _ in counted(site)} == {2}


def do(site: Site, name: str, work: str) -> None:
    """Let the connector work on an org, or erase one of its people."""
    org = site.orgs[name]
    org.clock.advance(120)
    if work == "erase":
        _erase(site, org)
    else:
        site.execute(runs.request(site.url, site.source(name).key, work))


def _erase(site: Site, org: Org) -> None:
    emails = {row["Email"] for row in org.snapshot("Contact").values() if row["Id"] in live(org, "Contact")}
    with db.transaction(site.url) as session:
        found = [one for email in sorted(filter(None, emails)) for one in queries.resolve_person(session, email)]
        for person in found[:1]:
            erasure.erase(session, person, site.runtime.vault.erasure_keys)


def counted(site: Site) -> dict[tuple[int, str, str], int]:
    """Source, object and state → how many rows there are, as it is kept."""
    return _by_state(site, sql.SQL("SELECT source_id, object, state, rows FROM row_count WHERE rows <> 0"))


def stored(site: Site) -> dict[tuple[int, str, str], int]:
    """The same, counted."""
    return _by_state(site, STORED)


def _by_state(site: Site, query: sql.SQL | sql.Composed) -> dict[tuple[int, str, str], int]:
    return {(row["source_id"], row["object"], row["state"]): row["rows"] for row in site.query(query)}
