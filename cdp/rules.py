"""The rules that people are made by: changing them, and what a change would do to whom, told beforehand."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlmodel import Session, col, select, update

from cdp import feed
from cdp.db import driver, rows
from cdp.errors import InvalidField
from cdp.fields import Field, Rules, rules
from cdp.merging import Identity
from cdp.models import PersonField, Source
from cdp.verification import SHOWN, Difference, compare_people, leave_out_pending, rebuild, rebuilding


@dataclass(frozen=True)
class Preview:
    """What people would become by other rules, in people: `change` counts those new, gone or with another value.

    `merging` and `splitting` are examples: a `person_id` with the ids it is `made_of` now, or would be `parted_into`.
    """

    people: int
    change: int
    merge: int
    split: int
    examples: list[Difference]
    merging: list[dict[str, Any]]
    splitting: list[dict[str, Any]]


def with_rule(in_force: Rules, name: str, rule: str) -> Rules:
    """Return the rules with another rule for one person field.

    Raises:
        InvalidField: there is no such field, or the rule does not fit its type.
    """
    found = next((field for field in in_force.fields if field.name == name), None)
    if found is None:
        raise InvalidField(f"There is no person field '{name}': `connector map` makes one.")
    changed = Field(name, found.type, rule)
    return replace(in_force, fields=tuple(changed if field is found else field for field in in_force.fields))


def set_rules(session: Session, changed: Rules) -> None:
    """Put rules in force; the resolver's next pass recomputes everybody by them."""
    for field in changed.fields:
        session.exec(update(PersonField).where(col(PersonField.name) == field.name).values(rule=field.rule))
    session.exec(update(Source).values(priority=None))
    for place, source_id in enumerate(changed.source_order):
        session.exec(update(Source).where(col(Source.id) == source_id).values(priority=place))


def with_source_order(session: Session, in_force: Rules, first: Sequence[int]) -> Rules:
    """Return the rules with these sources first for `source_priority`; the others follow in order of connection."""
    every = list(session.exec(select(Source.id).order_by(col(Source.id))))
    natural = list(first) == every[: len(first)]
    return replace(in_force, source_order=() if natural else tuple(first))


def preview(url: str, identity: Identity, proposed: Rules | None = None) -> Preview:
    """Tell how people would change by these rules (those in force, if none), with a few examples; writes nothing."""
    with rebuilding(url) as session:
        connection = driver(session)
        by = proposed or rules(session)
        leave_out_pending(connection, identity)
        rebuild(connection, identity, by)
        feed.note_passages(connection, everything=True)
        different, examples = compare_people(connection, by)
        return Preview(
            change=different,
            examples=examples,
            merging=rows(connection, _MERGING, {"shown": SHOWN}),
            splitting=rows(connection, _SPLITTING, {"shown": SHOWN}),
            **rows(connection, _COUNTS)[0],
        )


_COUNTS = """
    WITH pair AS (SELECT old_id, new_id FROM passage WHERE old_id IS NOT NULL AND new_id IS NOT NULL)
    SELECT (SELECT count(*) FROM rebuilt) AS people,
           (SELECT count(*) FROM (SELECT FROM pair GROUP BY new_id HAVING count(*) > 1) AS merged) AS merge,
           (SELECT count(*) FROM (SELECT FROM pair GROUP BY old_id HAVING count(*) > 1) AS parted) AS split
"""
_MERGING = """
    SELECT new_id AS person_id, array_agg(old_id ORDER BY old_id) AS made_of FROM passage
    WHERE old_id IS NOT NULL AND new_id IS NOT NULL GROUP BY new_id HAVING count(*) > 1 ORDER BY new_id LIMIT %(shown)s
"""
_SPLITTING = """
    SELECT old_id AS person_id, array_agg(new_id ORDER BY new_id) AS parted_into FROM passage
    WHERE old_id IS NOT NULL AND new_id IS NOT NULL GROUP BY old_id HAVING count(*) > 1 ORDER BY old_id LIMIT %(shown)s
"""
