"""Sessions, refresh tokens and authorization codes of one org, with Salesforce's rules for their life."""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from .clock import Clock
from .settings import Settings
from .users import User

GRANTS_PER_USER = 5
CODE_LIFE = timedelta(minutes=15)


@dataclass
class Grant:
    """One approval of the app by a user: its current refresh token and the ones rotated away."""

    user: User
    scope: str
    refresh_token: str
    used_at: datetime
    spent: set[str] = field(default_factory=set)


@dataclass
class Session:
    """One access token."""

    token: str
    user: User
    scope: str
    host: str
    expires_at: datetime
    grant: Grant | None = None


@dataclass(frozen=True)
class Code:
    """What was approved on the authorize page, waiting to be exchanged once."""

    user: User
    scope: str
    redirect_uri: str
    challenge: str | None
    expires_at: datetime


class TokenStore:
    """Issues and ends tokens by the org's clock. Thread-safe.

    At most five refresh tokens live per user: a sixth approval ends the oldest. With rotation on, a token that was
    rotated away and is shown again ends its successor and all its sessions.
    """

    def __init__(self, org_id: str, clock: Clock, settings: Settings) -> None:
        self._prefix = org_id[:15] + "!"
        self._clock = clock
        self._settings = settings
        self._lock = threading.RLock()
        self._sessions: dict[str, Session] = {}
        self._grants: list[Grant] = []
        self._codes: dict[str, Code] = {}

    def open_session(self, user: User, scope: str, host: str, grant: Grant | None = None) -> Session:
        """A new access token for `user`, valid on the instance `host`."""
        token = self._prefix + "AQEA" + secrets.token_urlsafe(60).replace("-", ".")
        session = Session(token, user, scope, host, self._clock.now() + self._life, grant)
        with self._lock:
            self._sessions[token] = session
        return session

    def session(self, token: str) -> Session | None:
        """The live session of an access token; use in the second half of its life prolongs it."""
        now = self._clock.now()
        with self._lock:
            session = self._sessions.get(token)
            if session is None or session.expires_at <= now:
                self._sessions.pop(token, None)
                return None
            if session.expires_at - now < self._life / 2:
                session.expires_at = now + self._life
            return session

    def approve(self, user: User, scope: str) -> Grant:
        """Record that `user` allowed the app; ends the oldest of more than five approvals."""
        grant = Grant(user, scope, _refresh_token(), self._clock.now())
        with self._lock:
            of_user = [each for each in self._grants if each.user == user]
            for oldest in of_user[: max(len(of_user) - GRANTS_PER_USER + 1, 0)]:
                self._end(oldest)
            self._grants.append(grant)
        return grant

    def refresh(self, token: str) -> tuple[Grant, bool] | None:
        """The grant of a refresh token and whether its token was rotated now; None if the token is dead."""
        with self._lock:
            grant = next((each for each in self._grants if token == each.refresh_token or token in each.spent), None)
            if grant is None:
                return None
            if token in grant.spent or self._idle(grant):
                self._end(grant)
                return None
            grant.used_at = self._clock.now()
            if self._settings.rotate_refresh_tokens:
                grant.spent.add(token)
                grant.refresh_token = _refresh_token()
            return grant, grant.refresh_token != token

    def revoke(self, token: str) -> bool:
        """End an access token, or a refresh token with its sessions; False if the token is unknown."""
        with self._lock:
            grant = next((each for each in self._grants if each.refresh_token == token), None)
            if grant is not None:
                self._end(grant)
                return True
            return self._sessions.pop(token, None) is not None

    def expire_sessions(self) -> None:
        """End every session; refresh tokens live on."""
        with self._lock:
            self._sessions.clear()

    def revoke_all(self) -> None:
        """End every session and every approval, as an admin does when blocking the app."""
        with self._lock:
            self._sessions.clear()
            self._grants.clear()

    def new_code(self, user: User, scope: str, redirect_uri: str, challenge: str | None) -> str:
        """A single-use authorization code."""
        code = "aPrx" + secrets.token_urlsafe(40)
        with self._lock:
            self._codes[code] = Code(user, scope, redirect_uri, challenge, self._clock.now() + CODE_LIFE)
        return code

    def take_code(self, code: str) -> Code | None:
        """Redeem a code: it works once, even if what follows fails."""
        with self._lock:
            return self._codes.pop(code, None)

    @property
    def _life(self) -> timedelta:
        return timedelta(seconds=self._settings.session_seconds)

    def _idle(self, grant: Grant) -> bool:
        days = self._settings.refresh_idle_days
        return bool(days) and self._clock.now() - grant.used_at > timedelta(days=days)

    def _end(self, grant: Grant) -> None:
        self._grants.remove(grant)
        for token in [key for key, session in self._sessions.items() if session.grant is grant]:
            del self._sessions[token]


def _refresh_token() -> str:
    return "5Aep861" + secrets.token_urlsafe(60).replace("-", ".")
