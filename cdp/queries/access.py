"""Who may sign in, and who changed what."""

from sqlmodel import Session

from cdp.db import driver, rows
from cdp.queries.stream import Row


def accounts(session: Session) -> list[Row]:
    """Every account by name: its role, how it signs in, and how many sessions and tokens it has open."""
    return rows(
        driver(session),
        """
        SELECT a.name, a.role, CASE WHEN a.subject IS NULL THEN 'password' ELSE 'provider' END AS signs_in_by,
               a.created_at,
               (SELECT count(*) FROM account_session AS s WHERE s.account_id = a.id AND s.ends_at > now()) AS sessions,
               (SELECT count(*) FROM api_token AS t WHERE t.account_id = a.id) AS tokens
        FROM account AS a ORDER BY a.name
        """,
    )


def audit(session: Session, limit: int = 100, before: int | None = None) -> list[Row]:
    """Who changed what, newest first, from before an entry on: when, from where, and how it ended."""
    return rows(
        driver(session),
        """
        SELECT id AS entry_id, at, actor, via, action, subject, details, outcome FROM audit
        WHERE %(before)s::bigint IS NULL OR id < %(before)s ORDER BY id DESC LIMIT %(limit)s
        """,
        {"before": before, "limit": limit},
    )
