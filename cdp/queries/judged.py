"""What was judged about people, and what became of them: decisions, and the feed of changes."""

from collections.abc import Iterator

from sqlmodel import Session

from cdp.db import driver, rows
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


def events(session: Session, after: int = 0) -> Iterator[Row]:
    """Stream the changes of people that came after a number, in the order in which they were committed."""
    query = """
        SELECT id AS event_id, at, kind, person_id, cause,
               coalesce(old_ids, CASE WHEN kind = 'created' THEN '{}' ELSE ARRAY[person_id] END) AS old_ids,
               coalesce(new_ids, CASE WHEN kind = 'deleted' THEN '{}' ELSE ARRAY[person_id] END) AS new_ids
        FROM person_event WHERE id > %(after)s ORDER BY id
    """
    return stream(session, query, {"after": after})
