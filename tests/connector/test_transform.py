"""What a row means: the fields that are read, their types, and one canonical form whichever way a row came."""

import csv
import io
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import pytest

from cdp.fields import Field
from cdp.records import Consent
from connector import transform
from connector.errors import NeedsAttention
from connector.objects import CONTACT, LEAD, OBJECTS
from connector.simulator.people import AWKWARD_TEXTS
from connector.simulator.population import populate
from tests.connector.conftest import Site

TYPES = {
    **dict.fromkeys(("Id", "MasterRecordId", "ConvertedContactId"), "reference"),
    **dict.fromkeys(("CreatedDate", "LastModifiedDate", "SystemModstamp", "Signed_Up__c"), "datetime"),
    **dict.fromkeys(("IsDeleted", "IsConverted", "HasOptedOutOfEmail", "Vip__c"), "boolean"),
    "Email": "email",
    "LastName": "string",
    "Company": "string",
    "Status": "picklist",
    "Score__c": "double",
    "NumberOfEmployees": "int",
    "AnnualRevenue": "currency",
    "Chance__c": "percent",
    "Birthday__c": "date",
    "Interests__c": "multipicklist",
    "Notes__c": "textarea",
    "Address": "address",
}
EVERYTHING = {
    "Status": {"to": "status"},
    "Score__c": {"to": "score"},
    "Interests__c": {"to": "interests"},
    "Vip__c": {"to": "vip"},
    "Signed_Up__c": {"to": "signed_up"},
    "Birthday__c": {"to": "birthday"},
    "Notes__c": {"to": "notes"},
    "LastName": {"to": "last_name"},
    "FirstName": {"to": "first_name"},
    "Title": {"to": "title"},
    "AnnualRevenue": {"to": "revenue"},
}


def plan(mapping: Mapping[str, Any], types: Mapping[str, str] = TYPES, **permissions: Any) -> transform.Plan:
    return transform.plan(LEAD, types, mapping, permissions)


@pytest.mark.parametrize(
    ("field", "kind"),
    [
        ("Status", "text"),
        ("Notes__c", "text"),
        ("Email", "text"),
        ("Score__c", "number"),
        ("NumberOfEmployees", "number"),
        ("AnnualRevenue", "number"),
        ("Chance__c", "number"),
        ("Vip__c", "boolean"),
        ("Birthday__c", "date"),
        ("Signed_Up__c", "datetime"),
        ("Interests__c", "list"),
    ],
)
def test_a_salesforce_type_gives_a_person_field_its_type(field: str, kind: str) -> None:
    assert transform.person_field(field, {"to": "x"}, TYPES) == Field("x", kind, "most_recent")


def test_what_every_record_needs_is_read_and_a_mapped_field_once_more() -> None:
    made = plan({"Company": {"to": "company"}, "Email": {"to": "address"}})
    assert made.fields == (
        *("Id", "IsDeleted", "CreatedDate", "LastModifiedDate", "SystemModstamp", "Email", "MasterRecordId"),
        *("IsConverted", "ConvertedContactId", "Company"),
    )
    assert dict(made.layout.fields) == {Field("company"): "Company", Field("address"): "Email"}
    assert made.missing == ()


def test_a_hidden_field_is_left_out_and_named() -> None:
    made = plan({"Company": {"to": "company"}, "Secret__c": {"to": "secret"}})
    assert "Secret__c" not in made.fields
    assert dict(made.layout.fields) == {Field("company"): "Company"}
    assert made.missing == ("Secret__c",)


@pytest.mark.parametrize("hidden", ["Email", "MasterRecordId", "ConvertedContactId", "IsConverted"])
def test_a_hidden_fixed_field_that_is_not_vital_is_left_out(hidden: str) -> None:
    made = plan({}, {name: kind for name, kind in TYPES.items() if name != hidden})
    assert hidden not in made.fields


@pytest.mark.parametrize("hidden", ["Id", "IsDeleted", "CreatedDate", "LastModifiedDate"])
def test_a_hidden_vital_field_needs_attention(hidden: str) -> None:
    with pytest.raises(NeedsAttention, match=f"cannot see Lead.{hidden}") as caught:
        plan({}, {name: kind for name, kind in TYPES.items() if name != hidden})
    assert caught.value.code == "field_hidden"


def test_without_a_system_stamp_the_modification_tells_versions_apart() -> None:
    made = plan({}, {name: kind for name, kind in TYPES.items() if name != "SystemModstamp"})
    assert made.layout.fixed["version_at"] == "LastModifiedDate"


def test_a_checkbox_answers_both_ways_and_a_text_only_what_is_listed() -> None:
    made = plan(
        {},
        email={"Lead": {"field": "HasOptedOutOfEmail", "no": [True]}, "Contact": {"field": "Other"}},
        sms={"Lead": {"field": "Status", "yes": ["Open"], "no": ["Closed", 7]}},
    )
    assert made.layout.consent == MappingProxyType(
        {
            "email": Consent("HasOptedOutOfEmail", no=frozenset({"true"}), complement=True),
            "sms": Consent("Status", yes=frozenset({"Open"}), no=frozenset({"Closed", "7"})),
        }
    )
    assert "Status" in made.fields


def test_consent_in_a_hidden_field_or_of_another_object_is_left_out() -> None:
    hidden = {"Lead": {"field": "Hidden__c", "no": [True]}}
    elsewhere = {"Contact": {"field": "HasOptedOutOfEmail", "no": [True]}}
    assert not plan({}, email=hidden, sms=elsewhere).layout.consent


def test_a_source_starts_with_what_its_user_may_see() -> None:
    seen = {"FirstName": "string", "MailingCity": "string", "Company": "string"}
    assert transform.default_mapping(CONTACT, seen) == {
        "FirstName": {"to": "first_name", "rule": "most_recent"},
        "MailingCity": {"to": "city", "rule": "most_recent"},
    }


def test_a_source_starts_with_the_opt_out_of_salesforce_even_where_it_is_hidden() -> None:
    assert transform.default_consent(CONTACT) == {"field": "HasOptedOutOfEmail", "no": [True]}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (1000.0, "1000.0"),
        ("NULL", "NULL"),
        (" ", " "),
        ("007", "007"),
    ],
)
def test_a_json_value_reads_as_in_bulk(value: object, text: str) -> None:
    assert transform.text(value) == text


def test_rows_of_json_become_lines_of_csv() -> None:
    records = [
        {"Id": "1", "Name": 'a "b",\r\nc', "Account": {"Owner": {"Name": "Ana"}}},
        {"Id": "2", "Name": None, "Account": None},
    ]
    text = transform.csv_rows(("Id", "Name", "Account.Owner.Name"), records).decode()
    assert text == '"1","a ""b"",\r\nc","Ana"\n"2","",""\n'
    assert list(csv.reader(io.StringIO(text, newline=""))) == [["1", 'a "b",\r\nc', "Ana"], ["2", "", ""]]


def fill(site: Site) -> int:
    """Give acme people of all kinds and every awkward text in every text field; return how many rows there are."""
    org = site.orgs["acme"]
    populate(org, leads=150, contacts=150, seed=3)
    org.insert_many("Lead", [_awkward(text) for text in AWKWARD_TEXTS])
    org.insert("Lead", {"LastName": "Big", "Company": "x", "AnnualRevenue": 999_999_999_999_999.99, "Score__c": -0.01})
    org.delete("Lead", next(iter(org.snapshot("Lead"))))
    site.connect()
    site.change(mapping={"Lead": EVERYTHING, "Contact": _known(EVERYTHING, "AnnualRevenue")})
    return sum(len(org.snapshot(name)) for name in OBJECTS if name != "OpportunityStage")  # settings do not count


def _awkward(text: str) -> dict[str, Any]:
    long = {"Title": text, "Notes__c": text, "FirstName": text[:40], "Email": text[:80]}
    return {"LastName": text if text.strip() else "x", "Company": "x", **long}


def _known(mapping: Mapping[str, Any], *but: str) -> dict[str, Any]:
    return {name: target for name, target in mapping.items() if name not in but}


@pytest.mark.parametrize("order", [("rest", "bulk"), ("bulk", "rest")])
def test_a_row_is_the_same_record_through_rest_and_through_bulk(make_site: Any, order: Sequence[str]) -> None:
    sites = {"rest": make_site(bulk_threshold=10**6), "bulk": make_site(bulk_threshold=0)}
    first, second = (sites[name] for name in order)
    rows = fill(first)
    before = first.sync()
    assert (before["read"], before["written"], before["quarantined"]) == (rows, rows, 0)
    assert (first.asked("/jobs/query") > 0) is (order[0] == "bulk")
    stored = first.stored()
    first.forget_cursors()
    again = second.sync()
    assert (again["read"], again["written"], again["skipped"]) == (rows, 0, rows)
    assert first.asked("/jobs/query") > 0
    assert second.stored() == stored


def test_values_arrive_unchanged(make_site: Any) -> None:
    site = make_site(bulk_threshold=0)
    org = site.orgs["acme"]
    fill(site)
    site.sync()
    truth = {record_id: row for kind in ("Lead", "Contact") for record_id, row in org.snapshot(kind).items()}
    for row in site.stored():
        expected = truth[row["record_id"]]
        for field, name in {"Title": "title", "Notes__c": "notes", "FirstName": "first_name"}.items():
            assert row[f"f_{name}"] == (expected[field] or None)
        assert row["email"] == (expected["Email"] or None)
        assert row["f_vip"] is expected["Vip__c"]
        assert row["f_birthday"] == expected["Birthday__c"]
        assert row["f_signed_up"] == expected["Signed_Up__c"]
        assert row["f_interests"] == (expected["Interests__c"].split(";") if expected["Interests__c"] else None)
        assert float(row["f_score"] or 0) == (expected["Score__c"] or 0)
        assert row["email_permission"] is not expected["HasOptedOutOfEmail"]
