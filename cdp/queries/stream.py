"""What the streaming queries share."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from psycopg import sql
from psycopg.rows import dict_row
from sqlmodel import Session

from cdp.db import Statement, driver
from cdp.fields import Field

Row = dict[str, Any]


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


def as_uuid(text: str) -> UUID | None:
    """Return the UUID that a text spells, if it does."""
    try:
        return UUID(text)
    except ValueError:
        return None
