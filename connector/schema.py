"""The schema of the database: Alembic migrations, from a checkout as well as from an installed wheel."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from cdp.db import engine, explained
from connector.errors import ConnectorError

MINIMUM_SERVER = 170_000


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
        ConnectorError: the server is older than PostgreSQL 17, or the database is not in UTF-8.
        DatabaseUnavailable: the server does not answer.
    """
    with explained(url), engine(url).connect() as connection:
        version = int(connection.exec_driver_sql("SHOW server_version_num").scalar_one())
        if version < MINIMUM_SERVER:
            raise ConnectorError(f"PostgreSQL {version // 10_000} is too old: use PostgreSQL 17 or later.")
        if connection.exec_driver_sql("SHOW server_encoding").scalar_one() != "UTF8":
            raise ConnectorError("The database is not encoded in UTF-8: create it with ENCODING 'UTF8'.")
        before = MigrationContext.configure(connection).get_current_revision()
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()
        return before, ScriptDirectory.from_config(config).get_current_head()
