"""The processes of a deployment: workers and beat, thin over Celery."""

import threading
import warnings
from collections.abc import Sequence

import structlog
from celery.platforms import SecurityWarning

from cdp.errors import CdpError
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
    app.Worker(
        queues=queues,
        concurrency=concurrency,
        loglevel="WARNING",
        without_gossip=True,
        without_mingle=True,
        quiet=True,
    ).start()


def _watch() -> None:
    """Say so for as long as due work finds no worker within two ticks, or no beat queues it."""
    while True:
        threading.Event().wait(PATIENCE)
        try:
            problem = unclaimed(runtime().database_url, PATIENCE)
        except CdpError as error:
            problem = str(error)
        if problem:
            log.warning("work_unclaimed", problem=problem)


def run_beat() -> None:
    """Tick until told to stop; any number of these may run."""
    runtime()
    app.Beat(loglevel="WARNING", quiet=True).run()
