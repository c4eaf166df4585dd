"""An org of awkward rows, and random trees over them, for the tests of what a filter means."""

import csv
import io
import random
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from connector.errors import ObjectUnavailable
from connector.filters.checks import FITTING
from connector.filters.tree import WITH_EITHER, WITH_LIST, WITHOUT_VALUE, Operator
from connector.paths import Column, Describes
from connector.simulator import Org
from connector.simulator.clock import Clock
from connector.simulator.describe import describe_object
from connector.simulator.errors import ApiError
from connector.simulator.query import run_query
from connector.simulator.schema import make_field

NOW = datetime(2026, 11, 1, 12, 0, 0, tzinfo=UTC)
TEXTS = [
    "Acme", "ACME", "O'Brien", "o'brien", "a\\", "\\'", "100%", "1000", "a_b", "axb", "%", "_", "\\%", '"q"',
    "' OR Name != '", "x') OR (Id != null", "null", "true", "{0}", "%s", "%(a)s", "--", "/*", "\\u0041", "\\n", "\n",
    "line\nbreak", "tab\t", "\r", "\b\f", "é", "É", "Ünü", "中文", "😀", "\u2028", "a\x01b", "\x7f", " ", " x ", "x",
]  # fmt: skip
NUMBERS = [-1.5, 0, 0.0001, 1, 2, 2.5, 1e15]
DATES = [NOW.date() + timedelta(days=days) for days in (-400, -31, -30, -29, -1, 0, 1, 2)]
STAMPS = [
    NOW + timedelta(seconds=seconds) for seconds in (-40 * 86400, -30 * 86400, -86400, -1, 0, 1, 14 * 3600, 9 * 86400)
]
ITEMS = ["a", "A b", "c'", "d\\", "é"]
CUSTOM = {
    "Note__c": ("string", {"length": 255}),
    "Score__c": ("double", {"precision": 18, "scale": 6}),
    "Vip__c": ("boolean", {}),
    "Since__c": ("date", {}),
    "Met_At__c": ("datetime", {}),
    "Interests__c": ("multipicklist", {"length": 255, "values": tuple(ITEMS)}),
}
PATHS = {
    "Contact": (*CUSTOM, "Account.Name", "Account.Vip__c", "Account.Score__c", "Account.Parent.Name", "AccountId"),
    "Lead": ("Note__c", "Vip__c", "LeadSource"),
}
POOLS: dict[str, list[Any]] = {
    "text": TEXTS,
    "number": NUMBERS,
    "boolean": [True, False],
    "date": [day.isoformat() for day in DATES],
    "datetime": [stamp.isoformat() for stamp in STAMPS],
    "list": [*ITEMS, "a;A b", "c';d\\"],
}


def make_org(rows: int = 150, seed: int = 5) -> Org:
    """An org of Accounts, Contacts with and without one, and Leads, all with values from the pools or none."""
    org, chance = Org("acme", clock=Clock(NOW)), random.Random(seed)
    for sobject in ("Account", "Contact", "Lead"):
        for name, (kind, attributes) in CUSTOM.items():
            org.add_field(sobject, make_field(name, kind, **attributes))
    accounts = [org.insert("Account", {"Name": chance.choice(TEXTS[:10]), **_custom(chance)}) for _ in range(12)]
    for child in accounts[:6]:
        org.update("Account", child, {"ParentId": chance.choice(accounts[6:])})
    for number in range(rows):
        parent = chance.choice([None, *accounts])
        org.insert("Contact", {"LastName": f"L{number}", "AccountId": parent, **_custom(chance)})
        source = chance.choice([None, "Web", "Other"])
        org.insert("Lead", {"LastName": f"L{number}", "Company": "C", "LeadSource": source, **_custom(chance)})
    return org


def _custom(chance: random.Random) -> dict[str, Any]:
    def some(pool: list[Any]) -> Any:
        return chance.choice([None, *pool])

    items = chance.sample(ITEMS, chance.randint(0, 3))
    return {
        "Note__c": some(TEXTS),
        "Score__c": some(NUMBERS),
        "Vip__c": chance.random() < 0.5,
        "Since__c": some(DATES),
        "Met_At__c": some(STAMPS),
        "Interests__c": ";".join(items) or None,
    }


def describes(org: Org) -> Describes:
    def describe(name: str) -> dict[str, Any]:
        try:
            return describe_object(org, name, "66.0")
        except ApiError as error:
            raise ObjectUnavailable(error.code, str(error)) from None

    return Describes(describe)


def columns(org: Org) -> dict[str, dict[str, Column]]:
    return {sobject: describes(org).resolve(sobject, paths) for sobject, paths in PATHS.items()}


def canonical(org: Org, sobject: str) -> dict[str, dict[str, str]]:
    """Record id → path → text, as Bulk API 2.0 gives it."""
    text = b"".join(run_query(org, f"SELECT Id, {', '.join(PATHS[sobject])} FROM {sobject}").csv()).decode()
    return {row["Id"]: row for row in csv.DictReader(io.StringIO(text, newline=""))}


def found(org: Org, sobject: str, condition: str) -> set[str]:
    """The ids of the rows that a condition selects in the simulator."""
    result = run_query(org, f"SELECT Id FROM {sobject} WHERE {condition}")
    return {row["Id"] for row in result.json_records()}


def documents(org: Org) -> st.SearchStrategy[Any]:
    """Random filter documents over the fields of both objects."""
    known = columns(org)
    fields = [(f"{sobject}.{path}", known[sobject][path]) for sobject, paths in PATHS.items() for path in paths]
    accounts = [row["Id"] for row in run_query(org, "SELECT Id FROM Account").json_records()]
    about = st.builds(
        lambda op, value: {"field": "object", "op": op, "value": value},
        st.sampled_from(["equals", "not_equals"]),
        st.sampled_from(["Lead", "Contact"]),
    )
    leaf = st.one_of(about, *(conditions(name, column, accounts) for name, column in fields))
    return st.recursive(
        leaf,
        lambda inner: st.one_of(
            st.fixed_dictionaries({"all": st.lists(inner, min_size=1, max_size=3)}),
            st.fixed_dictionaries({"any": st.lists(inner, min_size=1, max_size=3)}),
            st.fixed_dictionaries({"not": inner}),
        ),
        max_leaves=8,
    )


def conditions(name: str, column: Column, accounts: list[str]) -> st.SearchStrategy[Any]:
    """One condition on a field with any fitting operator, on a value that some row may have."""
    pool = [*accounts, accounts[0][:15]] if column.kind == "id" else POOLS[column.kind]
    return st.sampled_from(sorted(FITTING[column.kind])).flatmap(
        lambda op: st.builds(lambda value: _condition(name, op, value), _values(op, pool))
    )


def _values(op: Operator, pool: list[Any]) -> st.SearchStrategy[Any]:
    if op in WITHOUT_VALUE:
        return st.none()
    if op is Operator.within_last_days:
        return st.integers(1, 40)
    one = st.sampled_from(pool)
    return st.lists(one, min_size=1, max_size=4) if op in WITH_LIST | WITH_EITHER else one


def _condition(name: str, op: Operator, value: Any) -> dict[str, Any]:
    return {"field": name, "op": str(op)} | ({} if value is None else {"value": value})
