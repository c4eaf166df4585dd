"""What the plays of the fleet have in common."""

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg import sql

from connector import backfilling, runs
from tests.faults.life import Life
from tests.faults.scene import HOUR
from tests.fleet.crew import Crew, wait_until


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


@contextmanager
def slow_merges(crew: Crew) -> Iterator[None]:
    """Let storing a page take a while, so that there is a middle of a transaction to strike in."""
    crew.order(_SLOW)
    yield
    crew.order(sql.SQL("DROP TRIGGER slow_merge ON record"))


_SLOW = sql.SQL("""
    CREATE OR REPLACE FUNCTION slow_merge() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_sleep(0.3); RETURN NULL; END $$;
    CREATE TRIGGER slow_merge AFTER INSERT OR UPDATE ON record FOR EACH STATEMENT EXECUTE FUNCTION slow_merge();
""")


def merging(crew: Crew) -> list[object]:
    """The connections that are in the middle of storing a page under `slow_merges`."""
    return crew.scene.query("SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep'")


def unread(crew: Crew, life: Life, steps: int = 60) -> None:
    """Let people work while nobody polls, an hour before the next poll: no overlap reads again what that one loses."""

    def at_rest() -> bool:
        crew.scene.query("UPDATE source SET next_poll_at = now() + interval '1 day' RETURNING id")
        return not open_runs(crew)

    wait_until(at_rest, "polls rest")
    life.go_on(steps, 1)
    crew.scene.later(HOUR)
    crew.scene.query("UPDATE source SET next_poll_at = now() RETURNING id")


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


def ended(crew: Crew) -> int:
    """How many runs of acme have succeeded."""
    return sum(run["state"] == "succeeded" for run in crew.runs())


def open_runs(crew: Crew, but: str = "") -> list[object]:
    """The runs that are not over, but for those of one kind."""
    return crew.scene.query(
        "SELECT id FROM run WHERE kind <> %(but)s AND state IN ('queued', 'running', 'waiting')", but=but
    )
