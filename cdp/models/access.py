"""Who may look and change things: accounts, their sessions and tokens, sign-ins under way, and what was done."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Column, ForeignKey, Identity, Index, LargeBinary, text
from sqlmodel import Field, SQLModel

from cdp.models.columns import json, stamp

NOW = {"server_default": text("now()")}


def _account_key() -> Column[int]:
    """The account a row belongs to, and leaves with."""
    return Column(ForeignKey("account.id", ondelete="CASCADE"), nullable=False, index=True)


class Account(SQLModel, table=True):
    """Somebody who may sign in: by a password, kept as its argon2 hash, or through the identity provider."""

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(unique=True)
    role: str
    password_hash: str | None = None
    subject: str | None = Field(default=None, unique=True)
    created_at: datetime | None = stamp(default=None, nullable=False, sa_column_kwargs=NOW)

    @property
    def key(self) -> int:
        """The id of an account that has been stored."""
        if self.id is None:
            raise ValueError("the account has not been stored yet")
        return self.id


class AccountSession(SQLModel, table=True):
    """A browser that is signed in, by the SHA-256 of its cookie, until the session ends."""

    __tablename__ = "account_session"

    hash: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    account_id: int = Field(sa_column=_account_key())
    ends_at: datetime = stamp()


class ApiToken(SQLModel, table=True):
    """A token for the JSON API, by its SHA-256; it may do what its account may."""

    __tablename__ = "api_token"

    hash: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    account_id: int = Field(sa_column=_account_key())
    created_at: datetime | None = stamp(default=None, nullable=False, sa_column_kwargs=NOW)


class LoginAttempt(SQLModel, table=True):
    """One try to sign in, counted against its name and its address; taken back when it succeeds."""

    __tablename__ = "login_attempt"
    __table_args__ = (Index(None, "at"),)

    id: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(), primary_key=True))
    name: str
    address: str
    at: datetime | None = stamp(default=None, nullable=False, sa_column_kwargs=NOW)


class PendingSignin(SQLModel, table=True):
    """A sign-in elsewhere that this browser was sent to: what to go on with when it comes back, sealed, once."""

    __tablename__ = "pending_signin"

    state_hash: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    browser_hash: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    sealed: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    ends_at: datetime = stamp()


class Audit(SQLModel, table=True):
    """Who changed what, when and from where; `outcome` is null until it is known how it ended."""

    id: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(), primary_key=True))
    at: datetime | None = stamp(default=None, nullable=False, sa_column_kwargs=NOW)
    actor: str
    via: str
    action: str
    subject: str
    details: dict[str, Any] = json(dict)
    outcome: str | None = None
