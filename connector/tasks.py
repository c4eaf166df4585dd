"""The tasks of the fleet: a name, ids as JSON arguments, one call each. PostgreSQL is the record of what is due."""

from collections.abc import Iterable
from datetime import timedelta
from functools import lru_cache
from typing import Any

import structlog
from celery import Celery, Task
from celery.signals import setup_logging, worker_process_init, worker_shutting_down
from kombu.connection import Connection
from kombu.exceptions import OperationalError

from cdp import people
from cdp.db import engine
from cdp.errors import CdpError
from connector import lanes, notifying, runs, slices, sync
from connector.errors import BadInput, ConnectorError
from connector.log import configure_logging
from connector.runtime import Runtime

TICK_SECONDS = 5
TICK_LIFE = 2 * TICK_SECONDS  # the next tick sends again what is still free
MESSAGE_LIFE = 12 * TICK_SECONDS
SOFT_BEFORE_HARD = 60  # seconds that a slice has to hand its run back before the process is killed
TICKS = "ticks"
app = Celery("connector")
app.conf.update(
    task_serializer="json",
    result_serializer="json",
    accept_content=["json"],
    task_ignore_result=True,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
    task_default_queue=TICKS,
    worker_hijack_root_logger=False,
    worker_send_task_events=False,
    enable_utc=True,
    beat_scheduler="celery.beat:Scheduler",
    beat_schedule={
        "tick": {"task": "connector.tick", "schedule": TICK_SECONDS, "options": {"expires": TICK_LIFE}},
    },
)
log = structlog.get_logger()


@lru_cache
def runtime() -> Runtime:
    """Return this process's runtime, with the broker set on the app."""
    made = Runtime()
    chosen = made.settings
    if chosen.task_limit >= chosen.visibility_timeout:
        raise BadInput(
            f"CONNECTOR_TASK_LIMIT ({chosen.task_limit} s) must be below CONNECTOR_VISIBILITY_TIMEOUT "
            f"({chosen.visibility_timeout} s), or work under way would be delivered a second time: change one of them."
        )
    app.conf.update(
        broker_url=made.broker_url,
        task_time_limit=chosen.task_limit,
        task_soft_time_limit=chosen.task_limit - SOFT_BEFORE_HARD,
        # Queues are drained in the order in which a worker names them.
        broker_transport_options={
            "visibility_timeout": chosen.visibility_timeout,
            "queue_order_strategy": "priority",
        },
    )
    return made


class FleetTask(Task):  # type: ignore[misc]  # Celery has no types
    """Says in one line what went wrong; the run, its source and the next tick carry everything else."""

    def on_failure(self, exc: BaseException, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:  # noqa: ANN401, ARG002
        """Log a failure that nobody expected."""
        log.error("task_failed", task=self.name, error=str(exc), kind=type(exc).__name__)


@app.task(name="connector.tick", base=FleetTask)  # type: ignore[untyped-decorator]
def tick() -> None:
    """Send the id of every run that is free, and notices that are due; a lost or doubled message changes nothing."""
    chosen = runtime().settings
    for ready in lanes.due(runtime().database_url, chosen.org_concurrency):
        send(ready.run_id, ready.lane, TICK_LIFE)
    people.resolve_if_idle(runtime().database_url, runtime().identity)
    notifying.deliver(runtime().database_url, runtime().settings.notify_urls)
    runs.forget_old(runtime().database_url, timedelta(seconds=chosen.run_retention))
    people.forget_events(runtime().database_url, timedelta(seconds=runtime().settings.event_retention))


@app.task(name="connector.work", base=FleetTask)  # type: ignore[untyped-decorator]
def work(run_id: int) -> None:
    """Carry out a slice of a run, if it is still free, and send the run on behind others when there is more to do."""
    try:
        turn = sync.work_on(runtime(), run_id)
    except (ConnectorError, CdpError) as error:
        log.warning("work_ended", run=run_id, error=str(error))
    else:
        if turn is sync.Turn.GOES_ON:
            send(run_id, lanes.lane_of(runtime().database_url, run_id))


def send(run_id: int, lane: str, life: int = MESSAGE_LIFE, connection: Connection | None = None) -> None:
    """Hand a run to the fleet by a message that lives so many seconds; raises OperationalError without a broker."""
    work.apply_async((run_id,), queue=lane, expires=life, retry=False, connection=connection)


def hand_over(runtime: Runtime, run_ids: Iterable[int]) -> None:
    """Hand runs to the fleet of an installation; raises ConnectorError when its broker does not answer."""
    try:
        with app.connection_for_write(runtime.broker_url) as connection:
            for run_id in run_ids:
                send(run_id, lanes.lane_of(runtime.database_url, run_id), connection=connection)
    except OperationalError:
        remedy = "check that Redis runs and that CONNECTOR_REDIS_URL is right, or use --here"
        raise ConnectorError(f"The broker does not answer: {remedy}.") from None


@setup_logging.connect  # type: ignore[untyped-decorator]
def _use_our_logging(**_kwargs: object) -> None:
    configure_logging()


@worker_shutting_down.connect  # type: ignore[untyped-decorator]
def _hand_back(**_kwargs: object) -> None:
    """Let every child hand its run back at the next page boundary, so that another worker goes on at once."""
    slices.stop()


@worker_process_init.connect  # type: ignore[untyped-decorator]
def _forget_inherited_connections(**_kwargs: object) -> None:
    """A forked child must not share its parent's connections."""
    engine(runtime().database_url).dispose(close=False)
