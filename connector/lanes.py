"""Lanes: in which order due work is taken, and how much of it for one org at once."""

from dataclasses import dataclass

from psycopg import sql
from sqlmodel import Session

from cdp import queries
from cdp.db import driver, rows, transaction
from cdp.queries.waiting import FREE, FREE_SINCE, LANE

LANES = ("polls", "initial", "backfills", "removals")  # the first is taken first
PATIENCE = 30.0  # seconds: a few ticks, and a slice that is about to end
MOST_AT_ONCE = 500  # runs that one tick hands out; the next tick has more


@dataclass(frozen=True)
class Ready:
    """A run that a worker may take now, and the lane it goes in."""

    run_id: int
    lane: str


def due(url: str, org_concurrency: int) -> list[Ready]:
    """Queue the polls and sweeps whose time has come, and return the runs to hand out, those that wait longest first.

    Of one org no more than may be worked on at once (`org_concurrency`, less those at work): what is handed back after
    a slice stands behind all others of its lane, so that a huge org never starves a small one.
    """
    with transaction(url) as session:
        connection = driver(session)
        connection.execute(_QUEUE_DUE)
        found = rows(connection, _READY, {"lanes": list(LANES), "at_most": org_concurrency, "limit": MOST_AT_ONCE})
    return [Ready(**row) for row in found]


def lane_of(url: str, run_id: int) -> str:
    """Return the lane that a run goes in."""
    with transaction(url) as session:
        statement = sql.SQL("SELECT {} AS lane FROM run AS r WHERE r.id = %(run)s").format(LANE)
        found = rows(driver(session), statement, {"run": run_id})
    return str(found[0]["lane"]) if found else LANES[0]


def unclaimed(session: Session, seconds: float = PATIENCE) -> str | None:
    """Return a sentence when due work has waited so long for a worker, or to be queued; None when all is well."""
    late = [row for row in queries.waiting(session) if row["oldest_seconds"] > seconds]
    unqueued = queries.overdue(session, seconds)
    if late:
        lanes = ", ".join(f"{row['runs']} in {row['lane']} for up to {row['oldest_seconds']:.0f} s" for row in late)
        return f"Due work waits for a worker: {lanes}."
    return f"{unqueued} sources are due and nobody queues their polls." if unqueued else None


# A source that is blocked until a person has mended it is left alone.
_QUEUE_DUE = """
    WITH able AS (SELECT * FROM source
                  WHERE state = 'connected' AND NOT coalesce((attention->>'blocks')::boolean, false))
    INSERT INTO run (source_id, kind)
    SELECT id, 'poll' FROM able WHERE next_poll_at <= now() AND NOT EXISTS (
        SELECT FROM run WHERE source_id = able.id AND kind = 'resync' AND state IN ('queued', 'running', 'waiting'))
    UNION ALL
    SELECT id, 'sweep' FROM able WHERE next_sweep_at <= now()
    ON CONFLICT (source_id, kind) WHERE state IN ('queued', 'running', 'waiting') DO NOTHING
"""
_READY = sql.SQL(
    """
    WITH free AS (
        SELECT r.id, r.source_id, {lane} AS lane, {since} AS since FROM run AS r WHERE {free}
    ),
    placed AS (
        SELECT *, array_position(%(lanes)s::text[], lane) AS rank,
               row_number() OVER (PARTITION BY source_id
                                  ORDER BY array_position(%(lanes)s::text[], lane), since, id) AS place,
               (SELECT count(*) FROM run AS r WHERE r.source_id = free.source_id AND r.state = 'running'
                                                AND r.lease_until > now()) AS at_work
        FROM free
    )
    SELECT id AS run_id, lane FROM placed WHERE place <= %(at_most)s - at_work ORDER BY rank, since, id LIMIT %(limit)s
    """
).format(lane=LANE, since=FREE_SINCE, free=FREE)
