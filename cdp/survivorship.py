"""Whose value wins: one aggregate expression a person field, over a person's records in order of precedence."""

from types import MappingProxyType
from typing import LiteralString

from psycopg import sql

from cdp.fields import Field

# Newest first; ties by kind of record, then by the order of connection, then by id: a total order.
PRECEDENCE = sql.SQL("r.modified_at DESC, r.rank, r.source_id, r.record_id")

_RULES: MappingProxyType[str, LiteralString] = MappingProxyType(
    {
        "most_recent": "first_non_null({column})",
        "source_priority": "first_non_null({column} ORDER BY source_id, modified_at DESC, rank, record_id)",
        "any_true": "bool_or({column})",
        "union": (
            "(SELECT array_agg(DISTINCT item ORDER BY item) FROM unnest(string_to_array(string_agg("
            "array_to_string({column}, chr(31)), chr(31)), chr(31))) AS item)"
        ),
    }
)


def winner(field: Field) -> sql.Composed:
    """Return the aggregate over rows sorted by PRECEDENCE that yields the field's value; blank text never wins."""
    column = sql.Identifier(field.column)
    value = sql.SQL(_RULES[field.rule]).format(column=column)
    if field.type != "text":
        return value
    return sql.SQL("{} FILTER (WHERE NOT is_blank({}))").format(value, column)
