"""Comparing what a source has now with what is stored, in PostgreSQL: ids and versions in, differences out."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg import sql
from sqlmodel import Session

from cdp import ending
from cdp.db import driver, rows
from cdp.records import Layout
from cdp.tables import RECORD, Table

BRAKE_ROWS = 50
BRAKE_SHARE = 0.02
READ_AGAIN, ABSENT, GONE = "read again", "absent", "marked as gone"


@dataclass(frozen=True)
class Difference:
    """A record that is not as in the source: `missing`, `stale`, `phantom` (stored but absent) or `quarantined`."""

    record_id: str
    kind: str


def keep_seen(session: Session, run_id: int, sobject: str, chunks: Iterable[bytes]) -> int:
    """Keep one page of (record id, is deleted, version), as CSV; return its rows. May be repeated."""
    connection = driver(session)
    connection.execute("DROP TABLE IF EXISTS pg_temp.seen")
    connection.execute("CREATE TEMP TABLE seen (record_id text, is_deleted text, version_at text) ON COMMIT DROP")
    with connection.cursor() as cursor:
        with cursor.copy("COPY pg_temp.seen FROM STDIN WITH (FORMAT csv)") as copy:
            for chunk in chunks:
                copy.write(chunk)
        staged = cursor.rowcount
    connection.execute(
        """
        INSERT INTO sweep_row (run_id, object, record_id, version_at, is_deleted)
        SELECT DISTINCT ON (record_id) %(run)s, %(object)s, record_id, version_at::timestamptz, is_deleted::boolean
        FROM pg_temp.seen ORDER BY record_id, version_at DESC
        ON CONFLICT DO NOTHING
        """,
        {"run": run_id, "object": sobject},
    )
    return staged


def keep_staged(session: Session, run_id: int, sobject: str, layout: Layout) -> None:
    """Keep the ids and versions of the rows that `ingest.store` has just staged in this transaction."""
    statement = sql.SQL(
        """
        INSERT INTO sweep_row (run_id, object, record_id, version_at, is_deleted)
        SELECT DISTINCT ON ({id}) %(run)s, %(object)s, {id}, {version}::timestamptz, {deleted}::boolean
        FROM pg_temp.stage ORDER BY {id}, {version} DESC ON CONFLICT DO NOTHING
        """
    ).format(
        id=sql.Identifier(layout.fixed["record_id"]),
        version=sql.Identifier(layout.fixed["version_at"]),
        deleted=sql.Identifier(layout.fixed["is_deleted"]),
    )
    driver(session).execute(statement, {"run": run_id, "object": sobject})


def differences(
    session: Session, run_id: int, source_id: int, sobject: str, *, table: Table = RECORD, narrowed: bool = False
) -> list[Difference]:
    """Compare what the sweep saw with what is stored; rows in quarantine differ by definition.

    A narrowed sweep saw only what matches the source's filter: that filtered records are absent is no difference then.

    A record changed since it was seen is newer here than there, and no difference, unless its stamp lies in the future.
    """
    driver(session).execute("ANALYZE sweep_row; SET LOCAL enable_nestloop = off")
    found = rows(
        driver(session),
        sql.SQL(_DIFFERENCES).format(table=table.identifier, own=table.own),
        {"run": run_id, "source": source_id, "object": sobject, "narrowed": narrowed},
    )
    return [Difference(**row) for row in found]


_DIFFERENCES = """
        WITH here AS (SELECT record_id, state, version_at, read_at FROM {table} AS r WHERE {own}),
        there AS (SELECT record_id, version_at, is_deleted FROM sweep_row
                  WHERE run_id = %(run)s AND object = %(object)s)
        SELECT record_id, 'missing' AS kind FROM there LEFT JOIN here USING (record_id)
        WHERE here.record_id IS NULL AND NOT there.is_deleted
        UNION ALL
        SELECT record_id, 'stale' FROM there JOIN here USING (record_id)
        WHERE here.state <> 'erased' AND (there.version_at > here.version_at
            OR (there.version_at < here.version_at AND here.version_at > here.read_at) OR (
            there.version_at = here.version_at AND there.is_deleted <> (here.state IN ('deleted', 'gone'))))
        UNION ALL
        SELECT record_id, 'phantom' FROM here LEFT JOIN there USING (record_id)
        WHERE there.record_id IS NULL AND (here.state = 'live' OR (here.state = 'filtered' AND NOT %(narrowed)s))
        UNION ALL
        SELECT record_id, 'quarantined' FROM quarantine WHERE source_id = %(source)s AND object = %(object)s
        ORDER BY 2, 1
"""


def quarantined(session: Session, source_id: int, sobject: str) -> set[str]:
    """Return the ids of an object's rows that could not be stored."""
    statement = "SELECT record_id FROM quarantine WHERE source_id = %s AND object = %s"
    return {row[0] for row in driver(session).execute(statement, (source_id, sobject))}


def count_stored(session: Session, source_id: int, sobject: str, table: Table = RECORD) -> int:
    """Count the records of an object that its source should have now."""
    statement = sql.SQL("SELECT count(*) FROM {} AS r WHERE {} AND state IN ('live', 'filtered')").format(
        table.identifier, table.own
    )
    found = driver(session).execute(statement, {"source": source_id, "object": sobject}).fetchone()
    return int(found[0]) if found else 0


def braked(session: Session, source_id: int, sobject: str, absent: int, table: Table = RECORD) -> bool:
    """Tell whether so many records absent at once look like lost permissions rather than deletions."""
    return absent > max(BRAKE_ROWS, BRAKE_SHARE * count_stored(session, source_id, sobject, table))


def mark_gone(
    session: Session,
    source_id: int,
    sobject: str,
    record_ids: Sequence[str],
    read_at: datetime,
    *,
    table: Table = RECORD,
    ended: Mapping[str, datetime] | None = None,
) -> int:
    """Mark records that the source no longer has, even in its recycle bin; return how many were there.

    `ended` says of some when they were deleted.
    """
    connection = driver(session)
    words = {"source": source_id, "object": sobject, "ids": list(record_ids), "read_at": read_at}
    connection.execute(
        "DELETE FROM quarantine WHERE source_id = %(source)s AND object = %(object)s AND record_id = ANY (%(ids)s)",
        words,
    )
    scope = sql.SQL(
        "{} AND r.record_id = ANY (%(ids)s) AND r.state IN ('live', 'filtered', 'deleted') AND r.read_at <= %(read_at)s"
    ).format(table.own)
    return ending.end(connection, table, "gone", scope, parameters=words, ended=ended)


def keep_looked(
    session: Session,
    run_id: int,
    sobject: str,
    healed: Iterable[tuple[str, str]],
    absent: Iterable[tuple[str, str]],
) -> None:
    """Note what a second look at records found, as (record id, difference): what was read again, and what is absent."""
    looked = [(*one, READ_AGAIN) for one in healed] + [(*one, ABSENT) for one in absent]
    with driver(session).cursor() as cursor:
        cursor.executemany(
            """
            INSERT INTO sweep_healed (run_id, object, record_id, difference, outcome) VALUES (%s, %s, %s, %s, %s)
            ON CONFLICT (run_id, object, record_id) DO UPDATE SET outcome = excluded.outcome
            """,
            [(run_id, sobject, *item) for item in looked],
        )


def absent(session: Session, run_id: int, sobject: str) -> dict[str, str]:
    """Return what this sweep has looked for in vain and not settled yet, record id → difference."""
    found = rows(
        driver(session),
        "SELECT record_id, difference FROM sweep_healed WHERE run_id = %(run)s AND object = %(object)s"
        " AND outcome = %(absent)s",
        {"run": run_id, "object": sobject, "absent": ABSENT},
    )
    return {row["record_id"]: row["difference"] for row in found}


def settle_absent(session: Session, run_id: int, sobject: str) -> int:
    """Note that what was absent has been marked as gone; return how many differences this sweep has healed."""
    connection = driver(session)
    connection.execute(
        "UPDATE sweep_healed SET outcome = %s WHERE run_id = %s AND object = %s AND outcome = %s",
        (GONE, run_id, sobject, ABSENT),
    )
    counted = connection.execute(
        "SELECT count(*) FROM sweep_healed WHERE run_id = %s AND object = %s", (run_id, sobject)
    ).fetchone()
    return int(counted[0]) if counted else 0


def forget_absent(session: Session, run_id: int, sobject: str) -> None:
    """Forget what was looked for in vain: it is not to be marked."""
    driver(session).execute(
        "DELETE FROM sweep_healed WHERE run_id = %s AND object = %s AND outcome = %s", (run_id, sobject, ABSENT)
    )


def forget_seen(session: Session, run_id: int) -> None:
    """Remove the rows that a finished sweep saw."""
    driver(session).execute("DELETE FROM sweep_row WHERE run_id = %s", (run_id,))


def stored_live(
    session: Session, source_id: int, sobject: str, record_ids: Sequence[str], table: Table = RECORD
) -> list[str]:
    """Return those of the ids whose records are stored as live or filtered."""
    found = rows(
        driver(session),
        sql.SQL(
            """
            SELECT r.record_id
            FROM unnest(%(ids)s::text[]) AS wanted(id)
            CROSS JOIN (SELECT org_id FROM source WHERE id = %(source)s) AS s JOIN {} AS r ON {}
            WHERE r.state IN ('live', 'filtered')
            """
        ).format(table.identifier, table.same(sql.SQL("wanted.id"), org=sql.SQL("s.org_id"))),
        {"source": source_id, "object": sobject, "ids": list(record_ids)},
    )
    return [row["record_id"] for row in found]
