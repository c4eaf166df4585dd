"""`python -m tests.bench`: measures everything in one run, and ends with 1 when a target is missed."""

import argparse
import sys
import tempfile
from pathlib import Path
from statistics import median

from rich.console import Console

from tests.bench import report
from tests.bench.commands import Took
from tests.bench.mapping import COLUMNS
from tests.bench.measure import Bench, Measured
from tests.bench.report import Figure, memory, ratio, seconds
from tests.bench.stage import shown, stage

REPORT = Path("reports/bench.md")
MOST_RAW, MOST_POLL, MOST_MEMORY = 5, 1.5, 250
NOTES = (
    "raw is the floor: reading the CSV of Bulk 2.0 jobs to nowhere, from creating both jobs on, and COPY of "
    "it into unlogged tables of text.",
    "plain and ours are commands from start to end: interpreter, imports, the org's work on jobs or queries, storing.",
    "The packages are those that no command of ours can do without: what a poll by command takes before it begins.",
    "Ratios are of medians; peak memory is that of our process, without PostgreSQL.",
)
console = Console(highlight=False)


def main() -> int:
    """Measure, print the table and write the report."""
    options = _options()
    measured = Measured()
    with tempfile.TemporaryDirectory(prefix="connector-bench-") as folder, shown(console) as step:
        step(f"fill an org with {options.leads:,} Leads and {options.contacts:,} Contacts")
        with stage(Path(folder), leads=options.leads, contacts=options.contacts) as on:
            Bench(on, measured, step).run(options.rounds, options.polls, options.changed)
    figures = _figures(measured, options.changed)
    title = f"Benchmark: {measured.rows:,} rows, {COLUMNS} columns each, {measured.size / 1e6:.0f} MB of CSV"
    report.show(console, title, figures)
    report.write(REPORT, title, figures, [*NOTES, *measured.wrong[: report.MOST_EXAMPLES]])
    console.print(f"Written to {REPORT}")
    return 0 if all(figure.met is not False for figure in figures) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--leads", type=int, default=100_000)
    parser.add_argument("--contacts", type=int, default=100_000)
    parser.add_argument("--changed", type=int, default=1000, help="rows that change before a poll")
    parser.add_argument("--rounds", type=int, default=2, help="times everything is loaded")
    parser.add_argument("--polls", type=int, default=3, help="times rows change and are polled")
    return parser.parse_args()


def _figures(of: Measured, changed: int) -> list[Figure]:
    raw, ours, plain = median(of.raw), _median(of.ours), _median(of.plain)
    our_poll, plain_poll = _median(of.our_poll), _median(of.plain_poll)
    return [
        Figure("raw: read", seconds(of.read)),
        Figure("raw: COPY", seconds(of.copy)),
        Figure("plain: load", _seconds(of.plain)),
        Figure("ours: load, people included", _seconds(of.ours)),
        ratio("ours / raw", ours / raw, MOST_RAW),
        ratio("ours / plain", ours / plain, 1),
        memory("ours: peak memory", max(took.peak for took in of.ours), MOST_MEMORY),
        Figure(f"plain: poll of {changed:,} changes", _seconds(of.plain_poll)),
        Figure(f"ours: poll of {changed:,} changes", _seconds(of.our_poll)),
        ratio("ours / plain, poll", our_poll / plain_poll, MOST_POLL),
        Figure("start and imports of the packages alone", _seconds(of.imports)),
        Figure("ours: the same poll in a running worker", seconds(of.warm_poll)),
        Figure("ours in a running worker / plain", f"{median(of.warm_poll) / plain_poll:.2f}"),
        Figure("values that differ", f"{len(of.wrong):,} of {of.compared:,}", "0", not of.wrong and of.compared > 0),
    ]


def _median(took: list[Took]) -> float:
    return median(one.seconds for one in took)


def _seconds(took: list[Took]) -> str:
    return seconds([one.seconds for one in took])


if __name__ == "__main__":
    sys.exit(main())
