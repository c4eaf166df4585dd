"""What all suites share: a clean environment, one PostgreSQL, a migrated database for each test, a CDP to feed."""

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import hypothesis
import psycopg
import pytest
import structlog
from psycopg import sql
from sqlalchemy import make_url

from cdp import db
from connector import embedded, schema
from tests.feed import FIELDS, Cdp

# A job in the background of a shell ignores Ctrl-C, and so would the processes that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
hypothesis.settings.register_profile("connector", deadline=None)
hypothesis.settings.load_profile("connector")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files of slow tests, so that at the end no processor waits for one of them."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session", autouse=True)
def given_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str | None]:
    """Hide the developer's settings, `.env` and `.connector` from all tests; yield the database they name, if any."""
    given = os.environ.get("CONNECTOR_DATABASE_URL")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.upper().startswith("CONNECTOR_")]:
            patch.delenv(name)
        patch.chdir(tmp_path_factory.mktemp("working_directory"))
        yield given


@pytest.fixture(autouse=True)
def own_logging() -> Iterator[None]:
    """End with the test what a command that it ran in this process did to logging."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(scope="session")
def server_url(given_database: str | None, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database from which tests may create others: the one given, or one embedded for this session."""
    return given_database or embedded.services(tmp_path_factory.mktemp("home"), redis=False).database_url


@pytest.fixture(scope="session")
def template(server_url: str) -> Iterator[str]:
    """The name of a migrated, empty database that nobody is connected to."""
    with database_from("template0", server_url) as url:
        schema.migrate(url)
        db.engine(url).dispose()
        yield make_url(url).database or ""


@pytest.fixture
def database_url(template: str, server_url: str) -> Iterator[str]:
    """A migrated, empty database of the test's own."""
    with database_from(template, server_url) as url:
        yield url


@contextmanager
def database_from(template: str, server_url: str) -> Iterator[str]:
    """Clone a database, and drop the clone at the end."""
    name = f"test_{uuid4().hex}"
    url = make_url(server_url).set(database=name).render_as_string(hide_password=False)
    names = {"name": sql.Identifier(name), "template": sql.Identifier(template)}
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {name} TEMPLATE {template} ENCODING 'UTF8'").format(**names))
        try:
            yield url
        finally:
            db.engine(url).dispose()
            connection.execute(sql.SQL("DROP DATABASE {name} WITH (FORCE)").format(**names))


@pytest.fixture
def cdp(database_url: str) -> Cdp:
    """A CDP of three sources, with a person field of every type and every rule."""
    return Cdp(database_url, FIELDS)
