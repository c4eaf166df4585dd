"""Decisions about people: facts beside the records, which outweigh the keys until they are undone.

A *split* takes the records it names out of whatever group they would be in: they, and nobody else, are a person of
their own, whatever their emails and conversions say. A *join* is one more bond between the records it names, as a
shared email would be. A split outweighs a join; a record that several splits name is with those that the same name.
Once Salesforce has merged a record into another, a decision that names the one means the other.
"""

from collections.abc import Sequence
from uuid import UUID

from sqlmodel import Session

from cdp.db import driver, rows
from cdp.errors import NotDecidable
from cdp.models import Decision, DecisionRecord

DECISION_LOCK = 0x0C_DE  # its advisory lock: one decision at a time


def split(session: Session, handles: Sequence[UUID], reason: str) -> int:
    """Decide that these records of one person are another person; returns the decision's id.

    Raises:
        NotDecidable: they are not live records of one person, or they are all it has, or another decision is under way.
    """
    _take_turn(session, "split", handles)
    people = _people(session, handles)
    if None in people or len(people) != 1:
        raise NotDecidable(
            "A split names live records of one person, and these are not: see `connector person RECORD`."
        )
    [held] = driver(session).execute(
        "SELECT count(*) FROM membership WHERE person_id = %s", (people.pop(),)
    ).fetchone() or (0,)
    if held == len(set(handles)):
        raise NotDecidable("These are all records of their person: name only those that belong to somebody else.")
    return _decide(session, "split", handles, reason)


def join(session: Session, handles: Sequence[UUID], reason: str) -> int:
    """Decide that these records are one person; returns the decision's id.

    Raises:
        NotDecidable: fewer than two live records, or a split keeps one of them apart, or it is decided already, or
            another decision is under way.
    """
    _take_turn(session, "join", handles)
    if len(set(handles)) < 2 or None in _people(session, handles):
        raise NotDecidable("A join names two live records.")
    splits = rows(
        driver(session),
        """
        SELECT min(d.id) AS id FROM decision AS d JOIN decided AS n ON n.decision_id = d.id
        WHERE d.kind = 'split' AND n.handle = ANY (%(handles)s)
        """,
        {"handles": list(handles)},
    )[0]
    if splits["id"] is not None:
        raise NotDecidable(
            f"Decision {splits['id']} keeps one of them apart: first `connector people undo {splits['id']}`."
        )
    return _decide(session, "join", handles, reason)


def undo(session: Session, decision_id: int) -> None:
    """Take a decision back; people will be as if it had never been.

    Raises:
        NotDecidable: there is no such decision, or it is undone already.
    """
    undone = driver(session).execute(
        "UPDATE decision SET undone_at = now() WHERE id = %s AND undone_at IS NULL", (decision_id,)
    )
    if not undone.rowcount:
        raise NotDecidable(f"There is no decision {decision_id} in force: see `connector people decisions`.")
    _queue(session, decision_id)


def _take_turn(session: Session, kind: str, handles: Sequence[UUID]) -> None:
    """Let one decision be made at a time, of people as the decisions before have made them."""
    driver(session).execute("SELECT pg_advisory_xact_lock(%s)", (DECISION_LOCK,))
    asked = {"kind": kind, "handles": sorted(set(handles))}
    if made := rows(driver(session), _ALREADY, asked):
        raise NotDecidable(f"Decision {made[0]['id']} says just that already: see `connector people decisions`.")
    if rows(driver(session), _UNDER_WAY, asked):
        raise NotDecidable(
            "Another decision about these people is being carried out: look at them again in a moment, then decide."
        )


_ALREADY = """
    SELECT d.id FROM decision AS d
    WHERE d.kind = %(kind)s AND d.undone_at IS NULL
      AND EXISTS (SELECT FROM decision_record AS n WHERE n.decision_id = d.id AND n.handle = ANY (%(handles)s))
      AND %(handles)s::uuid[] = (SELECT array_agg(n.handle ORDER BY n.handle) FROM decision_record AS n
                                 WHERE n.decision_id = d.id)
    ORDER BY d.id
"""
_UNDER_WAY = """
    SELECT FROM touched AS t LEFT JOIN membership AS m USING (handle)
    WHERE t.cause = 'decision' AND (t.handle = ANY (%(handles)s) OR m.person_id IN (
        SELECT person_id FROM membership WHERE handle = ANY (%(handles)s)))
    LIMIT 1
"""


def _people(session: Session, handles: Sequence[UUID]) -> set[UUID | None]:
    found = rows(
        driver(session),
        "SELECT m.person_id FROM unnest(%(handles)s::uuid[]) AS n(handle) LEFT JOIN membership AS m USING (handle)",
        {"handles": list(handles)},
    )
    return {row["person_id"] for row in found}


def _decide(session: Session, kind: str, handles: Sequence[UUID], reason: str) -> int:
    decision = Decision(kind=kind, reason=reason)
    session.add(decision)
    session.flush()
    assert decision.id is not None  # noqa: S101 - the flush has set it
    session.add_all(DecisionRecord(decision_id=decision.id, handle=handle) for handle in set(handles))
    session.flush()
    _queue(session, decision.id)
    return decision.id


def _queue(session: Session, decision_id: int) -> None:
    driver(session).execute(
        "INSERT INTO touched (handle, cause) SELECT handle, 'decision' FROM decision_record WHERE decision_id = %s",
        (decision_id,),
    )
