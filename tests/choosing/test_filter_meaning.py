"""One meaning, four ways: SOQL run by the simulator, SQL over a stage, Python on a row, and cases told by hand."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

from connector import filters
from connector.filters import to_soql
from connector.paths import Column
from connector.simulator.soql.literals import like_pattern, string_value
from tests.choosing.meaning import NOW, PATHS, canonical, columns, describes, documents, found, make_org

ORG = make_org()
COLUMNS = columns(ORG)
ROWS = {sobject: canonical(ORG, sobject) for sobject in PATHS}


@pytest.fixture(scope="module")
def stages(server_url: str) -> Iterator[psycopg.Connection[Any]]:
    """A temporary table of text for each object, as a batch is staged."""
    with psycopg.connect(server_url, autocommit=True, options="-c timezone=UTC") as connection:
        for sobject, paths in PATHS.items():
            names = [sql.Identifier(name) for name in ("Id", *paths)]
            texts = sql.SQL(", ").join(sql.SQL("{} text").format(name) for name in names)
            connection.execute(sql.SQL("CREATE TEMP TABLE {} ({})").format(sql.Identifier(sobject), texts))
            with connection.cursor() as cursor:
                marks = sql.SQL(", ").join([sql.Placeholder()] * len(names))
                cursor.executemany(
                    sql.SQL("INSERT INTO {} VALUES ({})").format(sql.Identifier(sobject), marks),
                    [[row[name] or None for name in ("Id", *paths)] for row in ROWS[sobject].values()],
                )
        yield connection


def admitted(tree: filters.Node | None, sobject: str) -> set[str]:
    return {key for key, row in ROWS[sobject].items() if filters.evaluate(tree, sobject, COLUMNS[sobject], row, NOW)}


def by_soql(tree: filters.Node | None, sobject: str) -> set[str]:
    text = filters.compiled(tree, sobject, COLUMNS[sobject], NOW)
    if isinstance(text, bool):
        return set(ROWS[sobject]) if text else set()
    return found(ORG, sobject, text)


def by_sql(stages: psycopg.Connection[Any], tree: filters.Node | None, sobject: str) -> set[str]:
    rule = filters.predicate(tree, sobject, COLUMNS[sobject], NOW)
    if isinstance(rule, bool):
        return set(ROWS[sobject]) if rule else set()
    query = sql.SQL('SELECT "Id", {} FROM {}').format(rule, sql.Identifier(sobject))
    answers = stages.execute(query).fetchall()
    assert {answer for _, answer in answers} <= {True, False}
    return {key for key, answer in answers if answer}


@given(documents(ORG))
@settings(max_examples=600, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_a_tree_means_the_same_in_soql_in_sql_and_in_python(
    stages: psycopg.Connection[Any], document: dict[str, Any]
) -> None:
    tree = filters.check(filters.read(document), describes(ORG))
    for sobject in PATHS:
        wanted = admitted(tree, sobject)
        assert by_soql(tree, sobject) == wanted
        assert by_sql(stages, tree, sobject) == wanted


@given(documents(ORG))
@settings(max_examples=100)
def test_a_tree_and_its_negation_share_out_all_rows(document: dict[str, Any]) -> None:
    tree = filters.check(filters.read(document), describes(ORG))
    inverse = filters.check(filters.read({"not": document}), describes(ORG))
    for sobject in PATHS:
        assert admitted(tree, sobject) ^ admitted(inverse, sobject) == set(ROWS[sobject])
        assert by_soql(tree, sobject) ^ by_soql(inverse, sobject) == set(ROWS[sobject])


@given(documents(ORG))
@settings(max_examples=100)
def test_a_tree_survives_being_stored(document: dict[str, Any]) -> None:
    tree = filters.read(document)
    assert filters.read(filters.dump(tree)) == tree


storable = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1)


@given(storable)
def test_any_text_comes_back_out_of_its_literal(text: str) -> None:
    assert string_value(to_soql.literal(text)) == text


@given(storable, st.booleans())
def test_any_pattern_finds_its_own_text_and_is_one_literal(text: str, anywhere: bool) -> None:
    pattern = to_soql.like_literal(text, anywhere=anywhere)
    assert like_pattern(pattern).fullmatch(text + " more")
    body = pattern[1:-1]
    assert "'" not in body.replace("\\\\", "").replace("\\'", "")


def is_(field: str, op: str, *value: Any) -> dict[str, Any]:
    return {"field": field, "op": op} | ({"value": value[0]} if value else {})


@pytest.mark.parametrize(
    ("document", "sobject", "expected"),
    [
        (is_("Lead.LeadSource", "equals", "Web"), "Lead", "LeadSource = 'Web'"),
        (is_("Lead.LeadSource", "equals", "Web"), "Contact", False),
        (is_("Contact.Note__c", "not_equals", "x"), "Lead", False),
        ({"not": is_("Contact.Note__c", "equals", "x")}, "Lead", True),
        (is_("object", "equals", "Contact"), "Contact", True),
        (is_("object", "equals", "Contact"), "Lead", False),
        (is_("object", "not_in", ["Contact"]), "Lead", True),
        (
            {"all": [is_("object", "equals", "Lead"), is_("Lead.LeadSource", "in", ["Web", "O'X"])]},
            "Lead",
            "LeadSource IN ('Web', 'O\\'X')",
        ),
        (
            {"any": [is_("object", "equals", "Contact"), is_("Lead.LeadSource", "equals", "Web")]},
            "Contact",
            True,
        ),
        (
            {
                "all": [
                    is_("Contact.Vip__c", "equals", True),
                    {"any": [is_("Contact.Score__c", "at_least", 2), is_("Contact.Note__c", "is_empty")]},
                ]
            },
            "Contact",
            "(Vip__c = true AND (Score__c >= 2 OR Note__c = null))",
        ),
        (
            {"not": {"any": [is_("Contact.Score__c", "greater_than", 2.5), is_("Contact.Note__c", "contains", "50%")]}},
            "Contact",
            "((Score__c <= 2.5 OR Score__c = null) AND ((NOT Note__c LIKE '%50\\%%') OR Note__c = null))",
        ),
        (is_("Contact.Account.Vip__c", "equals", False), "Contact", "(Account.Vip__c = false OR Account.Id = null)"),
        (is_("Contact.Account.Name", "not_equals", "x"), "Contact", "(Account.Name != 'x' OR Account.Name = null)"),
        (is_("Contact.Interests__c", "includes", ["a;A b", "é"]), "Contact", "Interests__c INCLUDES ('a;A b', 'é')"),
        (
            is_("Contact.Interests__c", "excludes", "a"),
            "Contact",
            "(Interests__c EXCLUDES ('a') OR Interests__c = null)",
        ),
        (
            is_("Contact.Met_At__c", "within_last_days", 30),
            "Contact",
            "(Met_At__c >= 2026-10-02T12:00:00Z AND Met_At__c <= 2026-11-02T02:00:00Z)",
        ),
        (
            is_("Contact.Since__c", "within_last_days", 1),
            "Contact",
            "(Since__c >= 2026-10-31 AND Since__c <= 2026-11-02)",
        ),
        (is_("Contact.AccountId", "equals", "001M000000qfPyS"), "Contact", "AccountId = '001M000000qfPySIAU'"),
        (
            is_("Contact.Met_At__c", "less_than", "2026-10-01T09:00:00+02:00"),
            "Contact",
            "Met_At__c < 2026-10-01T07:00:00Z",
        ),
        (is_("contact.NOTE__C", "starts_with", "a_"), "Contact", "Note__c LIKE 'a\\_%'"),
    ],
)
def test_a_tree_compiles_to_this(document: dict[str, Any], sobject: str, expected: str | bool) -> None:
    tree = filters.check(filters.read(document), describes(ORG))
    assert filters.compiled(tree, sobject, COLUMNS[sobject], NOW) == expected


@pytest.mark.parametrize(
    ("text", "op", "value", "expected"),
    [
        ("", "equals", "x", False),
        ("", "not_equals", "x", True),
        ("", "not_contains", "x", True),
        ("", "not_in", ["x"], True),
        ("", "contains", "x", False),
        ("ACME", "equals", "acme", True),
        ("ACME", "in", ["x", "acme"], True),
        ("50% off", "contains", "0% O", True),
        ("50 off", "contains", "0% O", False),
    ],
)
def test_text_is_compared_like_this(text: str, op: str, value: Any, expected: bool) -> None:
    tree = filters.read(is_("Contact.Note__c", op, value))
    assert filters.evaluate(tree, "Contact", COLUMNS["Contact"], {"Note__c": text}, NOW) is expected


def test_a_case_sensitive_field_is_compared_exactly() -> None:
    exact = {"Note__c": Column("Note__c", "string", exact=True)}
    tree = filters.read(is_("Contact.Note__c", "equals", "acme"))
    assert not filters.evaluate(tree, "Contact", exact, {"Note__c": "ACME"}, NOW)


def test_a_long_list_stays_within_the_limits_of_a_statement() -> None:
    tree = filters.read(is_("Contact.Note__c", "in", [f"value {number}" for number in range(2000)]))
    text = filters.compiled(tree, "Contact", COLUMNS["Contact"], NOW)
    assert isinstance(text, str)
    assert len(text) < filters.MAX_STATEMENT
    assert found(ORG, "Contact", text) == set()
    assert filters.admission(tree, "Contact", COLUMNS["Contact"], NOW).condition == ""
