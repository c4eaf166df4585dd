"""Rows as the CSV of Bulk API 2.0: all values quoted, quotes doubled, LF."""

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from typing import Any

from .soql.paths import ResolvedPath, Scope
from .table import Row

Column = Callable[[Sequence[Row]], Iterable[Any]]
_BOOLEANS = {True: "true", False: "false", None: ""}


def _datetime_text(value: datetime | str | None) -> str | None:
    return value if value is None or isinstance(value, str) else value.isoformat()[:19] + ".000Z"


def _date_text(value: date | str | None) -> str | None:
    return value if value is None or isinstance(value, str) else value.isoformat()


_TEXTS: dict[str, Callable[[Any], Any]] = {"datetime": _datetime_text, "date": _date_text, "boolean": _BOOLEANS.get}


def column(scope: Scope, path: ResolvedPath) -> Column:
    """Return a function from rows to the values of one column, ready to be written."""
    read = scope.reader(path)
    text = _TEXTS.get(path.field.type)
    # Whole columns through `map` cost a third of value by value: a bulk page may have millions.
    return (lambda rows: map(read, rows)) if text is None else (lambda rows: map(text, map(read, rows)))


def encode(rows: Iterable[Sequence[Any]]) -> bytes:
    """Return lines of CSV in UTF-8; lone surrogates pass through as they are, which a strict reader will refuse."""
    buffer = io.StringIO()
    csv.writer(buffer, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
    return buffer.getvalue().encode("utf-8", "surrogatepass")


def encode_columns(columns: Sequence[Column], rows: Sequence[Row]) -> bytes:
    """Return the lines of some rows."""
    return encode(zip(*(read(rows) for read in columns), strict=True))
