"""How faults of the orgs are played under a fleet: refusals, quota, sessions, tokens."""

import json
import re
import time
from datetime import UTC, datetime

from tests.faults.life import Life
from tests.faults.scene import HOUR, MINUTE
from tests.fleet.acts import ask, ended, open_runs, read_anew, slow_pages, working
from tests.fleet.crew import Crew, wait_until

KILL_EVERY = 5.0
LOST = "lease_lost|does not answer"
SHORT, LONG = 10.0, 60.0
TOKEN = r"00D\w{12,15}!|5Aep\w+"


def bursts(crew: Crew, life: Life, *, long: bool) -> None:
    """F12; an hour passes between edits, so that no overlap reads again what a poll lost."""
    crew.worker()
    crew.beat()
    kinds = ("server_unavailable", "unknown_exception", "unable_to_lock_row", "reset", "cut", "query_timeout")
    for number, kind in enumerate(kinds):
        crew.scene.fault(kind, "/data/", times=None, probability=0.06, seed=life.random.randrange(1000), after=number)
    with slow_pages(crew, size=5, seconds=0.05):
        for _ in range(10 if long else 5):
            life.go_on(30, 1)
            crew.scene.later(HOUR)
            time.sleep(3)
    crew.scene.server.faults.clear()


def exhausted_quota(crew: Crew, life: Life, *, long: bool) -> None:
    """F13: nothing is asked of the org before the resume time; the other org's polls go on."""
    crew.worker()
    crew.beat()
    wait_until(lambda: ended(crew), "the first poll ended")
    for _ in range(3 if long else 1):
        crew.scene.fault("daily_limit", "/data/", times=None, name="quota", org="acme")
        wait_until(lambda: crew.runs()[-1]["state"] == "waiting", "the run waits")
        resume_at, calls, others = crew.runs()[-1]["resume_at"], _calls(crew, "acme"), len(crew.runs("globex"))
        wait_until(lambda others=others: len(crew.runs("globex")) > others, "the other org was polled meanwhile")  # type: ignore[misc]
        assert _calls(crew, "acme") == calls or datetime.now(UTC) > resume_at, "no call before the resume time"
        crew.scene.server.faults.clear("quota")
        life.go_on(20, 1)
        wait_until(lambda: crew.runs()[-1]["state"] in ("succeeded", "running"), "it goes on")
    crew.scene.fault("concurrent_limit", "/data/", times=10, org="acme")
    life.go_on(20, 1)


def _calls(crew: Crew, name: str) -> int:
    return len(crew.scene.server.requests.of(name, "/data/"))


def expired_sessions(crew: Crew, life: Life, *, long: bool) -> None:
    """F14: a session dies under eight children of two workers; each time one of them renews it."""
    instance = crew.scene.instance()
    for _ in range(2):
        crew.worker(4)
    crew.beat()
    wait_until(lambda: ended(crew), "the first poll ended")
    for _ in range(6 if long else 2):
        read_anew(crew)
        with slow_pages(crew):
            ask(crew, "acme", "sweep", "backfill")
            working(crew)
            before = _renewals(crew)
            instance.tokens.expire_sessions()
            life.go_on(20, 1)
            wait_until(lambda: not open_runs(crew, "poll"), "sweep and backfill ended")
            polls = ended(crew)
            wait_until(lambda polls=polls: ended(crew) > polls + 1, "polls went on")  # type: ignore[misc]
        assert _renewals(crew) - before == 1, f"{_renewals(crew) - before} renewals"


def _renewals(crew: Crew) -> int:
    return len(crew.scene.server.requests.of("acme", "/oauth2/token"))


def lost_rotation(crew: Crew, life: Life, *, long: bool) -> None:
    """F15: a worker dies with the only valid refresh token in its hands; the source needs attention, once."""
    instance = crew.scene.instance()
    for _ in range(2 if long else 1):
        crew.kill()  # nobody else may renew
        instance.tokens.expire_sessions()
        worker = crew.dying("before a new token is kept")
        crew.beat()
        wait_until(lambda worker=worker: worker.poll() is not None, "death before the token is kept")  # type: ignore[misc]
        crew.worker()
        wait_until(lambda: crew.scene.source().attention, "the source needs attention")
        asked = _renewals(crew)
        life.go_on(20, 1)
        time.sleep(5)
        assert _renewals(crew) == asked, "no storm"
        _reauthenticate(crew)
    assert not re.search(TOKEN, crew.logs()), "no token in any log"


def _reauthenticate(crew: Crew) -> None:
    credentials = json.dumps(crew.scene.server.credentials(crew.scene.org, "refresh_token"))
    done = crew.scene.cli("source", "reauthenticate", "acme", "--credentials", "-", typed=credentials)
    assert done.returncode == 0, done.stderr


def revoked(crew: Crew, life: Life, *, long: bool) -> None:
    """F16: a revoked token stops the polls; another org's login is refused; an org that moved is followed."""
    crew.worker()
    crew.beat()
    wait_until(lambda: ended(crew), "the first poll ended")
    for _ in range(2 if long else 1):
        crew.scene.instance().tokens.revoke_all()
        wait_until(lambda: crew.scene.source().attention, "the source needs attention")
        time.sleep(1)
        calls = _calls(crew, "acme")
        life.go_on(20, 1)
        time.sleep(3)
        assert _calls(crew, "acme") == calls, "polls rest"
        foreign = json.dumps(crew.scene.server.credentials(crew.scene.orgs["globex"], "access_token"))
        done = crew.scene.cli("source", "reauthenticate", "acme", "--credentials", "-", typed=foreign)
        assert "witching organizations" in done.stderr, done
        _reauthenticate(crew)
        life.go_on(20, MINUTE)
    crew.scene.instance().move()
