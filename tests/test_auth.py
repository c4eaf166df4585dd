"""Signing in to a simulated org over TLS: every flow, rotation and replay, refusals, and answers that are none."""

import json
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from connector.auth import Credentials, Login, RefreshToken, parse_credentials, sign_in, signin, tokens
from connector.errors import BadInput, NeedsAttention, Transient
from connector.http import session
from connector.simulator import Fault, Org, SimulatorServer

FLOWS = ("refresh_token", "client_credentials", "jwt", "password", "access_token")
TOKEN, USERINFO = "/services/oauth2/token", "/services/oauth2/userinfo"


class Acme:
    """One simulated org and the way to sign in to it."""

    def __init__(self, server: SimulatorServer, org: Org) -> None:
        self.server, self.org = server, org
        self.instance = server.instance(org)
        self.url = server.url(org)
        self.http = session(server.ca_file)

    def credentials(self, flow: str = "refresh_token", **changes: str | None) -> Credentials:
        document = {**self.server.credentials(self.org, flow), **changes}
        return parse_credentials(json.dumps({name: value for name, value in document.items() if value is not None}))

    def sign_in(self, credentials: Credentials, **options: Any) -> Login:
        given = {"now": datetime.now(UTC), "allowed_hosts": ["localhost"], **options}
        return sign_in(credentials, self.url, self.http, **given)

    def asked(self, path: str) -> int:
        return len(self.server.requests.of(self.org.key, path))

    def userinfo(self, login: Login) -> requests.Response:
        headers = {"Authorization": f"Bearer {login.access_token.get_secret_value()}"}
        return self.http.get(login.instance_url + USERINFO, headers=headers)


@pytest.fixture(scope="module")
def ca_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ca")


@pytest.fixture
def acme(ca_dir: Path) -> Iterator[Acme]:
    org = Org("acme")
    with SimulatorServer([org], ca_dir=ca_dir) as server:
        yield Acme(server, org)


def refused(acme: Acme, credentials: Credentials, **options: Any) -> NeedsAttention:
    with pytest.raises(NeedsAttention) as caught:
        acme.sign_in(credentials, **options)
    assert caught.value.message.endswith(".")
    assert caught.value.remedy.endswith(".")
    return caught.value


def check_login(acme: Acme, login: Login) -> None:
    assert (login.org_id, login.username) == (acme.org.org_id, acme.org.username)
    assert len(login.org_id) == len(login.user_id) == 18
    assert login.instance_url == acme.url
    assert login.issued_at.tzinfo is not None
    assert abs((login.issued_at - datetime.now(UTC)).total_seconds()) < 60
    assert acme.userinfo(login).status_code == 200
    assert login.access_token.get_secret_value() not in f"{login!r} {login} {login.model_dump_json()}"


@pytest.mark.parametrize("flow", FLOWS)
def test_every_flow_ends_in_a_login(acme: Acme, flow: str) -> None:
    login = acme.sign_in(acme.credentials(flow))
    check_login(acme, login)
    assert login.refresh_token is None


def test_a_password_without_an_app_logs_in_by_soap(acme: Acme) -> None:
    acme.instance.settings.password = "<&'\"> ümlaut"
    login = acme.sign_in(acme.credentials("password", client_id=None, client_secret=None))
    check_login(acme, login)
    assert acme.asked(TOKEN) == 0


def test_a_rotated_token_is_kept_before_the_new_access_token_is_used(acme: Acme) -> None:
    acme.instance.settings.rotate_refresh_tokens = True
    first = acme.credentials()
    kept: list[tuple[RefreshToken, int]] = []
    login = acme.sign_in(first, keep=lambda new: kept.append((new, acme.asked(USERINFO))))
    (second, asked_before), *others = kept
    assert not others
    assert asked_before == 0
    assert login.refresh_token == second.refresh_token
    assert second.refresh_token != first.refresh_token
    check_login(acme, acme.sign_in(second))


def test_showing_a_spent_token_again_is_refused_and_ends_its_successor(acme: Acme) -> None:
    acme.instance.settings.rotate_refresh_tokens = True
    first, kept = acme.credentials(), []
    login = acme.sign_in(first, keep=kept.append)
    assert refused(acme, first).code == "invalid_grant"
    assert acme.userinfo(login).status_code == 401
    assert refused(acme, kept[0]).code == "invalid_grant"


@pytest.mark.parametrize(
    "spoilt", [Fault("html", path=USERINFO), Fault("reset", path=USERINFO), "https://evil.example"]
)
def test_a_rotated_token_survives_what_goes_wrong_after_it(acme: Acme, spoilt: Fault | str) -> None:
    acme.instance.settings.rotate_refresh_tokens = True
    if isinstance(spoilt, Fault):
        acme.server.faults.add(Fault(spoilt.kind, path=spoilt.path))
    else:
        acme.instance.settings.instance_url = spoilt
    kept: list[RefreshToken] = []
    with pytest.raises((Transient, NeedsAttention)):
        acme.sign_in(acme.credentials(), keep=kept.append)
    acme.instance.settings.instance_url = None
    check_login(acme, acme.sign_in(kept[0]))


def test_without_rotation_nothing_is_kept(acme: Acme) -> None:
    kept: list[RefreshToken] = []
    credentials = acme.credentials()
    for _ in range(2):
        check_login(acme, acme.sign_in(credentials, keep=kept.append))
    assert kept == []


def other_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.mark.parametrize(
    ("flow", "changes", "code", "says"),
    [
        ("refresh_token", {"refresh_token": "5Aep861wrong"}, "invalid_grant", "revoked, rotated away"),
        ("refresh_token", {"client_secret": "wrong-secret"}, "invalid_client", "id or secret"),
        ("refresh_token", {"client_secret": None}, "invalid_client", "id or secret"),
        ("client_credentials", {"client_id": "wrong-app"}, "invalid_client_id", "app's id"),
        ("jwt", {"username": "nobody@acme.example"}, "invalid_grant", "pre-authorised"),
        ("jwt", {"private_key": other_key()}, "invalid_grant", "signed assertion"),
        ("password", {"password": "wrong-password"}, "invalid_grant", "wrong password"),
        ("access_token", {"access_token": "00Dwrong!token"}, "session_refused", "access token"),
    ],
)
def test_wrong_credentials_are_explained_and_never_shown(
    acme: Acme, flow: str, changes: dict[str, str | None], code: str, says: str
) -> None:
    error = refused(acme, acme.credentials(flow, **changes))
    assert error.code == code
    assert says in error.message
    for value in changes.values():
        assert value is None or value not in f"{error} {error!r} {error.__dict__}"


@pytest.mark.parametrize("changes", [{"password": "wrong"}, {"username": "nobody@acme.example"}])
def test_a_wrong_soap_login_is_explained(acme: Acme, changes: dict[str, str]) -> None:
    error = refused(acme, acme.credentials("password", client_id=None, client_secret=None, **changes))
    assert error.code == "INVALID_LOGIN"


def test_a_flow_that_is_switched_off_is_explained(acme: Acme) -> None:
    acme.instance.settings.flows -= {"client_credentials"}
    assert "no user to run as" in refused(acme, acme.credentials("client_credentials")).message


def test_revoked_credentials_need_a_person_at_once(acme: Acme) -> None:
    credentials = acme.credentials()
    acme.server.revoke(acme.org)
    error = refused(acme, credentials)
    assert error.code == "invalid_grant"
    assert "Reauthenticate" in error.remedy
    assert acme.asked(TOKEN) == 1


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("html", "unexpected_answer"),
        ("invalid_json", "unexpected_answer"),
        ("wrong_length", "unexpected_answer"),
        ("server_unavailable", "unexpected_answer"),
        ("unknown_exception", "unexpected_answer"),
        ("cut", "no_answer"),
        ("reset", "no_answer"),
        ("lose_answer", "no_answer"),
    ],
)
@pytest.mark.parametrize("flow", ["refresh_token", "client_credentials"])
def test_an_answer_that_is_none_is_transient_and_never_repeated(acme: Acme, flow: str, kind: str, code: str) -> None:
    fault = acme.server.faults.add(Fault(kind, path=TOKEN, times=None))
    with pytest.raises(Transient) as caught:
        acme.sign_in(acme.credentials(flow))
    assert caught.value.code == code
    assert fault.met == 1


@pytest.mark.parametrize("kind", ["html", "invalid_json", "server_unavailable"])
def test_a_soap_answer_that_is_none_is_transient(acme: Acme, kind: str) -> None:
    acme.server.faults.add(Fault(kind, path="/Soap/"))
    with pytest.raises(Transient):
        acme.sign_in(acme.credentials("password", client_id=None, client_secret=None))


def test_a_hanging_token_endpoint_is_given_up(acme: Acme, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "TOKEN_DEADLINE", 0.3)
    acme.server.faults.add(Fault("hang", path=TOKEN))
    with pytest.raises(Transient) as caught:
        acme.sign_in(acme.credentials())
    assert caught.value.code == "no_answer"


def test_an_untrusted_authority_is_named_with_its_setting(acme: Acme) -> None:
    acme.http = session(None)
    error = refused(acme, acme.credentials())
    assert error.code == "untrusted_certificate"
    assert "CONNECTOR_CA_BUNDLE" in error.remedy


def test_a_closed_port_is_one_sentence(acme: Acme) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        acme.url = f"https://localhost:{listener.getsockname()[1]}"
    with pytest.raises(Transient, match="cannot be reached") as caught:
        acme.sign_in(acme.credentials())
    assert caught.value.code == "unreachable"


def test_an_org_that_moved_is_followed(acme: Acme) -> None:
    credentials = acme.credentials()
    spare = acme.instance.move()
    assert acme.sign_in(credentials).instance_url == spare != acme.url


def test_an_instance_elsewhere_gets_no_token(acme: Acme) -> None:
    acme.instance.settings.instance_url = "https://evil.example"
    error = refused(acme, acme.credentials())
    assert error.code == "instance_refused"
    assert "evil.example in CONNECTOR_ALLOWED_HOSTS" in error.remedy


def test_urls_of_the_user_are_checked_before_anything_is_sent(acme: Acme) -> None:
    with pytest.raises(BadInput, match="CONNECTOR_ALLOWED_HOSTS"):
        acme.sign_in(acme.credentials(), allowed_hosts=[])
    with pytest.raises(BadInput, match="CONNECTOR_ALLOWED_HOSTS"):
        acme.sign_in(acme.credentials("access_token", instance_url="https://evil.example"))
    acme.url = "https://login.salesforce.com"
    with pytest.raises(BadInput, match="My Domain"):
        acme.sign_in(acme.credentials("client_credentials"))
    assert acme.asked("") == 0


def test_the_identity_url_helps_where_the_scope_does_not_reach_userinfo(acme: Acme) -> None:
    acme.server.faults.add(Fault("error", path=USERINFO, status=403, code="FORBIDDEN", times=None))
    credentials = acme.credentials()
    assert acme.sign_in(credentials).username == acme.org.username
    acme.server.faults.add(Fault("error", path="/id/", status=403, code="FORBIDDEN", times=None))
    assert refused(acme, credentials).code == "session_refused"


@pytest.mark.parametrize(
    ("url", "page"),
    [
        ("https://login.salesforce.com/id/00D/005", "https://login.salesforce.com/id/00D/005"),
        (
            "https://login.salesforce.com/id/00D/005?version=latest",
            "https://login.salesforce.com/id/00D/005?version=latest",
        ),
        ("https://login.salesforce.com\\@evil.example/id", None),
        ("https://me@login.salesforce.com/id", None),
        ("https://evil.example/id/00D/005", None),
        ("http://login.salesforce.com/id/00D/005", None),
        ("https://[/id", None),
        ("/id/00D/005", None),
        ("", None),
        (None, None),
    ],
)
def test_an_identity_url_counts_only_on_an_allowed_host(url: str | None, page: str | None) -> None:
    assert signin._identity_page(url, []) == page


@pytest.mark.parametrize(
    ("value", "seconds"), [("1764000000000", 1764000000), ("1764000000", 1764000000), ("soon", 1), (None, 1), ([], 1)]
)
def test_issued_at_is_read_as_seconds_or_milliseconds(value: object, seconds: int) -> None:
    now = datetime.fromtimestamp(1, UTC)
    assert signin._issued_at(value, now) == datetime.fromtimestamp(seconds, UTC)
