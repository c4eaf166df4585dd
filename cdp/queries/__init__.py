"""The one door out: every number and every profile that anyone shows is a named query here."""

from cdp.queries.access import accounts, audit
from cdp.queries.activities import (
    activities,
    activities_by_day,
    activities_by_kind,
    deeds,
    recent_activities,
    timeline,
    unassociated_opportunities,
)
from cdp.queries.fleet import (
    full_read_calls,
    healed,
    last_sweep,
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
from cdp.queries.metering import ended_runs, lags, lease_losses, open_runs, population, rows_moved, rows_quarantined
from cdp.queries.persons import people, person, resolve_person, why, widest_person
from cdp.queries.reasons import blocked_keys, bonds, find_records, named, standings, why_not
from cdp.queries.search import search_people
from cdp.queries.stored import records, stamped_after, trace, trace_plain
from cdp.queries.stream import Row
from cdp.queries.waiting import overdue, waiting

__all__ = [
    "Row",
    "accounts",
    "activities",
    "activities_by_day",
    "activities_by_kind",
    "audit",
    "blocked_keys",
    "bonds",
    "calls_by_kind",
    "days",
    "decisions",
    "deeds",
    "dossier",
    "ended_runs",
    "events",
    "find_records",
    "full_read_calls",
    "glance",
    "healed",
    "lags",
    "last_sweep",
    "lease_losses",
    "log",
    "named",
    "objects",
    "open_runs",
    "overdue",
    "people",
    "people_by_source",
    "person",
    "population",
    "quarantined",
    "recent_activities",
    "records",
    "resolve_person",
    "rows_moved",
    "rows_quarantined",
    "run",
    "runs",
    "search_people",
    "sources",
    "stamped_after",
    "standings",
    "timeline",
    "totals",
    "trace",
    "trace_plain",
    "unassociated_opportunities",
    "usual_rate",
    "waiting",
    "why",
    "why_not",
    "widest_person",
]
