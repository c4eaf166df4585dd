"""SOQL: what queries find, how results look, and each refusal in the org's own words."""

import csv
import io
import string
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.simulator.clock import Clock
from connector.simulator.errors import ApiError
from connector.simulator.org import Org
from connector.simulator.query import check_bulk, run_query
from connector.simulator.soql import relative
from connector.simulator.soql.literals import quote, string_value
from connector.simulator.soql.parser import parse

NOON = datetime(2026, 10, 1, 12, tzinfo=UTC)
PEOPLE: list[dict[str, Any]] = [
    {"LastName": "Lima", "Email": "ANA@x.pt", "Score__c": 1.5, "Interests__c": "Music;Travel", "Vip__c": True},
    {"LastName": "lima", "Email": "rui@x.pt", "Score__c": 20, "Interests__c": "Food", "Rating": "Hot"},
    {"LastName": "Øre", "Email": None, "Score__c": None, "Rating": "Cold", "Birthday__c": date(2000, 2, 29)},
    {"LastName": "50%_x", "Email": "o'neil\\@x.pt", "Score__c": -3, "Signed_Up__c": NOON, "Title": "two\nlines"},
]


@pytest.fixture(scope="module")
def org() -> Org:
    org = Org("acme", clock=Clock(NOON))
    for person in PEOPLE:
        org.insert("Lead", {"Company": "Lima Lda"} | person)
        org.clock.advance(60)
    account = org.insert("Account", {"Name": "Acme", "Industry": "Energy"})
    ana = org.insert("Contact", {"LastName": "Ana", "AccountId": account, "Email": "a@x.pt"})
    org.insert("Contact", {"LastName": "Rui", "ReportsToId": ana})
    campaign = org.insert("Campaign", {"Name": "Spring"})
    org.insert("CampaignMember", {"CampaignId": campaign, "ContactId": ana, "Status": "Responded"})
    lead = run_query(org, "SELECT Id FROM Lead LIMIT 1").rows[0]
    org.insert("CampaignMember", {"CampaignId": campaign, "LeadId": lead})
    deal = {"Name": "Deal", "StageName": "Closed Won", "CloseDate": date(2026, 12, 1), "Amount": 100}
    org.insert("Opportunity", deal | {"CampaignId": campaign, "AccountId": account, "ContactId": ana})
    return org


def names(org: Org, where: str) -> list[str]:
    result = run_query(org, f"SELECT LastName FROM Lead WHERE {where}")
    return [record["LastName"] for record in result.json_records()]


def records(org: Org, soql: str, **options: Any) -> list[dict[str, Any]]:
    return run_query(org, soql, **options).json_records()


def shown(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name != "attributes"}


LIMA, RUI, ORE, ODD = (person["LastName"] for person in PEOPLE)


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ("LastName = 'LIMA'", [LIMA, RUI]),
        ("lastname != 'lima'", [ORE, ODD]),
        ("LastName <> 'lima'", [ORE, ODD]),
        ("Lead.LastName = 'øre'", [ORE]),
        ("Email = null", [ORE]),
        ("Email = ''", [ORE]),
        ("Email != null", [LIMA, RUI, ODD]),
        ("Email != 'ana@x.pt'", [RUI, ORE, ODD]),
        ("NOT Email = 'ana@x.pt'", [RUI, ORE, ODD]),
        (r"Email = 'o\'neil\\@x.pt'", [ODD]),
        (r"Title = 'two\nlines'", [ODD]),
        (r"LastName = '\u00d8re'", [ORE]),
        ("Score__c > 1", [LIMA, RUI]),
        ("Score__c < 1", [ODD]),
        ("Score__c >= 20.0", [RUI]),
        ("Score__c <= -3", [ODD]),
        ("Score__c = 1.5e0", [LIMA]),
        ("Score__c IN (1.5, 20)", [LIMA, RUI]),
        ("Score__c NOT IN (1.5, 20)", [ORE, ODD]),
        ("LastName LIKE 'LI%'", [LIMA, RUI]),
        ("LastName LIKE '_ima'", [LIMA, RUI]),
        (r"LastName LIKE '50\%\_x'", [ODD]),
        (r"LastName LIKE '%\_y'", []),
        ("Email LIKE '%'", [LIMA, RUI, ODD]),
        ("NOT (Email LIKE '%')", [ORE]),
        ("Interests__c INCLUDES ('music')", [LIMA]),
        ("Interests__c INCLUDES ('Music;Food', 'Food')", [RUI]),
        ("Interests__c INCLUDES ('Travel;Music')", [LIMA]),
        ("Interests__c EXCLUDES ('Music', 'Food')", [ORE, ODD]),
        ("Vip__c = TRUE", [LIMA]),
        ("Vip__c = null", [RUI, ORE, ODD]),
        ("Vip__c != true AND Rating = null", [ODD]),
        ("Birthday__c = 2000-02-29", [ORE]),
        ("Birthday__c < 2000-03-01", [ORE]),
        ("Signed_Up__c = 2026-10-01T14:00:00+02:00", [ODD]),
        ("Signed_Up__c = 2026-10-01T12:00:00.999Z", [ODD]),
        ("CreatedDate > 2026-10-01T12:01:00Z", [ORE, ODD]),
        ("CreatedDate >= 2026-10-01T12:01:00Z AND CreatedDate < 2026-10-01T12:02:00Z", [RUI]),
        ("CreatedDate = TODAY", [LIMA, RUI, ORE, ODD]),
        ("CreatedDate < TODAY", []),
        ("CreatedDate > YESTERDAY", [LIMA, RUI, ORE, ODD]),
        ("Signed_Up__c = LAST_N_DAYS:1", [ODD]),
        ("Signed_Up__c != TODAY", [LIMA, RUI, ORE]),
        ("(Rating = 'Hot' OR Rating = 'Cold') AND Email != null", [RUI]),
        ("Rating = 'Hot' OR (Rating = 'Cold' AND (NOT Email = null))", [RUI]),
        ("Rating IN ('hot', null)", [LIMA, RUI, ODD]),
        ("Id IN (SELECT LeadId FROM CampaignMember WHERE HasResponded = false)", [LIMA]),
        ("Id NOT IN (SELECT LeadId FROM CampaignMember)", [RUI, ORE, ODD]),
        ("Owner.Name = 'integration user' AND Owner.Type = 'User' AND LastName = 'Øre'", [ORE]),
        ("Address != null", None),
        ("MasterRecord.Name = null", [LIMA, RUI, ORE, ODD]),
    ],
)
def test_where(org: Org, where: str, found: list[str] | None) -> None:
    if found is None:
        with pytest.raises(ApiError, match="can not be filtered"):
            names(org, where)
    else:
        assert names(org, where) == found


def test_ids_compare_as_text_and_in_both_lengths(org: Org) -> None:
    first, second, *_ = run_query(org, "SELECT Id FROM Lead ORDER BY Id").rows
    assert names(org, f"Id = '{first[:15]}'") == names(org, f"Id = '{first}'") == [LIMA]
    assert names(org, f"Id > '{first}'") == [RUI, ORE, ODD]
    assert names(org, f"Id IN ('{second}', '{first}') AND Score__c > 2") == [RUI]
    assert names(org, "OwnerId = null") == []


def test_keyset_resume_visits_each_row_once(org: Org) -> None:
    visited: list[str] = []
    where = ""
    while found := run_query(org, f"SELECT Id FROM Lead {where} ORDER BY LastModifiedDate, Id LIMIT 1").rows:
        visited += found
        stamp = org.row("Lead", found[0])["LastModifiedDate"].strftime("%Y-%m-%dT%H:%M:%SZ")
        where = f"WHERE (LastModifiedDate > {stamp}) OR (LastModifiedDate = {stamp} AND Id > '{found[0]}')"
    assert visited == list(run_query(org, "SELECT Id FROM Lead ORDER BY Id").rows)


@pytest.mark.parametrize(
    ("order", "found"),
    [
        ("Score__c", [ORE, ODD, LIMA, RUI]),
        ("Score__c NULLS LAST", [ODD, LIMA, RUI, ORE]),
        ("Score__c DESC", [ORE, RUI, LIMA, ODD]),
        ("Score__c DESC NULLS LAST", [RUI, LIMA, ODD, ORE]),
        ("LastName, Score__c DESC", [ODD, RUI, LIMA, ORE]),
        ("CreatedDate DESC LIMIT 2", [ODD, ORE]),
        ("CreatedDate LIMIT 2 OFFSET 1", [RUI, ORE]),
        ("CreatedDate LIMIT 0", []),
    ],
)
def test_order_limit_offset(org: Org, order: str, found: list[str]) -> None:
    assert [record["LastName"] for record in records(org, f"SELECT LastName FROM Lead ORDER BY {order}")] == found


def test_json_has_parents_and_canonical_names(org: Org) -> None:
    with_account, without = records(org, "select id, account.OWNER.name, Account.name from contact c order by c.Id")
    account = with_account["Account"]
    assert with_account["attributes"]["type"] == "Contact"
    assert with_account["attributes"]["url"] == f"/services/data/v66.0/sobjects/Contact/{with_account['Id']}"
    assert account["attributes"]["type"] == "Account"
    assert (account["Name"], account["Owner"]["Name"]) == ("Acme", "Integration User")
    assert shown(without) == {"Id": without["Id"], "Account": None}
    assert run_query(org, "select id, account.OWNER.name from contact").columns == ["Id", "Account.Owner.Name"]


def test_json_values(org: Org) -> None:
    (record,) = records(
        org, "SELECT CreatedDate, Birthday__c, Vip__c, Score__c, Address FROM Lead WHERE LastName = 'Øre'"
    )
    expected = {"CreatedDate": "2026-10-01T12:02:00.000+0000", "Birthday__c": "2000-02-29", "Vip__c": False}
    assert shown(record) == expected | {"Score__c": None, "Address": None}


def test_polymorphic_parents(org: Org) -> None:
    soql = "SELECT LeadOrContact.Name, LeadOrContact.Type, Lead.Name, Contact.Name FROM CampaignMember ORDER BY Id"
    contact, lead = records(org, soql)
    assert contact["LeadOrContact"]["attributes"]["type"] == "Name"
    assert shown(contact["LeadOrContact"]) == {"Name": "Ana", "Type": "Contact"}
    assert contact["Lead"] is None
    assert shown(lead["LeadOrContact"]) == {"Name": "Lima", "Type": "Lead"}


def test_child_subquery(org: Org) -> None:
    soql = "SELECT Name, (SELECT LastName FROM Contacts WHERE Email != null ORDER BY Id LIMIT 1) FROM Account"
    (account,) = records(org, soql)
    assert account["Contacts"]["totalSize"] == 1
    assert account["Contacts"]["done"] is True
    assert account["Contacts"]["records"][0]["LastName"] == "Ana"
    assert records(org, "SELECT Id, (SELECT Id FROM ChildAccounts) FROM Account")[0]["ChildAccounts"] is None


def test_mirrors_and_statistics(org: Org) -> None:
    members = records(org, "SELECT Email, CompanyOrAccount, HasOptedOutOfEmail FROM CampaignMember ORDER BY Id")
    assert [shown(member) for member in members] == [
        {"Email": "a@x.pt", "CompanyOrAccount": "Acme", "HasOptedOutOfEmail": False},
        {"Email": "ANA@x.pt", "CompanyOrAccount": "Lima Lda", "HasOptedOutOfEmail": False},
    ]
    (campaign,) = records(
        org, "SELECT NumberOfLeads, NumberOfContacts, NumberOfResponses, AmountWonOpportunities FROM Campaign"
    )
    assert list(shown(campaign).values()) == [1, 1, 1, 100.0]


def test_fields_functions(org: Org) -> None:
    standard = run_query(org, "SELECT FIELDS(STANDARD) FROM Lead").columns
    every = run_query(org, "SELECT FIELDS(ALL) FROM Lead LIMIT 200").columns
    custom = run_query(org, "SELECT FIELDS(CUSTOM), Id FROM Lead LIMIT 1").columns
    assert set(every) == set(org.objects["Lead"].fields) == {*standard, *custom}
    assert "Region__c" not in standard


def test_count(org: Org) -> None:
    result = run_query(org, "SELECT COUNT() FROM Lead WHERE Email != null")
    assert (result.kind, result.total, result.json_records()) == ("count", 3, [])
    assert run_query(org, "SELECT count() FROM Lead LIMIT 2").total == 2


def test_aggregates(org: Org) -> None:
    calls = "COUNT(Id), COUNT(Score__c) n, MIN(Score__c) low, MAX(CreatedDate), SUM(Score__c), AVG(Score__c)"
    (result,) = records(org, f"SELECT {calls} FROM Lead")
    assert result == {
        "attributes": {"type": "AggregateResult"},
        "expr0": 4,
        "n": 3,
        "low": -3.0,
        "expr1": "2026-10-01T12:03:00.000+0000",
        "expr2": 18.5,
        "expr3": pytest.approx(18.5 / 3),
    }
    assert shown(records(org, "SELECT COUNT(Id), MAX(Score__c) FROM Lead WHERE Id = null")[0]) == {
        "expr0": 0,
        "expr1": None,
    }


def test_group_by(org: Org) -> None:
    groups = records(org, "SELECT LastName, COUNT(Id) n FROM Lead GROUP BY LastName ORDER BY COUNT(Id) DESC, LastName")
    assert [(group["LastName"], group["n"]) for group in groups] == [("Lima", 2), ("50%_x", 1), ("Øre", 1)]
    (group,) = records(org, "SELECT Account.Name, COUNT(Id) FROM Contact WHERE AccountId != null GROUP BY Account.Name")
    assert shown(group) == {"Name": "Acme", "expr0": 1}


NO_FIELD = "If you are attempting to use a custom field"
REFUSALS = [
    ("SELECT Foo__c FROM Lead", "INVALID_FIELD", "No such column 'Foo__c' on entity 'Lead'. " + NO_FIELD, 8),
    ("SELECT Id FROM Lead WHERE Foo = 1", "INVALID_FIELD", "No such column 'Foo' on entity 'Lead'.", 27),
    ("SELECT Id, Foo.Name FROM Lead", "INVALID_FIELD", "Didn't understand relationship 'Foo' in field path.", 12),
    ("SELECT Owner.City FROM Lead", "INVALID_FIELD", "No such column 'City' on entity 'Name'.", 8),
    ("SELECT Id FROM Foo", "INVALID_TYPE", "sObject type 'Foo' is not supported.", 16),
    ("SELECT Id, (SELECT Id FROM Foos) FROM Lead", "INVALID_TYPE", "Didn't understand relationship 'Foos'", 28),
    ("SELECT Id, id FROM Lead", "INVALID_FIELD", "duplicate field selected: Id", 12),
    ("SELECT Id FROM Lead WHERE Notes__c = 'x'", "INVALID_FIELD", "field 'Notes__c' can not be filtered", 27),
    ("SELECT Id FROM Lead ORDER BY Interests__c", "INVALID_FIELD", "field 'Interests__c' can not be sorted", 30),
    ("SELECT COUNT(Id) FROM Lead GROUP BY CreatedDate", "INVALID_FIELD", "field 'CreatedDate' can not be grouped", 37),
    ("SELECT Id FROM Lead WHERE Email = 5", "INVALID_FIELD", "must be of type string and should be enclosed", 27),
    ("SELECT Id FROM Lead WHERE Score__c = '5'", "INVALID_FIELD", "must be of type double and should not be", 27),
    ("SELECT Id FROM Lead WHERE Vip__c = 1", "INVALID_FIELD", "must be of type boolean", 27),
    ("SELECT Id FROM Lead WHERE CreatedDate > 2026-10-01", "INVALID_FIELD", "must be of type dateTime", 27),
    ("SELECT Id FROM Lead WHERE Birthday__c > 2026-10-01T00:00:00Z", "INVALID_FIELD", "must be of type date and", 27),
    ("SELECT Id FROM Lead WHERE Email = TODAY", "INVALID_FIELD", "must be of type string", 27),
    ("SELECT Id FROM Lead WHERE Email LIKE null", "INVALID_FIELD", "must be of type string", 27),
    ("SELECT Id FROM Lead WHERE Id LIKE '00Q%'", "INVALID_QUERY_FILTER_OPERATOR", "invalid operator on id field", 27),
    ("SELECT Id FROM Lead WHERE Id = '123'", "INVALID_QUERY_FILTER_OPERATOR", "invalid ID field: 123", 27),
    ("SELECT Id FROM Lead WHERE Vip__c > true", "INVALID_QUERY_FILTER_OPERATOR", "invalid operator on boolean", 27),
    ("SELECT Id FROM Lead WHERE Score__c > null", "INVALID_QUERY_FILTER_OPERATOR", "invalid operator on double", 27),
    (
        "SELECT Id FROM Lead WHERE Email INCLUDES ('a')",
        "INVALID_QUERY_FILTER_OPERATOR",
        "invalid operator on email",
        27,
    ),
    (
        "SELECT Id FROM Lead WHERE City = 'a' AND City = 'b' OR City = 'c'",
        "MALFORMED_QUERY",
        "unexpected token: 'OR'",
        53,
    ),
    ("SELECT Id FROM Lead WHERE NOT City = 'a' AND City = 'b'", "MALFORMED_QUERY", "unexpected token: 'AND'", 42),
    ("SELECT Id FROM Lead WHERE", "MALFORMED_QUERY", "unexpected token: '<EOF>'", 26),
    ("SELECT Id FROM Lead WHRE City = 'a'", "MALFORMED_QUERY", "unexpected token: 'City'", 26),
    ("SELECT * FROM Lead", "MALFORMED_QUERY", "no viable alternative at character '*'", None),
    ('SELECT Id FROM Lead WHERE City = "a"', "MALFORMED_QUERY", "no viable alternative at character '\"'", None),
    (r"SELECT Id FROM Lead WHERE City = 'a\d'", "MALFORMED_QUERY", "invalid escape sequence", 34),
    (r"SELECT Id FROM Lead WHERE City = 'a\%'", "MALFORMED_QUERY", "invalid escape sequence", 34),
    (r"SELECT Id FROM Lead WHERE City LIKE '\x'", "MALFORMED_QUERY", "invalid escape sequence", 37),
    (r"SELECT Id FROM Lead WHERE City = '\u12'", "MALFORMED_QUERY", "invalid escape sequence", 34),
    ("SELECT Id FROM Lead WHERE City = 'a", "MALFORMED_QUERY", "no viable alternative at character '''", None),
    ("SELECT Id FROM Lead WHERE Birthday__c = 2026-02-30", "MALFORMED_QUERY", "day", 41),
    ("SELECT Id FROM Lead WHERE Birthday__c = 1500-01-01", "MALFORMED_QUERY", "Invalid date", 41),
    ("SELECT Id FROM Lead WHERE CreatedDate = LAST_SUMMER", "MALFORMED_QUERY", "unexpected token: 'LAST_SUMMER'", 41),
    ("SELECT Id FROM Lead WHERE CreatedDate > 2026-10-01T00:00:00 02:00", "MALFORMED_QUERY", "unexpected token", None),
    ("SELECT Id FROM Lead LIMIT -1", "MALFORMED_QUERY", "unexpected token: '-1'", 27),
    ("SELECT Id FROM Lead OFFSET 2001", "NUMBER_OUTSIDE_VALID_RANGE", "Maximum SOQL offset allowed is 2000", None),
    ("SELECT FIELDS(ALL) FROM Lead", "MALFORMED_QUERY", "must have a LIMIT of at most 200", 8),
    ("SELECT FIELDS(ALL) FROM Lead LIMIT 201", "MALFORMED_QUERY", "must have a LIMIT of at most 200", 8),
    ("SELECT TYPEOF Owner WHEN User THEN Id END FROM Lead", "MALFORMED_QUERY", "unexpected token: 'Owner'", 15),
    ("SELECT Name, COUNT(Id) FROM Lead", "MALFORMED_QUERY", "Field must be grouped or aggregated: Name", 8),
    ("SELECT SUM(Name) FROM Lead", "MALFORMED_QUERY", "does not support aggregate operator SUM", 12),
    ("SELECT MEDIAN(Score__c) FROM Lead", "MALFORMED_QUERY", "unexpected token: 'MEDIAN'", 8),
    (
        "SELECT Id FROM Lead WHERE City = 'a' OR Id IN (SELECT LeadId FROM CampaignMember)",
        "MALFORMED_QUERY",
        "not allowed with the 'OR' operator",
        41,
    ),
    (
        "SELECT Id FROM Lead WHERE City IN (SELECT LeadId FROM CampaignMember)",
        "MALFORMED_QUERY",
        "semi join sub-selects can only query id fields",
        27,
    ),
    ("SELECT A.B.C.D.E.F.Id FROM Lead", "MALFORMED_QUERY", "more than 5 levels", 8),
]


@pytest.mark.parametrize(("soql", "code", "message", "column"), REFUSALS)
def test_refusals(org: Org, soql: str, code: str, message: str, column: int | None) -> None:
    with pytest.raises(ApiError) as refused:
        run_query(org, soql)
    assert refused.value.code == code
    assert refused.value.status == 400
    assert message in refused.value.message
    if column is not None:
        echo, caret, place, _ = refused.value.message.removeprefix("\n").split("\n", 3)
        assert echo in soql
        assert soql.index(echo) + caret.index("^") == column - 1
        assert place == f"ERROR at Row:1:Column:{column}"


def test_errors_point_into_the_right_line(org: Org) -> None:
    with pytest.raises(ApiError, match="ERROR at Row:3:Column:7"):
        run_query(org, "SELECT Id\nFROM Lead\nWHERE Foo = 1")


def test_size_limits(org: Org) -> None:
    with pytest.raises(ApiError, match="longer than 100000"):
        run_query(org, "SELECT Id FROM Lead" + " " * 100_000)
    with pytest.raises(ApiError, match="longer than 4000"):
        run_query(org, f"SELECT Id FROM Lead WHERE City = '{'x' * 4001}'")
    three = " AND ".join(["Id IN (SELECT LeadId FROM CampaignMember)"] * 3)
    with pytest.raises(ApiError, match="maximum semi join"):
        run_query(org, f"SELECT Id FROM Lead WHERE {three}")


@pytest.mark.parametrize(
    "soql",
    [
        "SELECT COUNT() FROM Lead",
        "SELECT Status, COUNT(Id) FROM Lead GROUP BY Status",
        "SELECT Id FROM Lead OFFSET 5",
        "SELECT Id, (SELECT Id FROM CampaignMembers) FROM Lead",
        "SELECT Address FROM Lead",
    ],
)
def test_bulk_refuses(org: Org, soql: str) -> None:
    with pytest.raises(ApiError, match="API_ERROR"):
        check_bulk(org, soql)


def test_bulk_accepts(org: Org) -> None:
    assert check_bulk(org, "SELECT Id, Name, Owner.Name FROM lead WHERE Email != null ORDER BY Id LIMIT 5") == "Lead"
    with pytest.raises(ApiError, match="INVALID_FIELD"):
        check_bulk(org, "SELECT Foo FROM Lead")


def test_csv(org: Org) -> None:
    result = run_query(org, "SELECT LastName, Title, Vip__c, Score__c, Birthday__c, Signed_Up__c, Owner.Name FROM Lead")
    header, *lines = b"".join(result.csv()).decode().split('"\n"')
    assert header == '"LastName","Title","Vip__c","Score__c","Birthday__c","Signed_Up__c","Owner.Name'
    assert lines[2] == 'Øre","","false","","2000-02-29","","Integration User'
    assert lines[3] == '50%_x","two\nlines","false","-3.0","","2026-10-01T12:00:00.000Z","Integration User"\n'
    assert b"".join(result.csv(1, 2, header=False)).startswith(b'"lima",')


def test_a_result_is_ids_and_values_are_read_later() -> None:
    other = Org("globex", clock=Clock(NOON))
    first, second, third = other.insert_many("Lead", [{"LastName": name, "Company": "x"} for name in "abc"])
    result = run_query(other, "SELECT LastName FROM Lead WHERE LastName != 'z'")
    other.update("Lead", first, {"LastName": "z"})
    other.delete("Lead", second)
    other.purge("Lead", third)
    other.insert("Lead", {"LastName": "new", "Company": "x"})
    assert result.total == 3
    assert [record["LastName"] for record in result.json_records()] == ["z"]


@given(text=st.text(max_size=40))
def test_string_literals_round_trip(text: str) -> None:
    assert string_value(quote(text)) == text
    parsed = parse(f"SELECT Id FROM Lead WHERE City = {quote(text)}")
    assert string_value(parsed.where.value.token) == text  # type: ignore[union-attr]


ROWS: list[dict[str, Any]] = [
    {"City": city, "Score__c": score, "Signed_Up__c": stamp}
    for city in (None, "Porto", "porto", "Ílhavo")
    for score in (None, -1.0, 0.0, 7.0)
    for stamp in (None, NOON, NOON + timedelta(seconds=1))
]
Condition = tuple[str, Callable[[dict[str, Any]], bool]]
LITERALS: dict[str, list[tuple[str, Any]]] = {
    "City": [("null", None), ("'PORTO'", "porto"), ("'ílhavo'", "ílhavo"), ("'x'", "x")],
    "Score__c": [("null", None), ("-1", -1.0), ("0", 0.0), ("6.5", 6.5)],
    "Signed_Up__c": [
        ("null", None),
        ("2026-10-01T12:00:00Z", NOON),
        ("2026-10-01T14:00:01+02:00", ROWS[2]["Signed_Up__c"]),
    ],
}
ORDERINGS: dict[str, Callable[[Any, Any], bool]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def value_of(row: dict[str, Any], field: str) -> Any:
    return row[field].lower() if isinstance(row[field], str) else row[field]


@st.composite
def comparisons(draw: st.DrawFn) -> Condition:
    field = draw(st.sampled_from(sorted(LITERALS)))
    text, wanted = draw(st.sampled_from(LITERALS[field]))
    symbol = draw(st.sampled_from(["=", "!=", *ORDERINGS] if wanted is not None else ["=", "!="]))
    if symbol in ORDERINGS:
        compare = ORDERINGS[symbol]
        return f"{field} {symbol} {text}", lambda row: row[field] is not None and compare(value_of(row, field), wanted)
    return f"{field} {symbol} {text}", lambda row: (value_of(row, field) == wanted) == (symbol == "=")


@st.composite
def memberships(draw: st.DrawFn) -> Condition:
    field = draw(st.sampled_from(sorted(LITERALS)))
    chosen = draw(st.lists(st.sampled_from(LITERALS[field]), min_size=1))
    negated = draw(st.booleans())
    wanted = [value for _, value in chosen]
    text = f"{field} {'NOT ' * negated}IN ({', '.join(text for text, _ in chosen)})"
    return text, lambda row: (value_of(row, field) in wanted) != negated


def combined(inner: st.SearchStrategy[Condition]) -> st.SearchStrategy[Condition]:
    def both(word: str, parts: list[Condition]) -> Condition:
        fold = all if word == "AND" else any
        return f" {word} ".join(f"({text})" for text, _ in parts), lambda row: fold(test(row) for _, test in parts)

    lists = st.lists(inner, min_size=2, max_size=4)
    negations = inner.map(lambda part: (f"NOT ({part[0]})", lambda row: not part[1](row)))
    return st.builds(both, st.sampled_from(["AND", "OR"]), lists) | negations


@pytest.fixture(scope="module")
def grid() -> tuple[Org, list[str]]:
    org = Org("grid", clock=Clock(NOON))
    return org, org.insert_many("Lead", [{"LastName": "x", "Company": "x"} | row for row in ROWS])


@settings(max_examples=300)
@given(condition=st.recursive(comparisons() | memberships(), combined, max_leaves=6))
def test_where_agrees_with_a_plain_predicate(grid: tuple[Org, list[str]], condition: Condition) -> None:
    org, ids = grid
    text, test = condition
    expected = [record_id for record_id, row in zip(ids, ROWS, strict=True) if test(row)]
    assert run_query(org, f"SELECT Id FROM Lead WHERE {text}").rows == expected


@given(text=st.text(alphabet=string.printable + "é😀\x00", max_size=20))
def test_csv_round_trip(text: str) -> None:
    org = Org("csv", clock=Clock(NOON))
    org.insert("Lead", {"LastName": "x", "Company": "x", "Title": text})
    data = b"".join(run_query(org, "SELECT Id, Title FROM Lead").csv(header=False)).decode()
    assert next(csv.reader(io.StringIO(data, newline="")))[1] == text


@pytest.mark.parametrize(
    ("literal", "first", "last"),
    [
        ("TODAY", "2026-10-01", "2026-10-02"),
        ("tomorrow", "2026-10-02", "2026-10-03"),
        ("YESTERDAY", "2026-09-30", "2026-10-01"),
        ("THIS_WEEK", "2026-09-27", "2026-10-04"),
        ("LAST_MONTH", "2026-09-01", "2026-10-01"),
        ("NEXT_QUARTER", "2027-01-01", "2027-04-01"),
        ("THIS_FISCAL_YEAR", "2026-01-01", "2027-01-01"),
        ("LAST_90_DAYS", "2026-07-03", "2026-10-02"),
        ("LAST_N_DAYS:3", "2026-09-28", "2026-10-02"),
        ("NEXT_N_DAYS:3", "2026-10-02", "2026-10-05"),
        ("LAST_N_MONTHS:2", "2026-08-01", "2026-10-01"),
        ("NEXT_N_WEEKS:1", "2026-10-04", "2026-10-11"),
        ("N_DAYS_AGO:10", "2026-09-21", "2026-09-22"),
        ("N_YEARS_AGO:1", "2025-01-01", "2026-01-01"),
        ("LAST_N_FISCAL_QUARTERS:1", "2026-07-01", "2026-10-01"),
    ],
)
def test_date_literals(literal: str, first: str, last: str) -> None:
    assert relative.days(literal, NOON.date()) == (date.fromisoformat(first), date.fromisoformat(last))
