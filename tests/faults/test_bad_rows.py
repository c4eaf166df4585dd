"""Rows that cannot be stored: set aside without their values, told of, and home again when they are mended."""

import pytest

from tests.faults.life import Life
from tests.faults.scene import HOUR, NONE, Scene


@pytest.mark.parametrize("bad", ["a\x00b", "a \ud800 b"])
def test_a_bad_row_is_set_aside_and_comes_home_when_it_is_mended(scene: Scene, life: Life, bad: str) -> None:
    lead, *others = life.live("Lead")
    scene.org.corrupt("Lead", lead, "Title", bad)
    scene.org.update("Lead", others[0], {"LastName": "Edited"})
    run = scene.poll()
    assert (run["state"], run["quarantined"]) == ("incomplete", 1)
    [aside] = scene.query("SELECT object, record_id, reason FROM quarantine")
    assert (aside["object"], aside["record_id"]) == ("Lead", lead)
    assert scene.record(others[0])["f_last_name"] == "Edited"
    assert scene.poll()["state"] == "incomplete"
    scene.org.update("Lead", lead, {"Title": "Mended"})
    assert scene.poll()["state"] == "succeeded"
    assert scene.query("SELECT FROM quarantine") == []
    assert scene.differences() == NONE


def test_a_bad_row_that_is_purged_leaves_quarantine(scene: Scene, life: Life) -> None:
    lead = life.live("Lead")[0]
    scene.org.corrupt("Lead", lead, "Title", "a\x00b")
    scene.poll()
    scene.org.purge("Lead", lead)
    scene.quiet()
    assert scene.query("SELECT FROM quarantine") == []
    assert scene.differences() == NONE


def test_a_bad_row_that_is_deleted_does_not_live_on(scene: Scene, life: Life) -> None:
    lead = life.live("Lead")[0]
    scene.org.corrupt("Lead", lead, "Title", "a\x00b")
    scene.poll()
    scene.org.delete("Lead", lead)
    scene.quiet()
    assert scene.differences() == NONE


def test_the_sweep_tries_quarantined_rows_again(scene: Scene, life: Life) -> None:
    lead = life.live("Lead")[0]
    scene.org.corrupt("Lead", lead, "Title", "a\x00b")
    scene.poll()
    table = scene.org.tables["Lead"]
    table.put(lead, table.pack({**scene.org.row("Lead", lead), "Title": "Mended without a stamp"}))
    scene.later(3600)
    scene.quiet()
    scene.attempt("sweep")
    assert scene.query("SELECT FROM quarantine") == []
    assert scene.differences() == NONE


def unmap(scene: Scene, sobject: str, field: str) -> None:
    mapping = scene.source().mapping
    del mapping[sobject][field]
    scene.change(mapping=mapping)


def with_bad_date(scene: Scene, life: Life) -> None:
    """Put a Lead into quarantine for its birthday, and let so much time pass that no poll reads it by its stamp."""
    lead = life.live("Lead")[0]
    scene.map("Lead", Birthday__c="birthday")
    scene.org.corrupt("Lead", lead, "Birthday__c", "31 February")
    scene.poll()
    assert [row["record_id"] for row in scene.query("SELECT record_id FROM quarantine")] == [lead]
    scene.poll(HOUR)


def test_a_bad_row_is_tried_again_when_its_bad_field_is_no_longer_mapped(scene: Scene, life: Life) -> None:
    with_bad_date(scene, life)
    unmap(scene, "Lead", "Birthday__c")
    assert scene.poll()["state"] == "succeeded"
    assert scene.query("SELECT FROM quarantine") == []
    assert scene.differences() == NONE


def test_a_bad_row_is_tried_once_for_each_change_of_the_mapping(scene: Scene, life: Life) -> None:
    with_bad_date(scene, life)
    scene.map("Lead", Rating="rating")
    assert scene.poll()["state"] == "incomplete"
    scene.server.requests.clear()
    assert scene.poll()["state"] == "succeeded"
    assert not [entry for entry in scene.server.requests.of("acme") if "Id IN" in entry.query]


@pytest.mark.usefixtures("life")
def test_a_row_without_a_readable_id_holds_up_no_sweep(scene: Scene) -> None:
    scene.query(
        "INSERT INTO quarantine (source_id, object, record_id, reason, seen_at)"
        " VALUES (%(source)s, 'Lead', 'unknown', 'Id has no value', now()) RETURNING record_id",
        source=scene.source().id,
    )
    assert scene.attempt("sweep")["state"] == "succeeded"
    assert scene.query("SELECT FROM quarantine") == []
    assert scene.differences() == NONE
