"""The processes of a deployment: workers and beat, thin over Celery."""

import os
import sys
import threading
import time
import warnings
from collections.abc import Sequence

import structlog
from celery.platforms import SecurityWarning

from cdp.db import transaction
from cdp.errors import CdpError
from connector import slices
from connector.lanes import LANES, unclaimed
from connector.tasks import TICK_SECONDS, TICKS, app, runtime

PATIENCE = 2 * TICK_SECONDS
log = structlog.get_logger()


def run_worker(concurrency: int, lanes: Sequence[str] = LANES) -> None:
    """Work on some lanes until told to stop, in the order of priority; the database must be migrated."""
    warnings.simplefilter("ignore", SecurityWarning)  # Celery fears pickled messages of root's workers; ours are JSON
    runtime().database_url  # noqa: B018 - starts the embedded server before children are forked
    queues = [TICKS, *sorted(lanes, key=LANES.index)]
    threading.Thread(target=_watch, name="watch", daemon=True).start()
    worker = app.Worker(
        queues=queues,
        concurrency=concurrency,
        loglevel="WARNING",
        without_gossip=True,
        without_mingle=True,
        quiet=True,
    )
    worker.start()
    if worker.exitcode and not slices.stopping():
        _begin_anew()


def _begin_anew() -> None:
    """Put a fresh worker in the place of this process; PostgreSQL has the work, so nothing is lost.

    Celery's worker gives up when the broker goes away while a message of its is at work: kombu then tries to give that
    message back over the connection that it has just closed.
    """
    log.warning("worker_begins_anew")
    time.sleep(1)
    os.execv(sys.executable, sys.orig_argv)  # noqa: S606 - the very command that runs


def _watch() -> None:
    """Say so for as long as due work finds no worker within two ticks, or no beat queues it."""
    while True:
        threading.Event().wait(PATIENCE)
        try:
            with transaction(runtime().database_url) as session:
                problem = unclaimed(session, PATIENCE)
        except CdpError as error:
            problem = str(error)
        if problem:
            log.warning("work_unclaimed", problem=problem)


def run_beat() -> None:
    """Tick until told to stop; any number of these may run."""
    runtime()
    app.Beat(loglevel="WARNING", quiet=True).run()
