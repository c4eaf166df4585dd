"""The large backfill: a real worker killed twice in the middle, edits and polls going on, and nothing read in vain.

BACKFILL_RECORDS makes it as large as you like: `make backfill` takes 100,000, which go by Bulk API 2.0, the suite
12,000, which go by REST.
"""

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest
from pydantic import SecretStr

from connector import embedded, mappings
from connector.runtime import Runtime
from connector.schema import migrate
from connector.settings import Settings
from connector.simulator import Org, SimulatorServer
from connector.simulator.clock import Clock
from connector.simulator.query import QueryResult
from connector.simulator.results import ResultFile
from connector.simulator.schema import make_field
from tests.connector.conftest import KEY, Site, people_rows
from tests.connector.test_worker import Start, start, wait_until
from tests.life.conftest import Command

__all__ = ["start"]
RECORDS = int(os.environ.get("BACKFILL_RECORDS", "12000"))
EDITED = 500
KILLS = 2
PAGE = 2000 if RECORDS <= 20_000 else 10_000
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


class Busy(Site):
    """A site whose processes poll every two seconds."""

    def environment(self, **other: str) -> dict[str, str]:
        return super().environment(CONNECTOR_POLL_INTERVAL="2", **other)


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Site]:
    """An installation with its own services, connected to an org of so many Leads, all of them read."""
    services = embedded.services(tmp_path / "home")
    migrate(services.database_url)
    org = Org("acme", clock=Clock(datetime.now(UTC).replace(microsecond=0)))
    org.add_field("Lead", make_field("Tier__c", "string", length=40))
    org.insert_many("Lead", people_rows(RECORDS, Tier__c="old"))
    org.clock.advance(3600)
    with SimulatorServer([org], ca_dir=tmp_path) as server:
        settings = Settings(
            home=tmp_path / "home",
            encryption_keys=SecretStr(KEY),
            ca_bundle=server.ca_file,
            allowed_hosts=[server.url(org).removeprefix("https://")],
            poll_interval=2,
            _env_file=None,
        )
        site = Busy(Runtime(settings), server, {"acme": org})
        site.connect()
        site.sync()
        yield site


class Served:
    """Counts the rows that the org gives out to backfills, which ask for three fields."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.rows = 0
        by_rest, by_bulk = QueryResult.json_records, ResultFile.page

        def json_records(result: Any, begin: int, end: int, **more: Any) -> Any:
            self.rows += end - begin if len(result.columns) == 3 else 0
            return by_rest(result, begin, end, **more)

        def page(result: Any, begin: int, end: int) -> Any:
            self.rows += end - begin
            return by_bulk(result, begin, end)

        patch.setattr(QueryResult, "json_records", json_records)
        patch.setattr(ResultFile, "page", page)


class Edits(threading.Thread):
    """Somebody who edits Leads until told to stop."""

    def __init__(self, org: Org) -> None:
        super().__init__(daemon=True)
        self.org, self.ids, self.random = org, sorted(org.snapshot("Lead")), Random(1)
        self.made = 0
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.wait(0.05):
            self.org.clock.advance(1)
            self.made += 1
            self.org.update("Lead", self.random.choice(self.ids), {"Tier__c": f"new {self.made}"})

    def stop(self) -> None:
        self.ended.set()
        self.join()


def backfill_run(site: Site) -> dict[str, Any]:
    found = site.query("SELECT * FROM run WHERE kind = 'backfill' ORDER BY id DESC LIMIT 1")
    return found[0] if found else {"state": None, "read": 0}


def filled(site: Site) -> dict[str, str | None]:
    return {row["record_id"]: row["f_tier"] for row in site.query("SELECT record_id, f_tier FROM record")}


def kill(worker: Any) -> None:
    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait(15)


def test_a_large_backfill_survives_kills_and_edits(
    fleet: Site, start: Start, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    org = fleet.orgs["acme"]
    mappings.add(fleet.runtime, "acme", "Lead.Tier__c", "tier", None)
    edited = Random(2).sample(sorted(org.snapshot("Lead")), EDITED)
    for record_id in edited:
        org.update("Lead", record_id, {"Tier__c": "edited"})
    fleet.sync()
    assert {key for key, value in filled(fleet).items() if value == "edited"} == set(edited)
    assert sum(value is not None for value in filled(fleet).values()) == EDITED

    served, edits = Served(monkeypatch), Edits(org)
    slow = fleet.fault("slow", r"/query/0|/query/|/results", times=None, seconds=0.4, name="slow")
    start("beat")
    worker = start("worker", "--concurrency", "2")
    edits.start()
    asked = start("backfill", "acme", "--fields", "Lead.Tier__c")
    for number in range(1, KILLS + 1):
        wait_until(lambda number=number: backfill_run(fleet)["read"] >= number * PAGE, 120)
        check_updating(fleet, command)
        kill(worker)
        left = backfill_run(fleet)
        assert left["state"] in ("running", "queued")
        assert left["read"] < RECORDS
        fleet.query("UPDATE run SET lease_until = now() - interval '1 second' WHERE state = 'running' RETURNING id")
        worker = start("worker", "--concurrency", "2")
    wait_until(lambda: backfill_run(fleet)["state"] == "succeeded", 600)
    fleet.server.faults.clear(slow.name)
    edits.stop()
    asked.wait(60)
    run, polls = backfill_run(fleet), fleet.query("SELECT count(*) AS n FROM run WHERE kind = 'poll'")[0]["n"]
    settled = {key: row["Tier__c"] for key, row in org.snapshot("Lead").items()}
    wait_until(lambda: filled(fleet) == settled, 120)
    sys.__stderr__.write(  # type: ignore[union-attr]  # the command's capture would swallow what is printed
        f"{RECORDS} records, {edits.made} edits, {polls} polls; rows stored {run['read']}, served {served.rows}\n"
    )
    assert run["epoch"] > KILLS
    assert run["read"] <= RECORDS + edits.made
    assert served.rows <= run["read"] + KILLS * PAGE
    assert polls > 2
    [status] = json.loads(command(fleet, "status", "--json"))["sources"]
    assert (status["state"], status["updating"]) == ("connected", False)


def check_updating(site: Site, command: Callable[..., str]) -> None:
    """The source is connected and updating, and nothing of what it syncs can be edited."""
    run = backfill_run(site)
    [status] = json.loads(command(site, "status", "--json"))["sources"]
    assert (status["state"], status["updating"]) == ("connected", True)
    assert "connected · updating" in command(site, "status")
    sentence = (
        f"The data source 'acme' is updating (backfill, run {run['id']}), so its filter, fields, permissions and "
        "cursor are locked: wait until it has ended and try again."
    )
    assert command(site, "map", "acme", "Lead.Website", "site", fails=3) == sentence
    assert command(site, "filter", "set", "acme", file="{}", fails=3) == sentence
    assert command(site, "permission", "set", "acme", file="{}", fails=3) == sentence
