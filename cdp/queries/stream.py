"""What queries share: streaming, and the ids that people write."""

import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from psycopg import sql
from psycopg.rows import dict_row
from sqlmodel import Session

from cdp.db import Statement, driver
from cdp.fields import Field

Row = dict[str, Any]
_RECORD = re.compile(r"(?:sf_([0-9]{1,10})_[A-Za-z]+_)?([A-Za-z0-9]{18})")


def columns(fields: tuple[Field, ...]) -> sql.Composed:
    """The fields' columns of `record AS r`, to follow other columns; their names cannot meet those of the table."""
    return sql.SQL("").join(sql.SQL(", r.{}").format(sql.Identifier(field.column)) for field in fields)


def take_fields(row: Row, fields: tuple[Field, ...]) -> Row:
    """Take the fields out of a row that selected `columns`, under their own names."""
    return {field.name: row.pop(field.column) for field in fields}


def stream(session: Session, query: Statement, parameters: Row) -> Iterator[Row]:
    """Read through a server-side cursor, so that memory does not grow with the answer."""
    with driver(session).cursor("stream", row_factory=dict_row) as cursor:
        cursor.itersize = 2000
        yield from cursor.execute(query, parameters)


def as_record(text: str) -> tuple[int | None, str | None]:
    """Return the source's id and the Salesforce id that an external id spells; the latter alone for a Salesforce id.

    For any other text there is neither, and `record_handle` is not asked: it takes a backslash for an escape.
    """
    found = _RECORD.fullmatch(text)
    return (int(found[1]) if found[1] else None, found[2]) if found else (None, None)


def as_uuid(text: str) -> UUID | None:
    """Return the UUID that a text spells, if it does."""
    try:
        return UUID(text)
    except ValueError:
        return None
