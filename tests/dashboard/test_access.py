"""Who gets in: nobody without signing in, nobody twice as often as allowed, and no write without its token and role."""

import json
import re
import threading
from itertools import chain

import pytest
import requests
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cdp import db
from connector import accounts
from connector.dashboard import access, create_app, sessions, throttle
from connector.dashboard.app import LARGEST_BODY
from connector.errors import BadInput, Refused
from connector.runtime import Runtime
from connector.settings import Settings
from tests.connector.conftest import Site
from tests.dashboard.conftest import PASSWORD, Browser, Open

OPEN = {"/login", "/healthz", "/login/provider", "/login/provider/callback"}
EXAMPLES = {"{source_id}": "1", "{person_id}": "01006909-d35d-880f-887a-b9f422f3710b", "{record_id}": "0" * 18}


def routes(runtime: Runtime) -> list[tuple[str, str]]:
    """Every method and path of the dashboard, with an example in place of each parameter."""
    app = create_app(runtime)
    found = chain.from_iterable(
        getattr(one.original_router, "routes", ()) if hasattr(one, "original_router") else [one] for one in app.routes
    )
    return [
        (method, re.sub(r"{[^}]*}", lambda part: EXAMPLES.get(part[0], "1"), route.path))
        for route in found
        if isinstance(route, Route)
        for method in route.methods or ()
    ]


def test_nothing_is_reached_without_signing_in(site: Site, visit: Open) -> None:
    browser = visit()
    found = routes(site.runtime)
    assert len(found) > 5
    answers = {
        (method, path): browser.http.request(method, browser.url + path, allow_redirects=False).status_code
        for method, path in found
        if path not in OPEN
    }
    assert {one for one, status in answers.items() if status not in (401, 302)} == set()
    assert browser.get("/healthz").text == "ok"


def test_no_write_is_done_without_its_token(site: Site, visit: Open) -> None:
    browser = visit("admin")
    writes = [(method, path) for method, path in routes(site.runtime) if method not in ("GET", "HEAD")]
    assert ("POST", "/login") in writes
    for method, path in writes:
        answer = browser.http.request(method, browser.url + path, data={"csrf": "0" * 64}, allow_redirects=False)
        assert (answer.status_code, path) == (403, path)


def test_no_write_but_signing_out_is_done_for_a_viewer(site: Site, visit: Open) -> None:
    browser = visit("viewer")
    for method, path in routes(site.runtime):
        if method in ("GET", "HEAD") or path in ("/login", "/logout"):
            continue
        answer = browser.http.request(method, browser.url + path, data={"csrf": browser.csrf}, allow_redirects=False)
        assert (answer.status_code, path) == (403, path)
    assert browser.get("/audit").status_code == 403
    assert browser.post("/logout").status_code == 303
    assert browser.get("/").status_code == 302


def test_signing_in_leads_back_and_gives_a_new_cookie(site: Site, visit: Open) -> None:
    accounts.add(site.url, "Ada", "admin", PASSWORD)
    browser = visit()
    answer = browser.get("/audit?before=7")
    assert answer.headers["Location"] == "/login?next=%2Faudit%3Fbefore%3D7"
    page = browser.get(answer.headers["Location"])
    before = browser.http.cookies["connector"]
    answer = browser.post("/login", name="ADA ", password=PASSWORD, next="/audit?before=7")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/audit?before=7")
    assert browser.http.cookies["connector"] != before
    assert {"HttpOnly", "SameSite=lax", "Path=/"} <= set(answer.headers["Set-Cookie"].split("; "))
    assert "Secure" not in answer.headers["Set-Cookie"]
    assert page.headers["Content-Security-Policy"].startswith("default-src 'self';")
    assert "ada" in browser.get("/audit").text


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example", "/\\evil.example", "/\n/evil.example"])
def test_signing_in_leads_nowhere_else(visit: Open, site: Site, target: str) -> None:
    accounts.add(site.url, "ada", "admin", PASSWORD)
    browser = visit()
    browser.get("/login")
    assert browser.post("/login", name="ada", password=PASSWORD, next=target).headers["Location"] == "/"


def test_over_https_the_cookie_is_secure_and_this_hosts_own(bare: Runtime) -> None:
    outside = Settings(
        dashboard_url="https://cdp.example.com/", database_url=bare.settings.database_url, _env_file=None
    )
    app = create_app(Runtime(outside))
    request = Request({"type": "http", "app": app, "headers": [], "method": "GET", "path": "/"})
    answer = Response()
    access.give_cookie(request, answer, "secret")
    assert answer.headers["Set-Cookie"] == "__Host-connector=secret; HttpOnly; Path=/; SameSite=lax; Secure"


def test_a_foreign_host_name_is_not_answered(visit: Open) -> None:
    assert visit().get("/healthz", headers={"Host": "rebound.example"}).status_code == 400


def test_a_wrong_password_says_no_more_than_an_unknown_name(site: Site, visit: Open) -> None:
    accounts.add(site.url, "ada", "viewer", PASSWORD)
    browser = visit()
    browser.get("/login")
    answers = [browser.post("/login", name=name, password="wrong").status_code for name in ("ada", "nobody")]
    assert answers == [401, 401]
    assert re.sub("ada|nobody", "", browser.post("/login", name="ada", password="wrong").text) == re.sub(
        "ada|nobody", "", browser.post("/login", name="nobody", password="wrong").text
    )


def test_a_name_is_tried_so_often_and_no_more(site: Site) -> None:
    for number in range(throttle.MOST_FOR_NAME):
        throttle.count(site.url, "ada", f"10.0.0.{number}")
    with pytest.raises(throttle.TooManyTries):
        throttle.count(site.url, "ada", "10.0.0.99")
    attempt = throttle.count(site.url, "grace", "10.0.0.99")
    throttle.forget(site.url, attempt)
    with db.transaction(site.url) as session:
        db.driver(session).execute("UPDATE login_attempt SET at = at - interval '16 minutes'")
    throttle.count(site.url, "ada", "10.0.0.99")


def test_many_tries_at_once_are_all_counted(site: Site) -> None:
    let_in: list[int] = []
    refused: list[throttle.TooManyTries] = []

    def guess(number: int) -> None:
        try:
            let_in.append(throttle.count(site.url, f"name{number}", "10.0.0.1"))
        except throttle.TooManyTries as error:
            refused.append(error)

    threads = [threading.Thread(target=guess, args=(number,)) for number in range(throttle.MOST_FROM_ADDRESS + 6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(let_in), len(refused)) == (throttle.MOST_FROM_ADDRESS, 6)


def test_too_many_tries_are_refused_on_the_page(site: Site, visit: Open) -> None:
    accounts.add(site.url, "ada", "admin", PASSWORD)
    for _ in range(throttle.MOST_FOR_NAME):
        throttle.count(site.url, "ada", "10.0.0.1")
    browser = visit()
    browser.get("/login")
    answer = browser.post("/login", name="ada", password=PASSWORD)
    assert answer.status_code == 429
    assert "quarter of an hour" in answer.text


def test_a_session_ends_after_its_time_or_with_its_account(site: Site, visit: Open) -> None:
    account = accounts.add(site.url, "ada", "admin", PASSWORD)
    old = sessions.begin(site.url, account)
    with db.transaction(site.url) as session:
        db.driver(session).execute("UPDATE account_session SET ends_at = ends_at - %s", (sessions.LIFETIME,))
    assert sessions.find(site.url, old) is None
    browser = Browser(visit().url)
    browser.sign_in("ada")
    assert browser.get("/").status_code == 200
    accounts.set_password(site.url, "ada", PASSWORD + "!")
    assert browser.get("/").status_code == 302
    browser.sign_in("ada", PASSWORD + "!")
    assert browser.get("/").status_code == 200
    accounts.remove(site.url, "ada")
    assert browser.get("/").status_code == 302


def test_nothing_stored_lets_anybody_in(site: Site, visit: Open) -> None:
    browser = visit("admin")
    token = accounts.issue_token(site.url, "admin")
    cookie = browser.http.cookies["connector"]
    stored = str(site.query("SELECT * FROM account, account_session, api_token, audit"))
    assert not [secret for secret in (PASSWORD, token, cookie) if secret in stored]
    assert "$argon2id$" in stored


@pytest.mark.parametrize(
    ("name", "role", "password"),
    [("", "admin", PASSWORD), ("a b", "admin", PASSWORD), ("ada", "boss", PASSWORD), ("ada", "admin", "too short")],
)
def test_an_account_that_cannot_be(site: Site, name: str, role: str, password: str) -> None:
    with pytest.raises(BadInput):
        accounts.add(site.url, name, role, password)


def test_tokens_and_roles_of_an_account(site: Site) -> None:
    accounts.add(site.url, "ada", "viewer", PASSWORD)
    token = accounts.issue_token(site.url, "Ada")
    found = accounts.by_token(site.url, token)
    assert found is not None
    assert (found.name, found.role) == ("ada", "viewer")
    assert accounts.by_token(site.url, token + "x") is None
    assert accounts.revoke_tokens(site.url, "ada") == 1
    assert accounts.by_token(site.url, token) is None
    with pytest.raises(Refused):
        accounts.add(site.url, "ADA", "admin", PASSWORD)


@pytest.mark.slow
def test_accounts_by_the_command_line(site: Site) -> None:
    made = site.cli("user", "add", "ada", "--role", "admin", "--json", typed=PASSWORD + "\n")
    assert made.stdout == '{"name": "ada", "role": "admin"}\n'
    assert site.cli("user", "add", "eve", typed="short\n").returncode == 2
    token = site.cli("user", "token", "ada").stdout.strip()
    assert accounts.by_token(site.url, token)
    log = site.cli("audit", "--json").stdout
    outcomes = [json.loads(line)["outcome"] for line in log.splitlines()]
    assert outcomes == ["done", "A password has at least 12 characters: choose a longer one.", "done"]
    assert PASSWORD not in log
    assert token not in log


@pytest.mark.usefixtures("peopled")
def test_a_text_that_cannot_be_kept_is_refused_on_every_page(visit: Open) -> None:
    stranger, browser = visit(), visit("admin")
    stranger.get("/login")
    assert stranger.post("/login", name="a\0b", password=PASSWORD).status_code == 400
    source, person = "/sources/1", "/people/" + EXAMPLES["{person_id}"]
    forms: list[tuple[str, dict[str, str]]] = [
        (f"{person}/decide", {"kind": "split", "record": EXAMPLES["{person_id}"], "reason": "a\0"}),
        (f"{source}/mapping/add", {"field": "Lead.\0", "to": "phone"}),
        (f"{source}/mapping/remove", {"field": "Lead.\0"}),
        (f"{source}/mapping/permission", {"channel": "email", "object": "Lead", "field": "\0"}),
        (f"{source}/filter", {"tree": "\0"}),
        (f"{source}/do/backfill", {"field": "Lead.\0"}),
        ("/connect", {"client_id": "\0", "name": "new"}),
    ]
    for path, form in forms:
        answer = browser.post(path, **form)
        assert (answer.status_code, "cannot be kept" in answer.text) == (400, True), path
        in_parts = browser.http.post(
            browser.url + path,
            files={name: (None, value) for name, value in form.items()},
            headers={"X-CSRF-Token": browser.csrf},
            timeout=60,
        )
        assert in_parts.status_code == 400, path
    for path in ("/people?q=%00", f"{person}/join?other=%00", "/login?next=/%00"):
        assert browser.get(path).status_code == 400, path
    for path in ("/static/%00", f"{source}/do/%00", "/people?q=%5C", "/people?q=%ED%A0%80"):
        assert browser.get(path).status_code in (200, 404), path
    escaped = '{"field": "Lead.Status", "op": "%s", "value": "a"}'
    for letter in ("\\u0000", "\\ud800"):
        assert browser.post(f"{source}/filter", tree=escaped % letter).status_code == 400


def test_large_forms_are_refused_unread(visit: Open) -> None:
    browser = visit("admin")
    assert browser.post("/login", name="x" * (LARGEST_BODY + 1)).status_code == 413


def test_htmx_is_served_from_here(visit: Open) -> None:
    assert "htmx" in requests.get(visit().url + "/static/htmx/htmx.min.js", timeout=10).text[:20]
