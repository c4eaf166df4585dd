"""How one simulated org behaves on the wire: everything that a test or a script may turn."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field, fields
from typing import Literal, get_type_hints

ALL_FLOWS = frozenset({"authorization_code", "refresh_token", "client_credentials", "jwt", "password", "soap"})


@dataclass
class Settings:
    """Settings of one org; change an attribute at any time and the next request sees it.

    `callback_urls` empty accepts any loopback address, as a registered app would list them one by one.
    On a `trusted_network` a password alone logs in; elsewhere the security token is glued to it.
    `bulk_not_ready` is the status for results asked too early: the guides disagree between 412 and 204.
    Without `tells_usage` an org leaves out the header `Sforce-Limit-Info`.
    `bulk_errors_late` lets a bad query pass at creation and fail as a job.
    """

    client_id: str = field(default_factory=lambda: "3MVG9" + secrets.token_urlsafe(24))
    client_secret: str = field(default_factory=lambda: secrets.token_hex(32).upper())
    password: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    security_token: str = field(default_factory=lambda: secrets.token_urlsafe(18))
    flows: frozenset[str] = ALL_FLOWS
    callback_urls: tuple[str, ...] = ()
    require_pkce: bool = False
    trusted_network: bool = False
    rotate_refresh_tokens: bool = False
    refresh_idle_days: int = 0
    session_seconds: int = 7200
    instance_url: str | None = None
    daily_api_limit: int = 100_000
    tells_usage: bool = True
    daily_bulk_jobs: int = 10_000
    locator_style: Literal["01g", "0r8"] = "01g"
    cursor_seconds: int = 172_800
    max_page_size: int = 2000
    bulk_delay_seconds: float = 0.0
    bulk_not_ready: Literal[204, 412] = 412
    bulk_errors_late: bool = False

    def change(self, changes: dict[str, object]) -> None:
        """Set several settings by name, as they come from JSON. Raises KeyError for an unknown name."""
        hints = get_type_hints(Settings)
        known = {each.name for each in fields(self)}
        for name, value in changes.items():
            if name not in known:
                raise KeyError(name)
            collection = {frozenset[str]: frozenset, tuple[str, ...]: tuple}.get(hints[name])
            setattr(self, name, collection(value) if collection else value)
