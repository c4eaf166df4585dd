"""Forgetting what one object of one source said: of a field that is unmapped, or of everything when it is left out."""

from psycopg import sql
from sqlmodel import Session

from cdp.db import driver
from cdp.fields import registered

SLICE = 5000


def clear(session: Session, source_id: int, sobject: str, column: str) -> int:
    """Empty a column of an object's records and queue them for the resolver; return how many held a value."""
    statement = sql.SQL(
        """
        WITH cleared AS (
            UPDATE record SET {column} = NULL
            WHERE source_id = %(source)s AND object = %(object)s AND {column} IS NOT NULL RETURNING handle
        )
        INSERT INTO touched (handle) SELECT handle FROM cleared
        """
    ).format(column=sql.Identifier(column))
    return driver(session).execute(statement, {"source": source_id, "object": sobject}).rowcount


def leave_out(session: Session, source_id: int, sobject: str) -> int:
    """Let a slice of an object's live records leave the filter, without their values; 0 when none is left."""
    names = ["email", "email_permission", "sms_permission", *(field.column for field in registered(session))]
    statement = sql.SQL(
        """
        WITH slice AS (SELECT handle FROM record
                       WHERE source_id = %(source)s AND object = %(object)s AND state = 'live' LIMIT %(size)s),
        left_out AS (UPDATE record SET state = 'filtered', {values}
                     WHERE handle IN (SELECT handle FROM slice) RETURNING handle)
        INSERT INTO touched (handle) SELECT handle FROM left_out
        """
    ).format(values=sql.SQL(", ").join(sql.SQL("{} = NULL").format(sql.Identifier(name)) for name in names))
    return driver(session).execute(statement, {"source": source_id, "object": sobject, "size": SLICE}).rowcount
