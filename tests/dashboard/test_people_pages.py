"""People on their pages: found by what one knows of them, explained, parted and merged."""

from cdp import db, queries
from tests.connector.conftest import Site
from tests.dashboard.conftest import Open
from tests.dashboard.test_overview import text


def bridged(site: Site) -> str:
    """The person of a Lead and a Contact with one email: its id."""
    site.orgs["acme"].insert("Contact", {"FirstName": "Ada", "LastName": "Lovelace", "Email": "P1@example.org"})
    site.sync()
    with db.transaction(site.url) as session:
        [found] = queries.resolve_person(session, "p1@example.org")
    return str(found)


def test_a_person_is_found_by_all_that_one_may_know(peopled: Site, visit: Open) -> None:
    person = bridged(peopled)
    browser = visit("viewer")
    [record] = peopled.query("SELECT record_id FROM record WHERE f_last_name = 'Lovelace'")
    short = record["record_id"][:15]
    for wanted in ("p1@EXAMPLE.org", "lovel", "ada lovelace", "Lovelace Ada", person, record["record_id"], short):
        assert f"/people/{person}" in browser.get("/people", params={"q": wanted}).text, wanted
    assert "Nobody is found" in browser.get("/people?q=lace").text
    assert "Nobody is found" in browser.get("/people?q=%25a").text
    assert "It is part of person" in text(browser.get("/people", params={"q": record["record_id"]}).text)
    assert "<html" not in browser.get("/people?q=lovel", headers={"HX-Request": "true"}).text


def test_a_profile_tells_values_why_records_and_bonds(peopled: Site, visit: Open) -> None:
    person = bridged(peopled)
    browser = visit("viewer")
    seen = text(browser.get(f"/people/{person}").text)
    assert "Ada Lovelace" in seen
    assert "email p1@example.org : acme Contact" in seen
    assert "Split" not in seen
    why = text(browser.get(f"/people/{person}/why").text)
    assert "Lovelace acme Contact" in why
    assert "was modified earlier" in why or "same stamp" in why
    assert browser.get(f"/people/{'0' * 8}-0000-0000-0000-{'0' * 12}").status_code == 404


def test_a_person_is_parted_and_that_undone(peopled: Site, visit: Open) -> None:
    person = bridged(peopled)
    browser = visit("admin")
    [record] = peopled.query("SELECT handle FROM record WHERE f_last_name = 'Lovelace'")
    page = browser.get(f"/people/{person}/split?record={record['handle']}&reason=other+person")
    assert "a person of their own" in text(page.text)
    unknown = browser.get(f"/people/{person}/split?record={'0' * 8}-0000-0000-0000-{'0' * 12}")
    assert unknown.status_code == 404
    assert "go back and choose again" in text(unknown.text)
    assert (
        browser.post(f"/people/{person}/decide", kind="split", record=record["handle"], reason=" ").status_code == 400
    )
    answer = browser.post(f"/people/{person}/decide", kind="split", record=record["handle"], reason="other person")
    assert answer.headers["Location"] == f"/people/{record['handle']}"
    for reason in (" ", "x" * 1001):
        refused = browser.post(f"/people/{person}/decide", kind="join", record=record["handle"], reason=reason)
        assert refused.status_code == 400
    assert len(peopled.people()) == 61
    assert "other person" in browser.get("/decisions").text
    assert browser.post("/decisions/1/undo").status_code == 303
    assert len(peopled.people()) == 60
    assert browser.post("/decisions/1/undo").status_code == 409


def test_two_people_are_merged(peopled: Site, visit: Open) -> None:
    browser = visit("admin")
    with db.transaction(peopled.url) as session:
        [one], [other] = (queries.resolve_person(session, f"{who}@example.org") for who in ("p1", "c2"))
    page = text(browser.get(f"/people/{one}/join?other=c2@example.org&reason=same").text)
    assert "Their emails differ: p1@example.org and c2@example.org." in page
    answer = browser.post(f"/people/{one}/decide", kind="join", record=[str(one), str(other)], reason="same")
    assert answer.status_code == 303
    assert len(peopled.people()) == 59
    assert "No record is known" in browser.get(f"/people/{one}/join?other=nobody@example.org").text
