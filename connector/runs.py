"""Runs: PostgreSQL is the record of due work. A run is claimed by conditional update and owned through a lease."""

import os
import socket
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg import sql
from psycopg.types.json import Jsonb
from sqlmodel import Session

from cdp.db import Connection, Statement, driver, rows, transaction
from cdp.errors import LeaseLost
from cdp.queries.waiting import FREE
from cdp.records import Outcome

LEASE_SECONDS = 90
HEARTBEAT_SECONDS = 15
KEPT_RUNS, FORGOTTEN_AT_ONCE = 20, 500
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
            _end(driver(session), _FINISH, ending | {"run": self.run_id, "epoch": self.epoch})

    def hand_back(self, pause: float = 0.0) -> None:
        """Give the run back unfinished: it goes on at its checkpoint, but not before `pause` seconds from now.

        It keeps its owner's name meanwhile, since somebody is still at it; see `let_go`.
        """
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
    RETURNING id
"""
_HAND_BACK = """
    UPDATE run SET state = 'queued', queued_at = now(), lease_until = NULL,
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


def filled(session: Session, source_id: int) -> frozenset[str]:
    """Return the objects that an open backfill of a source is to fill."""
    found = rows(driver(session), _FILLED, {"source": source_id, "open": list(OPEN_STATES)})
    return frozenset(row["object"] for row in found)


_FILLED = """
    SELECT jsonb_object_keys(options -> 'fields') AS object FROM run
    WHERE source_id = %(source)s AND kind = 'backfill' AND state = ANY(%(open)s)
"""


def claim(url: str, run_id: int, owner: str, org_concurrency: int | None = None) -> Lease | None:
    """Take a run that is queued or waiting and due, or running on a lease that ran out; None if it is not free.

    Nor is it when as many runs of its source are at work already as may be at once.
    """
    asked = {"run": run_id, "owner": owner, "seconds": LEASE_SECONDS, "at_most": org_concurrency}
    with transaction(url) as session:
        connection = driver(session)
        # Claims of one source follow one another, so that each counts those before it.
        connection.execute(
            "SELECT FROM source WHERE id = (SELECT source_id FROM run WHERE id = %s) FOR NO KEY UPDATE", (run_id,)
        )
        taken = rows(connection, _CLAIM, asked)
    return Lease(url, run_id, **taken[0]) if taken else None


_CLAIM = sql.SQL(
    """
    UPDATE run AS r SET state = 'running', owner = %(owner)s, epoch = epoch + 1, error = NULL, error_code = NULL,
           started_at = coalesce(started_at, now()), resume_at = NULL,
           lease_losses = lease_losses + (state = 'running')::integer,
           lease_until = now() + make_interval(secs => %(seconds)s)
    WHERE id = %(run)s AND {free}
      AND coalesce((SELECT count(*) FROM run AS o WHERE o.source_id = r.source_id AND o.id <> r.id
                    AND o.state = 'running' AND o.lease_until > now()) < %(at_most)s::integer, true)
    RETURNING source_id, kind, epoch, coalesce(options, '{{}}') AS options
    """
).format(free=FREE)


def let_go(url: str, run_id: int) -> None:
    """Note that nobody is at work on a run that was handed back: whoever was, has been interrupted for good."""
    with transaction(url) as session:
        driver(session).execute("UPDATE run SET owner = NULL WHERE id = %s AND state = 'queued'", (run_id,))


def forget_old(url: str, keep: timedelta) -> int:
    """Forget runs that ended longer ago, but for the last KEPT_RUNS of each source and kind; returns how many.

    Those that read an object from its beginning stay: when they began tells which filter its records came in under.
    A bounded number at a time: it is asked at every tick.
    """
    with transaction(url) as session:
        return driver(session).execute(_FORGET, {"keep": keep, "kept": KEPT_RUNS, "limit": FORGOTTEN_AT_ONCE}).rowcount


_FORGET = """
    DELETE FROM run WHERE id IN (
        SELECT r.id FROM run AS r
        WHERE r.ended_at < now() - %(keep)s AND (
            SELECT count(*) FROM (SELECT FROM run AS later WHERE later.source_id = r.source_id AND later.kind = r.kind
                                  AND later.id > r.id LIMIT %(kept)s) AS newer) = %(kept)s
          AND NOT EXISTS (SELECT FROM read_window AS w WHERE w.run_id = r.id AND w.lo IS NULL)
        ORDER BY r.id LIMIT %(limit)s)
"""


def cancel(session: Session, run_id: int) -> None:
    """End a run if it is open, whoever works on it: that worker can write nothing more."""
    _end(driver(session), sql.SQL(_CANCEL).format(sql.SQL("id")), {"id": run_id, "open": list(OPEN_STATES)})


def cancel_open(session: Session, source_id: int) -> None:
    """End every open run of a source; whoever works on one can write nothing more."""
    _end(driver(session), sql.SQL(_CANCEL).format(sql.SQL("source_id")), {"id": source_id, "open": list(OPEN_STATES)})


_CANCEL = """
    UPDATE run SET state = 'cancelled', epoch = epoch + 1, ended_at = now(), owner = NULL, lease_until = NULL
    WHERE {} = %(id)s AND state = ANY(%(open)s)
    RETURNING id
"""


def _end(connection: Connection, ending: Statement, parameters: Mapping[str, Any]) -> None:
    """Carry out a statement that may end runs and returns their ids, and count those that ended for good.

    Counted in statements of their own, which see what a page committed while the first waited for its lock.
    """
    ids = [row["id"] for row in rows(connection, ending, parameters)]
    for tally in (_TALLY_RUNS, _TALLY_ROWS):
        connection.execute(tally, {"ids": ids})


_TALLY_RUNS = """
    INSERT INTO run_tally AS t (source_id, kind, state, runs, lease_losses)
    SELECT source_id, kind, state, count(*), sum(lease_losses) FROM run
    WHERE id = ANY(%(ids)s) AND ended_at IS NOT NULL GROUP BY source_id, kind, state ORDER BY source_id, kind, state
    ON CONFLICT (source_id, kind, state) DO UPDATE
        SET runs = t.runs + excluded.runs, lease_losses = t.lease_losses + excluded.lease_losses
"""
_TALLY_ROWS = """
    INSERT INTO row_tally AS t (source_id, object, read, imported, updated, deleted, skipped, quarantined)
    SELECT r.source_id, o.object, sum(o.read), sum(o.imported), sum(o.updated), sum(o.deleted), sum(o.skipped),
           sum(o.quarantined)
    FROM run_object AS o JOIN run AS r ON r.id = o.run_id
    WHERE r.id = ANY(%(ids)s) AND r.ended_at IS NOT NULL GROUP BY r.source_id, o.object ORDER BY r.source_id, o.object
    ON CONFLICT (source_id, object) DO UPDATE
        SET read = t.read + excluded.read, imported = t.imported + excluded.imported,
            updated = t.updated + excluded.updated, deleted = t.deleted + excluded.deleted,
            skipped = t.skipped + excluded.skipped, quarantined = t.quarantined + excluded.quarantined
"""
