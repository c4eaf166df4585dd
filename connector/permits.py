"""Permits for API calls: all workers of an org draw them, some at a time, from its row in `api_budget`."""

import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from psycopg.types.json import Jsonb
from sqlmodel import Session

from cdp.db import driver, rows, transaction
from cdp.models import ApiBudget
from connector import budget
from connector.budget import Budget, Grant, Limits, Outlook, Report
from connector.errors import DailyLimitReached, WaitingForQuota

UNTOLD = (
    "Neither the org's answers nor its `/limits` tell how many API calls are used, so that no share of them is kept."
)


class Permits:
    """What one client may ask of its org; threads of the client share it."""

    def __init__(self, url: str, source_id: int, share: float, kind: str) -> None:
        self._url, self._source_id, self._share, self._kind = url, source_id, share, kind
        self._holder = uuid.uuid4().hex
        self._lock = threading.Lock()
        self._in_flight = 0
        self._silent = False
        self._begin(Budget(), 0, 0.0)

    def _begin(self, known: Budget, permits: int, valid_until: float) -> None:
        self._left, self._valid_until, self._settled = permits, valid_until, known.settled
        self._stop = None if known.allowed is None else budget.stop(known.allowed, self._share, self._kind)
        self._limit = known.allowed
        self._calls = self._unseen = self._in_flight
        self._used: int | None = None
        self._allowed: int | None = None
        self._limits: Limits | None = None
        self._observed = time.monotonic()

    def is_to_ask(self) -> bool:
        """Whether this worker's next call is to ask the org for its limits, since its answers do not say its usage.

        Raises:
            WaitingForQuota: there is no permit left for this kind of run.
        """
        with self._lock:
            return self._is_to_draw() and self._draw(may_ask=True)

    @contextmanager
    def one(self) -> Iterator[None]:
        """Hold a permit for one call.

        Raises:
            WaitingForQuota: there is none left for this kind of run; nothing was asked of the org.
        """
        with self._lock:
            self._take()
        try:
            try:
                yield
            finally:
                with self._lock:
                    self._in_flight -= 1
        except DailyLimitReached:
            self._exhausted()
            raise

    def note_silence(self) -> None:
        """Take in that an answer did not say how many calls were used."""
        with self._lock:
            self._silent = True

    def note_untold(self, why: Limits) -> None:
        """Take in why the org did not tell its limits."""
        with self._lock:
            self._limits, self._observed = why, time.monotonic()

    def note(self, used: int, allowed: int, *, limits: bool = False) -> None:
        """Take in what an answer, or an org that was asked for its limits, says of the calls of 24 hours."""
        with self._lock:
            if limits and not self._silent:
                return  # the same answer has said it more exactly
            self._silent, self._limits = limits, Limits.TOLD if limits else None
            self._used, self._allowed = max(used, self._used or 0), allowed
            self._unseen, self._observed = self._in_flight - 1, time.monotonic()
            self._stop = budget.stop(allowed, self._share, self._kind)

    def _exhausted(self) -> None:
        """Tell all others at once that the org refuses: they need not hear it from the org."""
        with self._lock:
            self._used = self._allowed = self._allowed or self._limit
            self._observed = time.monotonic()
        self.give_back()

    def give_back(self) -> None:
        """Give back what was not used, and tell the others what the org said last."""
        with self._lock:
            if self._left or self._calls:
                with transaction(self._url) as database:
                    known, now = _locked(database, self._source_id)
                    known = self._settle(known, now)
                    _keep(database, self._source_id, known)
                self._begin(known, 0, 0.0)

    def _take(self) -> None:
        if self._is_to_draw():
            self._draw(may_ask=False)
        self._left -= 1
        self._calls += 1
        self._in_flight += 1
        self._unseen += 1

    def _is_to_draw(self) -> bool:
        told_to_stop = self._used is not None and self._stop is not None and self._used >= self._stop
        return not self._left or told_to_stop or time.monotonic() >= self._valid_until

    def _draw(self, *, may_ask: bool) -> bool:
        """Draw permits, or the one for asking the org for its limits; returns whether it was that one."""
        asked_at = time.monotonic()
        with transaction(self._url) as database:
            known, now = _locked(database, self._source_id)
            known = self._settle(known, now)
            asks, permits = False, 1
            if may_ask:
                known, asks = budget.ask(known, self._holder, self._share, now, silent=self._silent)
            if not asks:
                known, permits = budget.draw(known, self._holder, self._share, self._kind, now)
            _keep(database, self._source_id, known)
        self._begin(known, permits, asked_at + budget.LEASE.total_seconds())
        if not permits:
            found = budget.outlook(known, self._share, self._kind, now)
            resume_at = budget.resume_at(known, found, now)
            raise WaitingForQuota(_why(known, found, self._share, self._kind, resume_at), resume_at)
        return asks

    def _settle(self, known: Budget, now: datetime) -> Budget:
        """Report by the database's clock, which is the same for all workers."""
        age = timedelta(seconds=time.monotonic() - self._observed)
        report = Report(
            calls=self._calls - self._in_flight,
            in_flight=self._in_flight,
            used=self._used,
            allowed=self._allowed,
            observed_at=now - age,
            lost=self._unseen - self._in_flight,
            settled=self._settled,
            limits=self._limits,
        )
        return budget.settle(budget.expire(known, now), self._holder, report)


def seed(database: Session, source_id: int, used: int | None, allowed: int | None) -> None:
    """Keep what an org said of its calls when it was connected."""
    if used is not None and allowed is not None:
        known, now = _locked(database, source_id)
        _keep(database, source_id, budget.settle(known, "", Report(0, 0, used, allowed, now, 0, known.settled)))


def usage(database: Session, source_id: int) -> tuple[int | None, int | None]:
    """Return the most calls that the org may have counted in 24 hours, and those allowed; None if it does not tell."""
    known = database.get(ApiBudget, source_id)
    return (known.used + known.since, known.allowed) if known and known.allowed is not None else (None, None)


def forecasts(database: Session, share: float) -> dict[int, str]:
    """Say by source what is to be expected of its org's calls; those that have said nothing yet are left out."""
    found = rows(driver(database), "SELECT *, now() AS now FROM api_budget WHERE allowed IS NOT NULL OR refused")
    return {row["source_id"]: _forecast(_read(row), share, row["now"]) for row in found}


def _forecast(known: Budget, share: float, now: datetime) -> str:
    if known.refused:
        return UNTOLD
    known = budget.expire(known, now)
    found = budget.outlook(known, share, "poll", now)
    words = f"About {found.pace:,} calls an hour now, {found.left:,} are left of the share"
    if not found.left:
        return f"{words}: {_free(found)}."
    return f"{words}: " + (
        f"it is used up by {found.reached_at:%Y-%m-%d %H:%M} UTC." if found.reached_at else "it lasts for 24 hours."
    )


def _why(known: Budget, found: Outlook, share: float, kind: str, resume_at: datetime) -> str:
    allowed = known.allowed or 0
    early = f"{budget.EARLIER:.0%} of " if kind in budget.EARLY else ""
    return (
        f"The org has used {known.used + known.since:,} of {allowed:,} API calls, and this kind of run stops at "
        f"{budget.stop(allowed, share, kind):,} ({early}the share CONNECTOR_API_SHARE): with about {found.pace:,} "
        f"calls an hour now, {_free(found)}; work goes on by itself, and looks again at {resume_at:%H:%M} UTC."
    )


def _free(found: Outlook) -> str:
    if found.free_at is None:
        return "too few are expected to become 24 hours old within a day"
    return f"enough are expected to be 24 hours old by {found.free_at:%Y-%m-%d %H:%M} UTC"


def _locked(database: Session, source_id: int) -> tuple[Budget, datetime]:
    """Read the row and keep others from it until the transaction ends; with the database's time after any wait."""
    connection = driver(database)
    connection.execute("INSERT INTO api_budget (source_id) VALUES (%s) ON CONFLICT DO NOTHING", (source_id,))
    connection.execute("SELECT FROM api_budget WHERE source_id = %s FOR UPDATE", (source_id,))
    asked = {"source": source_id}
    [row] = rows(connection, "SELECT *, clock_timestamp() AS now FROM api_budget WHERE source_id = %(source)s", asked)
    return _read(row), row["now"]


def _read(row: Mapping[str, Any]) -> Budget:
    return Budget(
        used=row["used"],
        allowed=row["allowed"],
        observed_at=row["observed_at"],
        since=row["since"],
        settled=row["settled"],
        grants={
            holder: Grant(grant["permits"], datetime.fromisoformat(grant["until"]))
            for holder, grant in row["grants"].items()
        },
        hours={datetime.fromisoformat(hour): calls for hour, calls in row["hours"].items()},
        asked_at=row["asked_at"],
        refused=row["refused"],
    )


def _keep(database: Session, source_id: int, known: Budget) -> None:
    grants = {name: asdict(grant) | {"until": grant.until.isoformat()} for name, grant in known.grants.items()}
    driver(database).execute(
        """
        UPDATE api_budget SET used = %(used)s, allowed = %(allowed)s, observed_at = %(observed_at)s,
               since = %(since)s, settled = %(settled)s, grants = %(grants)s, hours = %(hours)s,
               asked_at = %(asked_at)s, refused = %(refused)s
        WHERE source_id = %(source)s
        """,
        {
            "source": source_id,
            "used": known.used,
            "allowed": known.allowed,
            "observed_at": known.observed_at,
            "since": known.since,
            "settled": known.settled,
            "grants": Jsonb(grants),
            "hours": Jsonb({hour.isoformat(): calls for hour, calls in known.hours.items()}),
            "asked_at": known.asked_at,
            "refused": known.refused,
        },
    )
