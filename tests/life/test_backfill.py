"""Backfill by command: which fields, at what cost, what is read, and what is refused."""

import json
from typing import Any

import pytest

from connector.simulator.schema import make_field
from tests.connector.conftest import Site, people_rows
from tests.life.conftest import Command

ROWS = 30


@pytest.fixture
def acme(site: Site) -> Site:
    """Leads that have a tier, read before it was mapped, so that no poll brings it."""
    org = site.orgs["acme"]
    org.add_field("Lead", make_field("Tier__c", "string", length=40))
    org.insert_many("Lead", people_rows(ROWS, Tier__c="gold"))
    site.connect()
    org.clock.advance(3600)
    site.sync()
    org.clock.advance(3600)
    site.sync()
    return site


def lines(printed: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in printed.splitlines() if line.startswith("{")]


def tiers(site: Site) -> list[str | None]:
    return sorted({row["f_tier"] for row in site.query("SELECT f_tier FROM record")}, key=str)


def fill(site: Site, command: Command, *words: str) -> dict[str, Any]:
    [run] = lines(command(site, "backfill", "acme", "--here", "--json", *words))
    return run


def test_a_new_field_fills_from_future_changes_until_it_is_backfilled(acme: Site, command: Command) -> None:
    command(acme, "map", "acme", "Lead.Tier__c", "tier")
    first = min(acme.orgs["acme"].snapshot("Lead"))
    acme.orgs["acme"].update("Lead", first, {"Tier__c": "silver"})
    acme.sync()
    assert tiers(acme) == [None, "silver"]
    run = fill(acme, command)
    assert (run["state"], run["read"], run["written"], run["skipped"]) == ("succeeded", ROWS, ROWS - 1, 1)
    assert tiers(acme) == ["gold", "silver"]
    assert {person["fields"]["tier"] for person in acme.people().values()} == {"gold", "silver"}


def test_only_id_stamp_and_the_fields_are_read(acme: Site, command: Command) -> None:
    command(acme, "map", "acme", "Lead.Tier__c", "tier")
    acme.server.requests.clear()
    fill(acme, command, "--fields", "Lead.Tier__c")
    asked = [entry.query for entry in acme.server.requests.of("acme") if entry.query.startswith("SELECT Id")]
    assert len(asked) == 1
    assert asked[0].startswith("SELECT Id, SystemModstamp, Tier__c FROM Lead ")


def test_an_estimate_says_what_it_would_cost_and_writes_nothing(acme: Site, command: Command) -> None:
    command(acme, "map", "acme", "Lead.Tier__c", "tier")
    [found] = lines(command(acme, "backfill", "acme", "--estimate", "--json"))
    assert (found["object"], found["fields"], found["rows"], found["api_calls"]) == ("Lead", ["Tier__c"], ROWS, 3)
    assert found["seconds"] >= 0
    assert tiers(acme) == [None]
    assert "api calls" in command(acme, "backfill", "acme", "--estimate").lower()


def test_what_is_filled_waits_no_more(acme: Site, command: Command) -> None:
    command(acme, "map", "acme", "Lead.Tier__c", "tier")
    fill(acme, command)
    assert command(acme, "backfill", "acme", "--here", fails=2) == (
        "No field was mapped since the records were read: name fields with --fields Lead.X,Contact.Y."
    )


def test_a_full_sync_fills_a_new_field_too(acme: Site, command: Command) -> None:
    command(acme, "map", "acme", "Lead.Tier__c", "tier")
    command(acme, "sync", "acme", "--full", "--here")
    assert tiers(acme) == ["gold"]
    command(acme, "backfill", "acme", "--here", fails=2)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (
            "Lead.Tier__c",
            "Lead.Tier__c is not mapped: map it first, with `connector map NAME Lead.Tier__c PERSON_FIELD`.",
        ),
        (
            "Leed.X",
            "Leed is not synced: Lead, Contact, Account, Campaign, CampaignMemberStatus, CampaignMember, "
            "OpportunityStage, Opportunity, OpportunityContactRole, OpportunityHistory can be filled.",
        ),
        (" , ", "Name the fields to fill as Lead.X,Opportunity.Y, or whole objects with --objects."),
    ],
)
def test_fields_that_cannot_be_filled_are_named(acme: Site, command: Command, fields: str, sentence: str) -> None:
    assert command(acme, "backfill", "acme", "--fields", fields, "--here", fails=2) == sentence


def test_a_filter_narrows_a_backfill(acme: Site, command: Command) -> None:
    command(acme, "filter", "set", "acme", file='{"field": "Lead.LastName", "op": "equals", "value": "Lima 00001"}')
    acme.sync()
    command(acme, "map", "acme", "Lead.Tier__c", "tier")
    assert fill(acme, command)["read"] == 1
    assert acme.query("SELECT state, f_tier FROM record WHERE f_tier IS NOT NULL") == [
        {"state": "live", "f_tier": "gold"}
    ]


@pytest.mark.parametrize(
    ("tree", "rows", "calls"),
    [
        ({}, ROWS, 3),
        ({"field": "Lead.LastName", "op": "in", "value": ["Lima 00001", "Lima 00002"]}, 2, 3),
        ({"field": "object", "op": "equals", "value": "Contact"}, 0, 0),
    ],
)
def test_an_estimate_is_what_it_then_takes(
    acme: Site, command: Command, tree: dict[str, Any], rows: int, calls: int
) -> None:
    command(acme, "map", "acme", "Lead.Tier__c", "tier")
    if tree:
        command(acme, "filter", "set", "acme", file=json.dumps(tree))
        acme.sync()
    [found] = lines(command(acme, "backfill", "acme", "--fields", "Lead.Tier__c", "--estimate", "--json"))
    run = fill(acme, command, "--fields", "Lead.Tier__c")
    assert (found["rows"], found["api_calls"]) == (run["read"], run["api_calls"]) == (rows, calls)


def test_a_whole_object_of_people_is_filled_with_all_its_mapped_fields(acme: Site, command: Command) -> None:
    command(acme, "map", "acme", "Lead.Tier__c", "tier")
    assert fill(acme, command, "--objects", "Lead")["written"] == ROWS
    assert tiers(acme) == ["gold"]
