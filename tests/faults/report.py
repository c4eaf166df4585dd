"""The table of faults as Markdown."""

from collections.abc import Iterable, Sequence

from tests.faults.matrix import Result
from tests.faults.rows import FAULTS

HEAD = (
    "fault",
    "seed",
    "versions in Salesforce",
    "rows stored",
    "missing",
    "stale",
    "phantom",
    "duplicate",
    "people that differ",
    "seconds to recover",
    "API calls",
)
INTRODUCTION = """# Faults

Each row of the table is one fault, played against a simulated org over TLS and a real PostgreSQL. People work in the
org all the while: they create, edit, delete, undelete, merge, convert and swap addresses. When the trouble is over,
polls go on until nothing changes; then every record is held against the org's own rows, and people against the oracle
of the tests, which computes them from the written rules alone. No sweep is run, except in F20, where the resync after
the outage asks for one, in F21, where it is the brake of the sweep that is tried, and in F24, since the change of a
parent moves no stamp of its children.

Missing: live in Salesforce, not here. Stale: live in both, with other values. Phantom: live here, not in Salesforce.
Seconds run from the end of the trouble to quiet. The table is generated:

    python -m tests.faults --seeds 3

`make test` plays each fault once, in a shorter form of F18 (4,000 rows); `FAULT_SEEDS=3 pytest tests/faults` plays the
three seeds and the large sweep as tests.
"""
BUGS = """## What each row does, and the bug it was seen red with

Each bug was put back into a copy of the product, and its row failed.
"""
SWEEP = """## A sweep of many records

{rows:,} records were read; 13 were then removed from the database, 12 aged by a day with other values, and 12 invented.
The sweep named exactly those 37: {swept}.
"""


def cells(result: Result) -> tuple[str, ...]:
    """The result as a row of the table."""
    wrong = result.wrong
    kinds = (wrong.missing, wrong.stale, wrong.phantom, wrong.duplicate, wrong.people)
    counts = (result.in_salesforce, result.stored, *map(len, kinds))
    seconds = f"{result.seconds:.1f}"
    return result.fault, str(result.seed), *(f"{count:,}" for count in counts), seconds, f"{result.calls:,}"


def line(result: Result) -> str:
    """The result in one line of text."""
    return " · ".join(f"{name} {cell}" for name, cell in zip(HEAD, cells(result), strict=True))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)) + "\n"


def page(results: Sequence[Result], swept: str | None, rows: int) -> str:
    """The whole page."""
    described = table(("fault", "what goes wrong", "bug"), ((one.name, one.what, one.bug) for one in FAULTS))
    parts = [INTRODUCTION, table(HEAD, map(cells, results)), BUGS, described]
    return "\n".join(parts + ([SWEEP.format(rows=rows, swept=swept)] if swept else []))
