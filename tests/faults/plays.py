"""How each fault is played: the trouble among the life of an org, mended in the end."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import pairwise
from typing import Any
from unittest import mock

from cdp import ingest
from cdp.records import Batch, Outcome
from connector import client, polling
from connector.client import OrgClient
from connector.pages import Page
from connector.polling import Step
from connector.simulator.schema import make_field
from connector.work import Work
from tests.faults.life import Life
from tests.faults.scene import DAY, HOUR, MINUTE, Scene

REST = r"v\d+\.0/query"
MOST_PAGE_BYTES = 4_000_000


def broken_pages(scene: Scene, life: Life) -> None:
    kinds = ("cut", "invalid_json", "html", "wrong_length", "reset", "lose_answer")
    struck = [scene.fault(kind, "/results") for kind in ("cut", "reset", "wrong_length", "html", "lose_answer")]
    struck += [scene.fault(kind, REST, times=3, every=6, after=number) for number, kind in enumerate(kinds)]
    scene.fault("page_size", REST, times=None, size=4)  # last, since the first rule that strikes wins
    for _ in range(4):
        scene.poll()
        life.go_on(30)
    idle = [fault.kind for fault in struck if not fault.hits]
    assert not idle, f"never struck: {idle}"
    scene.server.faults.clear()


def lost_locators(scene: Scene, life: Life) -> None:
    lost = scene.fault("drop_locator", "/query/", times=None, every=3, after=1)
    scene.fault("page_size", "/query", times=None, size=life.random.randint(7, 15))
    first = scene.poll()
    assert (first["state"], first["read"]) == ("succeeded", scene.rows_in_salesforce()), "each row once"
    life.go_on(80)
    scene.poll()
    assert lost.hits >= 2
    scene.server.faults.clear()


def bursts(scene: Scene, life: Life) -> None:
    scene.poll()
    life.go_on(60, MINUTE)
    for number, kind in enumerate(("server_unavailable", "unknown_exception", "unable_to_lock_row")):
        scene.fault(kind, "/data/", times=None, probability=0.25, seed=life.random.randrange(1000), after=number)
    hung = scene.fault("hang", "/query", times=2, after=3)
    scene.server.requests.clear()
    started = time.monotonic()
    with mock.patch.multiple("connector.http", READ_TIMEOUT=0.4, RESPONSE_DEADLINE=1.0):
        for _ in range(3):
            scene.poll()
            life.go_on(10)
    assert hung.hits == 2
    assert time.monotonic() - started < 60, "the deadline fires"
    assert len(scene.server.requests) < 3 * 2 * 6 * client.ATTEMPTS, "attempts are bounded"
    scene.server.faults.clear()
    _time_out_until_halved(scene, life)


def _time_out_until_halved(scene: Scene, life: Life) -> None:
    life.go_on(30, MINUTE)
    scene.fault("query_timeout", "FROM Lead WHERE [LS]", times=1)
    run = scene.poll()
    halves = scene.query(
        "SELECT lo, hi FROM read_window WHERE run_id = %(run)s AND object = 'Lead' ORDER BY id", run=run["run_id"]
    )
    assert len(halves) > 1, "the window is halved"
    assert all(one["hi"] == other["lo"] for one, other in pairwise(halves))


def late_commits(scene: Scene, life: Life) -> None:
    scene.poll()
    random = life.random
    for _ in range(2):
        transactions = [scene.org.late_commit() for _ in range(3)]
        for transaction in transactions:
            for _ in range(6):
                scene.later(random.choice((1, 20, 100)))
                if found := life.one():
                    transaction.update(*found, {"LastName": f"Late {random.random():.9f}"})
                transaction.insert("Contact", {"LastName": "Late", "Email": life.email()})
        for transaction in random.sample(transactions, 3):
            for _ in range(random.randint(0, 2)):
                scene.poll(random.choice((30, 4 * MINUTE)))
                life.create()
            transaction.commit()


def one_stamp(scene: Scene, life: Life, rows: int = 4000) -> None:
    scene.poll()
    lost = scene.fault("drop_locator", "/query/", times=None, every=4, after=1)
    scene.fault("page_size", "/query", times=None, size=rows // 12)
    lead = {"LastName": "Same", "Company": "Lima Lda", "Description": "x" * 200}
    scene.org.insert_many("Lead", [lead | {"Email": f"s{number}@example.org"} for number in range(rows)])
    scene.later(HOUR)  # so that the overlap of the next poll does not bring them again
    largest = [0]
    with mock.patch.object(ingest, "store", _measured(ingest.store, largest)):
        scene.poll()
    assert lost.hits, "a locator was lost among them"
    assert 0 < largest[0] < MOST_PAGE_BYTES, "memory grows with a page, not with the window"
    scene.server.faults.clear()
    life.go_on(10)


def many_of_one_stamp(scene: Scene, life: Life) -> None:
    one_stamp(scene, life, rows=50_000)


def _measured(store: Callable[..., Outcome], largest: list[int]) -> Callable[..., Outcome]:
    def measured(session: Any, batch: Batch) -> Outcome:
        largest[0] = max(largest[0], sum(map(len, batch.chunks())))
        return store(session, batch)

    return measured


def odd_clocks(scene: Scene, life: Life) -> None:
    with _time_zone(life.random.choice(("America/St_Johns", "Asia/Kathmandu", "Europe/Lisbon"))):
        scene.poll()
        for _ in range(5):
            life.go_on(15, 20)
            scene.poll(20 * MINUTE)
        later = scene.org.clock.now() + timedelta(hours=2)
        ahead = [found for found in (life.one() for _ in range(3)) if found]
        for sobject, record_id in ahead:
            scene.org.update(sobject, record_id, {"LastName": "From the future"}, at=later)
        scene.poll()
        scene.later(3 * HOUR)
        life.go_on(15)


@contextmanager
def _time_zone(name: str) -> Iterator[None]:
    with mock.patch.dict(os.environ, TZ=name):
        time.tzset()
        yield
    time.tzset()


def deletions(scene: Scene, life: Life) -> None:
    scene.poll()
    for _ in range(3):
        for act in (life.delete, life.delete, life.purge, life.undelete, life.edit, life.purge):
            act()
        scene.poll()
    life.go_on(10)
    for _ in range(5):
        life.delete()
        life.purge()
    scene.later(16 * DAY)
    life.go_on(10)
    run = scene.attempt("poll")
    assert "15 days" in (run["note"] or ""), "the resync is said"
    assert [one["kind"] for one in scene.run_queued()] == ["sweep"]


def lost_rights(scene: Scene, life: Life) -> None:
    scene.org.insert_many("Lead", [{"LastName": f"Crowd {number}", "Company": "Lima Lda"} for number in range(60)])
    scene.map("Contact", Region__c="region")
    for contact in life.live("Contact"):
        scene.org.update("Contact", contact, {"Region__c": "EMEA"})
    scene.poll()
    before = scene.stored()
    leads = life.live("Lead")
    scene.org.set_hidden_rows("Lead", life.random.sample(leads, len(leads) * 2 // 3))
    assert scene.attempt("sweep")["error_code"] == "sweep_brake"
    assert scene.stored() == before, "nothing is deleted"
    scene.org.hide_field("Contact", "Region__c")
    for contact in life.live("Contact")[:20]:
        scene.org.update("Contact", contact, {"LastName": "Edited meanwhile", "Region__c": "APAC"})
    scene.poll()
    assert ("Contact", "field_missing", "Region__c") in scene.findings(), "somebody is told"
    assert not scene.query("SELECT FROM record WHERE object = 'Contact' AND f_region IS NULL"), "the column is frozen"
    scene.org.show_field("Contact", "Region__c")
    scene.org.set_hidden_rows("Lead", [])
    life.go_on(20)


BAD = {
    "LastName": "a\x00b",
    "Title": "a lone \ud800 surrogate",
    "Description": "x" * 131_072,
    "Birthday__c": "31 February",
    "AnnualRevenue": "1e400",
}


def bad_rows(scene: Scene, life: Life) -> None:
    scene.map("Lead", Birthday__c="birthday", AnnualRevenue="annual_revenue", Description="description")
    leads = life.random.sample(life.live("Lead"), 15)
    for number, lead in enumerate(leads):
        name = list(BAD)[number % len(BAD)]
        scene.org.corrupt("Lead", lead, name, BAD[name])
    run = scene.poll()
    aside = {row["record_id"] for row in scene.query("SELECT record_id FROM quarantine")}
    assert run["state"] == "incomplete"
    assert run["quarantined"] == len(aside) == 9
    assert set(life.live("Lead")) - scene.states("Lead").keys() == aside <= set(leads), "the good rows land"
    life.go_on(20)
    scene.poll()
    for number, lead in enumerate(leads):
        name = list(BAD)[number % len(BAD)]
        if lead in life.live("Lead"):
            scene.org.update("Lead", lead, {name: None if name != "LastName" else "Mended"})
    for lead in {row["record_id"] for row in scene.query("SELECT record_id FROM quarantine")} - set(life.live("Lead")):
        scene.org.write("Lead", lead, {"LastName": "Mended", "Title": None, "Birthday__c": None})
    scene.poll()
    assert scene.query("SELECT FROM quarantine") == [], "the bad heal when mended"


def changing_schema(scene: Scene, life: Life) -> None:
    org = scene.org
    for name in ("Old__c", "Zone__c"):
        org.add_field("Lead", make_field(name, "string", length=80))
    for lead in life.live("Lead"):
        org.update("Lead", lead, {"Region__c": "EMEA", "Old__c": "kept", "Zone__c": "12"})
    scene.map("Lead", Region__c="region", Old__c="old", Zone__c="zone")
    scene.poll()
    life.go_on(30)
    kept = _values(scene)
    with before_query(2, lambda: org.hide_field("Lead", "Region__c")):
        assert scene.poll()["state"] == "succeeded", "INVALID_FIELD in mid-run is survived"
    org.add_field("Lead", make_field("New__c", "string", length=80, default="new"))
    org.rename_field("Lead", "Old__c", "Renamed__c")
    life.go_on(10)
    scene.poll()
    assert kept.items() <= _values(scene).items(), "no null overwrites"
    assert {("Lead", "field_missing", "Old__c"), ("Lead", "field_missing", "Region__c")} <= scene.findings()
    org.retype_field("Lead", "Zone__c", "picklist")
    org.show_field("Lead", "Region__c")
    scene.map("Lead", New__c="newest")
    _resync_among_edits(scene, life)


def _values(scene: Scene) -> dict[str, tuple[str | None, str | None]]:
    """Record id → the values of the fields that will vanish."""
    found = scene.query("SELECT record_id, f_old, f_region FROM record WHERE object = 'Lead'")
    return {row["record_id"]: (row["f_old"], row["f_region"]) for row in found}


def _resync_among_edits(scene: Scene, life: Life) -> None:
    """Read everything again in small pages, and edit between any two of them."""
    store = polling._store_page

    def edited(work: Work, step: Step, page: Page, **options: Any) -> None:
        life.go_on(2, 1)
        store(work, step, page, **options)

    scene.fault("page_size", "/query", times=None, size=30)
    with mock.patch.object(polling, "_store_page", edited):
        scene.attempt("resync")
    scene.server.faults.clear()


@contextmanager
def before_query(number: int, act: Callable[[], None]) -> Iterator[None]:
    """Do something right before the query of that number, when the fields to ask for have been chosen."""
    query, asked = OrgClient.query, []

    def hooked(self: OrgClient, *args: Any, **options: Any) -> Any:
        asked.append(1)
        if len(asked) == number:
            act()
        return query(self, *args, **options)

    with mock.patch.object(OrgClient, "query", hooked):
        yield
