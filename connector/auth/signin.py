"""From credentials to a login: an access token, the instance it works on, and whose it is."""

from collections.abc import Callable, Sequence
from datetime import datetime
from http import HTTPStatus
from typing import TypeVar

import requests
from pydantic import AliasChoices, AwareDatetime, BaseModel, ConfigDict, Field, SecretStr, TypeAdapter, ValidationError

from connector.auth.credentials import AccessToken, Credentials, Password, RefreshToken
from connector.auth.soap import soap_login
from connector.auth.tokens import grant_form, read_answer, request_token
from connector.errors import BadInput, NeedsAttention, Transient
from connector.hosts import check_url
from connector.http import deadline, plain_errors

IDENTITY_DEADLINE = 60.0

M = TypeVar("M", bound=BaseModel)

_instant: TypeAdapter[datetime] = TypeAdapter(AwareDatetime)


class _Model(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)


class Login(_Model):
    """A live session: where it works, and whose it is. `refresh_token` is there only if Salesforce rotated it."""

    access_token: SecretStr
    instance_url: str
    org_id: str
    user_id: str
    username: str
    issued_at: datetime
    refresh_token: SecretStr | None = None


class _Grant(_Model):
    """A token answer; the identity URL is Salesforce's `id`, `issued_at` a string of seconds or milliseconds."""

    access_token: SecretStr = Field(min_length=1)
    instance_url: str
    identity_url: str | None = Field(None, alias="id")
    issued_at: object = None


class _Identity(_Model):
    """What userinfo and the identity URL have in common; they spell the user name differently."""

    org_id: str = Field(alias="organization_id", pattern=r"^00D[A-Za-z0-9]{15}$")
    user_id: str = Field(pattern=r"^005[A-Za-z0-9]{15}$")
    username: str = Field(validation_alias=AliasChoices("preferred_username", "username"), min_length=1)


def sign_in(
    credentials: Credentials,
    login_url: str,
    http: requests.Session,
    *,
    now: datetime,
    allowed_hosts: Sequence[str] = (),
    keep: Callable[[RefreshToken], object] | None = None,
) -> Login:
    """Sign in once, without any retry, and find out which org and user that is.

    `keep` is called with the new credentials as soon as a rotated refresh token arrives, before anything else is done
    with the answer: it must store them durably, for the old ones are dead and showing them again revokes everything.
    One caller at a time per source. After a Transient `no_answer` in the refresh flow the token may be spent: one
    later try is harmless when it is not, and ends in NeedsAttention when it is.

    Raises:
        BadInput: a URL that the user gave is not allowed, or does not fit the flow.
        NeedsAttention: a refusal, an untrusted certificate, or an instance on a host that is not allowed.
        Transient: overload, a lost connection, or an answer that is not Salesforce's.
    """
    login_url = check_url(login_url, allowed_hosts)
    answer = _ask(credentials, login_url, http, now, allowed_hosts)
    rotated = _rotated(credentials, answer)
    if rotated is not None and keep is not None:
        keep(rotated)
    grant = _read(_Grant, answer, "token")
    instance_url = _instance(grant.instance_url, allowed_hosts)
    identity = _identify(grant, instance_url, http, allowed_hosts)
    return Login(
        access_token=grant.access_token,
        instance_url=instance_url,
        org_id=identity.org_id,
        user_id=identity.user_id,
        username=identity.username,
        issued_at=_issued_at(grant.issued_at, now),
        refresh_token=rotated.refresh_token if rotated else None,
    )


def _ask(
    credentials: Credentials, login_url: str, http: requests.Session, now: datetime, allowed: Sequence[str]
) -> dict[str, object]:
    if isinstance(credentials, AccessToken):
        return {"access_token": credentials.access_token, "instance_url": check_url(credentials.instance_url, allowed)}
    if isinstance(credentials, Password) and credentials.client_id is None:
        session_id, instance_url = soap_login(credentials, login_url, http)
        return {"access_token": session_id, "instance_url": instance_url}
    return request_token(grant_form(credentials, login_url, now), login_url, http)


def _rotated(credentials: Credentials, answer: dict[str, object]) -> RefreshToken | None:
    token = answer.get("refresh_token")
    if not isinstance(credentials, RefreshToken) or not isinstance(token, str) or not token:
        return None
    if token == credentials.refresh_token.get_secret_value():
        return None
    return credentials.model_copy(update={"refresh_token": SecretStr(token)})


def _instance(url: str, allowed_hosts: Sequence[str]) -> str:
    try:
        return check_url(url, allowed_hosts)
    except BadInput as error:
        raise NeedsAttention(
            "instance_refused", "Salesforce names an instance that is not allowed.", str(error)
        ) from None


def _identify(grant: _Grant, instance_url: str, http: requests.Session, allowed_hosts: Sequence[str]) -> _Identity:
    """Ask userinfo, or the identity URL where the token's scope does not reach userinfo."""
    headers = {"Authorization": f"Bearer {grant.access_token.get_secret_value()}"}
    pages = (f"{instance_url}/services/oauth2/userinfo", _identity_page(grant.identity_url, allowed_hosts))
    for url in filter(None, pages):
        with deadline(IDENTITY_DEADLINE), plain_errors(url):
            response = http.get(url, headers=headers)
        if response.status_code not in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            return _read(_Identity, read_answer(response), "identity")
    raise NeedsAttention(
        "session_refused",
        "Salesforce does not accept the access token.",
        "It may have expired, or the user may lack API access: give fresh credentials.",
    )


def _identity_page(url: str | None, allowed_hosts: Sequence[str]) -> str | None:
    """Return the identity URL if its host is allowed."""
    origin = "/".join((url or "").split("/", 3)[:3])
    try:
        return check_url(origin, allowed_hosts) + (url or "").removeprefix(origin)
    except BadInput:
        return None


def _read(model: type[M], answer: dict[str, object], what: str) -> M:
    try:
        return model.model_validate(answer)
    except ValidationError:
        raise Transient("unexpected_answer", f"Salesforce's {what} answer is incomplete: try again later.") from None


def _issued_at(value: object, now: datetime) -> datetime:
    try:
        return _instant.validate_python(value)
    except ValidationError:
        return now
