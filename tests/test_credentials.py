"""Credentials as a user hands them over: every flow, every mistake named by its field, and no secret shown."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from connector.auth import dump_credentials, load_credentials, parse_credentials
from connector.errors import BadInput


def pem(key: Any, encryption: Any = None) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption()).decode()


RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
SECRET = "s3cr3t-value"
FLOWS: dict[str, dict[str, str]] = {
    "refresh_token": {"client_id": "app", "client_secret": SECRET, "refresh_token": SECRET},
    "client_credentials": {"client_id": "app", "client_secret": SECRET},
    "jwt": {"client_id": "app", "username": "me@acme.example", "private_key": pem(RSA_KEY)},
    "password": {"username": "me@acme.example", "password": SECRET, "security_token": SECRET},
    "access_token": {"access_token": SECRET, "instance_url": "https://acme.my.salesforce.com"},
}


@pytest.mark.parametrize("flow", FLOWS)
def test_every_flow_is_read_and_written_again(flow: str) -> None:
    document = {"flow": flow, **FLOWS[flow]}
    credentials = parse_credentials(json.dumps(document))
    assert json.loads(dump_credentials(credentials)) == document
    assert parse_credentials(dump_credentials(credentials)) == credentials


@pytest.mark.parametrize("flow", FLOWS)
def test_no_secret_is_shown(flow: str) -> None:
    credentials = parse_credentials(json.dumps({"flow": flow, **FLOWS[flow]}))
    for shown in (repr(credentials), str(credentials), credentials.model_dump_json(), f"{credentials.model_dump()}"):
        assert SECRET not in shown
        assert "PRIVATE KEY" not in shown


@pytest.mark.parametrize(("flow", "field"), [(flow, field) for flow in FLOWS for field in FLOWS[flow]])
def test_a_missing_field_is_named_unless_it_may_be_missing(flow: str, field: str) -> None:
    document = {"flow": flow, **FLOWS[flow]}
    del document[field]
    if (flow, field) in {("refresh_token", "client_secret"), ("password", "security_token")}:
        parse_credentials(json.dumps(document))
    else:
        with pytest.raises(BadInput, match=f"flow {flow} lack the field '{field}'"):
            parse_credentials(json.dumps(document))


@pytest.mark.parametrize("value", ["", 7, None, ["x"], {"x": SECRET}])
def test_a_value_of_the_wrong_kind_is_named_but_not_shown(value: object) -> None:
    with pytest.raises(BadInput, match="'client_secret' of flow client_credentials") as caught:
        parse_credentials(json.dumps({"flow": "client_credentials", "client_id": "app", "client_secret": value}))
    assert SECRET not in str(caught.value)


def test_an_unknown_field_is_named_but_not_shown() -> None:
    with pytest.raises(BadInput, match="no field 'refresh_tokn'") as caught:
        parse_credentials(json.dumps({"flow": "jwt", **FLOWS["jwt"], "refresh_tokn": SECRET}))
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("document", [{}, {"flow": "magic"}, {"flow": None}, {"client_id": SECRET}])
def test_an_unknown_flow_is_answered_with_the_known_ones(document: dict[str, object]) -> None:
    with pytest.raises(
        BadInput, match="'flow' that is one of refresh_token, client_credentials, jwt, password"
    ) as caught:
        parse_credentials(json.dumps(document))
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "null", f'"{SECRET}"', f"{{{SECRET}}}", b"\xff"])
def test_anything_but_a_json_object_is_refused(text: str | bytes) -> None:
    with pytest.raises(BadInput) as caught:
        parse_credentials(text)
    assert SECRET not in str(caught.value)


def test_a_secret_without_its_app_is_refused() -> None:
    with pytest.raises(BadInput, match="client_secret is there without client_id"):
        parse_credentials(json.dumps({"flow": "password", **FLOWS["password"], "client_secret": SECRET}))


@pytest.mark.parametrize(
    "key",
    [
        "not a key",
        pem(ec.generate_private_key(ec.SECP256R1())),
        pem(RSA_KEY, BestAvailableEncryption(b"passphrase")),
    ],
)
def test_a_key_that_cannot_sign_is_refused(key: str) -> None:
    with pytest.raises(BadInput, match="'private_key' of flow jwt: it must be an RSA private key") as caught:
        parse_credentials(json.dumps({"flow": "jwt", **FLOWS["jwt"], "private_key": key}))
    assert key not in str(caught.value)


def test_credentials_come_from_a_file_or_from_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = json.dumps({"flow": "client_credentials", **FLOWS["client_credentials"]})
    (tmp_path / "c.json").write_text(text, "utf-8-sig")
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    assert load_credentials(tmp_path / "c.json", stdin=False) == load_credentials(None, stdin=True)


def test_credentials_come_from_one_place(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text("{}")
    for path, stdin in ((None, False), (tmp_path / "c.json", True)):
        with pytest.raises(BadInput, match="either as a file or on standard input"):
            load_credentials(path, stdin=stdin)


@pytest.mark.parametrize("name", ["absent.json", ".", "bad.json"])
def test_a_file_that_cannot_be_read_is_one_sentence(name: str, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_bytes(b"\xff\xff")
    with pytest.raises(BadInput, match=r"cannot be read|not UTF-8"):
        load_credentials(tmp_path / name, stdin=False)
