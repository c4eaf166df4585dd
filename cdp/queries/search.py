"""Finding people by what somebody types: bounded, and by index, however many people there are."""

from uuid import UUID

from psycopg import sql
from sqlmodel import Session

from cdp.db import driver, rows
from cdp.fields import SEARCHED, registered
from cdp.queries.persons import led_to
from cdp.queries.stream import Row

MOST_WORDS = 5


def search_people(session: Session, wanted: str, limit: int = 20) -> list[Row]:
    """People by email, person id, record id or the beginnings of their names: id, email, names, number of records."""
    known = {field.name for field in registered(session)}
    names = sorted(SEARCHED & known)
    found = [row["person_id"] for row in led_to(session, wanted)] or _by_names(session, wanted, names, limit)
    query = sql.SQL(
        """
        SELECT p.person_id, p.email, {names} AS name,
               (SELECT count(*) FROM membership AS m WHERE m.person_id = p.person_id) AS records
        FROM person AS p WHERE p.person_id = ANY (%(found)s) ORDER BY name, p.person_id LIMIT %(limit)s
        """
    ).format(names=_joined(names or ["email"]))
    return rows(driver(session), query, {"found": found, "limit": limit})


def _by_names(session: Session, wanted: str, names: list[str], limit: int) -> list[UUID]:
    """People one of whose names begins with each of the words; one word more to look up by index, the rest to check."""
    words = sorted(set(wanted.lower().split()), key=len, reverse=True)[:MOST_WORDS]
    if not words or len(words[0]) < 2 or not names:
        return []
    begins = sql.SQL(" OR ").join(sql.SQL("lower({}) LIKE %(first)s").format(sql.Identifier(name)) for name in names)
    text = sql.SQL("lower(' ' || {})").format(_joined(names))
    query = sql.SQL(
        """
        SELECT person_id FROM person WHERE ({begins})
        AND NOT EXISTS (SELECT FROM unnest(%(rest)s::text[]) AS word WHERE {text} NOT LIKE word) LIMIT %(limit)s
        """
    ).format(begins=begins, text=text)
    patterns = [_literally(word) for word in words]
    rest = [f"% {pattern}%" for pattern in patterns[1:]]
    found = rows(driver(session), query, {"first": f"{patterns[0]}%", "rest": rest, "limit": limit})
    return [row["person_id"] for row in found]


def _joined(names: list[str]) -> sql.Composed:
    """The values of columns with a space between them."""
    return sql.SQL("concat_ws(' ', {})").format(sql.SQL(", ").join([sql.Identifier(name) for name in names]))


def _literally(word: str) -> str:
    return word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
