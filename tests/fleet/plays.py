"""How faults of processes, broker and database are played, while people work in the org."""

import re
import threading
import time

from psycopg import sql

from connector import tasks
from tests.faults.life import Life
from tests.fleet.acts import (
    ask,
    ended,
    merging,
    open_runs,
    read_anew,
    slow_merges,
    slow_pages,
    unread,
    working,
)
from tests.fleet.crew import Crew, wait_until
from tests.fleet.process import POINTS

KILL_EVERY = 5.0
LOST = "lease_lost|does not answer"
SHORT, LONG, MINUTE = 10.0, 25.0, 60.0
TOKEN = r"00D\w{12,15}!|5Aep\w+"


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
        wait_until(lambda: not open_runs(crew), "the poll ended")
        crew.freeze(worker)
        crew.scene.request()  # its message is the second, since the frozen worker has the first in its hands
        tasks.hand_over(crew.scene.runtime, [run["id"] for run in crew.runs()[-2:]])
        time.sleep(3)
        crew.redis.flushall()
        crew.thaw(worker)
    life.go_on(20, 1)
    crew.kill_redis()
    life.go_on(20, 1)
    crew.kill_redis(MINUTE if long else SHORT)
    life.go_on(20, 1)


def doubled_messages(crew: Crew, life: Life, *, long: bool) -> None:
    """F5: every run's message is sent again and again, in any order, old ones too."""
    crew.worker(4)
    crew.beat()
    wait_until(lambda: ended(crew), "the first poll ended")
    over = threading.Event()

    def repeat() -> None:
        while not over.wait(0.05):
            known = [run["id"] for run in crew.runs()]
            tasks.hand_over(crew.scene.runtime, life.random.sample(known, min(6, len(known))))

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        for _ in range(10 if long else 5):
            life.go_on(20, 1)
            done = [run for run in crew.runs() if run["ended_at"]]
            time.sleep(1)
            assert crew.runs()[: len(done)] == done, "what has ended stays as it is"
    finally:
        over.set()
        thread.join()


def beats(crew: Crew, life: Life, *, long: bool) -> None:
    """F6: three beats make one run a slot; after ten minutes without a beat there is one run to catch up."""
    hour = 3600
    crew.worker(2, CONNECTOR_POLL_INTERVAL=str(hour))
    many = [crew.beat() for _ in range(3)]  # the first slot is that of connecting
    for slot in range(1, 4 if long else 3):
        wait_until(lambda slot=slot: ended(crew) == slot, f"poll {slot} ended")  # type: ignore[misc]
        life.go_on(20, 1)
        time.sleep(3)
        assert len(crew.runs()) == slot, crew.runs()
        _due(crew)
    wait_until(lambda: ended(crew) == slot + 1, "the last slot ended")
    crew.kill(*many)
    _due(crew, minutes=10)
    before = len(crew.runs())
    crew.beat()
    wait_until(lambda: ended(crew) == before + 1, "the missed polls were caught up with")
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


def broken_database(crew: Crew, life: Life, *, long: bool) -> None:
    """F7: each time in the middle of storing a page."""
    crew.worker()
    crew.beat()
    wait_until(lambda: ended(crew), "the first poll ended")
    for number in range(6 if long else 2):
        unread(crew, life)
        with slow_pages(crew), slow_merges(crew):
            working(crew, read=life.random.choice((0, 10)))
            wait_until(lambda: merging(crew), "a page is being stored")
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
        wait_until(lambda: not open_runs(crew, "poll"), "all that was asked for ended")
    failed = crew.scene.query("SELECT kind, error_code, error FROM run WHERE state = 'failed'")
    assert not failed, failed
    assert "deadlock" not in crew.logs()


def failing_merge(crew: Crew, life: Life, *, long: bool) -> None:
    """F9: the merge runs into a statement timeout, and into a full disk, when some pages are stored."""
    crew.worker()
    crew.beat()
    wait_until(lambda: ended(crew), "the first poll ended")
    for _ in range(3 if long else 1):
        for code in ("query_canceled", "disk_full"):
            unread(crew, life)
            with slow_pages(crew):
                working(crew)
                crew.order(sql.SQL(_FULL).format(code=sql.Literal(code)))
                time.sleep(3)
            crew.order(sql.SQL("DROP TRIGGER full_disk ON record"))


_FULL = """
    CREATE OR REPLACE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'no room' USING ERRCODE = {code}; END $$;
    CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON record FOR EACH STATEMENT EXECUTE FUNCTION full_disk();
"""
