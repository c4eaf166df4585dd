"""Credentials of each sign-in flow: read from a file or standard input, kept as one JSON document for the vault."""

import json
import sys
from pathlib import Path
from typing import Annotated, Literal

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from connector.errors import BadInput

Text = Annotated[str, Field(min_length=1)]
Secret = Annotated[SecretStr, Field(min_length=1)]
KNOWN_FIELDS = frozenset(
    {
        "client_id",
        "client_secret",
        "refresh_token",
        "username",
        "password",
        "security_token",
        "private_key",
        "access_token",
        "instance_url",
    }
)


def _rsa_key(pem: SecretStr) -> SecretStr:
    try:
        key = load_pem_private_key(pem.get_secret_value().encode(), password=None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, RSAPrivateKey):
        raise ValueError("it must be an RSA private key in PEM form without a passphrase")  # noqa: TRY004 - for pydantic
    return pem


class _Flow(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _leave_fields_of_other_flows(cls, given: object) -> object:
        """One file may serve several flows; only a name that no flow knows is a mistake."""
        if not isinstance(given, dict):
            return given
        return {name: value for name, value in given.items() if name in cls.model_fields or name not in KNOWN_FIELDS}


class RefreshToken(_Flow):
    """A refresh token of the web-server flow; a public app, which proves itself by PKCE, has no secret."""

    flow: Literal["refresh_token"]
    client_id: Text
    client_secret: Secret | None = None
    refresh_token: Secret


class ClientCredentials(_Flow):
    """The app itself, running as the one user set on it."""

    flow: Literal["client_credentials"]
    client_id: Text
    client_secret: Secret


class Jwt(_Flow):
    """An assertion signed with the RSA key (PEM) whose certificate the app holds."""

    flow: Literal["jwt"]
    client_id: Text
    username: Text
    private_key: Annotated[Secret, AfterValidator(_rsa_key)]


class Password(_Flow):
    """User name and password: by OAuth when there is a client id, by SOAP login otherwise."""

    flow: Literal["password"]
    username: Text
    password: Secret
    security_token: SecretStr = SecretStr("")
    client_id: Text | None = None
    client_secret: Secret | None = None

    @model_validator(mode="after")
    def _secret_of_an_app(self) -> "Password":
        if self.client_secret is not None and self.client_id is None:
            raise ValueError("client_secret is there without client_id")
        return self


class AccessToken(_Flow):
    """A session that already exists; when it ends, a person must give another."""

    flow: Literal["access_token"]
    access_token: Secret
    instance_url: Text


Credentials = RefreshToken | ClientCredentials | Jwt | Password | AccessToken

_credentials: TypeAdapter[Credentials] = TypeAdapter(Annotated[Credentials, Field(discriminator="flow")])


def load_credentials(path: Path | None, *, stdin: bool) -> Credentials:
    """Read credentials from a JSON file or from standard input, whichever is given.

    Raises:
        BadInput: neither or both are given, the file cannot be read, or its content is not the credentials of a flow.
    """
    if (path is None) != stdin:
        raise BadInput("Give the credentials either as a file or on standard input.")
    try:
        return parse_credentials(sys.stdin.read() if path is None else path.read_text("utf-8-sig"))
    except OSError as error:
        raise BadInput(f"The credentials file {path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise BadInput("The credentials are not UTF-8 text: give a JSON document.") from None


def parse_credentials(text: str | bytes) -> Credentials:
    """Read a JSON document; raises BadInput, which names the field at fault and never its value."""
    try:
        return _credentials.validate_json(text)
    except ValidationError as error:
        raise BadInput(_sentence(error)) from None


def dump_credentials(credentials: Credentials) -> bytes:
    """Write the JSON document that `parse_credentials` reads, secrets in clear: for the vault alone."""
    plain = {
        name: value.get_secret_value() if isinstance(value, SecretStr) else value
        for name, value in credentials
        if value is not None
    }
    return json.dumps(plain).encode()


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    flow, field = (*first["loc"], "", "")[:2]
    match first["type"]:
        case "json_invalid":
            return "The credentials are not valid JSON: give one JSON object."
        case "union_tag_not_found" | "union_tag_invalid":
            flows = "refresh_token, client_credentials, jwt, password or access_token"
            return f"The credentials need a field 'flow' that is one of {flows}."
        case "missing":
            return f"The credentials of flow {flow} lack the field '{field}': add it."
        case "extra_forbidden":
            return f"The credentials of flow {flow} have no field '{field}': remove it or choose another flow."
        case _:
            about = f"the field '{field}' of flow {flow}" if field else f"the flow {flow}" if flow else "the document"
            return f"The credentials cannot be used because of {about}: {first['msg'].removeprefix('Value error, ')}."
