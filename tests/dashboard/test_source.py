"""One source on its page: what is shown, and what its actions do, each after a page that says so."""

import pytest

from cdp import db, queries
from connector.dashboard.actions import ACTIONS
from tests.connector.conftest import Site
from tests.dashboard.conftest import Browser, Open
from tests.dashboard.test_overview import text


def open_kinds(site: Site) -> list[str]:
    found = site.query("SELECT kind FROM run WHERE state = 'queued' ORDER BY id")
    return [row["kind"] for row in found]


def act(browser: Browser, action: str, **form: object) -> str:
    """Go through the confirmation of an action, and return where that leads."""
    assert browser.get(f"/sources/1/do/{action}").status_code == 200
    answer = browser.post(f"/sources/1/do/{action}", **form)
    return answer.headers.get("Location") or text(answer.text)


@pytest.mark.usefixtures("peopled")
def test_the_page_tells_objects_runs_calls_and_log(visit: Open) -> None:
    browser = visit("viewer")
    seen = text(browser.get("/sources/1").text)
    for words in ("Contact 30", "no gaps", "poll succeeded", "records imported", "queries", "describe"):
        assert words in seen
    assert "Sync now" not in seen
    assert browser.get("/sources/2").status_code == 404


def test_progress_has_rate_and_time_left(peopled: Site, visit: Open) -> None:
    peopled.query(
        """
        INSERT INTO run (source_id, kind, state, started_at, lease_until, expected, read)
        VALUES (1, 'resync', 'running', now() - interval '100 seconds', now() + interval '1 hour', 3000, 1000)
        RETURNING 1
        """
    )
    answer = visit("viewer").get("/sources/1/live", headers={"HX-Request": "true"})
    seen = text(answer.text)
    assert "1,000 of 3,000 rows read · 10 rows/s" in seen
    assert "3 min left" in seen
    assert 'hx-trigger="every 2s"' in answer.text
    assert "resync running, 30 percent." in seen


def test_health_is_asked_for_and_quarantine_has_its_reasons(peopled: Site, visit: Open) -> None:
    peopled.query("INSERT INTO quarantine VALUES (1, 'Lead', '00Q1', NULL, 'no stamp', now()) RETURNING 1")
    browser = visit("viewer")
    assert "The credentials work." in text(browser.get("/sources/1/health").text)
    assert "<html" not in browser.get("/sources/1/health", headers={"HX-Request": "true"}).text
    assert "Lead 00Q1 no stamp" in text(browser.get("/sources/1/quarantine").text)


@pytest.mark.parametrize(("action", "kind"), [("sync", "poll"), ("resync", "resync"), ("sweep", "sweep")])
def test_work_is_asked_for(peopled: Site, visit: Open, action: str, kind: str) -> None:
    browser = visit("admin")
    assert act(browser, action) == f"/sources/1?done={action}"
    assert open_kinds(peopled) == [kind]
    with db.transaction(peopled.url) as session:
        entry = queries.audit(session)[0]
    assert (entry["actor"], entry["via"], entry["action"], entry["outcome"]) == ("admin", "dashboard", action, "done")


def test_a_backfill_is_estimated_and_asked_for(peopled: Site, visit: Open) -> None:
    browser = visit("admin")
    seen = text(browser.get("/sources/1/backfill/estimate?field=Lead.Company").text)
    assert "Lead Company 30 3" in seen
    act(browser, "backfill", field=["Lead.Company", "Lead.Title"])
    [run] = peopled.query("SELECT options FROM run WHERE kind = 'backfill'")
    assert run["options"] == {"fields": {"Lead": ["Company", "Title"]}}


def test_the_life_of_a_source_to_its_end(peopled: Site, visit: Open) -> None:
    browser = visit("admin")
    assert "is connected: disconnect and archive it first" in text(browser.get("/sources/1/do/delete").text)
    act(browser, "pause")
    assert "paused" in text(browser.get("/sources/1").text)
    assert "resume it first" in text(browser.post("/sources/1/do/sync").text)
    for action in ("resume", "disconnect", "reconnect", "disconnect", "archive"):
        assert act(browser, action) == f"/sources/1?done={action}"
    page = text(browser.get("/sources/1/do/delete").text)
    assert "60 records are removed; 60 people vanish" in page
    assert "is not the name" in act(browser, "delete", name="other")
    assert act(browser, "delete", name="acme") == "/"
    assert open_kinds(peopled) == ["removal"]


def test_every_action_says_what_it_does() -> None:
    assert all(action.consequences and action.done for action in ACTIONS.values())
