"""From conditions to predicates over rows."""

import operator
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from typing import Any

from ..errors import ApiError
from ..ids import to_18
from ..schema import TEXT_TYPES, Field
from ..table import Row
from ..virtual import Reader
from . import ast, literals, relative
from .ast import Kind
from .paths import ResolvedPath, Scope, open_scope

Predicate = Callable[[Row], bool]
RunSubquery = Callable[[ast.Query], set[Any]]

_ORDERINGS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_MAX_LITERAL = 4000
_MAX_SEMI_JOINS = 2
_REFERENCES = frozenset({"id", "reference"})
_WANTED = {
    **dict.fromkeys(TEXT_TYPES | _REFERENCES, ("string", Kind.STRING)),
    **dict.fromkeys(("double", "currency", "percent"), ("double", Kind.NUMBER)),
    "int": ("int", Kind.NUMBER),
    "boolean": ("boolean", Kind.TRUE),
    "date": ("date", Kind.DATE),
    "datetime": ("dateTime", Kind.DATETIME),
}


class Conditions:
    """Compiles the conditions of one query; errors are ApiError as the org would answer."""

    def __init__(self, scope: Scope, run_subquery: RunSubquery) -> None:
        self._scope = scope
        self._run_subquery = run_subquery
        self._semi_joins = 0

    def compile(self, condition: ast.Condition, *, in_or: bool = False) -> Predicate:
        """Return the predicate of a condition."""
        match condition:
            case ast.Conjunction(operands):
                return _all([self.compile(operand, in_or=in_or) for operand in operands])
            case ast.Disjunction(operands):
                return _any([self.compile(operand, in_or=True) for operand in operands])
            case ast.Negation(operand):
                return _not(self.compile(operand, in_or=in_or))
            case ast.Membership():
                return self._membership(condition, in_or=in_or)
            case ast.Comparison():
                return self._comparison(condition)

    def _filterable(self, operand: ast.Path | ast.Call) -> ResolvedPath:
        path = self._scope.operand(operand)
        if not path.field.filterable or path.field.type == "address":
            message = f"field '{path.field.name}' can not be filtered in a query call"
            raise self._scope.error(path.token, "INVALID_FIELD", message)
        return path

    def _comparison(self, comparison: ast.Comparison) -> Predicate:
        path = self._filterable(comparison.operand)
        read = self._scope.comparable(path)
        if comparison.operator == "LIKE":
            return self._like(path, read, comparison.value)
        value = self.value(path, comparison.value)
        if isinstance(value, tuple):
            return _in_range(read, comparison.operator, *value)
        if comparison.operator in _ORDERINGS:
            return self._ordering(path, read, comparison.operator, value)
        return _equality(_folding(path.field, read), value, negated=comparison.operator == "!=")

    def _ordering(self, path: ResolvedPath, read: Reader, symbol: str, value: Any) -> Predicate:  # noqa: ANN401
        if path.field.type in {"boolean", "multipicklist"} or value is None:
            raise self._bad_operator(path)
        compare, read = _ORDERINGS[symbol], _folding(path.field, read)
        return lambda row: (found := read(row)) is not None and compare(found, value)

    def _like(self, path: ResolvedPath, read: Reader, literal: ast.Literal) -> Predicate:
        if path.field.type not in TEXT_TYPES or path.field.type == "multipicklist":
            raise self._bad_operator(path)
        if literal.kind is not Kind.STRING:
            raise self._mismatch(path)
        fits = self._decode(literals.like_pattern, literal).fullmatch
        return lambda row: (found := read(row)) is not None and fits(found) is not None

    def _membership(self, condition: ast.Membership, *, in_or: bool) -> Predicate:
        path = self._filterable(condition.operand)
        read, negated = self._scope.comparable(path), condition.operator in {"NOT IN", "EXCLUDES"}
        if condition.operator in {"INCLUDES", "EXCLUDES"}:
            return self._includes(path, read, condition.values, negated=negated)
        if isinstance(condition.values, ast.Query):
            wanted = self._semi_join(path, condition.values, in_or=in_or)
        else:
            wanted = {self._single(path, literal) for literal in condition.values}
        read = _folding(path.field, read)
        return (lambda row: read(row) not in wanted) if negated else (lambda row: read(row) in wanted)

    def _single(self, path: ResolvedPath, literal: ast.Literal) -> Any:  # noqa: ANN401 - a value of any field type
        value = self.value(path, literal)
        if isinstance(value, tuple):
            raise self._scope.error(literal.token, "MALFORMED_QUERY", f"unexpected token: '{literal.token}'")
        return value

    def _semi_join(self, path: ResolvedPath, query: ast.Query, *, in_or: bool) -> set[Any]:
        self._semi_joins += 1
        if in_or:
            message = "Semi join sub-selects are not allowed with the 'OR' operator"
            raise self._scope.error(path.token, "MALFORMED_QUERY", message)
        if self._semi_joins > _MAX_SEMI_JOINS:
            message = f"maximum semi join sub-selects is {_MAX_SEMI_JOINS}"
            raise self._scope.error(path.token, "MALFORMED_QUERY", message)
        select = query.select[0]
        inner = open_scope(self._scope.org, self._scope.text, query)
        if (
            len(query.select) > 1
            or not isinstance(select, ast.Path)
            or not _joinable(path, inner.resolve(select.token))
        ):
            message = "semi join sub-selects can only query id fields, and only one of them"
            raise self._scope.error(path.token, "MALFORMED_QUERY", message)
        return self._run_subquery(query)

    def _includes(
        self, path: ResolvedPath, read: Reader, values: tuple[ast.Literal, ...] | ast.Query, *, negated: bool
    ) -> Predicate:
        if path.field.type != "multipicklist" or isinstance(values, ast.Query):
            raise self._bad_operator(path)
        wanted = [frozenset((self._single(path, literal) or "").split(";")) for literal in values]

        def includes(row: Row) -> bool:
            chosen = frozenset((read(row) or "").lower().split(";"))
            return any(group <= chosen for group in wanted) != negated

        return includes

    def value(self, path: ResolvedPath, literal: ast.Literal) -> Any:  # noqa: ANN401 - a value of any field type
        """Return the value of a literal as this field is compared; a date literal gives a half-open range."""
        field = path.field
        if literal.kind is Kind.NULL:
            return False if field.type == "boolean" else None
        if literal.kind is Kind.RELATIVE and field.type in {"date", "datetime"}:
            return self._days(field, literal)
        wanted = _WANTED[field.type][1]
        if literal.kind is not wanted and not (wanted is Kind.TRUE and literal.kind is Kind.FALSE):
            raise self._mismatch(path)
        if field.type in _REFERENCES:
            return self._id(path, literal)
        return self._decode(_DECODERS[literal.kind], literal)

    def _decode(self, decode: Callable[[str], Any], literal: ast.Literal) -> Any:  # noqa: ANN401 - whatever the decoder gives
        if literal.kind is Kind.STRING and len(literal.token) > _MAX_LITERAL + 2:
            message = f"String literals cannot be longer than {_MAX_LITERAL} characters"
            raise self._scope.error(literal.token, "MALFORMED_QUERY", message)
        try:
            return decode(literal.token)
        except ValueError as error:
            raise self._scope.error(literal.token, "MALFORMED_QUERY", str(error)) from None

    def _days(self, field: Field, literal: ast.Literal) -> tuple[date, date]:
        today = self._scope.org.clock.now().date()
        first, last = self._decode(lambda text: relative.days(text, today), literal)
        return (first, last) if field.type == "date" else (_midnight(first), _midnight(last))

    def _id(self, path: ResolvedPath, literal: ast.Literal) -> str | None:
        text = self._decode(literals.string_value, literal)
        try:
            return to_18(text) if text else None
        except ValueError:
            message = f"invalid ID field: {text}"
            raise self._scope.error(path.token, "INVALID_QUERY_FILTER_OPERATOR", message) from None

    def _mismatch(self, path: ResolvedPath) -> ApiError:
        wanted, kind = _WANTED[path.field.type]
        quotes = "should be enclosed in quotes" if kind is Kind.STRING else "should not be enclosed in quotes"
        message = f"value of filter criterion for field '{path.field.name}' must be of type {wanted} and {quotes}"
        return self._scope.error(path.token, "INVALID_FIELD", message)

    def _bad_operator(self, path: ResolvedPath) -> ApiError:
        named = "id" if path.field.type in _REFERENCES else path.field.type
        return self._scope.error(path.token, "INVALID_QUERY_FILTER_OPERATOR", f"invalid operator on {named} field")


def _text(quoted: str) -> str | None:
    # An empty text is never stored: it means null.
    return literals.string_value(quoted).lower() or None


_DECODERS: dict[Kind, Callable[[str], Any]] = {
    Kind.STRING: _text,
    Kind.NUMBER: float,
    Kind.TRUE: lambda _text: True,
    Kind.FALSE: lambda _text: False,
    Kind.DATE: literals.date_value,
    Kind.DATETIME: literals.datetime_value,
}


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _joinable(outer: ResolvedPath, inner: ResolvedPath) -> bool:
    return outer.field.type in _REFERENCES and inner.field.type in _REFERENCES


def _folding(field: Field, read: Reader) -> Reader:
    """Read text in lower case, since comparisons ignore it; ids and numbers as they are."""
    if field.type not in TEXT_TYPES:
        return read
    return lambda row: None if (found := read(row)) is None else found.lower()


def _equality(read: Reader, value: Any, *, negated: bool) -> Predicate:  # noqa: ANN401
    return (lambda row: read(row) != value) if negated else (lambda row: read(row) == value)


def _in_range(read: Reader, symbol: str, first: Any, last: Any) -> Predicate:  # noqa: ANN401
    tests: dict[str, Callable[[Any], bool]] = {
        "=": lambda found: first <= found < last,
        "!=": lambda found: not first <= found < last,
        "<": lambda found: found < first,
        "<=": lambda found: found < last,
        ">": lambda found: found >= last,
        ">=": lambda found: found >= first,
    }
    test, of_null = tests[symbol], symbol == "!="
    return lambda row: of_null if (found := read(row)) is None else test(found)


def _all(predicates: list[Predicate]) -> Predicate:
    if len(predicates) == 2:  # the usual case, a third of the time of the general one
        left, right = predicates
        return lambda row: left(row) and right(row)
    return lambda row: all(predicate(row) for predicate in predicates)


def _any(predicates: list[Predicate]) -> Predicate:
    if len(predicates) == 2:
        left, right = predicates
        return lambda row: left(row) or right(row)
    return lambda row: any(predicate(row) for predicate in predicates)


def _not(predicate: Predicate) -> Predicate:
    return lambda row: not predicate(row)
