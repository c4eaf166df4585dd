"""Rows that ceased to be there although no row says so: marked with what follows from it, in one statement."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, LiteralString

from psycopg import sql
from psycopg.types.json import Jsonb

from cdp import activities
from cdp.db import Connection
from cdp.tables import Table

_QUEUED = sql.SQL("told AS (INSERT INTO touched (handle) SELECT handle FROM changed)")


def end(
    connection: Connection,
    table: Table,
    state: LiteralString,
    scope: sql.Composable,
    *,
    parameters: Mapping[str, Any],
    ended: Mapping[str, datetime] | None = None,
) -> int:
    """Give the rows `r` in scope a final state and return how many they were; `ended` tells when, for ids it knows.

    The parameters are those of a table's statements, what the scope has, and `read_at`, which dates what is not known.
    """
    activities.prepare(connection, table)
    words = {
        "table": table.identifier,
        "state": sql.Literal(state),
        "scope": scope,
        "was": sql.SQL("was AS (SELECT r.* FROM {} AS r WHERE {}),").format(table.identifier, scope)
        if table.plain
        else sql.SQL(""),
        "ended_at": sql.SQL(_ENDED_AT if table.plain else ""),
        "effects": activities.effects(table) if table.plain else _QUEUED,
    }
    times = Jsonb({record_id: moment.isoformat() for record_id, moment in (ended or {}).items()})
    found = connection.execute(
        sql.SQL(_END).format(**words), {**parameters, "ended": times, "history": False}
    ).fetchone()
    return int(found[0]) if found else 0


_ENDED_AT: LiteralString = (
    ", ended_at = coalesce(r.ended_at, (%(ended)s::jsonb ->> r.record_id)::timestamptz, %(read_at)s)"
)
_END: LiteralString = """
    WITH {was}
    changed AS (
        UPDATE {table} AS r SET state = {state}, read_at = %(read_at)s {ended_at} WHERE {scope} RETURNING r.*
    ),
    {effects}
    SELECT count(*) FROM changed
"""
