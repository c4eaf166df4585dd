"""The ledger of windows: every one that was closed, the old ones joined where they meet."""

from datetime import datetime, timedelta

from sqlmodel import Session

from cdp.db import driver
from cdp.models import ReadWindow

KEPT_APART = timedelta(days=14)


def close(database: Session, window: ReadWindow) -> None:
    """Note that a window of an object has been read completely; how far others reach back is counted from its end."""
    database.add(window)
    join_old(database, window.source_id, window.object, window.hi - KEPT_APART)


def join_old(database: Session, source_id: int, sobject: str, before: datetime) -> int:
    """Make one window of those that end before a moment and meet; returns how many went into others.

    What they cover stays the same, and so does every gap. A window without a beginning always begins anew, since it
    tells when everything was read and by which run, and so does one that reaches back behind the one before it.
    """
    words = {"source": source_id, "object": sobject, "before": before}
    return driver(database).execute(_JOIN, words).rowcount


_JOIN = """
    WITH old AS (
        SELECT id, hi, lo IS NULL OR lo > lag(hi, 1, '-infinity') OVER earlier OR lo < lag(lo) OVER earlier AS begins
        FROM read_window WHERE source_id = %(source)s AND object = %(object)s AND hi < %(before)s
        WINDOW earlier AS (ORDER BY id)
    ),
    placed AS (SELECT id, hi, count(*) FILTER (WHERE begins) OVER (ORDER BY id) AS place FROM old),
    joined AS (SELECT min(id) AS id, max(id) AS last, max(hi) AS hi FROM placed GROUP BY place HAVING count(*) > 1),
    stretched AS (UPDATE read_window AS w SET hi = j.hi FROM joined AS j WHERE w.id = j.id)
    DELETE FROM read_window AS w USING joined AS j
    WHERE w.source_id = %(source)s AND w.object = %(object)s AND w.hi < %(before)s AND w.id > j.id AND w.id <= j.last
"""
