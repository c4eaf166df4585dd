"""Decisions about people as a whole: taken or taken back, and people brought up to date."""

from collections.abc import Callable, Sequence
from uuid import UUID

from sqlmodel import Session

from cdp import decisions, people
from cdp.db import transaction
from cdp.errors import NotDecidable
from connector.errors import BadInput, Refused
from connector.runtime import Runtime

LONGEST_REASON = 1000  # characters


def split(runtime: Runtime, handles: Sequence[UUID], reason: str) -> int:
    """Part records from their person and return the decision's number.

    Raises:
        BadInput: there is no reason, or a very long one.
        Refused: that cannot be.
    """
    given = _given(reason)
    return _settle(runtime, lambda session: decisions.split(session, handles, given))


def join(runtime: Runtime, handles: Sequence[UUID], reason: str) -> int:
    """Make one person of records and return the decision's number; raises as `split` does."""
    given = _given(reason)
    return _settle(runtime, lambda session: decisions.join(session, handles, given))


def undo(runtime: Runtime, number: int) -> int:
    """Take a decision back; raises Refused when it is not in force."""

    def take_back(session: Session) -> int:
        decisions.undo(session, number)
        return number

    return _settle(runtime, take_back)


def _given(reason: str) -> str:
    text = reason.strip()
    if not text:
        raise BadInput("A decision needs a reason: say why, for those who ask later.")
    if len(text) > LONGEST_REASON:
        raise BadInput(f"A reason has at most {LONGEST_REASON:,} characters, and this one {len(text):,}: shorten it.")
    return text


def _settle(runtime: Runtime, take: Callable[[Session], int]) -> int:
    try:
        with transaction(runtime.database_url) as session:
            number = take(session)
    except NotDecidable as error:
        raise Refused(str(error)) from None
    people.resolve(runtime.database_url, runtime.identity)
    return number
