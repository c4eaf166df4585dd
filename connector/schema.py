"""The schema of the database: Alembic migrations, from a checkout as well as from an installed wheel."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg.errors import LockNotAvailable
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from cdp.db import engine, explained
from connector.errors import ConnectorError

MINIMUM_SERVER = 170_000
MIGRATION_LOCK = 0x0C_DD  # its advisory lock: one migration at a time
LOCK_LIMIT = "10s"


def _scripts() -> Path:
    packaged = Path(__file__).with_name("_alembic")
    return packaged if packaged.is_dir() else Path(__file__).parent.parent / "alembic"


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_scripts()).replace("%", "%%"))
    return config


def migrate(url: str) -> tuple[str | None, str | None]:
    """Create or upgrade the schema; return the revisions before and after.

    Raises:
        ConnectorError: the server is older than PostgreSQL 17, the database is not in UTF-8, or somebody holds a table
            longer than LOCK_LIMIT; what is running meanwhile waits no longer than that.
        DatabaseUnavailable: the server does not answer.
    """
    with explained(url), engine(url).connect() as connection:
        version = int(connection.exec_driver_sql("SHOW server_version_num").scalar_one())
        if version < MINIMUM_SERVER:
            raise ConnectorError(f"PostgreSQL {version // 10_000} is too old: use PostgreSQL 17 or later.")
        if connection.exec_driver_sql("SHOW server_encoding").scalar_one() != "UTF8":
            raise ConnectorError("The database is not encoded in UTF-8: create it with ENCODING 'UTF8'.")
        with _alone(connection):
            return _upgrade(connection)


@contextmanager
def _alone(connection: Connection) -> Iterator[None]:
    """Let nobody else migrate meanwhile, and wait for no table longer than LOCK_LIMIT."""
    connection.exec_driver_sql("SELECT pg_advisory_lock(%s)", (MIGRATION_LOCK,))
    connection.exec_driver_sql("SELECT set_config('lock_timeout', %s, false)", (LOCK_LIMIT,))
    connection.commit()
    try:
        yield
    except OperationalError as error:
        if isinstance(error.orig, LockNotAvailable):
            raise ConnectorError(
                f"Somebody has held a table that the migration changes for {LOCK_LIMIT}: nothing of that step was "
                "changed; run `connector migrate` again when less is going on."
            ) from None
        raise
    finally:
        connection.invalidate()  # the session ends, and with it the lock and its limit


def _upgrade(connection: Connection) -> tuple[str | None, str | None]:
    before = MigrationContext.configure(connection).get_current_revision()
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    connection.commit()
    return before, ScriptDirectory.from_config(config).get_current_head()
