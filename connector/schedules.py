"""When a source is next polled and swept: pure functions of its schedule, its org and a moment."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Self

from connector.settings import Settings

LATE_AFTER = 2  # intervals
LONGEST_INTERVAL = 7 * 86_400  # seconds, well within the 15 days that Salesforce remembers what was deleted
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Schedule:
    """How often a source is read: durations in seconds, the hour of its sweeps in UTC or None for any.

    `place` is a fraction of 1 that belongs to the org: by it orgs of the same schedule are spread over the jitter, and
    over the hour of the sweeps.
    """

    interval: int
    jitter: float
    sweep_interval: int
    sweep_hour: int | None
    overlap: int
    place: float

    @classmethod
    def of(cls, settings: Settings, org_id: str, interval: int | None, sweep_hour: int | None) -> Self:
        """Return the schedule of an org with an interval and an hour of its own, or None for those of the settings."""
        return cls(
            interval=interval or settings.poll_interval,
            jitter=settings.poll_jitter,
            sweep_interval=settings.sweep_interval,
            sweep_hour=settings.sweep_hour if sweep_hour is None else sweep_hour,
            overlap=settings.poll_overlap,
            place=int.from_bytes(sha256(org_id.encode()).digest()[:6]) / 2**48,
        )

    @property
    def freshness(self) -> timedelta:
        """How far behind a connected source may be: what the product promises, and health and pages measure."""
        return timedelta(seconds=LATE_AFTER * self.interval + self.overlap)

    def next_poll(self, ended: datetime) -> datetime:
        """Return when to poll again after a poll that ended: after the interval and the org's part of the jitter."""
        return ended + timedelta(seconds=self.interval * (1 + self.jitter * self.place))

    def next_sweep(self, ended: datetime) -> datetime:
        """Return when to sweep after a sweep that ended, or a source that was connected, then.

        That is the interval later, or the org's minute of the chosen hour that lies nearest to it but is still to come.
        """
        due = ended + timedelta(seconds=self.sweep_interval)
        if self.sweep_hour is None:
            return due
        earliest = max(ended, due - DAY / 2)
        midnight = earliest.replace(hour=0, minute=0, second=0, microsecond=0)
        slot = midnight + timedelta(hours=self.sweep_hour + self.place)
        return slot if slot > earliest else slot + DAY
