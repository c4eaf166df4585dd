"""The rhythm of polls changes nothing but what Salesforce does not keep; messages that repeat change nothing at all."""

from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from random import Random

from cdp import queries
from connector import runs
from connector.simulator import Org
from tests.activities.plays import ACTS, attempt, begin, live
from tests.activities.test_stories import exported, two_orgs
from tests.connector.conftest import Site
from tests.faults.test_stateful import empty

# What only a poll can see, by docs/activities.md: status updates but the first response, and what was purged early.
KEPT = [act for act in ACTS if act.__name__ not in ("_status", "_purge", "_remove", "_delete", "_restore", "_merge")]


def story(org: Org, site: Site, polls_every: int) -> list[queries.Row]:
    """One and the same story, polled every so many steps."""
    random = Random(11)
    begin(org, random)
    site.connect()
    site.sync()
    for number in range(60):
        attempt(org, Random(number), random.choice(KEPT))
        if number % polls_every == 0:
            site.sync()
    site.sync()
    return exported(site)


def test_another_rhythm_gives_the_same_export(database_url: str, ca_dir: Path) -> None:
    told = []
    for polls_every in (1, 7, 60):
        empty(database_url)
        with two_orgs(database_url, ca_dir) as site:
            told.append([{**one, "source": ""} for one in story(site.orgs["acme"], site, polls_every)])
    assert len(told[0]) > 50
    assert told[0] == told[1] == told[2]


def test_resyncs_overlaps_and_sweeps_add_nothing(database_url: str, ca_dir: Path) -> None:
    with two_orgs(database_url, ca_dir) as site:
        told = story(site.orgs["acme"], site, 5)
        for kind in ("resync", "sweep", "poll"):
            site.execute(runs.request(site.url, site.source().key, kind))
            assert exported(site) == told
        site.forget_cursors()
        site.sync()
        assert exported(site) == told


def test_steps_between_two_polls_are_told_once_and_in_order(site: Site) -> None:
    org = site.orgs["acme"]
    deal = org.insert("Opportunity", {"Name": "Deal", "StageName": "Prospecting", "CloseDate": "2027-01-01"})
    site.connect()
    site.sync()
    for stage in ("Qualification", "Negotiation/Review", "Closed Won", "Prospecting", "Closed Lost"):
        org.update("Opportunity", deal, {"StageName": stage})  # all in one second
    site.sync()
    told = [one for one in exported(site) if one["kind"] == "opportunity_stage_changed"]
    steps = {(one["attributes"]["old_stage"], one["attributes"]["new_stage"]) for one in told}
    stages = ("Prospecting", "Qualification", "Negotiation/Review", "Closed Won", "Prospecting", "Closed Lost")
    assert steps == set(pairwise(stages))
    assert len(told) == len(steps)
    kinds = sorted(one["kind"] for one in exported(site) if one["kind"] != "opportunity_stage_changed")
    assert kinds == ["opportunity_created", "opportunity_lost", "opportunity_reopened", "opportunity_won"]


def test_a_stage_that_comes_to_mean_something_else_is_told_anew(site: Site) -> None:
    org = site.orgs["acme"]
    org.insert("Opportunity", {"Name": "Deal", "StageName": "Closed Lost", "CloseDate": "2027-01-01"})
    site.connect()
    site.sync()
    stage = next(row for row in org.snapshot("OpportunityStage").values() if row["ApiName"] == "Closed Lost")
    org.update("OpportunityStage", stage["Id"], {"IsWon": True})
    site.sync()
    assert {one["kind"] for one in exported(site)} == {"opportunity_created", "opportunity_won"}


def test_what_was_gone_and_comes_back_was_not_deleted(site: Site) -> None:
    org = site.orgs["acme"]
    lead = org.insert("Lead", {"LastName": "Lima", "Company": "Lima Lda"})
    campaign = org.insert("Campaign", {"Name": "Spring"})
    member = org.insert("CampaignMember", {"CampaignId": campaign, "LeadId": lead})
    site.connect()
    site.sync()
    org.set_hidden_rows("CampaignMember", [member])
    site.execute(runs.request(site.url, site.source().key, "sweep"))
    [_, gone] = exported(site)
    assert (gone["kind"], gone["attributes"]["time_known"]) == ("campaign_member_deleted", False)
    org.set_hidden_rows("CampaignMember", [])
    site.execute(runs.request(site.url, site.source().key, "sweep"))
    assert [one["kind"] for one in exported(site)] == ["campaign_member_added"]


def test_the_history_of_the_first_connect_is_marked(site: Site) -> None:
    org = site.orgs["acme"]
    lead = org.insert("Lead", {"LastName": "Lima", "Company": "Lima Lda"})
    campaign = org.insert("Campaign", {"Name": "Spring"})
    long_ago = datetime(2026, 5, 1, 10, tzinfo=UTC)
    member = org.insert("CampaignMember", {"CampaignId": campaign, "LeadId": lead, "Status": "Sent"}, at=long_ago)
    org.update("CampaignMember", member, {"Status": "Responded"}, at=long_ago.replace(day=3))
    site.connect()
    site.sync()
    org.clock.advance(60)
    org.delete("CampaignMember", member)
    site.sync()
    told = {one["kind"]: (one["occurred_at"], one["attributes"].get("history")) for one in exported(site)}
    assert told == {
        "campaign_member_added": (long_ago, True),
        "campaign_member_status_updated": (long_ago.replace(day=3), True),
        "campaign_member_removed": (org.clock.now(), None),
    }


def test_a_member_that_vanished_names_its_campaign_from_our_copy(site: Site) -> None:
    org = site.orgs["acme"]
    contact = org.insert("Contact", {"LastName": "Lima"})
    campaign = org.insert("Campaign", {"Name": "Spring", "Type": "Webinar"})
    org.insert("CampaignMember", {"CampaignId": campaign, "ContactId": contact})
    site.connect()
    site.sync()
    org.clock.advance(60)
    org.purge("Campaign", campaign)
    purged_at = org.clock.now()
    org.clock.advance(120)  # the delete log tells of whole minutes
    site.sync()
    [told] = [one for one in exported(site) if one["kind"] == "campaign_member_deleted"]
    about = told["attributes"]
    assert (told["occurred_at"], about["campaign_id"], about["campaign_name"]) == (purged_at, campaign, "Spring")
    assert (about["campaign_from"], about["contact_id"]) == ("memory", contact)


def test_a_deal_comes_home_with_its_whole_history_and_moves_with_its_primary_contact(site: Site) -> None:
    org = site.orgs["acme"]
    ada, bob = (org.insert("Contact", {"LastName": name, "Email": f"{name}@example.org"}) for name in ("ada", "bob"))
    deal = org.insert("Opportunity", {"Name": "Deal", "StageName": "Closed Won", "CloseDate": "2027-01-01"})
    site.connect()

    def owner() -> set[str | None]:
        site.sync()
        people = {record["record_id"]: one for one, profile in site.people().items() for record in profile["records"]}
        whose = {str(one["person_id"] or "") for one in exported(site) if one["object"] == "Opportunity"}
        return {next((who for who, person in people.items() if person == one), None) for one in whose}

    assert owner() == {None}
    first = org.insert("OpportunityContactRole", {"OpportunityId": deal, "ContactId": ada, "IsPrimary": True})
    assert owner() == {ada}
    org.clock.advance(5)
    org.insert("OpportunityContactRole", {"OpportunityId": deal, "ContactId": bob, "IsPrimary": True})
    assert owner() == {bob}
    org.clock.advance(5)
    org.update("OpportunityContactRole", first, {"IsPrimary": True})
    assert owner() == {ada}
    org.delete("OpportunityContactRole", first)
    assert owner() == {None}
    assert live(org, "OpportunityContactRole") != []


def test_a_role_whose_contact_is_replaced_is_unlinked_and_linked(site: Site) -> None:
    org = site.orgs["acme"]
    ada, bob = (org.insert("Contact", {"LastName": name}) for name in ("ada", "bob"))
    deal = org.insert("Opportunity", {"Name": "Deal", "StageName": "Closed Won", "CloseDate": "2027-01-01"})
    role = org.insert("OpportunityContactRole", {"OpportunityId": deal, "ContactId": ada})
    site.connect()
    site.sync()
    org.clock.advance(5)
    org.update("OpportunityContactRole", role, {"ContactId": bob})
    site.sync()
    told = [(one["kind"], one["attributes"]["contact_id"]) for one in exported(site) if one["record_id"] == role]
    assert sorted(told) == [
        ("opportunity_contact_linked", ada),
        ("opportunity_contact_linked", bob),
        ("opportunity_contact_unlinked", ada),
    ]
