"""The rule of an org's API calls: who may draw how many permits, and when the next calls fall out of the 24 hours.

Salesforce says in each answer how many calls everybody has made in the last 24 hours. In between, what an org may have
used is that figure (`used`), calls that it may not contain yet (`since`), and permits that workers hold (`grants`).
Their sum never passes the share, whichever worker asks or tells first. An org whose answers do not say it is asked
now and then for its limits.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum

BATCH = 20  # permits drawn at once, fewer near the limit
LEASE = timedelta(minutes=2)  # permits that were not given back by then count as used
PAUSE = timedelta(minutes=15)  # no call is made to see how things stand before an answer is so old
LONGEST = timedelta(hours=1)  # after which a forecast is looked at again
RESERVE = 24  # calls kept back at most, for looking how things stand while work waits
EARLIER = 0.75  # of the share: where backfills and sweeps stop, for polls to go on
EARLY = frozenset({"backfill", "sweep"})
SOON = timedelta(seconds=5)
HOUR, DAY = timedelta(hours=1), timedelta(hours=24)
STEP = timedelta(minutes=5)


class Limits(Enum):
    """What became of asking an org for its limits."""

    TOLD = "the figures of the report are from there"
    REFUSED = "it does not tell this login"
    UNASKED = "the session was dead, so it is asked anew"


@dataclass(frozen=True)
class Grant:
    """Permits that a worker holds, until when."""

    permits: int
    until: datetime


@dataclass(frozen=True)
class Report:
    """What became of a worker's permits: calls ended and under way, and what the org said at `observed_at`, if it did.

    That figure may lack `lost` calls, whose answers never came, and those that others settled since `settled`, as it
    was at the worker's draw. `limits` is what became of asking for the limits, if that was done: they lag by minutes.
    """

    calls: int
    in_flight: int
    used: int | None
    allowed: int | None
    observed_at: datetime
    lost: int
    settled: int
    limits: Limits | None = None


@dataclass(frozen=True)
class Budget:
    """What is known of an org's calls in 24 hours; `hours` has when how many were made, by the hour's beginning.

    `asked_at` is when an org that does not say it in its answers was last asked, `refused` whether it did not tell.
    """

    used: int = 0
    allowed: int | None = None
    observed_at: datetime | None = None
    since: int = 0
    settled: int = 0
    grants: Mapping[str, Grant] = field(default_factory=dict)
    hours: Mapping[datetime, int] = field(default_factory=dict)
    asked_at: datetime | None = None
    refused: bool = False

    @property
    def outstanding(self) -> int:
        """Permits in the hands of workers."""
        return sum(grant.permits for grant in self.grants.values())

    @property
    def taken(self) -> int:
        """The most calls that the org may have counted once all permits are used."""
        return self.used + self.since + self.outstanding


@dataclass(frozen=True)
class Outlook:
    """What is to be expected: calls an hour, calls left to the stop, when it is reached, when enough are free again.

    A time is None when it does not come within 24 hours.
    """

    pace: int
    left: int
    reached_at: datetime | None
    free_at: datetime | None


def ceiling(allowed: int, share: float) -> int:
    """Return how many calls the org may have made, by anybody, for work to go on at all."""
    return int(allowed * share)


def stop(allowed: int, share: float, kind: str) -> int:
    """Return the usage at which a kind of run stops."""
    most = ceiling(allowed, share)
    return int(most * EARLIER) if kind in EARLY else most - min(RESERVE, most // 20)


def expire(budget: Budget, now: datetime) -> Budget:
    """Count permits as used whose holder has not been heard of."""
    gone = sum(grant.permits for grant in budget.grants.values() if grant.until <= now)
    kept = {holder: grant for holder, grant in budget.grants.items() if grant.until > now}
    return replace(budget, grants=kept, since=budget.since + gone, settled=budget.settled + gone)


def settle(budget: Budget, holder: str, report: Report) -> Budget:
    """Take a worker's permits back; the newest answer of the org counts, and what it may not contain yet."""
    held = budget.grants.get(holder)
    calls = report.calls if held else 0  # those that expired are counted
    grants = {name: grant for name, grant in budget.grants.items() if name != holder}
    if held and report.in_flight:
        grants[holder] = Grant(report.in_flight, held.until)
    after = replace(budget, grants=grants, settled=budget.settled + calls, since=budget.since + calls)
    if report.limits is Limits.REFUSED and report.used is None:
        return replace(after, allowed=None, observed_at=None, refused=True)
    if report.limits is Limits.UNASKED:
        return replace(after, asked_at=report.observed_at - PAUSE)
    if report.used is None or (budget.observed_at and report.observed_at < budget.observed_at):
        return after
    return replace(
        after,
        used=report.used,
        allowed=report.allowed,
        observed_at=report.observed_at,
        asked_at=report.observed_at if report.limits is Limits.TOLD else None,
        refused=False,
        since=_since(budget, report, calls, report.used),
        # An org that is at its limit was perhaps only said to be so, by a refusal.
        hours=budget.hours if report.used == report.allowed else _noted(budget, report.used, report.observed_at),
    )


def _since(budget: Budget, report: Report, calls: int, used: int) -> int:
    """Of the two bounds of what came on top of an answer take the lower: the first has what others settled before it.

    The second, what was known with this worker's calls added, needs somebody to have known something. Limits lag, so
    they may lack every call since the last answer.
    """
    others = budget.since + calls if report.limits is Limits.TOLD else report.lost + budget.settled - report.settled
    if budget.observed_at is None:
        return others
    return max(report.lost, min(others, budget.used + budget.since + calls - used))


def ask(budget: Budget, holder: str, share: float, now: datetime, *, silent: bool) -> tuple[Budget, bool]:
    """Give a worker the one permit to ask the org for its limits, if it is time; `silent` are the answers it has heard.

    That is so for an org that has said nothing for `PAUSE`; sooner if the last one that was to ask was not answered.
    """
    if not _is_to_ask(budget, now, silent=silent):
        return budget, False
    if budget.allowed is not None and not _fits(budget, ceiling(budget.allowed, share), now):
        return budget, False
    return replace(_granting(budget, holder, 1, now), asked_at=now), True


def _is_to_ask(budget: Budget, now: datetime, *, silent: bool) -> bool:
    if budget.asked_at is None:
        return silent and (budget.observed_at is None or now - budget.observed_at >= PAUSE)
    answered = budget.refused or budget.observed_at == budget.asked_at
    return now - budget.asked_at >= (PAUSE if answered else LEASE)


def draw(budget: Budget, holder: str, share: float, kind: str, now: datetime) -> tuple[Budget, int]:
    """Give a worker permits until `LEASE` from now; none when it has to wait."""
    permits = _granted(budget, share, kind, now)
    if not permits:
        return budget, 0
    return _granting(budget, holder, permits, now), permits


def _granting(budget: Budget, holder: str, permits: int, now: datetime) -> Budget:
    under_way = budget.grants[holder].permits if holder in budget.grants else 0
    return replace(budget, grants={**budget.grants, holder: Grant(under_way + permits, now + LEASE)})


def _granted(budget: Budget, share: float, kind: str, now: datetime) -> int:
    if budget.refused:
        return BATCH  # nobody can tell how many there are
    if budget.allowed is None or budget.observed_at is None:
        return 1  # the answer will tell
    end, most = stop(budget.allowed, share, kind), ceiling(budget.allowed, share)
    room = end - budget.taken
    if room > 0:
        return min(BATCH, max(1, room // 8))
    if budget.asked_at:
        return 0  # an answer to anything else would not tell
    if budget.used < end and budget.taken < most:
        return 1  # calls may have been counted twice, which the next answer ends
    old, alone = now - budget.observed_at >= PAUSE, not budget.grants
    return int(old and alone and _fits(budget, most, now))


def _fits(budget: Budget, most: int, now: datetime) -> bool:
    # Calls of others may have passed the share; then one of ours now and then is the only way to learn that it is over.
    return budget.used > most or budget.taken - _surely_left(budget, now) < most


def outlook(budget: Budget, share: float, kind: str, now: datetime) -> Outlook:
    """Forecast by the calls of each hour: they leave the 24 hours in the order in which they came."""
    pace = _pace(budget, now)
    if budget.allowed is None or budget.observed_at is None:
        return Outlook(pace, 0, None, None)
    end, observed_at = stop(budget.allowed, share, kind), budget.observed_at
    wanted = end - max(1, min(5 * BATCH, end // 20))
    steps = [now + STEP * number for number in range(1, DAY // STEP + 1)]
    at = {moment: budget.taken - leaving(budget, observed_at, moment) for moment in steps}
    reached = (moment for moment in steps if at[moment] + pace * ((moment - now) / HOUR) >= end)
    free = (moment for moment in steps if at[moment] <= wanted)
    return Outlook(pace, max(0, end - budget.taken), next(reached, None), next(free, None))


def resume_at(budget: Budget, found: Outlook, now: datetime) -> datetime:
    """Return when work that has to wait asks again: by the forecast, not before a call may look, and within an hour."""
    earliest = max(now + SOON, (budget.observed_at or now) + PAUSE)
    return max(earliest, min(found.free_at or now + LONGEST, now + LONGEST))


def leaving(budget: Budget, start: datetime, end: datetime) -> float:
    """Return how many calls become 24 hours old in a span after the last answer; unknown ones are spread evenly."""
    known = sum(calls * _overlap(hour + DAY, hour + DAY + HOUR, start, end) for hour, calls in budget.hours.items())
    if budget.observed_at is None:
        return known
    rest, last = _unknown(budget, budget.observed_at)
    return known + rest * _overlap(budget.observed_at, last, start, end)


def _surely_left(budget: Budget, now: datetime) -> int:
    rest, last = _unknown(budget, budget.observed_at or now)
    known = sum(calls for hour, calls in budget.hours.items() if hour + DAY + HOUR <= now)
    return known + (rest if last <= now else 0)


def _unknown(budget: Budget, observed_at: datetime) -> tuple[int, datetime]:
    """How many calls were made before anybody counted by the hour, and by when they have left."""
    first = min(budget.hours, default=observed_at)
    return max(0, budget.used - sum(budget.hours.values())), max(first + DAY, observed_at) + HOUR


def _overlap(left: datetime, right: datetime, start: datetime, end: datetime) -> float:
    """The part of a span that lies in another."""
    return max(timedelta(0), min(right, end) - max(left, start)) / (right - left)


def _noted(budget: Budget, used: int, now: datetime) -> dict[datetime, int]:
    """Count the calls since the last answer in the hour of this one: those that came on top, and in place of others."""
    hour = now.replace(minute=0, second=0, microsecond=0)
    kept = {at: calls for at, calls in budget.hours.items() if at > now - DAY - HOUR}
    if budget.observed_at is None:
        return {hour: 0}
    came = used - budget.used + round(leaving(budget, budget.observed_at, now))
    return {**kept, hour: kept.get(hour, 0) + max(0, came)}


def _pace(budget: Budget, now: datetime) -> int:
    """Calls in the last hour, taking the part of the hour before that lies in it; a new org has its average."""
    hour = now.replace(minute=0, second=0, microsecond=0)
    if not any(at < hour for at in budget.hours):
        return round(budget.used / 24)
    part = 1 - (now - hour) / HOUR
    return round(budget.hours.get(hour, 0) + budget.hours.get(hour - HOUR, 0) * part)
