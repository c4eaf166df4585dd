"""Queries: from SOQL to a result that is rendered page by page."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from . import recycle
from .csv_rows import Column, column, encode, encode_columns
from .errors import ApiError
from .org import Org
from .render import Json, Render, json_value, record_renderer
from .soql import ast
from .soql.aggregate import aggregate
from .soql.execute import compile_finder
from .soql.parser import parse
from .soql.paths import Scope, open_scope
from .soql.selection import select_paths
from .table import Row

_CSV_ROWS = 250


@dataclass(frozen=True)
class QueryResult:
    """What a query found: ids in order, fixed when it ran, with values as they are when rendered.

    `total` counts what was found; a row that is gone, or deleted since, is left out when its page is rendered.
    `columns` are the paths asked for in the org's own spelling. Of kind "count" only `total` matters; of kind
    "aggregate" there are results instead of rows.
    """

    org: Org
    object: str
    kind: Literal["rows", "count", "aggregate"]
    columns: list[str]
    total: int
    rows: Sequence[str]
    aggregates: Sequence[Json]
    include_deleted: bool
    _render: Render | None = None
    _columns: Sequence[Column] = ()

    def json_records(self, start: int = 0, stop: int | None = None, version: str = "66.0") -> list[Json]:
        """Return a slice of the records as the REST API shows them, parents and children nested."""
        with self.org.lock:
            if self._render is None:
                return [{"attributes": {"type": "AggregateResult"}, **result} for result in self.aggregates[start:stop]]
            return [self._render(row, version) for row in self._present(start, stop)]

    def csv(self, start: int = 0, stop: int | None = None, *, header: bool = True) -> Iterator[bytes]:
        """Yield a slice of the rows as CSV in chunks of about 64 KiB, the header first if wanted."""
        if header:
            yield encode([self.columns])
        end = self.total if stop is None else min(stop, self.total)
        for first in range(start, end, _CSV_ROWS):
            with self.org.lock:
                chunk = encode_columns(self._columns, self._present(first, min(first + _CSV_ROWS, end)))
            yield chunk

    def _present(self, start: int, stop: int | None) -> list[Row]:
        table = self.org.tables[self.object]
        return table.visible(include_deleted=self.include_deleted, ids=self.rows[start:stop])


def run_query(org: Org, soql: str, *, include_deleted: bool = False) -> QueryResult:
    """Run a query as the integration user; `include_deleted` is queryAll.

    ApiError as the org would answer: MALFORMED_QUERY, INVALID_FIELD, INVALID_TYPE, INVALID_QUERY_FILTER_OPERATOR, …
    """
    query = parse(soql)
    with org.lock:
        recycle.expire(org)
        scope = open_scope(org, soql, query)
        finder = compile_finder(scope, query, include_deleted=include_deleted)
        if _is_aggregate(query):
            return _aggregate_result(scope, query, finder.find(), include_deleted=include_deleted)
        paths = select_paths(scope, query)
        render = record_renderer(scope, query, include_deleted=include_deleted)
        columns = [column(scope, path) for path in paths]
        ids = [row[0] for row in finder.find()]
        names = [path.column for path in paths]
        return QueryResult(org, scope.kind.name, "rows", names, len(ids), ids, (), include_deleted, render, columns)


def check_bulk(org: Org, soql: str) -> str:
    """Return the object type of a query that Bulk API 2.0 takes.

    ApiError for aggregates, grouping, OFFSET, subqueries in the select list, compound fields, and what REST refuses.
    """
    query = parse(soql)
    with org.lock:
        scope = open_scope(org, soql, query)
        if _is_aggregate(query):
            raise ApiError("API_ERROR", "Aggregate queries not supported in Bulk Query")
        if query.offset:
            raise ApiError("API_ERROR", "OFFSET not supported in Bulk Query")
        if any(isinstance(item, ast.Query) for item in query.select):
            raise ApiError("API_ERROR", "Aggregate Relationships not supported in Bulk Query")
        if any(path.field.type == "address" for path in select_paths(scope, query)):
            raise ApiError("API_ERROR", "Selecting compound data not supported in Bulk Query")
        compile_finder(scope, query, include_deleted=True)
        return scope.kind.name


def _is_aggregate(query: ast.Query) -> bool:
    calls = (item for item in query.select if isinstance(item, ast.Call))
    return bool(query.group_by) or any(call.function.upper() != "FIELDS" for call in calls)


def _is_plain_count(query: ast.Query) -> bool:
    return all(isinstance(item, ast.Call) and item.argument is None for item in query.select) and not query.group_by


def _aggregate_result(scope: Scope, query: ast.Query, rows: list[Row], *, include_deleted: bool) -> QueryResult:
    names, results = aggregate(scope, query, rows)
    org, name = scope.org, scope.kind.name
    if _is_plain_count(query):
        total = len(rows[query.offset :]) if query.limit is None else min(len(rows), query.limit)
        return QueryResult(org, name, "count", [], total, (), (), include_deleted)
    return QueryResult(org, name, "aggregate", names, len(results), (), _json(results), include_deleted)


def _json(results: list[dict[str, Any]]) -> list[Json]:
    return [{name: json_value(value) for name, value in result.items()} for result in results]
