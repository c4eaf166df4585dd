"""Backfill of what is no person: fields that the login could not see fill in, and activities stay what they are."""

import json
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from cdp import ingest, queries
from connector import runs, slices, sync
from connector.objects import OBJECTS, PEOPLE
from tests.activities.plays import begin
from tests.activities.test_stories import exported
from tests.connector.conftest import Site
from tests.faults.test_stateful import empty
from tests.life.conftest import Command

DEALS = 30
PAGE = 10
HIDDEN = [
    ("CampaignMember", "Status"),
    ("CampaignMember", "FirstRespondedDate"),
    ("Opportunity", "Amount"),
    ("OpportunityContactRole", "ContactId"),
    ("OpportunityHistory", "Amount"),
    ("OpportunityHistory", "StageName"),
]


@pytest.fixture
def acme(site: Site) -> Iterator[Site]:
    """Deals whose amounts the login could not see until now, as polls do not know yet."""
    org = site.orgs["acme"]
    deal = {"StageName": "Prospecting", "CloseDate": "2027-01-01", "Amount": 100}
    org.insert_many("Opportunity", [{"Name": f"Deal {n:02d}", **deal} for n in range(DEALS)])
    org.clock.advance(3600)
    org.hide_field("Opportunity", "Amount")
    site.connect()
    site.sync()
    org.clock.advance(3600)
    site.sync()
    org.show_field("Opportunity", "Amount")
    site.instance().settings.max_page_size = PAGE
    yield site
    slices._stop[0] = 0


def amounts(site: Site) -> dict[str, float | None]:
    found = site.query("SELECT record_id, amount FROM opportunity")
    return {row["record_id"]: row["amount"] and float(row["amount"]) for row in found}


def in_salesforce(site: Site) -> dict[str, float | None]:
    return {key: row["Amount"] for key, row in site.orgs["acme"].snapshot("Opportunity").items()}


def fill(site: Site, command: Command, *words: str) -> dict[str, Any]:
    printed = command(site, "backfill", "acme", "--here", "--json", *words)
    [run] = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    return run


def ask(site: Site) -> int:
    return runs.request(site.url, site.source().key, "backfill", {"fields": {"Opportunity": ["Amount"]}})


def test_a_field_that_was_hidden_fills_and_no_activity_comes_twice(acme: Site, command: Command) -> None:
    told = {one["activity_id"]: one["attributes"] | {"amount": None} for one in exported(acme)}
    assert set(amounts(acme).values()) == {None}
    run = fill(acme, command, "--fields", "Opportunity.Amount")
    assert (run["state"], run["read"], run["written"]) == ("succeeded", DEALS, DEALS)
    assert amounts(acme) == in_salesforce(acme)
    assert {one["activity_id"]: one["attributes"] | {"amount": None} for one in exported(acme)} == told


def test_what_is_filled_is_not_read_again(acme: Site, command: Command) -> None:
    fill(acme, command, "--fields", "Opportunity.Amount")
    acme.orgs["acme"].clock.advance(3600)
    assert acme.sync()["read"] == 0
    acme.orgs["acme"].update("Opportunity", min(amounts(acme)), {"Amount": 7})
    acme.sync()
    assert amounts(acme) == in_salesforce(acme)
    again = fill(acme, command, "--objects", "Opportunity")
    assert (again["read"], again["written"]) == (DEALS, 0)


def test_polls_read_the_field_meanwhile_but_not_everything_and_newer_edits_win(
    acme: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    org, deals = acme.orgs["acme"], sorted(amounts(acme))
    monkeypatch.setattr(slices, "SLICE_SECONDS", 0.0)
    run_id = ask(acme)
    sync.work_on(acme.runtime, run_id)
    assert sum(value is not None for value in amounts(acme).values()) == PAGE
    for deal in (deals[0], deals[-1]):
        org.clock.advance(5)
        org.update("Opportunity", deal, {"Amount": 200})
    assert acme.sync()["read"] < DEALS
    assert [amounts(acme)[deal] for deal in (deals[0], deals[-1])] == [200, 200]
    monkeypatch.undo()
    acme.execute(run_id)
    assert amounts(acme) == in_salesforce(acme)


def test_after_a_cancelled_backfill_a_poll_reads_what_is_missing(
    acme: Site, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slices, "SLICE_SECONDS", 0.0)
    run_id = ask(acme)
    sync.work_on(acme.runtime, run_id)
    monkeypatch.undo()
    command(acme, "run", "cancel", str(run_id))
    acme.sync()
    assert amounts(acme) == in_salesforce(acme)


class Killed(BaseException):
    """As sudden as a signal."""


def test_a_backfill_that_is_killed_in_a_page_goes_on_behind_the_last_one(
    acme: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id, store, pages = ask(acme), ingest.store, iter(range(99))

    def dies(*of: Any) -> Any:
        outcome = store(*of)
        if next(pages) == 1:
            raise Killed
        return outcome

    with monkeypatch.context() as patch:
        patch.setattr(ingest, "store", dies)
        patch.setattr(runs.Lease, "hand_back", lambda _lease: None)
        with pytest.raises(Killed):
            acme.execute(run_id)
    assert sum(value is not None for value in amounts(acme).values()) == PAGE
    acme.query("UPDATE run SET lease_until = now() - interval '1 second' WHERE id = %(id)s RETURNING id", id=run_id)
    acme.server.requests.clear()
    run = acme.execute(run_id)
    assert (run["state"], run["read"], run["expected"]) == ("succeeded", DEALS, DEALS)
    assert amounts(acme) == in_salesforce(acme)
    [asked] = [one.query for one in acme.server.requests.of("acme") if "Amount" in one.query]
    assert " WHERE (SystemModstamp > " in asked


def test_activities_are_those_of_fields_that_were_never_hidden(site: Site, command: Command) -> None:
    org = site.orgs["acme"]
    begin(org, Random(3))
    for status in ("Responded", "Sent"):
        org.clock.advance(86_400)
        org.update("CampaignMember", min(org.snapshot("CampaignMember")), {"Status": status})
    campaign = org.insert("Campaign", {"Name": "Another"})
    lead = org.insert("Lead", {"LastName": "Lima", "Company": "Lima Lda"})
    org.insert("CampaignMember", {"CampaignId": campaign, "LeadId": lead, "Status": "Sent"})
    for deal in org.snapshot("Opportunity"):
        org.clock.advance(3600)
        org.update("Opportunity", deal, {"Amount": 999, "StageName": "Closed Won"})
    org.clock.advance(86_400)
    for one in HIDDEN:
        org.hide_field(*one)
    site.connect()
    site.sync()
    partly = facts(site)
    for one in HIDDEN:
        org.show_field(*one)
    assert fill(site, command, "--objects", ",".join(set(OBJECTS) - set(PEOPLE)))["state"] == "succeeded"
    filled = facts(site)
    empty(site.url)
    site.connect()
    site.sync()
    assert filled == facts(site)
    assert len(filled) > len(partly)


def facts(site: Site) -> list[queries.Row]:
    """What is exported, but for the mark of the first reading."""
    found = [one | {"attributes": {**one["attributes"], "history": True}} for one in exported(site)]
    return sorted(found, key=lambda one: str(one["activity_id"]))


def test_an_estimate_of_an_object_is_what_it_then_takes(acme: Site, command: Command) -> None:
    acme.instance().settings.max_page_size = 2000
    [found] = [json.loads(command(acme, "backfill", "acme", "--estimate", "--json", "--objects", "Opportunity"))]
    run = fill(acme, command, "--objects", "Opportunity")
    assert (found["rows"], found["api_calls"]) == (run["read"], run["api_calls"]) == (DEALS, 3)


def test_a_field_that_is_still_hidden_is_said_to_be(acme: Site, command: Command) -> None:
    acme.orgs["acme"].hide_field("Opportunity", "Amount")
    sentence = (
        "The login cannot see Opportunity.Amount: give its profile or permission set read access to that field, and "
        "run the backfill again."
    )
    for how in ("--estimate", "--here"):
        assert command(acme, "backfill", "acme", "--fields", "Opportunity.Amount", how, fails=1) == sentence
    assert set(amounts(acme).values()) == {None}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ("--fields", "Opportunity.Colour__c"),
            "Opportunity.Colour__c is not kept: of Opportunity Name, Type, StageName, Amount, CurrencyIsoCode, "
            "Probability, CloseDate, OwnerId, AccountId can be filled.",
        ),
        (
            ("--fields", "Opportunity"),
            "Name the fields to fill as Lead.X,Opportunity.Y, or whole objects with --objects.",
        ),
        (
            ("--objects", "Opportunity,Case"),
            "Case is not synced: Lead, Contact, Account, Campaign, CampaignMemberStatus, CampaignMember, "
            "OpportunityStage, Opportunity, OpportunityContactRole, OpportunityHistory can be filled.",
        ),
    ],
)
def test_what_is_not_kept_is_refused_before_anything_is_written(
    acme: Site, command: Command, words: tuple[str, str], sentence: str
) -> None:
    assert command(acme, "backfill", "acme", *words, fails=2) == sentence
    assert acme.query("SELECT id FROM run WHERE kind = 'backfill'") == []


def test_names_are_known_in_any_case_and_fill_once(acme: Site, command: Command) -> None:
    told = command(acme, "backfill", "acme", "--fields", "lead.company,Lead.Company", "--estimate", "--json")
    assert [(one["object"], one["fields"]) for one in map(json.loads, told.splitlines())] == [("Lead", ["Company"])]
    told = command(acme, "backfill", "acme", "--objects", "opportunity", "--estimate", "--json")
    assert json.loads(told)["object"] == "Opportunity"


def test_an_object_without_mapped_fields_is_refused(acme: Site, command: Command) -> None:
    acme.change(mapping={})
    assert command(acme, "backfill", "acme", "--objects", "Lead", fails=2) == (
        "No field of Lead is mapped: map one first, with `connector map`."
    )
