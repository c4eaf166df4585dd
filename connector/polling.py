"""One poll of an org: each object's window page by page, each page in one transaction with its progress."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import dropwhile, zip_longest
from typing import Any

import structlog
from sqlmodel import Session, col, select

from cdp.db import transaction
from cdp.models import Cursor, Finding, ReadWindow
from connector import deletions, findings
from connector.cursors import SYSTEM_STAMP, Pass, Window, next_window, passes
from connector.errors import (
    DailyLimitReached,
    FieldUnavailable,
    ObjectUnavailable,
    QueryTimeout,
    SalesforceError,
    SessionExpired,
    Transient,
)
from connector.objects import PEOPLE, SalesforceObject
from connector.pages import Checkpoint, Page, Reading, pages
from connector.transform import Plan
from connector.work import Work

log = structlog.get_logger()


@dataclass(frozen=True)
class Step:
    """One pass over a window of an object, and the pass that comes after it, if any."""

    plan: Plan
    window: Window
    part: Pass
    upcoming: Pass | None


def poll(work: Work) -> None:
    """Read what changed in every object; a resync reads everything. What fails for one object delays no other.

    Raises:
        ConnectorError: by kind; whatever was stored stays, and the next poll goes on after it.
    """
    failures: list[SalesforceError] = []
    for sobject in PEOPLE.values():
        try:
            _read_object(work, sobject)
        except (Transient, DailyLimitReached, SessionExpired):
            raise
        except SalesforceError as error:
            log.warning("object_failed", object=sobject.name, code=error.code, error=str(error))
            failures.append(error)
    if failures:
        raise failures[0]


def _read_object(work: Work, sobject: SalesforceObject) -> None:
    """Read an object; a field that vanishes under our hands is found by a second describe."""
    try:
        try:
            _read_planned(work, sobject)
        except FieldUnavailable as error:
            log.info("described_again", object=sobject.name, error=str(error))
            _read_planned(work, sobject)
        _note_hidden(work, sobject, hidden=False)
    except ObjectUnavailable:
        _note_hidden(work, sobject, hidden=True)


def _note_hidden(work: Work, sobject: SalesforceObject, *, hidden: bool) -> None:
    now = work.client.observed.server_time
    finding = Finding(
        source_id=work.source.key,
        object=sobject.name,
        code=findings.HIDDEN,
        subject=sobject.name,
        message=f"{sobject.name} records cannot be read since {now:%Y-%m-%d %H:%M} UTC; what is stored is kept.",
        remedy=f"Give the user 'Read' and 'View All' on {sobject.name}.",
        since=now,
    )
    with transaction(work.runtime.database_url) as database:
        findings.replace(database, work.source, sobject.name, (findings.HIDDEN,), [finding] if hidden else [])


def _read_planned(work: Work, sobject: SalesforceObject) -> None:
    plan, drift = work.plan(sobject)
    cursor = _cursor(work, sobject)
    checkpoint = _usable(cursor.checkpoint, plan)
    if checkpoint:
        _read_window(work, plan, _resumed_window(checkpoint), checkpoint)
    elif work.lease.kind != "resync":
        _read_new_window(work, plan, cursor, reread=drift.reread)
    elif not _closed_in_this_run(work, sobject):
        _read_new_window(work, plan, cursor, reread=True)


def _closed_in_this_run(work: Work, sobject: SalesforceObject) -> bool:
    with transaction(work.runtime.database_url) as database:
        closed = select(ReadWindow).where(
            ReadWindow.run_id == work.lease.run_id, ReadWindow.object == sobject.name, col(ReadWindow.lo).is_(None)
        )
        return database.exec(closed).first() is not None


def _read_new_window(work: Work, plan: Plan, cursor: Cursor, *, reread: bool) -> None:
    """Read the next window, and what the delete log names; when that reaches too little far back, read everything."""
    covered_to = work.client.covered_to(cursor.object)
    overlap = timedelta(seconds=work.runtime.settings.poll_overlap)
    window = next_window(cursor.closed_to, work.client.observed.server_time, covered_to, overlap)
    log_of_deletes = deletions.look(work, plan, window, cursor.closed_to)
    if log_of_deletes.gap:
        log.warning("resync_forced", object=cursor.object, reason=log_of_deletes.gap)
        deletions.force_resync(work, log_of_deletes.gap)
    if reread or log_of_deletes.gap:
        window = Window(None, window.hi)
    _read_window(work, plan, window, None)
    deletions.settle(work, plan, log_of_deletes)


def _read_window(work: Work, plan: Plan, window: Window, checkpoint: Checkpoint | None) -> None:
    """Read a window in its passes; one that takes Salesforce too long is read as two halves."""
    try:
        _read_passes(work, plan, window, checkpoint)
    except QueryTimeout:
        halves = window.halves()
        if halves is None:
            raise
        for half in halves:
            _read_window(work, plan, half, None)


def _read_passes(work: Work, plan: Plan, window: Window, checkpoint: Checkpoint | None) -> None:
    parts = passes(window, cursor_field=work.source.cursor_field, has_system_stamp=SYSTEM_STAMP in plan.fields)
    if checkpoint:
        parts = tuple(dropwhile(lambda part: part.name != checkpoint["pass"], parts))
    start = checkpoint["page"] if checkpoint else None
    for part, upcoming in zip_longest(parts, parts[1:]):
        _read_pass(work, Step(plan, window, part, upcoming), start)
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
    hi = datetime.fromisoformat(checkpoint["hi"])
    return Window(datetime.fromisoformat(lo) if lo else None, hi, bounded=checkpoint["bounded"])


def _read_pass(work: Work, step: Step, start: Checkpoint | None) -> None:
    reading = Reading(
        work.client,
        step.plan.sobject.name,
        step.plan.fields,
        step.part,
        work.runtime.settings.bulk_threshold,
        counted=step.window.lo is None,
    )
    announced = False
    for page in pages(reading, start):
        work.guard_quota()
        _store_page(work, step, page, expected=None if announced else page.expected)
        announced = True


def _store_page(work: Work, step: Step, page: Page, *, expected: int | None) -> None:
    """Store a page, its progress and checkpoint, and after the last pass the closed window: together or not at all."""
    with transaction(work.runtime.database_url) as database:
        outcome = work.store(database, step.plan, page.chunks, page.read_at, expected)
        page.check(outcome.read)
        cursor = database.get_one(Cursor, (work.lease.source_id, step.plan.sobject.name))
        if not page.last:
            cursor.checkpoint = _checkpoint(step, step.part, page.checkpoint)
        elif step.upcoming:
            cursor.checkpoint = _checkpoint(step, step.upcoming, None)
        else:
            _close_window(database, work, cursor, step.window)
    log.debug("page_stored", object=step.plan.sobject.name, rows=outcome.read, written=outcome.written)


def _checkpoint(step: Step, part: Pass, page: Checkpoint | None) -> Checkpoint:
    window = step.window
    return {
        "pass": part.name,
        "page": page,
        "fields": list(step.plan.fields),
        "lo": window.lo.isoformat() if window.lo else None,
        "hi": window.hi.isoformat(),
        "bounded": window.bounded,
    }


def _close_window(database: Session, work: Work, cursor: Cursor, window: Window) -> None:
    closed = ReadWindow(
        source_id=cursor.source_id, object=cursor.object, run_id=work.lease.run_id, lo=window.lo, hi=window.hi
    )
    database.add(closed)
    cursor.checkpoint = None
    cursor.closed_to = window.hi
    cursor.last_run = work.client.observed.server_time
