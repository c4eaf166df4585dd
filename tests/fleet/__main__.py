"""`python -m tests.fleet`: plays every fault of the fleet with several seeds and writes the table."""

import argparse
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from rich.console import Console

from tests.faults import report
from tests.faults.matrix import Result
from tests.fleet.matrix import play_long
from tests.fleet.rows import FAULTS

REPORT = Path("docs/fleet-faults.md")
INTRODUCTION = """# Faults of the fleet

Each row is one fault, played on real worker and beat processes, a real PostgreSQL, a real Redis and simulated orgs over
TLS. People work in the org all the while. So that a table takes minutes and not hours, the processes have short times:
a lease of 4 seconds, a tick each second. When the trouble is over, nobody lends a hand; the fleet polls on until
nothing changes, and then every record and every person is held against the org's own rows as in [faults.md](faults.md).

Missing is what was lost; duplicate is what was doubled. Seconds run from the end of the trouble to rest, the polls that
show it included; the longest recovery was **{longest:.1f} seconds**. The table is generated:

    python -m tests.fleet --seeds 3

`make test` plays each fault once, for a few seconds.
"""
BUGS = """## What each row does, and the bug it was seen red with

Each bug was put back into a copy of the product, and its row failed.
"""
console = Console(highlight=False)


def main() -> int:
    """Play, print and write."""
    parser = argparse.ArgumentParser(prog="python -m tests.fleet", description=__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="times each fault is played")
    parser.add_argument("--only", help="play this fault alone and write nothing")
    parser.add_argument("--at-once", type=int, default=2, help="faults played at a time, each on services of its own")
    options = parser.parse_args()
    chosen = [fault for fault in FAULTS if options.only in (None, fault.name)]
    plays = [(fault, seed) for fault in chosen for seed in range(options.seeds)]
    results = []
    with ProcessPoolExecutor(options.at_once, multiprocessing.get_context("spawn")) as pool:
        for play in [pool.submit(play_long, *one) for one in plays]:
            try:
                results.append(play.result())
                console.print(report.line(results[-1]))
            except AssertionError as error:  # the others go on: a table takes a quarter of an hour
                console.print(f"[bold red]not played to the end[/]: {error}")
    if len(results) < len(plays):
        return 1
    if not options.only:
        REPORT.write_text(_page(results), encoding="utf-8")
        console.print(f"Written to {REPORT}")
    return 0 if all(result.good for result in results) else 1


def _page(results: list[Result]) -> str:
    described = report.table(("fault", "what goes wrong", "bug"), ((one.name, one.what, one.bug) for one in FAULTS))
    longest = max(result.seconds for result in results)
    return "\n".join(
        [INTRODUCTION.format(longest=longest), report.table(report.HEAD, map(report.cells, results)), BUGS, described]
    )


if __name__ == "__main__":
    sys.exit(main())
