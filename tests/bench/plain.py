"""What one would write in an afternoon: simple-salesforce and upserts by executemany; nobody is merged."""

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, TypeVar

import psycopg
import requests
from psycopg import sql
from simple_salesforce import Salesforce

BATCH = 1000
T = TypeVar("T")
TYPES = {"boolean": "boolean", "double": "double precision", "date": "date", "datetime": "timestamptz"}


def main() -> None:
    """Read what the variable PLAIN says, as JSON: `objects` is name → column → type, `since` a moment or null."""
    told = json.loads(os.environ["PLAIN"])
    session = requests.Session()
    session.verify = told["ca_file"]
    session.trust_env = False  # REQUESTS_CA_BUNDLE would replace the authority above
    client = Salesforce(instance_url=told["instance_url"], session_id=told["access_token"], session=session)
    with psycopg.connect(told["database_url"]) as connection:
        for sobject, columns in told["objects"].items():
            sys.stdout.write(f"{sobject} {_load(client, connection, sobject, columns, told['since'])}\n")


def _load(
    client: Any, connection: psycopg.Connection, sobject: str, columns: Mapping[str, str], since: str | None
) -> int:
    _create(connection, sobject, columns)
    query = f"SELECT {', '.join(columns)} FROM {sobject}" + (f" WHERE LastModifiedDate >= {since}" if since else "")
    upsert, done = _upsert(sobject, list(columns)), 0
    for batch in _batches(client.query_all_iter(query)):
        with connection.cursor() as cursor:
            cursor.executemany(upsert, [[row[column] for column in columns] for row in batch])
        connection.commit()
        done += len(batch)
    return done


def _create(connection: psycopg.Connection, sobject: str, columns: Mapping[str, str]) -> None:
    made = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(column), sql.SQL(TYPES.get(kind, "text")))
        for column, kind in columns.items()
    )
    connection.execute(
        sql.SQL('CREATE TABLE IF NOT EXISTS {} ({}, PRIMARY KEY ("Id"))').format(sql.Identifier(sobject), made)
    )


def _upsert(sobject: str, columns: list[str]) -> sql.Composed:
    names = [sql.Identifier(column) for column in columns]
    return sql.SQL('INSERT INTO {} ({}) VALUES ({}) ON CONFLICT ("Id") DO UPDATE SET {}').format(
        sql.Identifier(sobject),
        sql.SQL(", ").join(names),
        sql.SQL(", ").join([sql.Placeholder()] * len(names)),
        sql.SQL(", ").join(sql.SQL("{0} = excluded.{0}").format(name) for name in names),
    )


def _batches(items: Iterable[T]) -> Iterator[list[T]]:
    left = iter(items)
    while batch := list(islice(left, BATCH)):
        yield batch


if __name__ == "__main__":
    main()
