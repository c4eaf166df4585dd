"""A rule asked of one row in Python: the definition that the other two backends are held equal to."""

import operator
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import Any

from connector.filters.logic import Among, Both, Either, Empty, Includes, Inverse, Like, Order, Rule, Value
from connector.paths import Column

ORDERS: Mapping[str, Callable[[Any, Any], bool]] = MappingProxyType(
    {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
)


def holds(rule: Rule, row: Mapping[str, str]) -> bool:
    """Tell whether a row fulfils a rule; the row is path → text as Bulk API 2.0 writes it, empty for null."""
    match rule:
        case Both():
            return all(holds(part, row) for part in rule.parts)
        case Either():
            return any(holds(part, row) for part in rule.parts)
        case Inverse():
            return not holds(rule.part, row)
    cell = row[rule.column.path]
    if isinstance(rule, Empty):
        return not cell
    found = value_of(rule.column, cell)
    return found is not None and _fits(rule, found)


def _fits(test: Among | Like | Order | Includes, found: Value) -> bool:
    match test:
        case Among():
            return found in {_folded(test.column, value) for value in test.values}
        case Like():
            text, wanted = str(found), str(_folded(test.column, test.text))
            return wanted in text if test.anywhere else text.startswith(wanted)
        case Order():
            return ORDERS[test.symbol](found, test.value)
        case Includes():
            chosen = set(str(found).split(";"))
            return any({fold(item) for item in group} <= chosen for group in test.groups)


def fold(text: str) -> str:
    """Return the text as it is compared: lower case letter by letter, as the database's `pg_c_utf8` has it."""
    return "".join(letter.lower()[0] for letter in text)


def _folded(column: Column, value: Value) -> Value:
    return fold(value) if isinstance(value, str) and not column.exact and column.kind in ("text", "list") else value


def value_of(column: Column, text: str) -> Value | None:
    """Return what a cell holds; None when it is empty or holds what does not belong there."""
    if column.kind == "boolean":
        return text == "true"
    if not text:
        return None
    try:
        return _READ[column.kind](text) if column.kind in _READ else _folded(column, text)
    except (ValueError, InvalidOperation):
        return None


_READ: Mapping[str, Callable[[str], Value]] = MappingProxyType(
    {"number": Decimal, "date": date.fromisoformat, "datetime": datetime.fromisoformat}
)
