"""Real PostgreSQL and Redis on this machine: started on demand, shared by all processes of a home, gone with them."""

import time
from dataclasses import dataclass
from pathlib import Path

from connector.embedded.membership import Membership
from connector.embedded.postgres import Postgres
from connector.embedded.redis import Redis
from connector.embedded.room import Room
from connector.errors import ConnectorError

START_LIMIT = 60.0
"""Seconds a server may take until it answers: a slow disk, a recovery after a crash."""
PAUSE = 0.02


@dataclass(frozen=True)
class Services:
    """Where the embedded servers answer; the texts of a server that was not asked for are empty.

    `database_url` is a libpq URL (user postgres, database "connector", UTF-8), `redis_url` is for kombu and Celery,
    `redis_client_url` is the same server in the form that redis-py reads.
    """

    database_url: str = ""
    redis_url: str = ""
    redis_client_url: str = ""


def services(home: Path, *, postgres: bool = True, redis: bool = True) -> Services:
    """Start the embedded servers of `home` or join those that run, and return their addresses once they answer.

    The servers stay while this process or another that called this lives; a call more costs nothing. The addresses of
    a home never change. The call also revives servers whose keeper was killed.

    Raises:
        ConnectorError: a server is not installed, did not start, or its directory cannot be used.
    """
    root = home.resolve()
    wanted: list[Postgres | Redis] = []
    if postgres:
        wanted.append(Postgres(Room(root / "postgres")))
    if redis:
        wanted.append(Redis(Room(root / "redis")))
    for server in wanted:
        server.require()
    try:
        _join([Membership(server.room) for server in wanted])
    except OSError as error:
        raise ConnectorError(f"The directory {home} cannot be used ({error}): choose another home.") from error
    return Services(**{name: url for server in wanted for name, url in server.urls().items()})


def _join(memberships: list[Membership]) -> None:
    deadline = time.monotonic() + START_LIMIT
    while waiting := [membership for membership in memberships if not membership.join()]:
        if time.monotonic() > deadline:
            log = waiting[0].room.log
            raise ConnectorError(f"The embedded server did not answer within {START_LIMIT:.0f} s: see {log}.")
        time.sleep(PAUSE)
