"""Several calls at the very same moment: all of them wait for one lock of PostgreSQL before any goes on."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from cdp import db

_WAITING = """
    SELECT count(*) AS sessions FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


def together(url: str, lock: db.Statement, calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """Carry out calls in threads while `lock` is held, let go when each waits or has ended; return what came of each.

    What one raised stands in place of its result.
    """
    with ThreadPoolExecutor(len(calls)) as threads:
        with db.transaction(url, spare=True) as holder:
            db.driver(holder).execute(lock)
            begun = [threads.submit(call) for call in calls]
            _await(url, begun)
        return [one.exception() or one.result() for one in begun]


def _await(url: str, begun: Sequence[Future[Any]]) -> None:
    for _ in range(600):
        with db.transaction(url, spare=True) as session:
            waiting = db.rows(db.driver(session), _WAITING)[0]["sessions"]
        if waiting + sum(one.done() for one in begun) >= len(begun):
            return
        time.sleep(0.1)
    raise AssertionError("not every call came to wait or to an end")
