"""The outbox of notices: a source came to need attention, or recovered; written with that change, sent later."""

from collections.abc import Iterable
from dataclasses import dataclass

import structlog
from psycopg.types.json import Jsonb
from sqlalchemy import event
from sqlmodel import Session

from cdp.db import driver, rows, transaction
from cdp.models import Source

GRACE = 10  # seconds in which more causes may join a notice before it is sent
SENDING = 300  # seconds that whoever claims a notice has for sending it
PAUSES = (30, 120, 480, 1800)  # seconds after each try that failed; then it is given up
TOO_OLD = 86_400  # seconds after which nobody wants to be told any more
Causes = dict[str, dict[str, str]]
log = structlog.get_logger()


@dataclass(frozen=True)
class Claimed:
    """A notice that is ours to send: what it tells of which source, and to whom it has been delivered already."""

    id: int
    source: str
    kind: str
    causes: list[dict[str, str]]
    tries: int
    delivered: list[str]


def note(session: Session, source_id: int) -> None:
    """Compare what needs attention with what was told, and write a notice of the difference into the transaction.

    One that a source came to need attention for causes that were not told yet, or that the last of them is mended.
    Nothing is told twice while it lasts.
    """
    session.flush()
    source = session.get_one(Source, source_id, populate_existing=True, with_for_update={"key_share": True})
    told, open_now = dict(source.noticed), _open_causes(session, source_id)
    new = [cause for key, cause in open_now.items() if key not in told]
    if new:
        _tell(session, source, "attention", new)
    elif told and not open_now:
        _tell(session, source, "recovered", told.values())
    if told.keys() != open_now.keys():
        source.noticed = open_now


def _open_causes(session: Session, source_id: int) -> Causes:
    found = rows(driver(session), _CAUSES, {"source": source_id})
    return {row["key"]: {name: row[name] for name in ("code", "message", "remedy")} for row in found}


_CAUSES = """
    SELECT attention->>'code' AS key, attention->>'code' AS code, attention->>'message' AS message,
           attention->>'remedy' AS remedy
    FROM source WHERE id = %(source)s AND attention IS NOT NULL
    UNION ALL
    SELECT concat_ws('/', code, object, subject), code, message, remedy FROM finding
    WHERE source_id = %(source)s AND code <> 'activities_hidden'
    ORDER BY 1
"""


def _tell(session: Session, source: Source, kind: str, causes: Iterable[dict[str, str]]) -> None:
    """Put a notice into the outbox, into the one that is waiting there if it tells the same; log it once committed."""
    told = list(causes)
    parameters = {"source": source.key, "kind": kind, "causes": Jsonb(told), "grace": GRACE}
    if not driver(session).execute(_JOIN_WAITING, parameters).rowcount:
        driver(session).execute(_NEW, parameters)
    happened = "source_needs_attention" if kind == "attention" else "source_recovered"
    event.listen(session, "after_commit", lambda _: _log(happened, source.name, told), once=True)


_JOIN_WAITING = """
    UPDATE notice SET causes = causes || %(causes)s
    WHERE id = (SELECT max(id) FROM notice WHERE source_id = %(source)s) AND kind = %(kind)s AND tries = 0
"""
_NEW = """
    INSERT INTO notice (source_id, kind, causes, due_at)
    VALUES (%(source)s, %(kind)s, %(causes)s, now() + make_interval(secs => %(grace)s))
"""


def _log(happened: str, source: str, causes: list[dict[str, str]]) -> None:
    tell = log.warning if happened == "source_needs_attention" else log.info
    tell(happened, source=source, causes=[cause["code"] for cause in causes], message=causes[0]["message"])


def claim(url: str, source_id: int | None = None) -> Claimed | None:
    """Take the next notice that is to be sent, or None; whoever dies with it leaves it to others after `SENDING`.

    Of the source given, new notices are taken without waiting whether they become more.
    """
    with transaction(url) as session:
        found = rows(
            driver(session), _CLAIM, {"source": source_id, "sending": SENDING, "old": TOO_OLD, "most": len(PAUSES) + 1}
        )
    return Claimed(**found[0]) if found else None


# Notices of one source go in their order: the next waits until the one before is delivered or given up.
_CLAIM = """
    UPDATE notice AS n SET tries = n.tries + 1, due_at = now() + make_interval(secs => %(sending)s)
    FROM source AS s
    WHERE s.id = n.source_id AND n.id = (
        SELECT id FROM notice AS c
        WHERE due_at IS NOT NULL AND tries < %(most)s AND created_at > now() - make_interval(secs => %(old)s)
          AND (due_at <= now() OR (source_id = %(source)s AND tries = 0))
          AND NOT EXISTS (SELECT FROM notice AS b WHERE b.source_id = c.source_id AND b.id < c.id
                          AND b.due_at IS NOT NULL AND b.tries < %(most)s
                          AND b.created_at > now() - make_interval(secs => %(old)s))
        ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING n.id, s.name AS source, n.kind, n.causes, n.tries, n.delivered
"""


def settle(url: str, claimed: Claimed, delivered: list[str], *, all_done: bool) -> bool:
    """Note to whom a claimed notice was delivered; returns whether it will be tried again."""
    pause = None if all_done or claimed.tries > len(PAUSES) else PAUSES[claimed.tries - 1]
    with transaction(url) as session:
        driver(session).execute(
            "UPDATE notice SET delivered = %(delivered)s, due_at = now() + make_interval(secs => %(pause)s) "
            "WHERE id = %(id)s",
            {"delivered": Jsonb(delivered), "pause": pause, "id": claimed.id},
        )
    return pause is not None
