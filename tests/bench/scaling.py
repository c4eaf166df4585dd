"""`python -m tests.bench.scaling`: the same orgs read by one, two and four worker processes, the large ones from afar.

With `--orgs 21 --large 1 --largest 2000000 --workers 1` it is the test of a huge org beside small ones (F28).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit

import psutil
import redis
from rich.console import Console

from cdp.db import driver, rows, transaction
from connector import embedded, sources
from connector.auth import load_credentials
from connector.runtime import Runtime
from connector.schema import migrate
from connector.settings import Settings
from connector.simulator.control_client import ControlClient
from tests.bench import far, report
from tests.bench.report import Figure

REPORT = Path("reports/scaling.md")
LATENCY = 0.05
MOST_MEMORY = 300
LIMIT = 3600.0
NOTES = (
    "Simulator, PostgreSQL, Redis and all workers share the two cores of one machine, "
    "so the simulator is part of every figure.",
    f"The large orgs live in a network namespace of their own, {LATENCY * 1000:.0f} ms away there and back.",
    "Freshness: seconds from the moment an org is due until its poll has ended, people included.",
    "Database time: what PostgreSQL says it spent on statements, for each row read.",
    "A quiet poll: of a small org that has not changed, while all orgs are due at once. "
    "Its database time and Redis commands are a part of those of the whole fleet meanwhile, ticks included.",
    "Memory: the peak of one process of a worker, in resident memory of its own.",
)
console = Console(highlight=False)


@dataclass(frozen=True)
class Measured:
    """One size of the fleet: rows a second, seconds until orgs were fresh, database time a row, memory, quiet polls."""

    workers: int
    rows: int
    seconds: float
    smallest: float
    small: Sequence[float]
    database: float
    peak: int
    quiet: "Quiet"


@dataclass(frozen=True)
class Quiet:
    """A poll that finds nothing, on average: API calls, seconds of a child, seconds of the database, Redis commands.

    `connections` is the most that the database has had at once, of all processes.
    """

    calls: float
    seconds: float
    database: float
    commands: float
    connections: int


def main() -> int:
    """Measure each size of the fleet on fresh services, print the table and write the report."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="connector-bench-") as name, _served(folder := Path(name), options) as orgs:
        results = [_measure(folder / f"home{count}", orgs, count, options.large) for count in options.workers]
    figures = [figure for result in results for figure in _figures(result)]
    title = f"Scaling: {options.orgs} orgs, {options.large} of them of {options.largest:,} Leads and Contacts"
    report.show(console, title, figures)
    report.write(REPORT, title, figures, NOTES)
    return 0 if all(figure.met is not False for figure in figures) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scaling", description=__doc__)
    parser.add_argument("--orgs", type=int, default=20)
    parser.add_argument("--small", type=int, default=1000, help="Leads and Contacts of each org")
    parser.add_argument("--large", type=int, default=2, help="how many of the orgs are large")
    parser.add_argument("--largest", type=int, default=30_000, help="Leads and Contacts of each large one")
    parser.add_argument("--near", action="store_true", help="serve the large ones on this host, which needs no root")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4], help="worker processes, a column each")
    return parser.parse_args()


def _figures(one: Measured) -> list[Figure]:
    name = f"{one.workers} worker{'s' if one.workers > 1 else ''}"
    return [
        Figure(f"{name}: rows a second", f"{one.rows / one.seconds:,.0f}"),
        Figure(f"{name}: all {one.rows:,} rows", report.seconds([one.seconds])),
        Figure(f"{name}: freshness of the smallest org", report.seconds([one.smallest])),
        Figure(f"{name}: of the small ones, median and worst", report.seconds([median(one.small), max(one.small)])),
        Figure(f"{name}: database time a row", f"{one.database / one.rows * 1e6:,.0f} µs"),
        report.memory(f"{name}: peak memory of a process", one.peak, MOST_MEMORY),
        Figure(f"{name}: quiet poll, API calls", f"{one.quiet.calls:.1f}"),
        Figure(f"{name}: quiet poll, time of a child", f"{one.quiet.seconds * 1000:,.0f} ms"),
        Figure(f"{name}: quiet poll, database time", f"{one.quiet.database * 1000:,.0f} ms"),
        Figure(f"{name}: quiet poll, Redis commands", f"{one.quiet.commands:,.0f}"),
        Figure(f"{name}: most connections at once", f"{one.quiet.connections:,}"),
    ]


@contextmanager
def _served(folder: Path, options: argparse.Namespace) -> Iterator[dict[str, dict[str, Any]]]:
    """Serve the orgs, the smallest first, and yield what each says of itself; the large ones live far away."""
    names = [f"org{number:02d}" for number in range(options.orgs)]
    few = options.orgs - options.large
    with ExitStack() as stack:
        told = stack.enter_context(_simulator(folder, names[:few], ()))
        if options.large and not options.near:
            stack.enter_context(far.cable(LATENCY))
            there = stack.enter_context(_simulator(folder, names[few:], far.THERE))
            stack.enter_context(far.reached([urlsplit(one["url"]).port or 0 for one in there]))
        else:
            there = stack.enter_context(_simulator(folder, names[few:], ()))
        for number, one in enumerate([*told, *there]):
            half = (options.largest if number >= few else options.small + number) // 2
            rows = {"leads": half, "contacts": half, "campaigns": 0, "opportunities": 0}
            ControlClient(one["url"], one["ca_file"]).populate(**rows, seed=number, shared_people=7)
        yield {one["org"]: one for one in [*told, *there]}


@contextmanager
def _simulator(folder: Path, names: Sequence[str], where: Sequence[str]) -> Iterator[list[dict[str, Any]]]:
    """Serve orgs by a process of their own, started by the words `where`, and yield what each says of itself."""
    command = [sys.executable, "-m", "connector.simulator", "--orgs", ",".join(names), "--dir", str(folder)]
    process = subprocess.Popen([*where, *command], stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert process.stdout is not None
        yield [json.loads(process.stdout.readline()) for _ in names]
    finally:
        process.terminate()
        process.wait()


def _measure(home: Path, orgs: dict[str, dict[str, Any]], workers: int, large: int) -> Measured:
    runtime = _connected(home, orgs)
    url = runtime.database_url
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CONNECTOR_")}
    environment |= {
        "CONNECTOR_HOME": str(home),
        "CONNECTOR_CA_BUNDLE": str(runtime.settings.ca_bundle),
        "CONNECTOR_ALLOWED_HOSTS": ",".join(runtime.settings.allowed_hosts),
        "CONNECTOR_LOG_LEVEL": "WARNING",
    }
    before = _database_time(url)
    commands = [*(["worker", "--concurrency", "1"] for _ in range(workers)), ["beat"]]
    fleet = [subprocess.Popen([sys.executable, "-m", "connector", *one], env=environment) for one in commands]
    try:
        peak = _until_read(url, fleet, len(orgs))
        spent = _database_time(url) - before
        quiet = _quiet(runtime, len(orgs), large)
    finally:
        for process in fleet:
            process.terminate()
        for process in fleet:
            process.wait()
    polls = _query(
        url,
        """
        SELECT s.name, r.read, extract(epoch FROM r.ended_at - min(r.started_at) OVER ())::float AS seconds
        FROM run AS r JOIN source AS s ON s.id = r.source_id WHERE r.kind = 'poll' ORDER BY s.name, r.id
        """,
    )
    first = {row["name"]: row for row in reversed(polls)}
    small = [first[name]["seconds"] for name in sorted(first)[:-large]]
    whole = max(row["seconds"] for row in first.values())
    read = sum(row["read"] for row in first.values())
    return Measured(workers, read, whole, first[min(first)]["seconds"], small, spent, peak, quiet)


def _quiet(runtime: Runtime, orgs: int, large: int) -> Quiet:
    """Let every org be due again, now that nothing has changed, and measure these polls."""
    url, broker = runtime.database_url, embedded.services(runtime.settings.home).redis_client_url
    last = _query(url, "UPDATE source SET next_poll_at = now() RETURNING (SELECT max(id) AS id FROM run)")[0]["id"]
    before, said = _database_time(url), _commands(broker)
    until, connections, polls = time.monotonic() + LIMIT, 0, []
    while len(polls) < orgs:
        assert time.monotonic() < until, "the orgs were not read again in time"
        time.sleep(0.1)
        polls = [one for one in _query(url, _POLLS) if one["id"] > last]
        connections = max(connections, _query(url, _CONNECTIONS)[0]["open"])
    small = sorted(polls, key=lambda poll: poll["name"])[:-large] or polls
    return Quiet(
        calls=sum(poll["api_calls"] for poll in small) / len(small),
        seconds=median(poll["seconds"] for poll in small),
        database=(_database_time(url) - before) / len(polls),
        commands=(_commands(broker) - said) / len(polls),
        connections=connections,
    )


_POLLS = """
    SELECT r.id, s.name, r.api_calls, extract(epoch FROM r.ended_at - r.started_at)::float AS seconds
    FROM run AS r JOIN source AS s ON s.id = r.source_id WHERE r.kind = 'poll' AND r.state = 'succeeded'
"""
_CONNECTIONS = "SELECT count(*) AS open FROM pg_stat_activity WHERE backend_type = 'client backend'"


def _commands(broker: str) -> int:
    with redis.Redis.from_url(broker) as client:
        return int(client.info("stats")["total_commands_processed"])


def _connected(home: Path, orgs: dict[str, dict[str, Any]]) -> Runtime:
    """Connect every org, the largest first, so that it is also the first to be due."""
    values = {
        "home": home,
        "ca_bundle": Path(next(iter(orgs.values()))["ca_file"]),
        "allowed_hosts": [one["url"].removeprefix("https://") for one in orgs.values()],
    }
    runtime = Runtime(Settings(**values, _env_file=None))
    embedded.services(home)
    migrate(runtime.database_url)
    for name, one in reversed(orgs.items()):
        credentials = load_credentials(Path(one["credentials"]), stdin=False)
        sources.connect(runtime, name, one["url"], credentials)
    return runtime


def _until_read(url: str, fleet: Sequence["subprocess.Popen[bytes]"], orgs: int) -> int:
    """Wait until every org has been read once; return the highest peak of memory of a process, in bytes."""
    until, peak = time.monotonic() + LIMIT, 0
    done = "SELECT count(DISTINCT source_id) AS done FROM run WHERE kind = 'poll' AND state = 'succeeded'"
    while _query(url, done)[0]["done"] < orgs:
        assert time.monotonic() < until, "the orgs were not read in time"
        peak = max(peak, *(_peak(process.pid) for process in fleet))
        time.sleep(0.5)
    return peak


def _peak(pid: int) -> int:
    """The resident memory of a process or of one of its children that is its own, whichever is more."""
    try:
        root = psutil.Process(pid)
        return max(one.memory_full_info().uss for one in (root, *root.children(recursive=True)))
    except psutil.NoSuchProcess:
        return 0


def _database_time(url: str) -> float:
    found = _query(url, "SELECT active_time / 1000 AS seconds FROM pg_stat_database WHERE datname = current_database()")
    return float(found[0]["seconds"])


def _query(url: str, statement: Any) -> list[dict[str, Any]]:
    with transaction(url) as session:
        return rows(driver(session), statement)


if __name__ == "__main__":
    sys.exit(main())
