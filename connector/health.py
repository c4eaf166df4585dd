"""Health of a source: every check says how it stands, what was found and what to do, each in a sentence."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from sqlmodel import Session, select

from cdp import queries
from cdp.db import transaction
from cdp.models import Finding as OpenFinding
from cdp.models import Source
from connector import sources
from connector.checks import Finding, check
from connector.errors import ConnectorError, ObjectUnavailable
from connector.objects import PEOPLE
from connector.runtime import Runtime

NEAR_LIMIT = 0.9


def health(runtime: Runtime, source_id: int) -> list[Finding]:
    """Check a source: what is stored of it, and what its org answers now. Writes nothing."""
    with transaction(runtime.database_url) as database:
        source = database.get_one(Source, source_id)
        row = next(one for one in queries.sources(database) if one["source_id"] == source_id)
        found = list(_stored(runtime, database, source, row))
    return [*_state(source), *found, *_asked(runtime, source)]


def _state(source: Source) -> Iterator[Finding]:
    if source.attention:
        yield Finding(source.attention["code"], "failing", source.attention["message"], source.attention["remedy"])
    remedies = {
        "paused": f"Go on with `connector source resume '{source.name}'`.",
        "disconnected": f"Use it again with `connector source reconnect '{source.name}'`.",
        "archived": "Delete it, and connect the org anew if it is needed again.",
    }
    if source.state == "connected":
        yield Finding("state", "ok", "The source is connected.")
    else:
        yield Finding("state", "warning", f"The source is {source.state}: nothing is read.", remedies[source.state])


def _stored(runtime: Runtime, database: Session, source: Source, row: queries.Row) -> Iterator[Finding]:
    objects = queries.objects(database, source.key)
    for open_finding in database.exec(select(OpenFinding).where(OpenFinding.source_id == source.key)):
        yield Finding(open_finding.code, "warning", open_finding.message, open_finding.remedy)
    yield from _freshness(runtime, source, objects)
    for one in objects:
        yield _windows(one)
        yield _quarantine(source, one)
    yield _budget(runtime, row)
    yield _sweep(runtime, source)


def _freshness(runtime: Runtime, source: Source, objects: list[queries.Row]) -> Iterator[Finding]:
    if not objects:
        remedy = f"Run `connector sync '{source.name}'`, and see that `connector worker` and `connector beat` run."
        yield Finding("freshness", "failing", "Nothing was read yet: no records are imported.", remedy)
    for one in objects:
        name = f"freshness_{one['object'].lower()}"
        if one["cursor"] is None:
            words = f"The first read of {one['object']} has not ended yet."
            yield Finding(name, "warning", words, "Wait, or see `connector log`.")
        elif (late := datetime.now(UTC) - one["cursor"]) > runtime.settings.freshness:
            minutes = int(late.total_seconds() // 60)
            remedy = "See `connector log`, and that a worker and a beat run and reach the database and Redis."
            yield Finding(name, "failing", f"{one['object']} was last read completely {minutes} minutes ago.", remedy)
        else:
            yield Finding(name, "ok", f"{one['object']} is read up to {one['cursor']:%Y-%m-%d %H:%M} UTC.")


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


def _budget(runtime: Runtime, row: queries.Row) -> Finding:
    if row["api_limit"] is None:
        return Finding("api_budget", "ok", "The org has not said yet how many API calls it has.")
    allowed = row["api_limit"] * runtime.settings.api_share
    words = f"The org has used {row['api_used']:,} of its {row['api_limit']:,} API calls; work stops at {allowed:,.0f}."
    if row["api_used"] < NEAR_LIMIT * allowed:
        return Finding("api_budget", "ok", words)
    remedy = "Find what else calls the API, poll less often, or raise CONNECTOR_API_SHARE."
    return Finding("api_budget", "warning" if row["api_used"] < allowed else "failing", words, remedy)


def _sweep(runtime: Runtime, source: Source) -> Finding:
    due = source.next_sweep_at or source.created_at + timedelta(seconds=runtime.settings.sweep_interval)
    if datetime.now(UTC) < due + timedelta(seconds=runtime.settings.sweep_interval):
        return Finding("sweep", "ok", f"The next comparison with Salesforce is due at {due:%Y-%m-%d %H:%M} UTC.")
    remedy = f"Run `connector sweep '{source.name}'`, and see that a worker and a beat run."
    return Finding("sweep", "warning", f"The comparison with Salesforce was due at {due:%Y-%m-%d %H:%M} UTC.", remedy)


def _asked(runtime: Runtime, source: Source) -> list[Finding]:
    """Ask the org itself: credentials, versions, objects, rights."""
    if source.state not in ("connected", "paused"):
        return []
    try:
        client = sources.open_org(runtime, source.key)
        described = {name: found for name in PEOPLE if (found := _describe(client.describe, name)) is not None}
        works = Finding("credentials", "ok", "The credentials work.")
        return [works, *check(client, described), *_hints(source)]
    except ConnectorError as error:
        remedy = getattr(error, "remedy", "") or "See that the org can be reached, and try again."
        return [Finding("credentials", "failing", getattr(error, "message", str(error)), remedy)]


def _describe(describe: Callable[[str], dict[str, object]], name: str) -> dict[str, object] | None:
    try:
        return describe(name)
    except ObjectUnavailable:
        return None


def _hints(source: Source) -> Iterator[Finding]:
    if source.login_url in ("https://login.salesforce.com", "https://test.salesforce.com"):
        yield Finding(
            "login_host",
            "warning",
            f"The source logs in at {source.login_url}, which an admin may close to API logins.",
            "Reconnect it at the org's own My Domain address.",
        )
