"""Who changed what: each change is noted before it is made, and how it ended after it."""

import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from cdp.db import transaction
from cdp.errors import CdpError
from cdp.models import Audit
from connector.errors import ConnectorError
from connector.log import EMAIL_TEXT, REDACTED

DONE = "done"


@dataclass(frozen=True)
class Actor:
    """Who acts, and where: `dashboard`, `api` or `command line`."""

    name: str
    via: str


def shell() -> Actor:
    """Return whoever runs this command, by the account of the shell."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError):  # an account without a name, as in many containers
        name = f"uid {os.getuid()}"
    return Actor(name, "command line")


@contextmanager
def noted(url: str, actor: Actor, action: str, subject: str, **details: Any) -> Iterator[None]:  # noqa: ANN401 - JSON
    """Note a change around the block that makes it; `details` are JSON and hold no secret.

    A refusal is noted with its sentence, without emails. An entry without an outcome is one whose process ended before.
    """
    with transaction(url) as database:
        entry = Audit(actor=actor.name, via=actor.via, action=action, subject=subject, details=details)
        database.add(entry)
        database.flush()
    try:
        yield
    except (ConnectorError, CdpError) as error:
        _end(url, entry.id, EMAIL_TEXT.sub(REDACTED, str(error)))
        raise
    _end(url, entry.id, DONE)


def _end(url: str, entry_id: int | None, outcome: str) -> None:
    with transaction(url) as database:
        database.get_one(Audit, entry_id).outcome = outcome
