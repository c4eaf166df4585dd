"""Where the rows of an object are kept: each table, what a row of it knows of itself, and how it is found by id."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import LiteralString

from psycopg import sql


@dataclass(frozen=True)
class Table:
    """A table of rows as last read: its `columns`, as SQL types that text is read as, and those that are `required`.

    Statements that are the same for all tables have a row of it as `r`, and the parameters `source`, `org`, `object`.
    """

    name: str
    columns: Mapping[str, LiteralString]
    required: frozenset[str]

    @property
    def identifier(self) -> sql.Identifier:
        """Its name in a statement."""
        return sql.Identifier(self.name)

    @property
    def own(self) -> sql.SQL:
        """The condition that `r` is of the statement's source and object."""
        return sql.SQL("r.source_id = %(source)s AND r.object = %(object)s")

    def same(self, record_id: sql.Composable) -> sql.Composed:
        """The condition that `r` is the record with an id, by the table's key."""
        return sql.SQL("r.handle = record_handle(%(org)s, %(object)s, {})").format(record_id)


RECORD = Table(
    name="record",
    columns=MappingProxyType(
        {
            "record_id": "text",
            "is_deleted": "boolean",
            "created_at": "timestamptz",
            "modified_at": "timestamptz",
            "version_at": "timestamptz",
            "email": "text",
            "is_converted": "boolean",
            "converted_to": "text",
            "merged_into": "text",
        }
    ),
    required=frozenset({"record_id", "is_deleted", "created_at", "modified_at", "version_at"}),
)
