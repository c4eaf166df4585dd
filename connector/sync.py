"""Carrying out a run: claim, read, bring people up to date, and note how it ended."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from enum import Enum

import structlog
from billiard.exceptions import SoftTimeLimitExceeded

from cdp import people, removal
from cdp.db import LARGEST_ID, transaction
from cdp.errors import CdpError, LeaseLost
from cdp.models import Run, Source
from connector import backfilling, budget, diagnosis, lifecycle, notifying, polling, runs, slices, sources, sweeping
from connector.errors import (
    BadInput,
    ConnectorError,
    DailyLimitReached,
    NeedsAttention,
    Refused,
    SalesforceError,
    Transient,
    WaitingForQuota,
)
from connector.runs import Lease
from connector.runtime import Runtime
from connector.slices import Pending, SliceOver
from connector.work import Work

RETRY_AFTER = 30
KINDS: Mapping[str, Callable[[Work], None]] = {
    "poll": polling.poll,
    "resync": polling.poll,
    "sweep": sweeping.sweep,
    "backfill": backfilling.backfill,
    "removal": lifecycle.remove,
}
log = structlog.get_logger()


class Turn(Enum):
    """What became of a run in one slice."""

    OVER = "it has ended"
    GOES_ON = "it was handed back and goes on in another slice"
    NOT_OURS = "it was not free, or another worker took it over"


def execute(runtime: Runtime, run_id: int) -> bool:
    """Carry out a run to its end, slice after slice; returns False when it is not free, or was taken over.

    An interrupted one is free at once for whoever goes on with it, and locks nothing until then.

    Raises:
        ConnectorError: the run failed, waits, or needs attention; the run and its source say so already.
    """
    try:
        while (turn := work_on(runtime, run_id)) is Turn.GOES_ON and not slices.stopping():
            _await_pause(runtime, run_id)
    except KeyboardInterrupt:
        runs.let_go(runtime.database_url, run_id)
        raise
    return turn is Turn.OVER


def work_on(runtime: Runtime, run_id: int) -> Turn:
    """Carry out one slice of a run; raises as `execute`."""
    lease = runs.claim(runtime.database_url, run_id, runs.owner_name(), runtime.settings.org_concurrency)
    if lease is None:
        return Turn.NOT_OURS
    with structlog.contextvars.bound_contextvars(run=run_id, source=lease.source_id, kind=lease.kind):
        log.info("slice_started" if lease.epoch > 1 else "run_started", epoch=lease.epoch)
        try:
            with _interrupted_as_such(), lease.kept_alive():
                _read(Work.begin(runtime, lease))
                people.resolve(runtime.database_url, runtime.identity)
        except SliceOver:
            log.info("slice_ended")
            return Turn.GOES_ON
        except Pending as pending:
            lease.hand_back(pending.pause)
            log.info("slice_ended", pause=pending.pause)
            return Turn.GOES_ON
        except LeaseLost:
            log.warning("lease_lost")
            return Turn.NOT_OURS
        except ConnectorError as error:
            problem = _named(error)
            _note_failure(runtime, lease, problem)
            raise (diagnosis.meaning(problem) or problem) from error
        except SoftTimeLimitExceeded:
            lease.hand_back()
            log.warning("slice_cut", reason="it took longer than CONNECTOR_TASK_LIMIT allows")
            return Turn.GOES_ON
        except CdpError:
            raise  # the database is the trouble: the lease runs out by itself
        except Exception as error:
            lease.finish("failed", code="unexpected", error=f"Something unexpected happened: {type(error).__name__}.")
            raise
        except BaseException:
            lease.hand_back()
            raise
        _note_success(runtime, lease)
    return Turn.OVER


@contextmanager
def _interrupted_as_such() -> Iterator[None]:
    """Raise KeyboardInterrupt again where an interruption broke something on its way out, such as a connection."""
    try:
        yield
    except Exception as error:
        cause: BaseException | None = error
        while cause:
            if isinstance(cause, KeyboardInterrupt):
                raise KeyboardInterrupt from error
            cause = cause.__cause__ or cause.__context__
        raise


def cancel(runtime: Runtime, run_id: int) -> None:
    """End an open run, whoever works on it; a poll or sweep is due again after its interval.

    Raises:
        BadInput: there is no such run.
        Refused: it is over already.
    """
    with transaction(runtime.database_url) as database:
        run = database.get(Run, run_id) if 0 < run_id <= LARGEST_ID else None
        if run is None:
            raise BadInput(f"There is no run {run_id}: `connector status` shows the latest runs.")
        if run.state not in runs.OPEN_STATES:
            raise Refused(f"Run {run_id} is {run.state}: only a run that is under way can be cancelled.")
    _schedule(runtime, run)
    with transaction(runtime.database_url) as database:
        runs.cancel(database, run_id)
    log.info("run_cancelled", run=run_id, source=run.source_id, kind=run.kind)


def _await_pause(runtime: Runtime, run_id: int) -> None:
    """Sleep until a run that was handed back may go on: Salesforce is still at work for it."""
    with transaction(runtime.database_url) as database:
        run = database.get(Run, run_id)
    if run and run.resume_at:
        time.sleep(max(0.0, (run.resume_at - datetime.now(UTC)).total_seconds()))


def _read(work: Work) -> None:
    try:
        KINDS[work.lease.kind](work)
    finally:
        work.note_usage()


def _named(error: ConnectorError) -> ConnectorError:
    """Say what a refusal means for the source: an exhausted limit is a reason to wait."""
    if isinstance(error, DailyLimitReached):
        return WaitingForQuota(str(error), datetime.now(UTC) + budget.PAUSE)
    return error


def _note_failure(runtime: Runtime, lease: Lease, error: ConnectorError) -> None:
    code = error.code if isinstance(error, NeedsAttention | SalesforceError) else type(error).__name__
    log.warning("run_ended", outcome="failed", code=code, error=str(error))
    if isinstance(error, WaitingForQuota):
        lease.finish("waiting", code="quota", error=str(error), resume_at=error.resume_at)
        return
    if problem := diagnosis.meaning(error):
        sources.need_attention(runtime, lease.source_id, lease.kind, problem)
    _schedule(runtime, lease, RETRY_AFTER if isinstance(error, Transient) else None)
    lease.finish("failed", code=code, error=str(error))
    notifying.deliver(runtime.database_url, runtime.settings.notify_urls, lease.source_id)


def _note_success(runtime: Runtime, lease: Lease) -> None:
    if lease.kind == "removal":
        with transaction(runtime.database_url) as database:
            removal.remove_source(database, lease.source_id)
        return
    sources.note_mended(runtime, lease.source_id, lease.kind)
    _schedule(runtime, lease)
    lease.finish("succeeded")
    log.info("run_ended", outcome="done")
    notifying.deliver(runtime.database_url, runtime.settings.notify_urls, lease.source_id)


def _schedule(runtime: Runtime, run: Lease | Run, seconds: float | None = None) -> None:
    """Say when the same kind of work is due again, by the source's schedule or in so many seconds.

    A backfill or a removal is not. To be said before the run ends: until then it is open, and no tick asks for another.
    """
    with transaction(runtime.database_url) as database:
        source = database.get_one(Source, run.source_id)
        schedule, ended = sources.schedule(runtime, source), datetime.now(UTC)
        soon = None if seconds is None else ended + timedelta(seconds=seconds)
        if run.kind == "sweep":
            source.next_sweep_at = soon or schedule.next_sweep(ended)
        elif run.kind in ("poll", "resync"):
            source.next_poll_at = soon or schedule.next_poll(ended)
            source.next_sweep_at = source.next_sweep_at or schedule.next_sweep(source.created_at)
