"""Accounts of the dashboard: names, roles, passwords as argon2 hashes, and tokens for the JSON API."""

import hashlib
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlmodel import Session, col, delete, select

from cdp.db import transaction
from cdp.models import Account, AccountSession, ApiToken
from connector.errors import BadInput, Refused

VIEWER, ADMIN = "viewer", "admin"
ROLES = (VIEWER, ADMIN)
SHORTEST_PASSWORD, LONGEST_PASSWORD = 12, 1000
LONGEST_NAME = 100
_hasher = PasswordHasher()
# A hash takes 64 MiB and all cores for a moment: many at once would be a way to bring the process down.
_one_at_a_time = threading.Semaphore(2)


def add(url: str, name: str, role: str, password: str) -> Account:
    """Make an account.

    Raises:
        BadInput: the name, the role or the password cannot be used.
        Refused: the name is taken.
    """
    name = checked_name(name)
    if role not in ROLES:
        raise BadInput(f"There is no role '{role}': use {' or '.join(ROLES)}.")
    hashed = _hash(password)
    with transaction(url) as database:
        if _find(database, name):
            raise Refused(f"There is an account '{name}' already: `connector user password` changes its password.")
        account = Account(name=name, role=role, password_hash=hashed)
        database.add(account)
        database.flush()
    return account


def checked_name(name: str) -> str:
    """Return a name as it is stored, in lower case; raises BadInput when it is none."""
    wanted = name.strip().lower()
    if not wanted or len(wanted) > LONGEST_NAME or any(not one.isprintable() or one.isspace() for one in wanted):
        raise BadInput(f"'{name}' cannot be an account's name: use up to {LONGEST_NAME} characters without spaces.")
    return wanted


def set_password(url: str, name: str, password: str) -> None:
    """Change a password; the account is signed out everywhere. Raises BadInput as `add` does."""
    hashed = _hash(password)
    with _held(url, name) as (database, account):
        account.password_hash = hashed
        sign_out_everywhere(database, account.key)


def remove(url: str, name: str) -> None:
    """Remove an account with its sessions and tokens; raises BadInput when there is none."""
    with _held(url, name) as (database, account):
        database.delete(account)


def issue_token(url: str, name: str) -> str:
    """Return a new token for the JSON API, which is shown this once; raises BadInput when there is no such account."""
    token = secrets.token_urlsafe(32)
    with _held(url, name) as (database, account):
        database.add(ApiToken(hash=fingerprint(token), account_id=account.key))
    return token


def revoke_tokens(url: str, name: str) -> int:
    """Take back all tokens of an account and return how many there were."""
    with _held(url, name) as (database, account):
        return database.exec(delete(ApiToken).where(col(ApiToken.account_id) == account.key)).rowcount


def by_password(url: str, name: str, password: str) -> Account | None:
    """Return the account whose name and password these are; takes the same time when there is none."""
    with transaction(url) as database:
        account = _find(database, name.strip().lower())
    known = account.password_hash if account and account.password_hash else _NOBODY
    fits = len(password) <= LONGEST_PASSWORD and _verify(known, password)
    if account is None or not account.password_hash or not fits:
        return None
    if _hasher.check_needs_rehash(account.password_hash):
        with transaction(url) as database:
            database.get_one(Account, account.key).password_hash = _hash(password)
    return account


def by_token(url: str, token: str) -> Account | None:
    """Return the account that a token of the JSON API belongs to."""
    wanted = select(Account).join(ApiToken).where(ApiToken.hash == fingerprint(token))
    with transaction(url) as database:
        return database.exec(wanted).first()


def from_provider(url: str, subject: str, name: str, role: str) -> Account:
    """Return the account of somebody whom the identity provider vouches for, with the role given now.

    Raises:
        Refused: the name belongs to an account with a password, which the provider does not speak for.
    """
    name = checked_name(name)
    with transaction(url) as database:
        account = database.exec(select(Account).where(Account.subject == subject)).first()
        if account is None:
            if _find(database, name):
                raise Refused(f"There is an account '{name}' with a password: remove it to sign in by the provider.")
            account = Account(name=name, role=role, subject=subject)
            database.add(account)
        account.role = role
        database.flush()
    return account


def any_account(url: str) -> bool:
    """Tell whether there is an account at all."""
    with transaction(url) as database:
        return database.exec(select(Account.id)).first() is not None


def sign_out_everywhere(database: Session, account_id: int) -> None:
    """End all sessions of an account."""
    database.exec(delete(AccountSession).where(col(AccountSession.account_id) == account_id))


def fingerprint(token: str) -> bytes:
    """Return what is stored of a random token: its SHA-256, since there is nothing to guess in it."""
    return hashlib.sha256(token.encode()).digest()


@contextmanager
def _held(url: str, name: str) -> Iterator[tuple[Session, Account]]:
    with transaction(url) as database:
        account = _find(database, name.strip().lower())
        if account is None:
            raise BadInput(f"There is no account '{name}': `connector user list` shows those there are.")
        yield database, account


def _find(database: Session, name: str) -> Account | None:
    return database.exec(select(Account).where(Account.name == name)).first()


def _hash(password: str) -> str:
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise BadInput(f"A password has at least {SHORTEST_PASSWORD} characters: choose a longer one.")
    with _one_at_a_time:
        return _hasher.hash(password)


def _verify(known: str, password: str) -> bool:
    try:
        with _one_at_a_time:
            return _hasher.verify(known, password)
    except (VerificationError, InvalidHashError):
        return False


# What a password is compared with when nobody has that name, so that the answer takes as long.
_NOBODY = "$argon2id$v=19$m=65536,t=3,p=4$bm9ib2R5IGF0IGFsbCE$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
