"""What a client needs to log in, per OAuth flow."""

from __future__ import annotations

from .grants import DEFAULT_SCOPE
from .instance import Instance
from .users import User


def credentials(instance: Instance, flow: str, username: str | None = None) -> dict[str, str]:
    """Fields of a credentials file: `flow` and what it needs. Raises KeyError for an unknown flow or user.

    `refresh_token` and `access_token` approve the app and open a session on the spot.
    """
    user = instance.users[username.lower()] if username else instance.integration_user
    settings = instance.settings
    app = {"client_id": settings.client_id, "client_secret": settings.client_secret}
    fields = {
        "client_credentials": lambda: app,
        "refresh_token": lambda: app | {"refresh_token": instance.tokens.approve(user, DEFAULT_SCOPE).refresh_token},
        "jwt": lambda: {
            "client_id": settings.client_id,
            "username": user.username,
            "private_key": instance.private_key(),
        },
        "password": lambda: app | _password(instance, user),
        "access_token": lambda: _session(instance, user),
    }[flow]()
    return {"flow": flow} | fields


def _password(instance: Instance, user: User) -> dict[str, str]:
    settings = instance.settings
    return {"username": user.username, "password": settings.password, "security_token": settings.security_token}


def _session(instance: Instance, user: User) -> dict[str, str]:
    session = instance.tokens.open_session(user, "api", instance.url)
    return {"access_token": session.token, "instance_url": session.host}
