"""One poll of an org: each object's window page by page, each page in one transaction with its progress."""

from datetime import datetime, timedelta
from itertools import dropwhile, zip_longest
from typing import Any

import structlog
from sqlmodel import Session

from cdp.db import transaction
from cdp.models import Cursor, ReadWindow
from connector.cursors import SYSTEM_STAMP, Pass, Window, next_window, passes
from connector.errors import ObjectUnavailable, Transient
from connector.objects import PEOPLE, SalesforceObject
from connector.pages import Checkpoint, Page, Reading, pages
from connector.transform import Plan
from connector.work import Work

log = structlog.get_logger()


def poll(work: Work) -> None:
    """Read what changed in every object that the login may see; an object that it may not see delays no other.

    Raises:
        ConnectorError: by kind; whatever was stored stays, and the next poll goes on after it.
    """
    for sobject in PEOPLE.values():
        try:
            _read_object(work, sobject)
        except ObjectUnavailable as error:
            log.warning("object_skipped", object=sobject.name, reason=str(error))


def _read_object(work: Work, sobject: SalesforceObject) -> None:
    plan = work.plan(sobject)
    cursor = _cursor(work, sobject)
    checkpoint = _usable(cursor.checkpoint, plan)
    window = _resumed_window(checkpoint) if checkpoint else _new_window(work, sobject, cursor)
    parts = passes(window, has_system_stamp=SYSTEM_STAMP in plan.fields)
    if checkpoint:
        parts = tuple(dropwhile(lambda part: part.name != checkpoint["pass"], parts))
    start = checkpoint["page"] if checkpoint else None
    for part, upcoming in zip_longest(parts, parts[1:]):
        reading = Reading(work.client, plan, window, part, work.runtime.settings.bulk_threshold)
        _read_pass(work, reading, start, upcoming)
        start = None


def _cursor(work: Work, sobject: SalesforceObject) -> Cursor:
    with transaction(work.runtime.database_url) as database:
        key = (work.lease.source_id, sobject.name)
        cursor = database.get(Cursor, key) or Cursor(source_id=key[0], object=key[1])
        database.add(cursor)
    return cursor


def _usable(checkpoint: dict[str, Any] | None, plan: Plan) -> dict[str, Any] | None:
    """A checkpoint holds only for the query it was made in: other fields are another query."""
    return checkpoint if checkpoint and checkpoint["fields"] == list(plan.fields) else None


def _resumed_window(checkpoint: dict[str, Any]) -> Window:
    lo = checkpoint["lo"]
    return Window(datetime.fromisoformat(lo) if lo else None, datetime.fromisoformat(checkpoint["hi"]))


def _new_window(work: Work, sobject: SalesforceObject, cursor: Cursor) -> Window:
    covered_to = work.client.covered_to(sobject.name)
    overlap = timedelta(seconds=work.runtime.settings.poll_overlap)
    return next_window(cursor.closed_to, work.client.observed.server_time, covered_to, overlap)


def _read_pass(work: Work, reading: Reading, start: Checkpoint | None, upcoming: Pass | None) -> None:
    announced = False
    for page in pages(reading, start):
        work.guard_quota()
        _store_page(work, reading, page, upcoming, expected=None if announced else page.expected)
        announced = True


def _store_page(work: Work, reading: Reading, page: Page, upcoming: Pass | None, *, expected: int | None) -> None:
    """Store a page, its progress and checkpoint, and after the last pass the closed window: together or not at all."""
    with transaction(work.runtime.database_url) as database:
        outcome = work.store(database, reading.plan, page.chunks, page.read_at, expected)
        if page.announced is not None and outcome.read != page.announced:
            words = f"A page had {outcome.read} rows instead of {page.announced}: it is read again."
            raise Transient("short_page", words)
        cursor = database.get_one(Cursor, (work.lease.source_id, reading.plan.sobject.name))
        if not page.last:
            cursor.checkpoint = _checkpoint(reading, reading.part, page.checkpoint)
        elif upcoming:
            cursor.checkpoint = _checkpoint(reading, upcoming, None)
        else:
            _close_window(database, work, cursor, reading.window)
    log.debug("page_stored", object=reading.plan.sobject.name, rows=outcome.read, written=outcome.written)


def _checkpoint(reading: Reading, part: Pass, page: Checkpoint | None) -> Checkpoint:
    window = reading.window
    return {
        "pass": part.name,
        "page": page,
        "fields": list(reading.plan.fields),
        "lo": window.lo.isoformat() if window.lo else None,
        "hi": window.hi.isoformat(),
    }


def _close_window(database: Session, work: Work, cursor: Cursor, window: Window) -> None:
    closed = ReadWindow(
        source_id=cursor.source_id, object=cursor.object, run_id=work.lease.run_id, lo=window.lo, hi=window.hi
    )
    database.add(closed)
    cursor.checkpoint = None
    cursor.closed_to = cursor.last_run = window.hi
