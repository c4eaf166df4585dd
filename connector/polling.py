"""One poll of an org: each object's window page by page, each page in one transaction with its progress."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import dropwhile, zip_longest
from typing import Any

import structlog
from sqlmodel import Session

from cdp import fields, ingest
from cdp.db import transaction
from cdp.models import Cursor, ReadWindow, Source
from cdp.records import Batch
from connector import sources, transform
from connector.client import OrgClient
from connector.cursors import SYSTEM_STAMP, Pass, Window, next_window, passes
from connector.errors import ObjectUnavailable, Transient, WaitingForQuota
from connector.objects import PEOPLE, SalesforceObject
from connector.pages import Checkpoint, Page, Reading, pages
from connector.runs import Lease
from connector.runtime import Runtime
from connector.transform import Plan

QUOTA_PAUSE = timedelta(minutes=15)
log = structlog.get_logger()


@dataclass(frozen=True)
class Poll:
    """What one poll works with: the installation, the right to write, the source as it is now, and its org."""

    runtime: Runtime
    lease: Lease
    source: Source
    client: OrgClient


def poll(runtime: Runtime, lease: Lease) -> None:
    """Read what changed in every object that the login may see; an object that it may not see delays no other.

    Raises:
        ConnectorError: by kind; whatever was stored stays, and the next poll goes on after it.
    """
    with transaction(runtime.database_url) as database:
        source = database.get_one(Source, lease.source_id)
    work = Poll(runtime, lease, source, sources.open_org(runtime, lease.source_id))
    for sobject in PEOPLE.values():
        try:
            _read_object(work, sobject)
        except ObjectUnavailable as error:
            log.warning("object_skipped", object=sobject.name, reason=str(error))
    _note_usage(work)


def _read_object(work: Poll, sobject: SalesforceObject) -> None:
    plan, cursor = _prepare(work, sobject)
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


def _read_pass(work: Poll, reading: Reading, start: Checkpoint | None, upcoming: Pass | None) -> None:
    announced = False
    for page in pages(reading, start):
        _guard_quota(work)
        _store_page(work, reading, page, upcoming, expected=None if announced else page.expected)
        announced = True


def _prepare(work: Poll, sobject: SalesforceObject) -> tuple[Plan, Cursor]:
    types = transform.field_types(work.client.describe(sobject.name))
    plan = transform.plan(sobject, types, work.source.mapping.get(sobject.name, {}), work.source.permissions)
    with transaction(work.runtime.database_url) as database:
        key = (work.lease.source_id, sobject.name)
        cursor = database.get(Cursor, key) or Cursor(source_id=key[0], object=key[1])
        database.add(cursor)
        fields.register(database, sorted(plan.layout.fields))
    return plan, cursor


def _usable(checkpoint: dict[str, Any] | None, plan: Plan) -> dict[str, Any] | None:
    """A checkpoint holds only for the query it was made in: other fields are another query."""
    return checkpoint if checkpoint and checkpoint["fields"] == list(plan.fields) else None


def _resumed_window(checkpoint: dict[str, Any]) -> Window:
    lo = checkpoint["lo"]
    return Window(datetime.fromisoformat(lo) if lo else None, datetime.fromisoformat(checkpoint["hi"]))


def _new_window(work: Poll, sobject: SalesforceObject, cursor: Cursor) -> Window:
    covered_to = work.client.covered_to(sobject.name)
    overlap = timedelta(seconds=work.runtime.settings.poll_overlap)
    return next_window(cursor.closed_to, work.client.observed.server_time, covered_to, overlap)


def _guard_quota(work: Poll) -> None:
    """Stop before the configured share of the org's daily calls is exceeded."""
    observed = work.client.observed
    if observed.used is None or observed.limit is None:
        return
    if observed.used >= observed.limit * work.runtime.settings.api_share:
        raise WaitingForQuota(
            f"The org has used {observed.used} of {observed.limit} API calls, the share this connector may reach: "
            "work goes on by itself when usage falls.",
            observed.server_time + QUOTA_PAUSE,
        )


def _store_page(work: Poll, reading: Reading, page: Page, upcoming: Pass | None, *, expected: int | None) -> None:
    """Store a page, its progress and checkpoint, and after the last pass the closed window: together or not at all."""
    with transaction(work.runtime.database_url) as database:
        outcome = ingest.store(database, _batch(work, reading, page))
        if page.announced is not None and outcome.read != page.announced:
            words = f"A page had {outcome.read} rows instead of {page.announced}: it is read again."
            raise Transient("short_page", words)
        work.lease.note(database, outcome, expected)
        cursor = database.get_one(Cursor, (work.lease.source_id, reading.plan.sobject.name))
        if not page.last:
            cursor.checkpoint = _checkpoint(reading, reading.part, page.checkpoint)
        elif upcoming:
            cursor.checkpoint = _checkpoint(reading, upcoming, None)
        else:
            _close_window(database, work.lease, cursor, reading.window)
    log.debug("page_stored", object=reading.plan.sobject.name, rows=outcome.read, written=outcome.written)


def _batch(work: Poll, reading: Reading, page: Page) -> Batch:
    return Batch(
        source_id=work.lease.source_id,
        org_id=work.source.org_id,
        object=reading.plan.sobject.name,
        rank=reading.plan.sobject.rank,
        layout=reading.plan.layout,
        read_at=page.read_at,
        chunks=page.chunks,
    )


def _checkpoint(reading: Reading, part: Pass, page: Checkpoint | None) -> Checkpoint:
    window = reading.window
    return {
        "pass": part.name,
        "page": page,
        "fields": list(reading.plan.fields),
        "lo": window.lo.isoformat() if window.lo else None,
        "hi": window.hi.isoformat(),
    }


def _close_window(database: Session, lease: Lease, cursor: Cursor, window: Window) -> None:
    closed = ReadWindow(
        source_id=cursor.source_id, object=cursor.object, run_id=lease.run_id, lo=window.lo, hi=window.hi
    )
    database.add(closed)
    cursor.checkpoint = None
    cursor.closed_to = cursor.last_run = window.hi


def _note_usage(work: Poll) -> None:
    with transaction(work.runtime.database_url) as database:
        source = database.get_one(Source, work.lease.source_id)
        source.api_used, source.api_limit = work.client.observed.used, work.client.observed.limit
