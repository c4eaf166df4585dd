"""When a source is next polled and swept: always to come, within bounds, at the hour chosen, and orgs apart."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from connector.schedules import DAY, Schedule
from connector.settings import Settings

SECOND = timedelta(seconds=1)
moments = st.integers(0, 10**10).map(lambda tenths: datetime(2000, 1, 1, tzinfo=UTC) + tenths * timedelta(seconds=0.1))
hours = st.integers(0, 23)
schedules = st.builds(
    Schedule,
    interval=st.integers(1, 10**6),
    jitter=st.floats(0, 1),
    sweep_interval=st.integers(60, 10**7),
    sweep_hour=st.none() | hours,
    overlap=st.integers(0, 10**4),
    place=st.floats(0, 1, exclude_max=True).map(lambda share: round(share, 9)).filter(lambda share: share < 1),
)


@given(schedules, moments)
def test_the_next_poll_is_to_come_within_interval_and_jitter(schedule: Schedule, ended: datetime) -> None:
    wait = (schedule.next_poll(ended) - ended).total_seconds()
    assert schedule.interval <= wait <= schedule.interval * (1 + schedule.jitter) + 1e-6


@given(schedules, moments)
def test_the_next_sweep_is_to_come_and_at_the_hour_chosen(schedule: Schedule, ended: datetime) -> None:
    found, due = schedule.next_sweep(ended), ended + schedule.sweep_interval * SECOND
    assert found > ended
    if schedule.sweep_hour is None:
        assert found == due
    else:
        assert found.hour == schedule.sweep_hour
        assert found <= max(ended + DAY, due + DAY / 2)
        assert found > due - DAY / 2, "a sweep by hand just before the hour counts"


@given(moments, hours)
def test_daily_sweeps_that_take_less_than_an_hour_come_once_a_day(begun: datetime, hour: int) -> None:
    schedule = Schedule.of(Settings(sweep_interval=86_400, sweep_hour=hour), "00D5e0000000001EAA", None, None)
    first = schedule.next_sweep(begun)
    assert schedule.next_sweep(first + timedelta(minutes=59)) == first + DAY


def test_a_source_goes_by_its_own_interval_and_hour_where_it_has_them() -> None:
    settings = Settings(poll_interval=300, sweep_hour=2)
    usual, own = (Schedule.of(settings, "00D", *chosen) for chosen in ((None, None), (60, 0)))
    assert (usual.interval, usual.sweep_hour) == (300, 2)
    assert (own.interval, own.sweep_hour) == (60, 0)


def test_orgs_that_end_at_once_begin_again_apart_and_each_always_at_its_own_distance() -> None:
    ended = datetime(2026, 1, 1, tzinfo=UTC)

    def due(number: int) -> datetime:
        return Schedule.of(Settings(), f"00D{number:015}", None, None).next_poll(ended)

    later = [int((due(number) - ended).total_seconds()) - 300 for number in range(1000)]
    assert later == [int((due(number) - ended).total_seconds()) - 300 for number in range(1000)]
    assert max(map(later.count, later)) < 70
