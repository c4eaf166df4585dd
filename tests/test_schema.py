"""Migrations beside a fleet that works: one at a time, and none that holds up others behind a lock for long."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from alembic import command

from cdp import db
from connector import schema
from connector.errors import ConnectorError
from tests.conftest import database_from


@pytest.fixture
def empty(server_url: str) -> Iterator[str]:
    with database_from("template0", server_url) as url:
        yield url


def test_migrations_at_once_wait_for_each_other(empty: str) -> None:
    with ThreadPoolExecutor() as pool:
        done = list(pool.map(schema.migrate, [empty] * 3))
    head = done[0][1]
    assert sorted(before or "" for before, _ in done) == ["", head, head]


def test_a_table_that_is_held_ends_the_migration_with_a_sentence(empty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config = schema._config()
    with db.engine(empty).connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.commit()
    monkeypatch.setattr(schema, "LOCK_LIMIT", "100ms")
    with psycopg.connect(empty) as other:
        other.execute("LOCK TABLE source")
        with pytest.raises(ConnectorError, match="run `connector migrate` again when less is going on"):
            schema.migrate(empty)
    assert schema.migrate(empty)[0] == "0001"
