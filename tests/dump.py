"""Everything that a database holds, as text, the way a backup would have it."""

from collections.abc import Iterator

import psycopg
from psycopg import sql


def dump(url: str) -> Iterator[tuple[str, str]]:
    """Stream every row of every table as (table, the whole row as text)."""
    with psycopg.connect(url) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1").fetchall()
        for (table,) in tables:
            with connection.cursor("dump") as cursor:
                query = sql.SQL("SELECT t::text FROM {} AS t").format(sql.Identifier(table))
                for (row,) in cursor.execute(query):
                    yield table, row


def holding(url: str, *texts: str) -> list[str]:
    """The tables in which any of these texts stands, in whatever case."""
    wanted = [text.lower() for text in texts]
    return sorted({table for table, row in dump(url) if any(text in row.lower() for text in wanted)})
