"""A migration only adds, so that workers of the version before go on beside it: the catalogue before and after each."""

import re
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from cdp import db
from connector import schema
from tests.conftest import database_from

AGREED = {
    ("0017", "asks of .*: trigger CREATE TRIGGER count_"): "they count what any version writes, and refuse nothing",
}
"""(revision, pattern of what is found) → why workers of the version before survive it all the same."""


class Fact(NamedTuple):
    """Something a table has; `demanding` if one who does not know of it may be refused a row, or the end of one."""

    table: str
    kind: str
    text: str
    demanding: bool


FACTS = text("""
    SELECT relname AS table, 'table' AS kind, '' AS text, false AS demanding
    FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
    UNION ALL
    SELECT c.relname, 'column', concat_ws(' ', a.attname, format_type(a.atttypid, a.atttypmod),
                                          CASE WHEN a.attnotnull THEN 'not null' END, nullif(a.attidentity, ''),
                                          'default ' || pg_get_expr(d.adbin, d.adrelid)),
           a.attnotnull AND d.adbin IS NULL AND a.attidentity = ''
    FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
    LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT conrelid::regclass::text, 'constraint', conname || ' ' || pg_get_constraintdef(oid), true
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND conrelid <> 0 AND contype <> 'n'
    UNION ALL
    SELECT confrelid::regclass::text, 'reference', conname || ' ' || pg_get_constraintdef(oid),
           confdeltype NOT IN ('c', 'n', 'd')
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype = 'f'
    UNION ALL
    SELECT indrelid::regclass::text, 'index', pg_get_indexdef(indexrelid), indisunique
    FROM pg_index JOIN pg_class AS c ON c.oid = indrelid WHERE c.relnamespace = 'public'::regnamespace
    UNION ALL
    SELECT tgrelid::regclass::text, 'trigger', pg_get_triggerdef(oid), true FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL
    SELECT '', 'function', oid::regprocedure::text, false FROM pg_proc WHERE pronamespace = 'public'::regnamespace
""")


def facts(connection: Connection) -> set[Fact]:
    return {Fact(*row) for row in connection.execute(FACTS)}


def breaks(before: set[Fact], after: set[Fact]) -> set[str]:
    """What one who knows only what was `before` may stumble over `after`."""
    old = {fact.table for fact in before if fact.kind == "table"}
    gone = {f"takes away or changes: {fact.table} {fact.kind} {fact.text}" for fact in before - after}
    asked = {
        f"asks of {one.table}: {one.kind} {one.text}" for one in after - before if one.demanding and one.table in old
    }
    return gone | asked


@pytest.fixture
def empty(server_url: str) -> Iterator[Connection]:
    with database_from("template0", server_url) as url, db.engine(url).connect() as connection:
        yield connection


def test_no_migration_breaks_what_workers_of_the_version_before_use(empty: Connection) -> None:
    config = schema._config()
    config.attributes["connection"] = empty
    revisions = [one.revision for one in ScriptDirectory.from_config(config).walk_revisions()][::-1]
    assert {revision for revision, _ in AGREED} < set(revisions)
    for revision in revisions:
        before = facts(empty)
        command.upgrade(config, revision)
        empty.commit()
        agreed = [pattern for migration, pattern in AGREED if migration == revision]
        found = {what for what in breaks(before, facts(empty)) if not any(re.match(one, what) for one in agreed)}
        assert found == set(), revision


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ("ALTER TABLE run DROP COLUMN note", "takes away or changes: run column note"),
        ("DROP TABLE touched", "takes away or changes: touched table"),
        ("ALTER TABLE run RENAME COLUMN note TO remark", "takes away or changes: run column note"),
        ("ALTER TABLE touched RENAME TO noted", "takes away or changes: touched table"),
        ("ALTER TABLE run ALTER COLUMN read TYPE bigint", "takes away or changes: run column read integer"),
        ("ALTER TABLE run ALTER COLUMN read DROP DEFAULT", "takes away or changes: run column read integer"),
        ("ALTER TABLE run ALTER COLUMN note SET NOT NULL", "takes away or changes: run column note"),
        ("ALTER TABLE run ADD COLUMN more integer NOT NULL", "asks of run: column more integer not null"),
        ("ALTER TABLE run ADD CHECK (read >= 0)", "asks of run: constraint"),
        ("CREATE UNIQUE INDEX one_owner ON run (owner)", "asks of run: index"),
        ("DROP INDEX uq_run_open", "takes away or changes: run index"),
        ("CREATE TABLE new (run_id integer REFERENCES run)", "asks of run: reference"),
        ("ALTER FUNCTION record_handle(text, text, text) RENAME TO handle_of", "takes away or changes:  function"),
    ],
)
def test_a_change_that_old_workers_would_not_survive_is_found(database_url: str, change: str, found: str) -> None:
    with db.engine(database_url).connect() as connection:
        before = facts(connection)
        connection.execute(text(change))
        assert any(what.startswith(found) for what in breaks(before, facts(connection)))


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE run ADD COLUMN more integer",
        "ALTER TABLE run ADD COLUMN more integer NOT NULL DEFAULT 0",
        "CREATE INDEX owners ON run (owner)",
        "CREATE TABLE new (id integer PRIMARY KEY, run_id integer NOT NULL REFERENCES run ON DELETE CASCADE)",
    ],
)
def test_what_only_adds_is_not_found_fault_with(database_url: str, change: str) -> None:
    with db.engine(database_url).connect() as connection:
        before = facts(connection)
        connection.execute(text(change))
        assert breaks(before, facts(connection)) == set()
