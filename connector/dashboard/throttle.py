"""How often a password may be guessed: tries are counted in the database before they are looked at."""

from datetime import timedelta

from cdp.db import driver, rows, transaction
from connector.errors import ConnectorError

WINDOW = timedelta(minutes=15)
MOST_FROM_ADDRESS = 20
MOST_FOR_NAME = 10


class TooManyTries(ConnectorError):
    """Signing in was tried too often; it may be tried again later."""


def count(url: str, name: str, address: str) -> int:
    """Note a try and return its number; raises TooManyTries when the name or the address has used all of its own."""
    asked = {"name": name, "address": address, "window": WINDOW}
    with transaction(url) as database:
        # One try at a time, so that many at once are counted as they would be one after the other.
        driver(database).execute("LOCK TABLE login_attempt IN SHARE ROW EXCLUSIVE MODE")
        driver(database).execute("DELETE FROM login_attempt WHERE at < now() - %(window)s", asked)
        tries = rows(driver(database), _TRIES, asked)[0]
        if tries["of_name"] < MOST_FOR_NAME and tries["from_address"] < MOST_FROM_ADDRESS:
            return int(rows(driver(database), _NOTE, asked)[0]["id"])
    raise TooManyTries("Signing in was tried too often: wait a quarter of an hour, then try again.")


def forget(url: str, attempt: int) -> None:
    """Take back a try that succeeded."""
    with transaction(url) as database:
        driver(database).execute("DELETE FROM login_attempt WHERE id = %s", (attempt,))


_TRIES = """
    SELECT count(*) FILTER (WHERE name = %(name)s) AS of_name,
           count(*) FILTER (WHERE address = %(address)s) AS from_address FROM login_attempt
"""
_NOTE = "INSERT INTO login_attempt (name, address) VALUES (%(name)s, %(address)s) RETURNING id"
