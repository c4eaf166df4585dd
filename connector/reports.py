"""Documents made of several queries, in the shapes of the public contract."""

from datetime import UTC, datetime
from typing import Any

from sqlmodel import Session

from cdp import queries
from connector import freshness, lanes, permits
from connector.schedules import Schedule
from connector.settings import Settings
from connector.states import LIVING


def status(session: Session, settings: Settings, source_id: int | None = None) -> dict[str, Any]:
    """Return the status document: every source, or one, with its objects and latest runs, and the totals."""
    totals = queries.totals(session)
    objects = queries.objects(session)
    return {
        "sources": [
            _with_details(session, source, objects)
            for source in sources(session, settings)
            if source_id in (None, source["source_id"])
        ],
        "unclaimed": lanes.unclaimed(session),
        "people": totals["people"],
        "records": totals["records"],
        "activities": queries.activities_by_kind(session),
        "unassociated_opportunities": len(queries.unassociated_opportunities(session)),
    }


def sources(session: Session, settings: Settings) -> list[dict[str, Any]]:
    """Return how each source stands, without its objects and runs: cheap, however much is stored."""
    glances = {one["source_id"]: one for one in queries.glance(session, freshness.unread(session))}
    forecasts = permits.forecasts(session, settings.api_share)
    return [
        _source(source, glances[source["source_id"]], settings, forecasts.get(source["source_id"]))
        for source in queries.sources(session)
    ]


def _source(source: queries.Row, glance: queries.Row, settings: Settings, forecast: str | None) -> dict[str, Any]:
    return {
        "source_id": source["source_id"],
        "name": source["name"],
        "org_id": source["org_id"],
        "state": _state(source),
        "updating": source["updating"],
        "waits_until": source["waits_until"],
        "attention": source["attention"],
        "freshness": _freshness(source, glance, settings),
        "schedule": schedule(source, settings),
        "today": {"read": int(glance["read_today"]), "written": int(glance["written_today"])},
        "findings": glance["findings"],
        "quarantined": glance["quarantined"],
        "api": {
            "used": source["api_used"],
            "limit": source["api_limit"],
            "share": settings.api_share,
            "forecast": forecast,
        },
    }


def _freshness(source: queries.Row, glance: queries.Row, settings: Settings) -> dict[str, Any]:
    """How far all objects that are read are read, against the promise."""
    read_to = None if glance["unread"] else glance["read_to"]
    age = (datetime.now(UTC) - read_to).total_seconds() if read_to else None
    promise = _schedule(source, settings).freshness
    late = freshness.is_late(source["state"], read_to, promise)
    return {"read_to": read_to, "age": age, "promise": promise.total_seconds(), "late": late}


def _schedule(source: queries.Row, settings: Settings) -> Schedule:
    return Schedule.of(settings, source["org_id"], source["poll_interval"], source["sweep_hour"])


def schedule(source: queries.Row, settings: Settings) -> dict[str, Any]:
    """Return how often a source is read, in seconds, its hour of sweeps in UTC, and when either is due next."""
    found = _schedule(source, settings)
    return {
        "interval": found.interval,
        "jitter": round(found.interval * found.jitter * found.place),
        "sweep_interval": found.sweep_interval,
        "sweep_hour": found.sweep_hour,
        "own": source["poll_interval"] is not None or source["sweep_hour"] is not None,
        "next_poll_at": source["next_poll_at"],
        "next_sweep_at": source["next_sweep_at"],
    }


def _with_details(session: Session, source: dict[str, Any], objects: list[queries.Row]) -> dict[str, Any]:
    return {
        **source,
        "objects": {
            one["object"]: {key: value for key, value in one.items() if key not in ("source_id", "object")}
            for one in objects
            if one["source_id"] == source["source_id"]
        },
        "runs": queries.runs(session, source["source_id"]),
    }


def _state(source: queries.Row) -> str:
    """The state shown: what the source is, or that its first sync is under way, or that a person is needed."""
    if source["state"] not in LIVING:
        return str(source["state"])
    if source["attention"]:
        return "needs attention"
    if source["waits_until"]:
        return "waiting for quota"
    if source["state"] == "connected" and source["syncing"]:
        return "syncing"
    return str(source["state"])
