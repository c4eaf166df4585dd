"""A populated org is the same each time, overlaps with its neighbours, and is as untidy as a real one."""

import time
from collections import Counter
from datetime import UTC, datetime

import pytest

from connector.simulator.clock import Clock
from connector.simulator.org import Org
from connector.simulator.people import AWKWARD_TEXTS, INVALID_EMAILS, PLACEHOLDER_EMAILS, SHARED_EMAILS
from connector.simulator.population import populate
from connector.simulator.query import run_query

NOON = datetime(2026, 10, 1, 12, tzinfo=UTC)


def populated(key: str, seed: int, leads: int = 3000, contacts: int = 2000) -> Org:
    org = Org(key, clock=Clock(NOON))
    populate(org, leads=leads, contacts=contacts, seed=seed, shared_people=7)
    return org


@pytest.fixture(scope="module")
def acme() -> Org:
    return populated("acme", 1)


def emails(org: Org, object_name: str) -> list[str]:
    return [row["Email"] for row in org.snapshot(object_name).values() if row["Email"] is not None]


def keys(org: Org, object_name: str) -> set[str]:
    return {email.strip().lower() for email in emails(org, object_name)}


def test_same_seed_same_org(acme: Org) -> None:
    again = populated("acme", 1)
    for name in acme.objects:
        assert acme.snapshot(name) == again.snapshot(name)


def test_other_seed_other_rows(acme: Org) -> None:
    assert acme.snapshot("Lead") != populated("acme", 2).snapshot("Lead")


def test_counts(acme: Org) -> None:
    converted = run_query(acme, "SELECT COUNT() FROM Lead WHERE IsConverted = true").total
    assert acme.count("Lead") == 3000
    assert converted == 90
    assert acme.count("Contact") == 2000 + converted
    assert acme.count("Campaign") == 10
    assert acme.count("CampaignMember") == 1000
    assert acme.count("Opportunity") >= 200
    assert acme.count("OpportunityHistory") > acme.count("Opportunity")


def test_people_overlap_within_and_between_orgs(acme: Org) -> None:
    globex = populated("globex", 2)
    assert len(keys(acme, "Lead") & keys(acme, "Contact")) > 300
    assert len((keys(acme, "Lead") | keys(acme, "Contact")) & (keys(globex, "Lead") | keys(globex, "Contact"))) > 500
    assert max(Counter(email.strip().lower() for email in emails(acme, "Lead")).values()) > 5


def test_emails_are_untidy(acme: Org) -> None:
    found = emails(acme, "Lead")
    assert any(email != email.strip() for email in found)
    assert any(email.isupper() for email in found)
    assert any(not email.isascii() for email in found)
    assert all(email.strip() and len(email) <= 80 for email in found)
    assert len(found) < 3000
    for kind in (SHARED_EMAILS, PLACEHOLDER_EMAILS, INVALID_EMAILS):
        assert set(kind) & set(found)


def test_texts_are_awkward(acme: Org) -> None:
    rows = [*acme.snapshot("Lead").values(), *acme.snapshot("Contact").values()]
    texts = {row[name] for row in rows for name in ("Title", "Description", "FirstName", "LastName")}
    assert len(texts & set(AWKWARD_TEXTS)) > len(AWKWARD_TEXTS) / 2


def test_stamps_are_in_order(acme: Org) -> None:
    for name in ("Lead", "Contact", "CampaignMember", "Opportunity"):
        for row in acme.snapshot(name).values():
            assert row["CreatedDate"] <= row["LastModifiedDate"] <= row["SystemModstamp"] <= NOON
    leads = acme.snapshot("Lead").values()
    assert any(row["LastModifiedDate"] < row["SystemModstamp"] for row in leads)
    assert sum(row["CreatedDate"] < row["LastModifiedDate"] for row in leads) > 1000


def test_roles(acme: Org) -> None:
    roles = acme.snapshot("OpportunityContactRole").values()
    primaries = Counter(role["OpportunityId"] for role in roles if role["IsPrimary"])
    with_role = {role["OpportunityId"] for role in roles}
    assert set(primaries.values()) == {1}
    assert len(primaries) < len(with_role) < acme.count("Opportunity")


def test_memberships_respond(acme: Org) -> None:
    members = acme.snapshot("CampaignMember").values()
    assert 200 < sum(member["HasResponded"] for member in members) < 600
    assert all(bool(member["FirstRespondedDate"]) == member["HasResponded"] for member in members)


def test_opt_outs(acme: Org) -> None:
    assert 100 < run_query(acme, "SELECT COUNT() FROM Lead WHERE HasOptedOutOfEmail = true").total < 500


def test_small_and_empty_orgs() -> None:
    org = Org("tiny", clock=Clock(NOON))
    populate(org, leads=0, contacts=0, campaigns=1, opportunities=3, seed=1)
    populate(org, leads=1, contacts=1, seed=2)
    assert (org.count("Lead"), org.count("Contact"), org.count("Opportunity")) == (1, 1, 0)


@pytest.mark.slow
def test_a_large_org_is_quick_to_fill_and_to_read() -> None:
    start = time.process_time()
    org = populated("large", 1, leads=100_000, contacts=100_000)
    filled = time.process_time()
    columns = ", ".join([field.name for field in org.objects["Lead"].fields.values() if field.type != "address"][:25])
    result = run_query(
        org, f"SELECT {columns} FROM Lead WHERE LastModifiedDate >= 2020-01-01T00:00:00Z ORDER BY LastModifiedDate, Id"
    )
    found = time.process_time()
    size = sum(map(len, result.csv()))
    written = time.process_time()
    assert filled - start < 40
    assert found - filled < 2
    assert written - found < 3
    assert size > 10_000_000
