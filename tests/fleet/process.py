"""`python -m tests.fleet.process worker|beat …`: the product's own command, with short times and perhaps a failpoint.

With FAILPOINT and FAILMARK set, the first process that comes to that point kills its whole group with SIGKILL.
"""

import os
import signal
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from cdp import db, ingest
from connector import budget, client, polling, runs, sources, sync, tasks, work
from connector.__main__ import main
from connector.runs import Lease

LEASE, HEARTBEAT, IDLE, TICK, PAUSE, TRIES = 4, 1, 3, 1, 10, 3


def shorten() -> None:
    """A lease of 4 s, 3 s of idling in a transaction, a tick each second, 10 s of waiting for quota, 3 tries a call."""
    runs.LEASE_SECONDS, runs.HEARTBEAT_SECONDS = LEASE, HEARTBEAT
    db.IDLE_LIMIT_SECONDS = IDLE
    sync.RETRY_AFTER = 1
    client.ATTEMPTS = TRIES
    budget.PAUSE = budget.LONGEST = timedelta(seconds=PAUSE)
    tick = tasks.app.conf.beat_schedule["tick"]
    tick["schedule"], tick["options"]["expires"] = TICK, 2 * TICK
    tasks.TICK_LIFE = 2 * TICK


def die_at(point: str) -> None:
    """Put the failpoint where its name says."""
    module, name, when = POINTS[point]
    real = getattr(module, name)
    setattr(module, name, _dying(real, before=when == "before"))


def _dying(real: Callable[..., Any], *, before: bool) -> Callable[..., Any]:
    def patched(*args: Any, **kwargs: Any) -> Any:
        if before:
            _die_once()
        done = real(*args, **kwargs)
        if not before:
            _die_once()
        return done

    return patched


def _die_once() -> None:
    try:
        os.close(os.open(os.environ["FAILMARK"], os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    os.killpg(os.getpgrp(), signal.SIGKILL)


POINTS = {
    "before the page": (polling, "_store_page", "before"),
    "before the write": (ingest, "store", "before"),
    "after the write": (ingest, "store", "after"),
    "after the progress": (Lease, "note", "after"),
    "before the commit": (work.Work, "store", "after"),
    "after the commit": (polling, "_store_page", "after"),
    "before the people": (sync.people, "resolve", "before"),
    "before the end": (Lease, "finish", "before"),
    "before a new token is kept": (sources, "_keep", "before"),
}

if __name__ == "__main__":
    shorten()
    if point := os.environ.get("FAILPOINT"):
        die_at(point)
    main()
