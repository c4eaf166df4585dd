"""Erasing a person for good: values nulled, and tombstones by which whatever comes back is known without being kept.

A tombstone is a keyed hash (HMAC-SHA256) of a record's handle or of an email key; the keys come from the caller and are
stored nowhere here. The first key makes new tombstones, all of them recognise old ones.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import LiteralString
from uuid import UUID

from psycopg import sql
from sqlmodel import Session

from cdp import forgetting
from cdp.db import Connection, driver, engine, explained, rows
from cdp.errors import ErasureKeyMissing
from cdp.expressions import ERASED
from cdp.fields import registered
from cdp.records import Batch

ERASURE_LOCK = 0x0C_DB  # pages hold it shared, an erasure alone: none of them may miss the tombstones of the other
BLOCK = 64  # bytes, of SHA-256


@dataclass(frozen=True)
class Found:
    """What an erasure takes: records in any state, and the email keys that only these records hold."""

    handles: list[UUID]
    emails: list[str]


def find(session: Session, person_id: UUID) -> Found:
    """Return what there is of a person: its records, deleted ones with its emails, and those merged into them.

    An email that another person's live record holds as well is not the person's own: it is left out.
    """
    found = rows(driver(session), _FIND, {"person": person_id})[0]
    return Found(found["handles"], found["emails"])


_FIND = """
    WITH RECURSIVE mine AS (SELECT handle, email_key FROM membership WHERE person_id = %(person)s),
    alike AS (
        SELECT r.handle, r.state, k.key, m.person_id FROM record AS r LEFT JOIN membership AS m USING (handle)
        CROSS JOIN LATERAL (SELECT email_key(r.email) OFFSET 0) AS k(key)
        WHERE k.key IN (SELECT email_key FROM mine)
    ),
    own AS (SELECT key FROM alike GROUP BY key HAVING bool_and(state <> 'live' OR person_id IS NULL
                                                               OR person_id = %(person)s)),
    gone(handle) AS (
        SELECT handle FROM mine
        UNION SELECT handle FROM alike WHERE key IN (SELECT key FROM own)
        UNION
        SELECT r.handle FROM gone AS g JOIN record AS w USING (handle) JOIN source AS s ON s.id = w.source_id
        JOIN record AS r ON r.source_id = w.source_id AND r.object = w.object AND r.merged_into = w.record_id
    )
    SELECT ARRAY(SELECT handle FROM gone ORDER BY handle) AS handles, ARRAY(SELECT key FROM own ORDER BY key) AS emails
"""


def erase(session: Session, person_id: UUID, keys: Sequence[bytes]) -> Found:
    """Forget a person in the session's transaction and queue it for the resolver; returns what was erased.

    Waits for pages that are being stored, and they for the erasure.
    """
    connection = driver(session)
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (ERASURE_LOCK,))
    found = find(session, person_id)
    words = {**_pads(keys[0]), "handles": found.handles, "emails": found.emails, "key_id": _key_id(keys[0])}
    connection.execute(_ENTOMB, words)
    values = sql.SQL(", ").join(sql.SQL("{} = NULL").format(name) for name in _values(session))
    for statement in TRACES.values():
        connection.execute(sql.SQL(statement).format(values=values), words)
    connection.execute(_QUEUE, words)
    return found


def sweep_out(url: str) -> None:
    """Have the database drop the old versions of rows that an erasure changed, as far as it lets this user.

    A version that somebody's open transaction may still see stays until a later vacuum. Run it after the resolver.
    """
    tables = sql.SQL(", ").join(map(sql.Identifier, sorted({*TRACES, *DERIVED})))
    with explained(url), engine(url).connect() as connection:
        in_no_transaction = connection.execution_options(isolation_level="AUTOCOMMIT")
        with Session(in_no_transaction) as session:
            driver(session).execute(sql.SQL("VACUUM {}").format(tables))


_ENTOMB = """
    INSERT INTO erased (hash, key_id)
    SELECT keyed_hash(%(inner)s, %(outer)s, name), %(key_id)s FROM (
        SELECT 'record/' || handle AS name FROM unnest(%(handles)s::uuid[]) AS handle
        UNION ALL SELECT 'email/' || key FROM unnest(%(emails)s::text[]) AS key
    ) AS forgotten ON CONFLICT DO NOTHING
"""


def _values(session: Session) -> list[sql.Identifier]:
    """Return the columns of a record that may say something of a person."""
    columns = ("email", "converted_to", "merged_into", "email_permission", "sms_permission")
    return [sql.Identifier(name) for name in (*columns, *(field.column for field in registered(session)))]


# Every table that may hold something of a person, with what takes it out, in this order; a new one is named here.
TRACES: Mapping[str, LiteralString] = {
    "record": "UPDATE record SET state = 'erased', {values} WHERE handle = ANY (%(handles)s)",
    "quarantine": """
    DELETE FROM quarantine AS q USING record AS r
    WHERE r.handle = ANY (%(handles)s)
      AND (q.source_id, q.object, q.record_id) = (r.source_id, r.object, r.record_id)
    """,
    "decision": """
    UPDATE decision SET reason = 'erased'
    WHERE id IN (SELECT decision_id FROM decision_record WHERE handle = ANY (%(handles)s))
    """,
    "decision_record": "DELETE FROM decision_record WHERE handle = ANY (%(handles)s)",
    "departure": "DELETE FROM departure WHERE handle = ANY (%(handles)s) OR person_id = ANY (%(handles)s)",
    **forgetting.DEEDS,
}
# Made of records by the resolver, whose next pass takes the erased ones out.
DERIVED = frozenset({"membership", "person", "decided"})
# Which records there were, and when, but nothing that they said.
HARMLESS = frozenset({"touched", "person_event", "sweep_row", "sweep_healed"}) | forgetting.NAMELESS
_QUEUE = "INSERT INTO touched (handle, cause) SELECT handle, 'erasure' FROM unnest(%(handles)s::uuid[]) AS handle"


def forget_erased(session: Session, batch: Batch) -> None:
    """Take all that is personal out of staged rows of erased records and emails, and mark these rows.

    Raises:
        ErasureKeyMissing: there are tombstones under a key that the batch does not bring.
    """
    connection = driver(session)
    connection.execute("SELECT pg_advisory_xact_lock_shared(%s)", (ERASURE_LOCK,))
    made_by = {row["key_id"] for row in rows(connection, "SELECT DISTINCT key_id FROM erased")}
    keys = [key for key in batch.erasure_keys if _key_id(key) in made_by]
    if len(keys) < len(made_by):
        raise ErasureKeyMissing(
            "People were erased under an encryption key that is not here, so nothing can be stored: put that key back "
            "behind the current one in CONNECTOR_ENCRYPTION_KEYS."
        )
    if made_by and batch.layout.table.plain:
        forgetting.blank(connection, batch, ERASED)
        return
    for key in keys:
        connection.execute(_forget(batch), {**_pads(key), "org": batch.org_id, "object": batch.object})
    if keys:
        _forget_deeds(connection, batch)


def _forget_deeds(connection: Connection, batch: Batch) -> None:
    """Forget what was told already of records that are known as erased only by what they now say."""
    named = sql.SQL("SELECT record_handle(%(org)s, %(object)s, {}) AS handle FROM pg_temp.stage WHERE {}").format(
        sql.Identifier(batch.layout.fixed["record_id"]), ERASED
    )
    found = rows(connection, named, {"org": batch.org_id, "object": batch.object})
    if found:
        forgetting.forget(connection, [row["handle"] for row in found])


def _forget(batch: Batch) -> sql.Composed:
    fixed = batch.layout.fixed
    kept = {fixed[name] for name in (*batch.layout.table.required, "is_converted") if name in fixed}
    values = [sql.Identifier(name) for name in batch.layout.columns if name not in kept]
    return sql.SQL(
        """
        UPDATE pg_temp.stage SET {mark} = true {nothing}
        WHERE keyed_hash(%(inner)s, %(outer)s, 'record/' || record_handle(%(org)s, %(object)s, {id}))
              IN (SELECT hash FROM erased)
           OR keyed_hash(%(inner)s, %(outer)s, 'email/' || email_key({email})) IN (SELECT hash FROM erased)
        """
    ).format(
        mark=ERASED,
        nothing=sql.SQL("").join(sql.SQL(", {} = NULL").format(name) for name in values),
        id=sql.Identifier(fixed["record_id"]),
        email=sql.Identifier(fixed["email"]) if "email" in fixed else sql.SQL("NULL"),
    )


def _pads(key: bytes) -> dict[str, bytes]:
    """Return the two padded keys of an HMAC, for `keyed_hash`."""
    block = key.ljust(BLOCK, b"\0")
    return {"inner": bytes(_xor(block, 0x36)), "outer": bytes(_xor(block, 0x5C))}


def _xor(block: bytes, pad: int) -> Iterator[int]:
    return (byte ^ pad for byte in block)


def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(b"erasure key id" + key).digest()[:8]
