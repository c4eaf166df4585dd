"""Browsers that are signed in: a random cookie, of which the database holds only the hash, so that it can be ended."""

import hmac
import secrets
from datetime import UTC, datetime, timedelta

from sqlmodel import col, delete, select

from cdp.db import transaction
from cdp.models import Account, AccountSession
from connector.accounts import fingerprint

LIFETIME = timedelta(hours=12)


def begin(url: str, account: Account) -> str:
    """Sign a browser in and return its new cookie; sessions that have ended are cleared away."""
    cookie = new_cookie()
    now = datetime.now(UTC)
    with transaction(url) as database:
        database.exec(delete(AccountSession).where(col(AccountSession.ends_at) < now))
        database.add(AccountSession(hash=fingerprint(cookie), account_id=account.key, ends_at=now + LIFETIME))
    return cookie


def find(url: str, cookie: str) -> Account | None:
    """Return whose browser this is, if it is signed in."""
    with transaction(url) as database:
        wanted = select(Account).join(AccountSession)
        live = (AccountSession.hash == fingerprint(cookie), col(AccountSession.ends_at) > datetime.now(UTC))
        return database.exec(wanted.where(*live)).first()


def end(url: str, cookie: str) -> None:
    """Sign a browser out."""
    with transaction(url) as database:
        database.exec(delete(AccountSession).where(col(AccountSession.hash) == fingerprint(cookie)))


def new_cookie() -> str:
    """Return a cookie that nobody can guess."""
    return secrets.token_urlsafe(32)


def csrf_token(cookie: str) -> str:
    """Return what every form of this browser carries: another site can make it send its cookie, but not learn this."""
    return hmac.digest(cookie.encode(), b"form", "sha256").hex()


def is_csrf_token(cookie: str, token: str) -> bool:
    """Tell whether a token is that of this browser's forms."""
    return hmac.compare_digest(csrf_token(cookie).encode(), token.encode())
