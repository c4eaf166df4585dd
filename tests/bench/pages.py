"""`python -m tests.bench.pages`: how long the dashboard's pages take over a million records and two weeks of polls."""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

from cdp import db
from cdp.fields import Field
from connector import accounts, embedded, schema
from connector.runtime import Runtime
from connector.settings import Settings
from tests.bench import report
from tests.bench.report import Figure
from tests.dashboard.conftest import PASSWORD, Browser, served
from tests.feed import SOURCES, Cdp
from tests.oracle import BEGINNING, Rules

REPORT = Path("reports/pages.md")
FIELDS = (Field("company"), Field("first_name"), Field("last_name"), Field("title"))
ROUNDS = 50
MOST = 0.3  # seconds that half of the answers may take
NOTE = "Seconds over HTTP on loopback, from request to whole answer, with signing in checked each time."
console = Console(highlight=False)
RECORDS = """
    INSERT INTO record (handle, source_id, object, record_id, state, created_at, modified_at, version_at, read_at,
                        email, rank, f_company, f_first_name, f_last_name, f_title)
    SELECT record_handle(s.org_id, 'Contact', i.id), s.id, 'Contact', i.id, 'live', %(at)s, %(at)s, %(at)s, %(at)s,
           'p' || n * 2 / 3 || '@example.org', 0, 'Company ' || n %% 9, 'First ' || n %% 5000, 'Last' || n %% 9000,
           'Title ' || n %% 7
    FROM generate_series(1, %(rows)s) AS n
    CROSS JOIN LATERAL (SELECT '003' || lpad(n::text, 15, '0') AS id) AS i
    JOIN source AS s ON s.id = 1 + n %% %(sources)s
"""
# Two weeks of polls, one each five minutes, two objects each.
RUNS = """
    INSERT INTO run (source_id, kind, state, started_at, ended_at, read, written, calls_by_kind)
    SELECT s.id, 'poll', 'succeeded', at, at + interval '3 seconds', 40, 12, '{"queries": 3, "describe": 2}'
    FROM source AS s CROSS JOIN generate_series(now() - interval '14 days', now(), interval '5 minutes') AS at
    ORDER BY at, s.id
"""
WINDOWS = """
    INSERT INTO read_window (source_id, object, run_id, lo, hi)
    SELECT source_id, object, id, started_at - interval '5 minutes', started_at
    FROM run CROSS JOIN (VALUES ('Contact'), ('Lead')) AS o(object) ORDER BY id
"""
CURSORS = """
    INSERT INTO cursor (source_id, object, closed_to, last_run)
    SELECT source_id, object, max(hi), max(hi) FROM read_window GROUP BY source_id, object
"""

# Everybody is in a campaign, and five things happened to each membership in the last months.
MEMBERS = """
    INSERT INTO campaign_member (source_id, record_id, state, created_at, version_at, read_at, modified_at,
                                 campaign_id, contact)
    SELECT source_id, '00v' || substr(record_id, 4), 'live', created_at, version_at, read_at, modified_at,
           '701000000000000001', handle FROM record
"""
ACTIVITIES = """
    INSERT INTO activity (source_id, record_id, kind, version, occurred_at, history)
    SELECT source_id, record_id, 'campaign_member_status_updated', n::text,
           now() - make_interval(days => n * 9, secs => ('x' || right(md5(record_id), 5))::bit(20)::integer), false
    FROM campaign_member CROSS JOIN generate_series(0, 4) AS n
"""


def main() -> int:
    """Fill a database, serve it, ask for each page many times, and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.pages", description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="connector-bench-") as folder:
        url = embedded.services(Path(folder), redis=False).database_url
        schema.migrate(url)
        _fill(Cdp(url, FIELDS), options.records)
        accounts.add(url, "ada", "admin", PASSWORD)
        with served(Runtime(Settings(database_url=url, home=Path(folder), _env_file=None))) as address:
            figures = _measured(address, url)
        db.engine(url).dispose()
    title = f"Pages over {options.records:,} records and {5 * options.records:,} activities"
    report.show(console, title, figures)
    report.write(REPORT, title, figures, [NOTE])
    return 0 if all(figure.met is not False for figure in figures) else 1


def _fill(cdp: Cdp, records: int) -> None:
    console.print("[dim]store and resolve[/dim]")
    with cdp.session() as session:
        connection = db.driver(session)
        connection.execute(RECORDS, {"at": BEGINNING, "rows": records, "sources": len(SOURCES)})
        connection.execute("INSERT INTO touched (handle) SELECT handle FROM record")
        connection.execute("ANALYZE record")
        for statement in (RUNS, WINDOWS, CURSORS, MEMBERS, ACTIVITIES):
            connection.execute(statement)
    cdp.resolve(Rules({field.name: (field.type, field.rule) for field in FIELDS}))
    with cdp.session() as session:
        db.driver(session).execute("ANALYZE")


def _measured(address: str, url: str) -> list[Figure]:
    browser = Browser(address)
    browser.sign_in("ada")
    with db.transaction(url) as session:
        [one] = db.rows(db.driver(session), "SELECT person_id, email FROM person ORDER BY person_id LIMIT 1")
    paths = {
        "overview": "/",
        "source": "/sources/1",
        "source, live part": "/sources/1/live",
        "search by email": f"/people?q={one['email']}",
        "search by name": "/people?q=last77+first",
        "person": f"/people/{one['person_id']}",
        "why": f"/people/{one['person_id']}/why",
        "audit": "/audit",
    }
    return [_figure(browser, name, path) for name, path in paths.items()]


def _figure(browser: Browser, name: str, path: str) -> Figure:
    console.print(f"[dim]{name}[/dim]")
    taken = []
    for _ in range(ROUNDS):
        started = time.monotonic()
        assert browser.get(path).status_code == 200
        taken.append(time.monotonic() - started)
    median, worst = statistics.median(taken), max(taken)
    words = f"{median * 1000:.0f} ms, worst {worst * 1000:.0f}"
    return Figure(f"{name}: median and worst of {ROUNDS}", words, f"≤ {MOST * 1000:.0f} ms", median <= MOST)


if __name__ == "__main__":
    sys.exit(main())
