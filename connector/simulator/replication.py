"""The replication resources: ids updated and deleted in a stretch of time."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TypeVar

from starlette.responses import Response

from .errors import ApiError, not_found
from .wire import Call, data_route, reply

UPDATED_BACK = timedelta(days=30)
DELETED_BACK = timedelta(days=15)
MOST_IDS = 600_000
Entry = TypeVar("Entry")


def updated(call: Call) -> Response:
    """`GET …/sobjects/X/updated?start&end`: ids changed, by SystemModstamp; start at most 30 days back."""
    start, end = _stretch(call, UPDATED_BACK)
    ids = call.instance.org.updated_ids(_object(call), start, end)
    return reply({"ids": _limited(ids), "latestDateCovered": _covered(call, end)})


def deleted(call: Call) -> Response:
    """`GET …/sobjects/X/deleted?start&end`: ids deleted and when; start at most 15 days back."""
    start, end = _stretch(call, DELETED_BACK)
    org = call.instance.org
    entries = _limited(org.deleted_log(_object(call), start, end))
    return reply(
        {
            "deletedRecords": [{"id": record_id, "deletedDate": _stamp(at)} for record_id, at in entries],
            "earliestDateAvailable": _stamp(org.earliest_date_available()),
            "latestDateCovered": _covered(call, end),
        }
    )


def _object(call: Call) -> str:
    kind = call.instance.org.catalog.find(call.params["object"])
    if kind is None:
        raise not_found()
    if "replicateable" not in kind.flags:
        raise ApiError("INVALID_TYPE", f"object type '{kind.name}' is not replicateable")
    return kind.name


def _stretch(call: Call, back: timedelta) -> tuple[datetime, datetime]:
    start, end = _moment(call, "start"), _moment(call, "end")
    if end - start <= timedelta(minutes=1):
        raise ApiError("INVALID_REPLICATION_DATE", "startDate must be more than one minute before endDate")
    if start < call.instance.org.clock.now() - back:
        raise ApiError("INVALID_REPLICATION_DATE", f"startDate cannot be more than {back.days} days ago")
    return start.replace(second=0, microsecond=0), end.replace(second=0, microsecond=0)


def _moment(call: Call, name: str) -> datetime:
    text = call.query.get(name, "")
    try:
        # An unescaped plus sign of an offset arrives as a space.
        moment = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ApiError("INVALID_REPLICATION_DATE", f"{name} is not a date and time with a zone: {text}")
    return moment


def _limited(entries: list[Entry]) -> list[Entry]:
    if len(entries) > MOST_IDS:
        raise ApiError("EXCEEDED_ID_LIMIT", f"more than {MOST_IDS} ids in this period")
    return entries


def _covered(call: Call, end: datetime) -> str:
    return _stamp(min(end, call.instance.org.latest_date_covered()))


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000+0000")


ROUTES = [
    data_route("/sobjects/{object}/updated", updated),
    data_route("/sobjects/{object}/deleted", deleted),
]
