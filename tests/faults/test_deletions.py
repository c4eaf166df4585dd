"""Deletions that no page shows, long outages, and what comes back."""

from datetime import timedelta
from unittest import mock

import pytest

from connector import fetching
from connector.client import Deleted, OrgClient
from tests.faults.life import Life
from tests.faults.scene import DAY, HOUR, MINUTE, NONE, Scene


class Crash(BaseException):
    """As sudden as a signal."""


def test_a_purge_is_seen_through_the_delete_log(scene: Scene, life: Life) -> None:
    contact = life.live("Contact")[0]
    scene.org.purge("Contact", contact)
    run = scene.poll()
    assert (run["kind"], scene.record(contact)["state"]) == ("poll", "gone")
    assert scene.differences() == NONE


def test_a_purge_that_even_the_log_does_not_know_is_seen_by_the_sweep(scene: Scene, life: Life) -> None:
    contact = life.live("Contact")[0]
    scene.org.purge("Contact", contact, logged=False)
    scene.quiet()
    assert scene.differences().phantom == (contact,)
    scene.attempt("sweep")
    assert scene.differences() == NONE


def test_an_undeleted_record_lives_on_under_its_old_handle(scene: Scene, life: Life) -> None:
    contact = life.live("Contact")[0]
    before = scene.record(contact)["handle"]
    scene.org.delete("Contact", contact)
    scene.poll()
    assert scene.record(contact)["state"] == "deleted"
    scene.org.undelete("Contact", contact)
    scene.poll()
    assert (scene.record(contact)["state"], scene.record(contact)["handle"]) == ("live", before)
    assert scene.differences() == NONE


def test_a_deletion_that_moved_no_stamp_at_all_is_seen(scene: Scene, life: Life) -> None:
    scene.org.behaviour.cascade_moves_stamps = False
    contact = next(i for i in life.live("Contact") if scene.org.row("Contact", i)["AccountId"])
    scene.poll(2 * HOUR)
    scene.org.delete("Account", scene.org.row("Contact", contact)["AccountId"])
    scene.quiet()
    assert scene.record(contact)["state"] == "deleted"
    assert scene.differences() == NONE


def test_after_sixteen_days_everything_is_read_again_and_a_sweep_is_asked_for(scene: Scene, life: Life) -> None:
    contact = life.live("Contact")[0]
    scene.org.delete("Contact", contact)
    scene.later(16 * DAY)
    run = scene.poll()
    assert "was last read more than 15 days ago" in run["note"]
    assert run["read"] == scene.rows_in_salesforce()
    [swept] = scene.run_queued()
    assert (swept["kind"], swept["state"]) == ("sweep", "succeeded")
    assert scene.record(contact)["state"] == "gone"
    assert scene.differences() == NONE


def test_an_outage_of_just_under_fifteen_days_misses_no_purge(scene: Scene, life: Life) -> None:
    scene.org.purge("Contact", life.live("Contact")[0])
    scene.later(15 * DAY - 6 * MINUTE)
    scene.poll(0)
    scene.quiet()
    scene.run_queued()
    assert scene.differences() == NONE


def test_a_crash_before_the_delete_log_is_settled_loses_no_purge(scene: Scene, life: Life) -> None:
    scene.org.purge("Contact", life.live("Contact")[0])
    scene.later(2 * HOUR)
    with mock.patch.object(fetching, "settle", side_effect=Crash), pytest.raises(Crash):
        scene.poll(0)
    scene.quiet()
    assert scene.differences() == NONE


def test_a_delete_log_that_reaches_back_too_little_forces_a_resync_and_says_so(scene: Scene, life: Life) -> None:
    contact = life.live("Contact")[0]
    scene.org.purge("Contact", contact, logged=False)
    full = Deleted((), scene.org.clock.now() + timedelta(seconds=1))
    with mock.patch.object(OrgClient, "deleted", return_value=full):
        run = scene.poll()
    assert "The delete log of Contact reaches back only to" in run["note"]
    assert run["read"] == sum(len(scene.org.snapshot(one)) for one in ("Lead", "Contact"))
    assert [swept["kind"] for swept in scene.run_queued()] == ["sweep"]
    assert scene.record(contact)["state"] == "gone"
    assert scene.differences() == NONE
