"""Which objects are expected to be fresh: decided here, and measured by health, status, pages and numbers."""

from datetime import UTC, datetime, timedelta

from sqlmodel import Session, col, func, select, tuple_

from cdp.models import Finding, SourceFilter
from connector import filters
from connector.findings import HIDING
from connector.objects import PEOPLE
from connector.states import STEPS

Unread = dict[tuple[int, str], str]


def unread(session: Session) -> Unread:
    """Return why polls do not read an object, for each that the filter leaves out or the login may not see.

    That is (id of the source, object) → a sentence. Such an object keeps its cursor, and is not late.
    """
    return _hidden(session) | _left_out(session)


def is_read(state: str) -> bool:
    """Tell whether a source in this state is read at all."""
    return state in STEPS["run"].starts


def is_late(state: str, read_to: datetime | None, promise: timedelta) -> bool:
    """Tell whether an object, or a source, that is read up to a moment is further behind than promised."""
    return is_read(state) and read_to is not None and datetime.now(UTC) - read_to > promise


def _hidden(session: Session) -> Unread:
    found = session.exec(select(Finding.source_id, Finding.object).where(col(Finding.code).in_(HIDING)))
    return {(source, name): f"{name} is hidden from the login, so it is not read." for source, name in found}


def _left_out(session: Session) -> Unread:
    newest = select(SourceFilter.source_id, func.max(SourceFilter.version)).group_by(col(SourceFilter.source_id))
    in_force = select(SourceFilter).where(tuple_(SourceFilter.source_id, SourceFilter.version).in_(newest))
    return {
        (kept.source_id, name): f"{name} is left out by the filter, so it is not read."
        for kept in session.exec(in_force)
        for name in PEOPLE
        if filters.settled(filters.read(kept.tree), name) is False
    }
