"""Backfill: newly mapped fields of records that are there already, reading only id, stamp and those fields."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from cdp.models import Source
from cdp.records import Layout
from connector import filters, transform
from connector.client import OrgClient
from connector.cursors import Pass
from connector.errors import BadInput, DailyLimitReached, SalesforceError, SessionExpired, Transient
from connector.objects import PEOPLE
from connector.pages import Page, Reading, goes_on, pages
from connector.transform import Plan
from connector.work import Work

REST_PAGE = 2000
FILL_PAGE = 10_000  # rows by Bulk, which are narrow: what one crash costs
BULK_OVERHEAD = 4  # calls to create a job and to learn that it is done
USUAL_RATE = 5000.0  # rows a second, until this source has shown its own
Fields = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Estimate:
    """What a backfill of one object would cost: rows to read, API calls, seconds."""

    object: str
    fields: tuple[str, ...]
    rows: int
    api_calls: int
    seconds: float


def chosen(text: str | None, mapping: Mapping[str, Mapping[str, Mapping[str, object]]]) -> dict[str, list[str]]:
    """Return object → mapped fields from "Lead.X,Contact.Y"; without a text those mapped since records were read.

    Raises:
        BadInput: a name is not that of a mapped field, or there is nothing to fill.
    """
    if text is None:
        return _waiting(mapping)
    wanted: dict[str, list[str]] = {}
    for name in filter(None, map(str.strip, text.split(","))):
        sobject, _, field = name.partition(".")
        if field not in mapping.get(sobject, {}):
            raise BadInput(f"{name} is not mapped: map it first, with `connector map NAME {name} PERSON_FIELD`.")
        wanted.setdefault(sobject, []).append(field)
    if not wanted:
        raise BadInput("Name the fields to fill as Lead.X,Contact.Y.")
    return wanted


def _waiting(mapping: Mapping[str, Mapping[str, Mapping[str, object]]]) -> dict[str, list[str]]:
    found = {
        sobject: sorted(name for name, target in fields.items() if "mapped_at" in target)
        for sobject, fields in mapping.items()
    }
    wanted = {sobject: fields for sobject, fields in found.items() if fields}
    if not wanted:
        raise BadInput("No field was mapped since the records were read: name fields with --fields Lead.X,Contact.Y.")
    return wanted


def estimate(client: OrgClient, wanted: Fields, bulk_threshold: int, rate: float | None) -> list[Estimate]:
    """Say what filling the fields would cost; asks Salesforce for counts only, and writes nothing."""
    answers = []
    for sobject, fields in wanted.items():
        rows = client.count(sobject)
        pages_needed = math.ceil(rows / (FILL_PAGE if rows > bulk_threshold else REST_PAGE)) or 1
        calls = pages_needed + (BULK_OVERHEAD if rows > bulk_threshold else 0)
        answers.append(Estimate(sobject, tuple(fields), rows, calls, round(rows / (rate or USUAL_RATE), 1)))
    return answers


def backfill(work: Work) -> None:
    """Fill the run's fields object by object, going on at the last page after an interruption.

    A record whose stored version is newer than the row read keeps its values: the poll that brought it read the field.
    What fails for one object delays no other.
    """
    failures: list[SalesforceError] = []
    wanted: Fields = work.lease.options["fields"]
    for sobject, fields in wanted.items():
        try:
            _fill_object(work, sobject, fields)
        except (Transient, DailyLimitReached, SessionExpired):
            raise
        except SalesforceError as error:
            failures.append(error)
    if failures:
        raise failures[0]


def _fill_object(work: Work, sobject: str, fields: Sequence[str]) -> None:
    progress, selection = work.progress(sobject), work.selection(PEOPLE[sobject])
    if progress.get("done") or filters.settled(selection.tree, sobject) is False:
        return
    whole, _drift = work.plan(PEOPLE[sobject], selection)
    plan = _narrowed(whole, fields)
    reading = Reading(
        client=work.client,
        sobject=sobject,
        fields=plan.fields,
        part=Pass("backfill", plan.layout.fixed["version_at"], whole.condition),
        bulk_threshold=work.runtime.settings.bulk_threshold,
        counted=True,
        bulk_page=FILL_PAGE,
        ahead=False,
    )
    announced = goes_on(progress.get("page"))
    for page in pages(reading, progress.get("page")):
        _store_page(work, plan, page, expected=None if announced else page.expected)
        announced = announced or page.expected is not None


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
    with work.page() as database:
        outcome = work.store(database, plan, page.chunks, page.read_at, expected)
        page.check(outcome.read)
        work.keep_progress(database, plan.sobject.name, {"page": page.checkpoint, "done": page.last})
        if page.last:
            source = database.get_one(Source, work.source.key)
            source.mapping = transform.filled(source.mapping, plan)
