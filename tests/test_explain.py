"""The plans of the hot statements, on a database with rows enough for a scan to be the wrong choice."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest

from cdp import queries
from cdp.db import driver
from cdp.fields import Field, register
from connector import metrics
from tests.feed import FIELDS, SOURCES, Cdp
from tests.oracle import BEGINNING, Record, Rules

pytestmark = pytest.mark.slow

ROWS = 30_000
BIG = frozenset({"record", "membership", "person", "activity", "campaign_member"})
RULES = Rules({item.name: (item.type, item.rule) for item in FIELDS})
PLANNED = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|MERGE|WITH)\b", re.IGNORECASE)


@dataclass
class Scans:
    """Which statements would read a big table from end to end, as the tables and the statement's beginning."""

    planned: int = 0
    whole: list[tuple[str, str]] = field(default_factory=list)

    def note(self, statement: str, plan: dict[str, Any]) -> None:
        self.planned += 1
        for node in _nodes(plan):
            # An index read without a condition on it is a scan of everything as well.
            is_whole = node["Node Type"] == "Seq Scan" or (
                "Scan" in node["Node Type"] and "Index Name" in node and "Index Cond" not in node
            )
            if is_whole and node.get("Relation Name") in BIG:
                self.whole.append((node["Relation Name"], " ".join(statement.split())[:90]))


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every node of a plan but those below a LIMIT, which ends their reading early."""
    yield plan
    for child in plan.get("Plans", ()) if plan["Node Type"] != "Limit" else ():
        yield from _nodes(child)


@pytest.fixture
def scans(monkeypatch: pytest.MonkeyPatch) -> Scans:
    """Plan each statement that any cursor executes right before it runs, with its temporary tables as it finds them."""
    found = Scans()
    for kind in (psycopg.Cursor, psycopg.ServerCursor):
        monkeypatch.setattr(kind, "execute", _explained(found, kind.execute, psycopg.Cursor.execute))
    return found


def _explained(scans: Scans, execute: Callable[..., Any], plain: Callable[..., Any]) -> Callable[..., Any]:
    def explained(cursor: Any, query: Any, params: Any = None, **options: Any) -> Any:
        text = query if isinstance(query, str) else query.as_string(cursor)
        # With parameters the driver takes one statement only.
        for part in [text] if params else filter(str.strip, text.split(";")):
            if PLANNED.match(part):
                with psycopg.Cursor(cursor.connection) as other:
                    [(plans,)] = plain(other, "EXPLAIN (FORMAT JSON) " + part, params).fetchall()
                    scans.note(part, plans[0]["Plan"])
            execute(cursor, part, params, **options)
        return cursor

    return explained


@pytest.fixture
def populated(cdp: Cdp) -> Cdp:
    """People of two records each, resolved and analysed; made in one statement, as arrival is not the point."""
    with cdp.session() as session:
        connection = driver(session)
        connection.execute(
            """
            INSERT INTO record (handle, source_id, object, record_id, state, created_at, modified_at, version_at,
                                read_at, email, rank, f_company)
            SELECT record_handle(s.org_id, 'Contact', i.id), s.id, 'Contact', i.id, 'live', %(at)s, %(at)s, %(at)s,
                   %(at)s, 'person' || n / 2 || '@example.org', 0, 'Company ' || n
            FROM generate_series(1, %(rows)s) AS n
            CROSS JOIN LATERAL (SELECT '003' || lpad(n::text, 15, '0') AS id) AS i
            JOIN source AS s ON s.id = 1 + n %% %(sources)s
            """,
            {"at": BEGINNING, "rows": ROWS, "sources": len(SOURCES)},
        )
        connection.execute("INSERT INTO touched (handle) SELECT handle FROM record")
        connection.execute("ANALYZE record")
    cdp.resolve(RULES)
    with cdp.session() as session:
        driver(session).execute("ANALYZE")
    return cdp


def contact(n: int, **changes: Any) -> Record:
    """One of the records in the database, with changes."""
    return Record(1 + n % len(SOURCES), "Contact", f"003{n:015d}", **changes)


def test_storing_and_resolving_a_few_records_reads_no_table_whole(populated: Cdp, scans: Scans) -> None:
    later = BEGINNING.replace(hour=1)
    moved = contact(10, email="person77@example.org", version_at=later)
    changed = contact(20, email="person10@example.org", version_at=later, values={"company": "New"})
    deleted = contact(30, is_deleted=True, version_at=later)
    linked = Record(1, "Lead", "00Q000000000000001", is_converted=True, converted_to=f"003{40:015d}")
    for record in (moved, changed, deleted, linked):
        populated.deliver([record])
    assert populated.resolve(RULES).touched == 4
    assert scans.planned > 20
    assert scans.whole == []


def test_a_profile_and_its_reasons_are_found_by_index(populated: Cdp, scans: Scans) -> None:
    with populated.session() as session:
        assert queries.person(session, contact(10).handle)["email"] == "person5@example.org"
        assert queries.why(session, contact(10).handle)
    assert scans.planned > 2
    assert scans.whole == []


@pytest.mark.parametrize(
    "wanted",
    ["Person5@example.org", str(contact(11).handle), f"sf_3_Contact_{contact(11).record_id}"],
    ids=["email", "person id", "external id"],
)
def test_a_person_is_found_by_index(populated: Cdp, scans: Scans, wanted: str) -> None:
    with populated.session() as session:
        assert queries.resolve_person(session, wanted) == [contact(10).handle]
    assert scans.whole == []


def test_a_scrape_reads_no_big_table_until_it_counts_again(
    populated: Cdp, scans: Scans, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = metrics.Installation(populated.url)
    assert len(list(told.collect())) == len(metrics.MEASURES) + 1
    assert {table for table, _ in scans.whole} <= {"record", "person"}
    scans.whole.clear()
    assert len(list(told.collect())) == len(metrics.MEASURES) + 1
    assert scans.planned > len(metrics.MEASURES)
    assert scans.whole == []
    monkeypatch.setattr(metrics, "COUNT_EVERY", -1)
    list(told.collect())
    assert scans.whole


@pytest.fixture
def busy(populated: Cdp) -> Cdp:
    """Everybody is in a campaign."""
    with populated.session() as session:
        connection = driver(session)
        connection.execute("""
            INSERT INTO campaign_member (source_id, record_id, state, created_at, version_at, read_at, modified_at,
                                         campaign_id, contact)
            SELECT source_id, '00v' || substr(record_id, 4), 'live', created_at, version_at, read_at, modified_at,
                   '701000000000000001', handle FROM record
        """)
        connection.execute("""
            INSERT INTO activity (source_id, record_id, kind, version, occurred_at, history)
            SELECT source_id, record_id, 'campaign_member_added', '', created_at, true FROM campaign_member
        """)
        connection.execute("ANALYZE campaign_member; ANALYZE activity")
    return populated


def test_a_timeline_is_found_by_index(busy: Cdp, scans: Scans) -> None:
    with busy.session() as session:
        assert len(queries.timeline(session, contact(10).handle, 50)) == 2
    assert scans.planned == 1
    assert scans.whole == []


def test_the_export_of_activities_joins_whole_tables_by_hash(busy: Cdp, monkeypatch: pytest.MonkeyPatch) -> None:
    plans: list[str] = []
    execute = psycopg.ServerCursor.execute

    def explained(cursor: Any, query: Any, params: Any = None, **options: Any) -> Any:
        with psycopg.Cursor(cursor.connection) as other:
            [(plan,)] = other.execute("EXPLAIN (FORMAT JSON) " + query.as_string(cursor), params).fetchall()
        plans.extend(f"{node['Node Type']} {node.get('Relation Name', '')}" for node in _nodes(plan[0]["Plan"]))
        return execute(cursor, query, params, **options)

    monkeypatch.setattr(psycopg.ServerCursor, "execute", explained)
    with busy.session() as session:
        assert sum(1 for _ in queries.activities(session)) == ROWS
    assert {"Seq Scan activity", "Seq Scan campaign_member", "Seq Scan membership"} <= set(plans)


@pytest.fixture
def named(populated: Cdp) -> Cdp:
    """The same people, with names to find them by."""
    with populated.session() as session:
        register(session, [Field("first_name"), Field("last_name")])
        driver(session).execute("UPDATE person SET last_name = 'Name' || substr(email, 7), first_name = 'Ann'")
        driver(session).execute("ANALYZE person")
    return populated


@pytest.mark.parametrize(
    ("wanted", "count"),
    [("Person5@example.org", 1), (str(contact(11).handle), 1), (contact(11).record_id, 1), ("name77 ann", 10)],
    ids=["email", "person id", "record id", "names"],
)
def test_the_dashboard_finds_people_by_index(named: Cdp, scans: Scans, wanted: str, count: int) -> None:
    with named.session() as session:
        assert len(queries.search_people(session, wanted, 10)) == count
    assert scans.whole == []


def test_what_pages_ask_each_time_reads_no_big_table(populated: Cdp, scans: Scans) -> None:
    with populated.session() as session:
        for asked in (queries.sources, queries.glance, queries.days, queries.accounts, queries.audit):
            asked(session)
        for of_source in (queries.runs, queries.log, queries.calls_by_kind, queries.quarantined):
            of_source(session, 1)
        queries.objects(session, 1)
        handles = queries.find_records(session, str(contact(10).handle))
        queries.standings(session, handles)
        queries.bonds(session, contact(10).handle)
    assert scans.planned > 10
    assert scans.whole == []
