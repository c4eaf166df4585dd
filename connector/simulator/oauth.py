"""The OAuth 2.0 endpoints: token, revoke, introspect."""

from __future__ import annotations

import base64
import hashlib
import hmac
from urllib.parse import parse_qsl

from starlette.responses import Response

from .grants import Granted, OAuthError, check_client, granted
from .identity import identity_url
from .wire import Call, open_route, reply

NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


def token(call: Call) -> Response:
    """`POST /services/oauth2/token`, for every grant."""
    try:
        return reply(_token_body(call, granted(call, form_of(call))), headers=NO_STORE)
    except OAuthError as error:
        return refuse(error)


def revoke(call: Call) -> Response:
    """End a token, given in the form or the query."""
    if call.instance.tokens.revoke(form_of(call).get("token", "")):
        return Response(b"", 200)
    return refuse(OAuthError("invalid_token", "invalid token"))


def introspect(call: Call) -> Response:
    """Whether an access token is live, and whose it is."""
    form = form_of(call)
    try:
        check_client(call, form)
    except OAuthError as error:
        return refuse(error)
    session = call.instance.tokens.session(form.get("token", ""))
    if session is None:
        return reply({"active": False})
    return reply(
        {
            "active": True,
            "scope": session.scope,
            "client_id": call.instance.settings.client_id,
            "username": session.user.username,
            "sub": identity_url(call.instance, session.user),
            "token_type": "access_token",
            "exp": int(session.expires_at.timestamp()),
        }
    )


def form_of(call: Call) -> dict[str, str]:
    """The fields of a form body, and those of the query beneath them."""
    return dict(call.query) | dict(parse_qsl(call.body.decode("utf-8", "replace"), keep_blank_values=True))


def refuse(error: OAuthError) -> Response:
    """The answer that an OAuth error becomes."""
    return reply({"error": error.error, "error_description": error.description}, error.status, NO_STORE)


def _token_body(call: Call, given: Granted) -> dict[str, str]:
    instance, session = call.instance, given.session
    identity = identity_url(instance, session.user)
    issued_at = str(int(instance.org.clock.now().timestamp() * 1000))
    signed = hmac.digest(instance.settings.client_secret.encode(), (identity + issued_at).encode(), hashlib.sha256)
    body = {
        "access_token": session.token,
        "signature": base64.b64encode(signed).decode(),
        "scope": session.scope,
        "instance_url": session.host,
        "id": identity,
        "token_type": "Bearer",
        "issued_at": issued_at,
    }
    return body | ({"refresh_token": given.refresh_token} if given.refresh_token else {})


ROUTES = [
    open_route("/services/oauth2/token", token, ["POST"]),
    open_route("/services/oauth2/revoke", revoke, ["GET", "POST"]),
    open_route("/services/oauth2/introspect", introspect, ["POST"]),
]
