"""What the database tells of a source: what needs attention, whether records come in, how fresh and whole they are."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlmodel import Session, select

from cdp import queries
from cdp.models import ApiBudget, Source
from cdp.models import Finding as OpenFinding
from connector import diagnosis, freshness, lanes, permits, sources
from connector.checks import Finding
from connector.objects import PEOPLE
from connector.runtime import Runtime
from connector.states import LIVING

NEAR_LIMIT = 0.9
MOST_NAMED = 10
MOST_LISTED = 1000
SWEEP_STALE = timedelta(days=2)
ENDED_WELL = ("succeeded", "incomplete")
HOW_ENDED = {
    "succeeded": "succeeded",
    "incomplete": "succeeded, but for rows in quarantine,",
    "failed": "failed",
    "cancelled": "was cancelled",
}
START = "See that `connector worker` and `connector beat` run, and reach the database and Redis."
# State of the latest run, None if there was none → why there are no records yet, what to do.
UNDER_WAY = {
    None: ("no run has begun since it was connected", START),
    "queued": ("no worker has taken up the run that waits", START),
    "running": ("the first read is under way", "Wait, and follow it with `connector status`."),
    "waiting": ("the org's share of API calls is used up", "Wait, or raise CONNECTOR_API_SHARE."),
}
REMEDIES = {
    "paused": "Go on with `connector source resume '{}'`.",
    "disconnected": "Use it again with `connector source reconnect '{}'`.",
    "archived": "Delete it, and connect the org anew if it is needed again.",
    "deleting": "See that a worker runs, or finish with `connector source delete '{}'`.",
}


@dataclass(frozen=True)
class Unassociated(Finding):
    """A finding with the opportunities it is about, the newest first: `record_id` and `name` of at most MOST_LISTED."""

    opportunities: tuple[queries.Row, ...] = ()


def stored(runtime: Runtime, database: Session, source: Source) -> Iterator[Finding]:
    """Check what is stored of a source."""
    row = next(one for one in queries.sources(database) if one["source_id"] == source.key)
    objects = queries.objects(database, source.key)
    runs = queries.runs(database, source.key, limit=100)
    yield from _attention(source, runs)
    yield _state(source)
    for held in database.exec(select(OpenFinding).where(OpenFinding.source_id == source.key)):
        yield Finding(held.code, "warning", held.message, held.remedy)
    if source.state in LIVING:
        yield _importing(source, objects, runs)
        yield from _freshness(source, objects, freshness.unread(database), sources.schedule(runtime, source).freshness)
        yield _sweep(runtime, database, source)
    for one in objects:
        yield _windows(one)
        yield _quarantine(source, one)
    yield _budget(runtime, database, row)
    yield _queue(database)
    yield _opportunities(queries.unassociated_opportunities(database, source.key))


def _attention(source: Source, runs: list[queries.Row]) -> Iterator[Finding]:
    """What needs attention, and what it must come from."""
    if source.attention is None:
        return
    worked_at = max((run["ended_at"] for run in runs if run["state"] in ENDED_WELL), default=None)
    why = diagnosis.sudden(source.attention["code"], worked_at, datetime.now(UTC))
    words = " ".join(filter(None, (source.attention["message"], why)))
    yield Finding(source.attention["code"], "failing", words, source.attention["remedy"])


def _state(source: Source) -> Finding:
    if source.state == "connected":
        return Finding("state", "ok", "The source is connected.")
    remedy = REMEDIES[source.state].format(source.name)
    return Finding("state", "warning", f"The source is {source.state}: nothing is read.", remedy)


def _importing(source: Source, objects: list[queries.Row], runs: list[queries.Row]) -> Finding:
    """Whether records come in; if there are none, why."""
    imported = sum(one["records"] for one in objects if one["object"] in PEOPLE)
    if imported:
        return Finding("importing", "ok", f"{imported:,} records are imported.")
    cause, remedy = _why_none(source, objects, runs)
    return Finding("importing", "failing", f"No records are imported: {cause}.", remedy)


def _why_none(source: Source, objects: list[queries.Row], runs: list[queries.Row]) -> tuple[str, str]:
    if source.attention:
        return "the source needs attention", source.attention["remedy"]
    latest = runs[0] if runs else {"state": None}
    if latest["state"] == "failed":
        return _why_failed(latest)
    if latest["state"] in UNDER_WAY:
        return UNDER_WAY[latest["state"]]
    if any(one["quarantined"] for one in objects):
        return "no row could be stored, all are in quarantine", "Mend the values that `connector trace` names."
    return "the login sees none, or the filter selects none", "See the checks of the filter below."


def _why_failed(run: queries.Row) -> tuple[str, str]:
    if run["error_code"] == "INVALID_SESSION_ID":
        return diagnosis.POLICY
    return (
        f"the latest run failed: {(run['error'] or 'no reason given').rstrip('.')}",
        "Mend that; the next poll tries again.",
    )


def _freshness(
    source: Source, objects: list[queries.Row], unread: freshness.Unread, promise: timedelta
) -> Iterator[Finding]:
    """How far each object is read; what is not read cannot be late, and another check tells of the remedy."""
    if not freshness.is_read(source.state):
        yield Finding("freshness", "ok", f"The source is {source.state}, so nothing is read.")
        return
    if not objects:
        remedy = f"Run `connector sync '{source.name}'`, and see that `connector worker` and `connector beat` run."
        yield Finding("freshness", "failing", "Nothing was read yet: no records are imported.", remedy)
    for one in objects:
        why = unread.get((source.key, one["object"]))
        yield Finding(_named(one), "ok", why) if why else _fresh(source, one, promise)


def _named(one: queries.Row) -> str:
    return f"freshness_{one['object'].lower()}"


def _fresh(source: Source, one: queries.Row, promise: timedelta) -> Finding:
    if one["cursor"] is None:
        words = f"The first read of {one['object']} has not ended yet."
        return Finding(_named(one), "warning", words, "Wait, or see `connector log`.")
    if not freshness.is_late(source.state, one["cursor"], promise):
        return Finding(_named(one), "ok", f"{one['object']} is read up to {one['cursor']:%Y-%m-%d %H:%M} UTC.")
    minutes = int((datetime.now(UTC) - one["cursor"]).total_seconds() // 60)
    remedy = "See `connector log`, and that a worker and a beat run and reach the database and Redis."
    return Finding(_named(one), "failing", f"{one['object']} was last read completely {minutes} minutes ago.", remedy)


def _windows(one: queries.Row) -> Finding:
    if one["windows_contiguous"]:
        return Finding(f"windows_{one['object'].lower()}", "ok", f"The windows read of {one['object']} have no gap.")
    return Finding(
        f"windows_{one['object'].lower()}",
        "failing",
        f"The windows read of {one['object']} have a gap.",
        "Run `connector sync --full`, and report it: it should never happen.",
    )


def _quarantine(source: Source, one: queries.Row) -> Finding:
    name, count = f"quarantine_{one['object'].lower()}", one["quarantined"]
    if not count:
        return Finding(name, "ok", f"No {one['object']} row is in quarantine.")
    remedy = f"Mend the values in Salesforce; `connector sweep '{source.name}'` tries them again."
    return Finding(name, "warning", f"{count:,} {one['object']} rows could not be stored.", remedy)


def _queue(database: Session) -> Finding:
    problem = lanes.unclaimed(database)
    if problem is None:
        return Finding("queue", "ok", "Due work finds a worker.")
    return Finding("queue", "warning", problem, "See that `connector worker` and `connector beat` run, or add workers.")


def _budget(runtime: Runtime, database: Session, row: queries.Row) -> Finding:
    known = database.get(ApiBudget, row["source_id"])
    if known and known.refused:
        return Finding("api_budget", "warning", permits.UNTOLD, "Give the user 'View Setup and Configuration'.")
    if row["api_limit"] is None:
        return Finding("api_budget", "ok", "The org has not said yet how many API calls it has.")
    allowed = row["api_limit"] * runtime.settings.api_share
    words = f"The org has used {row['api_used']:,} of its {row['api_limit']:,} API calls; work stops at {allowed:,.0f}."
    if row["api_used"] < NEAR_LIMIT * allowed:
        return Finding("api_budget", "ok", words)
    remedy = "Find what else calls the API, poll less often, or raise CONNECTOR_API_SHARE."
    return Finding("api_budget", "warning" if row["api_used"] < allowed else "failing", words, remedy)


def _opportunities(found: list[queries.Row]) -> Unassociated:
    if not found:
        return Unassociated("opportunities", "ok", "Every opportunity belongs to a contact, or there are none.")
    named = ", ".join(f"{one['name'] or 'unnamed'} ({one['record_id']})" for one in found[:MOST_NAMED])
    more = f" and {len(found) - MOST_NAMED:,} more" if len(found) > MOST_NAMED else ""
    return Unassociated(
        "opportunities",
        "warning",
        f"{len(found):,} opportunities belong to nobody, since they have no primary contact role: {named}{more}.",
        "In Salesforce, open the opportunity, add its contact under Contact Roles and tick Primary; the next poll "
        "gives its whole history to that person.",
        tuple({"record_id": one["record_id"], "name": one["name"]} for one in found[:MOST_LISTED]),
    )


def _sweep(runtime: Runtime, database: Session, source: Source) -> Finding:
    """How the last comparison with Salesforce ended, and when the next is due."""
    last = queries.last_sweep(database, source.key)
    due, overdue = _due(runtime, source)
    stale = last is not None and datetime.now(UTC) - (last["succeeded_at"] or source.created_at) > SWEEP_STALE
    words = f"{_ended(last)} {due}"
    if last and (last["state"] == "failed" or (last["state"] not in ENDED_WELL and stale)):
        remedy = f"See `connector log '{source.name}'`, mend that, and run `connector sweep '{source.name}'`."
        return Finding("sweep", "warning", words, remedy)
    if overdue:
        remedy = f"Run `connector sweep '{source.name}'`, see `connector log`, and that a worker and a beat run."
        return Finding("sweep", "warning", words, remedy)
    return Finding("sweep", "ok", words)


def _ended(last: queries.Row | None) -> str:
    if last is None:
        return "No comparison with Salesforce has ended yet."
    words = f"The last comparison with Salesforce {HOW_ENDED[last['state']]} at {last['ended_at']:%Y-%m-%d %H:%M} UTC"
    if last["state"] in ENDED_WELL:
        return f"{words}."
    why = f": {last['error'].rstrip('.')}" if last["error"] else ""
    good = last["succeeded_at"]
    return f"{words}{why}; " + (f"one succeeded at {good:%Y-%m-%d %H:%M} UTC." if good else "none has succeeded yet.")


def _due(runtime: Runtime, source: Source) -> tuple[str, bool]:
    """Return when the next comparison is due, in words, and whether that has long passed."""
    due = source.next_sweep_at
    if not freshness.is_read(source.state):
        return f"The source is {source.state}, so none is due.", False
    if due is None:
        return "The next is planned when the first poll has ended.", False
    patience = min(timedelta(seconds=runtime.settings.sweep_interval), SWEEP_STALE)
    if datetime.now(UTC) < due + patience:
        return f"The next is due at {due:%Y-%m-%d %H:%M} UTC.", False
    return f"The next was due at {due:%Y-%m-%d %H:%M} UTC.", True
