"""What a filter means: a condition tree, read and checked, then asked of an org (SOQL), a batch (SQL) or a row."""

from collections.abc import Collection, Mapping
from datetime import datetime

from psycopg import sql

from connector.errors import BadInput
from connector.filters import in_python, to_soql, to_sql
from connector.filters.admission import EVERYTHING, Admission, Past, admission
from connector.filters.checks import check
from connector.filters.logic import Columns, reduce, settled
from connector.filters.tree import Node, dump, failing, fields_used, parse, read

__all__ = [
    "EVERYTHING",
    "Admission",
    "Columns",
    "Node",
    "Past",
    "admission",
    "check",
    "check_length",
    "compiled",
    "dump",
    "evaluate",
    "failing",
    "fields_used",
    "in_words",
    "parse",
    "predicate",
    "read",
    "settled",
]

MAX_STATEMENT = 80_000  # of the 100,000 characters of a SOQL statement


def compiled(tree: Node | None, sobject: str, columns: Columns, now: datetime) -> str | bool:
    """Return a SOQL condition, True when every row of the object is let in, or False when none is."""
    rule = reduce(tree, sobject, columns, now)
    return rule if isinstance(rule, bool) else to_soql.render(rule)


def evaluate(tree: Node | None, sobject: str, columns: Columns, row: Mapping[str, str], now: datetime) -> bool:
    """Tell whether a row is let in; it is path → text as in a Bulk CSV."""
    rule = reduce(tree, sobject, columns, now)
    return rule if isinstance(rule, bool) else in_python.holds(rule, row)


def predicate(tree: Node | None, sobject: str, columns: Columns, now: datetime) -> sql.Composed | bool:
    """Return what `evaluate` tells as SQL over columns of text named by paths, or the answer for all rows."""
    rule = reduce(tree, sobject, columns, now)
    return rule if isinstance(rule, bool) else to_sql.render(rule)


def check_length(tree: Node | None, columns: Mapping[str, Columns], now: datetime) -> None:
    """Refuse a filter that makes too long a query; `columns` is path → column by object."""
    for sobject, known in columns.items():
        text = compiled(tree, sobject, known, now)
        if isinstance(text, str) and len(text) > MAX_STATEMENT:
            raise BadInput(f"The filter makes a query of {len(text)} characters for {sobject}: shorten its lists.")


def in_words(tree: Node | None, objects: Collection[str]) -> str:
    """Return in a sentence which of the objects a filter lets in, and how to include one that it leaves out."""
    out = [one for one in objects if settled(tree, one) is False]
    let_in = [one for one in objects if one not in out]
    if not out:
        return f"The filter can let in {' and '.join(f'{one}s' for one in let_in)}."
    if not let_in:
        return "The filter lets nothing in: every record leaves."
    include = f'{{"any": [<this filter>, {{"field": "object", "op": "equals", "value": "{out[0]}"}}]}}'
    return (
        f"The filter admits only {let_in[0]}s: {out[0]}s are left out. To include them, write {include}, "
        f"or ask about {out[0]} fields there."
    )
