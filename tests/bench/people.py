"""`python -m tests.bench.people`: people of many records of three orgs, verified, changed in part, verified again."""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby, islice
from pathlib import Path
from random import Random

from rich.console import Console

from cdp import db
from cdp.merging import Identity
from cdp.people import Resolution
from cdp.verification import Comparison, verify
from connector import embedded, schema
from tests.bench import report
from tests.bench.report import Figure
from tests.feed import FIELDS, HOUR, SOURCES, Cdp
from tests.oracle import BEGINNING, Record, Rules
from tests.stories import IDS

REPORT = Path("reports/people.md")
RULES = Rules({field.name: (field.type, field.rule) for field in FIELDS}, max_records_per_key=50)
IDENTITY = Identity(RULES.max_records_per_key, ())
PAGE = 20_000
NOTE = "A membership is a record's row in the person graph: its person, key and link."
console = Console(highlight=False)


@dataclass(frozen=True)
class Batch:
    """What a batch of changes did: seconds to store and resolve, rows written, and those of people it is not about."""

    stored: float
    resolved: float
    resolution: Resolution
    memberships: int
    outside: int


def main() -> int:
    """Fill, verify, change a batch, verify again, and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.people", description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--changed", type=int, default=2000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="connector-bench-") as folder:
        url = embedded.services(Path(folder), redis=False).database_url
        schema.migrate(url)
        figures = _measured(Cdp(url, FIELDS), options.records, options.changed)
        db.engine(url).dispose()
    title = f"People: {options.records:,} records of three orgs"
    report.show(console, title, figures)
    report.write(REPORT, title, figures, [NOTE])
    return 0 if all(figure.met is not False for figure in figures) else 1


def _measured(cdp: Cdp, records: int, changed: int) -> list[Figure]:
    console.print("[dim]store[/dim]")
    started = time.monotonic()
    every = _records(records)
    while page := list(islice(every, PAGE)):
        cdp.deliver(page)
    stored = time.monotonic()
    console.print("[dim]resolve[/dim]")
    cdp.resolve(RULES)
    resolved = time.monotonic()
    console.print("[dim]verify[/dim]")
    first = verify(cdp.url, IDENTITY)
    console.print("[dim]change[/dim]")
    batch = _change(cdp, records, changed)
    return [
        Figure("store", f"{stored - started:.1f} s"),
        Figure("resolve all", f"{resolved - stored:.1f} s"),
        Figure("people", f"{first.people:,}"),
        *_proof("verify", first),
        Figure(f"batch of {changed:,}: store", f"{batch.stored:.2f} s"),
        Figure(f"batch of {changed:,}: resolve", f"{batch.resolved:.2f} s"),
        Figure("people written and removed", f"{batch.resolution.written:,} + {batch.resolution.removed:,}"),
        Figure("memberships written", f"{batch.memberships:,}"),
        Figure("rows written of other groups", f"{batch.outside:,}", "0", not batch.outside),
        *_proof("verify again", verify(cdp.url, IDENTITY)),
    ]


def _proof(what: str, found: Comparison) -> list[Figure]:
    different = found.people_different + found.memberships_different
    return [
        Figure(what, f"{found.seconds:.1f} s, {found.records / found.seconds:,.0f} records/s"),
        Figure(f"{what}: differences", f"{different:,}", "0", found.same),
    ]


def _records(count: int) -> Iterator[Record]:
    """Records of all sources, most emails held by one or two, in pages of one source and object."""
    random = Random(1)
    for source_id in SOURCES:
        for kind, form in IDS.items():
            for number in range(count // 6):
                yield Record(
                    source_id,
                    kind,
                    form.format(number),
                    None if random.random() < 0.05 else _email(random, count),
                    converted_to=IDS["Contact"].format(number) if kind == "Lead" and random.random() < 0.03 else None,
                    values={"company": f"Company {number % 9}", "title": f"Title {number % 7}"},
                )


def _email(random: Random, records: int) -> str:
    return f"p{random.randrange(records * 3 // 4)}@example.com"


def _change(cdp: Cdp, records: int, changed: int) -> Batch:
    """Give records another title and another email, and see whose rows that writes."""
    random, stamp = Random(2), BEGINNING + HOUR
    slots = [(s, kind, n) for s in SOURCES for kind in IDS for n in random.sample(range(records // 6), changed // 6)]
    batch = [
        Record(s, kind, IDS[kind].format(n), _email(random, records), values={"title": "New"}) for s, kind, n in slots
    ]
    newer = [replace(one, version_at=stamp, modified_at=stamp, read_at=stamp) for one in batch]
    handles = [one.handle for one in newer]
    concerned = "SELECT person_id FROM membership WHERE handle = ANY(%(handles)s)"
    before = {row["person_id"] for row in cdp.query(concerned, handles=handles)}
    companions = [row["handle"] for row in cdp.query("SELECT handle FROM membership WHERE person_id = ANY(%(ids)s)",
                                                     ids=list(before))]  # fmt: skip
    xid = cdp.query("SELECT pg_current_xact_id()::text::bigint AS xid")[0]["xid"]
    started = time.monotonic()
    for _, alike in groupby(newer, key=lambda one: (one.source_id, one.object)):
        cdp.deliver(alike)
    stored = time.monotonic()
    resolution = cdp.resolve(RULES)
    resolved = time.monotonic()
    after = {row["person_id"] for row in cdp.query(concerned, handles=[*handles, *companions])}
    memberships = _written(cdp, "membership", xid)
    outside = [one for one in (*memberships, *_written(cdp, "person", xid)) if one not in before | after]
    return Batch(stored - started, resolved - stored, resolution, len(memberships), len(outside))


def _written(cdp: Cdp, table: str, xid: int) -> list[object]:
    """The people whose rows in a table are newer than a transaction."""
    queries = {
        "membership": "SELECT person_id FROM membership WHERE xmin::text::bigint >= %(xid)s",
        "person": "SELECT person_id FROM person WHERE xmin::text::bigint >= %(xid)s",
    }
    return [row["person_id"] for row in cdp.query(queries[table], xid=xid)]  # type: ignore[arg-type]


if __name__ == "__main__":
    sys.exit(main())
