"""Deleting one of two orgs: no trace of it anywhere, the other org's people whole, whatever dies in the middle."""

import json
from datetime import date
from typing import Any

import pytest
from psycopg import sql

from cdp import queries, removal
from cdp.db import transaction
from connector import lifecycle, runs, sync
from connector.simulator.schema import make_field
from tests.connector.conftest import Site, people_rows
from tests.dump import holding
from tests.life.conftest import Command

SHARED = 8


@pytest.fixture
def two(site: Site) -> Site:
    """Acme and globex with twelve Leads each, of which they share eight; acme has everything that a source can have."""
    for name, first in (("acme", 0), ("globex", 12 - SHARED)):
        org = site.orgs[name]
        org.add_field("Lead", make_field("Tier__c", "string", length=40))
        rows = people_rows(24)[first : first + 12]
        org.insert_many("Lead", [row | {"Company": f"{name.title()} Works", "Tier__c": f"{name} tier"} for row in rows])
        site.connect(name)
        site.sync(name)
    return site


def trouble(site: Site, command: Command) -> None:
    """Give acme a filter, a mapping of its own, a finding, a notice, a bad row, a campaign, a sweep and a backfill."""
    org = site.orgs["acme"]
    campaign = org.insert("Campaign", {"Name": "Acme Fair"})
    org.insert("CampaignMember", {"CampaignId": campaign, "LeadId": min(org.snapshot("Lead")), "Status": "Sent"})
    org.insert("Opportunity", {"Name": "Acme Deal", "StageName": "Prospecting", "CloseDate": date(2026, 12, 1)})
    command(site, "map", "acme", "Lead.Tier__c", "tier")
    command(site, "filter", "set", "acme", file='{"field": "Lead.Company", "op": "is_not_empty"}')
    bad = org.insert("Lead", {"LastName": "Acme Bad", "Company": "Acme Works"})
    org.corrupt("Lead", bad, "CreatedDate", "some day")
    org.hide_field("Lead", "Industry")
    org.clock.advance(600)
    site.sync("acme")
    for kind, options in (("backfill", {"fields": {"Lead": ["Tier__c"]}}), ("sweep", {})):
        site.execute(runs.request(site.url, site.source("acme").key, kind, options))


def traces(site: Site, source: Any) -> list[str]:
    """The tables in which anything of acme stands: its ids, its address, its values, its name, who connected it."""
    org = site.orgs["acme"]
    ids = [one for sobject in ("Lead", "Campaign", "CampaignMember", "Opportunity") for one in org.snapshot(sobject)]
    found = holding(site.url, org.org_id, *ids, "acme", source.instance_url, source.created_by)
    return [table for table in found if table != "audit"]  # it tells who deleted which source


def belonging(site: Site, source: Any) -> list[str]:
    """The tables with a row that is noted as acme's."""
    tables = site.query("SELECT table_name FROM information_schema.columns WHERE column_name = 'source_id'")
    asked = sql.SQL("SELECT FROM {} WHERE source_id = %(id)s LIMIT 1")
    return [
        row["table_name"]
        for row in tables
        if site.query(asked.format(sql.Identifier(row["table_name"])), id=source.key)
    ]


def document(printed: str) -> dict[str, Any]:
    """The JSON document among what a command prints."""
    [line] = [line for line in printed.splitlines() if line.startswith("{")]
    found: dict[str, Any] = json.loads(line)
    return found


def put_away(site: Site) -> None:
    for step in ("disconnect", "archive"):
        lifecycle.take(site.runtime, "acme", step)


def by_email(site: Site) -> dict[str, Any]:
    return {person["email"]: person for person in site.people().values()}


def test_nothing_of_a_deleted_org_is_left_and_the_other_is_whole(two: Site, command: Command) -> None:
    trouble(two, command)
    gone, before = two.source("acme"), by_email(two)
    assert {"record", "source", "quarantine", "run", "person"} <= set(traces(two, gone))
    assert {"cursor", "finding", "notice", "object_schema", "read_window", "source_filter"} <= set(belonging(two, gone))
    put_away(two)
    told = document(command(two, "source", "delete", "acme", "--dry-run", "--json"))
    done = document(command(two, "source", "delete", "acme", "--here", "--yes", "--json"))
    assert (told["deleted"], done["deleted"]) == (False, True)
    assert (done["people_vanish"], done["people_stay"]) == (told["people_vanish"], told["people_stay"]) == (4, SHARED)
    assert traces(two, gone) == belonging(two, gone) == []
    assert two.query("SELECT FROM run_object WHERE run_id NOT IN (SELECT id FROM run)") == []
    after = by_email(two)
    assert len(before) - len(after) == told["people_vanish"]
    assert {one["source"] for person in after.values() for one in person["records"]} == {"globex"}
    assert {person["fields"]["company"] for person in after.values()} == {"Globex Works"}
    assert document(command(two, "verify", "--json"))["same"]


def test_ids_of_shared_people_resolve(two: Site, command: Command) -> None:
    published = {email: person["person_id"] for email, person in by_email(two).items()}
    theirs = {
        row["email"]: row["handle"]
        for row in two.query("SELECT email, handle FROM record WHERE source_id = %(id)s", id=two.source("globex").key)
    }
    put_away(two)
    command(two, "source", "delete", "acme", "--here", "--yes")
    for email, handle in theirs.items():
        with transaction(two.url) as session:
            assert queries.resolve_person(session, str(handle)) == queries.resolve_person(session, email)
    assert published.keys() >= by_email(two).keys()


def test_an_org_that_comes_back_is_a_new_source_with_the_same_people(two: Site, command: Command) -> None:
    before, old = by_email(two), two.source("acme").key
    put_away(two)
    command(two, "source", "delete", "acme", "--here", "--yes")
    assert two.connect("acme").key > old
    two.sync("acme")
    after = by_email(two)
    assert after.keys() == before.keys()
    assert {email: len(person["records"]) for email, person in after.items()} == {
        email: len(person["records"]) for email, person in before.items()
    }


def test_a_deletion_that_dies_in_the_middle_goes_on(two: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    put_away(two)
    gone = two.source("acme")
    monkeypatch.setattr(removal, "SLICE", 5)
    run_id = lifecycle.begin_removal(two.runtime, "acme")
    for left in (7, 2):
        die(two, run_id, "remove_slice", 1)
        assert two.query("SELECT count(*) AS n FROM record WHERE source_id = %(id)s", id=gone.key)[0]["n"] == left
    die(two, run_id, "remove_source", 0)
    assert sync.execute(two.runtime, run_id)
    assert traces(two, gone) == []
    assert len(two.people()) == 12


class Crash(BaseException):
    """As sudden as a signal."""


def die(site: Site, run_id: int, function: str, after: int) -> None:
    """Work on a removal until that function has been called so often, as if killed then; its lease runs out."""
    real, calls = getattr(removal, function), iter([False] * after + [True])

    def dies(*of: Any) -> Any:
        if next(calls):
            raise Crash
        return real(*of)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(removal, function, dies)
        patch.setattr(runs.Lease, "hand_back", lambda _lease: None)
        with pytest.raises(Crash):
            site.execute(run_id)
    assert site.run(run_id)["state"] == "running"
    site.query("UPDATE run SET lease_until = now() - interval '1 second' WHERE id = %(id)s RETURNING id", id=run_id)
