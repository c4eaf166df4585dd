"""A rule as a SOQL condition: typed literals, hostile text escaped, parentheses everywhere, emptiness said outright."""

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from types import MappingProxyType

from connector import soql
from connector.filters.logic import Among, Both, Either, Empty, Includes, Inverse, Like, Order, Rule, Test, Value
from connector.paths import Column

_ESCAPES = {"\\": "\\\\", "'": "\\'", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}
_CONTROLS = {chr(code): f"\\u{code:04x}" for code in (*range(1, 0x20), *range(0x7F, 0xA0), 0x2028, 0x2029)}
TEXT_ESCAPES: Mapping[int, str] = MappingProxyType(str.maketrans(_CONTROLS | _ESCAPES))
LIKE_ESCAPES: Mapping[int, str] = MappingProxyType(str.maketrans(_CONTROLS | _ESCAPES | {"%": "\\%", "_": "\\_"}))
_OPPOSITE = {"<": ">=", "<=": ">", ">": "<=", ">=": "<"}


def render(rule: Rule) -> str:
    """Return a condition that can stand beside AND, OR and NOT as it is."""
    match rule:
        case Both():
            return _group(" AND ", map(render, rule.parts))
        case Either():
            return _group(" OR ", map(render, rule.parts))
        case Inverse():
            assert isinstance(rule.part, Among | Like | Order | Includes | Empty)  # noqa: S101 - logic turns the others
            return _negated(rule.part)
    return _plain(rule)


def _group(word: str, parts: Iterable[str]) -> str:
    return f"({word.join(parts)})"


def _plain(test: Test) -> str:
    field = soql.name(test.column.path)
    match test:
        case Among():
            return _ticked(test.column, field, ticked=True in test.values) if _is_boolean(test) else _among(field, test)
        case Like():
            return f"{field} LIKE {like_literal(test.text, anywhere=test.anywhere)}"
        case Order():
            return f"{field} {test.symbol} {literal(test.value)}"
        case Includes():
            return f"{field} INCLUDES {_groups(test)}"
        case Empty():
            return f"{field} = null"


def _negated(test: Test) -> str:
    """The opposite of a test, which is true of an empty field: said, since SOQL's own answer is not documented."""
    field = soql.name(test.column.path)
    match test:
        case Empty():
            return f"{field} != null"
        case Among():
            opposite = _among(field, test, " != ", " NOT IN ")
        case Like():
            opposite = f"(NOT {_plain(test)})"
        case Order():
            opposite = f"{field} {_OPPOSITE[test.symbol]} {literal(test.value)}"
        case Includes():
            opposite = f"{field} EXCLUDES {_groups(test)}"
    return f"({opposite} OR {field} = null)"


def _is_boolean(test: Among) -> bool:
    return test.column.kind == "boolean"


def _ticked(column: Column, field: str, *, ticked: bool) -> str:
    """A checkbox of a missing parent is unticked, whether or not SOQL says so by itself."""
    if ticked:
        return f"{field} = true"
    parent, dot, _ = column.path.rpartition(".")
    return f"({field} = false OR {soql.name(parent)}.Id = null)" if dot else f"{field} = false"


def _among(field: str, test: Among, one: str = " = ", several: str = " IN ") -> str:
    values = [literal(value) for value in test.values]
    return f"{field}{one}{values[0]}" if len(values) == 1 else f"{field}{several}({', '.join(values)})"


def _groups(test: Includes) -> str:
    return f"({', '.join(literal(';'.join(group)) for group in test.groups)})"


def literal(value: Value) -> str:
    """Return a value as a SOQL literal of its own type."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"'{value.translate(TEXT_ESCAPES)}'"
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        return soql.stamp(value.astimezone(UTC))
    assert isinstance(value, date)  # noqa: S101 - the last kind of value there is
    return value.isoformat()


def like_literal(text: str, *, anywhere: bool) -> str:
    """Return the pattern of what contains a text, or starts with it; its own wildcards stand for themselves."""
    return f"'{'%' if anywhere else ''}{text.translate(LIKE_ESCAPES)}%'"
