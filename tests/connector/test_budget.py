"""The share of an org's API calls: never passed, whoever asks in which order; backfills stop first; a forecast."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector import budget
from connector.budget import Budget, Grant, Limits, Report

NOW = datetime(2026, 10, 1, 12, 0, 0, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
SHARE = 0.8


def told(used: int, allowed: int = 1000, at: datetime = NOW, lost: int = 0) -> Report:
    return Report(0, 0, used, allowed, at, lost, 0)


def known(used: int, allowed: int = 1000, at: datetime = NOW) -> Budget:
    return budget.settle(Budget(), "somebody", told(used, allowed, at))


@dataclass
class Worker:
    """A worker as `permits` has it: it sends under permits that are valid, and reports when it draws again."""

    kind: str
    holder: str
    left: int = 0
    until: datetime = NOW
    calls: int = 0
    in_flight: int = 0
    lost: int = 0
    settled: int = 0
    used: int | None = None
    at: datetime = NOW


class World:
    """An org that nobody else calls, and workers that draw, send, hear and die in any order."""

    def __init__(self, allowed: int, used: int, kinds: list[str]) -> None:
        self.allowed, self.used, self.now = allowed, used, NOW
        self.row = known(used, allowed)
        self.workers = [Worker(kind, str(name)) for name, kind in enumerate(kinds)]

    def settle(self, name: int) -> Worker:
        one = self.workers[name]
        report = Report(one.calls, one.in_flight, one.used, self.allowed, one.at, one.lost, one.settled)
        self.row = budget.settle(budget.expire(self.row, self.now), one.holder, report)
        one.left, one.calls, one.lost, one.used = 0, 0, 0, None
        one.settled = self.row.settled
        return one

    def draw(self, name: int) -> None:
        one = self.settle(name)
        self.row, one.left = budget.draw(self.row, one.holder, SHARE, one.kind, self.now)
        one.until = self.now + budget.LEASE

    def send(self, name: int) -> None:
        one = self.workers[name]
        if not one.left or self.now >= one.until:
            self.draw(name)
        if one.left:
            one.left, one.in_flight = one.left - 1, one.in_flight + 1
            self.used += 1

    def hear(self, name: int) -> None:
        one = self.workers[name]
        if one.in_flight == 1:  # the answers to calls under way at once may come in any order
            one.used, one.at, one.lost = self.used, self.now, 0
        self._end(one)

    def lose(self, name: int) -> None:
        one = self.workers[name]
        one.lost += bool(one.in_flight)
        self._end(one)

    def _end(self, one: Worker) -> None:
        if one.in_flight:
            one.in_flight, one.calls = one.in_flight - 1, one.calls + 1

    def die(self, name: int) -> None:
        one = self.workers[name]
        self.workers[name] = Worker(one.kind, one.holder + "'")

    def wait(self, name: int) -> None:
        """Let less than a day pass, in which no call becomes 24 hours old."""
        self.now = min(self.now + (name + 1) * 5 * MINUTE, NOW + 23 * HOUR)


class SilentWorld(World):
    """The same, of an org that tells its usage only when it is asked, and then without its latest calls."""

    def __init__(self, allowed: int, used: int, kinds: list[str], lag: int) -> None:
        super().__init__(allowed, used, kinds)
        self.lag, self.told, self.asked_at = lag, used, [NOW - budget.LEASE]

    def hear(self, name: int) -> None:
        self._end(self.workers[name])

    def ask(self, name: int) -> None:
        one = self.settle(name)
        self.row, asks = budget.ask(self.row, one.holder, SHARE, self.now, silent=True)
        if asks:
            assert self.now - self.asked_at[-1] >= budget.LEASE, "no two workers ask at once"
            self.asked_at.append(self.now)
            self.used += 1
            self.told = max(self.told, self.used - self.lag)
            limits = Report(1, one.in_flight, self.told, self.allowed, self.now, 0, one.settled, Limits.TOLD)
            self.row = budget.settle(self.row, one.holder, limits)


deeds = st.sampled_from(["draw", "send", "send", "send", "hear", "hear", "lose", "settle", "die", "wait"])
kinds = st.sampled_from(["poll", "backfill", "sweep"])


@given(
    st.integers(1, 400),
    st.floats(0, 1),
    st.lists(kinds, min_size=4, max_size=4),
    st.lists(st.tuples(deeds, st.integers(0, 3)), max_size=120),
)
def test_no_order_of_asking_and_telling_passes_the_share(
    allowed: int, part: float, kinds: list[str], steps: list[tuple[str, int]]
) -> None:
    most = budget.ceiling(allowed, SHARE)
    world = World(allowed, int(part * most), kinds)
    for deed, name in steps:
        getattr(world, deed)(name)
        assert world.used <= most, "the org's own count never passes the share"
        assert world.used <= world.row.taken, "what the row says is never less than what was used"


@given(
    st.integers(1, 400),
    st.floats(0, 1),
    st.lists(kinds, min_size=4, max_size=4),
    st.integers(0, 20),
    st.lists(st.tuples(deeds | st.just("ask"), st.integers(0, 3)), max_size=120),
)
def test_an_org_that_is_asked_for_its_limits_stays_within_the_share_too(
    allowed: int, part: float, kinds: list[str], lag: int, steps: list[tuple[str, int]]
) -> None:
    most = budget.ceiling(allowed, SHARE)
    world = SilentWorld(allowed, int(part * most), kinds, lag)
    for deed, name in steps:
        getattr(world, deed)(name)
        assert world.used <= most
        assert world.used <= world.row.taken


def test_backfills_and_sweeps_stop_before_polls() -> None:
    at_700 = known(700)
    drawn = {kind: budget.draw(at_700, "one", SHARE, kind, NOW)[1] for kind in ("poll", "resync", "backfill", "sweep")}
    assert drawn == {"poll": 9, "resync": 9, "backfill": 0, "sweep": 0}
    assert [budget.stop(100_000, SHARE, kind) for kind in ("poll", "backfill")] == [79_976, 60_000]


def test_fewer_permits_are_given_near_the_limit_and_none_at_it() -> None:
    stop = budget.stop(1000, SHARE, "poll")
    given_out = [budget.draw(known(used), "one", SHARE, "poll", NOW)[1] for used in (0, stop - 80, stop - 3, stop)]
    assert given_out == [20, 10, 1, 0]


def test_an_org_that_has_said_nothing_is_asked_call_by_call() -> None:
    assert budget.draw(Budget(), "one", SHARE, "poll", NOW)[1] == 1
    silent = budget.settle(Budget(), "one", Report(1, 0, None, None, NOW, 0, 0))
    assert budget.draw(silent, "one", SHARE, "poll", NOW)[1] == 1


def test_an_org_that_does_not_tell_is_asked_again_after_a_while_and_work_goes_on() -> None:
    asking, asks = budget.ask(Budget(), "one", SHARE, NOW, silent=True)
    assert asks
    for after, again in ((MINUTE, False), (budget.LEASE, True)):
        assert budget.ask(asking, "another", SHARE, NOW + after, silent=True)[1] is again, "nothing was answered"
    refused = budget.settle(asking, "one", Report(1, 0, None, None, NOW, 0, 0, Limits.REFUSED))
    assert budget.draw(refused, "one", SHARE, "poll", NOW)[1] == budget.BATCH
    for after, again in ((budget.LEASE, False), (budget.PAUSE, True)):
        assert budget.ask(refused, "one", SHARE, NOW + after, silent=True)[1] is again
    heard = budget.settle(refused, "one", told(5))
    assert (heard.refused, heard.asked_at, heard.used) == (False, None, 5)


def test_permits_of_a_worker_that_died_count_as_used_until_the_org_says_more() -> None:
    drawn, permits = budget.draw(known(100), "dead", SHARE, "poll", NOW)
    later = budget.expire(drawn, NOW + budget.LEASE)
    assert (permits, later.taken, later.outstanding) == (20, 120, 0)
    heard = Report(1, 0, 103, 1000, NOW + HOUR, 0, later.settled)
    assert budget.settle(later, "alive", heard).taken == 103


def test_an_older_answer_does_not_replace_a_newer_one() -> None:
    drawn, _ = budget.draw(known(500), "slow", SHARE, "poll", NOW)
    assert budget.settle(drawn, "slow", Report(3, 0, 90, 1000, NOW - HOUR, 0, 0)).taken == 503


@pytest.mark.parametrize(("after", "permits"), [(MINUTE, 0), (budget.PAUSE, 1)])
def test_after_a_while_one_call_looks_how_things_stand(after: timedelta, permits: int) -> None:
    full = known(900)
    looking, drawn = budget.draw(full, "one", SHARE, "poll", NOW + after)
    assert drawn == permits
    assert budget.draw(looking, "another", SHARE, "poll", NOW + after)[1] == 0
    fallen = budget.settle(looking, "one", Report(drawn, 0, 200, 1000, NOW + after, 0, 0))
    assert budget.draw(fallen, "one", SHARE, "poll", NOW + after)[1] == 20


def test_calls_leave_in_the_order_in_which_they_came() -> None:
    hours = {NOW - 23 * HOUR: 300, NOW - 2 * HOUR: 500}
    row = Budget(used=800, allowed=1000, observed_at=NOW, hours=hours)
    assert [budget.leaving(row, NOW, NOW + ahead * HOUR) for ahead in (1, 1.5, 2, 22, 23)] == [0, 150, 300, 300, 800]
    found = budget.outlook(row, SHARE, "poll", NOW)
    assert (found.left, found.free_at) == (0, NOW + HOUR + 15 * MINUTE)
    assert budget.resume_at(row, found, NOW) == NOW + HOUR


def test_calls_from_before_are_thought_to_be_spread_over_the_day() -> None:
    row = known(960)
    found = budget.outlook(row, SHARE, "poll", NOW)
    assert found.pace == 40
    assert found.free_at is not None
    assert NOW + 5 * HOUR < found.free_at < NOW + 6 * HOUR


def test_the_pace_says_when_the_share_is_used_up() -> None:
    row = Budget(used=400, allowed=1000, observed_at=NOW, hours={NOW - HOUR: 100, NOW - 4 * HOUR: 300})
    found = budget.outlook(row, SHARE, "poll", NOW)
    assert (found.pace, found.left) == (100, 376)
    assert found.reached_at is not None
    assert NOW + 3 * HOUR < found.reached_at < NOW + 4 * HOUR
    assert budget.outlook(known(24), SHARE, "poll", NOW).reached_at is None


def test_calls_are_counted_in_their_hour_and_for_those_that_left() -> None:
    row = budget.settle(known(100), "one", told(130, at=NOW + MINUTE))
    row = budget.settle(row, "one", told(150, at=NOW + HOUR))
    assert row.hours[NOW] == 30
    assert row.hours[NOW + HOUR] >= 20
    refused = budget.settle(row, "one", told(1000, at=NOW + HOUR))
    assert refused.hours == row.hours


def test_a_worker_keeps_what_is_under_way_when_it_settles() -> None:
    row = Budget(used=10, allowed=1000, observed_at=NOW, grants={"one": Grant(20, NOW + MINUTE)})
    after = budget.settle(row, "one", Report(18, 2, 28, 1000, NOW, 0, 0))
    assert (after.outstanding, after.taken) == (2, 30)
    assert budget.draw(after, "one", SHARE, "poll", NOW)[0].outstanding == 22
