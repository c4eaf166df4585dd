"""Everything that may happen to an org and to us, in any order: at each quiet point all is as in Salesforce."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from psycopg import sql
from sqlmodel import Session

from cdp import ingest, people
from cdp.db import driver, transaction
from cdp.records import Batch, Outcome
from connector import fetching
from connector.runs import Lease
from connector.simulator.errors import ApiError
from connector.simulator.late import LateCommit
from tests.faults.conftest import LONG
from tests.faults.filtering import PLAIN, Choice, Crash, choose, move
from tests.faults.life import settle
from tests.faults.scene import NONE, Scene, opened

RANDOM = st.integers(0, 2**20).map(Random)
FIELD = ("Contact", "Phone")
Store = Callable[[Session, Batch], Outcome]


def empty(url: str) -> None:
    """Forget everything but the schema, for an installation that begins anew."""
    with transaction(url) as session:
        connection = driver(session)
        found = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
            " AND tablename NOT IN ('alembic_version', 'person_field')"
        ).fetchall()
        tables = sql.SQL(", ").join(sql.Identifier(row[0]) for row in found)
        connection.execute(sql.SQL("TRUNCATE {} RESTART IDENTITY CASCADE").format(tables))


class OrgAndUs(RuleBasedStateMachine):
    """One org, edited at random, and one installation that polls and sweeps it, and crashes.

    Only polls let more than seconds pass: what the delete log says must stay within the overlap of a crashed poll.
    """

    stage: Callable[[], AbstractContextManager[Scene]]

    def __init__(self) -> None:
        super().__init__()
        self._set = self.stage()
        self.scene = self._set.__enter__()
        self.life = settle(self.scene.org, Random(1), leads=6, contacts=6)
        self.open: list[LateCommit] = []
        self.hidden = self.quiet = False
        self.scene.connect()

    def teardown(self) -> None:
        self._set.__exit__(None, None, None)

    @rule(random=RANDOM, act=st.sampled_from(("create", "edit", "automate", "delete", "purge", "undelete")))
    def change_a_row(self, random: Random, act: str) -> None:
        self._do(random, act)

    @rule(random=RANDOM, act=st.sampled_from(("merge", "convert", "swap_emails")))
    def change_several(self, random: Random, act: str) -> None:
        self._do(random, act)

    def _do(self, random: Random, act: str) -> None:
        self.life.random = random
        getattr(self.life, act)()
        self.scene.later(random.choice((0, 1, 5)))
        self.quiet = False

    @rule(random=RANDOM)
    def write_in_a_long_transaction(self, random: Random) -> None:
        self.life.random = random
        transaction = self.scene.org.late_commit()
        transaction.insert("Contact", {"LastName": "Late", "Email": self.life.email()})
        if found := self.life.one():
            transaction.update(*found, {"LastName": "Late too"})
        self.open.append(transaction)

    @precondition(lambda self: self.open)
    @rule()
    def commit(self) -> None:
        transaction = self.open.pop(0)
        with suppress(ApiError):  # the row may have been deleted meanwhile
            transaction.commit()
        transaction.rollback()
        self.quiet = False

    @precondition(lambda self: not self.hidden)
    @rule()
    def hide_a_field(self) -> None:
        self.scene.org.hide_field(*FIELD)
        self.hidden, self.quiet = True, False

    @precondition(lambda self: self.hidden)
    @rule()
    def show_it_again(self) -> None:
        self.scene.org.show_field(*FIELD)
        self.hidden = self.quiet = False

    @rule(random=RANDOM)
    def change_what_is_hidden_and_what_filters_ask(self, random: Random) -> None:
        self.life.random = random
        move(self.life)
        if found := self.life.one("Contact"):
            self.scene.org.update(*found, {"Phone": f"555-{random.randrange(10_000)}"})
        self.quiet = False

    @rule(choice=st.sampled_from(PLAIN))
    def edit_the_filter(self, choice: Choice) -> None:
        choose(self.scene, choice)
        self.quiet = False

    @rule(seconds=st.sampled_from((1, 60, 300)))
    def poll(self, seconds: int) -> None:
        self._expect(self.scene.poll(seconds))

    @rule()
    def read_everything(self) -> None:
        self._expect(self.scene.attempt("resync"))

    @rule()
    def sweep(self) -> None:
        self._expect(self.scene.attempt("sweep"))

    @rule(number=st.integers(1, 4), where=st.sampled_from(("page", "resolving", "people", "settling")))
    def poll_and_crash(self, number: int, where: str) -> None:
        with crashing(where, number), suppress(Crash):
            self.scene.poll(60)
        # Nobody edits before the time is over for which a dead process is believed to be at work.
        self.scene.query("UPDATE run SET owner = NULL WHERE state = 'queued' RETURNING id")

    @rule()
    def poll_and_deliver_pages_twice(self) -> None:
        with mock.patch.object(ingest, "store", twice(ingest.store)):
            self._expect(self.scene.poll(60))

    def _expect(self, run: dict[str, Any]) -> None:
        assert run["state"] == "succeeded", run

    @rule()
    def rest(self) -> None:
        self.scene.quiet()
        self.quiet = True

    @invariant()
    def nothing_is_wrong_when_quiet(self) -> None:
        if self.quiet:
            assert self.scene.differences() == NONE
            assert self.scene.gaps() == []


@contextmanager
def crashing(where: str, number: int) -> Iterator[None]:
    """Crash at the call of that number: in a page's transaction, in the resolver, or after the delete log was asked."""
    target, name = {
        "page": (Lease, "note"),
        "resolving": (people, "resolve"),
        "people": (people, "store_people"),
        "settling": (fetching, "settle"),
    }[where]
    original, calls = getattr(target, name), []

    def crash_in_time(*args: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == number:
            raise Crash
        return original(*args, **options)

    with mock.patch.object(target, name, crash_in_time):
        yield


def twice(store: Store) -> Store:
    """Store the page before once more ahead of each page, and each page twice."""
    earlier: list[Batch] = []

    def repeated(session: Session, batch: Batch) -> Outcome:
        for one in (*earlier[-1:], batch):
            store(session, one)
        earlier.append(batch)
        return store(session, batch)

    return repeated


@pytest.mark.slow
@pytest.mark.timeout(3600 if LONG else 300)
def test_in_any_order_of_events_nothing_is_wrong_at_rest(database_url: str, tmp_path: Path) -> None:
    @contextmanager
    def stage() -> Iterator[Scene]:
        empty(database_url)
        with opened(database_url, tmp_path, bulk_threshold=10**6) as scene:
            yield scene

    run_state_machine_as_test(
        type("Machine", (OrgAndUs,), {"stage": staticmethod(stage)}),
        settings=settings(
            max_examples=60 if LONG else 3,
            stateful_step_count=20,
            derandomize=not LONG,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
            phases=[Phase.generate] if not LONG else tuple(Phase),  # shrinking takes minutes
        ),
    )
