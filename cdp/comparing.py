"""What a filter would change: the rows that it lets in against what is stored; writes only a temporary table."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from psycopg import sql
from sqlmodel import Session

from cdp.db import driver, rows


@dataclass(frozen=True)
class Comparison:
    """How many records match now, and which stored ones would enter and leave, with some examples of each."""

    match: int
    enter: int
    leave: int
    entering: tuple[str, ...]
    leaving: tuple[str, ...]


def create_workspace(session: Session) -> None:
    """Create the temporary table of matching ids; it goes with the transaction."""
    driver(session).execute("""
        DROP TABLE IF EXISTS pg_temp.matching;
        CREATE TEMP TABLE matching (record_id text COLLATE "C") ON COMMIT DROP
    """)


def keep_matching(
    session: Session, columns: Sequence[str], admitted: sql.Composable | None, chunks: Iterable[bytes]
) -> int:
    """Keep the ids, the first column, of the rows of one page that are let in; return how many rows the page had."""
    connection = driver(session)
    texts = sql.SQL(", ").join(sql.SQL("{} text").format(sql.Identifier(name)) for name in columns)
    connection.execute("DROP TABLE IF EXISTS pg_temp.candidate")
    connection.execute(sql.SQL("CREATE TEMP TABLE candidate ({}) ON COMMIT DROP").format(texts))
    with connection.cursor() as cursor:
        with cursor.copy("COPY candidate FROM STDIN WITH (FORMAT csv, NULL '', FORCE_NULL *)") as copy:
            for chunk in chunks:
                copy.write(chunk)
        read = cursor.rowcount
    connection.execute(
        sql.SQL("INSERT INTO matching SELECT {} FROM candidate WHERE {}").format(
            sql.Identifier(columns[0]), admitted or sql.SQL("true")
        )
    )
    return read


def compare(session: Session, source_id: int, sobject: str, examples: int) -> Comparison:
    """Compare the matching ids with the live records of an object; erased ones never enter."""
    driver(session).execute("ANALYZE matching")
    found = rows(driver(session), _COMPARE, {"source": source_id, "object": sobject, "examples": examples})[0]
    return Comparison(
        found["match"], found["enter"], found["leave"], tuple(found["entering"] or ()), tuple(found["leaving"] or ())
    )


_COMPARE = """
    WITH now AS (SELECT DISTINCT record_id FROM matching),
    here AS (SELECT record_id, state FROM record
             WHERE source_id = %(source)s AND object = %(object)s AND state IN ('live', 'erased')),
    enter AS (SELECT record_id FROM now WHERE NOT EXISTS (SELECT FROM here WHERE here.record_id = now.record_id)),
    leave AS (SELECT record_id FROM here
              WHERE state = 'live' AND NOT EXISTS (SELECT FROM now WHERE now.record_id = here.record_id))
    SELECT (SELECT count(*) FROM now) AS match,
           (SELECT count(*) FROM enter) AS enter, (SELECT count(*) FROM leave) AS leave,
           (SELECT array_agg(record_id) FROM (SELECT * FROM enter ORDER BY 1 LIMIT %(examples)s) AS e) AS entering,
           (SELECT array_agg(record_id) FROM (SELECT * FROM leave ORDER BY 1 LIMIT %(examples)s) AS e) AS leaving
"""
