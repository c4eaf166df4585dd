"""People: finding one, its profile, and why it has its values."""

from collections.abc import Iterator
from uuid import UUID

from psycopg import sql
from sqlmodel import Session

from cdp.db import driver, rows
from cdp.fields import registered, rules
from cdp.queries.stream import Row, as_record, as_uuid, columns, stream, take_fields
from cdp.survivorship import PRECEDENCE, Verdict, judge


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

    Any person id ever published is a record's handle. A record that was merged into another leads on to that one, and
    any other that is not live to the people in which its companions are. An email that merges nobody, say an invalid
    one, leads to everybody who says it.
    """
    found = led_to(session, wanted) or _saying(session, wanted)
    return [row["person_id"] for row in found]


def _saying(session: Session, wanted: str) -> list[Row]:
    """The people with a live record that says an email which is no key."""
    return rows(
        driver(session),
        """
        SELECT DISTINCT m.person_id FROM membership AS m JOIN record AS r USING (handle)
        WHERE m.email_key IS NULL AND NOT is_blank(r.email) AND email_normal(r.email) = email_normal(%(wanted)s)
        ORDER BY person_id
        """,
        {"wanted": wanted},
    )


def led_to(session: Session, wanted: str) -> list[Row]:
    """The people that a valid email, a person id or a record's id leads to, by index."""
    return rows(
        driver(session),
        """
        WITH RECURSIVE lead(handle) AS (
            SELECT %(uuid)s::uuid
            UNION ALL
            SELECT record_handle(s.org_id, o.object, %(record_id)s)
            FROM source AS s CROSS JOIN (VALUES ('Lead'), ('Contact')) AS o(object)
            UNION
            SELECT next.handle FROM lead
            LEFT JOIN record AS r ON r.handle = lead.handle AND r.state <> 'live' AND r.merged_into IS NOT NULL
            LEFT JOIN source AS s ON s.id = r.source_id
            LEFT JOIN record AS winner ON winner.handle = record_handle(s.org_id, r.object, r.merged_into)
            CROSS JOIN LATERAL (
                SELECT winner.handle WHERE winner.handle IS NOT NULL
                UNION ALL
                SELECT d.person_id FROM departure AS d WHERE d.handle = lead.handle AND winner.handle IS NULL
                    AND NOT EXISTS (SELECT FROM membership AS m WHERE m.handle = lead.handle)
            ) AS next
        )
        SELECT m.person_id FROM membership AS m WHERE m.email_key = email_key(%(wanted)s)
        UNION SELECT held.person_id FROM lead CROSS JOIN LATERAL (
            SELECT m.person_id FROM membership AS m WHERE m.handle = lead.handle OFFSET 0) AS held
        ORDER BY person_id
        """,
        {"wanted": wanted, "uuid": as_uuid(wanted), "record_id": as_record(wanted)[1]},
    )


def person(session: Session, person_id: UUID) -> Row:
    """One profile in the shape of the export."""
    return next(people(session, person_id))


def people(session: Session, person_id: UUID | None = None) -> Iterator[Row]:
    """Stream every profile, or one, in the order of ids: fields, permissions, and the records that make it."""
    fields = registered(session)
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
    ).format(
        fields=sql.SQL("").join(
            sql.SQL(", p.{} AS {}").format(sql.Identifier(field.name), sql.Identifier(field.column)) for field in fields
        )
    )
    for row in stream(session, query, {"person": person_id}):
        yield _profile(row, take_fields(row, fields))


def _profile(row: Row, values: Row) -> Row:
    head = {"person_id": str(row.pop("person_id")), "email": row.pop("email")}
    permissions = {"email": row.pop("email_permission"), "sms": row.pop("sms_permission")}
    tail = {name: row.pop(name) for name in ("records", "created_at", "updated_at")}
    return {**head, "fields": values, "permissions": permissions, **tail}


def why(session: Session, person_id: UUID) -> list[Verdict]:
    """For each field of a person: the winning record, its stamp, the rule, and why the others lost."""
    in_force = rules(session)
    query = sql.SQL(
        """
        SELECT s.name AS source, r.source_id, r.object, r.record_id, r.modified_at, r.rank {fields}
        FROM membership AS m JOIN record AS r USING (handle) JOIN source AS s ON s.id = r.source_id
        WHERE m.person_id = %(person)s ORDER BY {precedence}
        """
    ).format(fields=columns(in_force.fields), precedence=PRECEDENCE)
    laid = rows(driver(session), query, {"person": person_id})
    return [verdict for field in in_force.fields if (verdict := judge(field, in_force, laid)) is not None]
