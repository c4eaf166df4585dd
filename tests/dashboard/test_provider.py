"""Signing in through an identity provider: a small one on this machine, that also lies when asked to."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from connector.weblogin import code_challenge
from tests.connector.conftest import Site
from tests.dashboard.conftest import Browser, served

SUBJECT = {"sub": "7", "email": "Ada@Example.org", "email_verified": True, "groups": ["staff"]}


@dataclass
class Issuer:
    """An OpenID Connect provider that lets everybody in as `claims`; `lies` replace parts of its tokens."""

    url: str = ""
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "1"}))
    claims: dict[str, Any] = field(default_factory=lambda: dict(SUBJECT))
    lies: dict[str, Any] = field(default_factory=dict)
    signed_with: RSAKey | None = None
    asked: dict[str, str] = field(default_factory=dict)

    def answer(self, path: str, form: dict[str, str]) -> dict[str, Any]:
        if path == "/.well-known/openid-configuration":
            ends = {"authorization_endpoint": "/authorize", "token_endpoint": "/token", "jwks_uri": "/keys"}
            return {"issuer": self.url} | {name: self.url + end for name, end in ends.items()}
        if path == "/keys":
            return {"keys": [self.key.as_dict(private=False)]}
        if code_challenge(form["code_verifier"]) != self.asked["code_challenge"]:
            return {"error": "invalid_grant"}
        now = int(time.time())
        claims = {"iss": self.url, "aud": "dashboard", "iat": now, "exp": now + 60, "nonce": self.asked["nonce"]}
        token = jwt.encode({"alg": "RS256", "kid": "1"}, claims | self.claims | self.lies, self.signed_with or self.key)
        return {"access_token": "a", "token_type": "Bearer", "id_token": token}


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    made = Issuer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send(made.answer(urlsplit(self.path).path, {}))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self._send(made.answer(self.path, {name: values[0] for name, values in parse_qs(body).items()}))

        def _send(self, answer: dict[str, Any]) -> None:
            body = json.dumps(answer).encode()
            self.send_response(400 if "error" in answer else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_unused: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_port}"
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield made
    server.shutdown()
    server.server_close()


@pytest.fixture
def guest(make_site: Any, issuer: Issuer) -> Iterator[Browser]:
    """A browser at a dashboard that takes people from the issuer: one admin by e-mail, staff as viewers."""
    site: Site = make_site(
        oidc_issuer=issuer.url,
        oidc_client_id="dashboard",
        oidc_client_secret="secret",
        oidc_admins=["grace@example.org"],
        oidc_viewers=["groups=staff"],
    )
    with served(site.runtime) as url:
        yield Browser(url)


def come_back(browser: Browser, issuer: Issuer) -> str:
    """Go to the provider and back; return where that leads, or what the page says."""
    assert "Sign in with your organization" in browser.get("/login?next=/people").text
    target = urlsplit(browser.get("/login/provider?next=/people").headers["Location"])
    issuer.asked = {name: values[0] for name, values in parse_qs(target.query).items()}
    assert issuer.asked["scope"] == "openid email profile"
    answer = browser.get("/login/provider/callback?" + urlencode({"state": issuer.asked["state"], "code": "c"}))
    return answer.headers.get("Location") or answer.text


def test_whom_the_provider_knows_comes_in_with_a_role(guest: Browser, issuer: Issuer) -> None:
    assert come_back(guest, issuer) == "/people"
    page = guest.get("/people").text
    assert "ada@example.org (viewer)" in page
    issuer.claims["email"] = "grace@example.org"
    other = Browser(guest.url)
    issuer.claims["sub"] = "8"
    assert come_back(other, issuer) == "/people"
    assert other.get("/audit").status_code == 200


def test_a_role_is_taken_anew_each_time(guest: Browser, issuer: Issuer) -> None:
    come_back(guest, issuer)
    issuer.claims["groups"] = []
    assert "nobody has let that account in" in come_back(Browser(guest.url), issuer)


def test_an_email_that_is_not_verified_counts_for_nothing(guest: Browser, issuer: Issuer) -> None:
    issuer.claims |= {"email": "grace@example.org", "email_verified": False, "groups": []}
    assert "nobody has let that account in" in come_back(guest, issuer)


@pytest.mark.parametrize(
    "lie",
    [{"nonce": "other"}, {"aud": "other"}, {"iss": "https://other.example"}, {"exp": 1}, {"iat": None}],
    ids=lambda lie: next(iter(lie)),
)
def test_a_token_that_does_not_hold_lets_nobody_in(guest: Browser, issuer: Issuer, lie: dict[str, Any]) -> None:
    issuer.lies = lie
    assert "does not hold" in come_back(guest, issuer)
    assert guest.get("/").status_code == 302


def test_a_foreign_signature_lets_nobody_in(guest: Browser, issuer: Issuer) -> None:
    issuer.signed_with = RSAKey.generate_key(2048, {"kid": "1"})
    assert "does not hold" in come_back(guest, issuer)


def test_an_answer_is_good_once_and_for_its_own_browser(guest: Browser, issuer: Issuer) -> None:
    come_back(guest, issuer)
    again = "/login/provider/callback?" + urlencode({"state": issuer.asked["state"], "code": "c"})
    assert "No sign-in of this browser" in guest.get(again).text
    guest.get("/login/provider")
    assert guest.get("/login/provider/callback?state=guessed&code=c").status_code == 401
