"""The faults of the fleet, one row each, and the bug each was seen red with."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.faults.life import Life
from tests.fleet import orgs, plays
from tests.fleet.crew import Crew


@dataclass(frozen=True)
class Fault:
    """One row: `play` breaks the fleet and leaves workers and a beat running; `others` are further orgs beside acme."""

    name: str
    what: str
    bug: str
    play: Callable[..., None]
    others: tuple[str, ...] = ()
    rotates: bool = False
    least: int = 100

    def __call__(self, crew: Crew, life: Life, *, long: bool) -> None:
        """Play it."""
        self.play(crew, life, long=long)


FAULTS = (
    Fault(
        "F1",
        "`kill -9` of a worker before and after a page, its rows, its progress, its commit, the people and the end.",
        "a page's checkpoint is committed before its rows",
        plays.killed_at_every_point,
    ),
    Fault(
        "F2",
        "`kill -9` of the whole fleet every five seconds.",
        "a run whose lease ran out is not taken over",
        plays.killed_again_and_again,
    ),
    Fault(
        "F3",
        "A worker frozen past its lease in mid-page, thawed when another has finished its run.",
        "the epoch is not looked at when a page is stored",
        plays.frozen,
    ),
    Fault(
        "F4",
        "The broker flushed, killed, and down for a while; it comes back empty.",
        "a run is sent once, when it is queued",
        plays.forgetful_broker,
    ),
    Fault(
        "F5",
        "Every message twice and more, in any order.",
        "a claim does not look at the state",
        plays.doubled_messages,
    ),
    Fault(
        "F6",
        "Three beats at once; then no beat for ten minutes.",
        "a run ends before it is said when the next is due",
        plays.beats,
    ),
    Fault(
        "F7",
        "PostgreSQL killed, and connections cut, in the middle of storing pages.",
        "a page's checkpoint is committed before its rows",
        plays.broken_database,
    ),
    Fault(
        "F8",
        "Sixteen children write overlapping rows of two orgs by poll, resync, sweep and backfill at once.",
        "two runs of a source note what they found at once",
        plays.crowded,
        others=("globex",),
    ),
    Fault(
        "F9",
        "Statement timeout and full disk in the merge.",
        "a page's checkpoint is committed before its rows",
        plays.failing_merge,
    ),
    Fault(
        "F12",
        "Bursts of 503, 500, row locks, timeouts, cut and reset connections under a worker.",
        "a window whose reading failed is closed all the same",
        orgs.bursts,
    ),
    Fault(
        "F13",
        "The daily quota is used up, then too many concurrent requests; another org goes on.",
        "a waiting run is claimed before its time",
        orgs.exhausted_quota,
        others=("globex",),
    ),
    Fault(
        "F14",
        "The session dies under eight children in mid-page.",
        "each process renews for itself",
        orgs.expired_sessions,
    ),
    Fault(
        "F15",
        "A worker dies between the answer to a rotating refresh and its commit.",
        "a source that needs attention is polled on",
        orgs.lost_rotation,
        rotates=True,
    ),
    Fault(
        "F16",
        "The token is revoked; another org's login is offered; the org moves.",
        "a source that needs attention is polled on",
        orgs.revoked,
        others=("globex",),
        rotates=True,
    ),
)
