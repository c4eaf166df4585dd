"""One org as the server serves it: the org, its users, and the state of its sessions, cursors and jobs."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from functools import cached_property

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from .cursors import CursorStore
from .faults import FaultRules
from .jobs import JobStore
from .late import LateCommit
from .org import Org
from .request_log import RequestLog
from .settings import Settings
from .tokens import TokenStore
from .usage import ApiUsage
from .users import User, users_of


class Instance:
    """One org behind its address `login_url`, which also is its My Domain."""

    def __init__(self, org: Org, login_url: str, spare_url: str, faults: FaultRules, requests: RequestLog) -> None:
        self.org = org
        self.faults = faults
        self.requests = requests
        self.login_url = login_url
        self.spare_url = spare_url
        self.settings = Settings()
        self.users = users_of(org)
        self.tokens = TokenStore(org.org_id, org.clock, self.settings)
        self.usage = ApiUsage(org.clock)
        self.cursors = CursorStore(org.clock, self.settings)
        self.jobs = JobStore(org)
        self.transactions: dict[int, LateCommit] = {}
        self._lock = threading.Lock()
        self._described: dict[str, tuple[str, datetime]] = {}

    @property
    def url(self) -> str:
        """Where the org's data lives now: its own address unless it was moved."""
        return self.settings.instance_url or self.login_url

    def move(self) -> str:
        """Move the org to its second address, as an instance refresh does: sessions end, the login address stays."""
        self.settings.instance_url = self.spare_url
        self.tokens.expire_sessions()
        self.cursors.drop_all()
        return self.spare_url

    def user(self, username: str) -> User | None:
        """The active user of that name."""
        user = self.users.get(username.lower())
        return user if user and user.active else None

    def described_at(self, document: str, tag: str) -> datetime:
        """When a describe document last changed, seen from its tag: the first time it was asked for with that tag."""
        now = self.org.clock.now()
        with self._lock:
            known_tag, changed_at = self._described.get(document, ("", now - timedelta(seconds=1)))
            if known_tag != tag:
                # A later stamp than any sent before, even within one second.
                changed_at = max(now, changed_at + timedelta(seconds=1))
                self._described[document] = (tag, changed_at)
        return changed_at

    @property
    def integration_user(self) -> User:
        """The user that the app runs as under client credentials."""
        return self.users[self.org.username]

    def private_key(self) -> str:
        """The key (PEM) whose public half the app has registered for the JWT bearer flow."""
        with self._lock:
            return self._private_key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ).decode()

    def public_key(self) -> rsa.RSAPublicKey:
        """The registered public key."""
        with self._lock:
            return self._private_key.public_key()

    @cached_property
    def _private_key(self) -> rsa.RSAPrivateKey:
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
