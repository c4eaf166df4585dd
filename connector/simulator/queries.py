"""REST queries: `query`, `queryAll` and the pages after the first."""

from __future__ import annotations

import re
from typing import Any

from starlette.responses import Response

from .cursors import Cursor
from .errors import ApiError
from .query import QueryResult, run_query
from .wire import Call, data_route, reply

SMALLEST_PAGE, LARGEST_PAGE = 200, 2000
LONG_TEXT = 255


def query(call: Call) -> Response:
    """`GET …/query?q=SOQL`: the rows that are not deleted."""
    return _first_page(call, include_deleted=False)


def query_all(call: Call) -> Response:
    """`GET …/queryAll?q=SOQL`: deleted rows too."""
    return _first_page(call, include_deleted=True)


def more(call: Call) -> Response:
    """`GET …/query/LOCATOR`: the next page. Raises ApiError INVALID_QUERY_LOCATOR."""
    found = call.instance.cursors.find(call.params["locator"])
    if found is None:
        raise ApiError("INVALID_QUERY_LOCATOR", "invalid query locator")
    cursor, offset = found
    return reply(_page(call, cursor.result, offset, cursor))


def _first_page(call: Call, *, include_deleted: bool) -> Response:
    soql = call.query.get("q", "")
    if not soql.strip():
        raise ApiError("MALFORMED_QUERY", "SOQL statement cannot be empty")
    result = run_query(call.instance.org, soql, include_deleted=include_deleted)
    if result.kind == "count":
        return reply({"totalSize": result.total, "done": True, "records": []})
    return reply(_page(call, result, 0, None))


def _page(call: Call, result: QueryResult, start: int, cursor: Cursor | None) -> dict[str, Any]:
    stop = min(start + _page_rows(call, result), result.total)
    done = stop == result.total
    page: dict[str, Any] = {"totalSize": result.total, "done": done}
    if not done:
        cursor = cursor or call.instance.cursors.open(result)
        page["nextRecordsUrl"] = f"/services/data/v{call.version}/query/{call.instance.cursors.locator(cursor, stop)}"
    return page | {"records": result.json_records(start, stop, version=call.version)}


def _page_rows(call: Call, result: QueryResult) -> int:
    """Rows of this page: as asked within 200 to 2000, fewer if there are two long texts or the server so chooses."""
    fault = call.struck_by("page_size")
    if fault:
        return fault.page_rows()
    asked = re.search(r"batchSize\s*=\s*(\d+)", call.headers.get("sforce-query-options", ""), re.IGNORECASE)
    rows = int(asked.group(1)) if asked else LARGEST_PAGE
    most = SMALLEST_PAGE if _long_texts(call, result) > 1 else LARGEST_PAGE
    return min(max(rows, SMALLEST_PAGE), most, call.instance.settings.max_page_size)


def _long_texts(call: Call, result: QueryResult) -> int:
    kind = call.instance.org.catalog.find(result.object)
    found = (kind.find(column) for column in result.columns) if kind else ()
    return sum(1 for field in found if field and field.type == "textarea" and field.length > LONG_TEXT)


ROUTES = [
    data_route("/query", query),
    data_route("/queryAll", query_all),
    data_route("/query/{locator}", more),
    data_route("/queryAll/{locator}", more),
]
