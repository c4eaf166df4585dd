"""Taking a source out again: its records in slices, the people they touched recomputed, and no trace left."""

from dataclasses import dataclass

from psycopg import sql
from sqlmodel import Session

from cdp.db import driver, rows
from cdp.records import Outcome
from cdp.tables import PLAIN

SLICE = 5000


@dataclass(frozen=True)
class Consequences:
    """What removing a source takes away, in rows: its records, the people that vanish and those that stay otherwise."""

    records: int
    people_vanish: int
    people_stay: int


def consequences(session: Session, source_id: int) -> Consequences:
    """Count what removing a source would do; writes nothing."""
    found = rows(
        driver(session),
        """
        WITH held AS (
            SELECT m.person_id, bool_and(r.source_id = %(source)s) AS alone
            FROM membership AS m JOIN record AS r USING (handle)
            WHERE m.person_id IN (SELECT m2.person_id FROM membership AS m2 JOIN record AS r2 USING (handle)
                                  WHERE r2.source_id = %(source)s)
            GROUP BY m.person_id
        )
        SELECT (SELECT count(*) FROM record WHERE source_id = %(source)s) AS records,
               count(*) FILTER (WHERE alone) AS people_vanish, count(*) FILTER (WHERE NOT alone) AS people_stay
        FROM held
        """,
        {"source": source_id},
    )[0]
    return Consequences(**found)


def remove_slice(session: Session, source_id: int) -> Outcome:
    """Remove some of a source's records and queue them for the resolver; nothing removed means that none is left."""
    removed = (
        driver(session)
        .execute(
            """
        WITH slice AS (SELECT handle FROM record WHERE source_id = %(source)s LIMIT %(size)s),
        gone AS (DELETE FROM record WHERE handle IN (SELECT handle FROM slice) RETURNING handle)
        INSERT INTO touched (handle) SELECT handle FROM gone
        """,
            {"source": source_id, "size": SLICE},
        )
        .rowcount
    )
    return Outcome(read=removed, written=removed, deleted=removed)


def remove_source(session: Session, source_id: int) -> None:
    """Remove the source itself; its activities, cursors, windows, runs, findings and quarantine go with it."""
    connection = driver(session)
    for table in ("activity", *(table.name for table in PLAIN.values())):
        statement = sql.SQL("DELETE FROM {} WHERE source_id = %s").format(sql.Identifier(table))
        connection.execute(statement, (source_id,))
    connection.execute("DELETE FROM sweep_row WHERE run_id IN (SELECT id FROM run WHERE source_id = %s)", (source_id,))
    connection.execute("DELETE FROM source WHERE id = %s", (source_id,))
