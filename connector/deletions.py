"""Deletions that no page shows: the delete log is asked at every poll, and says itself how far back it reaches."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from cdp import sweeps
from cdp.db import transaction
from cdp.models import Run
from connector import runs
from connector.cursors import Window
from connector.fetching import fetch
from connector.transform import Plan
from connector.work import Work

REACH = timedelta(days=15)  # of the recycle bin and of the delete log


@dataclass(frozen=True)
class LogOfDeletes:
    """Ids deleted since the window began; `gap` says in a sentence why some deletions may be missing, if they may."""

    ids: tuple[str, ...] = ()
    gap: str | None = None


def look(work: Work, plan: Plan, window: Window, last_look: datetime | None) -> LogOfDeletes:
    """Ask for the deletions of a window. The first window needs none: what is gone was never stored."""
    if window.lo is None or last_look is None:
        return LogOfDeletes()
    name = plan.sobject.name
    if work.client.observed.server_time - last_look > REACH:
        return LogOfDeletes(
            gap=f"{name} was last read more than {REACH.days} days ago, longer than deletions are kept."
        )
    deleted = work.client.deleted(name, window.lo)
    if deleted is None:
        return LogOfDeletes()
    if deleted.earliest > last_look:
        gap = f"The delete log of {name} reaches back only to {deleted.earliest:%Y-%m-%d %H:%M} UTC."
        return LogOfDeletes(deleted.ids, gap)
    return LogOfDeletes(deleted.ids)


def settle(work: Work, plan: Plan, deleted: LogOfDeletes) -> None:
    """Read again those that are stored as if they lived: purged ones are marked as gone, undeleted ones live on."""
    with transaction(work.runtime.database_url) as database:
        doubtful = sweeps.stored_live(database, work.lease.source_id, plan.sobject.name, deleted.ids)
    if doubtful:
        fetch(work, plan, doubtful)


def force_resync(work: Work, reason: str) -> None:
    """Say in the run why everything is read again, and ask for the sweep that finds what was deleted meanwhile."""
    with transaction(work.runtime.database_url) as database:
        run = database.get_one(Run, work.lease.run_id)
        run.note = f"{run.note or ''} {reason} Everything is read again and compared.".strip()
    runs.request(work.runtime.database_url, work.lease.source_id, "sweep")
