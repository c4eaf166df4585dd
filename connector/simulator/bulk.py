"""Bulk API 2.0 query resources."""

from __future__ import annotations

import base64
import binascii

from starlette.responses import Response, StreamingResponse

from .errors import ApiError
from .jobs import Job
from .query import check_bulk
from .results import ResultFile
from .soql.parser import parse
from .wire import Call, data_route, reply

DEFAULT_ROWS = 100_000
PAGES_AT_ONCE = 5
CHOICES = {
    "operation": ("query", "queryAll"),
    "contentType": ("CSV",),
    "columnDelimiter": ("COMMA",),
    "lineEnding": ("LF",),
}


def create(call: Call) -> Response:
    """`POST …/jobs/query`: start a job. A query that Bulk refuses is an error here, or later if the org is so set."""
    wanted = call.json()
    for name, allowed in CHOICES.items():
        if wanted.get(name, allowed[0]) not in allowed:
            raise ApiError("INVALIDJOB", f"{name} {wanted[name]!r} is not simulated; one of {', '.join(allowed)} is")
    settings = call.instance.settings
    if call.instance.jobs.created_today() >= settings.daily_bulk_jobs:
        raise ApiError("LIMIT_EXCEEDED", "The daily limit of Bulk API 2.0 query jobs is exceeded")
    soql = str(wanted.get("query", ""))
    job = call.instance.jobs.create(
        operation=wanted.get("operation", "query"),
        query=soql,
        object=_checked_object(call, soql),
        version=call.version,
        created_by=call.signed_in.user.id,
    )
    failed = call.struck_by("fail_job")
    created = reply(job.as_json())
    call.instance.jobs.run(job, delay=settings.bulk_delay_seconds, error=failed.message if failed else "")
    return created


def status(call: Call) -> Response:
    """`GET …/jobs/query/ID`."""
    return reply(_job(call).status())


def listing(call: Call) -> Response:
    """`GET …/jobs/query`: every job, newest first."""
    records = [job.status() for job in reversed(call.instance.jobs.all())]
    return reply({"done": True, "records": records, "nextRecordsUrl": None})


def abort(call: Call) -> Response:
    """`PATCH …/jobs/query/ID` with `{"state": "Aborted"}`."""
    job = _job(call)
    if call.json().get("state") != "Aborted":
        raise ApiError("INVALIDJOBSTATE", "a query job can only be set to Aborted")
    call.instance.jobs.abort(job)
    return reply(job.as_json())


def delete(call: Call) -> Response:
    """`DELETE …/jobs/query/ID`, for jobs that have ended."""
    call.instance.jobs.delete(_job(call))
    return Response(b"", 204)


def results(call: Call) -> Response:
    """`GET …/jobs/query/ID/results?maxRecords&locator`: CSV, header line on every page."""
    rows = _result(call)
    if rows is None:
        return _not_ready(call)
    start, stop = _bounds(call, rows)
    headers = {
        "Sforce-NumberOfRecords": str(stop - start),
        "Sforce-Locator": _locator(stop) if stop < rows.rows else "null",
    }
    return StreamingResponse(rows.page(start, stop), 200, headers, media_type="text/csv")


def result_pages(call: Call) -> Response:
    """`GET …/jobs/query/ID/resultPages`: the URLs of up to five pages, to be fetched in parallel."""
    rows = _result(call)
    if rows is None:
        return _not_ready(call)
    start, stop = _bounds(call, rows)
    size = max(stop - start, 1)
    starts = range(start, max(rows.rows, 1), size)
    base = f"/services/data/v{call.version}/jobs/query/{call.params['id']}"
    pages = [
        {"resultUrl": f"{base}/results?locator={_locator(offset)}&maxRecords={size}"}
        for offset in starts[:PAGES_AT_ONCE]
    ]
    done = len(starts) <= PAGES_AT_ONCE
    after = None if done else f"{base}/resultPages?locator={_locator(starts[PAGES_AT_ONCE])}&maxRecords={size}"
    return reply({"resultPages": pages, "nextRecordsUrl": after, "done": done})


def _checked_object(call: Call, soql: str) -> str:
    try:
        check_bulk(call.instance.org, soql)
    except ApiError:
        if not call.instance.settings.bulk_errors_late:
            raise
        return ""
    kind = call.instance.org.catalog.find(parse(soql).source)
    return kind.name if kind else ""


def _job(call: Call) -> Job:
    job = call.instance.jobs.get(call.params["id"])
    if job.version != call.version:
        raise ApiError("API_VERSION_MISMATCH", f"the job was created with version {job.version}", status=409)
    return job


def _result(call: Call) -> ResultFile | None:
    job = _job(call)
    if job.state in ("Failed", "Aborted"):
        raise ApiError("INVALIDJOBSTATE", f"Results of a {job.state} job do not exist")
    return job.result if job.state == "JobComplete" else None


def _not_ready(call: Call) -> Response:
    if call.instance.settings.bulk_not_ready == 204:
        return Response(b"", 204)
    raise ApiError("JOB_NOT_COMPLETE", "The job is not complete", status=412)


def _bounds(call: Call, rows: ResultFile) -> tuple[int, int]:
    """First row and end of the page that a request asks for. Raises ApiError INVALID_LOCATOR or INVALID_MAX_RECORDS."""
    text = call.query.get("locator", "")
    try:
        start = int(base64.b64decode(text + "=" * (-len(text) % 4))) if text else 0
    except (ValueError, binascii.Error) as error:
        raise ApiError("INVALID_LOCATOR", f"invalid locator: {text}") from error
    size = call.query.get("maxRecords", str(DEFAULT_ROWS))
    if not size.isdecimal() or int(size) < 1:
        raise ApiError("INVALID_MAX_RECORDS", f"maxRecords must be a positive number: {size}")
    return min(start, rows.rows), min(start + int(size), rows.rows)


def _locator(offset: int) -> str:
    return base64.b64encode(str(offset).encode()).decode().rstrip("=")


ROUTES = [
    data_route("/jobs/query", create, ["POST"]),
    data_route("/jobs/query", listing),
    data_route("/jobs/query/{id}", status),
    data_route("/jobs/query/{id}", abort, ["PATCH"]),
    data_route("/jobs/query/{id}", delete, ["DELETE"]),
    data_route("/jobs/query/{id}/results", results),
    data_route("/jobs/query/{id}/resultPages", result_pages),
]
