"""How a window is read: REST pages when it is small, Bulk API 2.0 when it is large, both as the same pages of CSV."""

import contextvars
import csv
import io
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import IO, Any

import structlog

from connector import soql, transform
from connector.client import Answer, OrgClient
from connector.cursors import Pass
from connector.errors import (
    DailyLimitReached,
    FieldUnavailable,
    LocatorGone,
    ObjectUnavailable,
    QueryTimeout,
    SalesforceError,
    SessionExpired,
    Transient,
)
from connector.slices import Pending, stopping

BULK_PAGE = 50_000
CHUNK = 1 << 18
FIRST_WAIT, PATIENCE = 0.5, 10.0  # seconds; a job that takes longer is looked at again in another slice
PENDING_PAUSE = 20.0
Checkpoint = dict[str, Any]
log = structlog.get_logger()


@dataclass(frozen=True)
class Page:
    """One page of rows: CSV without a header, what to store to go on after it, and the server's clock when it was read.

    That of a bulk job's pages is the clock before the job was created: its rows may be as old as that, and older than
    what others read before the page is downloaded.
    `announced` is how many rows Salesforce says it has; `expected` how many the window has in all, if known.
    """

    chunks: Callable[[], Iterable[bytes]]
    read_at: datetime
    checkpoint: Checkpoint
    last: bool
    announced: int | None
    expected: int | None

    def check(self, rows: int) -> None:
        """Compare the rows that were read with those announced; raises Transient when they are not the same."""
        if self.announced is not None and rows != self.announced:
            words = f"A page had {rows} rows instead of {self.announced}: it is read again."
            raise Transient("short_page", words)


@dataclass(frozen=True)
class Reading:
    """What is being read: fields of an object, in one pass over a window.

    `counted` asks for the number of rows first, to choose the transport: for passes that no index narrows. `ahead`
    fetches the next page while one is stored, so that a crash costs two pages that are read again, else one.
    """

    client: OrgClient
    sobject: str
    fields: tuple[str, ...]
    part: Pass
    bulk_threshold: int
    counted: bool
    bulk_page: int = BULK_PAGE
    ahead: bool = True


def begin(reading: Reading, rows: int | None = None) -> Checkpoint:
    """Choose the transport and return where to start; a job is created at once, for Salesforce to work on meanwhile.

    Whoever knows about how many `rows` there are saves the call that counts them.
    """
    began = reading.client.observed.server_time
    if reading.counted and _is_large(reading, rows) and (job_id := _create_job(reading)):
        return _job_start(job_id, began)
    return {"stamp": None, "id": None}


def pages(reading: Reading, checkpoint: Checkpoint | None) -> Iterator[Page]:
    """Yield the pages of a pass, those after `checkpoint` if there is one."""
    start = checkpoint or begin(reading)
    if "job" in start:
        found = _resumed_job(reading, start) if checkpoint else _new_job(reading, start)
    else:
        found = _rest(reading, _after(start))
    return _ahead(found) if reading.ahead else found


def goes_on(checkpoint: Checkpoint | None) -> bool:
    """Tell whether a checkpoint is behind some rows, so that what is to come is not all there is."""
    return bool(checkpoint and (checkpoint.get("stamp") or checkpoint.get("locator")))


def _is_large(reading: Reading, rows: int | None) -> bool:
    if rows is not None:
        return rows > reading.bulk_threshold
    try:
        return reading.client.count(reading.sobject, reading.part.condition) > reading.bulk_threshold
    except QueryTimeout:
        return True


def _after(checkpoint: Checkpoint) -> tuple[datetime, str] | None:
    return (datetime.fromisoformat(checkpoint["stamp"]), checkpoint["id"]) if checkpoint["stamp"] else None


def _ahead(items: Iterator[Page]) -> Iterator[Page]:
    """Fetch the next item in a thread while the caller works on the present one; its log lines tell of the same run."""
    context = contextvars.copy_context()

    def fetch() -> Page | None:
        return next(items, None)

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="read-ahead") as pool:
        upcoming = pool.submit(context.run, fetch)
        while (item := upcoming.result()) is not None:
            upcoming = pool.submit(context.run, fetch)
            yield item


def _rest(reading: Reading, after: tuple[datetime, str] | None) -> Iterator[Page]:
    """Read by REST in keyset order; switch to Bulk when the first answer shows that the window is large."""
    asked_at = reading.client.observed.server_time
    answer = _ask(reading, after)
    began = reading.client.observed.server_time
    if after is None and answer.total > reading.bulk_threshold and (job_id := _create_job(reading)):
        yield from _new_job(reading, _job_start(job_id, began))
        return
    expected = answer.total
    place: Checkpoint = {"stamp": after[0].isoformat() if after else None, "id": after[1] if after else None}
    while True:
        place = _kept_place(reading.part.field, answer, asked_at) or place
        page = _rest_page(reading, answer, expected, place)
        yield page
        if answer.next_url is None:
            return
        try:
            answer = reading.client.more(answer.next_url)
        except LocatorGone:
            asked_at = reading.client.observed.server_time
            answer = _ask(reading, _after(page.checkpoint))


def _kept_place(field: str, answer: Answer, asked_at: datetime) -> Checkpoint | None:
    """The last row that still stands where the query found it: one changed since comes there with its new stamp.

    To go on behind that stamp would pass over all rows in between.
    """
    standing = (row for row in reversed(answer.records) if datetime.fromisoformat(row[field]) <= asked_at)
    last = next(standing, None)
    return {"stamp": last[field], "id": last["Id"]} if last else None


def _ask(reading: Reading, after: tuple[datetime, str] | None) -> Answer:
    field = reading.part.field
    condition = soql.both(reading.part.condition, soql.following(field, after) if after else "")
    order = (field, "Id")
    return reading.client.query(soql.select(reading.sobject, reading.fields, condition, order))


def _rest_page(reading: Reading, answer: Answer, expected: int, place: Checkpoint) -> Page:
    rows = transform.csv_rows(reading.fields, answer.records)
    return Page(
        chunks=lambda: (rows,),
        read_at=reading.client.observed.server_time,
        checkpoint=place,
        last=answer.next_url is None,
        announced=len(answer.records),
        expected=expected,
    )


def _create_job(reading: Reading) -> str | None:
    """Create a Bulk API 2.0 job; None when the org refuses bulk queries, which leaves REST."""
    try:
        return reading.client.create_job(soql.select(reading.sobject, reading.fields, reading.part.condition))
    except (Transient, FieldUnavailable, ObjectUnavailable, SessionExpired, DailyLimitReached):
        raise
    except SalesforceError as error:
        log.warning("bulk_refused", object=reading.sobject, code=error.code)
        return None


def _new_job(reading: Reading, start: Checkpoint) -> Iterator[Page]:
    """Yield a page without rows first, so that the job is in the checkpoint whatever happens while it is awaited."""
    yield Page(tuple, datetime.fromisoformat(start["began"]), start, last=False, announced=None, expected=None)
    yield from _resumed_job(reading, start)


def _resumed_job(reading: Reading, checkpoint: Checkpoint) -> Iterator[Page]:
    """Go on at the stored locator; results live seven days, after which the pass starts anew."""
    try:
        expected = _await_job(reading.client, checkpoint["job"])
    except ObjectUnavailable:
        yield from pages(reading, None)
        return
    yield from _job_pages(reading, checkpoint, expected)


def _job_start(job_id: str, began: datetime) -> Checkpoint:
    return {"job": job_id, "locator": None, "began": began.isoformat()}


def _job_pages(reading: Reading, start: Checkpoint, expected: int | None) -> Iterator[Page]:
    job_id, locator = start["job"], start["locator"]
    while True:
        file, announced, following = reading.client.job_page(job_id, locator, reading.bulk_page)
        rows_at = _after_header(file, reading.fields, first=locator is None, announced=announced)
        yield Page(
            chunks=partial(_rows, file, rows_at),
            read_at=datetime.fromisoformat(start["began"]),
            checkpoint={**start, "locator": following},
            last=following is None,
            announced=announced,
            expected=expected,
        )
        if following is None:
            return
        locator = following


def _await_job(client: OrgClient, job_id: str) -> int | None:
    """Wait a little until the job is complete, asking ever more rarely; return how many rows it has.

    Raises:
        Pending: it takes longer than is worth holding up others for.
    """
    wait, give_up_at = FIRST_WAIT, time.monotonic() + PATIENCE
    while (job := client.job(job_id))["state"] not in ("JobComplete", "Failed", "Aborted"):
        if stopping() or time.monotonic() + wait > give_up_at:
            raise Pending(PENDING_PAUSE)
        time.sleep(wait)
        wait *= 2
    if job["state"] != "JobComplete":
        words = job.get("errorMessage") or "no reason given"
        raise SalesforceError("BULK_JOB_" + job["state"].upper(), f"The bulk job ended as {job['state']}: {words}")
    return job.get("numberRecordsProcessed")


def _rows(file: IO[bytes], start: int) -> Iterator[bytes]:
    file.seek(start)
    while chunk := file.read(CHUNK):
        yield chunk


def _after_header(file: IO[bytes], fields: Iterable[str], *, first: bool, announced: int | None) -> int:
    """Return where the rows begin. The header may stand on every page or only on the first; its order is checked.

    Raises:
        Transient: this is no page of results: it announces no rows, or the first lacks the query's header.
    """
    line = file.readline()
    names = next(csv.reader(io.StringIO(line.decode("utf-8", "replace"))), [])
    wanted = [field.lower() for field in fields]
    found = [name.lower() for name in names]
    if found == wanted or (not line and announced == 0):
        return len(line)
    if sorted(found) == sorted(wanted):
        raise SalesforceError("COLUMN_ORDER", "The bulk result has its columns in another order than the query.")
    if first or announced is None:
        raise Transient("unreadable_page", "The org answered with something else than bulk results: it is asked again.")
    return 0
