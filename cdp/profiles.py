"""Profiles: the records of a person laid over one another, as one query that the resolver and the rebuild share."""

from collections.abc import Sequence
from typing import LiteralString

from psycopg import sql

from cdp.db import Connection
from cdp.fields import Field, Rules
from cdp.survivorship import PRECEDENCE, winner

FIXED = ("email", "email_permission", "sms_permission", "created_at", "updated_at")
# Whose records: the memberships to read, joined with the people wanted if not all are.
STORED: LiteralString = "dirty JOIN membership AS m USING (person_id)"
REBUILT: LiteralString = "member AS m"


def names(fields: Sequence[Field]) -> list[sql.Identifier]:
    """Return the columns of a person besides its id."""
    return [sql.Identifier(name) for name in (*FIXED, *(field.name for field in fields))]


def exact(table: LiteralString, fields: Sequence[Field]) -> sql.Composed:
    """Return a row of a person's columns of which equality means the same bytes: 1.0 and 1.00 are not the same."""
    plain = [sql.SQL("{}.{}").format(sql.Identifier(table), sql.Identifier(name)) for name in FIXED]
    typed = [
        sql.SQL("{}.{}::text" if field.type == "number" else "{}.{}").format(
            sql.Identifier(table), sql.Identifier(field.name)
        )
        for field in fields
    ]
    return sql.SQL("ROW({})").format(sql.SQL(", ").join((*plain, *typed)))


def profiles(rules: Rules, members: LiteralString) -> sql.Composed:
    """Return the query that lays the records of each person over one another in order of precedence."""
    winners = [sql.SQL("{} AS {}").format(winner(field, rules), sql.Identifier(field.name)) for field in rules.fields]
    columns = [sql.SQL(", r.{}").format(sql.Identifier(field.column)) for field in rules.fields]
    return sql.SQL(
        """
        SELECT person_id, max(email_key) FILTER (WHERE handle = person_id) AS email,
               bool_and(email_permission) AS email_permission, bool_and(sms_permission) AS sms_permission,
               min(created_at) AS created_at, max(modified_at) AS updated_at {winners}
        FROM (
            SELECT m.person_id, m.email_key, r.handle, r.email_permission, r.sms_permission, r.created_at,
                   r.modified_at, r.rank, r.source_id, r.record_id {columns}
            FROM {members} JOIN record AS r ON r.handle = m.handle
            ORDER BY m.person_id, {precedence}
        ) AS laid GROUP BY person_id
        """
    ).format(
        winners=sql.SQL("").join(sql.SQL(", {}").format(item) for item in winners),
        columns=sql.SQL("").join(columns),
        members=sql.SQL(members),
        precedence=PRECEDENCE,
    )


def keep_order(connection: Connection) -> None:
    """Have the planner aggregate the laid rows in the order they are sorted in: the winners rely on it."""
    connection.execute("SET LOCAL enable_hashagg = off; SET LOCAL enable_presorted_aggregate = off")


def store_people(connection: Connection, rules: Rules) -> tuple[int, int]:
    """Lay the profiles of `dirty` people over the stored ones; return how many were written and removed.

    Those that were there and changed are noted in `revised`.
    """
    columns = names(rules.fields)
    connection.execute("CREATE TEMP TABLE revised (person_id uuid) ON COMMIT DROP")
    keep_order(connection)
    [written] = connection.execute(
        sql.SQL(_STORE).format(
            profiles=profiles(rules, STORED),
            stored=exact("p", rules.fields),
            given=exact("s", rules.fields),
            changes=sql.SQL(", ").join(sql.SQL("{0} = s.{0}").format(name) for name in columns),
            names=sql.SQL(", ").join(columns),
            values=sql.SQL(", ").join(sql.SQL("s.{}").format(name) for name in columns),
        )
    ).fetchone() or (0,)
    removed = connection.execute("""
        DELETE FROM person AS p USING dirty AS d
        WHERE p.person_id = d.person_id AND NOT EXISTS (SELECT FROM membership AS m WHERE m.person_id = p.person_id)
    """).rowcount
    return written, removed


_STORE = """
    WITH stored AS (
        MERGE INTO person AS p USING ({profiles}) AS s ON p.person_id = s.person_id
        WHEN MATCHED AND {stored} IS DISTINCT FROM {given} THEN UPDATE SET {changes}
        WHEN NOT MATCHED THEN INSERT (person_id, {names}) VALUES (s.person_id, {values})
        RETURNING merge_action() AS action, p.person_id
    ),
    noted AS (INSERT INTO revised SELECT person_id FROM stored WHERE action = 'UPDATE')
    SELECT count(*) FROM stored
"""
