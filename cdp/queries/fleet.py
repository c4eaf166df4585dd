"""Sources, objects, runs and what they did."""

from psycopg import sql
from sqlmodel import Session

from cdp.db import driver, rows
from cdp.queries.stream import Row
from cdp.tables import PLAIN

# A run whose owner died is not running: it waits for another worker.
SHOWN_STATE = sql.SQL("CASE WHEN state = 'running' AND lease_until <= now() THEN 'queued' ELSE state END AS state")


def sources(session: Session) -> list[Row]:
    """Every source in the order of connection: identity, state, what it needs, whether work is going on, API calls."""
    return rows(
        driver(session),
        """
        SELECT s.id AS source_id, s.name, s.org_id, s.state, s.instance_url, s.created_by, s.created_at,
               coalesce(s.attention, (
                   SELECT jsonb_build_object('code', f.code, 'message', f.message, 'remedy', f.remedy)
                   FROM finding AS f WHERE f.source_id = s.id AND f.code <> 'activities_hidden'
                   ORDER BY f.since, f.object, f.subject LIMIT 1)) AS attention,
               s.cursor_field AS cursor, s.next_poll_at, s.next_sweep_at, s.poll_interval, s.sweep_hour,
               s.api_used, s.api_limit,
               EXISTS (SELECT FROM run AS r WHERE r.source_id = s.id AND r.state = 'running'
                                              AND r.lease_until > now()) AS running,
               EXISTS (SELECT FROM run AS r WHERE r.source_id = s.id AND r.kind IN ('backfill', 'resync')
                                              AND r.state IN ('queued', 'running', 'waiting')) AS updating,
               (SELECT min(r.resume_at) FROM run AS r
                WHERE r.source_id = s.id AND r.state = 'waiting') AS waits_until,
               NOT EXISTS (SELECT FROM read_window AS w WHERE w.source_id = s.id) AND EXISTS (
                   SELECT FROM run AS r WHERE r.source_id = s.id AND r.state IN ('queued', 'running')
                                          AND r.started_at IS NOT NULL) AS syncing
        FROM source AS s ORDER BY s.id
        """,
    )


def objects(session: Session, source_id: int | None = None) -> list[Row]:
    """Each object of each source, or one: live records, how far it is read, rows in quarantine, gaps in windows."""
    return rows(driver(session), _OBJECTS, {"source": source_id, "plain": list(PLAIN)})


_OBJECTS = """
        SELECT c.source_id, c.object, c.closed_to AS cursor, c.last_run,
               CASE WHEN c.object = ANY (%(plain)s) THEN coalesce((
                   SELECT n.rows FROM row_count AS n
                   WHERE n.source_id = c.source_id AND n.object = c.object AND n.state = 'live'), 0) ELSE (
                   SELECT count(*) FROM record AS r
                   WHERE r.source_id = c.source_id AND r.object = c.object AND r.state = 'live') END AS records,
               (SELECT count(*) FROM quarantine AS q
                WHERE q.source_id = c.source_id AND q.object = c.object) AS quarantined,
               coalesce((SELECT bool_and(w.lo IS NULL OR w.lo <= w.before) FROM (
                   SELECT lo, lag(hi) OVER (ORDER BY id) AS before FROM read_window
                   WHERE source_id = c.source_id AND object = c.object) AS w), true) AS windows_contiguous
        FROM cursor AS c WHERE %(source)s::integer IS NULL OR c.source_id = %(source)s
        ORDER BY c.source_id, c.object
"""


def runs(session: Session, source_id: int, limit: int = 10) -> list[Row]:
    """The latest runs of a source, newest first."""
    return rows(
        driver(session),
        sql.SQL(
            """
            SELECT id AS run_id, kind, {state}, started_at, ended_at, resume_at, expected, read, written, skipped,
                   deleted, quarantined, api_calls, note, error_code, error
            FROM run WHERE source_id = %(source)s ORDER BY id DESC LIMIT %(limit)s
            """
        ).format(state=SHOWN_STATE),
        {"source": source_id, "limit": limit},
    )


def run(session: Session, run_id: int) -> Row | None:
    """One run's state, progress and error; None when it is gone with its source."""
    found = rows(
        driver(session),
        sql.SQL(
            """
            SELECT id AS run_id, source_id, kind, {state}, coalesce(lease_until > now(), false) AS alive, epoch,
                   started_at, ended_at, resume_at, expected, read, written, skipped, deleted, quarantined, api_calls,
                   note, error_code, error
            FROM run WHERE id = %(run)s
            """
        ).format(state=SHOWN_STATE),
        {"run": run_id},
    )
    return found[0] if found else None


def last_sweep(session: Session, source_id: int) -> Row | None:
    """How the last sweep of a source that ended did so, and when the last succeeded; None when none has ended."""
    found = rows(
        driver(session),
        """
        SELECT id AS run_id, state, ended_at, error,
               max(ended_at) FILTER (WHERE state IN ('succeeded', 'incomplete')) OVER () AS succeeded_at
        FROM run WHERE source_id = %(source)s AND kind = 'sweep' AND ended_at IS NOT NULL
        ORDER BY ended_at DESC, id DESC LIMIT 1
        """,
        {"source": source_id},
    )
    return found[0] if found else None


def usual_rate(session: Session, source_id: int) -> float | None:
    """Rows a second of the source's last large run; None if there was none."""
    found = rows(
        driver(session),
        """
        SELECT read / extract(epoch FROM ended_at - started_at)::float AS rate FROM run
        WHERE source_id = %(source)s AND read > 1000 AND ended_at > started_at ORDER BY id DESC LIMIT 1
        """,
        {"source": source_id},
    )
    return found[0]["rate"] if found else None


def full_read_calls(session: Session, source_id: int) -> int | None:
    """How many API calls the source's last run took that read everything; None if there was none."""
    found = rows(
        driver(session),
        """
        SELECT api_calls FROM run WHERE id = (
            SELECT max(run_id) FROM read_window WHERE source_id = %(source)s AND lo IS NULL)
        """,
        {"source": source_id},
    )
    return found[0]["api_calls"] if found else None


def log(session: Session, source_id: int | None, limit: int = 100) -> list[Row]:
    """What runs did, newest first: one event for the start, the end and each object's imports, updates and so on."""
    return rows(
        driver(session),
        """
        WITH recent AS (
            SELECT r.*, s.name FROM run AS r JOIN source AS s ON s.id = r.source_id
            WHERE r.started_at IS NOT NULL AND (%(source)s::integer IS NULL OR r.source_id = %(source)s)
            ORDER BY r.id DESC LIMIT %(limit)s
        ),
        event AS (
            SELECT id, name, kind, started_at AS at, 0 AS place, 'sync_started' AS event,
                   NULL::text AS object, NULL::integer AS rows, note AS message FROM recent
            UNION ALL
            SELECT r.id, r.name, r.kind, coalesce(r.ended_at, r.lease_until), 1,
                   'records_' || c.what, o.object, c.rows, NULL
            FROM recent AS r JOIN run_object AS o ON o.run_id = r.id CROSS JOIN LATERAL (VALUES
                ('imported', o.imported), ('updated', o.updated), ('deleted', o.deleted), ('skipped', o.skipped),
                ('quarantined', o.quarantined)) AS c(what, rows)
            WHERE c.rows > 0
            UNION ALL
            SELECT id, name, kind, ended_at, 2,
                   CASE WHEN state IN ('succeeded', 'incomplete') THEN 'sync_completed'
                        WHEN state = 'cancelled' THEN 'sync_cancelled' ELSE 'sync_failed' END,
                   NULL, read, error FROM recent WHERE ended_at IS NOT NULL
        )
        SELECT id AS run_id, name AS source, kind, at, event, object, rows, message
        FROM event ORDER BY id DESC, place DESC, object, event
        """,
        {"source": source_id, "limit": limit},
    )


def healed(session: Session, run_id: int) -> list[Row]:
    """What a sweep healed, record by record."""
    return rows(
        driver(session),
        """
        SELECT object, record_id, difference, outcome FROM sweep_healed WHERE run_id = %(run)s
        ORDER BY object, difference, record_id
        """,
        {"run": run_id},
    )


def totals(session: Session) -> Row:
    """How many people there are, of how many live records."""
    return rows(
        driver(session),
        """
        SELECT (SELECT count(*) FROM person) AS people,
               (SELECT count(*) FROM record WHERE state = 'live') AS records
        """,
    )[0]


def people_by_source(session: Session) -> list[Row]:
    """For each source its live records by object and how many people hold one of them; one row more for all sources."""
    return rows(
        driver(session),
        """
        SELECT s.name AS source, count(*) FILTER (WHERE r.object = 'Lead') AS leads,
               count(*) FILTER (WHERE r.object = 'Contact') AS contacts, count(*) AS records,
               count(DISTINCT m.person_id) AS people
        FROM membership AS m JOIN record AS r USING (handle) JOIN source AS s ON s.id = r.source_id
        GROUP BY GROUPING SETS ((s.id, s.name), ()) ORDER BY s.id NULLS LAST
        """,
    )
