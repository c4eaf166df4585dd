"""REST resources that describe the org: versions, resource list, describe with its cache headers, limits."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime

from starlette.responses import Response

from .describe import describe_global, describe_object
from .errors import ApiError
from .wire import NEWEST, OLDEST, Call, data_route, open_route, reply

SEASONS = ("Spring", "Summer", "Winter")
RESOURCES = ("sobjects", "query", "queryAll", "limits", "jobs", "identity")
ALLOWANCES = {
    "ConcurrentAsyncGetReportInstances": 200,
    "DailyBulkApiBatches": 15_000,
    "DailyBulkV2QueryFileStorageMB": 976_562,
    "DataStorageMB": 1_024,
    "FileStorageMB": 1_024,
}


def versions(_call: Call) -> Response:
    """`GET /services/data`: the versions still served, oldest first; no session needed."""
    return reply([_version(number) for number in range(OLDEST, NEWEST + 1)])


def resources(call: Call) -> Response:
    """`GET /services/data/vNN.N`: resource names and their paths."""
    return reply({name: f"/services/data/v{call.version}/{name}" for name in RESOURCES})


def all_objects(call: Call) -> Response:
    """`GET …/sobjects`."""
    return _cached(call, "", describe_global(call.instance.org, call.version))


def one_object(call: Call) -> Response:
    """`GET …/sobjects/X/describe`."""
    document = describe_object(call.instance.org, call.params["object"], call.version)
    if not call.signed_in.user.can_write:
        document |= dict.fromkeys(("createable", "updateable", "deletable", "mergeable", "undeletable"), False)
    return _cached(call, document["name"], document)


def limits(call: Call) -> Response:
    """`GET …/limits`: allowances and what is left of them; for users who may view the set-up."""
    if not call.signed_in.user.can_view_setup:
        raise ApiError("INSUFFICIENT_ACCESS", "insufficient access rights on limits", status=403)
    instance = call.instance
    left = {name: _left(allowed, 0) for name, allowed in ALLOWANCES.items()}
    left["DailyBulkV2QueryJobs"] = _left(instance.settings.daily_bulk_jobs, instance.jobs.created_today())
    left["DailyApiRequests"] = _left(instance.settings.daily_api_limit, instance.usage.used())
    return reply(dict(sorted(left.items())))


def record_count(call: Call) -> Response:
    """`GET …/limits/recordCount?sObjects=A,B`: rows per object; without the parameter, of all objects."""
    org = call.instance.org
    asked = [name for name in call.query.get("sObjects", "").split(",") if name]
    names = [name for name in asked if name in org.objects] if asked else list(org.objects)
    return reply({"sObjects": [{"count": org.count(name), "name": name} for name in names]})


def _left(most: int, used: int) -> dict[str, int]:
    return {"Max": most, "Remaining": max(most - used, 0)}


def _version(number: int) -> dict[str, str]:
    label = f"{SEASONS[number % 3]} '{(number + 13) // 3}"
    return {"label": label, "url": f"/services/data/v{number}.0", "version": f"{number}.0"}


def _cached(call: Call, name: str, document: object) -> Response:
    body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
    changed_at = call.instance.described_at(f"{call.version}/{name}", tag)
    headers = {"ETag": tag, "Last-Modified": format_datetime(changed_at, usegmt=True)}
    if call.headers.get("if-none-match") == tag or _not_modified(call, changed_at):
        return Response(b"", 304, headers)
    return Response(body, 200, headers, media_type="application/json;charset=UTF-8")


def _not_modified(call: Call, changed_at: datetime) -> bool:
    since = call.headers.get("if-modified-since")
    if since is None:
        return False
    try:
        return changed_at - parsedate_to_datetime(since) <= timedelta(0)
    except (ValueError, TypeError):
        return False


ROUTES = [
    open_route("/services/data", versions),
    data_route("", resources),
    data_route("/sobjects", all_objects),
    data_route("/sobjects/{object}/describe", one_object),
    data_route("/limits", limits),
    data_route("/limits/recordCount", record_count),
]
