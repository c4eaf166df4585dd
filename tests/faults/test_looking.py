"""`connector trace`, for every fate a record can have, and `connector log`."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from cdp import queries
from cdp.db import transaction
from connector import tracing
from connector.errors import BadInput
from connector.simulator.ids import to_18
from tests.faults.life import Life
from tests.faults.scene import Scene

UNKNOWN = to_18("003Xx0000000001")


def traced(scene: Scene, text: str) -> dict[str, Any]:
    with transaction(scene.url) as session:
        [answer] = tracing.trace(session, text, scene.runtime.settings.max_records_per_key)
    return answer


def fate(scene: Scene, text: str) -> str:
    return str(traced(scene, text)["fate"])


def person(scene: Scene, email: str | None, **values: Any) -> str:
    """A new Contact that has been read."""
    contact = scene.org.insert("Contact", {"LastName": "Lima", "Email": email} | values)
    scene.poll()
    return contact


def fresh(scene: Scene) -> Scene:
    scene.connect()
    scene.poll()
    return scene


def test_a_record_with_others_and_by_any_form_of_its_id(scene: Scene) -> None:
    fresh(scene)
    first, second = person(scene, "lima@acme.com"), person(scene, " LIMA@acme.com")
    wanted = scene.query("SELECT person_id FROM person")[0]["person_id"]
    for text in (first, second, first[:15], f"sf_1_Contact_{first}"):
        assert fate(scene, text) == f"It is part of person {wanted}, with 1 other record."


@pytest.mark.parametrize(
    ("email", "reason"),
    [
        ("lima@acme.com", "alone."),
        (None, "alone: it has no email."),
        ("no@email.com", "alone: its email is a placeholder that merges nobody."),
        ("lima at acme", "alone: its email is not a valid address."),
    ],
)
def test_a_record_alone_and_why(scene: Scene, email: str | None, reason: str) -> None:
    assert fate(fresh(scene), person(scene, email)).endswith(reason)


def test_a_record_behind_a_blocked_key(make_scene: Callable[..., Scene]) -> None:
    scene = fresh(make_scene(max_records_per_key=2))
    first, *_ = [person(scene, "info@acme.com") for _ in range(3)]
    assert fate(scene, first).endswith("alone: 3 records share its email, more than merge.")


def test_deleted_merged_and_gone_records(scene: Scene, life: Life) -> None:
    deleted, winner, loser, purged = life.live("Contact")[:4]
    scene.org.delete("Contact", deleted)
    scene.org.merge("Contact", winner, [loser])
    scene.org.purge("Contact", purged)
    scene.poll()
    assert fate(scene, deleted).startswith("It is in Salesforce's recycle bin, as seen at ")
    assert fate(scene, loser).endswith(f"It was merged into {winner}.")
    assert fate(scene, purged).startswith("Salesforce does not know it any more, as seen at ")


@pytest.mark.usefixtures("life")
def test_a_quarantined_record_that_was_never_stored(scene: Scene) -> None:
    lead = scene.org.insert("Lead", {"LastName": "Lima", "Company": "Lima Lda"})
    scene.org.corrupt("Lead", lead, "Title", "a\x00b")
    scene.poll()
    assert fate(scene, lead) == "It could not be stored: a text contains a NUL character."


def test_a_record_whose_newest_version_is_quarantined(scene: Scene, life: Life) -> None:
    lead = life.live("Lead")[0]
    scene.org.corrupt("Lead", lead, "Title", "a\x00b")
    scene.poll()
    assert "NUL" in fate(scene, lead)


@pytest.mark.parametrize(("state", "words"), [("filtered", "does not match the source's filter"), ("erased", "erased")])
def test_filtered_and_erased_records(scene: Scene, life: Life, state: str, words: str) -> None:
    contact = life.live("Contact")[0]
    scene.query("UPDATE record SET state = %(s)s WHERE record_id = %(id)s RETURNING handle", s=state, id=contact)
    assert words in fate(scene, contact)


def test_a_record_that_waits_for_the_resolver(scene: Scene, life: Life) -> None:
    contact = life.live("Contact")[0]
    scene.query("INSERT INTO touched (handle) VALUES (%(h)s) RETURNING handle", h=scene.record(contact)["handle"])
    assert fate(scene, contact) == "It is stored and waits for the next pass of the resolver."


def test_records_that_no_source_has_shown(scene: Scene) -> None:
    assert fate(scene, UNKNOWN) == "No source has read its Contact records yet: run `connector sync`."
    fresh(scene)
    assert fate(scene, UNKNOWN).startswith("No connected org has shown it: Contact records are read up to ")
    assert fate(scene, UNKNOWN[:15] + "zzz").startswith("It is mistyped")
    assert fate(scene, to_18("500Xx0000000001")) == "No object with ids that begin with 500 is synced."
    with pytest.raises(BadInput):
        fate(scene, "lima@acme.com")


def test_the_command_tells_the_same(scene: Scene, life: Life) -> None:
    contact = life.live("Contact")[0]
    done = scene.cli("trace", contact, "--json")
    [answer] = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.returncode, answer["fate"]) == (0, fate(scene, contact))


def events(scene: Scene) -> list[tuple[int, str, str | None, int | None]]:
    with transaction(scene.url) as session:
        found = queries.log(session, None, 10)
    return [(row["run_id"], row["event"], row["object"], row["rows"]) for row in found]


def test_the_log_tells_what_each_run_did_newest_first(scene: Scene) -> None:
    leads = scene.org.insert_many("Lead", [{"LastName": f"L {n}", "Company": "Lima Lda"} for n in range(4)])
    first = fresh(scene).latest_run()["id"]
    scene.org.update("Lead", leads[0], {"LastName": "Edited"})
    scene.org.delete("Lead", leads[1])
    scene.org.insert("Lead", {"LastName": "New", "Company": "Lima Lda"})
    scene.org.corrupt("Lead", leads[2], "Title", "a\x00b")
    second = scene.poll()["run_id"]
    assert events(scene) == [
        (second, "sync_completed", None, 6),
        (second, "records_deleted", "Lead", 1),
        (second, "records_imported", "Lead", 1),
        (second, "records_quarantined", "Lead", 1),
        (second, "records_skipped", "Lead", 2),
        (second, "records_updated", "Lead", 1),
        (second, "sync_started", None, None),
        (first, "sync_completed", None, 4),
        (first, "records_imported", "Lead", 4),
        (first, "sync_started", None, None),
    ]


def test_what_was_marked_as_gone_is_logged_as_deleted(scene: Scene, life: Life) -> None:
    logged, unlogged = life.live("Contact")[:2]
    scene.org.purge("Contact", logged)
    polled = scene.poll()["run_id"]
    scene.org.purge("Contact", unlogged, logged=False)
    swept = scene.attempt("sweep")["run_id"]
    deleted = [event for event in events(scene) if event[1] == "records_deleted"]
    assert deleted == [(swept, "records_deleted", "Contact", 1), (polled, "records_deleted", "Contact", 1)]


def test_a_failure_is_logged_in_salesforce_s_own_words(scene: Scene) -> None:
    fresh(scene)
    scene.fault("error", "/describe", times=None, status=403, code="API_DISABLED_FOR_ORG", message="API is not enabled")
    run = scene.poll()
    with transaction(scene.url) as session:
        [end, *_] = queries.log(session, scene.source().id, 1)
    assert (end["run_id"], end["event"]) == (run["run_id"], "sync_failed")
    assert "API is not enabled" in end["message"]


@pytest.mark.usefixtures("life")
def test_the_command_shows_the_log(scene: Scene) -> None:
    done = scene.cli("log", "acme", "--json")
    shown = [json.loads(line)["event"] for line in done.stdout.splitlines()]
    assert (done.returncode, shown[0], shown[-1]) == (0, "sync_completed", "sync_started")
