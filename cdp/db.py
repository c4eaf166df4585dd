"""The one way to the database: an engine, sessions, and the driver's own connection for set-based SQL."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from sqlalchemy import URL, Engine, NullPool, create_engine, make_url
from sqlalchemy.exc import OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlmodel import Session

from cdp.errors import DatabaseUnavailable, NotMigrated

Connection = psycopg.Connection[tuple[Any, ...]]
IDLE_LIMIT_SECONDS = 60
LARGEST_ID = 2**31 - 1  # of an integer column
OPTIONS = {"options": "-c timezone=UTC -c jit=off"}
Statement = LiteralString | sql.SQL | sql.Composed


@lru_cache
def engine(url: str) -> Engine:
    """Return the process's engine for a libpq URL; connections are kept and checked before use."""
    return create_engine(_driven(url), pool_pre_ping=True, pool_size=5, connect_args=OPTIONS)


@lru_cache
def _spare_engine(url: str) -> Engine:
    return create_engine(_driven(url), poolclass=NullPool, connect_args=OPTIONS)


def _driven(url: str) -> URL:
    return make_url(url).set(drivername="postgresql+psycopg")


@contextmanager
def transaction(url: str, *, spare: bool = False) -> Iterator[Session]:
    """Open a session in one transaction: committed at the end, rolled back on an error.

    A `spare` one has a connection of its own beside the pool: for who holds a lock that everybody in the pool may be
    waiting for.

    Raises:
        DatabaseUnavailable: the server does not answer, dropped the connection, or all connections stayed in use.
        NotMigrated: a table is missing.
    """
    chosen = _spare_engine(url) if spare else engine(url)
    with explained(url), Session(chosen, expire_on_commit=False) as session, session.begin():
        yield session


@contextmanager
def explained(url: str) -> Iterator[None]:
    """Turn the driver's errors about the server itself into sentences."""
    try:
        yield
    except PoolTimeout as error:
        raise DatabaseUnavailable(
            "All database connections of this process stayed in use for half a minute: try again, and start more "
            "processes if it happens often."
        ) from error
    except (OperationalError, psycopg.OperationalError) as error:
        where = make_url(url).render_as_string(hide_password=True)
        raise DatabaseUnavailable(
            f"The database at {where} does not answer: check that it runs and that CONNECTOR_DATABASE_URL is right."
        ) from error
    except (ProgrammingError, psycopg.ProgrammingError) as error:
        cause = error.orig if isinstance(error, ProgrammingError) else error
        if isinstance(cause, psycopg.errors.UndefinedTable | psycopg.errors.UndefinedColumn):
            raise NotMigrated("The database has no schema of this version: run `connector migrate`.") from error
        raise


def driver(session: Session) -> Connection:
    """Return the psycopg connection under a session: same transaction, for COPY and set-based statements."""
    connection = session.connection().connection.driver_connection
    assert isinstance(connection, psycopg.Connection)  # noqa: S101 - tells mypy what the engine's dialect guarantees
    return connection


def limit_idling(connection: Connection) -> None:
    """Let the server end this connection when its transaction stands still for IDLE_LIMIT_SECONDS, as that of a frozen
    process does: nobody should wait for its locks any longer.
    """
    connection.execute(
        "SELECT set_config('idle_in_transaction_session_timeout', %s, true)", (f"{IDLE_LIMIT_SECONDS}s",)
    )


def rows(connection: Connection, query: Statement, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """Run a query and return its rows as dictionaries."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, parameters).fetchall()
