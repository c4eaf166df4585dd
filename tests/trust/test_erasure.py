"""Erasing a person: nothing of it is left, and nothing of it comes back by any way in."""

import hashlib
import hmac
import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from cdp import erasure, ingest, queries
from cdp.errors import ErasureKeyMissing
from connector.cli.commands import app
from tests.dump import holding
from tests.feed import HOUR
from tests.oracle import BEGINNING, Record
from tests.trust.world import World, contact, identity, ids, lead

KEY, OTHER_KEY = b"k" * 32, b"o" * 32
A = lead(1, "ann@acme.com", values={"company": "Secret Ltd", "score": "7"}, email_permission=True)
B = contact(2, "Ann@acme.com", 2, values={"title": "Secret title"})
D = lead(4, "dan@acme.com", 2)


def erase(world: World, record: Record, *keys: bytes) -> erasure.Found:
    with world.cdp.session() as session:
        [person] = queries.resolve_person(session, record.record_id)
        found = erasure.erase(session, person, keys or (KEY,))
    world.cdp.resolve(world.rules)
    return found


def deliver(world: World, *records: Record, keys: tuple[bytes, ...] = (KEY,)) -> None:
    """Store records one by one, as the connector does, with the keys of the installation."""
    world.hours += 1
    at = BEGINNING + world.hours * HOUR
    for record in records:
        newer = replace(record, version_at=at, modified_at=at, read_at=at)
        with world.cdp.session() as session:
            ingest.store(session, replace(world.cdp.batch([newer]), erasure_keys=keys))
    world.cdp.resolve(world.rules)


def stored(world: World, *texts: str) -> list[str]:
    """The tables in which any of these texts stands."""
    return holding(world.cdp.url, *texts)


def test_every_table_of_records_says_how_an_erasure_leaves_it(world: World) -> None:
    tables = world.cdp.query(
        "SELECT DISTINCT table_name AS name FROM information_schema.columns WHERE table_schema = 'public'"
        " AND column_name IN ('handle', 'record_id', 'person_id')"
    )
    told = erasure.TRACES.keys() | erasure.DERIVED | erasure.HARMLESS
    unnamed = {row["name"] for row in tables} - told
    assert not unnamed, f"name them in cdp/erasure.py: {sorted(unnamed)}"


def test_old_versions_of_rows_are_swept_out(world: World, cli: Any) -> None:
    world.change(A)
    assert cli("erase", "ann@acme.com", "--yes").exit_code == 0
    left = world.cdp.query(
        "SELECT relname FROM pg_stat_user_tables WHERE relname = ANY(%(names)s) AND vacuum_count = 0",
        names=[*erasure.TRACES, *erasure.DERIVED],
    )
    assert left == []


def test_nothing_of_an_erased_person_is_left(world: World) -> None:
    deleted = contact(5, "ann@acme.com", values={"company": "Secret too"}, is_deleted=True)
    world.change(A, B, D, deleted)
    assert stored(world, "secret", "ann@acme") != []
    found = erase(world, A)
    assert sorted(found.handles) == sorted(one.handle for one in (A, B, deleted))
    assert found.emails == ["ann@acme.com"]
    assert stored(world, "secret", "ann@acme") == []
    assert world.groups(D) == ids([D])
    assert world.verify().same


def test_later_versions_and_new_records_store_nothing_personal(world: World) -> None:
    world.change(A, B)
    erase(world, A)
    newcomer = contact(7, "\u200bANN@ACME.com ", 3, values={"company": "Secret again"})
    deliver(world, A, replace(B, email="secret-other@acme.com"), newcomer)
    assert stored(world, "secret", "ann@acme", "other@acme") == []
    assert world.cdp.query("SELECT DISTINCT state FROM record WHERE email IS NULL") == [{"state": "erased"}]
    assert world.groups(A, B, newcomer) == []


def test_a_removed_and_returned_source_stores_nothing_personal(world: World) -> None:
    world.change(A, B)
    erase(world, A)
    world.cdp.query("DELETE FROM record WHERE source_id = 1 RETURNING 1")
    deliver(world, replace(A, email="secret@elsewhere.com"))
    assert stored(world, "secret") == []


def test_a_repeated_version_of_an_erased_record_writes_nothing(world: World) -> None:
    world.change(A)
    erase(world, A)
    deliver(world, A)
    before = world.cdp.query("SELECT xmin FROM record")
    world.hours -= 1
    deliver(world, A)
    assert world.cdp.query("SELECT xmin FROM record") == before


def test_a_mailbox_that_others_hold_is_not_erased_with_one_of_them(world: World) -> None:
    world.change(A, B, D)
    world.split(A)
    assert erase(world, A).emails == []
    assert world.groups(A, B, D) == ids([B], [D])
    deliver(world, B, A)
    assert world.groups(A, B) == ids([B])


def test_a_record_that_takes_an_email_of_its_own_lives_again(world: World) -> None:
    world.change(A)
    erase(world, A)
    other = lead(8, "ann@acme.com", 2)
    deliver(world, other)
    assert world.groups(other) == []
    deliver(world, replace(other, email="eve@acme.com"))
    assert world.groups(other) == ids([other])


def test_what_names_an_erased_record_is_emptied(world: World) -> None:
    world.change(A, B, D)
    world.join(A, D)
    world.split(B)
    erase(world, A)
    assert world.cdp.query("SELECT reason FROM decision ORDER BY id") == [{"reason": "erased"}, {"reason": "a test"}]


def test_tombstones_are_hmacs_that_need_the_key(world: World) -> None:
    world.change(A)
    erase(world, A)
    expected = {
        hmac.digest(KEY, f"record/{A.handle}".encode(), "sha256"),
        hmac.digest(KEY, b"email/ann@acme.com", "sha256"),
    }
    assert {row["hash"] for row in world.cdp.query("SELECT hash FROM erased")} == expected
    assert hashlib.sha256(b"email/ann@acme.com").digest() not in expected


def test_old_keys_recognise_and_a_missing_one_stops_storing(world: World) -> None:
    world.change(A)
    erase(world, A)
    deliver(world, A, keys=(OTHER_KEY, KEY))
    assert stored(world, "secret") == []
    with pytest.raises(ErasureKeyMissing):
        deliver(world, D, keys=(OTHER_KEY,))


def test_an_erasure_is_told_in_the_feed(world: World) -> None:
    world.change(A)
    last = world.events()[-1]["event_id"]
    erase(world, A)
    [event] = world.events(last)
    assert (event["kind"], event["cause"], event["old_ids"], event["new_ids"]) == ("deleted", "erasure", [A.handle], [])


@pytest.fixture
def cli(world: World, monkeypatch: pytest.MonkeyPatch) -> Any:
    vault = SimpleNamespace(erasure_keys=(KEY,))
    runtime = SimpleNamespace(database_url=world.cdp.url, identity=identity(world.rules), vault=vault)
    for room in ("trusting", "exporting"):
        monkeypatch.setattr(f"connector.cli.{room}.Runtime", lambda: runtime)
    return lambda *words, **more: CliRunner().invoke(app, list(words), **more)


def test_the_command_asks_a_person_first(world: World, cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    world.change(A)
    with monkeypatch.context() as patched:
        patched.setattr("connector.cli.trusting.is_interactive", lambda: True)
        assert cli("erase", "ann@acme.com", input="n\n").exit_code != 0
    assert stored(world, "secret") != []
    assert cli("erase", "ann@acme.com", "--yes").exit_code == 0
    assert stored(world, "secret") == []


def test_the_command_refuses_to_choose_among_people(world: World, cli: Any) -> None:
    world.change(A, B)
    world.split(A)
    refused = cli("erase", "ann@acme.com", "--yes")
    assert "2 people" in str(refused.exception)
    assert stored(world, "secret") != []


def test_an_access_request_gets_everything_of_one_person(world: World, cli: Any) -> None:
    world.change(A, B, D, contact(5, "ann@acme.com", values={"company": "Left"}, is_deleted=True))
    told = json.loads(cli("export", "people", "--person", "ann@acme.com").stdout)
    assert [one["record_id"] for one in told["source_records"]] == [contact(5).record_id, A.record_id, B.record_id]
    assert {one["fields"]["company"] for one in told["source_records"]} == {"Secret Ltd", "Left", None}
    assert told["person_id"] == str(A.handle)
    assert [one["kind"] for one in told["history"]] == ["created"]
