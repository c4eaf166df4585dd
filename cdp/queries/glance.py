"""How sources stand at a glance, and the last days as a row each: what the first page of the dashboard shows."""

from collections.abc import Collection

from sqlmodel import Session

from cdp.db import driver, rows
from cdp.queries.stream import Row


def glance(session: Session, unread: Collection[tuple[int, str]] = ()) -> list[Row]:
    """For each source: how far its objects are read, rows read and written today, open findings, quarantine.

    `unread` are objects, as (source id, object), that are not read and so do not count.
    """
    return rows(
        driver(session),
        """
        SELECT s.id AS source_id, c.read_to, coalesce(c.objects, 0) AS objects, coalesce(c.unread, 0) AS unread,
               coalesce(t.read, 0) AS read_today, coalesce(t.written, 0) AS written_today,
               (SELECT count(*) FROM finding AS f WHERE f.source_id = s.id) AS findings,
               (SELECT count(*) FROM quarantine AS q WHERE q.source_id = s.id) AS quarantined
        FROM source AS s
        LEFT JOIN LATERAL (
            SELECT min(closed_to) AS read_to, count(*) AS objects, count(*) FILTER (WHERE closed_to IS NULL) AS unread
            FROM cursor WHERE source_id = s.id AND (source_id, object) NOT IN (
                SELECT * FROM unnest(%(sources)s::integer[], %(objects)s::text[]))) AS c ON true
        LEFT JOIN (
            SELECT source_id, sum(read) AS read, sum(written) AS written FROM run
            WHERE started_at >= date_trunc('day', now()) GROUP BY source_id) AS t ON t.source_id = s.id
        ORDER BY s.id
        """,
        {"sources": [source for source, _ in unread], "objects": [name for _, name in unread]},
    )


def days(session: Session, count: int = 14) -> list[Row]:
    """The last days in UTC, today last: rows read, rows written, and people that became one; runs by their start."""
    return rows(
        driver(session),
        """
        WITH span AS (SELECT date_trunc('day', now()) - make_interval(days => %(days)s - 1) AS first),
        day AS (SELECT generate_series(first, date_trunc('day', now()), '1 day') AS day FROM span),
        moved AS (
            SELECT date_trunc('day', started_at) AS day, sum(read) AS read, sum(written) AS written FROM run
            WHERE started_at >= (SELECT first FROM span) GROUP BY 1),
        merged AS (
            SELECT date_trunc('day', at) AS day, count(*) AS merged FROM person_event
            WHERE kind = 'merged' AND at >= (SELECT first FROM span) GROUP BY 1)
        SELECT day::date AS day, coalesce(read, 0) AS read, coalesce(written, 0) AS written,
               coalesce(merged, 0) AS merged
        FROM day LEFT JOIN moved USING (day) LEFT JOIN merged USING (day) ORDER BY day
        """,
        {"days": count},
    )


def quarantined(session: Session, source_id: int, limit: int = 100) -> list[Row]:
    """Rows of a source that could not be stored, newest first: which, and why."""
    return rows(
        driver(session),
        """
        SELECT object, record_id, reason, seen_at FROM quarantine WHERE source_id = %(source)s
        ORDER BY seen_at DESC, object, record_id LIMIT %(limit)s
        """,
        {"source": source_id, "limit": limit},
    )


def calls_by_kind(session: Session, source_id: int, days: int = 14) -> list[Row]:
    """How many API calls the runs of a source have made in the last days, by what they were for, most first."""
    return rows(
        driver(session),
        """
        SELECT c.key AS kind, sum(c.value::integer) AS calls,
               coalesce(sum(c.value::integer) FILTER (WHERE r.started_at >= date_trunc('day', now())), 0) AS today
        FROM run AS r CROSS JOIN LATERAL jsonb_each_text(r.calls_by_kind) AS c(key, value)
        WHERE r.source_id = %(source)s AND r.started_at >= now() - make_interval(days => %(days)s)
        GROUP BY c.key ORDER BY calls DESC, kind
        """,
        {"source": source_id, "days": days},
    )
