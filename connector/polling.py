"""One poll of an org: each object's window page by page, each page in one transaction with its progress."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import dropwhile, zip_longest
from typing import Any, TypeVar

import structlog
from sqlmodel import Session

from cdp import clearing
from cdp.db import transaction
from cdp.models import Cursor, ReadWindow
from cdp.records import Outcome
from connector import deletions, filters, findings, schemas, windows
from connector.cursors import SYSTEM_STAMP, Pass, Window, next_window, only_pass, passes
from connector.errors import (
    ConnectorError,
    DailyLimitReached,
    FieldUnavailable,
    NeedsAttention,
    ObjectUnavailable,
    QueryTimeout,
    SalesforceError,
    SessionExpired,
    Transient,
)
from connector.fetching import try_refused_again
from connector.objects import OBJECTS, SalesforceObject
from connector.pages import Checkpoint, Page, Reading, begin, goes_on, pages
from connector.transform import Plan
from connector.work import Work

log = structlog.get_logger()
T = TypeVar("T")


@dataclass(frozen=True)
class Step:
    """One pass over a window of an object, and the pass that comes after it, if any."""

    plan: Plan
    window: Window
    part: Pass
    upcoming: Pass | None


@dataclass(frozen=True)
class Begun:
    """An object whose next window is known, and from where it is to be read."""

    plan: Plan
    window: Window
    start: Checkpoint


def poll(work: Work) -> None:
    """Read what changed in every object; a resync reads everything. What fails for one object delays no other.

    All are begun before the first is read, so that Salesforce works on the bulk jobs of the others meanwhile.

    Raises:
        ConnectorError: by kind; whatever was stored stays, and the next poll goes on after it.
    """
    failures: list[ConnectorError] = []
    begun: dict[str, Begun] = {}
    for sobject in OBJECTS.values():
        if sobject.name in work.outset.done:
            continue
        with _others_go_on(failures):
            if found := _with_access(work, sobject, partial(_begin, work, sobject)):
                begun[sobject.name] = found
    for name, found in begun.items():
        with _others_go_on(failures):
            _with_access(work, OBJECTS[name], partial(_read, work, found))
    if failures:
        raise failures[0]


@contextmanager
def _others_go_on(failures: list[ConnectorError]) -> Iterator[None]:
    """Keep a failure of one object for later; what concerns the session, the quota or the org ends the poll."""
    try:
        yield
    except (SalesforceError, NeedsAttention) as error:
        if _concerns_all(error):
            raise
        log.warning("object_failed", code=error.code, error=str(error))
        failures.append(error)


def _concerns_all(error: SalesforceError | NeedsAttention) -> bool:
    if isinstance(error, NeedsAttention):
        return error.blocks
    passing = isinstance(error, Transient) and not isinstance(error, QueryTimeout)
    return passing or isinstance(error, DailyLimitReached | SessionExpired)


def _with_access(work: Work, sobject: SalesforceObject, action: Callable[[], T]) -> T | None:
    """Do something with an object; that the login may not see it becomes a finding, which goes when it may again."""
    try:
        done = action()
    except ObjectUnavailable:
        _note_hidden(work, sobject, hidden=True)
        return None
    if sobject.name in work.outset.hidden:
        _note_hidden(work, sobject, hidden=False)
    return done


def _begin(work: Work, sobject: SalesforceObject) -> Begun | None:
    """Decide what to read next; None when the filter lets none of the object in.

    An object that the filter leaves out costs no call: what is stored of it leaves the filter here.
    """
    selection = work.selection(sobject)
    if filters.settled(selection.tree, sobject.name) is False:
        _leave_out(work, sobject)
        return None
    plan, drift = work.plan(sobject, selection)
    cursor = _cursor(work, sobject)
    checkpoint = _usable(cursor.checkpoint, plan, work.lease.kind)
    window = Window.resumed(checkpoint) if checkpoint else _next_window(work, cursor)
    gap = deletions.settle(work, plan, window, cursor.closed_to)
    if sobject.name in work.outset.refused:
        try_refused_again(work, plan)
    everything = drift.reread or selection.pending or work.lease.kind == "resync"
    if gap or (not checkpoint and everything):
        checkpoint, window = None, Window(None, window.hi)
    if checkpoint is None:
        checkpoint = _first_checkpoint(work, plan, window)
        if "job" in checkpoint["page"]:
            _keep(work, sobject, checkpoint)
    return Begun(plan, window, checkpoint)


def _leave_out(work: Work, sobject: SalesforceObject) -> None:
    while True:
        with transaction(work.runtime.database_url) as database:
            left = clearing.leave_out(database, work.source.key, sobject.name)
            work.lease.note(database, sobject.name, Outcome(written=left))
        if not left:
            return
        work.make_way()


def _first_checkpoint(work: Work, plan: Plan, window: Window) -> Checkpoint:
    first = _passes(plan, window)[0]
    return _checkpoint(Step(plan, window, first, None), first, begin(_reading(work, plan, window, first)))


def _keep(work: Work, sobject: SalesforceObject, start: Checkpoint) -> None:
    """Keep the id of a job that was created, before anything of it is read."""
    with transaction(work.runtime.database_url) as database:
        work.lease.note(database, sobject.name, Outcome())
        database.get_one(Cursor, (work.lease.source_id, sobject.name)).checkpoint = start


def _read(work: Work, begun: Begun) -> None:
    """Read what was begun; a field that vanished meanwhile is found by a second describe."""
    sobject = begun.plan.sobject
    try:
        _read_window(work, begun.plan, begun.window, begun.start)
    except FieldUnavailable as error:
        log.info("described_again", object=sobject.name, error=str(error))
        with transaction(work.runtime.database_url) as database:
            schemas.disbelieve(database, work.source.key, sobject)
        work.look_again()
        again = _begin(work, sobject)
        if again is not None:
            _read_window(work, again.plan, again.window, again.start)


def _note_hidden(work: Work, sobject: SalesforceObject, *, hidden: bool) -> None:
    with transaction(work.runtime.database_url) as database:
        findings.note_hidden(database, work.source, sobject, work.client.observed.server_time, hidden=hidden)


def _next_window(work: Work, cursor: Cursor) -> Window:
    covered_to = work.covered_to(OBJECTS[cursor.object])
    overlap = timedelta(seconds=work.runtime.settings.poll_overlap)
    return next_window(cursor.closed_to, work.client.observed.server_time, covered_to, overlap)


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
    parts = _passes(plan, window)
    if checkpoint:
        parts = tuple(dropwhile(lambda part: part.name != checkpoint["pass"], parts))
    start = checkpoint["page"] if checkpoint else None
    for part, upcoming in zip_longest(parts, parts[1:]):
        _read_pass(work, Step(plan, window, part, upcoming), start)
        start = None


def _passes(plan: Plan, window: Window) -> tuple[Pass, ...]:
    if plan.sobject.makes == "activities":
        return only_pass(window, plan.cursor)
    return passes(
        window,
        cursor_field=plan.cursor,
        has_system_stamp=SYSTEM_STAMP in plan.fields,
        condition=plan.condition,
    )


def _reading(work: Work, plan: Plan, window: Window, part: Pass) -> Reading:
    threshold = work.runtime.settings.bulk_threshold
    return Reading(work.client, plan.sobject.name, plan.fields, part, threshold, counted=window.lo is None)


def _cursor(work: Work, sobject: SalesforceObject) -> Cursor:
    """Return how far the object was read when the slice began; that of one never read before is made here."""
    if found := work.outset.cursors.get(sobject.name):
        return found
    with transaction(work.runtime.database_url) as database:
        findings.take_turn(database, work.lease.source_id)
        key = (work.lease.source_id, sobject.name)
        cursor = database.get(Cursor, key) or Cursor(source_id=key[0], object=key[1])
        database.add(cursor)
    return cursor


def _usable(checkpoint: dict[str, Any] | None, plan: Plan, kind: str) -> dict[str, Any] | None:
    """A checkpoint holds only for the query it was made in: other fields, cursor or filter make another query.

    A resync reads everything, so that of a poll's window is none of its own.
    """
    query = (list(plan.fields), plan.filter, plan.cursor)
    if checkpoint is None or (checkpoint["fields"], checkpoint["filter"], checkpoint["cursor"]) != query:
        return None
    return None if kind == "resync" and checkpoint["lo"] else checkpoint


def _read_pass(work: Work, step: Step, start: Checkpoint | None) -> None:
    reading = _reading(work, step.plan, step.window, step.part)
    announced = goes_on(start)
    for page in pages(reading, start):
        _store_page(work, step, page, expected=None if announced else page.expected)
        announced = announced or page.expected is not None


def _store_page(work: Work, step: Step, page: Page, *, expected: int | None) -> None:
    """Store a page, its progress and checkpoint, and after the last pass the closed window: together or not at all."""
    with work.page() as database:
        cursor = database.get_one(Cursor, (work.lease.source_id, step.plan.sobject.name))
        first, empty = cursor.closed_to is None, page.announced == 0
        outcome = work.store(database, step.plan, page.chunks, page.read_at, expected, history=first, empty=empty)
        page.check(outcome.read)
        now = work.client.observed.server_time
        if outcome.ahead or page.last:
            findings.watch_clock(database, work.source, step.plan.sobject.name, now, suspected=outcome.ahead > 0)
        if not page.last:
            cursor.checkpoint = _checkpoint(step, step.part, page.checkpoint)
        elif step.upcoming:
            cursor.checkpoint = _checkpoint(step, step.upcoming, None)
        else:
            _close_window(database, work, cursor, step)
    log.info("page_stored", object=step.plan.sobject.name, rows=outcome.read, written=outcome.written)


def _checkpoint(step: Step, part: Pass, page: Checkpoint | None) -> Checkpoint:
    return {
        "pass": part.name,
        "page": page,
        "fields": list(step.plan.fields),
        "filter": step.plan.filter,
        "cursor": step.plan.cursor,
        **step.window.kept(),
    }


def _close_window(database: Session, work: Work, cursor: Cursor, step: Step) -> None:
    window = step.window
    run_id, sobject = work.lease.run_id, cursor.object
    closed = ReadWindow(source_id=cursor.source_id, object=sobject, run_id=run_id, lo=window.lo, hi=window.hi)
    windows.close(database, closed)
    if window.lo is None:
        schemas.note_read(database, cursor.source_id, step.plan)
    if not window.bounded:  # the first half of a split window is not all that this run has to read
        work.keep_progress(database, cursor.object, {"done": True})
    cursor.checkpoint = None
    cursor.closed_to = window.hi
    cursor.last_run = work.client.observed.server_time
