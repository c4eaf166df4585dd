"""Where activities show, where they must not, and what a hidden object means for the others."""

import json
from random import Random

import pytest

from cdp import db, erasure, queries
from connector import lifecycle
from connector.health import health
from connector.simulator import Org
from connector.tracing import trace
from tests.activities.plays import begin
from tests.activities.test_stories import exported
from tests.connector.conftest import Site


@pytest.fixture
def lima(site: Site) -> dict[str, str]:
    """A person in a campaign, with a deal of her own, and one deal that is nobody's."""
    org = site.orgs["acme"]
    contact = org.insert("Contact", {"LastName": "Lima", "Email": "lima@example.org"})
    campaign = org.insert("Campaign", {"Name": "Spring", "Type": "Webinar"})
    member = org.insert("CampaignMember", {"CampaignId": campaign, "ContactId": contact, "Status": "Responded"})
    deal = {"Name": "Lima's deal", "StageName": "Prospecting", "CloseDate": "2027-01-01", "ContactId": contact}
    mine = org.insert("Opportunity", deal | {"Amount": 1250.5})
    other = org.insert("Opportunity", {**deal, "Name": "Nobody's", "ContactId": None})
    site.connect()
    site.sync()
    return {"contact": contact, "campaign": campaign, "member": member, "mine": mine, "other": other}


@pytest.mark.usefixtures("lima")
def test_the_commands_show_them(site: Site) -> None:
    exports = [json.loads(line) for line in site.cli("export", "activities").stdout.splitlines()]
    assert [one["kind"] for one in exports] == [one["kind"] for one in exported(site)]
    keys = {"activity_id", "kind", "occurred_at", "source", "org_id", "object", "record_id", "person_id", "attributes"}
    assert all(one.keys() == keys for one in exports)
    status = json.loads(site.cli("status", "--json").stdout)
    assert sum(status["activities"].values()) == len(exports)
    assert status["unassociated_opportunities"] == 1
    shown = json.loads(site.cli("person", "lima@example.org", "--json").stdout)
    mine = [one for one in exports if one["person_id"]]
    assert sorted(one["activity_id"] for one in shown["activities"]) == sorted(one["activity_id"] for one in mine)
    assert "Spring" in site.cli("person", "lima@example.org").stdout
    [dossier] = [
        json.loads(line) for line in site.cli("export", "people", "--person", "lima@example.org").stdout.splitlines()
    ]
    assert len(dossier["activities"]) == len(mine)
    head = site.cli("export", "activities", "--format", "csv").stdout.splitlines()[0]
    assert head.split(",")[:3] == ["activity_id", "kind", "occurred_at"]


def test_health_names_the_deals_that_are_nobodys_and_the_way_to_mend_it(site: Site, lima: dict[str, str]) -> None:
    [found] = [one for one in health(site.runtime, site.source().key) if one.check == "opportunities"]
    assert lima["other"] in found.finding
    assert lima["mine"] not in found.finding
    assert (found.status, "Contact Roles" in found.remedy) == ("warning", True)


def test_trace_knows_rows_that_activities_are_told_from(site: Site, lima: dict[str, str]) -> None:
    with db.transaction(site.url) as session:
        [person] = queries.resolve_person(session, "lima@example.org")
        for name in ("member", "mine"):
            [answer] = trace(session, lima[name], 50)
            assert f"belong to person {person}" in answer["fate"]
        assert "belong to nobody" in trace(session, lima["other"], 50)[0]["fate"]
        assert trace(session, lima["campaign"], 50)[0]["object"] == "Campaign"


@pytest.mark.usefixtures("lima")
def test_counts_by_day_are_those_of_the_export(site: Site) -> None:
    with db.transaction(site.url) as session:
        assert sum(row["activities"] for row in queries.activities_by_day(session)) == len(exported(site))


def test_an_object_that_is_hidden_is_skipped_and_the_others_go_on(site: Site) -> None:
    org = site.orgs["acme"]
    begin(org, Random(3))
    org.hide_object("Opportunity")
    org.hide_field("CampaignMember", "FirstRespondedDate")
    site.connect()
    assert site.sync()["state"] == "succeeded"
    assert {one["kind"] for one in exported(site)} >= {"campaign_member_added", "opportunity_contact_linked"}
    with db.transaction(site.url) as session:
        assert [one["attention"] for one in queries.sources(session)] == [None]
    [found] = [one for one in health(site.runtime, site.source().key) if one.check == "activities_hidden"]
    assert "Opportunity records cannot be read" in found.finding
    org.show_object("Opportunity")
    site.sync()
    assert not [one for one in health(site.runtime, site.source().key) if one.check == "activities_hidden"]
    assert "opportunity_created" in {one["kind"] for one in exported(site)}


def test_a_field_that_is_hidden_keeps_what_is_stored_and_is_read_again_when_it_comes_back(site: Site) -> None:
    org = site.orgs["acme"]
    begin(org, Random(3))
    site.connect()
    site.sync()
    org.hide_field("Opportunity", "Type")
    org.clock.advance(60)
    deal = next(iter(org.snapshot("Opportunity")))
    org.update("Opportunity", deal, {"Type": "New Customer", "Name": "Renamed"})
    assert site.sync()["state"] == "succeeded"
    [stored] = site.query("SELECT name, type FROM opportunity WHERE record_id = %(id)s", id=deal)
    assert stored == {"name": "Renamed", "type": None}


def test_an_erased_person_did_nothing(site: Site, lima: dict[str, str]) -> None:
    org = site.orgs["acme"]
    with db.transaction(site.url) as session:
        [person] = queries.resolve_person(session, "lima@example.org")
        erasure.erase(session, person, site.runtime.vault.erasure_keys)
    assert site.query("SELECT name FROM opportunity WHERE record_id = %(id)s", id=lima["mine"]) == [{"name": None}]
    org.clock.advance(60)
    org.update("CampaignMember", lima["member"], {"Status": "Sent"})
    org.update("Opportunity", lima["mine"], {"Name": "Lima's deal, again"})
    site.forget_cursors()
    site.sync()
    told = exported(site)
    assert {one["record_id"] for one in told} == {lima["mine"], lima["other"]}
    assert [one["person_id"] for one in told if one["person_id"]] == []
    assert "Lima" not in str(told)
    with db.transaction(site.url) as session:
        assert [one["record_id"] for one in queries.unassociated_opportunities(session)] == [lima["other"]]


@pytest.mark.usefixtures("lima")
def test_a_source_that_is_deleted_takes_its_activities_along(site: Site) -> None:
    for step in ("disconnect", "archive"):
        lifecycle.take(site.runtime, "acme", step)
    site.execute(lifecycle.begin_removal(site.runtime, "acme"))
    assert exported(site) == []
    assert site.query("SELECT FROM campaign_member UNION ALL SELECT FROM opportunity") == []


def test_a_quiet_poll_stores_nothing(site: Site) -> None:
    org: Org = site.orgs["acme"]
    begin(org, Random(3))
    site.connect()
    site.sync()
    org.clock.advance(3600)
    before = site.query("SELECT xmin, * FROM activity ORDER BY source_id, record_id, kind, version")
    assert site.sync()["written"] == 0
    assert site.query("SELECT xmin, * FROM activity ORDER BY source_id, record_id, kind, version") == before
