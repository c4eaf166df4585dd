"""`connector sync --here` is interrupted: its run is free at once, and the source can be edited."""

import signal
import subprocess
import sys

import pytest

from connector import slices, sync
from connector.simulator.schema import make_field
from tests.connector.conftest import Site, people_rows
from tests.connector.test_worker import wait_until
from tests.life.conftest import Command

ROWS = 300
SENTENCE = "Interrupted: what was stored stays, and the next start goes on from there.\n"


@pytest.fixture
def acme(site: Site) -> Site:
    site.orgs["acme"].add_field("Lead", make_field("Tier__c", "string", length=40))
    site.orgs["acme"].insert_many("Lead", people_rows(ROWS))
    site.connect()
    site.instance().settings.max_page_size = 10
    return site


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_sync_hands_its_run_back_and_locks_nothing(
    acme: Site, command: Command, number: signal.Signals
) -> None:
    slow = acme.fault("slow", "/query", times=None, seconds=0.2, name="slow")
    words = [sys.executable, "-m", "connector", "sync", "acme", "--here"]
    process = subprocess.Popen(words, env=acme.environment(), stderr=subprocess.PIPE, text=True)
    wait_until(lambda: acme.query("SELECT id FROM run WHERE read > 0"))
    assert "acme' is updating (poll, run 1)" in command(acme, "map", "acme", "Lead.Tier__c", "tier", fails=3)
    process.send_signal(number)
    assert (process.communicate(timeout=60)[1], process.returncode) == (SENTENCE, 130)
    acme.server.faults.clear(slow.name)
    left = acme.latest_run()
    assert (left["state"], left["owner"], left["lease_losses"]) == ("queued", None, 0)
    assert 0 < left["read"] < ROWS
    command(acme, "map", "acme", "Lead.Tier__c", "tier")
    run = acme.execute(left["id"])
    assert (run["state"], run["epoch"]) == ("succeeded", 2)
    assert len(acme.states("Lead")) == ROWS


def test_between_two_slices_a_run_locks_until_it_is_interrupted_there(
    acme: Site, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_of: object) -> None:
        assert "is updating (poll" in command(acme, "map", "acme", "Lead.Tier__c", "tier", fails=3)
        raise KeyboardInterrupt

    monkeypatch.setattr(slices, "SLICE_SECONDS", 0.0)
    monkeypatch.setattr(sync, "_await_pause", interrupted)
    with pytest.raises(KeyboardInterrupt):
        acme.sync()
    assert acme.latest_run()["state"] == "queued"
    command(acme, "map", "acme", "Lead.Tier__c", "tier")


def test_what_an_interruption_breaks_is_no_failure_of_the_run(acme: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_work: object) -> None:
        try:
            raise KeyboardInterrupt
        finally:
            raise ValueError("connection in transaction status ACTIVE")

    monkeypatch.setattr(sync, "KINDS", {"poll": broken})
    with pytest.raises(KeyboardInterrupt):
        acme.sync()
    assert (acme.latest_run()["state"], acme.latest_run()["owner"]) == ("queued", None)
