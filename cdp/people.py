"""People: the resolver that brings them up to date from what is committed, and the rebuild that proves them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta

from psycopg.types.json import Jsonb
from sqlalchemy import Connection as EngineConnection
from sqlmodel import Session

from cdp import feed, merging
from cdp.db import Connection, driver, engine, explained, limit_idling
from cdp.fields import Rules, rules
from cdp.merging import Identity
from cdp.profiles import store_people

RESOLVER_LOCK = 0x0C_D9  # its advisory lock: a single resolver at a time
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
        return _bring_up_to_date(session, identity)


def resolve_if_idle(url: str, identity: Identity) -> Resolution:
    """Bring people up to date unless another resolver is at work, which is not waited for."""
    with explained(url), engine(url).connect() as connection:
        free = connection.exec_driver_sql("SELECT pg_try_advisory_lock(%s)", (RESOLVER_LOCK,)).scalar_one()
        connection.commit()
        if not free:
            return Resolution(0, 0, 0)
        with _unlocking(connection), snapshot(connection) as session:
            limit_idling(driver(session))
            return _bring_up_to_date(session, identity)


def _bring_up_to_date(session: Session, identity: Identity) -> Resolution:
    connection = driver(session)
    in_force = rules(session)
    touched = _count_touched(connection)
    changed = configuration_changed(connection, identity, in_force)
    everything = changed or (touched > 0 and _mostly_touched(connection, touched))
    if not touched and not everything:
        return Resolution(0, 0, 0)
    if not everything:  # what is touched is found by index, which costs little in memory or on a flash disk
        connection.execute("SET LOCAL random_page_cost = 1.1")
    _work_out_groups(connection, identity, everything=everything)
    feed.note_passages(connection, everything=everything)
    feed.note_departures(connection)
    _store_membership(connection, everything=everything)
    written, removed = store_people(connection, in_force)
    feed.write(connection, "configuration" if changed and not touched else "records")
    connection.execute("DELETE FROM touched")
    _remember_configuration(connection, identity, in_force)
    if everything:
        connection.execute(
            "ANALYZE membership; ANALYZE person (person_id); ANALYZE record (handle)"
        )  # or the next pass plans for none
    return Resolution(touched, written, removed)


def forget_events(url: str, keep: timedelta) -> int:
    """Forget events of the feed that are older than `keep`, a bounded number at a time; return how many."""
    with _resolver_session(url) as session:
        return feed.forget(driver(session), keep)


@contextmanager
def _resolver_session(url: str) -> Iterator[Session]:
    """Take the resolver's lock first, then a REPEATABLE READ snapshot, on a connection of its own."""
    with explained(url), engine(url).connect() as connection:
        connection.exec_driver_sql("SELECT pg_advisory_lock(%s)", (RESOLVER_LOCK,))
        connection.commit()
        with _unlocking(connection), snapshot(connection) as session:
            limit_idling(driver(session))
            yield session


@contextmanager
def _unlocking(connection: EngineConnection) -> Iterator[None]:
    """Let go of the resolver's lock at the end, whatever happens."""
    try:
        yield
    finally:
        connection.rollback()
        connection.exec_driver_sql("SELECT pg_advisory_unlock(%s)", (RESOLVER_LOCK,))
        connection.commit()


@contextmanager
def snapshot(connection: EngineConnection) -> Iterator[Session]:
    """Open a session that sees one state of the database throughout, with memory for working on many people."""
    with Session(connection.execution_options(isolation_level="REPEATABLE READ")) as session, session.begin():
        session.connection().exec_driver_sql("SET LOCAL work_mem = '128MB'")
        session.connection().exec_driver_sql("SET LOCAL max_parallel_workers_per_gather = 0")
        yield session


def _count_touched(connection: Connection) -> int:
    row = connection.execute("SELECT count(*) FROM touched").fetchone()
    return int(row[0]) if row else 0


def _mostly_touched(connection: Connection, touched: int) -> bool:
    """Tell whether the queue is a large share of the membership, without counting more of it than needed."""
    row = connection.execute(
        "SELECT count(*) FROM (SELECT FROM membership LIMIT %s) AS held", (int(touched / REBUILD_SHARE),)
    ).fetchone()
    return touched > REBUILD_SHARE * (int(row[0]) if row else 0)


def _configuration(identity: Identity, in_force: Rules) -> dict[str, object]:
    return {
        "max_records_per_key": identity.max_records_per_key,
        "never_merge": sorted(identity.never_merge),
        "fields": [asdict(field) for field in in_force.fields],
        "source_order": list(in_force.source_order),
    }


def configuration_changed(connection: Connection, identity: Identity, in_force: Rules) -> bool:
    """Tell whether people were last computed under another configuration than this."""
    row = connection.execute("SELECT configuration FROM people_state").fetchone()
    return row is None or row[0] != _configuration(identity, in_force)


def _remember_configuration(connection: Connection, identity: Identity, in_force: Rules) -> None:
    connection.execute(
        """
        INSERT INTO people_state (id, configuration) VALUES (1, %(configuration)s)
        ON CONFLICT (id) DO UPDATE SET configuration = excluded.configuration
        WHERE people_state.configuration <> excluded.configuration
        """,
        {"configuration": Jsonb(_configuration(identity, in_force))},
    )


def _work_out_groups(connection: Connection, identity: Identity, *, everything: bool) -> None:
    merging.create_workspace(connection)
    if everything:
        merging.scope_everything(connection, identity)
    else:
        merging.scope_touched(connection, identity)
    merging.group(connection, identity, everything=everything)


def _store_membership(connection: Connection, *, everything: bool) -> None:
    """Lay the new groups over the membership and note in `dirty` every person that may look different now."""
    connection.execute("CREATE TEMP TABLE dirty (person_id uuid) ON COMMIT DROP")
    connection.execute(_ALL_DIRTY if everything else _DIRTY)
    connection.execute("""
        MERGE INTO membership AS m USING member AS n ON m.handle = n.handle
        WHEN MATCHED AND (m.person_id, m.email_key, m.link) IS DISTINCT FROM (n.person_id, n.email_key, n.link)
            THEN UPDATE SET person_id = n.person_id, email_key = n.email_key, link = n.link
        WHEN NOT MATCHED THEN INSERT (handle, person_id, email_key, link)
            VALUES (n.handle, n.person_id, n.email_key, n.link)
    """)
    connection.execute(_ALL_GONE if everything else _GONE)
    connection.execute("""
        DELETE FROM decided AS d WHERE NOT EXISTS (
            SELECT FROM named AS n WHERE (n.decision_id, n.handle) = (d.decision_id, d.handle));
        INSERT INTO decided TABLE named ON CONFLICT DO NOTHING
    """)
    connection.execute("CREATE UNIQUE INDEX ON dirty (person_id); ANALYZE dirty")


# Read before the membership changes: people that lose a record are dirty as well as those that gain one.
_DIRTY = """
    INSERT INTO dirty
    SELECT m.person_id FROM queued JOIN membership AS m USING (handle)
    UNION SELECT n.person_id FROM member AS n JOIN membership AS m USING (handle)
          WHERE m.email_key IS DISTINCT FROM n.email_key
    UNION SELECT old_id FROM passage WHERE old_id IS NOT NULL
    UNION SELECT new_id FROM passage WHERE new_id IS NOT NULL
"""
_ALL_DIRTY = """
    INSERT INTO dirty
    SELECT person_id FROM member UNION SELECT old_id FROM passage WHERE old_id IS NOT NULL
"""
_GONE = """
    DELETE FROM membership AS m USING moved AS v
    WHERE m.handle = v.handle AND NOT EXISTS (SELECT FROM member AS n WHERE n.handle = m.handle)
"""
_ALL_GONE = """
    DELETE FROM membership AS m WHERE NOT EXISTS (SELECT FROM member AS n WHERE n.handle = m.handle)
"""
