"""The browser sign-in: the web-server flow with PKCE and a callback on this machine."""

import base64
import hashlib
import secrets
from collections.abc import Callable
from urllib.parse import urlencode

import requests
from pydantic import SecretStr

from connector.auth.callback import callback_server
from connector.auth.credentials import RefreshToken
from connector.auth.refusals import refusal
from connector.auth.tokens import request_token
from connector.errors import NeedsAttention

SCOPE = "api refresh_token"


def browser_login(
    login_url: str,
    client_id: str,
    client_secret: SecretStr | None,
    http: requests.Session,
    *,
    open_browser: Callable[[str], object],
    port: int = 0,
    timeout: float = 300,
) -> RefreshToken:
    """Let a person approve the app in the browser, and return the credentials that come of it.

    `login_url` is an origin as `check_url` returns it. Salesforce accepts only the callback URLs that the app lists, so
    `port` is that of its `http://localhost:PORT/callback`; 0 takes any free port. Waits up to `timeout` seconds.

    Raises:
        BadInput: the port cannot be had.
        NeedsAttention: the person declined or did nothing, or Salesforce refused.
        Transient: Salesforce is busy or unreachable; the approval is lost, start again.
    """
    verifier, state = secrets.token_urlsafe(64), secrets.token_urlsafe(32)
    with callback_server(port, state) as server:
        redirect_uri = server.uri
        open_browser(authorize_url(login_url, client_id, redirect_uri, state, verifier))
        answer = server.wait(timeout)
    if "code" not in answer:
        raise refusal(answer.get("error", ""), answer.get("error_description", ""))
    proof = {"code": answer["code"], "verifier": verifier, "redirect_uri": redirect_uri}
    return redeem(login_url, client_id, client_secret, http, **proof)


def redeem(
    login_url: str,
    client_id: str,
    client_secret: SecretStr | None,
    http: requests.Session,
    *,
    code: str,
    verifier: str,
    redirect_uri: str,
) -> RefreshToken:
    """Turn the code of an approval into credentials; raises as `browser_login` does."""
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "code_verifier": verifier,
        "redirect_uri": redirect_uri,
        "client_id": client_id,
    }
    app_secret = {"client_secret": client_secret.get_secret_value()} if client_secret else {}
    token = request_token(form | app_secret, login_url, http).get("refresh_token")
    return _credentials(client_id, client_secret, token)


def code_challenge(verifier: str) -> str:
    """Return the S256 challenge of a PKCE verifier: unpadded urlsafe base64 of its SHA-256 (RFC 7636)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def authorize_url(login_url: str, client_id: str, redirect_uri: str, state: str, verifier: str) -> str:
    """Return where a person approves the app; the answer comes to `redirect_uri` with this state."""
    query = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": redirect_uri,
        "scope": SCOPE,
        "state": state,
        "code_challenge": code_challenge(verifier),
        "code_challenge_method": "S256",
    }
    return f"{login_url}/services/oauth2/authorize?{urlencode(query)}"


def _credentials(client_id: str, client_secret: SecretStr | None, token: object) -> RefreshToken:
    if not isinstance(token, str) or not token:
        raise NeedsAttention(
            "no_refresh_token",
            "Salesforce gave no refresh token.",
            "Allow the scope refresh_token (offline_access) in the app's OAuth settings and sign in again.",
        )
    return RefreshToken(
        flow="refresh_token", client_id=client_id, client_secret=client_secret, refresh_token=SecretStr(token)
    )
