"""The feed of changes: what a pass of the resolver did to people, one row each, numbered in the order of commits.

A downstream copy that takes out `old_ids` and puts in `new_ids`, event by event, holds the people there are after the
last event of each pass. Before that an event may name an id in `old_ids` that an earlier one has taken out already.
The feed may be forgotten from its beginning on; where old ids lead is kept apart from it.
"""

from datetime import timedelta

from psycopg import sql

from cdp.db import Connection

SLICE = 10_000


def note_passages(connection: Connection, *, everything: bool) -> None:
    """Fill `passage` with where records go from and to, as (old person, new person), before the membership changes.

    Pairs that stay as they are are left out, unless the person also gains or loses a record.
    """
    connection.execute("""
        INSERT INTO passage
        SELECT DISTINCT m.person_id, n.person_id FROM member AS n LEFT JOIN membership AS m USING (handle)
        WHERE m.person_id IS DISTINCT FROM n.person_id
    """)
    left = sql.SQL("membership AS m" if everything else "moved JOIN membership AS m USING (handle)")
    connection.execute(sql.SQL(_LEAVING).format(left=left))
    connection.execute("INSERT INTO passage SELECT DISTINCT person_id, NULL::uuid FROM leaving; ANALYZE leaving")
    connection.execute("ANALYZE passage")
    connection.execute(_STAYING)
    connection.execute(_CAUSED)


_LEAVING = """
    INSERT INTO leaving
    SELECT m.handle, m.person_id FROM {left}
    WHERE NOT EXISTS (SELECT FROM member AS n WHERE n.handle = m.handle)
"""
# Looked up one by one: as a join it was planned for a single row, and went through all passages for each of many.
_STAYING = """
    INSERT INTO passage
    SELECT DISTINCT n.person_id, n.person_id FROM member AS n
    JOIN membership AS m ON m.handle = n.handle AND m.person_id = n.person_id
    WHERE EXISTS (SELECT FROM passage AS p WHERE p.old_id = n.person_id)
       OR EXISTS (SELECT FROM passage AS p WHERE p.new_id = n.person_id)
"""
_CAUSED = """
    INSERT INTO caused
    SELECT person_id, min(cause) FROM (
        SELECT m.person_id, q.cause FROM queued AS q JOIN membership AS m USING (handle)
        UNION ALL SELECT n.person_id, q.cause FROM queued AS q JOIN member AS n USING (handle)
    ) AS touched WHERE cause <> 'records' GROUP BY person_id
"""


def note_departures(connection: Connection) -> None:
    """Note for each record that ceases to be live where its companions are, before the membership changes.

    A person's id is the handle of one of its records; when that one is gone, the id leads on to these. Nothing is noted
    of a record that was erased.
    """
    connection.execute("DELETE FROM departure AS d USING leaving AS l WHERE d.handle = l.handle")
    connection.execute("""
        INSERT INTO departure (handle, person_id)
        SELECT DISTINCT l.handle, n.person_id FROM leaving AS l JOIN membership AS m USING (person_id)
        JOIN member AS n ON n.handle = m.handle
        WHERE NOT EXISTS (SELECT FROM record AS r WHERE r.handle = l.handle AND r.state = 'erased')
    """)


def forget(connection: Connection, keep: timedelta) -> int:
    """Take out a slice of the events that are older than `keep`, from the oldest on; return how many."""
    return connection.execute(_FORGET, {"keep": keep, "slice": SLICE}).rowcount


_FORGET = """
    WITH oldest AS (SELECT id, at FROM person_event ORDER BY id LIMIT %(slice)s),
    past AS (SELECT max(id) AS last FROM oldest WHERE at < now() - %(keep)s),
    told AS (UPDATE people_state SET forgotten_event = past.last FROM past WHERE past.last IS NOT NULL)
    DELETE FROM person_event USING past WHERE id <= past.last
"""


def write(connection: Connection, cause: str) -> None:
    """Append what the pass did to people; `cause` is that of changes which no decision or erasure explains."""
    connection.execute(_CHANGED, {"cause": cause})
    connection.execute(_CREATED, {"cause": cause})


# Merges come before splits, so that a person which both gave and kept records is there in the end.
_CHANGED = """
    WITH came AS (
        SELECT new_id AS id, count(*) AS people, array_agg(old_id ORDER BY old_id) AS ids
        FROM passage WHERE old_id IS NOT NULL AND new_id IS NOT NULL GROUP BY new_id
    ),
    went AS (
        SELECT old_id AS id, count(new_id) AS people,
               array_agg(new_id ORDER BY new_id) FILTER (WHERE new_id IS NOT NULL) AS ids
        FROM passage WHERE old_id IS NOT NULL GROUP BY old_id
    ),
    parted AS (SELECT unnest(ids) AS id FROM went WHERE people > 1),
    event AS (
        SELECT 1 AS place, 'merged' AS kind, id, ids AS old_ids, NULL::uuid[] AS new_ids FROM came WHERE people > 1
        UNION ALL SELECT 2, 'split', id, NULL, ids FROM went WHERE people > 1
        UNION ALL SELECT 3, 'updated', id, nullif(ids, ARRAY[id]), NULL FROM came
                  WHERE people = 1 AND id NOT IN (SELECT id FROM parted)
        UNION ALL SELECT 3, 'updated', person_id, NULL, NULL FROM revised
                  WHERE person_id NOT IN (SELECT id FROM came)
        UNION ALL SELECT 4, 'deleted', id, NULL, NULL FROM went WHERE people = 0
    )
    INSERT INTO person_event (kind, person_id, cause, old_ids, new_ids)
    SELECT e.kind, e.id, coalesce(c.cause, o.cause, %(cause)s), e.old_ids, e.new_ids
    FROM event AS e LEFT JOIN caused AS c ON c.person_id = e.id LEFT JOIN caused AS o ON o.person_id = e.old_ids[1]
    ORDER BY e.place, e.id
"""
_CREATED = """
    INSERT INTO person_event (kind, person_id, cause)
    SELECT 'created', p.new_id, coalesce(c.cause, %(cause)s)
    FROM passage AS p LEFT JOIN caused AS c ON c.person_id = p.new_id
    WHERE p.old_id IS NULL
      AND p.new_id NOT IN (SELECT new_id FROM passage WHERE old_id IS NOT NULL AND new_id IS NOT NULL)
"""
