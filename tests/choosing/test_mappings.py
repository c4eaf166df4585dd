"""Mapping fields: what is shown, what a change does, and each refusal in its words."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from connector.simulator.schema import make_field
from tests.choosing.conftest import Command
from tests.connector.conftest import Site

SHAPE = 'a mapping is {"Lead": {"Company": {"to": "company", "rule": "most_recent"}}}'


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def shown(peopled: Site, command: Command) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(command(peopled, "mapping", "show", "acme", "--json"))
    return found


def companies(site: Site) -> set[str | None]:
    return {row["f_company"] for row in site.query("SELECT f_company FROM record WHERE object = 'Lead'")}


def test_objects_are_listed_with_what_is_synced(peopled: Site, command: Command) -> None:
    listed = {one["object"]: one for one in lines(command(peopled, "objects", "acme", "--json"))}
    assert listed["Lead"]["synced"]
    assert listed["Lead"]["mapped_fields"] == len(peopled.source().mapping["Lead"])
    assert not listed["Account"]["synced"]
    assert "Contact" in command(peopled, "objects", "acme")


def test_fields_are_listed_with_type_and_mapping(peopled: Site, command: Command) -> None:
    listed = {one["field"]: one for one in lines(command(peopled, "fields", "acme", "Lead", "--json"))}
    assert listed["Company"] == {
        "field": "Company",
        "label": "Company",
        "type": "string",
        "person_type": "text",
        "filterable": True,
        "formula": False,
        "mapped_to": "company",
    }
    assert listed["Address"]["person_type"] is None
    assert listed["AnnualRevenue"]["person_type"] == "number"
    assert not listed["Description"]["filterable"]


def test_a_hidden_object_has_no_fields(peopled: Site, command: Command) -> None:
    words = command(peopled, "fields", "acme", "Leed", fails=2)
    assert words == "The login cannot see an object 'Leed': `connector objects` lists those it sees."


def test_a_field_is_mapped_in_any_case_and_fills_from_future_changes(peopled: Site, command: Command) -> None:
    org = peopled.orgs["acme"]
    org.clock.advance(3600)  # so that the overlap of the next poll holds no record
    peopled.sync()
    words = command(peopled, "map", "acme", "lead.TIER__c", "tier")
    assert words == (
        "Mapped Lead.Tier__c. It fills from future changes only; for the records that are there already run: "
        "connector backfill 'acme' --fields Lead.Tier__c\n"
    )
    kept = peopled.source().mapping["Lead"]["Tier__c"]
    assert (kept["to"], kept["rule"]) == ("tier", "most_recent")
    assert datetime.fromisoformat(kept["mapped_at"]) <= datetime.now(UTC)
    edited = next(iter(org.snapshot("Lead")))
    org.update("Lead", edited, {"Title": "CEO", "Tier__c": "gold"})
    peopled.sync()
    filled = peopled.query("SELECT record_id, f_tier FROM record WHERE f_tier IS NOT NULL")
    assert [(row["record_id"], row["f_tier"]) for row in filled] == [(edited, "gold")]


def test_an_unmapped_field_is_forgotten_by_records_and_people(peopled: Site, command: Command) -> None:
    assert companies(peopled) == {"Lima Lda"}
    words = command(peopled, "unmap", "acme", "Lead.Company")
    assert words == "Unmapped Lead.Company: 30 records have forgotten what it said.\n"
    assert companies(peopled) == {None}
    assert {person["fields"]["company"] for person in peopled.people().values()} == {None}
    peopled.sync()
    assert companies(peopled) == {None}


def test_a_mapping_that_is_shown_can_be_set_again(peopled: Site, command: Command) -> None:
    before = peopled.source().mapping
    document = shown(peopled, command)
    assert document["Lead"]["Company"] == {"to": "company", "rule": "most_recent", "type": "text", "label": "Company"}
    assert command(peopled, "mapping", "set", "acme", document=document) == "Nothing has changed.\n"
    assert peopled.source().mapping == before


def test_a_whole_mapping_replaces_the_present_one(peopled: Site, command: Command) -> None:
    document = {
        "Lead": {"Company": {"to": "company"}, "Tier__c": {"to": "tier"}},
        "Contact": {"Tier__c": {"to": "tier"}},
    }
    change = json.loads(command(peopled, "mapping", "set", "acme", "--json", document=document))
    assert change["added"] == ["Lead.Tier__c", "Contact.Tier__c"]
    assert "Lead.LastName" in change["removed"]
    assert "Contact.LastName" in change["removed"]
    assert list(peopled.source().mapping["Lead"]) == ["Company", "Tier__c"]
    assert companies(peopled) == {"Lima Lda"}
    assert peopled.query("SELECT FROM record WHERE f_last_name IS NOT NULL") == []


def test_a_field_of_a_parent_can_be_mapped(peopled: Site, command: Command) -> None:
    words = command(peopled, "map", "acme", "contact.account.industry", "account_industry")
    assert words.startswith("Mapped Contact.Account.Industry.")
    assert shown(peopled, command)["Contact"]["Account.Industry"]["label"] == "Industry"


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("Lead.Tier__c", "email_permission"), 3, "Please use permissions setting to map values"),
        (("Lead.HasOptedOutOfEmail", "sms_permission"), 3, "Please use permissions setting to map values"),
        (
            ("Lead.AnnualRevenue", "company"),
            3,
            "Lead.AnnualRevenue is currency, which gives number, but the person field company holds text: map it to "
            "another person field.",
        ),
        (
            ("Lead.Tier__c", "company"),
            3,
            "Lead.Company and Lead.Tier__c cannot both fill company: unmap one, or map it to another person field.",
        ),
        (("Lead.Company", "employer"), 3, "Lead.Company is mapped to company already: unmap it first."),
        (
            ("Contact.Tier__c", "company", "--rule", "source_priority"),
            3,
            "The person field company follows the rule most_recent already: change it with `connector rule`.",
        ),
        (("Lead.Teir__c", "tier"), 2, "Lead has no field 'Teir__c' that the login can see: did you mean Tier__c?"),
        (
            ("Contact.Acount.Name", "x"),
            2,
            "Contact has no parent 'Acount' that the login can see: did you mean Account?",
        ),
        (("Lead.Address", "address"), 2, "Lead.Address (address) cannot be mapped: map its parts."),
        (("Tier__c", "tier"), 2, "'Tier__c' names no field to map: write OBJECT.FIELD, of Lead or Contact."),
        (("Account.Name", "x"), 2, "'Account.Name' names no field to map: write OBJECT.FIELD, of Lead or Contact."),
        (
            ("Lead.Tier__c", "Tier"),
            2,
            "'Tier' cannot name a person field: use lower-case letters, digits and underscores, beginning with a "
            "letter, at most 55.",
        ),
        (("Lead.Tier__c", "email"), 2, "'email' is kept by every person already: choose another person field."),
        (
            ("Lead.Tier__c", "tier", "--rule", "any_true"),
            2,
            "The rule 'any_true' does not fit tier (text): choose one of most_recent, source_priority.",
        ),
    ],
)
def test_a_field_that_cannot_be_mapped_is_refused(
    peopled: Site, command: Command, words: tuple[str, ...], code: int, sentence: str
) -> None:
    before = peopled.source().mapping
    assert command(peopled, "map", "acme", *words, fails=code) == sentence
    assert peopled.source().mapping == before


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ([], f"The mapping cannot be used: {SHAPE}."),
        ({"Leed": {}}, "There is no object 'Leed' to map: map Lead and Contact."),
        (
            {"Lead": {"Company": "company"}},
            f"The mapping of Lead.Company cannot be used: {SHAPE}.",
        ),
        (
            {"Lead": {"Company": {"to": "company", "rule": 1}}},
            "The rule of Lead.Company is a word, such as most_recent.",
        ),
        (
            {"Lead": {"Company": {"to": "company"}, "company": {"to": "employer"}}},
            "Lead.Company is mapped twice, whatever its case: keep one of the two.",
        ),
    ],
)
def test_a_mapping_file_of_another_shape_is_refused(
    peopled: Site, command: Command, document: Any, sentence: str
) -> None:
    assert command(peopled, "mapping", "set", "acme", document=document, fails=2) == sentence


def test_a_name_that_comes_twice_in_a_file_is_refused(peopled: Site, tmp_path: Path) -> None:
    file = tmp_path / "mapping.json"
    file.write_text('{"Lead": {"Company": {"to": "company"}, "Company": {"to": "employer"}}}')
    done = peopled.cli("mapping", "set", "acme", "--file", str(file))
    assert (done.returncode, done.stderr.strip()) == (
        2,
        "The file has 'Company' twice in one object: keep one of the two.",
    )


def test_a_field_that_is_not_mapped_cannot_be_unmapped(peopled: Site, command: Command) -> None:
    words = command(peopled, "unmap", "acme", "Lead.Tier__c", fails=2)
    assert words == "Lead.Tier__c is not mapped: `connector mapping show` lists what is."


def test_a_renamed_field_is_shown_as_broken_with_its_repair(peopled: Site, command: Command) -> None:
    command(peopled, "map", "acme", "Lead.Tier__c", "tier")
    peopled.orgs["acme"].rename_field("Lead", "Tier__c", "Tiers__c")
    sentence = (
        "Lead.Tier__c, mapped to tier, was renamed, deleted or hidden; its values are kept. Lead has no field "
        "'Tier__c' that the login can see: did you mean Tiers__c? Show it to the login again, or unmap Lead.Tier__c "
        "and map the field that took its place."
    )
    assert shown(peopled, command)["Lead"]["Tier__c"]["problem"] == sentence
    assert sentence in command(peopled, "mapping", "show", "acme")
    command(peopled, "unmap", "acme", "Lead.Tier__c")
    command(peopled, "map", "acme", "Lead.Tiers__c", "tier")
    assert "problem" not in shown(peopled, command)["Lead"]["Tiers__c"]


def test_a_retyped_field_is_shown_as_broken(peopled: Site, command: Command) -> None:
    command(peopled, "map", "acme", "Lead.Tier__c", "tier")
    peopled.orgs["acme"].retype_field("Lead", "Tier__c", "double", precision=18, scale=2)
    assert shown(peopled, command)["Lead"]["Tier__c"]["problem"] == (
        "Lead.Tier__c is double now, which tier (text) cannot hold; its old values are kept: unmap it and map it to "
        "another person field."
    )


def test_a_broken_mapping_holds_up_no_other(peopled: Site, command: Command) -> None:
    peopled.orgs["acme"].hide_field("Lead", "Company")
    command(peopled, "map", "acme", "Lead.Tier__c", "tier")
    assert {"Company", "Tier__c"} <= set(peopled.source().mapping["Lead"])


def test_above_a_hundred_fields_there_is_an_advice(peopled: Site, command: Command) -> None:
    document = shown(peopled, command)
    for number in range(101):
        peopled.orgs["acme"].add_field("Lead", make_field(f"Extra{number}__c", "string", length=10))
        document["Lead"][f"Extra{number}__c"] = {"to": f"extra_{number}"}
    count = sum(map(len, document.values()))
    words = command(peopled, "mapping", "set", "acme", document=document)
    advice = f"! {count} fields are mapped; above 100 reading becomes slow. Unmap the fields that nobody uses."
    assert advice in words


def test_every_kind_of_field_gives_its_type(peopled: Site, command: Command) -> None:
    org = peopled.orgs["acme"]
    kinds = {"A": "double", "B": "boolean", "C": "date", "D": "datetime", "E": "multipicklist", "F": "string"}
    for letter, kind in kinds.items():
        org.add_field("Lead", make_field(f"{letter}__c", kind))
        command(peopled, "map", "acme", f"Lead.{letter}__c", f"kind_{letter.lower()}")
    mapped = shown(peopled, command)["Lead"]
    types = [mapped[f"{letter}__c"]["type"] for letter in kinds]
    assert types == ["number", "boolean", "date", "datetime", "list", "text"]
