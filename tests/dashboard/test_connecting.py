"""Connecting an org from the page: to Salesforce and back, for the browser that began it, once."""

import re
from urllib.parse import parse_qs, urlsplit

import requests

from cdp import db, queries
from connector import accounts
from tests.connector.conftest import Site
from tests.dashboard.conftest import PASSWORD, Browser, Open
from tests.dashboard.test_overview import text


def begin(site: Site, browser: Browser, **form: object) -> str:
    """Fill in the form and return where the page leads."""
    browser.get("/connect")
    client = site.server.credentials(site.orgs["acme"], "client_credentials")
    filled = {"name": "acme", "environment": "custom", "domain": site.server.url(site.orgs["acme"])} | form
    secret = client.get("client_secret") or ""
    answer = browser.post("/connect", client_id=client["client_id"], client_secret=secret, **filled)
    found = re.search(r'class="button" href="([^"]+)"', answer.text)
    return found[1].replace("&amp;", "&") if found else text(answer.text)


def approve(site: Site, address: str, decision: str = "allow") -> str:
    """Answer Salesforce's page, and return the path that it sends the browser back to."""
    target = urlsplit(address)
    form = {name: values[0] for name, values in parse_qs(target.query).items()}
    user = site.instance().integration_user.username
    answer = requests.post(
        f"{target.scheme}://{target.netloc}{target.path}",
        data={**form, "username": user, "decision": decision},
        verify=str(site.server.ca_file),
        allow_redirects=False,
        timeout=30,
    )
    back = urlsplit(answer.headers["Location"])
    return f"{back.path}?{back.query}"


def test_an_org_is_connected_and_its_first_sync_asked_for(site: Site, visit: Open) -> None:
    browser = visit("admin")
    address = begin(site, browser)
    asked = parse_qs(urlsplit(address).query)
    assert asked["code_challenge_method"] == ["S256"]
    assert asked["redirect_uri"] == [browser.url + "/connect/callback"]
    back = approve(site, address)
    answer = browser.get(back)
    assert answer.headers["Location"] == "/connect/done/1"
    page = browser.get("/connect/done/1").text
    assert "acme is connected" in page
    assert "/sources/1/health?of=login" in page
    found = browser.get("/sources/1/health?of=login").text
    assert "The credentials work." in found
    assert "no worker has taken up" not in found  # no fault of the login
    assert site.source("acme").created_by == site.instance().integration_user.username
    assert site.query("SELECT kind, state FROM run") == [{"kind": "poll", "state": "queued"}]
    assert "No sign-in of this browser is waiting" in browser.get(back).text
    with db.transaction(site.url) as session:
        entry = queries.audit(session)[0]
    assert (entry["action"], entry["outcome"]) == ("connect", "done")
    assert "secret" not in str(entry)


def test_an_answer_for_another_browser_is_refused(site: Site, visit: Open) -> None:
    browser = visit("admin")
    back = approve(site, begin(site, browser))
    accounts.add(site.url, "eve", "admin", PASSWORD)
    other = Browser(browser.url)
    other.sign_in("eve")
    assert other.get(back).status_code == 400
    assert other.get("/connect/callback?state=x&code=y").status_code == 400
    assert browser.get("/sources/1").status_code == 404


def test_whoever_declines_is_told_so(site: Site, visit: Open) -> None:
    browser = visit("admin")
    answer = browser.get(approve(site, begin(site, browser), "deny"))
    assert answer.status_code == 409
    assert browser.get("/sources/1").status_code == 404


def test_a_host_that_is_not_allowed_and_a_taken_name_are_refused(site: Site, visit: Open) -> None:
    site.connect()
    browser = visit("admin")
    assert "is not one of Salesforce" in begin(site, browser, name="b", domain="https://evil.example")
    assert "exists" in begin(site, browser)


def test_a_source_is_signed_in_to_anew(peopled: Site, visit: Open) -> None:
    browser = visit("admin")
    assert "anew" in browser.get("/connect?source=1").text
    back = approve(peopled, begin(peopled, browser, source=1))
    assert browser.get(back).headers["Location"] == "/connect/done/1"
    assert len(peopled.query("SELECT 1 FROM source")) == 1
