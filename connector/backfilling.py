"""Backfill: fields of records that are there already, object by object.

Of people only id, stamp and the chosen fields are read, which fill columns. A row that activities are told from is kept
whole under one version, so all that is kept of it is read, and goes through the same door as in a poll.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType

from sqlmodel import Session

from cdp import queries
from cdp.db import transaction
from cdp.models import Cursor, Source
from cdp.records import Layout
from connector import choosing, filters, schemas, sources, transform
from connector.choosing import Selection
from connector.client import OrgClient
from connector.cursors import Pass
from connector.errors import (
    BadInput,
    DailyLimitReached,
    ObjectUnavailable,
    SalesforceError,
    SessionExpired,
    Transient,
)
from connector.objects import OBJECTS, PEOPLE, SalesforceObject
from connector.pages import Page, Reading, goes_on, pages
from connector.paths import Describes
from connector.runtime import Runtime
from connector.transform import Plan
from connector.work import Work

REST_PAGE = 2000
FILL_PAGE = 10_000  # rows by Bulk, which are narrow: what one crash costs
FIXED_CALLS = 2  # describe and the count
BULK_OVERHEAD = 4  # calls to create a job and to learn that it is done
USUAL_RATE = 5000.0  # rows a second, until this source has shown its own
FORM = "Name the fields to fill as Lead.X,Opportunity.Y, or whole objects with --objects."
Fields = Mapping[str, Sequence[str]]
Mapped = Mapping[str, Mapping[str, Mapping[str, object]]]


@dataclass(frozen=True)
class Estimate:
    """What a backfill of one object would cost: rows to read, API calls, seconds."""

    object: str
    fields: tuple[str, ...]
    rows: int
    api_calls: int
    seconds: float


def chosen(fields: str | None, mapping: Mapped, objects: str | None = None) -> dict[str, list[str]]:
    """Return object → fields to fill, from "Lead.X,Opportunity.Y" and objects to fill with all that is kept of them.

    Without either it is the mapped fields that wait for it. No fields of an object that makes activities mean all.

    Raises:
        BadInput: a name is not that of a mapped or kept field, or there is nothing to fill.
    """
    if fields is None and objects is None:
        return _waiting(mapping)
    wanted: dict[str, list[str]] = {}
    for name in _names(fields):
        owner, _, path = name.partition(".")
        sobject = _spelled(owner, OBJECTS)
        field = _spelled(path, mapping.get(sobject, ()) if sobject in PEOPLE else _kept(sobject))
        _check_field(sobject, field, mapping)
        if field not in wanted.setdefault(sobject, []):
            wanted[sobject].append(field)
    for name in _names(objects):
        sobject = _spelled(name, OBJECTS)
        wanted[sobject] = _all_of(sobject, mapping)
    if not wanted:
        raise BadInput(FORM)
    return wanted


def _names(text: str | None) -> list[str]:
    return list(filter(None, map(str.strip, (text or "").split(","))))


def _spelled(name: str, known: Iterable[str]) -> str:
    """Return a name as it is known, for Salesforce does not care about case; itself if it is not."""
    return next((one for one in known if one.lower() == name.lower()), name)


def _kept(sobject: str) -> tuple[str, ...]:
    return OBJECTS[sobject].kept if sobject in OBJECTS else ()


def _check_field(sobject: str, field: str, mapping: Mapped) -> None:
    _check_object(sobject)
    if not field:
        raise BadInput(FORM)
    if sobject in PEOPLE:
        if field not in mapping.get(sobject, {}):
            name = f"{sobject}.{field}"
            raise BadInput(f"{name} is not mapped: map it first, with `connector map NAME {name} PERSON_FIELD`.")
    elif field not in _kept(sobject):
        raise BadInput(f"{sobject}.{field} is not kept: of {sobject} {', '.join(_kept(sobject))} can be filled.")


def _check_object(sobject: str) -> None:
    if sobject not in OBJECTS:
        raise BadInput(f"{sobject} is not synced: {', '.join(OBJECTS)} can be filled.")


def _all_of(sobject: str, mapping: Mapped) -> list[str]:
    _check_object(sobject)
    if sobject not in PEOPLE:
        return []
    if not mapping.get(sobject):
        raise BadInput(f"No field of {sobject} is mapped: map one first, with `connector map`.")
    return sorted(mapping[sobject])


def _waiting(mapping: Mapped) -> dict[str, list[str]]:
    found = {
        sobject: sorted(name for name, target in fields.items() if "mapped_at" in target)
        for sobject, fields in mapping.items()
    }
    wanted = {sobject: fields for sobject, fields in found.items() if fields}
    if not wanted:
        raise BadInput("No field was mapped since the records were read: name fields with --fields Lead.X,Contact.Y.")
    return wanted


def estimate(runtime: Runtime, source: Source, wanted: Fields) -> list[Estimate]:
    """Say what filling the fields would cost; asks Salesforce for describes and counts, and writes nothing.

    An object that the source's filter leaves out costs nothing.

    Raises:
        SalesforceError: the login cannot see an object or a field.
    """
    with transaction(runtime.database_url) as database:
        rate = queries.usual_rate(database, source.key) or USUAL_RATE
        selections = {name: choosing.selection(database, source.key, name) for name in wanted}
    client, overlap = sources.open_org(runtime, source.key), timedelta(seconds=runtime.settings.poll_overlap)
    found = []
    for name, fields in wanted.items():
        rows = _rows_to_read(client, OBJECTS[name], fields, selections[name], overlap)
        calls = 0 if rows is None else _calls(rows, runtime.settings.bulk_threshold)
        found.append(Estimate(name, tuple(fields), rows or 0, calls, round((rows or 0) / rate, 1)))
    return found


def _rows_to_read(
    client: OrgClient, sobject: SalesforceObject, fields: Sequence[str], selection: Selection, overlap: timedelta
) -> int | None:
    """Count what a backfill of an object reads, by the condition that it reads by; None if it asks for nothing."""
    if filters.settled(selection.tree, sobject.name) is False:
        return None
    known = Describes(client.describe)
    columns = known.resolve(sobject.name, filters.fields_used(selection.tree, sobject.name))
    if sobject.makes == "activities":
        _check_visible(sobject, fields, columns)
    admission = selection.admission(sobject.name, columns, client.observed.server_time, overlap)
    return client.count(sobject.name, admission.condition)


def _calls(rows: int, bulk_threshold: int) -> int:
    bulk = rows > bulk_threshold
    read = math.ceil(rows / (FILL_PAGE if bulk else REST_PAGE)) or 1
    return FIXED_CALLS + read + (BULK_OVERHEAD if bulk else 0)


def backfill(work: Work) -> None:
    """Fill the run's fields object by object, going on at the last page after an interruption.

    A record whose stored version is newer than the row read keeps its values: the poll that brought it read the field.
    What fails for one object delays no other.
    """
    failures: list[SalesforceError] = []
    wanted: Fields = work.lease.options["fields"]
    for name, fields in wanted.items():
        try:
            _fill_object(work, OBJECTS[name], fields)
        except (Transient, DailyLimitReached, SessionExpired):
            raise
        except SalesforceError as error:
            failures.append(error)
    if failures:
        raise failures[0]


def _fill_object(work: Work, sobject: SalesforceObject, fields: Sequence[str]) -> None:
    progress, selection = work.progress(sobject.name), work.selection(sobject)
    if progress.get("done") or filters.settled(selection.tree, sobject.name) is False:
        return
    whole, _drift = work.plan(sobject, selection)
    plan = _narrowed(whole, fields) if sobject.makes == "people" else whole
    if sobject.makes == "activities":
        _check_visible(sobject, fields, plan.fields)
    reading = Reading(
        client=work.client,
        sobject=sobject.name,
        fields=plan.fields,
        part=Pass("backfill", plan.layout.fixed["version_at"], whole.condition),
        bulk_threshold=work.runtime.settings.bulk_threshold,
        counted=True,
        bulk_page=FILL_PAGE,
        ahead=False,
    )
    start = progress.get("page") if progress.get("fields") == list(plan.fields) else None
    announced = goes_on(start)
    for page in pages(reading, start):
        _store_page(work, plan, page, expected=None if announced else page.expected)
        announced = announced or page.expected is not None


def _check_visible(sobject: SalesforceObject, fields: Sequence[str], visible: Collection[str]) -> None:
    """Refuse fields that cannot be filled because the login cannot see them; raises ObjectUnavailable."""
    if hidden := [field for field in fields if field not in visible]:
        raise ObjectUnavailable(
            "field_hidden",
            f"The login cannot see {sobject.name}.{hidden[0]}: give its profile or permission set read access to that "
            "field, and run the backfill again.",
        )


def _narrowed(plan: Plan, fields: Sequence[str]) -> Plan:
    """Return the part of a plan that reads only id, stamp and the given fields that describe still shows."""
    layout = plan.layout
    fixed = {name: layout.fixed[name] for name in ("record_id", "version_at")}
    filled = {field: name for field, name in layout.fields.items() if name in fields}
    columns = tuple(dict.fromkeys((*fixed.values(), *filled.values())))
    return Plan(
        plan.sobject, Layout(columns, MappingProxyType(fixed), MappingProxyType(filled), partial=True), plan.missing
    )


def _store_page(work: Work, plan: Plan, page: Page, *, expected: int | None) -> None:
    name = plan.sobject.name
    with work.page() as database:
        cursor = database.get(Cursor, (work.source.key, name))
        first = cursor is None or cursor.closed_to is None
        outcome = work.store(database, plan, page.chunks, page.read_at, expected, history=first)
        page.check(outcome.read)
        progress = {"page": page.checkpoint, "fields": list(plan.fields), "done": page.last}
        work.keep_progress(database, name, progress)
        if page.last:
            _note_filled(database, work, plan)


def _note_filled(database: Session, work: Work, plan: Plan) -> None:
    if plan.sobject.makes == "activities":
        schemas.note_read(database, work.source.key, plan)
    else:
        source = database.get_one(Source, work.source.key)
        source.mapping = transform.filled(source.mapping, plan)
