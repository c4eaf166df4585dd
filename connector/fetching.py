"""Reading given records by their ids, to see what has become of them, and storing what is found."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any

from cdp import quarantine, sweeps
from cdp.db import transaction
from cdp.records import Outcome
from connector import soql, transform
from connector.errors import SalesforceError
from connector.transform import Plan
from connector.work import Work

URI_BYTES = 14_000  # the whole request line and headers must fit in about 16 KB
NO_ID = frozenset({"INVALID_QUERY_FILTER_OPERATOR", "MALFORMED_ID"})  # one id among many cannot be any record's
NEVER: Mapping[str, datetime] = MappingProxyType({})
ID_BYTES = 30  # an id in quotes with its comma, as the URI encodes them


def fetch(
    work: Work, plan: Plan, record_ids: Collection[str], ended: Mapping[str, datetime] = NEVER
) -> Iterator[tuple[Sequence[str], set[str]]]:
    """Read records by id, live or in the recycle bin, and store them, as many at a time as one request takes.

    Yields in the order of ids those that were looked for and, of these, the ones that Salesforce still knows. `ended`
    says of some when they were deleted.
    """
    for chunk in _chunks(plan, sorted(record_ids)):
        asked = list(filter(soql.RECORD_ID.fullmatch, chunk))  # what bad rows say is their id need not be one
        yield chunk, _fetch_chunk(work, plan, asked, ended) if asked else set()


def settle(work: Work, plan: Plan, record_ids: Collection[str], ended: Mapping[str, datetime] = NEVER) -> None:
    """Read records by id, and mark those as gone that Salesforce does not know; makes way for others in between."""
    began = work.client.observed.server_time
    for looked_for, known in fetch(work, plan, record_ids, ended):
        mark_absent(work, plan, set(looked_for) - known, began, ended)
        work.make_way()


def try_refused_again(work: Work, plan: Plan) -> None:
    """Read rows in quarantine again that were set aside under another mapping, or when their fields had other types."""
    with transaction(work.runtime.database_url) as database:
        refused = quarantine.worth_another_try(database, work.source.key, plan.sobject.name, plan.layout)
    settle(work, plan, refused)


def _chunks(plan: Plan, record_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    size = max(50, (URI_BYTES - 2 * len(",".join(plan.fields))) // ID_BYTES)
    for start in range(0, len(record_ids), size):
        yield record_ids[start : start + size]


def _fetch_chunk(work: Work, plan: Plan, record_ids: Sequence[str], ended: Mapping[str, datetime]) -> set[str]:
    try:
        records = _query(work, plan, record_ids)
    except SalesforceError as error:
        if error.code not in NO_ID:
            raise
        if len(record_ids) > 1:
            middle = len(record_ids) // 2
            halves = (record_ids[:middle], record_ids[middle:])
            return set().union(*(_fetch_chunk(work, plan, half, ended) for half in halves))
        records = []
    known = {record["Id"] for record in records}
    read_at = work.client.observed.server_time
    rows = transform.csv_rows(plan.fields, records)
    with transaction(work.runtime.database_url) as database:
        work.store(database, plan, lambda: (rows,), read_at, contested=True, ended=ended)
    return known


def mark_absent(
    work: Work, plan: Plan, record_ids: Collection[str], read_at: datetime, ended: Mapping[str, datetime] = NEVER
) -> None:
    """Mark records as gone that `fetch` has looked for in vain since `read_at`, the server's time before it began."""
    with transaction(work.runtime.database_url) as database:
        gone = sweeps.mark_gone(
            database,
            work.lease.source_id,
            plan.sobject.name,
            sorted(record_ids),
            read_at,
            table=plan.sobject.table,
            ended=ended,
        )
        work.lease.note(database, plan.sobject.name, Outcome(written=gone, deleted=gone))


def _query(work: Work, plan: Plan, record_ids: Sequence[str]) -> list[dict[str, Any]]:
    answer = work.client.query(soql.select(plan.sobject.name, plan.fields, soql.among(record_ids)))
    records = list(answer.records)
    while answer.next_url:
        answer = work.client.more(answer.next_url)
        records += answer.records
    return records
