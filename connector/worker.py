"""The processes of a deployment: workers and beat, thin over Celery."""

import warnings

from celery.platforms import SecurityWarning

from connector.tasks import app, runtime


def run_worker(concurrency: int) -> None:
    """Work until told to stop; the database must be migrated."""
    warnings.simplefilter("ignore", SecurityWarning)  # Celery fears pickled messages of root's workers; ours are JSON
    runtime().database_url  # noqa: B018 - starts the embedded server before children are forked
    app.Worker(
        concurrency=concurrency, loglevel="WARNING", without_gossip=True, without_mingle=True, quiet=True
    ).start()


def run_beat() -> None:
    """Tick until told to stop; any number of these may run."""
    runtime()
    app.Beat(loglevel="WARNING", quiet=True).run()
