"""A rule as SQL over staged text columns, so that a whole batch is judged in the database."""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import LiteralString

from psycopg import sql

from connector.filters.in_python import fold
from connector.filters.logic import Among, Both, Either, Empty, Includes, Inverse, Like, Order, Rule, Value
from connector.paths import Column

_CASTS: Mapping[str, LiteralString] = MappingProxyType({"number": "numeric", "date": "date", "datetime": "timestamptz"})
_SYMBOLS: Mapping[str, sql.SQL] = MappingProxyType({symbol: sql.SQL(symbol) for symbol in ("<", "<=", ">", ">=")})


def render(rule: Rule) -> sql.Composed:
    """Return an expression that is true or false of a row whose columns are named by paths and hold text or null.

    It must run in a statement without parameters: a percent sign in a literal stands for itself.
    """
    match rule:
        case Both():
            return sql.SQL("({})").format(sql.SQL(" AND ").join(map(render, rule.parts)))
        case Either():
            return sql.SQL("({})").format(sql.SQL(" OR ").join(map(render, rule.parts)))
        case Inverse():
            return sql.SQL("(NOT {})").format(render(rule.part))
        case Empty():
            return sql.SQL("({} IS NULL)").format(sql.Identifier(rule.column.path))
        case Among() if rule.column.kind == "boolean":
            ticked = sql.SQL("(coalesce({}, '') = 'true')").format(sql.Identifier(rule.column.path))
            return ticked if rule.values[0] else sql.SQL("(NOT {})").format(ticked)
    return sql.SQL("coalesce({}, false)").format(_test(rule))


def _test(rule: Among | Like | Order | Includes) -> sql.Composed:
    cell = _cell(rule.column)
    match rule:
        case Among():
            values = [_literal(rule.column, value) for value in rule.values]
            return sql.SQL("{} IN ({})").format(cell, sql.SQL(", ").join(values))
        case Like():
            function = sql.SQL("strpos({}, {}) > 0") if rule.anywhere else sql.SQL("starts_with({}, {})")
            return function.format(cell, _literal(rule.column, rule.text))
        case Order():
            return sql.SQL("{} {} {}").format(cell, _SYMBOLS[rule.symbol], _literal(rule.column, rule.value))
        case Includes():
            chosen = sql.SQL("string_to_array({}, ';')").format(cell)
            groups = [sql.Literal([fold(item) for item in group]) for group in rule.groups]
            tests = (sql.SQL("{} @> {}::text[]").format(chosen, group) for group in groups)
            return sql.SQL("({})").format(sql.SQL(" OR ").join(tests))


def _cell(column: Column) -> sql.Composed:
    """The value of a column as it is compared; what does not belong into its type counts as empty."""
    name = sql.Identifier(column.path)
    if column.kind in _CASTS:
        kind = _CASTS[column.kind]
        valid = sql.SQL("CASE WHEN pg_input_is_valid({}, {}) THEN {}::{} END")
        return valid.format(name, sql.Literal(kind), name, sql.SQL(kind))
    if column.kind == "id" or column.exact:
        return sql.SQL('({} COLLATE "C")').format(name)
    return sql.SQL("lower({} COLLATE pg_c_utf8)").format(name)


def _literal(column: Column, value: Value) -> sql.Composed:
    if isinstance(value, str) and column.kind != "id" and not column.exact:
        value = fold(value)
    text = value.isoformat() if isinstance(value, datetime) else str(value)
    return sql.SQL("{}::{}").format(sql.Literal(text), sql.SQL(_CASTS.get(column.kind, "text")))
