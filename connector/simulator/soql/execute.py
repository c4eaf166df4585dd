"""Which rows a query finds, in which order."""

from dataclasses import dataclass
from typing import Any

from ..errors import ApiError
from ..schema import TEXT_TYPES
from ..table import Row
from ..virtual import Reader
from . import ast
from .evaluate import Conditions, Predicate
from .ordering import sort
from .paths import Scope, open_scope

_MAX_OFFSET = 2000
SortKey = tuple[Reader, bool, bool]


@dataclass(frozen=True)
class Finder:
    """A compiled FROM … WHERE … ORDER BY … LIMIT … OFFSET."""

    scope: Scope
    include_deleted: bool
    lookup: tuple[str, tuple[str, ...]] | None
    predicate: Predicate | None
    keys: tuple[SortKey, ...]
    limit: int | None
    offset: int

    def find(self) -> list[Row]:
        """Return the rows of the whole table that match."""
        table = self.scope.org.tables[self.scope.kind.name]
        ids = None
        if self.lookup is not None:
            name, values = self.lookup
            found = values if name == "Id" else [i for value in values for i in table.where(name, value)]
            ids = dict.fromkeys(found)
        return self.among(table.visible(include_deleted=self.include_deleted, ids=ids))

    def among(self, rows: list[Row]) -> list[Row]:
        """Return which of some rows match, in order."""
        if self.predicate is not None:
            predicate = self.predicate
            rows = [row for row in rows if predicate(row)]
        rows = sort(rows, self.keys)
        return rows[self.offset : None if self.limit is None else self.offset + self.limit]


def compile_finder(scope: Scope, query: ast.Query, *, include_deleted: bool) -> Finder:
    """Check and compile all of a query but its select list; ApiError for what the org would refuse."""
    if query.offset > _MAX_OFFSET:
        raise ApiError("NUMBER_OUTSIDE_VALID_RANGE", f"Maximum SOQL offset allowed is {_MAX_OFFSET}")

    def values_of(inner: ast.Query) -> set[Any]:
        inner_scope = open_scope(scope.org, scope.text, inner)
        (path,) = (inner_scope.operand(item) for item in inner.select if not isinstance(item, ast.Query))
        rows = compile_finder(inner_scope, inner, include_deleted=include_deleted).find()
        return set(map(inner_scope.reader(path), rows)) - {None}

    conditions = Conditions(scope, values_of)
    predicate = None if query.where is None else conditions.compile(query.where)
    lookup = None if query.where is None else _lookup(scope, conditions, query.where)
    grouped = bool(query.group_by) or any(isinstance(item, ast.Call) for item in query.select)
    keys = () if grouped else tuple(_sort_key(scope, item) for item in query.order_by)
    limited = (None, 0) if grouped else (query.limit, query.offset)
    return Finder(scope, include_deleted, lookup, predicate, keys, *limited)


def _lookup(scope: Scope, conditions: Conditions, where: ast.Condition) -> tuple[str, tuple[str, ...]] | None:
    """Find a conjunct that names its rows by id or by a parent's id, so that the table need not be read through."""
    for condition in where.operands if isinstance(where, ast.Conjunction) else (where,):
        match condition:
            case ast.Comparison(ast.Path() as operand, "=", value):
                literals: tuple[ast.Literal, ...] = (value,)
            case ast.Membership(ast.Path() as operand, "IN", tuple() as values):
                literals = values
            case _:
                continue
        path = scope.resolve(operand.token)
        if not path.parents and path.field.type in {"id", "reference"} and path.field.stored:
            wanted = tuple(conditions.value(path, literal) for literal in literals)
            if None not in wanted:
                return path.field.name, wanted
    return None


def _sort_key(scope: Scope, item: ast.OrderItem) -> SortKey:
    path = scope.operand(item.operand)
    if not path.field.sortable:
        message = f"field '{path.field.name}' can not be sorted in a query call"
        raise scope.error(path.token, "INVALID_FIELD", message)
    read, nulls_last = scope.comparable(path), item.nulls_last and not path.parents
    if path.field.type in TEXT_TYPES:
        return _lower(read), item.descending, nulls_last
    return read, item.descending, nulls_last


def _lower(read: Reader) -> Reader:
    return lambda row: None if (value := read(row)) is None else value.lower()
