"""The OAuth 2.0 grants: how each kind of proof becomes a session."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jwt

from .instance import Instance
from .tokens import Code, Session
from .users import User
from .wire import Call

Form = Mapping[str, str]
SHARED_HOSTS = ("login.salesforce.com", "test.salesforce.com")
DEFAULT_SCOPE = "api refresh_token"
CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43,128}")


class OAuthError(Exception):
    """A refusal of the token endpoint: `error` and `error_description`, HTTP 400 unless said otherwise."""

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(f"{error}: {description}")
        self.error = error
        self.description = description
        self.status = status


class Granted(NamedTuple):
    """A session, and the refresh token to hand out with it, if any."""

    session: Session
    refresh_token: str | None = None


def authorization_code(call: Call, form: Form) -> Granted:
    """The second half of the web server flow."""
    check_client(call, form)
    code = call.instance.tokens.take_code(form.get("code", ""))
    if code is None:
        raise OAuthError("invalid_grant", "invalid authorization code")
    if code.expires_at <= call.instance.org.clock.now():
        raise OAuthError("invalid_grant", "expired authorization code")
    if code.redirect_uri != form.get("redirect_uri"):
        raise OAuthError("redirect_uri_mismatch", "redirect_uri must match configuration")
    _check_verifier(code, form.get("code_verifier"))
    if not {"refresh_token", "offline_access"} & set(code.scope.split()):
        return Granted(_session(call, code.user, code.scope))
    grant = call.instance.tokens.approve(code.user, code.scope)
    session = call.instance.tokens.open_session(code.user, code.scope, call.instance.url, grant)
    return Granted(session, grant.refresh_token)


def refresh_token(call: Call, form: Form) -> Granted:
    """A new access token; with rotation on, a new refresh token too."""
    check_client(call, form)
    found = call.instance.tokens.refresh(form.get("refresh_token", ""))
    if found is None:
        raise OAuthError("invalid_grant", "expired access/refresh token")
    grant, rotated = found
    _active(call.instance, grant.user.username)
    session = call.instance.tokens.open_session(grant.user, grant.scope, call.instance.url, grant)
    return Granted(session, grant.refresh_token if rotated else None)


def client_credentials(call: Call, form: Form) -> Granted:
    """The app itself, running as the integration user; only on the org's own domain."""
    if call.headers.get("host", "").partition(":")[0] in SHARED_HOSTS:
        raise OAuthError("invalid_grant", "request not supported on this domain")
    check_client(call, form)
    return Granted(_session(call, call.instance.integration_user, "api"))


def jwt_bearer(call: Call, form: Form) -> Granted:
    """A signed statement of the app that it acts for a user; `exp` is judged by the org's clock."""
    claims = _claims(call, form.get("assertion", ""))
    if claims.get("iss") != call.instance.settings.client_id:
        raise OAuthError("invalid_client_id", "client identifier invalid")
    user = call.instance.user(str(claims.get("sub", "")))
    if user is None:
        raise OAuthError("invalid_grant", "user hasn't approved this consumer")
    return Granted(_session(call, user, "api"))


def password(call: Call, form: Form) -> Granted:
    """The user name and the password with the security token glued to it."""
    check_client(call, form)
    user = call.instance.user(form.get("username", ""))
    if user is None or not password_fits(call.instance, form.get("password", "")):
        raise OAuthError("invalid_grant", "authentication failure")
    return Granted(_session(call, user, "api"))


class Flow(NamedTuple):
    """A grant, its name in the settings, and what is said when the org has it switched off."""

    name: str
    grant: Callable[[Call, Form], Granted]
    off: str


FLOWS = {
    "authorization_code": Flow("authorization_code", authorization_code, "invalid authorization code"),
    "refresh_token": Flow("refresh_token", refresh_token, "expired access/refresh token"),
    "client_credentials": Flow("client_credentials", client_credentials, "no client credentials user enabled"),
    "urn:ietf:params:oauth:grant-type:jwt-bearer": Flow("jwt", jwt_bearer, "user hasn't approved this consumer"),
    "password": Flow("password", password, "authentication failure"),
}


def granted(call: Call, form: Form) -> Granted:
    """What the token endpoint gives for `form`. Raises OAuthError."""
    flow = FLOWS.get(form.get("grant_type", ""))
    if flow is None:
        raise OAuthError("unsupported_grant_type", "grant type not supported")
    if flow.name not in call.instance.settings.flows:
        raise OAuthError("invalid_grant", flow.off)
    return flow.grant(call, form)


def check_client(call: Call, form: Form) -> None:
    """Check the app's id and secret, from the Basic header or the form. Raises OAuthError."""
    settings = call.instance.settings
    client_id, secret = _basic(call.headers.get("authorization", "")) or (
        form.get("client_id"),
        form.get("client_secret"),
    )
    if client_id != settings.client_id:
        raise OAuthError("invalid_client_id", "client identifier invalid")
    if not hmac.compare_digest(settings.client_secret.encode(), (secret or "").encode()):
        raise OAuthError("invalid_client", "invalid client credentials")


def password_fits(instance: Instance, offered: str) -> bool:
    """Whether `offered` is the password with the security token, or alone on a trusted network."""
    settings = instance.settings
    wanted = {settings.password + settings.security_token}
    return offered in (wanted | {settings.password} if settings.trusted_network else wanted)


def _session(call: Call, user: User, scope: str) -> Session:
    return call.instance.tokens.open_session(user, scope, call.instance.url)


def _active(instance: Instance, username: str) -> None:
    if instance.user(username) is None:
        raise OAuthError("inactive_user", "user is inactive")


def _check_verifier(code: Code, verifier: str | None) -> None:
    if (code.challenge is None) != (verifier is None):
        raise OAuthError("invalid_grant", "code verifier and code challenge must be sent together")
    if verifier is None:
        return
    digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    if digest != code.challenge:
        raise OAuthError("invalid_request", "invalid code verifier")


def _claims(call: Call, assertion: str) -> dict[str, Any]:
    audiences = [*(f"https://{host}" for host in SHARED_HOSTS), call.instance.login_url]
    try:
        claims: dict[str, Any] = jwt.decode(
            assertion,
            call.instance.public_key(),
            ["RS256"],
            {"verify_exp": False, "require": ["exp"]},
            audience=audiences,
        )
        expired = int(claims["exp"]) < call.instance.org.clock.now().timestamp()
    except jwt.InvalidAudienceError as error:
        raise OAuthError("invalid_grant", "audience is invalid") from error
    except (jwt.InvalidTokenError, ValueError) as error:
        raise OAuthError("invalid_grant", "invalid assertion") from error
    if expired:
        raise OAuthError("invalid_grant", "invalid assertion")
    return claims


def _basic(header: str) -> tuple[str, str] | None:
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        client_id, _, secret = base64.b64decode(encoded).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise OAuthError("invalid_client", "invalid client credentials") from error
    return client_id, secret
