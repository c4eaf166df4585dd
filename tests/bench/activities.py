"""`python -m tests.bench.activities`: storing members and deals, against COPY of the same CSV into unlogged tables.

Both read CSV that is there already, so neither the org nor the network counts: what is measured is the door into the
CDP, in pages of 50,000 rows as a bulk job gives them, activities included.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType

import psycopg
from psycopg import sql
from rich.console import Console

from cdp import ingest, queries
from cdp.db import transaction
from cdp.models import Source
from cdp.records import Batch, Layout, csv_row
from connector import embedded
from connector.objects import OBJECTS
from connector.schema import migrate

PAGE = 50_000
CHANGED = 1000
ORG = "00D5e0000000001EAA"
BEGAN = datetime(2025, 1, 1, tzinfo=UTC)
STAGES = ("Prospecting", "Qualification", "Negotiation/Review", "Closed Won")
Row = dict[str, str]
console = Console(highlight=False)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.activities", description=__doc__)
    parser.add_argument("--members", type=int, default=500_000)
    parser.add_argument("--opportunities", type=int, default=50_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="connector-bench-") as folder:
        url = embedded.services(Path(folder) / "home", redis=False).database_url
        migrate(url)
        with transaction(url) as session:
            session.add(_source())
        pages = list(_pages(options.members, options.opportunities))
        rows = sum(len(lines) for _, lines in pages)
        floor = _timed(lambda: _copy(url, pages))
        ours = _timed(lambda: _store(url, pages, history=True))
        console.print(
            f"{rows:,} rows: COPY {floor:.1f} s, stored with activities {ours:.1f} s, ratio {ours / floor:.1f}"
        )
        changes = [("CampaignMember", [_line(_member(n, later=True)) for n in range(CHANGED)])]
        floor = _timed(lambda: _copy(url, changes))
        ours = _timed(lambda: _store(url, changes, history=False))
        console.print(
            f"{CHANGED:,} changes: COPY {floor:.3f} s, stored with activities {ours:.3f} s, ratio {ours / floor:.1f}"
        )
        with transaction(url) as session:
            counts = queries.activities_by_kind(session)
            streamed = _timed(
                lambda: console.print(f"exported {sum(1 for _ in queries.activities(session)):,} activities")
            )
            counted = _timed(lambda: queries.activities_by_kind(session))
        console.print(f"{sum(counts.values()):,} activities: exported in {streamed:.1f} s, counted in {counted:.2f} s")


def _tell(rows: int, floor: float, ours: float) -> None:
    words = f"{rows:,} rows: COPY {floor:.3f} s, stored with activities {ours:.3f} s"
    console.print(f"{words}, ratio {ours / floor:.1f}")


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _source() -> Source:
    return Source(
        id=1,
        name="bench",
        org_id=ORG,
        login_url="https://login.salesforce.com",
        instance_url="https://bench.my.salesforce.com",
        credentials=b"sealed",
        created_by="bench",
        created_at=BEGAN,
        next_poll_at=BEGAN,
    )


def _stamp(number: int, *, later: bool = False) -> str:
    return (BEGAN + timedelta(seconds=number % 10**7, days=200 * later)).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _common(number: int, record_id: str, *, later: bool = False) -> Row:
    modified = _stamp(number, later=later)
    stamps = {"CreatedDate": _stamp(number), "SystemModstamp": modified, "LastModifiedDate": modified}
    return {"Id": record_id, "IsDeleted": "false", **stamps}


def _member(number: int, *, later: bool = False) -> tuple[str, Row]:
    responded = later or number % 5 == 0
    about = {"CampaignId": f"701{number // 1000:015d}", "ContactId": f"003{number % 100_000:015d}"}
    about |= {"Status": "Responded" if responded else "Sent", "HasResponded": str(responded).lower()}
    day = _stamp(number, later=later)[:10]
    return "CampaignMember", {
        **_common(number, f"00v{number:015d}", later=later),
        **about,
        "FirstRespondedDate": day if responded else "",
    }


def _deal(number: int) -> Iterator[tuple[str, Row]]:
    deal = f"006{number:015d}"
    state = {"Amount": f"{number % 1000}.5", "Probability": "10.0", "CloseDate": "2026-01-01"}
    names = {"Name": f"Deal {number}", "Type": "", "OwnerId": f"005{1:015d}", "AccountId": f"001{number % 9999:015d}"}
    yield "Opportunity", {**_common(number, deal), **state, **names, "StageName": STAGES[number % 4]}
    role = {"OpportunityId": deal, "ContactId": f"003{number % 100_000:015d}", "Role": "", "IsPrimary": "true"}
    yield "OpportunityContactRole", {**_common(number, f"00K{number:015d}"), **role}
    for step in range(number % 4 + 1):
        about = {"OpportunityId": deal, "StageName": STAGES[step], "ForecastCategory": "Closed" if step == 3 else ""}
        yield "OpportunityHistory", {**_common(number + step, f"008{4 * number + step:015d}"), **state, **about}


def _line(named: tuple[str, Row]) -> bytes:
    name, row = named
    return csv_row(row.get(field, "") for field in _layout(name).columns)


def _layout(name: str) -> Layout:
    kept = {ours: field for ours, field in OBJECTS[name].fixed.items() if field != "CurrencyIsoCode"}
    return Layout(
        tuple(dict.fromkeys(kept.values())), MappingProxyType(kept), MappingProxyType({}), table=OBJECTS[name].table
    )


def _pages(members: int, opportunities: int) -> Iterator[tuple[str, list[bytes]]]:
    lines: dict[str, list[bytes]] = {}
    for number in range(members):
        lines.setdefault("CampaignMember", []).append(_line(_member(number)))
    for number in range(opportunities):
        for named in _deal(number):
            lines.setdefault(named[0], []).append(_line(named))
    for name, rows in lines.items():
        yield from ((name, rows[start : start + PAGE]) for start in range(0, len(rows), PAGE))


def _copy(url: str, pages: list[tuple[str, list[bytes]]]) -> None:
    with psycopg.connect(url) as connection:
        for name in {name for name, _ in pages}:
            columns = (sql.SQL("{} text").format(sql.Identifier(one)) for one in _layout(name).columns)
            names = {"table": sql.Identifier(f"floor {name}"), "columns": sql.SQL(", ").join(columns)}
            connection.execute(sql.SQL("DROP TABLE IF EXISTS {table}").format(**names))
            connection.execute(sql.SQL("CREATE UNLOGGED TABLE {table} ({columns})").format(**names))
        for name, lines in pages:
            statement = sql.SQL("COPY {} FROM STDIN WITH (FORMAT csv)").format(sql.Identifier(f"floor {name}"))
            with connection.cursor() as cursor, cursor.copy(statement) as copy:
                copy.write(b"".join(lines))


def _store(url: str, pages: list[tuple[str, list[bytes]]], *, history: bool) -> None:
    for name, lines in pages:
        with transaction(url) as session:
            ingest.store(session, _batch(name, b"".join(lines), history=history))


def _batch(name: str, text: bytes, *, history: bool) -> Batch:
    read_at = BEGAN + timedelta(days=300)
    return Batch(1, ORG, name, 0, _layout(name), read_at, lambda: (text,), contested=False, history=history)


if __name__ == "__main__":
    main()
