"""The one door out: every number and every profile that anyone shows is a named query here."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from psycopg import sql
from psycopg.rows import dict_row
from sqlmodel import Session

from cdp.db import Statement, driver, rows
from cdp.fields import Field, registered
from cdp.survivorship import PRECEDENCE, Verdict, judge

Row = dict[str, Any]


def sources(session: Session) -> list[Row]:
    """Every source in the order of connection: identity, state, what it needs, whether work is going on, API calls."""
    return rows(
        driver(session),
        """
        SELECT s.id AS source_id, s.name, s.org_id, s.state, s.instance_url, s.created_by, s.created_at, s.attention,
               s.next_poll_at, s.api_used, s.api_limit,
               EXISTS (SELECT FROM run AS r WHERE r.source_id = s.id AND r.state = 'running'
                                              AND r.lease_until > now()) AS updating,
               NOT EXISTS (SELECT FROM read_window AS w WHERE w.source_id = s.id) AS fresh
        FROM source AS s ORDER BY s.id
        """,
    )


def objects(session: Session) -> list[Row]:
    """Each object of each source: live records, how far it is read, rows in quarantine, whether windows have gaps."""
    return rows(
        driver(session),
        """
        SELECT c.source_id, c.object, c.closed_to AS cursor, c.last_run,
               (SELECT count(*) FROM record AS r
                WHERE r.source_id = c.source_id AND r.object = c.object AND r.state = 'live') AS records,
               (SELECT count(*) FROM quarantine AS q
                WHERE q.source_id = c.source_id AND q.object = c.object) AS quarantined,
               coalesce((SELECT bool_and(w.lo IS NULL OR w.lo <= w.before) FROM (
                   SELECT lo, lag(hi) OVER (ORDER BY id) AS before FROM read_window
                   WHERE source_id = c.source_id AND object = c.object) AS w), true) AS windows_contiguous
        FROM cursor AS c ORDER BY c.source_id, c.object
        """,
    )


def runs(session: Session, source_id: int, limit: int = 10) -> list[Row]:
    """The latest runs of a source, newest first."""
    return rows(
        driver(session),
        """
        SELECT id AS run_id, kind, state, started_at, ended_at, resume_at, expected, read, written, skipped, deleted,
               quarantined, error
        FROM run WHERE source_id = %(source)s ORDER BY id DESC LIMIT %(limit)s
        """,
        {"source": source_id, "limit": limit},
    )


def run(session: Session, run_id: int) -> Row:
    """One run's state, progress and error; `fresh` tells whether its lease is alive."""
    return rows(
        driver(session),
        """
        SELECT id AS run_id, source_id, kind, state, started_at, ended_at, resume_at, expected, read, written, skipped,
               deleted, quarantined, error_code, error
        FROM run WHERE id = %(run)s
        """,
        {"run": run_id},
    )[0]


def totals(session: Session) -> Row:
    """How many people there are, of how many live records."""
    return rows(
        driver(session),
        """
        SELECT (SELECT count(*) FROM person) AS people,
               (SELECT count(*) FROM record WHERE state = 'live') AS records
        """,
    )[0]


def people_by_source(session: Session) -> list[Row]:
    """For each source its live records by object and how many people hold one of them; one row more for all sources."""
    return rows(
        driver(session),
        """
        SELECT s.name AS source, count(*) FILTER (WHERE r.object = 'Lead') AS leads,
               count(*) FILTER (WHERE r.object = 'Contact') AS contacts, count(*) AS records,
               count(DISTINCT m.person_id) AS people
        FROM membership AS m JOIN record AS r USING (handle) JOIN source AS s ON s.id = r.source_id
        GROUP BY GROUPING SETS ((s.id, s.name), ()) ORDER BY s.id NULLS LAST
        """,
    )


def widest_person(session: Session, records: int = 3) -> UUID | None:
    """A person made of at least so many records, from every source and most kinds; the smallest such, then by id."""
    found = rows(
        driver(session),
        """
        SELECT m.person_id FROM membership AS m JOIN record AS r USING (handle)
        GROUP BY m.person_id
        HAVING count(*) >= %(records)s AND count(DISTINCT r.source_id) = (SELECT count(*) FROM source)
        ORDER BY count(DISTINCT r.object) DESC, count(*), m.person_id LIMIT 1
        """,
        {"records": records},
    )
    return found[0]["person_id"] if found else None


def resolve_person(session: Session, wanted: str) -> list[UUID]:
    """The people that an email, a person id, a record's external id or a Salesforce record id leads to.

    Any person id ever published is a record's handle; a record that was merged into another leads on to that one.
    """
    found = rows(
        driver(session),
        """
        WITH RECURSIVE lead(handle) AS (
            SELECT r.handle FROM record AS r WHERE r.handle = %(uuid)s
            UNION ALL
            SELECT record_handle(s.org_id, r.object, x.record_id) AS handle
            FROM source AS s CROSS JOIN (VALUES ('Lead'), ('Contact')) AS o(object)
            CROSS JOIN (SELECT %(record_id)s::text AS record_id) AS x
            JOIN record AS r ON r.handle = record_handle(s.org_id, o.object, x.record_id)
            UNION
            SELECT record_handle(s.org_id, r.object, r.merged_into)
            FROM lead JOIN record AS r USING (handle) JOIN source AS s ON s.id = r.source_id
            WHERE r.merged_into IS NOT NULL
        )
        SELECT DISTINCT m.person_id FROM membership AS m
        WHERE m.email_key = email_key(%(wanted)s) OR m.handle IN (SELECT handle FROM lead)
        ORDER BY m.person_id
        """,
        {"wanted": wanted, "uuid": _uuid(wanted), "record_id": wanted.rsplit("_", 1)[-1]},
    )
    return [row["person_id"] for row in found]


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def person(session: Session, person_id: UUID) -> Row:
    """One profile in the shape of the export."""
    return next(people(session, person_id))


def people(session: Session, person_id: UUID | None = None) -> Iterator[Row]:
    """Stream every profile, or one, in the order of ids: fields, permissions, and the records that make it."""
    fields = [sql.Identifier(field.name) for field in registered(session)]
    query = sql.SQL(
        """
        SELECT p.person_id, p.email, p.email_permission, p.sms_permission, p.created_at, p.updated_at,
               m.records {fields}
        FROM person AS p JOIN LATERAL (
            SELECT json_agg(json_build_object('source', s.name, 'org_id', s.org_id, 'object', r.object,
                                              'record_id', r.record_id)
                            ORDER BY r.source_id, r.object, r.record_id) AS records
            FROM membership AS m JOIN record AS r USING (handle) JOIN source AS s ON s.id = r.source_id
            WHERE m.person_id = p.person_id
        ) AS m ON true
        WHERE %(person)s::uuid IS NULL OR p.person_id = %(person)s ORDER BY p.person_id
        """
    ).format(fields=sql.SQL("").join(sql.SQL(", p.{}").format(name) for name in fields))
    for row in _stream(session, query, {"person": person_id}):
        yield _profile(row)


def _profile(row: Row) -> Row:
    head = {"person_id": str(row.pop("person_id")), "email": row.pop("email")}
    permissions = {"email": row.pop("email_permission"), "sms": row.pop("sms_permission")}
    tail = {name: row.pop(name) for name in ("records", "created_at", "updated_at")}
    return {**head, "fields": row, "permissions": permissions, **tail}


def records(session: Session) -> Iterator[Row]:
    """Stream every stored record, whatever its state, in the order of sources, objects and ids."""
    fields = registered(session)
    query = sql.SQL(
        """
        SELECT s.name AS source, s.org_id, r.object, r.record_id,
               'sf_' || r.source_id || '_' || r.object || '_' || r.record_id AS external_id,
               r.state, r.modified_at, m.person_id, r.email {fields}
        FROM record AS r JOIN source AS s ON s.id = r.source_id LEFT JOIN membership AS m USING (handle)
        ORDER BY r.source_id, r.object, r.record_id
        """
    ).format(fields=_columns(fields))
    fixed = ("source", "org_id", "object", "record_id", "external_id", "state", "modified_at", "person_id")
    for row in _stream(session, query, {}):
        yield {**{name: row.pop(name) for name in fixed}, "fields": row}


def _columns(fields: tuple[Field, ...]) -> sql.Composed:
    return sql.SQL("").join(
        sql.SQL(", r.{} AS {}").format(sql.Identifier(field.column), sql.Identifier(field.name)) for field in fields
    )


def why(session: Session, person_id: UUID) -> list[Verdict]:
    """For each field of a person: the winning record, its stamp, the rule, and why the others lost."""
    fields = registered(session)
    query = sql.SQL(
        """
        SELECT s.name AS source, r.source_id, r.object, r.record_id, r.modified_at, r.rank {fields}
        FROM membership AS m JOIN record AS r USING (handle) JOIN source AS s ON s.id = r.source_id
        WHERE m.person_id = %(person)s ORDER BY {precedence}
        """
    ).format(fields=_columns(fields), precedence=PRECEDENCE)
    laid = rows(driver(session), query, {"person": person_id})
    return [verdict for field in fields if (verdict := judge(field, laid)) is not None]


def _stream(session: Session, query: Statement, parameters: Row) -> Iterator[Row]:
    """Read through a server-side cursor, so that memory does not grow with the answer."""
    with driver(session).cursor("stream", row_factory=dict_row) as cursor:
        cursor.itersize = 2000
        yield from cursor.execute(query, parameters)
