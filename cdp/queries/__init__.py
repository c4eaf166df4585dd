"""The one door out: every number and every profile that anyone shows is a named query here."""

from cdp.queries.access import accounts, audit
from cdp.queries.fleet import (
    full_read_calls,
    healed,
    log,
    objects,
    people_by_source,
    run,
    runs,
    sources,
    totals,
    usual_rate,
)
from cdp.queries.glance import calls_by_kind, days, glance, quarantined
from cdp.queries.judged import decisions, dossier, events
from cdp.queries.persons import people, person, resolve_person, why, widest_person
from cdp.queries.reasons import blocked_keys, bonds, find_records, named, standings, why_not
from cdp.queries.search import search_people
from cdp.queries.stored import records, stamped_after, trace
from cdp.queries.stream import Row
from cdp.queries.waiting import overdue, waiting

__all__ = [
    "Row",
    "accounts",
    "audit",
    "blocked_keys",
    "bonds",
    "calls_by_kind",
    "days",
    "decisions",
    "dossier",
    "events",
    "find_records",
    "full_read_calls",
    "glance",
    "healed",
    "log",
    "named",
    "objects",
    "overdue",
    "people",
    "people_by_source",
    "person",
    "quarantined",
    "records",
    "resolve_person",
    "run",
    "runs",
    "search_people",
    "sources",
    "stamped_after",
    "standings",
    "totals",
    "trace",
    "usual_rate",
    "waiting",
    "why",
    "why_not",
    "widest_person",
]
