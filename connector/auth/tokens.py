"""The token endpoint of OAuth: what is asked for each grant, and how its answer is read."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from http import HTTPStatus
from urllib.parse import urlsplit

import jwt
import requests
from pydantic import SecretStr

from connector.auth.credentials import ClientCredentials, Jwt, Password, RefreshToken
from connector.auth.refusals import refusal
from connector.errors import BadInput, NeedsAttention, Transient
from connector.http import deadline, plain_errors

TOKEN_DEADLINE = 60.0
ASSERTION_LIFE = timedelta(minutes=3)
JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
REFUSED = (HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
SHARED_LOGINS = ("https://login.salesforce.com", "https://test.salesforce.com")


def request_token(form: Mapping[str, str], login_url: str, http: requests.Session) -> dict[str, object]:
    """Ask the token endpoint once and return its JSON answer.

    Raises:
        NeedsAttention: Salesforce refused; the code is its own name for the token error.
        Transient: it was busy or unreachable, or something else answered; `no_answer` when the request may have been
            carried out, which spends a rotating refresh token.
    """
    with deadline(TOKEN_DEADLINE), plain_errors(login_url):
        response = http.post(f"{login_url}/services/oauth2/token", data=form, headers={"Accept": "application/json"})
    return read_answer(response)


def read_answer(response: requests.Response) -> dict[str, object]:
    """Return the JSON object of a successful answer; raises as `request_token` does."""
    host, status = urlsplit(response.url).netloc, response.status_code
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        raise NeedsAttention("redirected", f"{host} sends sign-ins elsewhere.", "Use the org's My Domain as login URL.")
    try:
        body = response.json()
    except requests.exceptions.JSONDecodeError:
        body = None
    if status == HTTPStatus.OK and isinstance(body, dict):
        return body
    if status in REFUSED and isinstance(body, dict) and isinstance(body.get("error"), str):
        raise refusal(body["error"], str(body.get("error_description", "")))
    raise Transient("unexpected_answer", f"{host} answered {status} with something other than Salesforce does.")


def grant_form(
    credentials: RefreshToken | ClientCredentials | Jwt | Password, login_url: str, now: datetime
) -> dict[str, str]:
    """Return the form that asks for a token with these credentials; `now` dates the assertion of the JWT flow.

    Raises:
        BadInput: client credentials at a shared login host, which Salesforce serves on My Domain only.
    """
    match credentials:
        case RefreshToken(refresh_token=token):
            return {"grant_type": "refresh_token", "refresh_token": token.get_secret_value(), **_app(credentials)}
        case ClientCredentials():
            if login_url in SHARED_LOGINS:
                raise BadInput("The flow client_credentials needs the org's My Domain as login URL, not a shared host.")
            return {"grant_type": "client_credentials", **_app(credentials)}
        case Jwt():
            return {"grant_type": JWT_GRANT, "assertion": _assertion(credentials, login_url, now)}
        case Password():
            secret = credentials.password.get_secret_value() + credentials.security_token.get_secret_value()
            return {"grant_type": "password", "username": credentials.username, "password": secret, **_app(credentials)}


def _app(credentials: RefreshToken | ClientCredentials | Password) -> dict[str, str]:
    form = {"client_id": credentials.client_id, "client_secret": credentials.client_secret}
    return {
        name: value.get_secret_value() if isinstance(value, SecretStr) else value
        for name, value in form.items()
        if value is not None
    }


def _assertion(credentials: Jwt, login_url: str, now: datetime) -> str:
    claims = {"iss": credentials.client_id, "sub": credentials.username, "aud": login_url, "exp": now + ASSERTION_LIFE}
    return jwt.encode(claims, credentials.private_key.get_secret_value(), algorithm="RS256")
