"""Open findings of a source: what a person should know or mend while work goes on, a row each as long as it holds."""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlmodel import Session, col, select

from cdp import queries
from cdp.models import Finding, Source
from connector import notices
from connector.objects import SalesforceObject

MISSING = "field_missing"
RETYPED = "field_retyped"
SILENT = "opt_out_unreadable"
HIDDEN = "object_hidden"
DISPENSABLE = "activities_hidden"  # no reason to worry about the source: `connector health` tells of it, nothing else
HIDING = (HIDDEN, DISPENSABLE)
AHEAD = "stamp_ahead"


def replace(
    session: Session, source: Source, sobject: str, codes: Collection[str], wanted: Sequence[Finding]
) -> set[str]:
    """Make the open findings with these codes about an object be just `wanted`; one that goes on keeps its time.

    Returns the subjects of those that hold no more.
    """
    take_turn(session, source.key)
    found = session.exec(
        select(Finding).where(Finding.source_id == source.key, Finding.object == sobject, col(Finding.code).in_(codes))
    ).all()
    known = {(finding.code, finding.subject): finding for finding in found}
    new = [finding for finding in wanted if known.pop((finding.code, finding.subject), None) is None]
    session.add_all(new)
    for finding in known.values():
        session.delete(finding)
    if new or known:
        notices.note(session, source.key)
    return {finding.subject for finding in known.values()}


def subjects(session: Session, source: Source, sobject: str, code: str) -> set[str]:
    """Return what the open findings with a code about an object are about."""
    about = (Finding.source_id == source.key, Finding.object == sobject, Finding.code == code)
    return set(session.exec(select(Finding.subject).where(*about)))


def take_turn(session: Session, source_id: int) -> None:
    """Until the transaction ends, let no other run of the source note what it found: both would add the same rows."""
    session.exec(select(Source.id).where(Source.id == source_id).with_for_update(key_share=True)).one_or_none()


def note_hidden(session: Session, source: Source, sobject: SalesforceObject, now: datetime, *, hidden: bool) -> None:
    """Tell of an object that the login may not read, or that it may again."""
    code = HIDDEN if sobject.makes == "people" else DISPENSABLE
    finding = Finding(
        source_id=source.key,
        object=sobject.name,
        code=code,
        subject=sobject.name,
        message=f"{sobject.name} records cannot be read since {now:%Y-%m-%d %H:%M} UTC; what is stored is kept.",
        remedy=f"Give the user 'Read' and 'View All' on {sobject.name}, and on its fields.",
        since=now,
    )
    replace(session, source, sobject.name, (code,), [finding] if hidden else [])


def hidden(session: Session, source_id: int) -> frozenset[str]:
    """Return the objects of which `note_hidden` tells that they cannot be read."""
    codes = col(Finding.code).in_(HIDING)
    return frozenset(session.exec(select(Finding.object).where(Finding.source_id == source_id, codes)))


def watch_clock(session: Session, source: Source, sobject: str, now: datetime, *, suspected: bool) -> None:
    """Tell of records that bear a stamp later than the org's clock; asks only if some are suspected or were told of."""
    told = session.get(Finding, (source.key, sobject, AHEAD, sobject))
    if not told and not suspected:
        return
    ahead = queries.stamped_after(session, source.key, sobject, now)
    if ahead["records"]:
        since = told.since if told else now
        session.merge(_ahead(source, sobject, ahead, since))
    elif told:
        session.delete(told)


def _ahead(source: Source, sobject: str, ahead: queries.Row, since: datetime) -> Finding:
    records = f"{ahead['records']:,} {sobject} record" + ("s bear stamps" if ahead["records"] > 1 else " bears a stamp")
    return Finding(
        source_id=source.key,
        object=sobject,
        code=AHEAD,
        subject=sobject,
        message=f"{records} in the future, up to {ahead['latest']:%Y-%m-%d %H:%M} UTC (such as {ahead['example']}): "
        "until then the values count as the most recent ones.",
        remedy="Save the records again in Salesforce, and mend the clock or the load that stamped them.",
        since=since,
    )
