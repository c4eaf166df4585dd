"""Every filter that cannot be used is refused with a sentence that names the place or the field."""

import json
from pathlib import Path
from typing import Any

import pytest

from connector import filters
from connector.errors import BadInput, NeedsAttention
from connector.paths import Describes
from tests.choosing.meaning import NOW, columns, describes, make_org

ORG = make_org(rows=3)
OK = {"field": "Lead.Status", "op": "equals", "value": "Open"}


def nested(levels: int) -> Any:
    document: Any = OK
    for _ in range(levels):
        document = {"not": document}
    return document


def refusal(document: Any) -> str:
    with pytest.raises(BadInput) as refused:
        filters.check(filters.parse(json.dumps(document)), describes(ORG))
    assert refused.value.exit_code == 2
    return str(refused.value)


REFUSED = [
    json.loads(line) for line in Path(__file__).with_name("refused_filters.jsonl").read_text("utf-8").splitlines()
]
LARGE = [
    (OK | {"op": "in", "value": ["x"] * 2001}, "'in' on Lead.Status takes 1 to 2000 values, not 2001."),
    (nested(50), "The filter is nested too deep: use at most 20 levels."),
    ({"any": [OK] * 501}, "The filter has 501 conditions: use at most 500, perhaps 'in' with a list."),
    (OK | {"value": "x" * 4000}, "on Lead.Status is longer than the 4000 characters that Salesforce takes."),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case["sentence"][:60])
def test_a_filter_that_cannot_be_used_is_refused(case: dict[str, Any]) -> None:
    assert refusal(case["filter"]) == case["sentence"]


@pytest.mark.parametrize(("document", "sentence"), LARGE)
def test_a_filter_that_is_too_large_is_refused(document: Any, sentence: str) -> None:
    assert refusal(document).endswith(sentence)


@pytest.mark.parametrize("text", ["", "{", '{"all": NaN}', "[" * 100_000, "1" * 5000])
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="The filter is not readable JSON: check its brackets, quotes and commas"):
        filters.parse(text)


@pytest.mark.parametrize("text", ["null", "{}"])
def test_an_empty_document_is_no_filter(text: str) -> None:
    assert filters.parse(text) is None


def test_an_object_that_the_login_cannot_see_is_named() -> None:
    org = make_org(rows=1)
    org.hide_object("Lead")
    with pytest.raises(BadInput, match="The login cannot see Lead, which the filter asks about"):
        filters.check(filters.read(OK), describes(org))


def test_a_parent_that_the_login_cannot_see_is_named() -> None:
    org = make_org(rows=1)
    org.hide_object("Account")
    tree = filters.read(OK | {"field": "Contact.Account.Name"})
    with pytest.raises(BadInput, match=r"Contact\.Account\.Name leads to an object that the login cannot see"):
        filters.check(tree, describes(org))


def test_a_field_hidden_later_needs_attention() -> None:
    org = make_org(rows=1)
    tree = filters.read(OK)
    org.hide_field("Lead", "Status")
    with pytest.raises(
        NeedsAttention, match=r"The filter asks about Lead\.Status, which the login cannot see any more"
    ):
        filters.admission(tree, "Lead", resolved(describes(org), "Lead"), NOW)


def resolved(known: Describes, sobject: str) -> Any:
    return known.resolve(sobject, ())


def test_a_filter_that_makes_too_long_a_query_is_refused() -> None:
    document = {"any": [{"field": "Lead.LeadSource", "op": "in", "value": ["x" * 60] * 2000}]}
    with pytest.raises(BadInput, match=r"The filter makes a query of \d+ characters for Lead: shorten its lists"):
        filters.check_length(filters.read(document), columns(ORG), NOW)


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        (None, "The filter can let in Leads and Contacts."),
        (
            {"field": "object", "op": "equals", "value": "Contact"},
            'The filter admits only Contacts: Leads are left out. To include them, write {"any": [<this filter>, '
            '{"field": "object", "op": "equals", "value": "Lead"}]}, or ask about Lead fields there.',
        ),
        (
            {"field": "Lead.LeadSource", "op": "equals", "value": "Web"},
            'The filter admits only Leads: Contacts are left out. To include them, write {"any": [<this filter>, '
            '{"field": "object", "op": "equals", "value": "Contact"}]}, or ask about Contact fields there.',
        ),
        (
            {"field": "object", "op": "not_in", "value": ["Lead", "Contact"]},
            "The filter lets nothing in: every record leaves.",
        ),
    ],
)
def test_a_filter_says_which_objects_it_lets_in(document: Any, sentence: str) -> None:
    assert filters.in_words(filters.read(document), ("Lead", "Contact")) == sentence
