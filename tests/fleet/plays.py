"""How each fault of the fleet is played: the trouble while people work in the org, over in the end."""

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from psycopg import sql

from connector import backfilling, runs, tasks
from tests.faults.life import Life
from tests.faults.scene import MINUTE
from tests.fleet.crew import Crew, wait_until
from tests.fleet.process import POINTS

KILL_EVERY = 5.0
LOST = "lease_lost|does not answer"
SHORT, LONG = 10.0, 60.0
TOKEN = r"00D\w{12,15}!|5Aep\w+"


@contextmanager
def slow_pages(crew: Crew, size: int = 10, seconds: float = 0.2) -> Iterator[None]:
    """Let pages be small and slow meanwhile, so that there is a middle to strike in."""
    rules = [
        crew.scene.fault("page_size", "/query", times=None, size=size, name="slow pages"),
        crew.scene.fault("slow", r"/query/0", times=None, seconds=seconds, name="slow pages"),
    ]
    yield
    assert rules
    crew.scene.server.faults.clear("slow pages")


def working(crew: Crew, read: int = 10, name: str = "acme") -> None:
    """Wait until a poll is in the middle of its pages."""

    def somewhere() -> bool:
        last = crew.runs(name)[-1:]
        return bool(last) and last[0]["state"] == "running" and last[0]["read"] >= read

    wait_until(somewhere, "a poll came to the middle of its pages")


def read_anew(crew: Crew) -> None:
    """Let the next poll read everything again."""
    crew.scene.query("DELETE FROM cursor RETURNING 1")


def ask(crew: Crew, name: str, *kinds: str) -> None:
    """Ask for runs of these kinds; a backfill fills the title."""
    source = crew.scene.source(name)
    for kind in kinds:
        options = (
            {"fields": backfilling.chosen("Lead.Title,Contact.Title", source.mapping)} if kind == "backfill" else {}
        )
        runs.request(crew.scene.url, source.key, kind, options)


def killed_at_every_point(crew: Crew, life: Life, *, long: bool) -> None:
    """F1; a repeat reads no page again that was committed."""
    crew.beat()
    points = [point for point in POINTS if "token" not in point]
    for point in points if long else life.random.sample(points, 3):
        life.go_on(20, 1)
        worker = crew.dying(point)
        wait_until(lambda worker=worker: worker.poll() is not None, f"death {point}")  # type: ignore[misc]
    life.go_on(20, 1)
    crew.worker()


def killed_again_and_again(crew: Crew, life: Life, *, long: bool) -> None:
    """F2."""
    until = time.monotonic() + (LONG if long else SHORT)
    with slow_pages(crew):
        while time.monotonic() < until:
            read_anew(crew)
            crew.worker()
            crew.worker()
            crew.beat()
            time.sleep(KILL_EVERY)
            working(crew)
            life.go_on(20, 1)
            crew.kill()
    crew.worker()
    crew.beat()
    wait_until(lambda: not _dead(crew), "no run of a dead worker is left")


def _dead(crew: Crew) -> list[object]:
    return crew.scene.query("SELECT id FROM run WHERE state = 'running' AND lease_until < now()")


def frozen(crew: Crew, life: Life, *, long: bool) -> None:
    """F3; the frozen worker comes back to a run that another has finished, and writes nothing."""
    for _ in range(3 if long else 1):
        read_anew(crew)
        first, beat = crew.worker(1), crew.beat()
        with slow_pages(crew):
            working(crew)
            crew.freeze(first)
            run = crew.runs()[-1]
            life.go_on(20, 1)
            second = crew.worker(1)
            wait_until(lambda run_id=run["id"]: crew.scene.run(run_id)["state"] == "succeeded", "another finished")  # type: ignore[misc]
            crew.kill(second, beat)
            done, stored = _written(crew, run["id"]), crew.scene.stored()
            crew.thaw(first)
            wait_until(lambda first=first: re.search(LOST, crew.log(first)), "the thawed worker saw what it lost")  # type: ignore[misc]
        assert _written(crew, run["id"]) == done
        assert crew.scene.stored() == stored
        crew.kill(first)
    crew.worker()
    crew.beat()


def _written(crew: Crew, run_id: int) -> dict[str, object]:
    """A run but for its API calls: those are counted whoever made them."""
    return {name: value for name, value in crew.scene.run(run_id).items() if "calls" not in name}


def forgetful_broker(crew: Crew, life: Life, *, long: bool) -> None:
    """F4; messages that wait for a frozen worker are lost, and one that is at work is none the wiser."""
    worker = crew.worker()
    crew.beat()
    for _ in range(3 if long else 1):
        life.go_on(20, 1)
        with slow_pages(crew):
            working(crew)
            crew.redis.flushall()
        wait_until(lambda: not _open(crew), "the poll ended")
        crew.freeze(worker)
        crew.scene.request()
        tasks.hand_over(crew.scene.runtime, [crew.runs()[-1]["id"]])
        time.sleep(3)
        crew.redis.flushall()
        crew.thaw(worker)
    life.go_on(20, 1)
    crew.kill_redis()
    life.go_on(20, 1)
    crew.kill_redis(LONG if long else SHORT)
    life.go_on(20, 1)


def doubled_messages(crew: Crew, life: Life, *, long: bool) -> None:
    """F5: every run's message is sent again and again, in any order, old ones too."""
    crew.worker(4)
    crew.beat()
    over = threading.Event()

    def repeat() -> None:
        while not over.wait(0.05):
            known = [run["id"] for run in crew.runs()]
            tasks.hand_over(crew.scene.runtime, life.random.sample(known, min(6, len(known))))

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        for _ in range(10 if long else 4):
            life.go_on(20, 1)
            time.sleep(1)
    finally:
        over.set()
        thread.join()


def beats(crew: Crew, life: Life, *, long: bool) -> None:
    """F6: three beats make one run a slot; after ten minutes without a beat there is one run to catch up."""
    hour = 3600
    crew.worker(2, CONNECTOR_POLL_INTERVAL=str(hour))
    many = [crew.beat() for _ in range(3)]  # the first slot is that of connecting
    for slot in range(1, 4 if long else 3):
        wait_until(lambda slot=slot: _ended(crew) == slot, f"poll {slot} ended")  # type: ignore[misc]
        life.go_on(20, 1)
        time.sleep(3)
        assert len(crew.runs()) == slot, crew.runs()
        _due(crew)
    wait_until(lambda: not _open(crew), "the last slot ended")
    crew.kill(*many)
    _due(crew, minutes=10)
    before = len(crew.runs())
    crew.beat()
    wait_until(lambda: _ended(crew) == before + 1, "the missed polls were caught up with")
    time.sleep(3)
    assert len(crew.runs()) == before + 1, "one run catches up"
    crew.kill()
    _due(crew)
    crew.worker()
    crew.beat()


def _due(crew: Crew, minutes: int = 0) -> None:
    crew.scene.query(
        "UPDATE source SET next_poll_at = now() - make_interval(mins => %(minutes)s) RETURNING id", minutes=minutes
    )


def _ended(crew: Crew) -> int:
    return sum(run["state"] == "succeeded" for run in crew.runs())


def broken_database(crew: Crew, life: Life, *, long: bool) -> None:
    """F7."""
    crew.worker()
    crew.beat()
    for number in range(6 if long else 2):
        read_anew(crew)
        with slow_pages(crew):
            working(crew)
            life.go_on(10, 1)
            if number % 2:
                crew.kill_postgres()
            else:
                assert crew.reset_connections()
    life.go_on(10, 1)


def crowded(crew: Crew, life: Life, *, long: bool) -> None:
    """F8: sixteen children of four workers write overlapping rows by poll, resync, sweep and backfill at once."""
    for _ in range(4):
        crew.worker(4)
    crew.beat()
    for _ in range(6 if long else 2):
        life.go_on(30, 1)
        for name in crew.scene.orgs:
            ask(crew, name, "resync", "sweep", "backfill")
        wait_until(lambda: not _open(crew, "poll"), "all that was asked for ended")
    failed = crew.scene.query("SELECT kind, error_code, error FROM run WHERE state = 'failed'")
    assert not failed, failed
    assert "deadlock" not in crew.logs()


def _open(crew: Crew, but: str = "") -> list[object]:
    return crew.scene.query(
        "SELECT id FROM run WHERE kind <> %(but)s AND state IN ('queued', 'running', 'waiting')", but=but
    )


def failing_merge(crew: Crew, life: Life, *, long: bool) -> None:
    """F9: the merge runs into a statement timeout, and into a full disk."""
    crew.worker()
    crew.beat()
    for _ in range(3 if long else 1):
        for code in ("query_canceled", "disk_full"):
            read_anew(crew)
            crew.order(sql.SQL(_FULL).format(code=sql.Literal(code)))
            life.go_on(20, 1)
            time.sleep(3)
            crew.order(sql.SQL("DROP TRIGGER full_disk ON record"))


_FULL = """
    CREATE OR REPLACE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'no room' USING ERRCODE = {code}; END $$;
    CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON record FOR EACH STATEMENT EXECUTE FUNCTION full_disk();
"""


def bursts(crew: Crew, life: Life, *, long: bool) -> None:
    """F12."""
    crew.worker()
    crew.beat()
    kinds = ("server_unavailable", "unknown_exception", "unable_to_lock_row", "reset", "cut", "query_timeout")
    for number, kind in enumerate(kinds):
        crew.scene.fault(kind, "/data/", times=None, probability=0.15, seed=life.random.randrange(1000), after=number)
    for _ in range(10 if long else 4):
        life.go_on(20, 1)
        time.sleep(2)
    crew.scene.server.faults.clear()


def exhausted_quota(crew: Crew, life: Life, *, long: bool) -> None:
    """F13: nothing is asked of the org before the resume time; the other org's polls go on."""
    crew.worker()
    crew.beat()
    wait_until(lambda: _ended(crew), "the first poll ended")
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
    wait_until(lambda: _ended(crew), "the first poll ended")
    for _ in range(6 if long else 2):
        read_anew(crew)
        with slow_pages(crew):
            ask(crew, "acme", "sweep", "backfill")
            working(crew)
            before = _renewals(crew)
            instance.tokens.expire_sessions()
            life.go_on(20, 1)
            wait_until(lambda: not _open(crew, "poll"), "sweep and backfill ended")
            polls = _ended(crew)
            wait_until(lambda polls=polls: _ended(crew) > polls + 1, "polls went on")  # type: ignore[misc]
        assert _renewals(crew) - before == 1, f"{_renewals(crew) - before} renewals"


def _renewals(crew: Crew) -> int:
    return len(crew.scene.server.requests.of("acme", "/oauth2/token"))


def lost_rotation(crew: Crew, life: Life, *, long: bool) -> None:
    """F15: a worker dies with the only valid refresh token in its hands; the source needs attention, once."""
    instance = crew.scene.instance()
    for _ in range(2 if long else 1):
        instance.tokens.expire_sessions()
        worker = crew.dying("before a new token is kept")
        beat = crew.beat()
        wait_until(lambda worker=worker: worker.poll() is not None, "death before the token is kept")  # type: ignore[misc]
        crew.worker()
        wait_until(lambda: crew.scene.source().attention, "the source needs attention")
        asked = _renewals(crew)
        life.go_on(20, 1)
        time.sleep(5)
        assert _renewals(crew) == asked, "no storm"
        crew.kill(beat)
        _reauthenticate(crew)
        crew.beat()
    assert not re.search(TOKEN, crew.logs()), "no token in any log"


def _reauthenticate(crew: Crew) -> None:
    credentials = json.dumps(crew.scene.server.credentials(crew.scene.org, "refresh_token"))
    done = crew.scene.cli("source", "reauthenticate", "acme", "--credentials", "-", typed=credentials)
    assert done.returncode == 0, done.stderr


def revoked(crew: Crew, life: Life, *, long: bool) -> None:
    """F16: a revoked token stops the polls; another org's login is refused; an org that moved is followed."""
    crew.worker()
    crew.beat()
    wait_until(lambda: _ended(crew), "the first poll ended")
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
