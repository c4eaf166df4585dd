"""The one door into the CDP: a batch of rows is staged by COPY and laid over the records by one MERGE."""

from collections.abc import Iterable

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb
from sqlmodel import Session

from cdp import activities, quarantine
from cdp.db import driver, limit_idling, rows
from cdp.erasure import forget_erased
from cdp.expressions import ERASED, LEFT_OUT, ended_at, record_values
from cdp.quarantine import BadRow
from cdp.records import Batch, Layout, Outcome

STAGE = sql.Identifier("stage")
PAGE_LOCK = 0x0C_DC  # first half of the advisory lock of a source's pages; the second is its id


def store(session: Session, batch: Batch) -> Outcome:
    """Store a batch in the session's transaction and queue what changed for the resolver; may be repeated at will.

    A record is replaced only by a version at least as new, read no earlier (see `_AS_NEW`); unchanged content writes
    nothing, but for the time of reading of a `contested` batch. Rows that cannot be stored go to quarantine with their
    reason, and the others land. A partial layout fills columns of records whose stored version is not newer. Of a row
    that the layout does not admit only id, stamps and links are kept, as a guard against older versions: the record is
    `filtered`.
    """
    _create_stage(session, batch.layout)
    activities.prepare(driver(session), batch.layout.table)
    quarantined = _stage(session, batch)
    _leave_out(session, batch.layout)
    forget_erased(session, batch)
    _take_turn(session, batch)
    try:
        with session.begin_nested():
            outcome = _merge(session, batch)
    except (psycopg.DataError, psycopg.errors.NotNullViolation):
        quarantined += quarantine.set_aside_invalid(session, batch)
        outcome = _merge(session, batch)
    if batch.contested and not batch.layout.partial:
        _confirm(session, batch)
    activities.tell_steps(driver(session), batch.layout.table, batch.source_id, history=batch.history)
    return outcome + Outcome(read=quarantined, quarantined=quarantined)


def _take_turn(session: Session, batch: Batch) -> None:
    """Let one page of a source be laid over the records at a time: two that bring the same new record would collide.

    Whoever is frozen in the middle of it loses its connection, and with it the turn, which others wait for.
    """
    limit_idling(driver(session))
    driver(session).execute("SELECT pg_advisory_xact_lock(%s, %s)", (PAGE_LOCK, batch.source_id))


def _create_stage(session: Session, layout: Layout) -> None:
    columns = sql.SQL(", ").join(
        [
            *(sql.SQL("{} text").format(sql.Identifier(name)) for name in layout.columns),
            sql.SQL("{} boolean").format(ERASED),
            *([sql.SQL("{} boolean").format(LEFT_OUT)] if layout.admitted else []),
        ]
    )
    connection = driver(session)
    connection.execute("DROP TABLE IF EXISTS pg_temp.stage")
    connection.execute(sql.SQL("CREATE TEMP TABLE {} ({}) ON COMMIT DROP").format(STAGE, columns))


def _stage(session: Session, batch: Batch) -> int:
    """COPY the rows into the stage; return how many had to be set aside because the database cannot hold their text."""
    bad: list[BadRow] = []
    try:
        with session.begin_nested():
            _copy(session, batch.layout, batch.chunks())
    except psycopg.DataError:
        _copy(session, batch.layout, quarantine.scrubbed(batch, bad))
        quarantine.keep(session, batch, bad)
    analyze = sql.SQL("ANALYZE pg_temp.stage ({})").format(sql.Identifier(batch.layout.fixed["record_id"]))
    driver(session).execute(analyze)
    return len(bad)


def _leave_out(session: Session, layout: Layout) -> None:
    """Mark the rows that are not admitted, and forget their values; deleted ones too, since nobody may see those."""
    if layout.admitted is None:
        return
    kept = {
        layout.fixed[name]
        for name in (*layout.table.required, "converted_to", "merged_into", "is_converted")
        if name in layout.fixed
    }
    values = [sql.Identifier(name) for name in layout.columns if name not in kept]
    statement = sql.SQL("UPDATE {} SET {} = true {} WHERE NOT {}").format(
        STAGE,
        LEFT_OUT,
        sql.SQL("").join(sql.SQL(", {} = NULL").format(name) for name in values),
        layout.admitted,
    )
    driver(session).execute(statement)


def _copy(session: Session, layout: Layout, chunks: Iterable[bytes]) -> None:
    names = sql.SQL(", ").join(map(sql.Identifier, layout.columns))
    statement = sql.SQL("COPY {} ({}) FROM STDIN WITH (FORMAT csv, NULL '', FORCE_NULL *)").format(STAGE, names)
    with driver(session).cursor() as cursor, cursor.copy(statement) as copy:
        for chunk in chunks:
            copy.write(chunk)


def _parameters(batch: Batch) -> dict[str, object]:
    return {
        "source": batch.source_id,
        "org": batch.org_id,
        "object": batch.object,
        "rank": batch.rank,
        "read_at": batch.read_at,
        "history": batch.history,
        "ended": Jsonb({record_id: moment.isoformat() for record_id, moment in batch.ended.items()}),
    }


def _merge(session: Session, batch: Batch) -> Outcome:
    values = record_values(batch.layout)
    names = [sql.Identifier(name) for name in values]
    statement = sql.SQL(_FILL if batch.layout.partial else _MERGE).format(
        id=sql.Identifier(batch.layout.fixed["record_id"]),
        stamp=sql.Identifier(batch.layout.fixed["version_at"]),
        as_new=_AS_NEW,
        expressions=sql.SQL(", ").join(
            sql.SQL("{} AS {}").format(value, sql.Identifier(name)) for name, value in values.items()
        ),
        names=sql.SQL(", ").join(names),
        stored=sql.SQL(", ").join(sql.SQL("r.{}").format(name) for name in names),
        given=sql.SQL(", ").join(sql.SQL("s.{}").format(name) for name in names),
        changes=sql.SQL(", ").join(sql.SQL("{0} = s.{0}").format(name) for name in names),
        **(_plain if batch.layout.table.plain else _record)(batch.layout),
    )
    counts = rows(driver(session), statement, _parameters(batch))[0]
    return Outcome(
        read=counts["staged"],
        written=counts["written"],
        imported=counts["imported"],
        deleted=counts["deleted"],
        skipped=counts["staged"] - counts["written"],
        ahead=counts["ahead"],
    )


def _confirm(session: Session, batch: Batch) -> None:
    """Note when unchanged content was last read, so that a reading from before, stored after, does not replace it."""
    table = batch.layout.table
    statement = sql.SQL(_CONFIRM).format(
        table=table.identifier,
        same=table.same(sql.Identifier("s", batch.layout.fixed["record_id"])),
        stamp=sql.Identifier(batch.layout.fixed["version_at"]),
    )
    driver(session).execute(statement, _parameters(batch))


def _plain(layout: Layout) -> dict[str, sql.Composable]:
    """The parts of a MERGE that are those of plain tables: the end of a row, and the activities that follow."""
    table = layout.table
    match = table.same(sql.SQL("s.record_id"))
    return {
        "table": table.identifier,
        "key": sql.SQL("{} AS ended_at,").format(ended_at(layout)),
        "match": match,
        "was": sql.SQL("was AS (SELECT r.* FROM {} AS r JOIN given AS s ON {}),").format(table.identifier, match),
        "also": sql.SQL("ended_at = CASE WHEN s.state = 'live' THEN NULL ELSE coalesce(r.ended_at, s.ended_at) END,"),
        "keys": sql.SQL("source_id, record_id, ended_at"),
        "given_keys": sql.SQL("%(source)s, s.record_id, s.ended_at"),
        "known": sql.SQL("r.*, r.version_at > r.read_at AS ahead"),
        "effects": activities.effects(table),
    }


def _record(layout: Layout) -> dict[str, sql.Composable]:
    """The parts of a MERGE that are those of records: handle and object, and the resolver's queue."""
    record_id = sql.Identifier(layout.fixed["record_id"])
    return {
        "table": layout.table.identifier,
        "key": sql.SQL("record_handle(%(org)s, %(object)s, {}) AS handle,").format(record_id),
        "match": sql.SQL("r.handle = s.handle"),
        "was": sql.SQL(""),
        "also": sql.SQL(""),
        "keys": sql.SQL("handle, source_id, object, record_id"),
        "given_keys": sql.SQL("s.handle, %(source)s, %(object)s, s.record_id"),
        "known": sql.SQL(
            "r.handle, r.source_id, r.record_id, r.state, r.version_at, r.converted_to, r.converted_on, r.merged_into,"
            " greatest(r.modified_at, r.version_at) > r.read_at AS ahead"
        ),
        "effects": sql.SQL("queued AS (INSERT INTO touched (handle) SELECT handle FROM let_in), {}").format(
            sql.SQL(activities.PEOPLE)
        ),
    }


# Stamps tell versions apart, and the time of reading does where they cannot: between equal ones, where a stamp lies
# ahead of the clock it was read by, and of a record that was gone at that time.
_AS_NEW = sql.SQL("""
    CASE WHEN r.state = 'gone' OR r.version_at > r.read_at OR s.version_at > s.read_at THEN s.read_at >= r.read_at
         ELSE (s.version_at, s.read_at) >= (r.version_at, r.read_at) END
""")
_MERGE = """
    WITH given AS (
        SELECT DISTINCT ON ({id}) {key} {id} AS record_id, %(read_at)s::timestamptz AS read_at, {expressions}
        FROM pg_temp.stage ORDER BY {id}, {stamp} DESC
    ),
    {was}
    changed AS (
        MERGE INTO {table} AS r USING given AS s ON {match}
        WHEN MATCHED AND {as_new} AND ROW({stored}) IS DISTINCT FROM ROW({given})
            THEN UPDATE SET read_at = s.read_at, {also} {changes}
        WHEN NOT MATCHED THEN INSERT ({keys}, read_at, {names}) VALUES ({given_keys}, s.read_at, {given})
        RETURNING {known}, merge_action() AS action
    ),
    let_in AS (SELECT * FROM changed WHERE action <> 'INSERT' OR state <> 'filtered'),
    {effects},
    healed AS (DELETE FROM quarantine AS q USING pg_temp.stage AS s
               WHERE q.source_id = %(source)s AND q.object = %(object)s AND q.record_id = s.{id}
                 AND (NOT pg_input_is_valid(coalesce(q.version_at, ''), 'timestamptz')
                      OR CASE WHEN pg_input_is_valid(coalesce(q.version_at, ''), 'timestamptz')
                              THEN q.version_at::timestamptz END <= s.{stamp}::timestamptz))
    SELECT (SELECT count(*) FROM pg_temp.stage) AS staged, count(*) AS written,
           count(*) FILTER (WHERE state = 'deleted') AS deleted, count(*) FILTER (WHERE action = 'INSERT') AS imported,
           count(*) FILTER (WHERE ahead) AS ahead
    FROM let_in
"""
_FILL = """
    WITH changed AS (
        UPDATE record AS r SET {changes}
        FROM (
            SELECT DISTINCT ON ({id}) record_handle(%(org)s, %(object)s, {id}) AS handle,
                   {stamp}::timestamptz AS version_at, %(read_at)s::timestamptz AS read_at, {expressions}
            FROM pg_temp.stage ORDER BY {id}, {stamp} DESC
        ) AS s
        WHERE r.handle = s.handle AND {as_new} AND r.state NOT IN ('erased', 'filtered')
          AND ROW({stored}) IS DISTINCT FROM ROW({given})
        RETURNING r.handle
    ),
    queued AS (INSERT INTO touched (handle) SELECT handle FROM changed)
    SELECT (SELECT count(*) FROM pg_temp.stage) AS staged, count(*) AS written, 0 AS deleted, 0 AS imported, 0 AS ahead
    FROM changed
"""
_CONFIRM = """
    UPDATE {table} AS r SET read_at = %(read_at)s FROM pg_temp.stage AS s
    WHERE {same} AND r.version_at = s.{stamp}::timestamptz
      AND r.read_at < %(read_at)s AND r.state <> 'gone'
"""
