"""Documents made of several queries, in the shapes of the public contract."""

from typing import Any

from sqlmodel import Session

from cdp import queries
from connector.states import LIVING


def status(session: Session, api_share: float, source_id: int | None = None) -> dict[str, Any]:
    """Return the status document: every source, or one, with its objects and latest runs, and the totals."""
    totals = queries.totals(session)
    objects = queries.objects(session)
    return {
        "sources": [
            _source(session, source, objects, api_share)
            for source in queries.sources(session)
            if source_id in (None, source["source_id"])
        ],
        "people": totals["people"],
        "records": totals["records"],
        "activities": {},
        "unassociated_opportunities": 0,
    }


def _source(session: Session, source: queries.Row, objects: list[queries.Row], api_share: float) -> dict[str, Any]:
    return {
        "source_id": source["source_id"],
        "name": source["name"],
        "org_id": source["org_id"],
        "state": _state(source),
        "updating": source["updating"],
        "waits_until": source["waits_until"],
        "attention": source["attention"],
        "objects": {
            one["object"]: {key: value for key, value in one.items() if key not in ("source_id", "object")}
            for one in objects
            if one["source_id"] == source["source_id"]
        },
        "api": {"used": source["api_used"], "limit": source["api_limit"], "share": api_share},
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
    if source["state"] == "connected" and source["fresh"] and source["running"]:
        return "syncing"
    return str(source["state"])
