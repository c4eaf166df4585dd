"""Polls of a simulated org: everything once, then what changed, through crashes, hidden things and other trouble."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from sqlmodel import Session

from cdp import queries
from cdp.db import transaction
from cdp.records import Outcome
from connector import runs, soql
from connector.errors import NeedsAttention, Transient, WaitingForQuota
from connector.objects import OBJECTS
from connector.pages import Reading
from connector.runs import Lease
from connector.simulator.population import populate
from tests.connector.conftest import Site, people_rows

HOUR = 3600
MakeSite = Callable[..., Site]


@pytest.fixture
def acme(site: Site) -> Site:
    """Acme with 25 Leads and 15 Contacts, an hour old, connected and not yet read."""
    return prepared(site)


def prepared(site: Site) -> Site:
    org = site.orgs["acme"]
    org.insert_many("Lead", people_rows(25))
    org.insert_many("Contact", [{"LastName": f"Silva {n}", "Email": f"P{n}@Example.org "} for n in range(15)])
    org.clock.advance(HOUR)
    site.connect()
    return site


def counts(run: dict[str, Any]) -> tuple[int, int, int, int]:
    return run["read"], run["written"], run["skipped"], run["deleted"]


def later(site: Site, seconds: float = HOUR) -> None:
    site.orgs["acme"].clock.advance(seconds)


def small_pages(site: Site, size: int = 10) -> None:
    """Pages smaller than anybody may ask for, as the server may choose."""
    site.fault("page_size", "/query", times=None, size=size)


def lead(site: Site, number: int = 0) -> str:
    return sorted(site.orgs["acme"].snapshot("Lead"))[number]


def as_in_the_org(site: Site) -> bool:
    """Whether what is stored is what the org has, by state, name and email."""
    stored = {
        row["record_id"]: (row["state"], row["f_last_name"], row["email"], row["version_at"]) for row in site.stored()
    }
    org = site.orgs["acme"]
    truth = {
        row["Id"]: (
            "deleted" if row["IsDeleted"] else "live",
            row["LastName"],
            row["Email"],
            row["SystemModstamp"],
        )
        for sobject in ("Lead", "Contact")
        for row in org.snapshot(sobject).values()
    }
    return stored == truth


def test_the_first_poll_reads_everything(acme: Site) -> None:
    run = acme.sync()
    assert (run["state"], counts(run), run["expected"]) == ("succeeded", (40, 40, 0, 0), 40)
    assert as_in_the_org(acme)
    assert len(acme.people()) == 25
    now = acme.orgs["acme"].clock.now()
    windows = acme.query("SELECT object, lo, hi, run_id FROM read_window ORDER BY object")
    assert [(w["object"], w["lo"], w["run_id"]) for w in windows] == [
        (name, None, run["run_id"]) for name in sorted(OBJECTS)
    ]
    assert all(now - timedelta(minutes=1) <= w["hi"] <= now for w in windows)
    assert acme.cursor("Lead").checkpoint is None


def test_the_queries_of_a_poll_are_these(acme: Site) -> None:
    acme.sync()
    lo = soql.stamp((acme.cursor("Lead").closed_to or acme.orgs["acme"].clock.now()) - timedelta(seconds=600))
    later(acme)
    acme.server.requests.clear()
    acme.sync()
    asked = [entry.query for entry in acme.server.requests.of("acme") if "FROM Contact" in entry.query]
    fields = (  # the mapped ones in the order that PostgreSQL gives the keys of a JSONB object
        "Id, IsDeleted, CreatedDate, LastModifiedDate, SystemModstamp, Email, MasterRecordId, Fax, Phone, Title, "
        "LastName, FirstName, Department, LeadSource, Salutation, MailingCity, MobilePhone, MailingState, "
        "MailingStreet, MailingCountry, MailingPostalCode, HasOptedOutOfEmail"
    )
    assert asked == [
        f"SELECT {fields} FROM Contact WHERE LastModifiedDate >= {lo} ORDER BY LastModifiedDate, Id",
        f"SELECT {fields} FROM Contact WHERE SystemModstamp >= {lo} AND LastModifiedDate < {lo} "
        "ORDER BY SystemModstamp, Id",
    ]


def versions(site: Site) -> list[dict[str, Any]]:
    """The physical versions of every record and person: they move with any write."""
    return site.query(
        "SELECT handle AS id, xmin::text FROM record UNION ALL SELECT person_id, xmin::text FROM person ORDER BY 1, 2"
    )


def test_unchanged_content_writes_nothing(acme: Site) -> None:
    acme.sync()
    before = versions(acme)
    acme.forget_cursors()
    assert counts(acme.sync()) == (40, 0, 40, 0)
    assert versions(acme) == before
    assert acme.query("SELECT id FROM touched") == []


def test_a_quiet_org_costs_few_calls(acme: Site) -> None:
    acme.sync()
    later(acme)
    before = acme.instance().usage.used()
    assert counts(acme.sync()) == (0, 0, 0, 0)
    assert acme.instance().usage.used() - before == 21
    # For Lead and Contact: describe, watermark, delete log, two passes. For each object of activities: one query, and
    # for members, opportunities and roles the delete log.


def test_an_edit_an_insert_and_a_delete_are_seen(acme: Site) -> None:
    org = acme.orgs["acme"]
    acme.sync()
    later(acme)
    org.update("Lead", lead(acme, 0), {"LastName": "Edited", "Email": "edited@example.org"})
    org.insert("Contact", {"LastName": "New", "Email": "EDITED@example.org"})
    org.delete("Lead", lead(acme, 1))
    assert counts(acme.sync()) == (3, 3, 0, 1)
    assert as_in_the_org(acme)
    [pair] = [person for person in acme.people().values() if person["email"] == "edited@example.org"]
    assert len(pair["records"]) == 2


def test_an_edit_within_the_overlap_is_seen_once(acme: Site) -> None:
    acme.sync()
    later(acme, 1)
    acme.orgs["acme"].update("Lead", lead(acme), {"LastName": "Edited"})
    assert counts(acme.sync())[1] == 1
    assert counts(acme.sync())[1] == 0
    assert as_in_the_org(acme)


def test_two_edits_in_one_second_are_both_seen(acme: Site) -> None:
    later(acme)
    acme.orgs["acme"].update("Lead", lead(acme), {"LastName": "First"})
    acme.sync()
    acme.orgs["acme"].update("Lead", lead(acme), {"LastName": "Second"})
    acme.sync()
    assert as_in_the_org(acme)


def test_a_deletion_that_moves_only_the_system_stamp_is_seen_by_the_drift_pass(acme: Site) -> None:
    org = acme.orgs["acme"]
    org.behaviour.delete_moves_last_modified = False
    acme.sync()
    later(acme)
    acme.sync()
    org.delete("Lead", lead(acme))
    assert org.snapshot("Lead")[lead(acme)]["LastModifiedDate"] < org.clock.now() - timedelta(minutes=50)
    assert counts(acme.sync()) == (1, 1, 0, 1)
    assert acme.record(lead(acme))["state"] == "deleted"
    assert as_in_the_org(acme)


def test_what_automation_changed_is_seen(acme: Site) -> None:
    acme.sync()
    later(acme)
    acme.orgs["acme"].update("Lead", lead(acme), {"LastName": "By automation"}, touch_last_modified=False)
    assert counts(acme.sync()) == (1, 1, 0, 0)
    assert as_in_the_org(acme)


def test_an_undeleted_a_merged_and_a_converted_row_end_right(acme: Site) -> None:
    org = acme.orgs["acme"]
    org.delete("Lead", lead(acme, 3))
    acme.sync()
    later(acme)
    org.undelete("Lead", lead(acme, 3))
    org.merge("Lead", lead(acme, 4), [lead(acme, 5)])
    contact = org.convert(lead(acme, 6))["contact"]
    acme.sync()
    assert as_in_the_org(acme)
    assert acme.record(lead(acme, 5))["merged_into"] == lead(acme, 4)
    assert acme.record(lead(acme, 6))["converted_to"] == contact


def test_a_late_commit_is_not_lost(acme: Site) -> None:
    org = acme.orgs["acme"]
    acme.sync()
    with org.late_commit() as transaction:
        new = transaction.insert("Lead", people_rows(1)[0] | {"LastName": "Late"})
        transaction.update("Lead", lead(acme), {"LastName": "Late too"})
        for _ in range(3):
            later(acme)
            acme.sync()
    later(acme)
    acme.sync()
    assert acme.record(new)["f_last_name"] == "Late"
    assert as_in_the_org(acme)


def test_windows_meet_over_many_polls(acme: Site) -> None:
    for seconds in (0, 1, 59, 60, 601, HOUR, 3 * HOUR):
        later(acme, seconds)
        acme.sync()
    for sobject in ("Lead", "Contact"):
        windows = acme.query("SELECT lo, hi FROM read_window WHERE object = %(o)s ORDER BY id", o=sobject)
        assert windows[0]["lo"] is None
        assert all(this["lo"] <= last["hi"] <= this["hi"] for last, this in pairwise(windows))


class Crash(BaseException):
    """As sudden as a signal."""


@contextmanager
def crash_at(number: int, error: BaseException) -> Iterator[None]:
    """Let the page of this number, empty ones not counted, fail right before its transaction commits."""
    note, seen = Lease.note, []

    def noted(self: Lease, session: Session, sobject: str, outcome: Outcome, expected: int | None = None) -> None:
        note(self, session, sobject, outcome, expected)
        seen.extend([sobject] if outcome.read else [])
        if len(seen) == number:
            raise error

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Lease, "note", noted)
        yield


@pytest.mark.parametrize("transport", ["rest", "bulk"])
@pytest.mark.parametrize("page", range(1, 6))
def test_a_crash_at_any_page_of_the_first_poll_goes_on_there(
    make_site: MakeSite, transport: str, page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connector.polling.Reading", partial(Reading, bulk_page=10))
    acme = prepared(make_site(bulk_threshold=0 if transport == "bulk" else 10**6))
    small_pages(acme)
    run_id = acme.request()
    with crash_at(page, Crash()), pytest.raises(Crash):
        acme.execute(run_id)
    before = acme.run(run_id)
    assert before["state"] == "queued"
    assert before["read"] == len(acme.stored()) == (10, 20, 25, 35, 40)[page - 1] - (10 if page not in (3, 5) else 5)
    run = acme.execute(run_id)
    assert (run["state"], run["written"], run["skipped"]) == ("succeeded", 40, 0)
    assert as_in_the_org(acme)


@pytest.mark.parametrize("page", range(1, 5))
def test_a_crash_at_any_page_of_a_later_poll_goes_on_there(acme: Site, page: int) -> None:
    org = acme.orgs["acme"]
    acme.sync()
    later(acme)
    for number in range(15):
        org.update("Lead", lead(acme, number), {"LastName": "Edited"})
        org.update("Lead", lead(acme, 24), {"LastName": f"Automated {number}"}, touch_last_modified=False)
    small_pages(acme)
    run_id = acme.request()
    with crash_at(page, Crash()):
        if page <= 3:  # two pages of edits and one of drift
            with pytest.raises(Crash):
                acme.execute(run_id)
        else:
            acme.execute(run_id)
    if page <= 3:
        assert acme.execute(run_id)["state"] == "succeeded"
    assert acme.run(run_id)["written"] == 16
    assert as_in_the_org(acme)


def test_after_a_failed_run_the_next_goes_on_at_the_checkpoint(acme: Site) -> None:
    small_pages(acme)
    with crash_at(2, Transient("x", "It broke.")), pytest.raises(Transient):
        acme.sync()
    assert (acme.latest_run()["state"], acme.latest_run()["error"]) == ("failed", "It broke.")
    assert counts(acme.sync()) == (30, 30, 0, 0)
    assert as_in_the_org(acme)


def test_a_checkpoint_of_other_fields_starts_the_window_anew(acme: Site) -> None:
    small_pages(acme)
    with crash_at(2, Crash()), pytest.raises(Crash):
        acme.sync()
    acme.orgs["acme"].hide_field("Lead", "Phone")
    assert acme.sync()["state"] == "succeeded"
    assert acme.latest_run()["read"] == 10 + 40
    assert as_in_the_org(acme)


def by_automation(site: Site, record_id: str, title: str) -> None:
    site.orgs["acme"].update("Lead", record_id, {"Title": title}, touch_last_modified=False)


def choose(site: Site, stamp: str) -> None:
    done = site.cli("source", "cursor", "acme", stamp, "--json")
    assert (done.returncode, json.loads(done.stdout)["cursor"]) == (0, stamp)


def test_the_cursor_may_be_chosen_and_windows_meet_across_the_choice(acme: Site) -> None:
    acme.sync()
    for stamp in ("SystemModstamp", "LastModifiedDate", "SystemModstamp"):
        by_automation(acme, lead(acme), f"Before {stamp}")
        choose(acme, stamp)
        by_automation(acme, lead(acme, 1), f"After {stamp}")
        later(acme)
        acme.sync()
        assert as_in_the_org(acme)
    windows = acme.query("SELECT lo, hi FROM read_window WHERE object = 'Lead' ORDER BY id")
    assert len(windows) == 4
    assert all(after["lo"] <= before["hi"] < after["hi"] for before, after in pairwise(windows))
    with transaction(acme.url) as session:
        assert all(row["windows_contiguous"] for row in queries.objects(session))


def test_a_poll_by_the_system_stamp_has_no_drift_pass(acme: Site) -> None:
    acme.sync()
    choose(acme, "SystemModstamp")
    by_automation(acme, lead(acme), "Made")
    acme.server.requests.clear()
    acme.sync()
    [asked] = [entry.query for entry in acme.server.requests.of("acme") if "FROM Lead" in entry.query]
    assert asked.endswith("ORDER BY SystemModstamp, Id")
    assert as_in_the_org(acme)


def test_a_window_half_read_begins_again_when_another_cursor_is_chosen(acme: Site) -> None:
    acme.sync()
    for number in range(20):
        later(acme, 60)
        acme.orgs["acme"].update("Lead", lead(acme, number), {"LastName": f"Edited {number}"})
        by_automation(acme, lead(acme, 19 - number), f"Made {number}")
    small_pages(acme, 6)
    with crash_at(3, Crash()), pytest.raises(Crash):
        acme.sync()
    assert acme.cursor("Lead").checkpoint
    acme.query("UPDATE run SET queued_at = now() - interval '1 hour' WHERE state = 'queued' RETURNING id")
    choose(acme, "SystemModstamp")
    acme.sync()
    assert as_in_the_org(acme)


def test_the_cursor_is_locked_while_a_run_is_at_work(acme: Site) -> None:
    run_id = acme.request()
    runs.claim(acme.url, run_id, "somebody")
    refused = acme.cli("source", "cursor", "acme", "SystemModstamp")
    assert (refused.returncode, acme.source().cursor_field) == (3, "LastModifiedDate")
    assert "cursor are locked" in refused.stderr
    assert acme.cli("source", "cursor", "acme", "CreatedDate").returncode == 2


def test_a_hidden_object_delays_no_other_and_catches_up(acme: Site) -> None:
    org = acme.orgs["acme"]
    acme.sync()
    org.hide_object("Lead")
    later(acme)
    org.update("Lead", lead(acme), {"LastName": "Unseen"})
    contact = org.insert("Contact", {"LastName": "Seen"})
    assert acme.sync()["state"] == "succeeded"
    assert acme.record(contact)["state"] == "live"
    assert set(acme.states("Lead").values()) == {"live"}
    assert acme.record(lead(acme))["f_last_name"] != "Unseen"
    org.show_object("Lead")
    later(acme)
    acme.sync()
    assert as_in_the_org(acme)


def test_an_org_with_leads_only_is_read(site: Site) -> None:
    org = site.orgs["acme"]
    org.hide_object("Contact")
    org.insert_many("Lead", people_rows(3))
    site.connect()
    assert (site.sync()["state"], len(site.people())) == ("succeeded", 3)
    assert site.states("Contact") == {}


def test_a_hidden_field_keeps_its_values(acme: Site) -> None:
    org = acme.orgs["acme"]
    org.update("Lead", lead(acme), {"Phone": "123"})
    acme.sync()
    org.hide_field("Lead", "Phone")
    later(acme)
    org.update("Lead", lead(acme), {"LastName": "Edited"})
    acme.sync()
    assert (acme.record(lead(acme))["f_last_name"], acme.record(lead(acme))["f_phone"]) == ("Edited", "123")
    org.show_field("Lead", "Phone")
    later(acme)
    org.update("Lead", lead(acme), {"Phone": "456"})
    acme.sync()
    assert acme.record(lead(acme))["f_phone"] == "456"


def test_a_hidden_opt_out_keeps_the_last_answer(acme: Site) -> None:
    org = acme.orgs["acme"]
    org.update("Lead", lead(acme), {"HasOptedOutOfEmail": True})
    acme.sync()
    org.hide_field("Lead", "HasOptedOutOfEmail")
    later(acme)
    org.update("Lead", lead(acme), {"LastName": "Edited"})
    acme.sync()
    assert acme.record(lead(acme))["f_last_name"] == "Edited"
    assert acme.record(lead(acme))["email_permission"] is False


def test_a_hidden_vital_field_needs_attention(acme: Site) -> None:
    acme.orgs["acme"].hide_field("Lead", "IsDeleted")
    with pytest.raises(NeedsAttention):
        acme.sync()
    attention = acme.source().attention or {}
    assert attention["code"] == "field_hidden"
    acme.orgs["acme"].show_field("Lead", "IsDeleted")
    acme.sync()
    assert acme.source().attention is None
    assert as_in_the_org(acme)


def test_a_page_with_rows_missing_is_not_stored(make_site: MakeSite) -> None:
    acme = prepared(make_site(bulk_threshold=0))
    fault = acme.fault("wrong_length", "/results")
    with pytest.raises(Transient) as caught:
        acme.sync()
    assert (caught.value.code, fault.hits) == ("short_page", 1)
    assert acme.stored() == []
    assert acme.latest_run()["state"] == "failed"
    assert acme.sync()["state"] == "succeeded"
    assert as_in_the_org(acme)


def test_a_page_lost_on_the_way_is_fetched_again(acme: Site) -> None:
    fault = acme.fault("wrong_length", "q=SELECT Id")
    assert acme.sync()["state"] == "succeeded"
    assert fault.hits == 1
    assert as_in_the_org(acme)


def test_a_row_that_cannot_be_stored_is_set_aside_and_comes_home_when_mended(acme: Site) -> None:
    org = acme.orgs["acme"]
    acme.change(mapping={"Lead": {"Birthday__c": {"to": "birthday"}}, "Contact": {}})
    org.corrupt("Lead", lead(acme), "Birthday__c", "31 February")
    run = acme.sync()
    assert (run["state"], run["quarantined"], run["read"], run["written"]) == ("incomplete", 1, 40, 39)
    [aside] = acme.query("SELECT * FROM quarantine")
    assert (aside["record_id"], aside["object"]) == (lead(acme), "Lead")
    assert "Birthday__c" in aside["reason"]
    later(acme)
    org.update("Lead", lead(acme), {"Birthday__c": org.clock.now().date()})
    assert acme.sync()["state"] == "succeeded"
    assert acme.query("SELECT * FROM quarantine") == []


def test_the_share_of_daily_calls_is_not_exceeded(make_site: MakeSite) -> None:
    acme = prepared(make_site(api_share=0.5))
    acme.instance().settings.daily_api_limit = 1000
    acme.instance().usage.count(500)
    with pytest.raises(WaitingForQuota, match="of 1,000 API calls"):
        acme.sync()
    run = acme.latest_run()
    assert (run["state"], run["read"], acme.stored()) == ("waiting", 0, [])
    assert run["resume_at"] > datetime.now(UTC)
    assert acme.request() == run["id"]


def test_an_exhausted_limit_is_a_reason_to_wait_and_to_go_on(acme: Site) -> None:
    acme.fault("daily_limit", "/query", after=2)
    small_pages(acme)
    with pytest.raises(WaitingForQuota):
        acme.sync()
    run = acme.latest_run()
    assert run["state"] == "waiting"
    assert acme.source().attention is None
    with pytest.raises(AssertionError):
        acme.execute(run["id"])
    acme.query("UPDATE run SET resume_at = now() RETURNING id")
    acme.query("UPDATE api_budget SET observed_at = observed_at - interval '15 minutes' RETURNING used")
    assert acme.execute(run["id"])["state"] == "succeeded"
    assert as_in_the_org(acme)


def test_a_dead_approval_needs_attention_until_a_run_succeeds(site: Site) -> None:
    site.connect("acme", "access_token")
    site.server.expire_sessions(site.orgs["acme"])
    with pytest.raises(NeedsAttention):
        site.sync()
    assert (site.latest_run()["state"], (site.source().attention or {})["code"]) == ("failed", "session_refused")


def test_after_trouble_the_next_poll_is_soon_and_after_success_as_set(acme: Site) -> None:
    due_in = "SELECT extract(epoch FROM next_poll_at - now())::integer AS seconds FROM source"
    fault = acme.fault("server_unavailable", "/describe", times=None)
    with pytest.raises(Transient):
        acme.sync()
    assert 20 <= acme.query(due_in)[0]["seconds"] <= 30
    acme.server.faults.clear(fault.name)
    acme.sync()
    later = timedelta(seconds=300 * (1 + acme.runtime.settings.poll_jitter))
    assert 290 <= acme.query(due_in)[0]["seconds"] <= later.total_seconds()


@pytest.mark.parametrize("style", ["01g", "0r8"])
def test_an_untidy_org_is_read_whole_through_trouble(acme: Site, style: Any) -> None:
    org = acme.orgs["acme"]
    populate(org, leads=120, contacts=120, seed=11)
    acme.instance().settings.locator_style = style
    acme.fault("drop_locator", "/query/", times=None, every=3)
    acme.fault("server_unavailable", "/query", times=None, every=5)
    acme.fault("expire_session", "/query", times=None, every=7)
    acme.fault("cut", "/query", times=None, every=11)
    small_pages(acme, 30)
    assert acme.sync()["state"] == "succeeded"
    assert as_in_the_org(acme)


def test_the_usage_an_org_reports_is_kept(acme: Site) -> None:
    acme.sync()
    source = acme.source()
    assert (source.api_used, source.api_limit) == (acme.instance().usage.used(), 100_000)
