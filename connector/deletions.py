"""Deletions that no page shows: the delete log is asked at every poll, and says itself how far back it reaches."""

from collections.abc import Mapping
from datetime import datetime, timedelta

import structlog

from cdp import sweeps
from cdp.db import transaction
from connector import fetching, runs
from connector.cursors import Window
from connector.transform import Plan
from connector.work import Work

log = structlog.get_logger()
REACH = timedelta(days=15)  # of the recycle bin and of the delete log, which refuses to be asked further back


def settle(work: Work, plan: Plan, window: Window, last_look: datetime | None) -> str | None:
    """Find out what became of records that the delete log names and that are stored as if they lived.

    Purged ones are marked as gone, others stored as they are. It is done before the window is read, so that a window
    closes only after its deletions are settled; the first window needs none, since what is gone was never stored.
    Returns why some deletions may be missing, if they may: everything has to be read again and compared then.
    """
    if window.lo is None or last_look is None:
        return None
    name = plan.sobject.name
    if work.client.observed.server_time - window.lo >= REACH - timedelta(minutes=5):
        gap = f"{name} was last read more than {REACH.days} days ago, longer than deletions are kept."
        return _force_resync(work, name, gap)
    if not plan.sobject.watched:
        return None
    deleted = work.client.deleted(name, window.lo)
    if deleted is None:
        return None
    if deleted.times:
        _look_again(work, plan, deleted.times)
    if deleted.earliest > last_look:
        gap = f"The delete log of {name} reaches back only to {deleted.earliest:%Y-%m-%d %H:%M} UTC."
        return _force_resync(work, name, gap)
    return None


def _look_again(work: Work, plan: Plan, ended: Mapping[str, datetime]) -> None:
    with transaction(work.runtime.database_url) as database:
        doubtful = sweeps.stored_live(
            database, work.lease.source_id, plan.sobject.name, list(ended), plan.sobject.table
        )
    fetching.settle(work, plan, doubtful, ended)


def _force_resync(work: Work, name: str, reason: str) -> str:
    """Say in the run why everything is read again, and ask for the sweep that finds what was deleted meanwhile."""
    log.warning("resync_forced", object=name, reason=reason)
    with transaction(work.runtime.database_url) as database:
        work.remark(database, f"{reason} Everything is read again and compared.")
    runs.request(work.runtime.database_url, work.lease.source_id, "sweep")
    return reason
