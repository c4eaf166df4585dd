"""Stored records: all of them, or what became of one."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from uuid import UUID

from psycopg import sql
from sqlmodel import Session

from cdp.db import driver, rows
from cdp.fields import registered
from cdp.queries.stream import Row, columns, stream, take_fields
from cdp.tables import PLAIN


def records(session: Session, handles: Sequence[UUID] | None = None) -> Iterator[Row]:
    """Stream every stored record, or these, whatever their state, in the order of sources, objects and ids."""
    fields = registered(session)
    query = sql.SQL(
        """
        SELECT s.name AS source, s.org_id, r.object, r.record_id,
               'sf_' || r.source_id || '_' || r.object || '_' || r.record_id AS external_id,
               r.state, r.modified_at, m.person_id, r.email {fields}
        FROM record AS r JOIN source AS s ON s.id = r.source_id LEFT JOIN membership AS m USING (handle)
        WHERE %(handles)s::uuid[] IS NULL OR r.handle = ANY (%(handles)s)
        ORDER BY r.source_id, r.object, r.record_id
        """
    ).format(fields=columns(fields))
    for row in stream(session, query, {"handles": None if handles is None else list(handles)}):
        values = {"email": row.pop("email"), **take_fields(row, fields)}
        yield {**row, "fields": values}


def stamped_after(session: Session, source_id: int, sobject: str, moment: datetime) -> Row:
    """How many live records of an object bear a stamp after a moment, the latest of these, and one that bears it."""
    return rows(
        driver(session),
        """
        SELECT count(*) AS records, max(stamp) AS latest,
               (array_agg(record_id ORDER BY stamp DESC, record_id))[1] AS example
        FROM record, greatest(modified_at, version_at) AS stamp
        WHERE source_id = %(source)s AND object = %(object)s AND state = 'live' AND stamp > %(moment)s
        """,
        {"source": source_id, "object": sobject, "moment": moment},
    )[0]


def trace_plain(session: Session, sobject: str, record_id: str) -> list[Row]:
    """What is stored in each source of a row that makes no people: its state, when it was read, quarantine."""
    statement = sql.SQL(
        """
        SELECT s.name AS source, s.org_id, %(object)s AS object, %(id)s AS record_id,
               coalesce(r.state, 'quarantined') AS state, r.created_at, coalesce(r.read_at, q.seen_at) AS read_at,
               q.reason AS quarantined
        FROM source AS s LEFT JOIN {} AS r ON r.source_id = s.id AND r.record_id = %(id)s
        LEFT JOIN quarantine AS q ON q.source_id = s.id AND q.object = %(object)s AND q.record_id = %(id)s
        WHERE r.state IS NOT NULL OR q.reason IS NOT NULL ORDER BY s.id
        """
    ).format(PLAIN[sobject].identifier)
    return rows(driver(session), statement, {"object": sobject, "id": record_id})


def trace(session: Session, record_id: str) -> list[Row]:
    """What is stored of a Salesforce record (18 characters) in each source: state, key, person, quarantine."""
    return rows(
        driver(session),
        """
        SELECT s.name AS source, s.org_id, r.object, r.record_id, r.state, r.created_at, r.modified_at, r.read_at,
               r.email IS NOT NULL AS has_email, email_key(r.email) IS NOT NULL AS has_valid_email,
               m.person_id, m.email_key IS NOT NULL AS has_key, r.merged_into, r.converted_to,
               (SELECT count(*) FROM membership AS k WHERE k.email_key = m.email_key) AS key_holders,
               (SELECT count(*) FROM membership AS p WHERE p.person_id = m.person_id) AS person_records,
               q.reason AS quarantined, EXISTS (SELECT FROM touched AS t WHERE t.handle = r.handle) AS waiting
        FROM source AS s CROSS JOIN (VALUES ('Lead'), ('Contact')) AS o(object)
        JOIN record AS r ON r.handle = record_handle(s.org_id, o.object, %(id)s)
        LEFT JOIN membership AS m USING (handle)
        LEFT JOIN quarantine AS q ON q.source_id = s.id AND q.object = r.object AND q.record_id = r.record_id
        UNION ALL
        SELECT s.name, s.org_id, q.object, q.record_id, 'quarantined', NULL, NULL, q.seen_at,
               NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, q.reason, NULL
        FROM quarantine AS q JOIN source AS s ON s.id = q.source_id
        WHERE q.record_id = %(id)s
          AND NOT EXISTS (SELECT FROM record AS r WHERE r.handle = record_handle(s.org_id, q.object, q.record_id))
        ORDER BY 1
        """,
        {"id": record_id},
    )
