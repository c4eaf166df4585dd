"""Query text from pure functions: names are checked, values are rendered as literals, nothing else gets in."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime

IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*){0,5}")
RECORD_ID = re.compile(r"[A-Za-z0-9]{15}([A-Za-z0-9]{3})?")


def name(text: str) -> str:
    """Return an object's or field's name (or path) unchanged; raises ValueError for anything else."""
    if not IDENTIFIER.fullmatch(text):
        raise ValueError(f"not a Salesforce name: {text!r}")
    return text


def stamp(moment: datetime) -> str:
    """Return a datetime literal in UTC to the second, the grain of Salesforce's stamps."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def record_id(text: str) -> str:
    """Return a quoted record id; raises ValueError for anything else."""
    if not RECORD_ID.fullmatch(text):
        raise ValueError(f"not a Salesforce id: {text!r}")
    return f"'{text}'"


def since(field: str, lo: datetime | None) -> str:
    """Return the condition that a stamp is not before `lo`; no condition without it."""
    return f"{name(field)} >= {stamp(lo)}" if lo is not None else ""


def before(field: str, hi: datetime) -> str:
    """Return the condition that a stamp is before `hi`."""
    return f"{name(field)} < {stamp(hi)}"


def following(field: str, after: tuple[datetime, str]) -> str:
    """Return the condition of what comes after (stamp, id) in the order of both: a keyset, safe among equal stamps."""
    moment, last = stamp(after[0]), record_id(after[1])
    return f"({name(field)} > {moment} OR ({name(field)} = {moment} AND Id > {last}))"


def among(ids: Sequence[str]) -> str:
    """Return the condition that a record is one of those with the ids."""
    return f"Id IN ({', '.join(map(record_id, ids))})"


def both(*conditions: str) -> str:
    """Join conditions by AND; empty ones say nothing."""
    return " AND ".join(condition for condition in conditions if condition)


def select(sobject: str, fields: Sequence[str], condition: str = "", order_by: Sequence[str] = ()) -> str:
    """Return a query for the fields of an object; `condition` comes from this module."""
    parts = ["SELECT", ", ".join(map(name, fields)), "FROM", name(sobject)]
    if condition:
        parts += ["WHERE", condition]
    if order_by:
        parts += ["ORDER BY", ", ".join(map(name, order_by))]
    return " ".join(parts)


def count(sobject: str, condition: str = "") -> str:
    """Return the query that counts what `select` with the same condition would read."""
    parts = ["SELECT COUNT() FROM", name(sobject)]
    return " ".join([*parts, "WHERE", condition] if condition else parts)
