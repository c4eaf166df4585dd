"""What was judged about people, and what became of them: decisions, and the feed of changes."""

from collections.abc import Iterator
from uuid import UUID

from sqlmodel import Session

from cdp.db import driver, rows
from cdp.erasure import find
from cdp.errors import EventsForgotten
from cdp.queries.activities import timeline
from cdp.queries.persons import person
from cdp.queries.stored import records
from cdp.queries.stream import Row, stream


def decisions(session: Session) -> list[Row]:
    """Every decision, newest first: what it says, why, when, whether it was undone, and the records it names."""
    return rows(
        driver(session),
        """
        SELECT d.id AS decision_id, d.kind, d.reason, d.decided_at, d.undone_at, (
                   SELECT coalesce(json_agg('sf_' || r.source_id || '_' || r.object || '_' || r.record_id
                                            ORDER BY r.source_id, r.object, r.record_id), '[]')
                   FROM decision_record AS n JOIN record AS r USING (handle) WHERE n.decision_id = d.id) AS records
        FROM decision AS d ORDER BY d.id DESC
        """,
    )


def dossier(session: Session, person_id: UUID) -> Row:
    """All that is known of one person: profile, all values of its records (deleted ones too), activities, decisions."""
    handles = find(session, person_id).handles
    external = {row["external_id"]: row for row in records(session, handles)}
    return {
        **person(session, person_id),
        "source_records": list(external.values()),
        "decisions": [one for one in decisions(session) if external.keys() & set(one["records"])],
        "activities": timeline(session, person_id),
        "history": [one for one in events(session) if person_id in (*one["old_ids"], *one["new_ids"])],
    }


def events(session: Session, after: int | None = None) -> Iterator[Row]:
    """Stream the changes of people that came after a number (or all there are), in the order of their commits.

    Raises:
        EventsForgotten: some that came after that number are kept no more.
    """
    if after is not None:
        _refuse_gap(session, after)
    query = """
        SELECT id AS event_id, at, kind, person_id, cause,
               coalesce(old_ids, CASE WHEN kind = 'created' THEN '{}' ELSE ARRAY[person_id] END) AS old_ids,
               coalesce(new_ids, CASE WHEN kind = 'deleted' THEN '{}' ELSE ARRAY[person_id] END) AS new_ids
        FROM person_event WHERE id > %(after)s ORDER BY id
    """
    return stream(session, query, {"after": after or 0})


def _refuse_gap(session: Session, after: int) -> None:
    found = rows(
        driver(session),
        "SELECT forgotten_event AS last FROM people_state WHERE forgotten_event > %(after)s",
        {"after": after},
    )
    if found:
        raise EventsForgotten(
            f"Events up to {found[0]['last']} are kept no more, so nobody can follow from {after}: take all people "
            f"anew with `connector export people`, and follow from {found[0]['last']} or the last event of then."
        )
