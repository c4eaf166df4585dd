"""Slices: long work goes on in pieces at page boundaries, and ends as it would have ended in one."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from connector import pages, runs, slices, sync
from connector.sync import Turn
from tests.connector.conftest import Site, people_rows

ROWS = 1000


@pytest.fixture
def acme(site: Site) -> Iterator[Site]:
    site.connect()
    site.orgs["acme"].insert_many("Lead", people_rows(ROWS))
    site.orgs["acme"].insert_many("Contact", [{"LastName": "Lima", "Email": f"p{n}@example.org"} for n in range(10)])
    site.instance().settings.max_page_size = 200
    yield site
    slices._stop[0] = 0


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every page is a slice of its own."""
    monkeypatch.setattr(slices, "SLICE_SECONDS", 0.0)


def ask(site: Site, kind: str, **options: object) -> int:
    return runs.request(site.url, site.source().key, kind, options)


def turns(site: Site, run_id: int) -> int:
    """Work on a run slice by slice until it ends; return how many it took."""
    for number in range(1, 100):
        if sync.work_on(site.runtime, run_id) is Turn.OVER:
            return number
        row = site.query("SELECT * FROM run WHERE id = %(id)s", id=run_id)[0]
        assert (row["state"], row["lease_until"]) == ("queued", None)
    raise AssertionError("it did not end")


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("kind", ["poll", "resync"])
def test_a_run_in_many_slices_reads_each_row_once(acme: Site, kind: str) -> None:
    if kind == "resync":
        acme.sync()
    run_id = ask(acme, kind)
    assert turns(acme, run_id) > ROWS // 200
    run = acme.run(run_id)
    assert (run["state"], run["read"], run["expected"]) == ("succeeded", ROWS + 10, ROWS + 10)
    assert len(acme.states("Lead")) == ROWS
    assert len(acme.people()) == ROWS


@pytest.mark.usefixtures("short")
def test_an_object_that_was_read_in_one_slice_is_not_asked_for_in_the_next(acme: Site) -> None:
    turns(acme, ask(acme, "poll"))
    acme.orgs["acme"].clock.advance(300)
    run_id = ask(acme, "poll")
    assert turns(acme, run_id) > 1
    windows = acme.query("SELECT object FROM read_window WHERE run_id = %(run)s ORDER BY object", run=run_id)
    known = acme.query("SELECT object FROM cursor ORDER BY object")
    assert windows == known


@pytest.mark.usefixtures("short")
def test_a_sweep_in_many_slices_heals_everything(acme: Site) -> None:
    acme.sync()
    missing, stale, *_ = acme.states("Lead")
    acme.query("DELETE FROM record WHERE record_id = %(id)s RETURNING handle", id=missing)
    acme.query("UPDATE record SET version_at = '2001-01-01' WHERE record_id = %(id)s RETURNING handle", id=stale)
    phantom = "00Q5e0000000zzzAAA"
    with_handle = "INSERT INTO record SELECT (jsonb_populate_record(r, %(new)s::jsonb)).* FROM record AS r LIMIT 1"
    acme.query(
        with_handle + " RETURNING handle",
        new=f'{{"record_id": "{phantom}", "handle": "00000000-0000-8000-8000-000000000001", "object": "Lead"}}',
    )
    run_id = ask(acme, "sweep")
    assert turns(acme, run_id) > ROWS // 200
    states = acme.states("Lead")
    assert (states[missing], states[stale], states[phantom]) == ("live", "live", "gone")
    outcomes = acme.query("SELECT record_id, outcome FROM sweep_healed WHERE run_id = %(run)s", run=run_id)
    assert {row["record_id"]: row["outcome"] for row in outcomes} == {
        missing: "read again",
        stale: "read again",
        phantom: "marked as gone",
    }


@pytest.mark.usefixtures("short")
def test_a_backfill_and_a_bulk_read_go_on_in_the_next_slice(acme: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    acme.sync()
    monkeypatch.setattr(acme.runtime.settings, "bulk_threshold", 100)
    monkeypatch.setattr(pages, "BULK_PAGE", 200)
    run_id = ask(acme, "backfill", fields={"Lead": ["Company"], "Contact": ["Title"]})
    assert turns(acme, run_id) >= 3
    assert acme.run(run_id)["read"] == ROWS + 10
    made = [entry for entry in acme.server.requests.of("acme", "/jobs/query") if entry.method == "POST"]
    assert len(made) == 1, "the job of the first slice is used by all"


def test_a_job_that_takes_long_is_looked_at_again_in_another_slice(acme: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acme.runtime.settings, "bulk_threshold", 100)
    monkeypatch.setattr(pages, "PATIENCE", 0.0)
    monkeypatch.setattr(pages, "PENDING_PAUSE", 3600.0)
    acme.instance().settings.bulk_delay_seconds = 3600.0
    run_id = ask(acme, "poll")
    assert sync.work_on(acme.runtime, run_id) is Turn.GOES_ON
    [row] = acme.query("SELECT * FROM run WHERE id = %(id)s", id=run_id)
    assert row["state"] == "queued"
    assert row["resume_at"] > datetime.now(UTC) + timedelta(minutes=50)
    assert sync.work_on(acme.runtime, run_id) is Turn.NOT_OURS


def test_a_process_that_is_told_to_stop_hands_back_after_the_page(acme: Site) -> None:
    run_id = ask(acme, "poll")
    slices.stop()
    assert sync.work_on(acme.runtime, run_id) is Turn.GOES_ON
    assert acme.run(run_id)["read"] == 200
    slices._stop[0] = 0
    assert sync.work_on(acme.runtime, run_id) is Turn.OVER
    assert acme.run(run_id)["read"] == ROWS + 10


@pytest.mark.usefixtures("short")
def test_in_this_process_a_run_goes_on_slice_after_slice(acme: Site) -> None:
    assert acme.sync()["state"] == "succeeded"
    assert acme.run(acme.latest_run()["id"])["epoch"] > 5


def test_the_run_of_a_dead_worker_does_not_show_as_running(acme: Site) -> None:
    run_id = ask(acme, "poll")
    assert runs.claim(acme.url, run_id, "soon dead")
    assert acme.run(run_id)["state"] == "running"
    acme.query("UPDATE run SET lease_until = now() - interval '1 second' RETURNING id")
    assert acme.run(run_id)["state"] == "queued"
