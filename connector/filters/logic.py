"""What a filter means: a tree partially evaluated for one object into a rule of few kinds of tests.

A test is true or false of a row, never unknown: on an empty field every test but `Empty` is false, and an empty
checkbox counts as unticked. So `not_equals` is true of an empty field, as in SOQL, and each backend states emptiness
outright instead of trusting how a database takes NOT of unknown.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Literal, TypeAlias

from connector.filters.tree import All, AnyOf, Condition, Node, Not, Operator, Scalar
from connector.paths import Column

OBJECT = "object"
Value: TypeAlias = str | bool | Decimal | date | datetime
Symbol: TypeAlias = Literal["<", "<=", ">", ">="]
# "Today" has begun somewhere up to 14 hours before UTC, and the clock of the row may run while we read.
LATEST_TODAY = timedelta(hours=14)


@dataclass(frozen=True)
class Among:
    """The field has one of the values."""

    column: Column
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Like:
    """The field contains a text, or starts with it."""

    column: Column
    text: str
    anywhere: bool


@dataclass(frozen=True)
class Order:
    """The field is less or more than a value."""

    column: Column
    symbol: Symbol
    value: Value


@dataclass(frozen=True)
class Includes:
    """A multi-select picklist has all values of one of the groups."""

    column: Column
    groups: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Empty:
    """The field is empty, or its parent is missing."""

    column: Column


@dataclass(frozen=True)
class Both:
    """All parts hold."""

    parts: "tuple[Rule, ...]"


@dataclass(frozen=True)
class Either:
    """One part holds."""

    parts: "tuple[Rule, ...]"


@dataclass(frozen=True)
class Inverse:
    """The part does not hold."""

    part: "Rule"


Test: TypeAlias = Among | Like | Order | Includes | Empty
Rule: TypeAlias = Test | Both | Either | Inverse
Columns: TypeAlias = Mapping[str, Column]


def reduce(tree: Node | None, sobject: str, columns: Columns, now: datetime) -> Rule | bool:
    """Return the rule that a tree comes to for one object; True admits all its rows, False none.

    `columns` are the object's fields by path; a condition on another object's field is false, and `object` is known.
    """
    match tree:
        case None:
            return True
        case All():
            return _joined([reduce(part, sobject, columns, now) for part in tree.all], Both, absorbing=False)
        case AnyOf():
            return _joined([reduce(part, sobject, columns, now) for part in tree.any], Either, absorbing=True)
        case Not():
            return inverse(reduce(tree.not_, sobject, columns, now))
        case Condition():
            return _condition(tree, sobject, columns, now)


def _joined(parts: list[Rule | bool], join: type[Both | Either], *, absorbing: bool) -> Rule | bool:
    if any(part is absorbing for part in parts):
        return absorbing
    rest = tuple(part for part in parts if not isinstance(part, bool))
    if len(rest) > 1:
        return join(rest)
    return rest[0] if rest else not absorbing


def settled(tree: Node | None, sobject: str) -> bool | None:
    """Tell what a tree says of an object whatever its rows hold: True for all, False for none, None if it depends."""
    match tree:
        case None:
            return True
        case All():
            answers = {settled(part, sobject) for part in tree.all}
            return False if False in answers else None if None in answers else True
        case AnyOf():
            answers = {settled(part, sobject) for part in tree.any}
            return True if True in answers else None if None in answers else False
        case Not():
            answer = settled(tree.not_, sobject)
            return None if answer is None else not answer
        case Condition() if tree.field == OBJECT:
            return (sobject in tree.values) is not (tree.op in NEGATIVE)
        case Condition():
            return None if tree.field.partition(".")[0] == sobject else False


def inverse(rule: Rule | bool) -> Rule | bool:
    """Return the opposite of a rule, with the negation at its tests."""
    match rule:
        case bool():
            return not rule
        case Both():
            return Either(tuple(_inverse(part) for part in rule.parts))
        case Either():
            return Both(tuple(_inverse(part) for part in rule.parts))
    return _inverse(rule)


def _inverse(rule: Rule) -> Rule:
    match rule:
        case Inverse():
            return rule.part
        case Among() if rule.column.kind == "boolean":
            return Among(rule.column, (not rule.values[0],))
        case Both() | Either():
            turned = inverse(rule)
            assert not isinstance(turned, bool)  # noqa: S101 - only a truth value turns into one
            return turned
    return Inverse(rule)


def _condition(condition: Condition, sobject: str, columns: Columns, now: datetime) -> Rule | bool:
    if (answer := settled(condition, sobject)) is not None:
        return answer
    path = condition.field.partition(".")[2]
    made = _TESTS[NEGATIVE.get(condition.op, condition.op)](condition, columns[path], now)
    return inverse(made) if condition.op in NEGATIVE else made


NEGATIVE: Mapping[Operator, Operator] = MappingProxyType(
    {
        Operator.not_equals: Operator.equals,
        Operator.not_contains: Operator.contains,
        Operator.not_in: Operator.in_,
        Operator.is_not_empty: Operator.is_empty,
        Operator.excludes: Operator.includes,
    }
)


def value(column: Column, given: Scalar) -> Value:
    """Return a value as the column's kind has it.

    Raises:
        TypeError: it is not of that kind; the message names what is.
    """
    return _READ[column.kind](given)


def _text(given: Scalar) -> str:
    if not isinstance(given, str):
        raise TypeError("a text in quotes")
    return given


def _number(given: Scalar) -> Decimal:
    if isinstance(given, bool | str):
        raise TypeError("a number without quotes")
    return Decimal(repr(given))


def _boolean(given: Scalar) -> bool:
    if not isinstance(given, bool):
        raise TypeError("true or false without quotes")
    return given


def _date(given: Scalar) -> date:
    try:
        return date.fromisoformat(_text(given))
    except (TypeError, ValueError):
        raise TypeError('a date such as "2026-10-01"') from None


def _datetime(given: Scalar) -> datetime:
    try:
        found = datetime.fromisoformat(_text(given))
    except (TypeError, ValueError):
        found = None
    if found is None or found.tzinfo is None:
        raise TypeError('a time with its zone, such as "2026-10-01T09:00:00Z"')
    return found.replace(microsecond=0)


def _id(given: Scalar) -> str:
    text = _text(given)
    if not (text.isascii() and text.isalnum() and len(text) in (15, 18)):
        raise TypeError("a Salesforce id of 15 or 18 characters")
    return text[:15] + "".join(_check_character(text[at : at + 5]) for at in (0, 5, 10))


def _check_character(five: str) -> str:
    """One of the three characters that keep an id's case: bit i of its place tells whether letter i is a capital."""
    return "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"[sum(letter.isupper() << place for place, letter in enumerate(five))]


_READ: Mapping[str, Callable[[Scalar], Value]] = MappingProxyType(
    {
        "text": _text,
        "list": _text,
        "id": _id,
        "number": _number,
        "boolean": _boolean,
        "date": _date,
        "datetime": _datetime,
    }
)


def _among(condition: Condition, column: Column, _now: datetime) -> Rule:
    return Among(column, tuple(value(column, one) for one in condition.values))


def _like(condition: Condition, column: Column, _now: datetime) -> Rule:
    return Like(column, _text(condition.values[0]), anywhere=condition.op is not Operator.starts_with)


def _ordered(symbol: Symbol) -> Callable[[Condition, Column, datetime], Rule]:
    return lambda condition, column, _now: Order(column, symbol, value(column, condition.values[0]))


def _empty(_condition: Condition, column: Column, _now: datetime) -> Rule:
    return Empty(column)


def _includes(condition: Condition, column: Column, _now: datetime) -> Rule:
    return Includes(column, tuple(tuple(_text(one).split(";")) for one in condition.values))


def _within_last_days(condition: Condition, column: Column, now: datetime) -> Rule:
    lo, hi = now.replace(microsecond=0) - timedelta(days=int(condition.values[0])), now + LATEST_TODAY
    if column.kind == "date":
        return Both((Order(column, ">=", lo.date()), Order(column, "<=", hi.date())))
    return Both((Order(column, ">=", lo), Order(column, "<=", hi.replace(microsecond=0))))


_TESTS: Mapping[Operator, Callable[[Condition, Column, datetime], Rule]] = MappingProxyType(
    {
        Operator.equals: _among,
        Operator.in_: _among,
        Operator.contains: _like,
        Operator.starts_with: _like,
        Operator.greater_than: _ordered(">"),
        Operator.at_least: _ordered(">="),
        Operator.less_than: _ordered("<"),
        Operator.at_most: _ordered("<="),
        Operator.is_empty: _empty,
        Operator.includes: _includes,
        Operator.within_last_days: _within_last_days,
    }
)
