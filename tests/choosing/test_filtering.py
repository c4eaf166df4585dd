"""A filter at work: membership equals the filter over the source, whatever is edited, widened or narrowed meanwhile."""

import json
import random
from typing import Any

import pytest

from cdp import queries
from connector import runs
from connector.errors import ConnectorError
from tests.choosing.conftest import Command
from tests.connector.conftest import Site

GOLD = {"field": "Contact.Tier__c", "op": "equals", "value": "gold"}
SILVER = {"field": "Contact.Tier__c", "op": "equals", "value": "silver"}
LEADS = {"field": "object", "op": "equals", "value": "Lead"}
BANKING = {"field": "Contact.Account.Industry", "op": "equals", "value": "Banking"}


def live(site: Site, sobject: str = "Contact") -> set[str]:
    return {key for key, state in site.states(sobject).items() if state == "live"}


def tiers(site: Site, *wanted: str | None) -> set[str]:
    rows = site.orgs["acme"].snapshot("Contact").items()
    return {key for key, row in rows if row["Tier__c"] in wanted and not row["IsDeleted"]}


def later(site: Site) -> None:
    """Let the clock pass, so that overlaps hold nothing."""
    site.orgs["acme"].clock.advance(3600)


def read_of_people(site: Site, run: queries.Row) -> int:
    """How many rows of Leads and Contacts a run has read."""
    [found] = site.query(
        "SELECT sum(read) AS read FROM run_object WHERE run_id = %(id)s AND object IN ('Lead', 'Contact')",
        id=run["run_id"],
    )
    return int(found["read"])


def test_applying_a_filter_takes_out_what_leaves_and_a_wider_one_brings_it_back(
    peopled: Site, command: Command
) -> None:
    before = peopled.people()
    previewed = json.loads(command(peopled, "filter", "preview", "acme", "--json", document=GOLD))["objects"]
    command(peopled, "filter", "set", "acme", document=GOLD)
    run = peopled.sync()
    assert live(peopled) == tiers(peopled, "gold")
    assert live(peopled, "Lead") == set()
    assert len(peopled.people()) == previewed[1]["match"] == 10
    assert read_of_people(peopled, run) == previewed[1]["rows"]
    command(peopled, "filter", "set", "acme", document={})
    peopled.sync()
    assert live(peopled) == tiers(peopled, "gold", "silver", None)
    assert peopled.people() == before


def test_what_a_preview_says_is_what_happens(peopled: Site, command: Command) -> None:
    command(peopled, "filter", "set", "acme", document=GOLD)
    peopled.sync()
    held = live(peopled)
    wider = {"any": [SILVER, LEADS]}
    lead, contact = json.loads(command(peopled, "filter", "preview", "acme", "--json", document=wider))["objects"]
    command(peopled, "filter", "set", "acme", document=wider)
    run = peopled.sync()
    assert len(live(peopled) - held) == contact["enter"] == 10
    assert len(held - live(peopled)) == contact["leave"] == 10
    assert len(live(peopled, "Lead")) == lead["enter"] == 30
    assert read_of_people(peopled, run) == lead["rows"] + contact["rows"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param("gold", ["gold", "silver"], id="widened"),
        pytest.param(["gold", "silver"], "gold", id="narrowed"),
        pytest.param("gold", "silver", id="another"),
    ],
)
def test_a_preview_in_mid_sync_says_what_happens(peopled: Site, command: Command, before: Any, after: Any) -> None:
    def chosen(tier: Any) -> dict[str, Any]:
        return {"field": "Contact.Tier__c", "op": "in", "value": tier if isinstance(tier, list) else [tier]}

    command(peopled, "filter", "set", "acme", document=chosen(before))
    peopled.fault("error", "/query/0", times=None, after=2, status=500, name="broken")
    peopled.fault("page_size", "/query", times=None, size=4)
    with pytest.raises(ConnectorError):
        peopled.sync()
    peopled.server.faults.clear("broken")
    later(peopled)
    for number, edited in enumerate(sorted(tiers(peopled, "gold", "silver", None))[:9]):
        peopled.orgs["acme"].update("Contact", edited, {"Tier__c": ("silver", None, "gold")[number % 3]})
    held = live(peopled)
    lead, contact = json.loads(command(peopled, "filter", "preview", "acme", "--json", document=chosen(after)))[
        "objects"
    ]
    command(peopled, "filter", "set", "acme", document=chosen(after))
    peopled.sync()
    assert live(peopled) == tiers(peopled, *chosen(after)["value"])
    assert contact["match"] == len(live(peopled))
    assert contact["enter"] == len(live(peopled) - held)
    assert contact["leave"] == len(held - live(peopled))
    assert lead["match"] == len(live(peopled, "Lead")) == 0


def test_a_record_that_is_edited_leaves_and_enters(peopled: Site, command: Command) -> None:
    command(peopled, "filter", "set", "acme", document=GOLD)
    peopled.sync()
    later(peopled)
    leaver, enterer = min(tiers(peopled, "gold")), min(tiers(peopled, None))
    peopled.orgs["acme"].update("Contact", leaver, {"Tier__c": "silver"})
    peopled.orgs["acme"].update("Contact", enterer, {"Tier__c": "GOLD"})
    peopled.sync()
    assert live(peopled) == tiers(peopled, "gold", "GOLD")
    row = peopled.record(leaver)
    assert (row["state"], row["email"], row["f_last_name"]) == ("filtered", None, None)


def test_an_object_that_the_filter_leaves_out_costs_no_call(peopled: Site, command: Command) -> None:
    command(peopled, "filter", "set", "acme", document=LEADS)
    peopled.sync()
    asked = peopled.asked("/sobjects/Contact/")
    peopled.sync()
    assert peopled.asked("/sobjects/Contact/") == asked
    assert live(peopled) == set()
    assert peopled.states("Lead")


def test_a_first_sync_reads_only_what_is_let_in(site: Site, command: Command) -> None:
    org = site.orgs["acme"]
    for number in range(20):
        org.insert("Contact", {"LastName": f"L{number}", "Department": "IT" if number < 5 else "HR"})
    site.connect()
    command(site, "filter", "set", "acme", document={"field": "Contact.Department", "op": "equals", "value": "it"})
    assert site.sync()["read"] == 5
    assert len(live(site)) == 5


def test_a_field_of_a_parent_filters_and_the_sweep_sees_it_change(peopled: Site, command: Command) -> None:
    command(peopled, "filter", "set", "acme", document=BANKING)
    peopled.sync()
    assert len(live(peopled)) == 30
    later(peopled)
    [account] = peopled.orgs["acme"].snapshot("Account")
    peopled.orgs["acme"].update("Account", account, {"Industry": "Retail"})
    peopled.sync()
    peopled.execute(runs.request(peopled.url, peopled.source().key, "sweep", {"accept_absent": True}))
    assert live(peopled) == set()
    peopled.orgs["acme"].update("Account", account, {"Industry": "Banking"})
    peopled.execute(runs.request(peopled.url, peopled.source().key, "sweep"))
    assert len(live(peopled)) == 30


def test_a_mapped_field_of_a_parent_is_read(peopled: Site, command: Command) -> None:
    command(peopled, "map", "acme", "Contact.Account.Industry", "industry")
    later(peopled)
    edited = min(tiers(peopled, "gold"))
    peopled.orgs["acme"].update("Contact", edited, {"Title": "CEO"})
    peopled.sync()
    assert peopled.record(edited)["f_industry"] == "Banking"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_membership_equals_the_filter_through_edits_and_changes_of_mind(
    make_site: Any, command: Command, seed: int
) -> None:
    chance = random.Random(seed)
    site: Site = make_site(bulk_threshold=chance.choice([3, 20_000]), poll_overlap=chance.choice([0, 60, 600]))
    org = site.orgs["acme"]
    ids = [org.insert("Contact", {"LastName": f"L{n}", "Department": chance.choice(DEPARTMENTS)}) for n in range(40)]
    site.connect()
    document: Any = None
    for _ in range(14):
        if chance.random() < 0.35:
            op, chosen = chance.choice(["in", "not_in"]), chance.sample(["a", "b", "c"], chance.randint(1, 3))
            document = chance.choice([None, *[{"field": "Contact.Department", "op": op, "value": chosen}] * 5])
            command(site, "filter", "set", "acme", document=document)
        org.clock.advance(chance.choice([0, 1, 10, 3600]))
        edit(site, chance, ids)
        if chance.random() < 0.7:
            org.clock.advance(1)
            bring_up_to_date(site, chance.choice(["poll", "poll", "resync", "sweep"]))
            rows = org.snapshot("Contact").items()
            assert live(site) == {key for key, row in rows if lets_in(document, row) and not row["IsDeleted"]}


DEPARTMENTS = ["a", "b", "c", None]


def lets_in(document: Any, row: dict[str, Any]) -> bool:
    return document is None or (row["Department"] in document["value"]) is (document["op"] == "in")


def edit(site: Site, chance: random.Random, ids: list[str]) -> None:
    """Edit some Contacts, delete a few, and take a few out of the bin."""
    org = site.orgs["acme"]
    for one in chance.sample(ids, 8):
        if org.row("Contact", one)["IsDeleted"]:
            org.undelete("Contact", one)
        elif chance.random() < 0.1:
            org.delete("Contact", one)
        else:
            org.update("Contact", one, {"Department": chance.choice(DEPARTMENTS)})


def bring_up_to_date(site: Site, kind: str) -> None:
    """Poll, and do what else is asked: a sweep by itself follows no edits of a minute ago."""
    site.sync()
    if kind != "poll":
        site.execute(runs.request(site.url, site.source().key, kind))


def fate(site: Site, command: Command, record_id: str) -> str:
    return str(json.loads(command(site, "trace", record_id, "--json"))["fate"])


def test_a_trace_names_the_part_of_the_filter_that_keeps_a_record_out(peopled: Site, command: Command) -> None:
    org = peopled.orgs["acme"]
    tree = {"any": [{"all": [GOLD, BANKING]}, SILVER]}
    command(peopled, "filter", "set", "acme", document={"all": [{"any": [GOLD, SILVER]}, BANKING]})
    peopled.sync()
    contact, lead = min(tiers(peopled, None)), min(peopled.states("Lead"))
    assert fate(peopled, command, lead) == "The filter of 'acme' lets no Lead in."
    words = "It does not match this part of the filter of 'acme': "
    assert fate(peopled, command, contact) == f"{words}{json.dumps({'any': [GOLD, SILVER]})}."
    gold = min(tiers(peopled, "gold"))
    org.update("Contact", gold, {"AccountId": None})
    peopled.sync()
    assert fate(peopled, command, gold) == f"{words}{json.dumps(BANKING)}."
    command(peopled, "filter", "set", "acme", document=tree)
    assert fate(peopled, command, gold) == f"{words}{json.dumps(tree)}."
    org.update("Contact", gold, {"Tier__c": "silver"})
    assert "the next poll or sweep lets it in" in fate(peopled, command, gold)
    peopled.fault("error", "/query", times=None, status=403, code="API_DISABLED_FOR_ORG", message="API is not enabled")
    assert "API is not enabled" in fate(peopled, command, gold)
    command(peopled, "filter", "set", "acme", document={})
    assert "is gone: the next poll lets it in" in fate(peopled, command, gold)
