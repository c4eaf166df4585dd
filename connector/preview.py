"""What a filter would do, found out beforehand: who matches, who would enter and leave, what applying would cost."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlmodel import Session

from cdp import comparing, queries
from cdp.db import transaction
from cdp.models import Source
from connector import choosing, filters, soql, sources, states
from connector.backfilling import BULK_OVERHEAD, REST_PAGE, USUAL_RATE
from connector.client import OrgClient
from connector.cursors import SYSTEM_STAMP, Pass
from connector.filters import Admission, Node, Past
from connector.filters.logic import Columns
from connector.pages import BULK_PAGE, Reading, pages
from connector.paths import Describes
from connector.runtime import Runtime

EXAMPLES = 10
FIXED_CALLS = 4  # describe, /updated, the delete log, and the count
PRESENT = "IsDeleted = false"


@dataclass(frozen=True)
class Example:
    """A record that would enter or leave, as Salesforce names it now; only its id if it is not there any more."""

    record_id: str
    name: str | None
    email: str | None


@dataclass(frozen=True)
class ObjectPreview:
    """What a filter would do to one object: counts of records, examples, and what applying it would cost.

    `rows`, `api_calls` and `seconds` are those of the complete read that follows a change; nothing if nothing changes.
    """

    object: str
    match: int
    enter: int
    leave: int
    entering: tuple[Example, ...]
    leaving: tuple[Example, ...]
    rows: int
    api_calls: int
    seconds: float


@dataclass(frozen=True)
class Preview:
    """What a filter would do to a source, and in a sentence which objects it lets in; `calls_used` to find out."""

    sentence: str
    objects: tuple[ObjectPreview, ...]
    calls_used: int


@dataclass(frozen=True)
class _Look:
    """What looking at one object takes."""

    client: OrgClient
    source: Source
    sobject: str
    columns: Columns
    tree: Node | None
    threshold: int
    rate: float | None
    overlap: timedelta

    @property
    def now(self) -> datetime:
        return self.client.observed.server_time

    def admission(self, past: Past) -> Admission:
        return filters.admission(self.tree, self.sobject, self.columns, self.now, past)


def preview(runtime: Runtime, name: str, tree: Node | None) -> Preview:
    """Find out what a filter would do; asks Salesforce for ids and the fields asked about, and writes nothing.

    Raises:
        BadInput: the filter does not fit the org, or there is no such source.
        Refused: the org is not used now.
    """
    with transaction(runtime.database_url) as database:
        source = sources.find(database, name)
        states.check(source, "ask")
        rate = queries.usual_rate(database, source.key)
    client = sources.open_org(runtime, source.key)
    known = Describes(client.describe)
    checked, sentence = choosing.check_filter(known, tree)
    overlap = timedelta(seconds=runtime.settings.poll_overlap)
    looks = [
        _Look(client, source, sobject, columns, checked, runtime.settings.bulk_threshold, rate, overlap)
        for sobject, columns in choosing.visible(known, checked).items()
    ]
    found = tuple(_preview_object(runtime, look) for look in looks)
    return Preview(sentence, found, client.observed.calls)


def _preview_object(runtime: Runtime, look: _Look) -> ObjectPreview:
    with transaction(runtime.database_url) as database:
        found = _compared(database, look)
        selection = choosing.selection(database, look.source.key, look.sobject)
    rows = _rows_to_read(look, selection)
    bulk = rows > look.threshold
    calls = FIXED_CALLS + math.ceil(rows / (BULK_PAGE if bulk else REST_PAGE)) + (BULK_OVERHEAD if bulk else 0)
    return ObjectPreview(
        object=look.sobject,
        match=found.match,
        enter=found.enter,
        leave=found.leave,
        entering=_named(look, found.entering),
        leaving=_named(look, found.leaving),
        rows=rows,
        api_calls=calls if rows else 0,
        seconds=round(rows / (look.rate or USUAL_RATE), 1),
    )


def _compared(database: Session, look: _Look) -> comparing.Comparison:
    comparing.create_workspace(database)
    admission = look.admission(Past())
    if not admission.nothing:
        reading = Reading(
            client=look.client,
            sobject=look.sobject,
            fields=tuple(dict.fromkeys(("Id", SYSTEM_STAMP, *admission.fields))),
            part=Pass("preview", SYSTEM_STAMP, soql.both(admission.condition, PRESENT)),
            bulk_threshold=look.threshold,
            counted=True,
        )
        for page in pages(reading, None):
            page.check(comparing.keep_matching(database, reading.fields, admission.predicate, page.chunks()))
    return comparing.compare(database, look.source.key, look.sobject, EXAMPLES)


def _rows_to_read(look: _Look, selection: choosing.Selection) -> int:
    """Return how many rows applying would read: what is let in, and what was let in by the filter it replaces."""
    unchanged = look.tree == selection.tree and not selection.pending
    past = selection.past(look.overlap)
    if selection.stored:
        past = replace(past, former=(selection.tree, *past.former))
    admission = look.admission(past)
    if unchanged or admission.nothing:
        return 0
    return look.client.count(look.sobject, admission.condition)


def _named(look: _Look, record_ids: Sequence[str]) -> tuple[Example, ...]:
    if not record_ids:
        return ()
    fields = [name for name in ("Id", "Name", "Email") if name in look.columns]
    asked = look.client.query(soql.select(look.sobject, fields, soql.among(record_ids)))
    known: dict[str, dict[str, Any]] = {row["Id"]: row for row in asked.records}
    rows = ((one, known.get(one, {})) for one in record_ids)
    return tuple(Example(one, row.get("Name"), row.get("Email")) for one, row in rows)
