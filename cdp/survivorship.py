"""Whose value wins: one aggregate expression a field over records in order of precedence, and the same in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, LiteralString

from psycopg import sql

from cdp.fields import Field, Rules
from cdp.normalize import SPACES

# Newest first; ties by kind of record, then by the order of connection, then by id: a total order.
PRECEDENCE = sql.SQL("r.modified_at DESC, r.rank, r.source_id, r.record_id")

_RULES: MappingProxyType[str, LiteralString] = MappingProxyType(
    {
        "most_recent": "first_non_null({column})",
        "source_priority": "first_non_null({column} ORDER BY {sources}, modified_at DESC, rank, record_id)",
        "any_true": "bool_or({column})",
        "union": (
            "(SELECT array_agg(DISTINCT item ORDER BY item) FROM unnest(string_to_array(string_agg("
            "array_to_string({column}, chr(31)), chr(31)), chr(31))) AS item)"
        ),
    }
)


def winner(field: Field, rules: Rules) -> sql.Composed:
    """Return the aggregate over rows sorted by PRECEDENCE that yields the field's value; blank text never wins."""
    column = sql.Identifier(field.column)
    value = sql.SQL(_RULES[field.rule]).format(column=column, sources=_source_place(rules.source_order))
    if field.type != "text":
        return value
    return sql.SQL("{} FILTER (WHERE NOT is_blank({}))").format(value, column)


def _source_place(order: Sequence[int]) -> sql.Composable:
    if not order:
        return sql.SQL("source_id")
    return sql.SQL("array_position({}::integer[], source_id), source_id").format(sql.Literal(list(order)))


@dataclass(frozen=True)
class Loser:
    """A record whose value for a field was not taken, and why."""

    source: str
    object: str
    record_id: str
    value: Any
    reason: str


@dataclass(frozen=True)
class Verdict:
    """Why a person's field has its value: the record that won by the rule, and those that lost."""

    field: str
    rule: str
    value: Any
    source: str
    object: str
    record_id: str
    modified_at: datetime
    losers: tuple[Loser, ...]


def judge(field: Field, rules: Rules, laid: Sequence[Mapping[str, Any]]) -> Verdict | None:
    """Explain a field of a person from its records in order of precedence; None when no record has a value."""
    order = list(laid)
    if field.rule == "source_priority":
        place = {source_id: at - len(rules.source_order) for at, source_id in enumerate(rules.source_order)}
        order.sort(key=lambda row: (place.get(row["source_id"], 0), row["source_id"]))
    if field.rule == "any_true":
        order.sort(key=lambda row: row[field.column] is not True)
    candidates = [row for row in order if not _blank(row[field.column])]
    if not candidates:
        return None
    won = candidates[0]
    value = won[field.column]
    if field.rule == "union":
        value = sorted({item for row in candidates for item in row[field.column]})
    losers = tuple(_loser(field, row, won) for row in order if row is not won)
    return Verdict(
        field.name, field.rule, value, won["source"], won["object"], won["record_id"], won["modified_at"], losers
    )


def _blank(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip(SPACES))


def _loser(field: Field, row: Mapping[str, Any], won: Mapping[str, Any]) -> Loser:
    return Loser(row["source"], row["object"], row["record_id"], row[field.column], _reason(field, row, won))


def _reason(field: Field, row: Mapping[str, Any], won: Mapping[str, Any]) -> str:
    reasons = (
        ("has no value", _blank(row[field.column])),
        ("its values are joined in", field.rule == "union"),
        ("one record says yes", field.rule == "any_true" and row[field.column] != won[field.column]),
        ("its source comes later", field.rule == "source_priority" and row["source_id"] != won["source_id"]),
        ("was modified earlier", row["modified_at"] != won["modified_at"]),
        ("same stamp, and its kind of record comes later", row["rank"] != won["rank"]),
        ("same stamp, and its source was connected later", row["source_id"] != won["source_id"]),
    )
    return next((reason for reason, holds in reasons if holds), "same stamp, and its id comes later")
