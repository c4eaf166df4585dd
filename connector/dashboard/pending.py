"""Sign-ins elsewhere that a browser was sent to: what to go on with when it comes back, for that browser, once."""

import json
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlmodel import col, delete

from cdp.db import transaction
from cdp.models import PendingSignin
from connector.accounts import fingerprint
from connector.errors import BadInput
from connector.runtime import Runtime

PATIENCE = timedelta(minutes=10)


def keep(runtime: Runtime, cookie: str, what: dict[str, Any]) -> str:
    """Seal what a sign-in needs when its browser comes back, and return the `state` it will come back with."""
    state = secrets.token_urlsafe(32)
    now = datetime.now(UTC)
    sealed = runtime.vault.seal(json.dumps(what).encode(), _context(state))
    with transaction(runtime.database_url) as database:
        database.exec(delete(PendingSignin).where(col(PendingSignin.ends_at) < now))
        database.add(
            PendingSignin(
                state_hash=fingerprint(state), browser_hash=fingerprint(cookie), sealed=sealed, ends_at=now + PATIENCE
            )
        )
    return state


def take(runtime: Runtime, cookie: str, state: str) -> dict[str, Any]:
    """Return what was kept, which is spent by that.

    Raises:
        BadInput: no sign-in of this browser is waiting for this state.
    """
    with transaction(runtime.database_url) as database:
        found = database.get(PendingSignin, fingerprint(state))
        if found is not None:
            database.delete(found)
    if found is None or found.browser_hash != fingerprint(cookie) or found.ends_at < datetime.now(UTC):
        raise BadInput("No sign-in of this browser is waiting for that answer: start it again.")
    kept: dict[str, Any] = json.loads(runtime.vault.open(found.sealed, _context(state)))
    return kept


def _context(state: str) -> str:
    return f"signin/{fingerprint(state).hex()}"
