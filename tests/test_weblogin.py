"""The browser sign-in, with a browser that does what a person, an attacker or nobody would do."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
import requests
from pydantic import SecretStr

from connector.auth import RefreshToken, sign_in
from connector.errors import BadInput, NeedsAttention
from connector.http import session
from connector.simulator import Org, SimulatorServer
from connector.weblogin import browser_login, code_challenge


class Browser:
    """Plays the person: opens the page, decides, and follows Salesforce back to the callback."""

    def __init__(self, server: SimulatorServer, org: Org, decision: str = "allow") -> None:
        self.org, self.decision = org, decision
        self.http = session(server.ca_file)
        self.url = ""
        self.page: requests.Response | None = None

    def __call__(self, url: str) -> None:
        self.url = url
        callback = self.decide()
        self.visit(callback)

    def decide(self) -> str:
        assert self.http.get(self.url).status_code == 200
        query = dict(parse_qsl(urlsplit(self.url).query))
        form = query | {"username": self.org.username, "decision": self.decision}
        return self.http.post(self.url.partition("?")[0], data=form).headers["Location"]

    def visit(self, callback: str) -> int:
        self.page = requests.get(callback, timeout=5)
        return self.page.status_code


@pytest.fixture
def org() -> Org:
    return Org("acme")


@pytest.fixture
def server(org: Org, tmp_path: Path) -> Iterator[SimulatorServer]:
    with SimulatorServer([org], ca_dir=tmp_path) as running:
        running.instance(org).settings.require_pkce = True
        yield running


def log_in(server: SimulatorServer, org: Org, open_browser: Callable[[str], object], **options: Any) -> RefreshToken:
    settings = server.instance(org).settings
    secret = SecretStr(options.pop("client_secret", settings.client_secret))
    http = session(server.ca_file)
    given = {"timeout": 10, **options}
    return browser_login(server.url(org), settings.client_id, secret, http, open_browser=open_browser, **given)


def test_an_approval_becomes_credentials_that_sign_in(server: SimulatorServer, org: Org) -> None:
    browser = Browser(server, org)
    credentials = log_in(server, org, browser)
    login = sign_in(
        credentials, server.url(org), session(server.ca_file), now=datetime.now(UTC), allowed_hosts=["localhost"]
    )
    assert login.username == org.username
    assert browser.page is not None
    assert "Thank you" in browser.page.text
    assert browser.page.headers["Cache-Control"] == "no-store"


def test_the_page_is_asked_with_pkce_and_a_fresh_state(server: SimulatorServer, org: Org) -> None:
    asked = []
    for _ in range(2):
        browser = Browser(server, org)
        log_in(server, org, browser)
        asked.append(dict(parse_qsl(urlsplit(browser.url).query)))
    assert all(query["code_challenge_method"] == "S256" and query["scope"] == "api refresh_token" for query in asked)
    for name in ("state", "code_challenge"):
        assert len({query[name] for query in asked}) == 2
        assert len(asked[0][name]) >= 43


def test_the_challenge_is_that_of_the_standard() -> None:
    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    assert code_challenge(verifier) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def test_foreign_callbacks_are_refused_and_the_right_one_still_counts(server: SimulatorServer, org: Org) -> None:
    seen: list[int] = []

    class Attacked(Browser):
        def __call__(self, url: str) -> None:
            self.url = url
            right = self.decide()
            base, query = right.partition("?")[0], dict(parse_qsl(urlsplit(right).query))
            foreign = [
                f"{base}?{urlencode(query | {'state': 'x'})}",
                f"{base}?{urlencode({'code': 'x'})}",
                f"{base}?error=access_denied",
                base,
                right.replace("/callback", "/other"),
                f"{base}?{urlencode({'code': 'x', 'state': 'ä'})}",
            ]
            seen.extend(self.visit(url) for url in [*foreign, right, right])

    credentials = log_in(server, org, Attacked(server, org))
    assert credentials.flow == "refresh_token"
    assert seen == [400] * 6 + [200, 400]


def test_a_person_who_declines_is_taken_at_their_word(server: SimulatorServer, org: Org) -> None:
    browser = Browser(server, org, decision="deny")
    with pytest.raises(NeedsAttention, match="declined") as caught:
        log_in(server, org, browser)
    assert caught.value.code == "access_denied"
    assert browser.page is not None
    assert "not approved" in browser.page.text


def test_a_blocked_app_is_explained(server: SimulatorServer, org: Org) -> None:
    server.instance(org).settings.flows -= {"authorization_code"}

    def open_browser(url: str) -> None:
        browser = Browser(server, org)
        browser.visit(browser.http.get(url).headers["Location"])

    with pytest.raises(NeedsAttention, match="blocked"):
        log_in(server, org, open_browser)


def test_a_wrong_app_secret_is_explained(server: SimulatorServer, org: Org) -> None:
    with pytest.raises(NeedsAttention) as caught:
        log_in(server, org, Browser(server, org), client_secret="wrong-secret")
    assert caught.value.code == "invalid_client"
    assert "wrong-secret" not in str(caught.value)


def test_nobody_at_the_browser_ends_in_a_sentence(server: SimulatorServer, org: Org) -> None:
    began = time.monotonic()
    with pytest.raises(NeedsAttention, match="Nobody approved the app") as caught:
        log_in(server, org, lambda _url: None, timeout=0.2)
    assert caught.value.code == "sign_in_timed_out"
    assert time.monotonic() - began < 5


def test_a_connection_that_says_nothing_blocks_nobody(server: SimulatorServer, org: Org) -> None:
    browser = Browser(server, org)

    def open_browser(url: str) -> None:
        port = urlsplit(dict(parse_qsl(urlsplit(url).query))["redirect_uri"]).port
        with socket.create_connection(("127.0.0.1", port)):
            browser(url)

    assert log_in(server, org, open_browser).flow == "refresh_token"


def test_a_taken_port_is_bad_input(server: SimulatorServer, org: Org) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(BadInput, match="callback"):
        log_in(server, org, Browser(server, org), port=taken.getsockname()[1])
    with pytest.raises(BadInput, match="callback"):
        log_in(server, org, Browser(server, org), port=70000)


def test_a_given_port_is_used_and_given_back(server: SimulatorServer, org: Org) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for _ in range(2):
        browser = Browser(server, org)
        log_in(server, org, browser, port=port)
        assert urlencode({"redirect_uri": f"http://localhost:{port}/callback"}) in browser.url
    assert not [each for each in threading.enumerate() if "serve_forever" in each.name]


def test_without_the_refresh_scope_the_remedy_names_it(
    server: SimulatorServer, org: Org, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connector.weblogin.SCOPE", "api")
    with pytest.raises(NeedsAttention, match="offline_access"):
        log_in(server, org, Browser(server, org))
