"""Rows that cannot be stored: found, set aside with their reason and version, and no value of them kept."""

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from psycopg import sql
from sqlmodel import Session

from cdp import ending
from cdp.db import driver
from cdp.errors import MalformedBatch
from cdp.fields import TYPES
from cdp.records import Batch, Layout, csv_row

csv.field_size_limit(4 * 131_072)
NOTED = ("record_id", "version_at", "is_deleted")


class BadRow(NamedTuple):
    """A row that the database cannot hold: its id and version as far as they can be read, and why."""

    record_id: str
    version_at: str | None
    is_deleted: str | None
    reason: str


def scrubbed(batch: Batch, bad: list[BadRow]) -> Iterator[bytes]:
    """Yield the rows whose text PostgreSQL can hold, and add the others to `bad`; raises MalformedBatch."""
    text = io.TextIOWrapper(
        io.BufferedReader(_Chunks(batch.chunks())), encoding="utf-8", errors="surrogateescape", newline=""
    )
    columns, fixed = batch.layout.columns, batch.layout.fixed
    places = [columns.index(fixed[name]) if name in fixed else -1 for name in NOTED]
    for row in csv.reader(text):
        if len(row) != len(columns):
            raise MalformedBatch(f"A row has {len(row)} columns instead of {len(columns)}: read it again.")
        reason = _unstorable(row)
        if reason:
            record_id, version_at, is_deleted = (_readable(row, place) for place in places)
            bad.append(BadRow(record_id or "unknown", version_at, is_deleted, reason))
        else:
            yield csv_row(row)


def _readable(row: list[str], place: int) -> str | None:
    """Return a cell if it is plain: one that is not may be anything."""
    return row[place] if place >= 0 and row[place].isascii() and row[place].isprintable() and row[place] else None


def _unstorable(row: list[str]) -> str | None:
    text = "".join(row)
    if "\x00" in text:
        return "a text contains a NUL character"
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        return "a text is not valid Unicode"
    return None


class _Chunks(io.RawIOBase):
    """A readable file over an iterable of bytes."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - the signature of io.RawIOBase
        self._rest = self._rest or next(self._chunks, b"")
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size


def keep(session: Session, batch: Batch, bad: Iterable[BadRow]) -> None:
    """Put rows into quarantine that never reached the stage."""
    driver(session).execute(_REFUSED)
    with driver(session).cursor() as cursor, cursor.copy("COPY pg_temp.refused FROM STDIN") as copy:
        for row in bad:
            copy.write_row(row)
    _settle(session, batch)


def set_aside_invalid(session: Session, batch: Batch) -> int:
    """Move staged rows to quarantine that lack a necessary value or have one not of its type; return how many."""
    fixed = {name: sql.Identifier(column) for name, column in batch.layout.fixed.items()}
    connection = driver(session)
    connection.execute(_REFUSED)
    connection.execute(
        sql.SQL(
            """
            WITH judged AS (SELECT ctid AS place, {id} AS record_id, {stamp} AS version_at, {deleted} AS is_deleted,
                                   CASE {reasons} END AS reason
                            FROM pg_temp.stage),
            gone AS (DELETE FROM pg_temp.stage AS s USING judged AS j WHERE s.ctid = j.place AND j.reason IS NOT NULL
                     RETURNING j.record_id, j.version_at, j.is_deleted, j.reason)
            INSERT INTO pg_temp.refused SELECT coalesce(record_id, 'unknown'), version_at, is_deleted, reason FROM gone
            """
        ).format(
            id=fixed["record_id"],
            stamp=fixed["version_at"],
            deleted=fixed.get("is_deleted", sql.NULL),
            reasons=sql.SQL(" ").join(_reasons(batch.layout)),
        )
    )
    return _settle(session, batch)


def _reasons(layout: Layout) -> Iterator[sql.Composed]:
    """Yield the branches of a CASE that says why a staged row cannot be stored."""
    for name, column in layout.fixed.items():
        if name in layout.table.required:
            cell = sql.Identifier(column)
            yield sql.SQL("WHEN {} IS NULL THEN {}").format(cell, sql.Literal(f"{column} has no value"))
    for column, kind in _typed(layout):
        reason = sql.Literal(f"{column} is not a valid {kind}")
        yield sql.SQL("WHEN NOT pg_input_is_valid({}, {}) THEN {}").format(
            sql.Identifier(column), sql.Literal(kind), reason
        )


def _typed(layout: Layout) -> Iterator[tuple[str, str]]:
    """Yield (CSV column, SQL type) for every column whose text must be readable as another type."""
    for name, column in layout.fixed.items():
        kind = layout.table.columns[name]
        if kind != "text":
            yield column, kind
    for field, column in layout.fields.items():
        if field.type not in ("text", "list"):
            yield column, TYPES[field.type]


def _settle(session: Session, batch: Batch) -> int:
    """Keep what was refused, unless the record is stored in a later version already; return how many rows it was."""
    connection = driver(session)
    found = connection.execute("SELECT count(*) FROM pg_temp.refused").fetchone()
    values = {"source": batch.source_id, "org": batch.org_id, "object": batch.object, "read_at": batch.read_at}
    values["layout"] = batch.layout.fingerprint
    table = batch.layout.table
    words = {"table": table.identifier, "same": table.same(sql.Identifier("b", "record_id"))}
    connection.execute(sql.SQL(_KEEP).format(**words), values)
    ending.end(connection, table, "deleted", sql.SQL(_BURIED).format(same=words["same"]), parameters=values)
    connection.execute("DROP TABLE pg_temp.refused")
    return int(found[0]) if found else 0


def objects(session: Session, source_id: int, among: list[str]) -> frozenset[str]:
    """Return those of some objects of which rows are in quarantine."""
    found = driver(session).execute(
        """
        SELECT name FROM unnest(%s::text[]) AS asked(name)
        WHERE EXISTS (SELECT FROM quarantine AS q WHERE q.source_id = %s AND q.object = asked.name)
        """,
        (among, source_id),
    )
    return frozenset(str(name) for (name,) in found)


def worth_another_try(session: Session, source_id: int, sobject: str, layout: Layout) -> list[str]:
    """Return the ids of an object's rows that were set aside when they were read otherwise than by this layout."""
    statement = """
        SELECT record_id FROM quarantine
        WHERE source_id = %s AND object = %s AND layout IS DISTINCT FROM %s ORDER BY record_id
    """
    found = driver(session).execute(statement, (source_id, sobject, layout.fingerprint))
    return [row[0] for row in found]


_REFUSED = """
    CREATE TEMP TABLE refused (record_id text, version_at text, is_deleted text, reason text) ON COMMIT DROP
"""
# That a row was deleted holds whatever its other values are.
_BURIED = """
    EXISTS (SELECT FROM pg_temp.refused AS b WHERE {same} AND b.is_deleted = 'true')
    AND r.state IN ('live', 'filtered') AND r.read_at <= %(read_at)s
"""
_KEEP = """
    INSERT INTO quarantine (source_id, object, record_id, version_at, layout, reason, seen_at)
    SELECT DISTINCT ON (b.record_id)
           %(source)s, %(object)s, b.record_id, b.version_at, %(layout)s, b.reason, %(read_at)s
    FROM pg_temp.refused AS b
    LEFT JOIN {table} AS r ON {same}
    WHERE r.version_at IS NULL OR (r.version_at > r.read_at AND r.read_at <= %(read_at)s)
       OR NOT pg_input_is_valid(coalesce(b.version_at, ''), 'timestamptz')
       OR r.version_at <= CASE WHEN pg_input_is_valid(coalesce(b.version_at, ''), 'timestamptz')
                               THEN b.version_at::timestamptz END
    ORDER BY b.record_id, b.version_at DESC NULLS LAST
    ON CONFLICT (source_id, object, record_id) DO UPDATE
        SET reason = excluded.reason, version_at = excluded.version_at, layout = excluded.layout,
            seen_at = excluded.seen_at
"""
