"""People: the resolver that brings them up to date from what is committed, and the rebuild that proves them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from psycopg import sql
from psycopg.types.json import Jsonb
from sqlmodel import Session

from cdp import merging
from cdp.db import Connection, driver, engine, explained
from cdp.fields import Field, registered
from cdp.merging import Identity
from cdp.survivorship import PRECEDENCE, winner

RESOLVER_LOCK = 0x0C_D9  # the one advisory lock of the product: a single resolver at a time
REBUILD_SHARE = 0.5  # above this share of touched records, working from everything is cheaper


@dataclass(frozen=True)
class Resolution:
    """What one pass did, in rows of `person`, and how many queued records it brought up to date."""

    touched: int
    written: int
    removed: int


def resolve(url: str, identity: Identity) -> Resolution:
    """Bring people up to date with every committed record; waits while another resolver is at work.

    A change of the configuration recomputes everybody.
    """
    with _resolver_session(url) as session:
        connection = driver(session)
        fields = registered(session)
        touched = _count_touched(connection)
        everything = _configuration_changed(connection, identity, fields) or (
            touched > 0 and _mostly_touched(connection, touched)
        )
        if not touched and not everything:
            return Resolution(0, 0, 0)
        _work_out_groups(connection, identity, everything=everything)
        _store_membership(connection, everything=everything)
        written, removed = _store_people(connection, fields)
        connection.execute("DELETE FROM touched")
        _remember_configuration(connection, identity, fields)
        return Resolution(touched, written, removed)


@contextmanager
def _resolver_session(url: str) -> Iterator[Session]:
    """Take the resolver's lock first, then a REPEATABLE READ snapshot, on a connection of its own."""
    with explained(url), engine(url).connect() as connection:
        connection.exec_driver_sql("SELECT pg_advisory_lock(%s)", (RESOLVER_LOCK,))
        connection.commit()
        try:
            with Session(connection.execution_options(isolation_level="REPEATABLE READ")) as session, session.begin():
                session.connection().exec_driver_sql("SET LOCAL work_mem = '128MB'")
                session.connection().exec_driver_sql("SET LOCAL max_parallel_workers_per_gather = 0")
                yield session
        finally:
            connection.rollback()
            connection.exec_driver_sql("SELECT pg_advisory_unlock(%s)", (RESOLVER_LOCK,))
            connection.commit()


def _count_touched(connection: Connection) -> int:
    row = connection.execute("SELECT count(*) FROM touched").fetchone()
    return int(row[0]) if row else 0


def _mostly_touched(connection: Connection, touched: int) -> bool:
    """Tell whether the queue is a large share of the membership, without counting more of it than needed."""
    row = connection.execute(
        "SELECT count(*) FROM (SELECT FROM membership LIMIT %s) AS held", (int(touched / REBUILD_SHARE),)
    ).fetchone()
    return touched > REBUILD_SHARE * (int(row[0]) if row else 0)


def _configuration(identity: Identity, fields: tuple[Field, ...]) -> dict[str, object]:
    return {
        "max_records_per_key": identity.max_records_per_key,
        "never_merge": sorted(identity.never_merge),
        "fields": [asdict(field) for field in fields],
    }


def _configuration_changed(connection: Connection, identity: Identity, fields: tuple[Field, ...]) -> bool:
    row = connection.execute("SELECT configuration FROM people_state").fetchone()
    return row is None or row[0] != _configuration(identity, fields)


def _remember_configuration(connection: Connection, identity: Identity, fields: tuple[Field, ...]) -> None:
    connection.execute(
        """
        INSERT INTO people_state (id, configuration) VALUES (1, %(configuration)s)
        ON CONFLICT (id) DO UPDATE SET configuration = excluded.configuration
        WHERE people_state.configuration <> excluded.configuration
        """,
        {"configuration": Jsonb(_configuration(identity, fields))},
    )


def _work_out_groups(connection: Connection, identity: Identity, *, everything: bool) -> None:
    merging.create_workspace(connection)
    merging.read_fresh(connection, identity, everything=everything)
    if everything:
        merging.scope_everything(connection)
    else:
        merging.scope_touched(connection, identity)
    merging.group(connection, identity, everything=everything)


def _store_membership(connection: Connection, *, everything: bool) -> None:
    """Lay the new groups over the membership and note in `dirty` every person that may look different now."""
    connection.execute("CREATE TEMP TABLE dirty (person_id uuid) ON COMMIT DROP")
    connection.execute(_DIRTY, {"everything": everything})
    connection.execute("""
        MERGE INTO membership AS m USING member AS n ON m.handle = n.handle
        WHEN MATCHED AND (m.person_id, m.email_key, m.link) IS DISTINCT FROM (n.person_id, n.email_key, n.link)
            THEN UPDATE SET person_id = n.person_id, email_key = n.email_key, link = n.link
        WHEN NOT MATCHED THEN INSERT (handle, person_id, email_key, link)
            VALUES (n.handle, n.person_id, n.email_key, n.link)
    """)
    connection.execute(_GONE, {"everything": everything})
    connection.execute("CREATE UNIQUE INDEX ON dirty (person_id); ANALYZE dirty")


# Read before the membership changes: people that lose a record are dirty as well as those that gain one.
_DIRTY = """
    INSERT INTO dirty
    SELECT m.person_id FROM membership AS m JOIN touched USING (handle)
    UNION SELECT m.person_id FROM membership AS m JOIN member AS n USING (handle) WHERE m.person_id <> n.person_id
    UNION SELECT n.person_id FROM member AS n LEFT JOIN membership AS m USING (handle)
          WHERE %(everything)s OR m.person_id IS DISTINCT FROM n.person_id
                OR m.email_key IS DISTINCT FROM n.email_key
    UNION SELECT m.person_id FROM membership AS m
          WHERE %(everything)s AND NOT EXISTS (SELECT FROM member AS n WHERE n.handle = m.handle)
"""
_GONE = """
    DELETE FROM membership AS m
    WHERE NOT EXISTS (SELECT FROM member AS n WHERE n.handle = m.handle)
      AND (%(everything)s OR m.handle IN (SELECT handle FROM moved))
"""


def _profiles(fields: tuple[Field, ...]) -> sql.Composed:
    """Return the query that lays the records of each dirty person over one another in order of precedence."""
    winners = [sql.SQL("{} AS {}").format(winner(field), sql.Identifier(field.name)) for field in fields]
    columns = [sql.SQL(", r.{}").format(sql.Identifier(field.column)) for field in fields]
    return sql.SQL(
        """
        SELECT person_id, max(email_key) FILTER (WHERE handle = person_id) AS email,
               bool_and(email_permission) AS email_permission, bool_and(sms_permission) AS sms_permission,
               min(created_at) AS created_at, max(modified_at) AS updated_at {winners}
        FROM (
            SELECT m.person_id, m.email_key, r.handle, r.email_permission, r.sms_permission, r.created_at,
                   r.modified_at, r.rank, r.source_id, r.record_id {columns}
            FROM dirty JOIN membership AS m USING (person_id) JOIN record AS r ON r.handle = m.handle
            ORDER BY m.person_id, {precedence}
        ) AS laid GROUP BY person_id
        """
    ).format(
        winners=sql.SQL("").join(sql.SQL(", {}").format(item) for item in winners),
        columns=sql.SQL("").join(columns),
        precedence=PRECEDENCE,
    )


def _store_people(connection: Connection, fields: tuple[Field, ...]) -> tuple[int, int]:
    names = ["email", "email_permission", "sms_permission", "created_at", "updated_at", *(f.name for f in fields)]
    identifiers = [sql.Identifier(name) for name in names]
    connection.execute("SET LOCAL enable_hashagg = off")  # the winners rely on the order of the sorted rows
    written = connection.execute(
        sql.SQL(
            """
            MERGE INTO person AS p USING ({profiles}) AS s ON p.person_id = s.person_id
            WHEN MATCHED AND ROW({stored}) IS DISTINCT FROM ROW({given}) THEN UPDATE SET {changes}
            WHEN NOT MATCHED THEN INSERT (person_id, {names}) VALUES (s.person_id, {given})
            """
        ).format(
            profiles=_profiles(fields),
            stored=sql.SQL(", ").join(sql.SQL("p.{}").format(name) for name in identifiers),
            given=sql.SQL(", ").join(sql.SQL("s.{}").format(name) for name in identifiers),
            changes=sql.SQL(", ").join(sql.SQL("{0} = s.{0}").format(name) for name in identifiers),
            names=sql.SQL(", ").join(identifiers),
        )
    ).rowcount
    removed = connection.execute("""
        DELETE FROM person AS p USING dirty AS d
        WHERE p.person_id = d.person_id AND NOT EXISTS (SELECT FROM membership AS m WHERE m.person_id = p.person_id)
    """).rowcount
    return written, removed
