"""The first page: what it says of sources, people and days, from the named queries."""

import re
from datetime import UTC, date, datetime, timedelta

import pytest
from freezegun import freeze_time

from cdp import db, queries
from connector import reports
from connector.dashboard.charts import HEIGHT, chart
from connector.dashboard.figures import Figures
from tests.connector.conftest import Site
from tests.dashboard.conftest import Open


def text(page: str) -> str:
    """What a reader sees of a page, in one line."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def test_the_overview_tells_how_everything_stands(peopled: Site, visit: Open) -> None:
    browser = visit("viewer")
    seen = text(browser.get("/").text)
    with db.transaction(peopled.url) as session:
        totals = queries.totals(session)
    assert f"people {totals['people']} " in seen
    assert "live records 60" in seen
    assert "acme connected" in seen
    [moved] = peopled.query("SELECT sum(read) AS read, sum(written) AS written FROM run")
    assert f"{moved['read']} read, {moved['written']} changed" in seen
    assert "promised within 20 min" in seen
    assert "together 30 30 60" in seen
    assert seen.count("as a table") == 4


def test_a_late_source_and_what_it_needs_are_told(peopled: Site, visit: Open) -> None:
    message = {
        "code": "credentials",
        "message": "The login is refused.",
        "remedy": "Reauthenticate it.",
        "kind": "poll",
    }
    peopled.change(attention=message)
    peopled.query("UPDATE cursor SET closed_to = closed_to - interval '3 hours' RETURNING 1")
    seen = text(visit("viewer").get("/overview/live").text)
    assert "needs attention" in seen
    assert "The login is refused. Reauthenticate it." in seen
    assert "late: 3 h 0 min ago" in seen


def test_an_empty_installation_says_what_to_do(visit: Open) -> None:
    browser = visit("admin")
    assert "Connect an org" in browser.get("/").text


def test_a_paused_source_is_not_late(peopled: Site) -> None:
    peopled.change(state="paused")
    peopled.query("UPDATE cursor SET closed_to = closed_to - interval '3 hours' RETURNING 1")
    with db.transaction(peopled.url) as session:
        [source] = reports.sources(session, peopled.runtime.settings)
    assert source["freshness"]["late"] is False


def test_days_count_reads_changes_and_merges(peopled: Site) -> None:
    peopled.orgs["acme"].insert("Contact", {"LastName": "Bridge", "Email": "p1@example.org"})
    peopled.orgs["acme"].insert("Lead", {"LastName": "New", "Company": "C", "Email": "new@example.org"})
    peopled.sync()
    with db.transaction(peopled.url) as session:
        days = queries.days(session)
        kinds = {row["kind"]: row["calls"] for row in queries.calls_by_kind(session, 1)}
    assert len(days) == 14
    [moved] = peopled.query("SELECT sum(read) AS read, sum(written) AS written, sum(api_calls) AS calls FROM run")
    assert (days[-1]["read"], days[-1]["written"]) == (moved["read"], moved["written"])
    assert (days[0]["read"], days[0]["written"]) == (0, 0)
    assert set(kinds) >= {"queries", "describe"}
    assert sum(kinds.values()) == moved["calls"]


@pytest.mark.parametrize(
    ("age", "took", "is_old"), [(1, 0.05, True), (1, 0.2, False), (29, 60, False), (31, 60, True), (0, 0, False)]
)
def test_what_is_counted_quickly_is_counted_often(age: float, took: float, is_old: bool) -> None:
    at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    figures = Figures(at, timedelta(seconds=took), {}, [], {}, [])
    with freeze_time(at + timedelta(seconds=age)):
        assert figures.is_old is is_old


def test_the_tallest_bar_takes_the_height() -> None:
    with_day = [{"day": date(2026, 1, day), "read": day - 1} for day in (1, 2, 3)]
    made = chart("Rows read", with_day, "read")
    assert [bar.height for bar in made.bars] == [0, HEIGHT / 2, HEIGHT]
    assert made.total == 3
