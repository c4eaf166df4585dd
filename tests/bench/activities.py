"""`python -m tests.bench.activities`: an org with many members and deals, read whole and polled, against the floor.

The floor is that of `make bench`: reading the Bulk 2.0 CSV of the same rows to nowhere, and COPY of it into unlogged
tables.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from rich.console import Console

from connector import transform
from connector.objects import OBJECTS, PEOPLE
from connector.transform import field_types
from tests.bench import commands, report
from tests.bench.commands import Took
from tests.bench.edits import QUIET
from tests.bench.mapping import connect, plan
from tests.bench.measure import counted
from tests.bench.raw import Columns, Floor, floor
from tests.bench.report import Figure, memory, seconds
from tests.bench.stage import Org, Stage, shown, stage

REPORT = Path("reports/activities.md")
MEMBERS_EACH = 100
MOST_MEMORY = 250
NOTES = (
    "raw is the floor: reading the CSV of Bulk 2.0 jobs of all objects to nowhere, COPY of it into unlogged tables.",
    "ours is `connector sync --here` from start to end: rows of all objects, activities and people.",
)
console = Console(highlight=False)


@dataclass
class Measured:
    """Seconds of each round, and what ours took."""

    raw: list[float] = field(default_factory=list)
    ours: list[Took] = field(default_factory=list)
    polls: list[Took] = field(default_factory=list)
    warm: list[float] = field(default_factory=list)


def main() -> int:
    """Measure, print the table and write the report."""
    options = _options()
    rows = {"leads": options.people // 2, "contacts": options.people // 2, "opportunities": options.opportunities}
    rows["campaigns"] = options.members // MEMBERS_EACH
    measured = Measured()
    with tempfile.TemporaryDirectory(prefix="connector-bench-") as folder, shown(console) as step:
        step(f"fill an org with {options.members:,} members and {options.opportunities:,} opportunities")
        with stage(Path(folder), **rows) as on:
            counts = counted(on, OBJECTS)
            _measure(on, measured, step, options)
    title = f"Activities: {sum(counts.values()):,} rows, {counts['CampaignMember']:,} of them campaign members"
    figures = _figures(measured, options.changed)
    report.show(console, title, figures)
    report.write(REPORT, title, figures, [*NOTES, ", ".join(f"{name} {count:,}" for name, count in counts.items())])
    console.print(f"Written to {REPORT}")
    return 0 if all(figure.met is not False for figure in figures) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.activities", description=__doc__)
    parser.add_argument("--members", type=int, default=500_000)
    parser.add_argument("--opportunities", type=int, default=50_000)
    parser.add_argument("--people", type=int, default=20_000, help="Leads and Contacts, half each")
    parser.add_argument("--changed", type=int, default=1000, help="members whose status changes before a poll")
    parser.add_argument("--polls", type=int, default=3)
    return parser.parse_args()


def _measure(on: Stage, measured: Measured, step: Callable[[str], None], options: argparse.Namespace) -> None:
    step("prepare the floor")
    base = floor(on, _columns(on.org))
    with on.database("ours") as url:
        connect(on, url)
        measured.raw.append(_floor(on, base, step))
        step("ours")
        measured.ours.append(commands.ours(on, url))
        measured.raw.append(_floor(on, base, step))
        ids = _some_members(on.org, options.changed)
        with commands.worker(on, url) as warm:
            for number in range(options.polls):
                step(f"change {len(ids):,} members, poll {number + 1}")
                _change(on.org, ids, f"Wave {number}")
                measured.polls.append(commands.ours(on, url))
                _change(on.org, ids, f"Wave {number}, again")
                measured.warm.append(warm())


def _columns(org: Org) -> Columns:
    """Return what our connector reads of each object."""
    return {
        name: (
            plan(org, name) if name in PEOPLE else transform.activity_plan(one, field_types(org.describe(name)))
        ).fields
        for name, one in OBJECTS.items()
    }


def _floor(on: Stage, base: Floor, step: Callable[[str], None]) -> float:
    step("floor")
    with on.database("floor") as url:
        return base.read() + base.copy(url)


def _some_members(org: Org, count: int) -> Sequence[str]:
    first_page = org.http.get(f"{org.data_url}query", params={"q": "SELECT Id FROM CampaignMember"}).json()
    return [row["Id"] for row in first_page["records"][:count]]


def _change(org: Org, ids: Sequence[str], status: str) -> None:
    """Give members a status, after so long that no poll reads again for safety what another has changed."""
    org.control.advance(QUIET)
    for record_id in ids:
        org.control.edit("update", "CampaignMember", record_id, {"Status": status})


def _figures(of: Measured, changed: int) -> list[Figure]:
    raw, ours = median(of.raw), median(took.seconds for took in of.ours)
    return [
        Figure("raw: read and COPY", seconds(of.raw)),
        Figure("ours: first read, people and activities included", seconds([took.seconds for took in of.ours])),
        Figure("ours / raw", f"{ours / raw:.2f}"),
        memory("ours: peak memory", max(took.peak for took in of.ours), MOST_MEMORY),
        Figure(f"ours: poll of {changed:,} changed members", seconds([took.seconds for took in of.polls])),
        Figure("ours: the same poll in a running worker", seconds(of.warm)),
    ]


if __name__ == "__main__":
    sys.exit(main())
