"""Permissions: which fields answer, what is refused, and that an opt-out applies on the next poll."""

import json
from typing import Any

import pytest

from connector.simulator.schema import make_field
from tests.choosing.conftest import Command
from tests.connector.conftest import Site

OPT_OUT = {"field": "HasOptedOutOfEmail", "no": [True]}
SHAPE = 'permissions are {"email": {"Lead": {"field": "HasOptedOutOfEmail", "no": [true]}}, "sms": {…}}'


def answers(site: Site, channel: str, sobject: str = "Lead") -> set[bool | None]:
    rows = site.query(f"SELECT {channel}_permission AS answer FROM record WHERE object = '{sobject}'")  # type: ignore[arg-type]
    return {row["answer"] for row in rows}


def test_the_opt_out_field_of_salesforce_answers_by_default(peopled: Site, command: Command) -> None:
    shown = json.loads(command(peopled, "permission", "show", "acme", "--json"))
    assert shown == {"email": {"Contact": OPT_OUT, "Lead": OPT_OUT}}
    assert answers(peopled, "email") == {True}


def test_what_is_shown_can_be_set_again(peopled: Site, command: Command) -> None:
    document = json.loads(command(peopled, "permission", "show", "acme", "--json"))
    words = command(peopled, "permission", "set", "acme", document=document)
    assert words == (
        "The permissions are set; 0 answers of objects that are not asked any more are forgotten. Records that change "
        "are asked anew from the next poll on, so opt-outs apply then; the others keep their answers until all is read "
        "again: connector sync 'acme' --full\n"
    )
    assert peopled.source().permissions == {"email": {"Lead": OPT_OUT, "Contact": OPT_OUT}}


def test_an_opt_out_by_picklist_applies_on_the_next_poll(peopled: Site, command: Command) -> None:
    org = peopled.orgs["acme"]
    org.add_field("Lead", make_field("Texts__c", "picklist", length=40, values=("100% yes", "no way")))
    rule = {"field": "texts__C", "yes": ["100% yes"], "no": ["no way"]}
    command(peopled, "permission", "set", "acme", document={"email": {"Lead": OPT_OUT}, "sms": {"Lead": rule}})
    peopled.sync()
    first, second, *_ = org.snapshot("Lead")
    org.update("Lead", first, {"Texts__c": "no way"})
    org.update("Lead", second, {"Texts__c": "100% yes"})
    peopled.sync()
    assert peopled.record(first)["sms_permission"] is False
    assert peopled.record(second)["sms_permission"] is True
    people = {person["records"][0]["record_id"]: person for person in peopled.people().values()}
    assert people[first]["permissions"]["sms"] is False


def test_an_object_that_is_not_asked_any_more_has_no_answers(peopled: Site, command: Command) -> None:
    words = command(peopled, "permission", "set", "acme", document={"email": {"Contact": OPT_OUT}})
    assert "30 answers of objects that are not asked any more are forgotten" in words
    assert answers(peopled, "email") == {None}
    assert answers(peopled, "email", "Contact") == {True}


def test_a_hidden_opt_out_field_is_shown_with_its_repair(peopled: Site, command: Command) -> None:
    peopled.orgs["acme"].hide_field("Lead", "HasOptedOutOfEmail")
    assert (
        "Lead.HasOptedOutOfEmail cannot be read, so new email opt-outs are not known: give the user read access to the "
        "field, or set the permission mapping to another one."
    ) in command(peopled, "permission", "show", "acme")


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ([], f"The permissions cannot be used: {SHAPE}."),
        ({"email": []}, f"The permissions cannot be used: {SHAPE}."),
        ({"fax": {}}, "There is no channel 'fax': permissions are for email and sms."),
        ({"email": {"Leed": OPT_OUT}}, "There is no object 'Leed' with permissions: use Lead and Contact."),
        ({"email": {"Lead": "yes"}}, f"The email permission of Lead cannot be used: {SHAPE}."),
        ({"email": {"Lead": OPT_OUT | {"maybe": []}}}, f"The email permission of Lead cannot be used: {SHAPE}."),
        (
            {"email": {"Contact": {"field": "ReportsTo.HasOptedOutOfEmail", "no": [True]}}},
            "Contact.ReportsTo.HasOptedOutOfEmail cannot drive consent: a parent's change would not be seen in time, "
            "so use an own field.",
        ),
        (
            {"email": {"Lead": {"field": "HasOptedOut", "no": [True]}}},
            "Lead has no field 'HasOptedOut' that the login can see: did you mean HasOptedOutOfFax?",
        ),
        (
            {"email": {"Lead": {"field": "HasOptedOutOfEmail"}}},
            "Say which values of Lead.HasOptedOutOfEmail mean yes or no: lists under 'yes' and 'no', one of them not "
            "empty.",
        ),
        (
            {"email": {"Lead": OPT_OUT | {"no": ["true"]}}},
            "The values of Lead.HasOptedOutOfEmail (boolean) are true and false.",
        ),
        (
            {"email": {"Lead": {"field": "Status", "no": [True]}}},
            "The values of Lead.Status (picklist) are texts in quotes.",
        ),
        (
            {"email": {"Lead": {"field": "AnnualRevenue", "no": [0]}}},
            "Lead.AnnualRevenue (currency) cannot drive consent: only a checkbox can, or a picklist or text whose "
            "values are mapped to yes and no.",
        ),
        (
            {"email": {"Lead": {"field": "Status", "no": ["a"], "yes": ["a", "b"]}}},
            "The value 'a' of Lead.Status cannot mean both yes and no.",
        ),
    ],
)
def test_permissions_that_cannot_be_used_are_refused(
    peopled: Site, command: Command, document: Any, sentence: str
) -> None:
    before = peopled.source().permissions
    assert command(peopled, "permission", "set", "acme", document=document, fails=2) == sentence
    assert peopled.source().permissions == before
