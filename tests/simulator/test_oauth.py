"""Logging in: every OAuth flow, the authorize page, SOAP, and how tokens die."""

import base64
import hashlib
import re
import time
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
import requests

from .conftest import Client, error

CALLBACK = "http://127.0.0.1:9999/callback"
VERIFIER = "v" * 64
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


def oauth_error(response: requests.Response) -> tuple[int, str, str]:
    body = response.json()
    return response.status_code, body["error"], body["error_description"]


def app(client: Client) -> dict[str, str]:
    settings = client.instance.settings
    return {"client_id": settings.client_id, "client_secret": settings.client_secret}


def authorize(client: Client, decision: str = "allow", **fields: str) -> requests.Response:
    form = {
        "response_type": "code",
        "client_id": client.instance.settings.client_id,
        "redirect_uri": CALLBACK,
        "username": "integration@acme.example",
        "decision": decision,
        "state": "s1",
    }
    return client.call("POST", "/services/oauth2/authorize", data=form | fields)


def answer(response: requests.Response) -> dict[str, str]:
    """The parameters a redirect carries back."""
    assert response.status_code == 302
    location = urlsplit(response.headers["location"])
    assert location._replace(query="").geturl() == CALLBACK
    return {name: values[0] for name, values in parse_qs(location.query).items()}


def web_login(client: Client) -> dict[str, str]:
    code = answer(authorize(client, code_challenge=CHALLENGE))["code"]
    response = exchange(client, code, code_verifier=VERIFIER)
    assert response.status_code == 200
    return response.json()


def exchange(client: Client, code: str, **fields: str) -> requests.Response:
    return client.token(grant_type="authorization_code", code=code, redirect_uri=CALLBACK, **app(client), **fields)


def refresh(client: Client, token: str) -> requests.Response:
    return client.token(grant_type="refresh_token", refresh_token=token, **app(client))


def works(client: Client, token: str) -> bool:
    return client.get("/limits", headers={"Authorization": f"Bearer {token}"}).status_code == 200


class TestClientCredentials:
    @pytest.mark.parametrize("basic", [True, False])
    def test_gives_a_session_without_refresh_token(self, anonymous: Client, basic: bool) -> None:
        settings = anonymous.instance.settings
        if basic:
            auth = (settings.client_id, settings.client_secret)
            path = "/services/oauth2/token"
            response = anonymous.call("POST", path, data={"grant_type": "client_credentials"}, auth=auth)
        else:
            response = anonymous.token(grant_type="client_credentials", **app(anonymous))
        body = response.json()
        assert body["token_type"] == "Bearer"
        assert body["instance_url"] == anonymous.base
        assert body["access_token"].startswith(anonymous.org.org_id[:15] + "!")
        assert re.fullmatch(r"\d{13}", body["issued_at"])
        assert not {"refresh_token", "expires_in"} & body.keys()
        assert works(anonymous, body["access_token"])

    def test_needs_the_right_secret_and_id(self, anonymous: Client) -> None:
        wrong = app(anonymous) | {"client_secret": "x"}
        refused = oauth_error(anonymous.token(grant_type="client_credentials", **wrong))
        assert refused == (400, "invalid_client", "invalid client credentials")
        refused = oauth_error(anonymous.token(grant_type="client_credentials", client_id="x", client_secret="x"))
        assert refused == (400, "invalid_client_id", "client identifier invalid")

    def test_is_refused_on_the_shared_login_host(self, anonymous: Client) -> None:
        form = {"grant_type": "client_credentials"} | app(anonymous)
        path = "/services/oauth2/token"
        response = anonymous.call("POST", path, data=form, headers={"Host": "login.salesforce.com"})
        assert oauth_error(response) == (400, "invalid_grant", "request not supported on this domain")

    def test_can_be_switched_off(self, anonymous: Client) -> None:
        anonymous.instance.settings.flows -= {"client_credentials"}
        refused = oauth_error(anonymous.token(grant_type="client_credentials", **app(anonymous)))
        assert refused == (400, "invalid_grant", "no client credentials user enabled")


class TestWebServerFlow:
    def test_the_page_asks_and_keeps_the_request(self, anonymous: Client) -> None:
        query = {"response_type": "code", "client_id": app(anonymous)["client_id"], "redirect_uri": CALLBACK}
        page = anonymous.get("/services/oauth2/authorize", params=query | {"state": '"><script>', "login_hint": "a@b"})
        assert page.status_code == 200
        assert 'value="a@b"' in page.text
        assert "<script>" not in page.text

    def test_signs_in_with_a_challenge(self, anonymous: Client) -> None:
        tokens = web_login(anonymous)
        assert tokens["scope"] == "api refresh_token"
        assert works(anonymous, tokens["access_token"])

    def test_returns_the_state(self, anonymous: Client) -> None:
        assert answer(authorize(anonymous, state="a b&c"))["state"] == "a b&c"

    def test_denial_comes_back_as_an_error(self, anonymous: Client) -> None:
        back = answer(authorize(anonymous, "deny"))
        assert (back["error"], back["state"]) == ("access_denied", "s1")

    def test_a_code_works_once(self, anonymous: Client) -> None:
        code = answer(authorize(anonymous))["code"]
        assert exchange(anonymous, code).status_code == 200
        assert oauth_error(exchange(anonymous, code)) == (400, "invalid_grant", "invalid authorization code")

    def test_a_code_expires(self, anonymous: Client) -> None:
        code = answer(authorize(anonymous))["code"]
        anonymous.org.clock.advance(16 * 60)
        assert oauth_error(exchange(anonymous, code)) == (400, "invalid_grant", "expired authorization code")

    def test_a_wrong_verifier_is_refused(self, anonymous: Client) -> None:
        code = answer(authorize(anonymous, code_challenge=CHALLENGE))["code"]
        assert oauth_error(exchange(anonymous, code, code_verifier="w" * 64))[1] == "invalid_request"

    def test_challenge_and_verifier_come_together(self, anonymous: Client) -> None:
        with_challenge = answer(authorize(anonymous, code_challenge=CHALLENGE))["code"]
        without = answer(authorize(anonymous))["code"]
        assert oauth_error(exchange(anonymous, with_challenge))[1] == "invalid_grant"
        assert oauth_error(exchange(anonymous, without, code_verifier=VERIFIER))[1] == "invalid_grant"

    def test_a_malformed_or_missing_challenge_is_refused(self, anonymous: Client) -> None:
        assert answer(authorize(anonymous, code_challenge="short"))["error"] == "invalid_request"
        anonymous.instance.settings.require_pkce = True
        assert answer(authorize(anonymous))["error"] == "invalid_request"

    def test_an_unknown_callback_gets_no_redirect(self, anonymous: Client) -> None:
        assert authorize(anonymous, redirect_uri="https://evil.example/").status_code == 400
        assert authorize(anonymous, client_id="x").status_code == 400

    def test_the_callback_must_be_the_same_at_the_exchange(self, anonymous: Client) -> None:
        code = answer(authorize(anonymous))["code"]
        other = anonymous.token(
            grant_type="authorization_code", code=code, redirect_uri=CALLBACK + "2", **app(anonymous)
        )
        assert oauth_error(other)[1] == "redirect_uri_mismatch"

    def test_without_the_scope_there_is_no_refresh_token(self, anonymous: Client) -> None:
        code = answer(authorize(anonymous, scope="api"))["code"]
        assert "refresh_token" not in exchange(anonymous, code).json()

    def test_another_user_may_sign_in(self, anonymous: Client) -> None:
        code = answer(authorize(anonymous, username="sofia@acme.example"))["code"]
        identity = exchange(anonymous, code).json()["id"]
        assert identity.endswith(anonymous.instance.users["sofia@acme.example"].id)

    def test_an_unknown_user_sees_the_page_again(self, anonymous: Client) -> None:
        assert "check your user name" in authorize(anonymous, username="nobody").text


class TestRefresh:
    def test_gives_a_session_and_keeps_the_token(self, anonymous: Client) -> None:
        token = web_login(anonymous)["refresh_token"]
        body = refresh(anonymous, token).json()
        assert "refresh_token" not in body
        assert works(anonymous, body["access_token"])
        assert refresh(anonymous, token).status_code == 200

    def test_rotation_gives_a_new_token_each_time(self, anonymous: Client) -> None:
        anonymous.instance.settings.rotate_refresh_tokens = True
        first = web_login(anonymous)["refresh_token"]
        second = refresh(anonymous, first).json()["refresh_token"]
        assert second != first
        assert refresh(anonymous, second).status_code == 200

    def test_replaying_a_rotated_token_ends_everything(self, anonymous: Client) -> None:
        anonymous.instance.settings.rotate_refresh_tokens = True
        first = web_login(anonymous)["refresh_token"]
        current = refresh(anonymous, first).json()
        assert oauth_error(refresh(anonymous, first)) == (400, "invalid_grant", "expired access/refresh token")
        assert refresh(anonymous, current["refresh_token"]).status_code == 400
        assert not works(anonymous, current["access_token"])

    def test_the_sixth_approval_ends_the_first(self, anonymous: Client) -> None:
        logins = [web_login(anonymous) for _ in range(6)]
        answers = [refresh(anonymous, login["refresh_token"]).status_code for login in logins]
        assert answers == [400, 200, 200, 200, 200, 200]
        assert not works(anonymous, logins[0]["access_token"])

    def test_an_idle_token_dies_if_the_app_says_so(self, anonymous: Client) -> None:
        anonymous.instance.settings.refresh_idle_days = 30
        token = web_login(anonymous)["refresh_token"]
        anonymous.org.clock.advance(29 * 86400)
        assert refresh(anonymous, token).status_code == 200
        anonymous.org.clock.advance(31 * 86400)
        assert refresh(anonymous, token).status_code == 400

    def test_an_inactive_user_cannot_refresh(self, anonymous: Client) -> None:
        token = web_login(anonymous)["refresh_token"]
        anonymous.instance.integration_user.active = False
        assert oauth_error(refresh(anonymous, token))[1] == "inactive_user"


class TestJwtBearer:
    GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"

    def assertion(self, client: Client, key: str | None = None, **claims: object) -> str:
        fields = {
            "iss": client.instance.settings.client_id,
            "sub": "integration@acme.example",
            "aud": "https://login.salesforce.com",
            "exp": int(time.time()) + 180,
        }
        return jwt.encode(fields | claims, key or client.instance.private_key(), algorithm="RS256")

    def test_signs_in(self, anonymous: Client) -> None:
        body = anonymous.token(grant_type=self.GRANT, assertion=self.assertion(anonymous)).json()
        assert works(anonymous, body["access_token"])
        assert "refresh_token" not in body

    @pytest.mark.parametrize(
        ("claims", "refusal"),
        [
            ({"aud": "https://evil.example"}, "audience is invalid"),
            ({"exp": 1}, "invalid assertion"),
            ({"sub": "nobody@acme.example"}, "user hasn't approved this consumer"),
            ({"iss": "x"}, "client identifier invalid"),
        ],
    )
    def test_refuses(self, anonymous: Client, claims: dict[str, object], refusal: str) -> None:
        response = anonymous.token(grant_type=self.GRANT, assertion=self.assertion(anonymous, **claims))
        assert oauth_error(response)[2] == refusal

    def test_refuses_another_signature(self, anonymous: Client) -> None:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import rsa

        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
        response = anonymous.token(grant_type=self.GRANT, assertion=self.assertion(anonymous, pem))
        assert oauth_error(response) == (400, "invalid_grant", "invalid assertion")


class TestPassword:
    def test_takes_password_and_token_glued(self, anonymous: Client) -> None:
        settings = anonymous.instance.settings
        glued = settings.password + settings.security_token
        login = {"grant_type": "password", "username": "integration@acme.example"} | app(anonymous)
        assert anonymous.token(password=glued, **login).status_code == 200
        refused = oauth_error(anonymous.token(password=settings.password, **login))
        assert refused == (400, "invalid_grant", "authentication failure")
        settings.trusted_network = True
        assert anonymous.token(password=settings.password, **login).status_code == 200

    def test_unknown_grant(self, anonymous: Client) -> None:
        assert oauth_error(anonymous.token(grant_type="device", **app(anonymous)))[1] == "unsupported_grant_type"


class TestSoapLogin:
    def login(self, client: Client, password: str, version: str = "59.0") -> requests.Response:
        body = (
            '<?xml version="1.0"?><e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body>'
            '<n1:login xmlns:n1="urn:partner.soap.sforce.com"><n1:username>integration@acme.example</n1:username>'
            f"<n1:password>{password}</n1:password></n1:login></e:Body></e:Envelope>"
        )
        return client.call("POST", f"/services/Soap/u/{version}", data=body, headers={"Content-Type": "text/xml"})

    def test_signs_in(self, anonymous: Client) -> None:
        settings = anonymous.instance.settings
        response = self.login(anonymous, settings.password + settings.security_token)
        found = re.search("<sessionId>(.*)</sessionId>", response.text)
        assert found
        assert works(anonymous, found.group(1))
        assert f"<serverUrl>{anonymous.base}/services/Soap/u/59.0/" in response.text

    def test_faults(self, anonymous: Client) -> None:
        wrong = self.login(anonymous, "x")
        assert wrong.status_code == 500
        assert "<sf:exceptionCode>INVALID_LOGIN</sf:exceptionCode>" in wrong.text
        assert "UNSUPPORTED_API_VERSION" in self.login(anonymous, "x", "65.0").text


class TestSessions:
    def test_a_call_without_a_session_is_refused(self, anonymous: Client) -> None:
        assert error(anonymous.get("/limits")) == (401, "INVALID_SESSION_ID")
        assert anonymous.get("/limits").json()[0]["message"] == "Session expired or invalid"

    def test_expired_sessions_can_be_refreshed_and_revoked_ones_not(self, anonymous: Client) -> None:
        tokens = web_login(anonymous)
        anonymous.server.expire_sessions(anonymous.org)
        assert not works(anonymous, tokens["access_token"])
        assert refresh(anonymous, tokens["refresh_token"]).status_code == 200
        anonymous.server.revoke(anonymous.org)
        assert refresh(anonymous, tokens["refresh_token"]).status_code == 400

    def test_use_prolongs_a_session_in_the_second_half_of_its_life(self, client: Client) -> None:
        token = client.http.headers["Authorization"].split()[1]
        client.org.clock.advance(3500)
        assert works(client, token)
        client.org.clock.advance(3600)
        assert works(client, token)
        client.org.clock.advance(3700)
        assert works(client, token)
        client.org.clock.advance(7300)
        assert not works(client, token)

    def test_revoking_a_refresh_token_ends_its_sessions(self, anonymous: Client) -> None:
        tokens = web_login(anonymous)
        path = "/services/oauth2/revoke"
        assert anonymous.call("POST", path, data={"token": tokens["refresh_token"]}).status_code == 200
        assert not works(anonymous, tokens["access_token"])
        again = anonymous.call("POST", path, data={"token": tokens["refresh_token"]})
        assert oauth_error(again)[:2] == (400, "invalid_token")

    def test_a_moved_org_lives_elsewhere(self, anonymous: Client) -> None:
        tokens = web_login(anonymous)
        new_home = anonymous.instance.move()
        assert not works(anonymous, tokens["access_token"])
        body = refresh(anonymous, tokens["refresh_token"]).json()
        assert body["instance_url"] == new_home != anonymous.base
        assert not works(anonymous, body["access_token"])
        bearer = {"Authorization": f"Bearer {body['access_token']}"}
        assert (
            anonymous.http.get(f"{new_home}/services/data/v66.0/limits", headers=bearer, timeout=10).status_code == 200
        )

    def test_a_user_without_api(self, anonymous: Client) -> None:
        anonymous.sign_in("liam@acme.example")
        anonymous.instance.users["liam@acme.example"].api_enabled = False
        assert error(anonymous.get("/limits")) == (403, "API_DISABLED_FOR_ORG")

    def test_introspection(self, client: Client) -> None:
        token = client.http.headers["Authorization"].split()[1]
        path = "/services/oauth2/introspect"
        found = client.call("POST", path, data={"token": token} | app(client)).json()
        assert (found["active"], found["username"]) == (True, "integration@acme.example")
        assert client.call("POST", path, data={"token": "x"} | app(client)).json() == {"active": False}


class TestIdentity:
    def test_names_user_and_org(self, client: Client) -> None:
        url = f"/id/{client.org.org_id}/{client.org.user_id}"
        identity = client.get(url).json()
        assert identity["organization_id"] == client.org.org_id
        assert identity["username"] == "integration@acme.example"
        assert "{version}" in identity["urls"]["rest"]
        assert "/v67.0/" in client.get(url, params={"version": "latest"}).json()["urls"]["rest"]

    def test_userinfo(self, client: Client) -> None:
        info = client.get("/services/oauth2/userinfo").json()
        assert (info["user_id"], info["organization_id"]) == (client.org.user_id, client.org.org_id)
        assert info["sub"].endswith(f"/id/{client.org.org_id}/{client.org.user_id}")

    def test_discovery(self, anonymous: Client) -> None:
        found = anonymous.get("/.well-known/openid-configuration").json()
        assert found["token_endpoint"] == f"{anonymous.base}/services/oauth2/token"
