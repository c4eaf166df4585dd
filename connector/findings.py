"""Open findings of a source: what a person should know or mend while work goes on, a row each as long as it holds."""

from collections.abc import Collection, Sequence

from sqlmodel import Session, col, select

from cdp.models import Finding, Source
from connector import notices

MISSING = "field_missing"
RETYPED = "field_retyped"
SILENT = "opt_out_unreadable"
HIDDEN = "object_hidden"


def replace(
    session: Session, source: Source, sobject: str, codes: Collection[str], wanted: Sequence[Finding]
) -> set[str]:
    """Make the open findings with these codes about an object be just `wanted`; one that goes on keeps its time.

    Returns the subjects of those that hold no more.
    """
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
