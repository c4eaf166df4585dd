"""COUNT, MIN, MAX, SUM and AVG, for all rows or by groups."""

from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any

from ..schema import NUMBER_TYPES
from ..table import Row
from ..virtual import Reader
from . import ast
from .ordering import sort
from .paths import Scope

Fold = Callable[[list[Row]], Any]
_NUMERIC = frozenset({"SUM", "AVG"})
_FOLDS: dict[str, Callable[[list[Any]], Any]] = {
    "COUNT": len,
    "COUNT_DISTINCT": lambda values: len(set(values)),
    "MIN": lambda values: min(values, default=None),
    "MAX": lambda values: max(values, default=None),
    "SUM": lambda values: sum(values) if values else None,
    "AVG": lambda values: fmean(values) if values else None,
}


def aggregate(scope: Scope, query: ast.Query, rows: list[Row]) -> tuple[list[str], list[dict[str, Any]]]:
    """Return the names of the columns and one result per group; ApiError for what cannot be grouped or folded."""
    columns = _columns(scope, query)
    groups = _groups(scope, query, rows)
    keys = [(_fold(scope, query, item.operand), item.descending, item.nulls_last) for item in query.order_by]
    ordered = sort(groups, keys)
    ordered = ordered[query.offset : None if query.limit is None else query.offset + query.limit]
    return list(columns), [{name: fold(group) for name, fold in columns.items()} for group in ordered]


def _columns(scope: Scope, query: ast.Query) -> dict[str, Fold]:
    columns: dict[str, Fold] = {}
    unnamed = 0
    for item in query.select:
        if isinstance(item, ast.Query):
            raise scope.error(item.source, "MALFORMED_QUERY", "sub-selects are not allowed with GROUP BY")
        if isinstance(item, ast.Path):
            name = scope.resolve(item.token).field.name
        elif item.alias:
            name = item.alias
        else:
            name, unnamed = f"expr{unnamed}", unnamed + 1
        if name in columns:
            raise scope.error(None, "MALFORMED_QUERY", f"duplicate alias: {name}")
        columns[name] = _fold(scope, query, item)
    return columns


def _fold(scope: Scope, query: ast.Query, item: ast.Path | ast.Call) -> Fold:
    if isinstance(item, ast.Path):
        path = scope.resolve(item.token)
        if path.column not in {scope.resolve(grouped.token).column for grouped in query.group_by}:
            raise scope.error(item.token, "MALFORMED_QUERY", f"Field must be grouped or aggregated: {item.token}")
        first = scope.reader(path)
        return lambda rows: first(rows[0])
    function = item.function.upper()
    if function not in _FOLDS or (item.argument is None and function != "COUNT"):
        raise scope.error(item.function, "MALFORMED_QUERY", f"unexpected token: '{item.function}'")
    if item.argument is None:
        return len
    path = scope.resolve(item.argument)
    if function in _NUMERIC and path.field.type not in NUMBER_TYPES:
        message = f"field {path.field.name} does not support aggregate operator {function}"
        raise scope.error(item.argument, "MALFORMED_QUERY", message)
    return _over_values(_FOLDS[function], scope.reader(path))


def _over_values(fold: Callable[[list[Any]], Any], read: Reader) -> Fold:
    return lambda rows: fold([value for value in map(read, rows) if value is not None])


def _groups(scope: Scope, query: ast.Query, rows: list[Row]) -> list[list[Row]]:
    if not query.group_by:
        return [rows]
    readers = [_group_reader(scope, path) for path in query.group_by]
    groups: dict[Sequence[Any], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple([read(row) for read in readers]), []).append(row)
    return list(groups.values())


def _group_reader(scope: Scope, item: ast.Path) -> Reader:
    path = scope.resolve(item.token)
    if not path.field.groupable:
        message = f"field '{path.field.name}' can not be grouped in a query call"
        raise scope.error(item.token, "INVALID_FIELD", message)
    read = scope.reader(path)
    return lambda row: (
        value.lower() if isinstance(value := read(row), str) and path.field.type != "reference" else value
    )
