"""Runs: PostgreSQL is the record of due work. A run is claimed by conditional update and owned through a lease."""

import os
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from psycopg import sql
from psycopg.types.json import Jsonb
from sqlmodel import Session

from cdp.db import driver, rows, transaction
from cdp.errors import LeaseLost
from cdp.records import Outcome

LEASE_SECONDS = 90
HEARTBEAT_SECONDS = 15
OPEN_STATES = ("queued", "running", "waiting")


@dataclass(frozen=True)
class Lease:
    """The right to write for a run: valid while the run's epoch is still ours."""

    url: str
    run_id: int
    source_id: int
    kind: str
    epoch: int
    options: dict[str, Any]

    def note(self, session: Session, sobject: str, outcome: Outcome, expected: int | None = None) -> None:
        """Add what a page did to the run's progress, in the page's own transaction, and keep the lease.

        Raises:
            LeaseLost: another worker owns the run now; the caller's transaction must not commit.
        """
        counts = asdict(outcome) | {"run": self.run_id, "object": sobject}
        done = driver(session).execute(
            """
            UPDATE run SET read = read + %(read)s, written = written + %(written)s, skipped = skipped + %(skipped)s,
                   deleted = deleted + %(deleted)s, quarantined = quarantined + %(quarantined)s,
                   expected = coalesce(expected, 0) + coalesce(%(expected)s, 0),
                   lease_until = now() + make_interval(secs => %(seconds)s)
            WHERE id = %(run)s AND epoch = %(epoch)s AND state = 'running'
            """,
            counts | {"expected": expected, "epoch": self.epoch, "seconds": LEASE_SECONDS},
        )
        if done.rowcount != 1:
            raise LeaseLost(f"Run {self.run_id} has another owner now; nothing was written.")
        driver(session).execute(_NOTE_OBJECT, counts)

    def finish(
        self, state: str, *, code: str | None = None, error: str | None = None, resume_at: datetime | None = None
    ) -> None:
        """End the run, or let it wait until `resume_at`; does nothing when the lease is lost.

        A run that set rows aside ends as `incomplete`: all it could store is stored, but it is no success.
        """
        ending = {"state": state, "code": code, "error": error, "resume_at": resume_at}
        with transaction(self.url) as session:
            driver(session).execute(_FINISH, ending | {"run": self.run_id, "epoch": self.epoch})

    def hand_back(self, pause: float = 0.0) -> None:
        """Give the run back unfinished: it goes on at its checkpoint, but not before `pause` seconds from now."""
        with transaction(self.url) as session:
            self.hand_back_in(session, pause)

    def hand_back_in(self, session: Session, pause: float = 0.0) -> None:
        """Give the run back in the caller's transaction, together with the checkpoint at which it goes on."""
        driver(session).execute(_HAND_BACK, {"pause": pause, "run": self.run_id, "epoch": self.epoch})

    @contextmanager
    def kept_alive(self) -> Iterator[None]:
        """Keep the lease while the block works on something that commits nothing for a while, such as a bulk job."""
        stop = threading.Event()

        def beat() -> None:
            while not stop.wait(HEARTBEAT_SECONDS):
                with transaction(self.url) as session:
                    self._extend(session)

        thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _extend(self, session: Session) -> None:
        driver(session).execute(
            """
            UPDATE run SET lease_until = now() + make_interval(secs => %(seconds)s)
            WHERE id = %(run)s AND epoch = %(epoch)s AND state = 'running'
            """,
            {"run": self.run_id, "epoch": self.epoch, "seconds": LEASE_SECONDS},
        )


_FINISH = """
    UPDATE run SET state = CASE WHEN %(state)s = 'succeeded' AND quarantined > 0 THEN 'incomplete' ELSE %(state)s END,
           error_code = %(code)s, error = %(error)s, resume_at = %(resume_at)s,
           ended_at = CASE WHEN %(state)s = 'waiting' THEN NULL ELSE now() END, owner = NULL, lease_until = NULL
    WHERE id = %(run)s AND epoch = %(epoch)s AND state = 'running'
"""
_HAND_BACK = """
    UPDATE run SET state = 'queued', queued_at = now(), owner = NULL, lease_until = NULL,
           resume_at = CASE WHEN %(pause)s > 0 THEN now() + make_interval(secs => %(pause)s) END
    WHERE id = %(run)s AND epoch = %(epoch)s AND state = 'running'
"""
_NOTE_OBJECT = """
    INSERT INTO run_object AS o (run_id, object, read, imported, updated, deleted, skipped, quarantined)
    VALUES (%(run)s, %(object)s, %(read)s, %(imported)s, %(written)s - %(imported)s - %(deleted)s, %(deleted)s,
            %(skipped)s, %(quarantined)s)
    ON CONFLICT (run_id, object) DO UPDATE
        SET read = o.read + excluded.read, imported = o.imported + excluded.imported,
            updated = o.updated + excluded.updated, deleted = o.deleted + excluded.deleted,
            skipped = o.skipped + excluded.skipped, quarantined = o.quarantined + excluded.quarantined
"""


def owner_name() -> str:
    """Return a name for this process that no other has."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


def request(url: str, source_id: int, kind: str, options: dict[str, Any] | None = None) -> int:
    """Ask for a run of a kind (see `sync.KINDS`) and return its id: the open one if there is one, else a new one.

    An open resync does the work of a poll.
    """
    with transaction(url) as session:
        found = (
            driver(session)
            .execute(
                """
            WITH known AS (SELECT id FROM run WHERE source_id = %(source)s AND state = ANY(%(open)s)
                           AND kind = ANY(CASE WHEN %(kind)s = 'poll' THEN '{poll,resync}' ELSE ARRAY[%(kind)s] END)
                           ORDER BY kind DESC LIMIT 1),
            asked AS (
                INSERT INTO run (source_id, kind, options) SELECT %(source)s, %(kind)s, %(options)s
                WHERE NOT EXISTS (SELECT FROM known)
                ON CONFLICT (source_id, kind) WHERE state IN ('queued', 'running', 'waiting') DO NOTHING RETURNING id
            )
            SELECT id FROM known UNION ALL SELECT id FROM asked
            """,
                {"source": source_id, "kind": kind, "options": Jsonb(options or {}), "open": list(OPEN_STATES)},
            )
            .fetchone()
        )
    return int(found[0]) if found else request(url, source_id, kind, options)


def claim(url: str, run_id: int, owner: str) -> Lease | None:
    """Take a run that is free (see _FREE), under the lock of its source; None if it is not."""
    with transaction(url) as session:
        connection = driver(session)
        connection.execute(_TAKE_TURN, (run_id,))
        parameters = {"run": run_id, "owner": owner, "seconds": LEASE_SECONDS}
        taken = rows(connection, sql.SQL(_CLAIM).format(free=sql.SQL(_FREE)), parameters)
    return Lease(url, run_id, **taken[0]) if taken else None


_TAKE_TURN = """
    SELECT FROM source WHERE id = (SELECT source_id FROM run WHERE id = %s) FOR NO KEY UPDATE
"""
_CLAIM = """
    UPDATE run SET state = 'running', owner = %(owner)s, epoch = epoch + 1, error = NULL, error_code = NULL,
           started_at = coalesce(started_at, now()), resume_at = NULL,
           lease_until = now() + make_interval(secs => %(seconds)s)
    WHERE id = %(run)s AND {free}
    RETURNING source_id, kind, epoch, coalesce(options, '{{}}') AS options
"""
# Queued or waiting and due, or running on a lease that ran out. A poll and a resync read by the same cursor: a poll
# waits until the resync is over, which reads everything anyway; a resync waits only while a poll is at work.
_FREE = """
    (state = 'running' AND lease_until < now() OR state IN ('queued', 'waiting') AND coalesce(resume_at <= now(), true))
    AND NOT EXISTS (
        SELECT FROM run AS other
        WHERE other.source_id = run.source_id
          AND (run.kind = 'poll' AND other.kind = 'resync' AND other.state IN ('queued', 'running', 'waiting')
               OR run.kind = 'resync' AND other.kind = 'poll' AND other.state = 'running'
                  AND other.lease_until >= now())
    )
"""


def cancel(session: Session, run_id: int) -> bool:
    """End an open run, whoever works on it: that worker can write nothing more. False when it was over already."""
    done = driver(session).execute(sql.SQL(_CANCEL).format(sql.SQL("id")), (run_id, list(OPEN_STATES)))
    return done.rowcount == 1


def cancel_open(session: Session, source_id: int) -> None:
    """End every open run of a source; whoever works on one can write nothing more."""
    driver(session).execute(sql.SQL(_CANCEL).format(sql.SQL("source_id")), (source_id, list(OPEN_STATES)))


_CANCEL = """
    UPDATE run SET state = 'cancelled', epoch = epoch + 1, ended_at = now(), owner = NULL, lease_until = NULL
    WHERE {} = %s AND state = ANY(%s)
"""


def due(url: str, sweep_interval: int) -> list[int]:
    """Queue the polls and sweeps whose time has come (seconds between sweeps), and return the ids of all free runs."""
    with transaction(url) as session:
        connection = driver(session)
        connection.execute(_QUEUE_DUE, {"interval": sweep_interval})
        return [row["id"] for row in rows(connection, sql.SQL(_LIST_FREE).format(free=sql.SQL(_FREE)))]


# A source that is blocked until a person has mended it is left alone.
_QUEUE_DUE = """
    WITH able AS (SELECT * FROM source
                  WHERE state = 'connected' AND NOT coalesce((attention->>'blocks')::boolean, false))
    INSERT INTO run (source_id, kind)
    SELECT id, 'poll' FROM able WHERE next_poll_at <= now() AND NOT EXISTS (
        SELECT FROM run WHERE source_id = able.id AND kind = 'resync' AND state IN ('queued', 'running', 'waiting'))
    UNION ALL
    SELECT id, 'sweep' FROM able
    WHERE coalesce(next_sweep_at, created_at + make_interval(secs => %(interval)s)) <= now()
    ON CONFLICT (source_id, kind) WHERE state IN ('queued', 'running', 'waiting') DO NOTHING
"""
_LIST_FREE = """
    SELECT id FROM run WHERE {free} ORDER BY kind <> 'poll', id
"""
