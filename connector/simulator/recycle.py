"""What the org still knows of deleted and changed rows: the recycle bin's life, the delete log, the update log."""

from datetime import datetime, timedelta
from itertools import takewhile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .store import Store

BIN_LIFE = timedelta(days=15)


def expire(org: "Store") -> None:
    """Remove the rows that have been in the recycle bin for 15 days."""
    limit = org.clock.now() - BIN_LIFE
    for name, table in org.tables.items():
        due = list(takewhile(lambda item: item[1].at <= limit, table.bin.items()))
        for record_id, _ in due:
            org.log("purge", name, record_id, {"expired": True})
            table.remove(record_id)


def deleted_between(org: "Store", object_name: str, start: datetime, end: datetime) -> list[tuple[str, datetime]]:
    """Return the visible part of the delete log."""
    first = max(start, org.clock.now() - BIN_LIFE)
    hidden = org.tables[object_name].hidden
    return [(i, at) for i, at in org.deletions[object_name].items() if first <= at < end and i not in hidden]


def updated_between(org: "Store", object_name: str, start: datetime, end: datetime) -> list[str]:
    """Return the ids of the visible live rows stamped in that time."""
    table = org.tables[object_name]
    stamp = table.getter("SystemModstamp")
    return [row[0] for row in table.visible(include_deleted=False) if start <= stamp(row) < end]
