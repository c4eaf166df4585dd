"""Signing in through an OpenID Connect provider: the code flow with PKCE, and what the provider must vouch for."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from authlib.integrations.requests_client import OAuth2Session, OAuthError
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from requests.exceptions import JSONDecodeError

from connector.accounts import ADMIN, VIEWER
from connector.errors import BadInput, Refused
from connector.http import plain_errors
from connector.http import session as http_session
from connector.settings import Settings

SCOPE = "openid email profile"
SIGNATURES = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"]
LEEWAY = 60  # seconds that the provider's clock may be off
TIMEOUT = 20.0


@dataclass(frozen=True)
class Asked:
    """A sign-in that is about to begin: where it goes, and what must be kept until its answer."""

    endpoint: str
    client: OAuth2Session
    kept: dict[str, str]

    def address(self, state: str) -> str:
        """Return where to send the browser."""
        wanted = {"code_verifier": self.kept["verifier"], "nonce": self.kept["nonce"]}
        return str(self.client.create_authorization_url(self.endpoint, state=state, **wanted)[0])


@dataclass(frozen=True)
class Identity:
    """Whom the provider vouches for, and the role that the settings give them."""

    subject: str
    name: str
    role: str


def configured(settings: Settings) -> bool:
    """Tell whether people may sign in through a provider."""
    return bool(settings.oidc_issuer and settings.oidc_client_id)


def ask(settings: Settings, callback: str) -> Asked:
    """Begin a sign-in; raises Transient when the provider does not answer."""
    client = _client(settings, callback)
    endpoint = _metadata(settings, client)["authorization_endpoint"]
    kept = {"verifier": secrets.token_urlsafe(64), "nonce": secrets.token_urlsafe(32)}
    return Asked(endpoint, client, kept)


def identify(settings: Settings, callback: str, code: str, kept: Mapping[str, Any]) -> Identity:
    """Turn the provider's answer into an identity.

    Raises:
        BadInput: the provider refused, or its answer does not hold.
        Refused: it is right, but these settings let that person in neither as viewer nor as admin.
    """
    client = _client(settings, callback)
    metadata = _metadata(settings, client)
    with plain_errors(metadata["issuer"]):
        keys = _json(client.get(metadata["jwks_uri"], timeout=TIMEOUT, withhold_token=True))
        try:
            verifier = kept["verifier"]
            token = client.fetch_token(metadata["token_endpoint"], code=code, code_verifier=verifier, timeout=TIMEOUT)
            claims = _claims(token, KeySet.import_key_set(keys), metadata, client.client_id, kept["nonce"])
        except (OAuthError, JoseError, ValueError, KeyError):
            raise BadInput("The identity provider's answer does not hold: start the sign-in again.") from None
    return _identity(settings, claims)


def _client(settings: Settings, callback: str) -> OAuth2Session:
    secret = settings.oidc_client_secret
    client = OAuth2Session(
        settings.oidc_client_id,
        secret.get_secret_value() if secret else None,
        scope=SCOPE,
        redirect_uri=callback,
        code_challenge_method="S256",
    )
    client.trust_env = False
    client.mount("https://", http_session(settings.ca_bundle).get_adapter("https://"))
    return client


def _metadata(settings: Settings, client: OAuth2Session) -> dict[str, str]:
    issuer = settings.oidc_issuer or ""
    with plain_errors(issuer):
        answer = client.get(f"{issuer}/.well-known/openid-configuration", timeout=TIMEOUT, withhold_token=True)
        found: dict[str, str] = _json(answer)
    if str(found.get("issuer", "")).rstrip("/") != issuer:
        raise BadInput("The identity provider calls itself otherwise: set CONNECTOR_OIDC_ISSUER to its own name.")
    return found


def _json(answer: Any) -> Any:  # noqa: ANN401 - a response of a library without types, and JSON
    try:
        return answer.json()
    except JSONDecodeError:
        raise BadInput("The identity provider did not answer with JSON: check CONNECTOR_OIDC_ISSUER.") from None


def _claims(
    token: Mapping[str, Any], keys: KeySet, metadata: Mapping[str, str], client_id: str, nonce: str
) -> Mapping[str, Any]:
    read = jwt.decode(token["id_token"], keys, algorithms=SIGNATURES)
    options = {"iss": {"values": [metadata["issuer"]]}, "aud": {"values": [client_id]}}
    known = {"nonce": nonce, "client_id": client_id, "access_token": token.get("access_token")}
    claims = CodeIDToken(read.claims, read.header, options, known)
    claims.validate(leeway=LEEWAY)
    return dict(claims)


def _identity(settings: Settings, claims: Mapping[str, Any]) -> Identity:
    email = str(claims["email"]).lower() if claims.get("email") and claims.get("email_verified") is True else ""
    name = email or str(claims.get("preferred_username") or claims["sub"])
    if _is_among(claims, email, settings.oidc_admins):
        role = ADMIN
    elif _is_among(claims, email, settings.oidc_viewers):
        role = VIEWER
    else:
        raise Refused(f"The provider knows {name}, but nobody has let that account in here: ask an admin.")
    return Identity(f"{claims['iss']} {claims['sub']}", name, role)


def _is_among(claims: Mapping[str, Any], email: str, wanted: Sequence[str]) -> bool:
    """Tell whether one of `*`, a verified e-mail, or `claim=value` says so; a claim may hold a list."""
    for one in wanted:
        name, is_claim, value = one.partition("=")
        held = claims.get(name)
        if one == "*" or (not is_claim and email and one.lower() == email):
            return True
        if is_claim and value in (held if isinstance(held, list) else [held]):
            return True
    return False
