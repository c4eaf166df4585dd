"""All workers of an org draw on one budget: the org's own count stays within the share, and waiting says until when."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from cdp.db import transaction
from connector import budget, reports, sources
from connector.errors import WaitingForQuota
from tests.connector.conftest import Site, people_rows

MakeSite = Callable[..., Site]
LIMIT, SHARE = 200, 0.5


@pytest.fixture
def narrow(make_site: MakeSite) -> Site:
    """An org with 200 calls a day, half of which may be used."""
    site = make_site(api_share=SHARE)
    site.instance().settings.daily_api_limit = LIMIT
    site.orgs["acme"].insert_many("Lead", people_rows(5))
    site.connect()
    return site


def exhaust(site: Site, kind: str = "poll") -> WaitingForQuota:
    client = sources.open_org(site.runtime, site.source().key, kind)
    for _ in range(LIMIT):
        try:
            client.count("Lead")
        except WaitingForQuota as waiting:
            client.give_back()
            return waiting
    raise AssertionError("it never had to wait")


def forecast(site: Site) -> str:
    with transaction(site.url) as database:
        return str(reports.sources(database, site.runtime.settings)[0]["api"]["forecast"])


def age(site: Site) -> None:
    site.query("UPDATE api_budget SET observed_at = observed_at - interval '15 minutes' RETURNING used")


def test_eight_workers_at_once_stay_within_the_share_by_the_orgs_own_count(narrow: Site) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _number: exhaust(narrow), range(8)))
    assert LIMIT * SHARE / 2 <= narrow.instance().usage.used() <= LIMIT * SHARE
    for waiting in found:
        assert waiting.resume_at > datetime.now(UTC)


def test_a_backfill_stops_earlier_than_a_poll(narrow: Site) -> None:
    early = exhaust(narrow, "backfill")
    assert narrow.instance().usage.used() == budget.stop(LIMIT, SHARE, "backfill") == 75
    assert "this kind of run stops at 75 (75% of the share CONNECTOR_API_SHARE)" in str(early)
    exhaust(narrow)
    assert narrow.instance().usage.used() == budget.stop(LIMIT, SHARE, "poll") == 95


def test_nothing_is_asked_while_waiting_and_other_orgs_go_on(narrow: Site) -> None:
    exhaust(narrow)
    narrow.connect("globex")
    asked = narrow.asked("/data/")
    with pytest.raises(WaitingForQuota):
        narrow.sync()
    run = narrow.latest_run()
    assert (run["state"], run["error_code"], run["api_calls"], narrow.asked("/data/")) == ("waiting", "quota", 0, asked)
    assert run["resume_at"] > datetime.now(UTC)
    assert f"looks again at {run['resume_at'].astimezone(UTC):%H:%M} UTC" in run["error"]
    assert narrow.sync("globex")["state"] == "succeeded"


def test_it_goes_on_after_usage_has_fallen(narrow: Site) -> None:
    exhaust(narrow)
    with pytest.raises(WaitingForQuota):
        narrow.sync()
    assert "0 are left of the share" in forecast(narrow)
    narrow.orgs["acme"].clock.advance(25 * 3600)
    age(narrow)
    run = narrow.latest_run()
    narrow.query("UPDATE run SET resume_at = now() RETURNING id")
    assert narrow.execute(run["id"])["state"] == "succeeded"
    assert "are left of the share: " in forecast(narrow)


def test_calls_of_others_count(narrow: Site) -> None:
    narrow.instance().usage.count(150)
    with pytest.raises(WaitingForQuota):
        narrow.sync()
    used = narrow.instance().usage.used()
    with pytest.raises(WaitingForQuota):
        narrow.client().count("Lead")
    assert narrow.instance().usage.used() == used


def test_permits_are_given_back_at_the_end_of_a_run(narrow: Site) -> None:
    assert narrow.sync()["state"] == "succeeded"
    [row] = narrow.query("SELECT * FROM api_budget")
    assert (row["grants"], row["used"] + row["since"]) == ({}, narrow.instance().usage.used())


def test_permits_are_drawn_many_at_a_time(make_site: MakeSite) -> None:
    site = make_site()
    site.connect()
    client = site.client()
    for _ in range(budget.BATCH):
        client.count("Lead")
    [row] = site.query("SELECT * FROM api_budget")
    assert [grant["permits"] for grant in row["grants"].values()] == [budget.BATCH]
    client.count("Lead")
    [row] = site.query("SELECT * FROM api_budget")
    assert row["settled"] == budget.BATCH
