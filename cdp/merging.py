"""Who belongs together: records that share a key or a conversion form groups, and a group's anchor names the person.

The graph is worked out in temporary tables from a *scope* of records, so that bringing touched groups up to date and a
rebuild from zero are the same statements. The resolver calls these in one REPEATABLE READ transaction.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from cdp.db import Connection


@dataclass(frozen=True)
class Identity:
    """The configuration that decides which keys merge."""

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
        CREATE TEMP TABLE fresh (handle uuid, email_key text COLLATE "C", link uuid) ON COMMIT DROP;
        CREATE TEMP TABLE moved (handle uuid) ON COMMIT DROP;
        CREATE TEMP TABLE hit (person_id uuid) ON COMMIT DROP;
        CREATE TEMP TABLE node (handle uuid, email_key text COLLATE "C", link uuid) ON COMMIT DROP;
        CREATE TEMP TABLE blocked (email_key text COLLATE "C") ON COMMIT DROP;
        CREATE TEMP TABLE alias (name text COLLATE "C", root text COLLATE "C") ON COMMIT DROP;
        CREATE TEMP TABLE member (handle uuid, person_id uuid, email_key text COLLATE "C", link uuid) ON COMMIT DROP;
    """)


def read_fresh(connection: Connection, identity: Identity, *, everything: bool) -> None:
    """Fill `fresh` with the live records in scope, their keys and links: the touched ones, or all there are."""
    connection.execute(
        """
        INSERT INTO fresh
        SELECT r.handle, CASE WHEN k.email_key <> ALL (%(never)s) THEN k.email_key END,
               CASE WHEN r.converted_to IS NOT NULL THEN record_handle(s.org_id, 'Contact', r.converted_to) END
        FROM record AS r JOIN source AS s ON s.id = r.source_id CROSS JOIN LATERAL (SELECT email_key(r.email)) AS k
        WHERE r.state = 'live' AND (%(everything)s OR r.handle IN (SELECT handle FROM touched))
        """,
        {"never": list(identity.never_merge), "everything": everything},
    )
    connection.execute("ANALYZE fresh")


def scope_everything(connection: Connection) -> None:
    """Make every live record a node."""
    connection.execute("INSERT INTO node SELECT * FROM fresh; ANALYZE node")


def scope_touched(connection: Connection, identity: Identity) -> None:
    """Make nodes of the groups that the touched records were in, or may now be in: one hop is enough.

    New edges and lost edges all end at a touched record, so a new group is made of pieces of the old groups of touched
    records and of the records that share a key or a link with one of them.
    """
    connection.execute("""
        INSERT INTO moved
        SELECT t.handle FROM (SELECT DISTINCT handle FROM touched) AS t
        LEFT JOIN fresh AS f USING (handle) LEFT JOIN membership AS m USING (handle)
        WHERE (f.handle IS NULL) <> (m.handle IS NULL)
           OR (f.email_key, f.link) IS DISTINCT FROM (m.email_key, m.link);
        ANALYZE moved
    """)
    connection.execute(_HIT, {"limit": identity.max_records_per_key})
    connection.execute("""
        INSERT INTO node
        SELECT m.handle, m.email_key, m.link FROM membership AS m
        WHERE m.person_id IN (SELECT person_id FROM hit) AND m.handle NOT IN (SELECT handle FROM moved)
        UNION ALL
        SELECT f.handle, f.email_key, f.link FROM fresh AS f WHERE f.handle IN (SELECT handle FROM moved);
        ANALYZE node
    """)


# A key that is over the limit before and after makes no edge in either state, so its other holders stay out of scope.
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
    )
    INSERT INTO hit
    SELECT m.person_id FROM membership AS m JOIN moved USING (handle)
    UNION SELECT m.person_id FROM membership AS m JOIN open_key USING (email_key)
    UNION SELECT m.person_id FROM membership AS m
          WHERE m.handle IN (SELECT f.link FROM fresh AS f JOIN moved USING (handle))
    UNION SELECT m.person_id FROM membership AS m WHERE m.link IN (SELECT handle FROM moved)
"""


def group(connection: Connection, identity: Identity, *, everything: bool) -> None:
    """Fill `member` with the person of every node: the handle of its group's anchor."""
    _block_shared_keys(connection, identity, everything=everything)
    _join_links(connection)
    connection.execute("""
        INSERT INTO member
        SELECT handle, first_value(handle) OVER (
                   PARTITION BY grp ORDER BY source_id, created_at, (rank > 0), record_id) AS person_id, email_key, link
        FROM (
            SELECT n.handle, n.email_key, n.link, coalesce(a.root, g.name) AS grp,
                   r.source_id, r.created_at, r.rank, r.record_id
            FROM node AS n JOIN record AS r USING (handle) LEFT JOIN blocked AS b USING (email_key)
            CROSS JOIN LATERAL (
                SELECT CASE WHEN n.email_key IS NULL OR b.email_key IS NOT NULL THEN n.handle::text
                            ELSE n.email_key END AS name) AS g
            LEFT JOIN alias AS a ON a.name = g.name
        ) AS grouped;
        ANALYZE member
    """)


def _block_shared_keys(connection: Connection, identity: Identity, *, everything: bool) -> None:
    """Note the keys that more live records hold than may merge, counted on the whole membership."""
    connection.execute(
        """
        INSERT INTO blocked
        SELECT email_key FROM (
            SELECT email_key FROM node
            UNION ALL
            SELECT m.email_key FROM membership AS m
            WHERE NOT %(everything)s AND m.email_key IN (SELECT email_key FROM node)
              AND NOT EXISTS (SELECT FROM node AS n WHERE n.handle = m.handle)
              AND NOT EXISTS (SELECT FROM moved AS v WHERE v.handle = m.handle)
        ) AS held
        WHERE email_key IS NOT NULL GROUP BY email_key HAVING count(*) > %(limit)s
        """,
        {"limit": identity.max_records_per_key, "everything": everything},
    )
    connection.execute("ANALYZE blocked")


def _join_links(connection: Connection) -> None:
    """Fill `alias` with the groups that conversions join although their keys differ."""
    pairs = connection.execute("""
        SELECT x.name, y.name FROM (
            SELECT n.link, CASE WHEN n.email_key IS NULL OR b.email_key IS NOT NULL THEN n.handle::text
                                ELSE n.email_key END AS name
            FROM node AS n LEFT JOIN blocked AS b USING (email_key) WHERE n.link IS NOT NULL
        ) AS x JOIN (
            SELECT n.handle, CASE WHEN n.email_key IS NULL OR b.email_key IS NOT NULL THEN n.handle::text
                                  ELSE n.email_key END AS name
            FROM node AS n LEFT JOIN blocked AS b USING (email_key)
        ) AS y ON y.handle = x.link
        WHERE x.name <> y.name
    """).fetchall()
    with connection.cursor() as cursor, cursor.copy("COPY alias (name, root) FROM STDIN") as copy:
        for row in components(pairs).items():
            copy.write_row(row)
    connection.execute("ANALYZE alias")
