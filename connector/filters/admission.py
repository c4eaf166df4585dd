"""How a filter bears on the reading of one object: what to select besides, what to ask for, how to judge each row."""

from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from psycopg import sql

from connector import soql
from connector.cursors import LAST_MODIFIED, SYSTEM_STAMP
from connector.errors import NeedsAttention
from connector.filters import to_soql, to_sql
from connector.filters.logic import Columns, reduce, settled
from connector.filters.tree import AnyOf, Node, fields_used
from connector.objects import PEOPLE

MAX_ENCODED = 7000  # of the 16,384 bytes that a GET may have, the rest is for the fields and the headers


@dataclass(frozen=True)
class Admission:
    """What a filter comes to for one object.

    `fields` are to be selected besides the mapped ones; `condition` may narrow a first or full read ("" narrows
    nothing); `predicate` tells of a staged row whether it is let in (None: every row is). With `nothing`, no row is
    and the object needs no API call.
    """

    fields: tuple[str, ...] = ()
    condition: str = ""
    predicate: sql.Composed | None = None
    nothing: bool = False


EVERYTHING = Admission()


@dataclass(frozen=True)
class Past:
    """What a complete read must see besides what the filter lets in, so that what no longer matches can leave.

    That is all that `former` filters let in, under which stored records came in, and all that has changed since
    `read_to`.
    """

    former: tuple[Node | None, ...] = ()
    read_to: datetime | None = None


NO_PAST = Past()


def admission(tree: Node | None, sobject: str, columns: Columns, now: datetime, past: Past = NO_PAST) -> Admission:
    """Return how to read an object under a filter; objects that are no people are read whole.

    Raises:
        NeedsAttention: a field that the filter asks about is gone or hidden.
    """
    if sobject not in PEOPLE or (answer := settled(tree, sobject)) is True:
        return EVERYTHING
    if answer is False:
        return Admission(nothing=True)
    used = fields_used(tree, sobject)
    if lost := [path for path in used if path not in columns]:
        raise NeedsAttention(
            "filter_field",
            f"The filter asks about {sobject}.{lost[0]}, which the login cannot see any more.",
            "Give the user read access to the field, or change the filter.",
            blocks=False,
        )
    rule = reduce(tree, sobject, columns, now)
    assert not isinstance(rule, bool)  # noqa: S101 - `settled` has told
    seen = _narrowing((tree, *past.former), sobject, columns, now)
    return Admission(used, _with_changes(seen, past.read_to, columns), to_sql.render(rule))


def _narrowing(trees: tuple[Node | None, ...], sobject: str, columns: Columns, now: datetime) -> str:
    """Return the condition of a read that must see all that one of the filters lets in.

    Where it would not fit into a GET, or one of them can no longer be asked, nothing is narrowed: the predicate judges
    every row anyway.
    """
    known = tuple(tree for tree in trees if tree is not None and set(fields_used(tree, sobject)) <= set(columns))
    if len(known) < len(trees):
        return ""
    rule = reduce(AnyOf.model_construct(any=known), sobject, columns, now)
    text = "" if isinstance(rule, bool) else to_soql.render(rule)
    return text if len(quote(text)) <= MAX_ENCODED else ""


def _with_changes(condition: str, read_to: datetime | None, columns: Columns) -> str:
    """Widen a condition by what has changed since; SystemModstamp moves with every change."""
    if not condition or read_to is None:
        return condition
    stamp = SYSTEM_STAMP if SYSTEM_STAMP in columns else LAST_MODIFIED
    return f"({condition} OR {soql.since(stamp, read_to)})"
