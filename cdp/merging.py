"""Who belongs together: records that share a key or a conversion form groups, and a group's anchor names the person.

Decisions outweigh both: the records of a split are a group and nothing else joins them, a join is one more edge.

The graph is worked out in temporary tables from a *scope* of records, so that bringing touched groups up to date and a
rebuild from zero are the same statements. The resolver calls these in one REPEATABLE READ transaction.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from psycopg import sql

from cdp.db import Connection


@dataclass(frozen=True)
class Identity:
    """The configuration that decides which keys merge; `never_merge` holds addresses, which are compared as keys."""

    max_records_per_key: int
    never_merge: tuple[str, ...]


def components(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return name → the least name it is connected to, for every name in the pairs (union-find)."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for one, other in pairs:
        low, high = sorted((root(one), root(other)))
        parent[high] = low
    return {name: root(name) for name in parent}


def create_workspace(connection: Connection) -> None:
    """Create the temporary tables of one resolution; they go with the transaction."""
    connection.execute("""
        CREATE TEMP TABLE queued (handle uuid, cause text) ON COMMIT DROP;
        CREATE TEMP TABLE fresh (handle uuid, email_key text COLLATE "C", link uuid) ON COMMIT DROP;
        CREATE TEMP TABLE moved (handle uuid) ON COMMIT DROP;
        CREATE TEMP TABLE hit (person_id uuid) ON COMMIT DROP;
        CREATE TEMP TABLE node (handle uuid, email_key text COLLATE "C", link uuid) ON COMMIT DROP;
        CREATE TEMP TABLE blocked (email_key text COLLATE "C") ON COMMIT DROP;
        CREATE TEMP TABLE named (decision_id bigint, handle uuid) ON COMMIT DROP;
        CREATE TEMP TABLE shifted (handle uuid) ON COMMIT DROP;
        CREATE TEMP TABLE side (handle uuid, name text COLLATE "C") ON COMMIT DROP;
        CREATE TEMP TABLE alias (name text COLLATE "C", root text COLLATE "C") ON COMMIT DROP;
        CREATE TEMP TABLE member (handle uuid, person_id uuid, email_key text COLLATE "C", link uuid) ON COMMIT DROP;
        CREATE TEMP TABLE leaving (handle uuid, person_id uuid) ON COMMIT DROP;
        CREATE TEMP TABLE passage (old_id uuid, new_id uuid) ON COMMIT DROP;
        CREATE INDEX ON passage (old_id);
        CREATE INDEX ON passage (new_id);
        CREATE TEMP TABLE caused (person_id uuid, cause text) ON COMMIT DROP;
    """)


def scope_everything(connection: Connection, identity: Identity) -> None:
    """Make every live record a node."""
    connection.execute(
        "INSERT INTO queued SELECT DISTINCT ON (handle) handle, cause FROM touched WHERE cause <> 'records'"
        " ORDER BY handle, cause"
    )
    _read_fresh(connection, identity, sql.SQL("record AS r"))
    connection.execute(_NAME)
    connection.execute("INSERT INTO node SELECT * FROM fresh; ANALYZE node")


def scope_touched(connection: Connection, identity: Identity) -> None:
    """Make nodes of the groups that the touched records were in, or may now be in: one hop is enough.

    New edges and lost edges all end at a touched record, so a new group is made of pieces of the old groups of touched
    records and of the records that share a key, a link or a decision with one of them.
    """
    connection.execute("INSERT INTO queued SELECT handle, min(cause) FROM touched GROUP BY handle")
    connection.execute(_NAME)
    connection.execute(_SHIFTED)
    _read_fresh(connection, identity, sql.SQL("queued AS q JOIN record AS r ON r.handle = q.handle"))
    connection.execute("""
        INSERT INTO moved
        SELECT q.handle FROM queued AS q LEFT JOIN fresh AS f USING (handle) LEFT JOIN membership AS m USING (handle)
        WHERE (f.handle IS NULL) <> (m.handle IS NULL)
           OR (f.email_key, f.link) IS DISTINCT FROM (m.email_key, m.link) OR q.handle IN (SELECT handle FROM shifted);
        ANALYZE moved
    """)
    connection.execute(_HIT, {"limit": identity.max_records_per_key})
    connection.execute("ANALYZE hit")
    connection.execute("""
        INSERT INTO node
        SELECT m.handle, m.email_key, m.link FROM (SELECT DISTINCT person_id FROM hit) AS h
        JOIN membership AS m USING (person_id) WHERE NOT EXISTS (SELECT FROM moved AS v WHERE v.handle = m.handle)
        UNION ALL
        SELECT f.handle, f.email_key, f.link FROM fresh AS f WHERE f.handle IN (SELECT handle FROM moved);
        ANALYZE node
    """)


def _read_fresh(connection: Connection, identity: Identity, scope: sql.SQL) -> None:
    """Fill `fresh` with the live records in scope, their keys and links."""
    [never] = connection.execute(
        "SELECT coalesce(array_agg(email_key(address)), '{}') FROM unnest(%s::text[]) AS address"
        " WHERE email_key(address) IS NOT NULL",
        (list(identity.never_merge),),
    ).fetchone() or ([],)
    connection.execute(sql.SQL(_FRESH).format(scope=scope), {"never": never})
    connection.execute("ANALYZE fresh")


# OFFSET 0 has each key worked out once: inlined, the expression would be evaluated several times a row.
_FRESH = """
    INSERT INTO fresh
    SELECT r.handle, CASE WHEN k.email_key <> ALL (%(never)s) THEN k.email_key END,
           CASE WHEN r.converted_to IS NOT NULL THEN record_handle(s.org_id, 'Contact', r.converted_to) END
    FROM {scope} JOIN source AS s ON s.id = r.source_id CROSS JOIN LATERAL (SELECT email_key(r.email) OFFSET 0) AS k
    WHERE r.state = 'live'
"""

# What was merged away in Salesforce is the record it was merged into, for decisions as for everything else.
_NAME = """
    INSERT INTO named
    WITH RECURSIVE leads (decision_id, handle, ends) AS (
        SELECT d.id, n.handle, false FROM decision AS d JOIN decision_record AS n ON n.decision_id = d.id
        WHERE d.undone_at IS NULL
        UNION
        SELECT l.decision_id, coalesce(record_handle(s.org_id, r.object, r.merged_into), l.handle), s.id IS NULL
        FROM leads AS l LEFT JOIN record AS r ON r.handle = l.handle AND r.state <> 'live' AND r.merged_into IS NOT NULL
        LEFT JOIN source AS s ON s.id = r.source_id WHERE NOT l.ends
    )
    SELECT DISTINCT decision_id, handle FROM leads WHERE ends;
    ANALYZE named
"""
# Records that a decision has come to mean, or means no more, were not necessarily touched themselves.
_SHIFTED = """
    INSERT INTO shifted
    SELECT handle FROM (TABLE named EXCEPT TABLE decided) AS came
    UNION SELECT handle FROM (TABLE decided EXCEPT TABLE named) AS went;
    INSERT INTO queued SELECT handle, 'records' FROM shifted WHERE handle NOT IN (SELECT handle FROM queued);
    ANALYZE queued, shifted
"""

# A key that is over the limit before and after makes no edge in either state, so its other holders stay out of scope.
# The last part finds people whose anchor no longer comes first: the creation date of a record was corrected.
_HIT = """
    WITH key_change AS (
        SELECT email_key, sum(added) AS added, sum(lost) AS lost FROM (
            SELECT f.email_key, 1 AS added, 0 AS lost FROM fresh AS f JOIN moved USING (handle)
            UNION ALL
            SELECT m.email_key, 0, 1 FROM membership AS m JOIN moved USING (handle)
        ) AS change WHERE email_key IS NOT NULL GROUP BY email_key
    ),
    open_key AS (
        SELECT c.email_key FROM key_change AS c
        CROSS JOIN LATERAL (SELECT count(*) AS held FROM membership AS m WHERE m.email_key = c.email_key) AS before
        WHERE before.held <= %(limit)s OR before.held + c.added - c.lost <= %(limit)s
    ),
    either AS (TABLE named UNION TABLE decided)
    INSERT INTO hit
    SELECT m.person_id FROM membership AS m JOIN moved USING (handle)
    UNION SELECT m.person_id FROM membership AS m JOIN open_key USING (email_key)
    UNION SELECT m.person_id FROM membership AS m
          WHERE m.handle IN (SELECT f.link FROM fresh AS f JOIN moved USING (handle))
    UNION SELECT m.person_id FROM membership AS m WHERE m.link IN (SELECT handle FROM moved)
    UNION SELECT m.person_id FROM either AS e JOIN moved USING (handle) JOIN either AS o USING (decision_id)
          JOIN membership AS m ON m.handle = o.handle
    UNION SELECT m.person_id FROM fresh JOIN membership AS m USING (handle) JOIN record AS a ON a.handle = m.person_id
          JOIN membership AS o ON o.person_id = m.person_id JOIN record AS r ON r.handle = o.handle
          WHERE (r.source_id, r.created_at, r.rank > 0, r.record_id)
              < (a.source_id, a.created_at, a.rank > 0, a.record_id)
"""

# The group that a node would be in without links: its split, its key, or itself.
_NAMES = sql.SQL("""(
    SELECT n.handle, n.email_key, n.link, s.name IS NULL AS free,
           coalesce(s.name, CASE WHEN b.email_key IS NULL THEN n.email_key END, n.handle::text) AS name
    FROM node AS n LEFT JOIN blocked AS b USING (email_key) LEFT JOIN side AS s USING (handle)
)""")


def group(connection: Connection, identity: Identity, *, everything: bool) -> None:
    """Fill `member` with the person of every node: the handle of its group's anchor."""
    _block_shared_keys(connection, identity, everything=everything)
    connection.execute(_SIDES)
    _join_links(connection)
    connection.execute(sql.SQL(_MEMBERS).format(names=_NAMES))
    connection.execute("ANALYZE member")


_MEMBERS = """
    INSERT INTO member
    SELECT handle, first_value(handle) OVER (
               PARTITION BY grp ORDER BY source_id, created_at, (rank > 0), record_id) AS person_id, email_key, link
    FROM (
        SELECT g.handle, g.email_key, g.link, coalesce(a.root, g.name) AS grp,
               r.source_id, r.created_at, r.rank, r.record_id
        FROM {names} AS g JOIN record AS r USING (handle) LEFT JOIN alias AS a ON a.name = g.name
    ) AS grouped
"""
_SIDES = """
    INSERT INTO side
    SELECT r.handle, 'split ' || string_agg(d.id::text, ',' ORDER BY d.id)
    FROM named AS r JOIN decision AS d ON d.id = r.decision_id WHERE d.kind = 'split' GROUP BY r.handle
"""


def _block_shared_keys(connection: Connection, identity: Identity, *, everything: bool) -> None:
    """Note the keys that more live records hold than may merge, counted on the whole membership."""
    elsewhere = sql.SQL("" if everything else _HELD_ELSEWHERE)
    connection.execute(
        sql.SQL("""
            INSERT INTO blocked
            SELECT email_key FROM (SELECT email_key FROM node {elsewhere}) AS held
            WHERE email_key IS NOT NULL GROUP BY email_key HAVING count(*) > %(limit)s
        """).format(elsewhere=elsewhere),
        {"limit": identity.max_records_per_key},
    )
    connection.execute("ANALYZE blocked")


_HELD_ELSEWHERE = """
    UNION ALL
    SELECT m.email_key FROM (SELECT DISTINCT email_key FROM node) AS n JOIN membership AS m USING (email_key)
    WHERE NOT EXISTS (SELECT FROM node AS x WHERE x.handle = m.handle)
      AND NOT EXISTS (SELECT FROM moved AS v WHERE v.handle = m.handle)
"""


def _join_links(connection: Connection) -> None:
    """Fill `alias` with the groups that conversions and decisions join although their keys differ."""
    pairs = connection.execute(sql.SQL(_PAIRS).format(names=_NAMES)).fetchall()
    with connection.cursor() as cursor, cursor.copy("COPY alias (name, root) FROM STDIN") as copy:
        for row in components(pairs).items():
            copy.write_row(row)
    connection.execute("ANALYZE alias")


_PAIRS = """
    SELECT x.name, y.name FROM {names} AS x JOIN {names} AS y ON y.handle = x.link
    WHERE x.link IS NOT NULL AND x.free AND y.free AND x.name <> y.name
    UNION ALL
    SELECT x.name, y.name FROM decision AS d
    JOIN named AS one ON one.decision_id = d.id JOIN {names} AS x ON x.handle = one.handle
    JOIN named AS other ON other.decision_id = d.id JOIN {names} AS y ON y.handle = other.handle
    WHERE d.kind = 'join' AND x.free AND y.free AND x.name <> y.name
"""
