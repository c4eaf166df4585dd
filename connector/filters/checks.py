"""Whether a tree fits an org: each field exists, can be filtered, and is compared as its type allows."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from difflib import get_close_matches
from types import MappingProxyType

from connector.errors import BadInput, ObjectUnavailable
from connector.filters import to_soql
from connector.filters.logic import OBJECT, Value, value
from connector.filters.tree import WITHOUT_VALUE, All, AnyOf, Condition, Node, Not, Operator, Scalar
from connector.objects import PEOPLE
from connector.paths import Column, Describes

MAX_LITERAL = 4000
MAX_NUMBER = Decimal(10) ** 18
MAX_DAYS = 10_000
_EQUALITY = frozenset({Operator.equals, Operator.not_equals})
_LISTS = frozenset({Operator.in_, Operator.not_in})
_TEXTS = frozenset({Operator.contains, Operator.not_contains, Operator.starts_with})
_ORDERS = frozenset({Operator.greater_than, Operator.at_least, Operator.less_than, Operator.at_most})
FITTING: Mapping[str, frozenset[Operator]] = MappingProxyType(
    {
        "text": _EQUALITY | _LISTS | _TEXTS | WITHOUT_VALUE,
        "id": _EQUALITY | _LISTS | WITHOUT_VALUE,
        "number": _EQUALITY | _LISTS | _ORDERS | WITHOUT_VALUE,
        "boolean": _EQUALITY,
        "date": _EQUALITY | _LISTS | _ORDERS | WITHOUT_VALUE | {Operator.within_last_days},
        "datetime": _EQUALITY | _LISTS | _ORDERS | WITHOUT_VALUE | {Operator.within_last_days},
        "list": WITHOUT_VALUE | {Operator.includes, Operator.excludes},
        "other": frozenset(),
    }
)


def check(tree: Node | None, describes: Describes) -> Node | None:
    """Return the tree with every field spelled as the org spells it.

    Raises:
        BadInput: a condition does not fit; the sentence names its field.
    """
    match tree:
        case All():
            return tree.model_copy(update={"all": _checked(tree.all, describes)})
        case AnyOf():
            return tree.model_copy(update={"any": _checked(tree.any, describes)})
        case Not():
            return tree.model_copy(update={"not_": check(tree.not_, describes)})
        case Condition():
            return _condition(tree, describes)
    return None


def _checked(parts: Iterable[Node], describes: Describes) -> tuple[Node | None, ...]:
    return tuple(check(part, describes) for part in parts)


def _condition(condition: Condition, describes: Describes) -> Condition:
    if condition.field.lower() == OBJECT:
        return _about_object(condition)
    owner, dot, path = condition.field.partition(".")
    sobject = _object(owner)
    if not dot:
        raise BadInput(f"'{condition.field}' names no field: write the object first, such as {sobject}.Email.")
    try:
        column = describes.find(sobject, path)
    except ObjectUnavailable:
        raise BadInput(f"The login cannot see {sobject}, which the filter asks about.") from None
    full = f"{sobject}.{column.path}"
    _check_filterable(full, column)
    _check_operator(full, column, condition.op)
    for given in condition.values:
        _check_value(full, column, condition.op, given)
    return condition.model_copy(update={"field": full})


def _object(given: str) -> str:
    folded = {name.lower(): name for name in PEOPLE}
    if given.lower() in folded:
        return folded[given.lower()]
    near = get_close_matches(given.lower(), folded, n=1)
    advice = f"did you mean {folded[near[0]]}?" if near else f"a filter asks about {' and '.join(PEOPLE)}."
    raise BadInput(f"There is no object '{given}' to filter: {advice}")


def _about_object(condition: Condition) -> Condition:
    if condition.op not in _EQUALITY | _LISTS:
        raise BadInput("Of 'object' a filter can ask equals, not_equals, in and not_in.")
    values = tuple(_object(str(given)) for given in condition.values)
    return condition.model_copy(update={"field": OBJECT, "values": values})


def _check_filterable(full: str, column: Column) -> None:
    if not column.filterable or column.kind == "other":
        raise BadInput(f"{full} ({column.type}) can not be filtered in Salesforce: use another field.")


def _check_operator(full: str, column: Column, op: Operator) -> None:
    fitting = FITTING[column.kind]
    if full == "Contact.Birthdate":
        fitting = WITHOUT_VALUE  # SOQL compares it without the year (SOQL reference, "Birthdate")
    if op not in fitting:
        names = ", ".join(sorted(fitting))
        raise BadInput(f"'{op}' does not fit {full} ({column.type}): use {names}.")


def _check_value(full: str, column: Column, op: Operator, given: Scalar) -> None:
    if op is Operator.within_last_days:
        if isinstance(given, bool) or not isinstance(given, int) or not 1 <= given <= MAX_DAYS:
            raise BadInput(f"'{op}' on {full} takes a whole number of days, 1 to {MAX_DAYS}.")
        return
    try:
        found = value(column, given)
    except TypeError as error:
        raise BadInput(f"{full} ({column.type}) is compared with {error}, not with {given!r}.") from None
    if problem := _beyond(column, found):
        raise BadInput(f"The value of '{op}' on {full} {problem}.")


def _beyond(column: Column, found: Value) -> str | None:
    """Say what makes a value one that Salesforce takes in no query."""
    if isinstance(found, str) and len(to_soql.like_literal(found, anywhere=True)) > MAX_LITERAL:
        return f"is longer than the {MAX_LITERAL} characters that Salesforce takes"
    if isinstance(found, Decimal) and not abs(found) < MAX_NUMBER:
        return "has more than 18 digits before the point"
    if isinstance(found, Decimal) and column.type == "int" and found != found.to_integral_value():
        return "must be a whole number"
    if isinstance(found, date | datetime) and not 1701 <= found.year <= 3999:
        return "lies outside the years 1701 to 3999"
    return None
