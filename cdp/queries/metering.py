"""What is measured again and again from outside: a few numbers for each source, by its name.

All but `population` read tables that grow with sources and open work only, never with what is stored or with time.
"""

from psycopg import sql
from sqlmodel import Session

from cdp.db import driver, rows
from cdp.queries.fleet import SHOWN_STATE
from cdp.queries.stream import Row

_OPEN = sql.SQL("state IN ('queued', 'running', 'waiting')")


def open_runs(session: Session) -> list[Row]:
    """How many runs are queued, at work or waiting, by source and kind; a dead worker's run is queued."""
    return rows(
        driver(session),
        sql.SQL(
            """
            WITH shown AS (SELECT source_id, kind, {state} FROM run WHERE {open})
            SELECT s.name AS source, r.kind, r.state, count(*) AS runs
            FROM shown AS r JOIN source AS s ON s.id = r.source_id GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
            """
        ).format(state=SHOWN_STATE, open=_OPEN),
    )


def ended_runs(session: Session) -> list[Row]:
    """How many runs have ended, by source, kind and state, forgotten ones too."""
    return rows(
        driver(session),
        """
        SELECT s.name AS source, t.kind, t.state, t.runs FROM run_tally AS t JOIN source AS s ON s.id = t.source_id
        ORDER BY 1, 2, 3
        """,
    )


def lease_losses(session: Session) -> list[Row]:
    """How often a run was taken over because its lease had run out, by source and kind."""
    return rows(
        driver(session),
        sql.SQL(
            """
            WITH counted AS (SELECT source_id, kind, lease_losses FROM run_tally
                             UNION ALL SELECT source_id, kind, lease_losses FROM run WHERE {open})
            SELECT s.name AS source, t.kind, sum(t.lease_losses)::bigint AS losses
            FROM counted AS t JOIN source AS s ON s.id = t.source_id GROUP BY 1, 2 ORDER BY 1, 2
            """
        ).format(open=_OPEN),
    )


def rows_moved(session: Session) -> list[Row]:
    """What runs did, those at work too, in rows by source and object; `written` are all that changed something."""
    return rows(
        driver(session),
        sql.SQL(
            """
            WITH counted AS (
                SELECT source_id, object, read, imported, updated, deleted, skipped, quarantined FROM row_tally
                UNION ALL
                SELECT r.source_id, o.object, o.read, o.imported, o.updated, o.deleted, o.skipped, o.quarantined
                FROM (SELECT id, source_id FROM run WHERE {open}) AS r JOIN run_object AS o ON o.run_id = r.id)
            SELECT s.name AS source, t.object, sum(t.read)::bigint AS read,
                   sum(t.imported + t.updated + t.deleted)::bigint AS written, sum(t.deleted)::bigint AS deleted,
                   sum(t.skipped)::bigint AS skipped, sum(t.quarantined)::bigint AS quarantined
            FROM counted AS t JOIN source AS s ON s.id = t.source_id GROUP BY 1, 2 ORDER BY 1, 2
            """
        ).format(open=_OPEN),
    )


def lags(session: Session) -> list[Row]:
    """How many seconds each object of a connected source is behind; None before its first window is closed."""
    return rows(
        driver(session),
        """
        SELECT s.id AS source_id, s.name AS source, c.object, extract(epoch FROM now() - c.closed_to)::float AS seconds
        FROM cursor AS c JOIN source AS s ON s.id = c.source_id WHERE s.state = 'connected' ORDER BY s.name, c.object
        """,
    )


def rows_quarantined(session: Session) -> list[Row]:
    """How many rows are in quarantine now, by source and object."""
    return rows(
        driver(session),
        """
        SELECT s.name AS source, c.object, (
            SELECT count(*) FROM quarantine AS q WHERE q.source_id = c.source_id AND q.object = c.object) AS rows
        FROM cursor AS c JOIN source AS s ON s.id = c.source_id ORDER BY 1, 2
        """,
    )


def population(session: Session) -> list[Row]:
    """How many records are stored, by source, object and state. Reads an index of people's records from end to end."""
    return rows(
        driver(session),
        """
        SELECT s.name AS source, c.object, c.state, c.records FROM (
            SELECT source_id, object, state, count(*) AS records FROM record GROUP BY 1, 2, 3
            UNION ALL SELECT source_id, object, state, rows FROM row_count WHERE rows > 0
        ) AS c JOIN source AS s ON s.id = c.source_id ORDER BY 1, 2, 3
        """,
    )
