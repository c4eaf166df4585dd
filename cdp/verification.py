"""The proof of people: built from zero beside the live ones, by the resolver's own statements, and compared."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from psycopg import sql
from sqlmodel import Session

from cdp import merging
from cdp.db import Connection, driver, engine, explained, rows
from cdp.errors import Unsettled
from cdp.fields import Rules, rules
from cdp.merging import Identity
from cdp.people import configuration_changed, snapshot
from cdp.profiles import REBUILT, exact, keep_order, names, profiles

SHOWN = 5


@dataclass(frozen=True)
class Difference:
    """A person that is not what it should be: column → (live, rebuilt); `person` when one of the two lacks it whole."""

    person_id: UUID
    columns: dict[str, tuple[Any, Any]]


@dataclass(frozen=True)
class Comparison:
    """What a rebuild came to, in rows; `pending` records are queued for the resolver, so their people are left out."""

    records: int
    people: int
    pending: int
    memberships_different: int
    people_different: int
    seconds: float
    examples: list[Difference] = field(default_factory=list)

    @property
    def same(self) -> bool:
        """Whether the live people are those of the rebuild."""
        return not self.memberships_different and not self.people_different


def verify(url: str, identity: Identity) -> Comparison:
    """Build all people from zero in one read-only snapshot and compare them with the live ones.

    Raises:
        Unsettled: the configuration changed and people have not been computed by it yet.
    """
    with rebuilding(url) as session:
        connection, in_force = driver(session), rules(session)
        if configuration_changed(connection, identity, in_force):
            raise Unsettled("People are not computed by the present configuration yet: verify them when that is done.")
        started = time.monotonic()
        pending = leave_out_pending(connection, identity)
        rebuild(connection, identity, in_force)
        return _compared(connection, in_force, pending, started)


@contextmanager
def rebuilding(url: str) -> Iterator[Session]:
    """Open a snapshot with temporary tables to rebuild people in; the database itself refuses all other writing."""
    with explained(url), engine(url).connect() as connection, snapshot(connection) as session:
        merging.create_workspace(driver(session))
        driver(session).execute("""
            CREATE TEMP TABLE rebuilt (LIKE person) ON COMMIT DROP;
            CREATE TEMP TABLE unsettled_record (handle uuid) ON COMMIT DROP;
            CREATE TEMP TABLE unsettled_person (person_id uuid) ON COMMIT DROP;
            SET LOCAL transaction_read_only = on
        """)
        yield session


def rebuild(connection: Connection, identity: Identity, by: Rules) -> None:
    """Fill `member` and `rebuilt` with the people that the records come to by the given rules."""
    merging.scope_everything(connection, identity)
    merging.group(connection, identity, everything=True)
    keep_order(connection)
    connection.execute(
        sql.SQL("INSERT INTO rebuilt (person_id, {names}) SELECT * FROM ({profiles}) AS p").format(
            names=sql.SQL(", ").join(names(by.fields)), profiles=profiles(by, REBUILT)
        )
    )
    connection.execute("SET LOCAL enable_hashagg = on; ANALYZE rebuilt")


def leave_out_pending(connection: Connection, identity: Identity) -> int:
    """Note the records and people that the resolver's next pass may change; return how many records are queued."""
    merging.scope_touched(connection, identity)
    connection.execute("""
        INSERT INTO unsettled_record SELECT handle FROM node UNION SELECT handle FROM queued;
        INSERT INTO unsettled_person SELECT person_id FROM hit
            UNION SELECT person_id FROM queued JOIN membership USING (handle);
        ANALYZE unsettled_record, unsettled_person
    """)
    [pending] = connection.execute("SELECT count(*) FROM queued").fetchone() or (0,)
    for table in ("queued", "named", "shifted", "fresh", "moved", "hit", "node"):
        connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))
    return int(pending)


def compare_people(connection: Connection, by: Rules) -> tuple[int, list[Difference]]:
    """Return how many people differ from the rebuilt ones, and the first of them."""
    words = {"live": exact("p", by.fields), "rebuilt": exact("s", by.fields)}
    found = rows(connection, sql.SQL(_PEOPLE).format(**words), {"shown": SHOWN})
    examples = [_difference(row["person_id"], row["live"], row["rebuilt"]) for row in found]
    return (found[0]["total"] if found else 0), examples


def _compared(connection: Connection, by: Rules, pending: int, started: float) -> Comparison:
    different, examples = compare_people(connection, by)
    counted = rows(connection, _MEMBERSHIPS)[0]
    return Comparison(
        records=counted["records"],
        people=counted["people"],
        pending=pending,
        memberships_different=counted["different"],
        people_different=different,
        seconds=round(time.monotonic() - started, 3),
        examples=examples,
    )


_PEOPLE = """
    SELECT coalesce(p.person_id, s.person_id) AS person_id, to_jsonb(p) AS live, to_jsonb(s) AS rebuilt,
           count(*) OVER () AS total
    FROM person AS p FULL JOIN rebuilt AS s ON s.person_id = p.person_id
    WHERE (p.person_id IS NULL OR s.person_id IS NULL OR {live} IS DISTINCT FROM {rebuilt})
      AND NOT EXISTS (SELECT FROM unsettled_person AS u WHERE u.person_id = p.person_id)
      AND NOT EXISTS (SELECT FROM unsettled_record AS u JOIN member AS n USING (handle)
                      WHERE n.person_id = s.person_id)
    ORDER BY 1 LIMIT %(shown)s
"""
_MEMBERSHIPS = """
    SELECT count(n.handle) AS records, (SELECT count(*) FROM rebuilt) AS people,
           count(*) FILTER (
               WHERE (m.person_id, m.email_key, m.link) IS DISTINCT FROM (n.person_id, n.email_key, n.link)
                 AND NOT EXISTS (SELECT FROM unsettled_record AS u WHERE u.handle IN (m.handle, n.handle))
           ) AS different
    FROM membership AS m FULL JOIN member AS n ON n.handle = m.handle
"""


def _difference(person_id: UUID, live: dict[str, Any] | None, rebuilt: dict[str, Any] | None) -> Difference:
    if live is None or rebuilt is None:
        return Difference(person_id, {"person": ("there" if live else None, "there" if rebuilt else None)})
    differing = (name for name in rebuilt if live[name] != rebuilt[name])
    return Difference(person_id, {name: (live[name], rebuilt[name]) for name in differing})
