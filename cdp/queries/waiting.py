"""Work that waits for a worker, by lane."""

from psycopg import sql
from sqlmodel import Session

from cdp.db import driver, rows
from cdp.queries.stream import Row

# Of `run AS r`. The first poll of a source reads everything, which is an initial sync.
LANE = sql.SQL(
    """
    CASE WHEN r.kind = 'removal' THEN 'removals'
         WHEN r.kind <> 'poll' THEN 'backfills'
         WHEN EXISTS (SELECT FROM read_window AS w WHERE w.source_id = r.source_id) THEN 'polls'
         ELSE 'initial' END
    """
)
# Queued or waiting and due, or running on a lease that ran out. A poll and a resync read by the same cursor: a poll
# waits until the resync is over, which reads everything anyway; a resync waits only while a poll is at work.
FREE = sql.SQL(
    """
    (r.state = 'running' AND r.lease_until < now()
     OR r.state IN ('queued', 'waiting') AND coalesce(r.resume_at <= now(), true))
    AND NOT EXISTS (
        SELECT FROM run AS other
        WHERE other.source_id = r.source_id
          AND (r.kind = 'poll' AND other.kind = 'resync' AND other.state IN ('queued', 'running', 'waiting')
               OR r.kind = 'resync' AND other.kind = 'poll' AND other.state = 'running'
                  AND other.lease_until >= now())
    )
    """
)
FREE_SINCE = sql.SQL("greatest(r.queued_at, r.resume_at, r.lease_until)")


def waiting(session: Session) -> list[Row]:
    """Runs that a worker could take now, by lane: how many, and for how many seconds the oldest has been free."""
    return rows(
        driver(session),
        sql.SQL(
            """
            SELECT {lane} AS lane, count(*) AS runs,
                   extract(epoch FROM now() - min({since}))::float AS oldest_seconds
            FROM run AS r WHERE {free} GROUP BY 1 ORDER BY 1
            """
        ).format(lane=LANE, free=FREE, since=FREE_SINCE),
    )


def overdue(session: Session, seconds: float) -> int:
    """How many sources should have been polled so many seconds ago and have no poll open: nobody ticks."""
    found = rows(
        driver(session),
        """
        SELECT count(*) AS sources FROM source AS s
        WHERE s.state = 'connected' AND NOT coalesce((s.attention->>'blocks')::boolean, false)
          AND s.next_poll_at < now() - make_interval(secs => %(seconds)s)
          AND NOT EXISTS (SELECT FROM run AS r WHERE r.source_id = s.id AND r.kind = 'poll'
                                                 AND r.state IN ('queued', 'running', 'waiting'))
        """,
        {"seconds": seconds},
    )
    return int(found[0]["sources"])
