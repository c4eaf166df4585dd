"""What a sweep heals, and the brake that stops it when so much is absent that it looks like lost permissions."""

import json
from collections.abc import Callable
from random import Random

import pytest

from tests.faults.life import Life, settle
from tests.faults.scene import NONE, Scene

HIDDEN = 60


@pytest.fixture
def crowded(make_scene: Callable[..., Scene]) -> tuple[Scene, Life]:
    """A scene of a hundred Leads, most of which have just been hidden from the login."""
    scene = make_scene()
    life = settle(scene.org, Random(5), leads=100, contacts=10)
    scene.connect()
    scene.poll()
    scene.org.set_hidden_rows("Lead", life.live("Lead")[:HIDDEN])
    return scene, life


def test_the_brake_marks_nothing_and_asks_a_person(crowded: tuple[Scene, Life]) -> None:
    scene, _ = crowded
    before, people = scene.stored(), scene.people()
    run = scene.attempt("sweep")
    attention = scene.source().attention or {}
    assert (run["state"], run["error_code"], attention["code"]) == ("failed", "sweep_brake", "sweep_brake")
    assert f"{HIDDEN} Lead records are absent" in attention["message"]
    assert "--accept-absent" in attention["remedy"]
    assert (scene.stored(), scene.people()) == (before, people)
    scene.org.set_hidden_rows("Lead", [])
    assert scene.attempt("sweep")["state"] == "succeeded"
    assert scene.source().attention is None
    assert scene.differences() == NONE


def test_absence_that_a_person_accepts_is_believed_and_what_returns_comes_back(crowded: tuple[Scene, Life]) -> None:
    scene, _ = crowded
    assert scene.attempt("sweep", accept_absent=True)["state"] == "succeeded"
    assert list(scene.states("Lead").values()).count("gone") == HIDDEN
    scene.org.set_hidden_rows("Lead", [])
    scene.attempt("sweep")
    assert scene.differences() == NONE


def test_a_poll_does_not_withdraw_the_question_of_the_brake(crowded: tuple[Scene, Life]) -> None:
    scene, _ = crowded
    scene.attempt("sweep")
    scene.poll()
    assert (scene.source().attention or {}).get("code") == "sweep_brake"


def test_few_absent_records_are_gone_after_the_second_look(scene: Scene, life: Life) -> None:
    hidden = life.live("Lead")[:3]
    scene.org.set_hidden_rows("Lead", hidden)
    scene.attempt("sweep")
    assert {scene.record(one)["state"] for one in hidden} == {"gone"}
    healed = scene.query("SELECT record_id, difference, outcome FROM sweep_healed ORDER BY record_id")
    assert [tuple(row.values()) for row in healed] == [(one, "phantom", "marked as gone") for one in hidden]


def test_an_interrupted_sweep_goes_on_at_its_last_page(scene: Scene, life: Life) -> None:
    scene.fault("server_unavailable", "FROM Lead", after=2, times=6)
    scene.fault("drop_locator", "/query/", times=None)
    scene.fault("page_size", "/query", times=None, size=5)
    scene.org.purge("Contact", life.live("Contact")[0], logged=False)
    assert scene.attempt("sweep")["state"] == "failed"
    scene.server.faults.clear()
    assert scene.attempt("sweep")["state"] == "succeeded"
    assert scene.differences() == NONE
    assert scene.query("SELECT run_id FROM sweep_row WHERE run_id = (SELECT max(id) FROM run)") == []


def test_the_command_names_what_it_healed_and_what_a_full_read_costs(scene: Scene, life: Life) -> None:
    purged = life.live("Contact")[0]
    scene.org.purge("Contact", purged, logged=False)
    first = scene.latest_run()["api_calls"]
    told = json.loads(scene.cli("sweep", "acme", "--here", "--json").stdout)
    [healed] = told["healed"]
    assert (healed["object"], healed["record_id"], healed["difference"]) == ("Contact", purged, "phantom")
    assert told["full_read_api_calls"] == first
    shown = scene.cli("sweep", "acme", "--here").stdout
    assert f"; the last full read took {first}." in shown
