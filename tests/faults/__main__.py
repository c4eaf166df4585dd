"""`python -m tests.faults`: plays every fault with several seeds and writes the table; ends with 1 when one is red."""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import stamina
import structlog
from rich.console import Console

from connector import embedded, schema
from tests.conftest import database_from
from tests.faults import report
from tests.faults.matrix import Result, play
from tests.faults.rows import FAULTS, LONG, Fault
from tests.faults.scene import opened
from tests.faults.sweeping import fill, sweep

REPORT = Path("docs/faults.md")
SWEPT_ROWS = 200_000
console = Console(highlight=False)


def main() -> int:
    """Play, print and write."""
    options = _options()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    stamina.set_testing(True, attempts=100, cap=True)
    with tempfile.TemporaryDirectory(prefix="connector-faults-") as folder:
        server = embedded.services(Path(folder) / "home", redis=False).database_url
        results = list(_play_all(server, Path(folder), options.seeds, options.only))
        swept = None if options.only else _sweep(server, Path(folder), options.rows)
    if not options.only:
        REPORT.write_text(report.page(results, swept, options.rows), encoding="utf-8")
        console.print(f"Written to {REPORT}")
    return 0 if all(result.good for result in results) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="times each fault is played")
    parser.add_argument("--rows", type=int, default=SWEPT_ROWS, help="records of the large sweep")
    parser.add_argument("--only", help="play this fault alone and write nothing")
    return parser.parse_args()


def _play_all(server: str, folder: Path, seeds: int, only: str | None) -> Iterator[Result]:
    for fault in (one for one in FAULTS if only in (None, one.name)):
        long = replace(fault, play=LONG.get(fault.name, fault.play)) if seeds > 1 else fault
        for seed in range(seeds):
            yield _play(long, seed, server, folder)


def _play(fault: Fault, seed: int, server: str, folder: Path) -> Result:
    with database_from("template0", server) as url:
        schema.migrate(url)
        result = play(fault, seed, url, folder)
    console.print(report.line(result))
    return result


def _sweep(server: str, folder: Path, rows: int) -> str:
    with database_from("template0", server) as url:
        schema.migrate(url)
        with opened(url, folder) as scene:
            fill(scene, rows)
            swept = sweep(scene)
    console.print(f"sweep of {rows:,} records: {swept}")
    assert swept.healed == swept.tampered, swept
    return str(swept)


if __name__ == "__main__":
    sys.exit(main())
