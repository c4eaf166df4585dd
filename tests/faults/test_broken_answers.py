"""Answers that are not what they seem, queries that run too long, and requests that never end."""

import json
import time
from collections.abc import Callable
from random import Random
from unittest import mock

import pytest

from connector.client import ATTEMPTS
from tests.faults.life import Life, settle
from tests.faults.scene import HOUR, NONE, Scene


def windows(scene: Scene, run_id: int, sobject: str = "Lead") -> int:
    return len(scene.query("SELECT FROM read_window WHERE run_id = %(r)s AND object = %(o)s", r=run_id, o=sobject))


def test_html_in_the_place_of_bulk_results_closes_no_window(make_scene: Callable[..., Scene]) -> None:
    scene = make_scene(bulk_threshold=0)
    settle(scene.org, Random(3), leads=6, contacts=6)
    scene.connect()
    scene.fault("html", "/results")
    scene.poll()
    scene.quiet()
    assert scene.query("SELECT FROM quarantine") == []
    assert scene.differences() == NONE


def test_a_last_row_that_was_cut_off_is_read_again(make_scene: Callable[..., Scene]) -> None:
    scene = make_scene(bulk_threshold=0)
    scene.connect()
    scene.map("Lead", Notes__c="notes")
    scene.org.insert("Lead", {"LastName": "Lima", "Company": "Lima Lda", "Notes__c": "x" * 2000})
    scene.fault("wrong_length", "/results")
    scene.poll(HOUR)
    scene.quiet()
    assert scene.differences() == NONE


def test_a_window_that_takes_too_long_is_halved_until_it_passes(scene: Scene, life: Life) -> None:
    life.go_on(6, HOUR / 2)
    scene.fault("query_timeout", "FROM Lead WHERE [LS]", times=ATTEMPTS)
    run = scene.poll()
    assert (run["state"], windows(scene, run["run_id"]) > 1) == ("succeeded", True)
    assert scene.gaps() == []
    scene.quiet()
    assert scene.differences() == NONE


def test_a_query_that_ran_too_long_is_not_repeated_as_it_is(scene: Scene, life: Life) -> None:
    life.go_on(6, HOUR / 2)
    scene.fault("query_timeout", "FROM Lead WHERE [LS]")
    assert windows(scene, scene.poll()["run_id"]) == 2


def test_queries_of_one_object_that_take_too_long_delay_no_other(scene: Scene, life: Life) -> None:
    scene.fault("query_timeout", "FROM Lead", times=None)
    contact = life.live("Contact")[0]
    scene.org.update("Contact", contact, {"LastName": "Edited"})
    assert scene.poll()["error_code"] == "QUERY_TIMEOUT"
    assert scene.record(contact)["f_last_name"] == "Edited"


@pytest.mark.parametrize("kind", ["hang", "stall"])
def test_a_request_that_never_ends_is_given_up_and_made_again(scene: Scene, life: Life, kind: str) -> None:
    life.go_on(10)
    fault = scene.fault(kind, "/query", times=2)
    started = time.monotonic()
    with mock.patch.multiple("connector.http", READ_TIMEOUT=0.3, RESPONSE_DEADLINE=0.6):
        assert scene.poll()["state"] == "succeeded"
    assert (fault.hits, time.monotonic() - started < 15) == (2, True)
    assert scene.differences() == NONE


@pytest.mark.parametrize("path", ["/jobs/query", "/results"])
@pytest.mark.parametrize("kind", ["hang", "stall"])
def test_a_bulk_request_that_never_ends_is_given_up_and_made_again(
    make_scene: Callable[..., Scene], kind: str, path: str
) -> None:
    scene = make_scene(bulk_threshold=0)
    settle(scene.org, Random(3), leads=6, contacts=6)
    scene.connect()
    fault = scene.fault(kind, path, times=2)
    limits = mock.patch.multiple("connector.http", READ_TIMEOUT=0.4, RESPONSE_DEADLINE=0.8)
    with limits, mock.patch("connector.client.DOWNLOAD_LIMIT", 0.8):
        assert scene.poll()["state"] == "succeeded"
    assert fault.hits == 2
    assert scene.differences() == NONE


@pytest.mark.usefixtures("life")
@pytest.mark.parametrize("status", [420, 502])
def test_attempts_are_bounded(scene: Scene, status: int) -> None:
    fault = scene.fault("error", "/query", times=None, status=status, code="BUSY")
    assert scene.poll()["state"] == "failed"
    assert fault.hits == ATTEMPTS
    scene.server.faults.clear()
    scene.quiet()
    assert scene.differences() == NONE


def test_a_row_stamped_in_the_future_can_still_be_edited(scene: Scene, life: Life) -> None:
    contact = life.live("Contact")[0]
    tomorrow = scene.org.clock.now().replace(year=scene.org.clock.now().year + 1)
    scene.org.update("Contact", contact, {"LastName": "From the future"}, at=tomorrow)
    scene.poll()
    scene.org.update("Contact", contact, {"LastName": "Edited now"})
    scene.quiet()
    assert scene.differences() == NONE


def test_rows_stamped_in_the_future_are_reported_until_they_are_mended(scene: Scene, life: Life) -> None:
    contact, other = life.live("Contact")[:2]
    tomorrow = scene.org.clock.now().replace(year=scene.org.clock.now().year + 1)
    for one in (contact, other):
        scene.org.update("Contact", one, {"LastName": "From the future"}, at=tomorrow)
    scene.poll()
    scene.poll()
    [finding] = scene.query("SELECT * FROM finding")
    assert (finding["object"], finding["code"]) == ("Contact", "stamp_ahead")
    until = f"{tomorrow:%Y-%m-%d %H:%M}"
    assert finding["message"].startswith(f"2 Contact records bear stamps in the future, up to {until} UTC (such as ")
    scene.org.update("Contact", contact, {"LastName": "Saved again"})
    scene.poll()
    assert scene.query("SELECT since FROM finding") == [{"since": finding["since"]}]
    scene.org.update("Contact", other, {"LastName": "Saved again"})
    scene.poll()
    assert scene.query("SELECT since FROM finding") == []


def test_status_and_health_tell_of_stamps_in_the_future(scene: Scene, life: Life) -> None:
    tomorrow = scene.org.clock.now().replace(year=scene.org.clock.now().year + 1)
    scene.org.update("Contact", life.live("Contact")[0], {"LastName": "From the future"}, at=tomorrow)
    scene.poll()
    [told] = json.loads(scene.cli("status", "--json").stdout)["sources"]
    assert told["attention"]["code"] == "stamp_ahead"
    checks = {row["check"]: row for row in map(json.loads, scene.cli("health", "--json").stdout.splitlines())}
    assert checks["stamp_ahead"]["remedy"].startswith("Save the records again in Salesforce")


def test_the_sweep_heals_what_a_stamp_from_the_future_still_hides(scene: Scene, life: Life) -> None:
    contact = life.live("Contact")[0]
    tomorrow = scene.org.clock.now().replace(year=scene.org.clock.now().year + 1)
    scene.org.update("Contact", contact, {"LastName": "From the future"}, at=tomorrow)
    scene.poll()
    scene.org.update("Contact", contact, {"LastName": "Edited now"})
    scene.later()
    scene.attempt("sweep")
    assert scene.differences() == NONE
