"""Metrics: what they tell of sources, runs and queues, by one door, whatever becomes of old runs or of the database."""

import re
import urllib.request
from typing import Any

import pytest

from cdp.db import driver
from cdp.records import Outcome
from connector import metrics, runs
from connector.errors import BadInput
from connector.lanes import LANES
from connector.runs import Lease
from tests.feed import ANN, Cdp, row

Numbers = dict[tuple[str, ...], float]


def told(cdp: Cdp) -> Numbers:
    """(metric, label values …) → value."""
    return {(one["name"], *one["labels"].values()): one["value"] for one in metrics.samples(cdp.url)}


def change(cdp: Cdp, statement: Any) -> None:
    with cdp.session() as session:
        driver(session).execute(statement)


def claimed(cdp: Cdp, kind: str = "poll") -> Lease:
    lease = runs.claim(cdp.url, runs.request(cdp.url, 1, kind), "me")
    assert lease is not None
    return lease


def note(cdp: Cdp, lease: Lease, outcome: Outcome) -> None:
    with cdp.session() as session:
        lease.note(session, "Lead", outcome)


def test_rows_are_counted_from_the_first_page_on_and_once(cdp: Cdp) -> None:
    lease = claimed(cdp)
    for read in (7, 12):
        note(cdp, lease, Outcome(read=7, written=4, imported=2, deleted=1, skipped=3, quarantined=1))
        if read == 12:
            lease.finish("succeeded")
            note(cdp, claimed(cdp), Outcome(read=5))
        found = told(cdp)
        names = ("read", "written", "deleted", "skipped", "quarantined")
        moved = [found["connector_rows_" + name + "_total", "org 1", "Lead"] for name in names]
        assert moved == ([7, 4, 1, 3, 1] if read == 7 else [19, 8, 2, 6, 2])


def test_runs_are_told_by_kind_and_state(cdp: Cdp) -> None:
    for _ in range(2):
        claimed(cdp).finish("succeeded")
    claimed(cdp, "sweep")
    change(cdp, "UPDATE run SET lease_until = now() - interval '1 second' WHERE kind = 'sweep'")
    found = told(cdp)
    assert found["connector_runs_ended_total", "org 1", "poll", "succeeded"] == 2
    assert found["connector_runs_open", "org 1", "sweep", "queued"] == 1, "its worker is dead"
    assert found["connector_lease_losses_total", "org 1", "sweep"] == 0
    claimed(cdp, "sweep")
    assert told(cdp)["connector_lease_losses_total", "org 1", "sweep"] == 1


def test_how_late_each_object_of_a_connected_source_is(cdp: Cdp) -> None:
    change(
        cdp,
        """
        INSERT INTO cursor (source_id, object, closed_to)
        VALUES (1, 'Lead', now() - interval '90 seconds'), (1, 'Contact', NULL), (2, 'Lead', now())
        """,
    )
    change(cdp, "UPDATE source SET state = 'paused' WHERE id = 2")
    lags = {
        labels: value for (name, *labels), value in told(cdp).items() for labels in [tuple(labels)] if "lag" in name
    }
    assert lags == {("org 1", "Lead"): pytest.approx(90, abs=30)}


def test_queues_quarantine_and_calls(cdp: Cdp) -> None:
    runs.request(cdp.url, 1, "sweep")
    change(cdp, "UPDATE run SET queued_at = now() - interval '70 seconds'")
    change(cdp, 'UPDATE source SET api_used = 30, api_limit = 100, attention = \'{"code": "x"}\' WHERE id = 1')
    change(cdp, "INSERT INTO cursor (source_id, object) VALUES (1, 'Lead')")
    cdp.put([row(ANN, SystemModstamp="some day")])
    found = told(cdp)
    assert [found["connector_queue_runs", lane] for lane in LANES] == [0, 0, 1, 0]
    assert found["connector_queue_age_seconds", "backfills"] == pytest.approx(70, abs=30)
    assert found["connector_queue_age_seconds", "polls"] == 0
    assert found["connector_api_calls_used", "org 1"] / found["connector_api_calls_limit", "org 1"] == 0.3
    assert ("connector_api_calls_used", "org 2") not in found, "nothing is known of it yet"
    assert [found["connector_source_needs_attention", f"org {number}"] for number in (1, 2)] == [1, 0]
    assert found["connector_quarantine_rows", "org 1", "Lead"] == 1


def test_people_and_records_are_counted_again_only_after_a_while(cdp: Cdp, monkeypatch: pytest.MonkeyPatch) -> None:
    served = metrics.Installation(cdp.url)

    def records() -> list[float]:
        return [
            one.value for family in served.collect() if family.name == "connector_records" for one in family.samples
        ]

    assert records() == []
    cdp.deliver([ANN])
    assert records() == []
    monkeypatch.setattr(metrics, "COUNT_EVERY", -1)
    assert records() == [1]
    assert told(cdp)["connector_records", "org 1", ANN.object, "live"] == 1


def test_every_metric_is_told_in_text_with_its_type(cdp: Cdp) -> None:
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", metrics.exposition(cdp.url), flags=re.MULTILINE))
    assert types == {metrics.UP: "gauge"} | {one.name: one.type for one in metrics.MEASURES}


def scrape(address: str) -> str:
    with urllib.request.urlopen(address, timeout=30) as answer:
        return str(answer.read().decode())


def test_they_are_served_and_a_lost_database_is_a_number_too(cdp: Cdp) -> None:
    address, _ = metrics.serve(cdp.url, "127.0.0.1", 0)
    assert "connector_up 1.0" in scrape(address)
    assert 'connector_queue_runs{lane="polls"} 0.0' in scrape(address)
    address, _ = metrics.serve("postgresql://nobody@127.0.0.1:1/none", "127.0.0.1", 0)
    assert re.findall("^connector_.*$", scrape(address), flags=re.MULTILINE) == ["connector_up 0.0"]
    port = int(address.split(":")[2].split("/")[0])
    with pytest.raises(BadInput, match="Nothing can listen on"):
        metrics.serve(cdp.url, "127.0.0.1", port)
