"""All workers of an org draw on one budget: the org's own count stays within the share, and waiting says until when."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from cdp.db import transaction
from connector import budget, permits, reports, sources
from connector.errors import WaitingForQuota
from connector.health import health
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


@pytest.fixture
def silent(narrow: Site) -> Site:
    """The narrow org, connected while its answers have no `Sforce-Limit-Info`."""
    narrow.instance().settings.tells_usage = False
    narrow.query("DELETE FROM api_budget RETURNING 1")
    return narrow


def test_an_org_whose_answers_do_not_say_it_is_asked_once_for_all_workers(silent: Site) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _number: exhaust(silent), range(8)))
    assert silent.asked("/limits") == 1
    assert LIMIT * SHARE / 2 <= silent.instance().usage.used() <= LIMIT * SHARE


def test_nothing_but_limits_is_asked_every_quarter_of_an_hour_until_usage_has_fallen(silent: Site) -> None:
    exhaust(silent)
    used = silent.instance().usage.used()
    for asked in (2, 3):
        silent.query("UPDATE api_budget SET asked_at = asked_at - interval '15 minutes' RETURNING 1")
        exhaust(silent)
        assert (silent.asked("/limits"), silent.instance().usage.used()) == (asked, used + asked - 1)
    silent.orgs["acme"].clock.advance(25 * 3600)
    silent.query("UPDATE api_budget SET asked_at = asked_at - interval '15 minutes' RETURNING 1")
    assert silent.sync()["state"] == "succeeded"
    assert silent.source().api_limit == LIMIT


def test_an_org_that_says_it_in_its_answers_is_never_asked(narrow: Site) -> None:
    assert narrow.sync()["state"] == "succeeded"
    exhaust(narrow)
    narrow.query("UPDATE api_budget SET observed_at = observed_at - interval '1 day' RETURNING 1")
    exhaust(narrow)
    assert narrow.asked("/limits") == 0


def test_an_org_that_tells_nobody_is_read_all_the_same_and_a_warning_says_so(silent: Site) -> None:
    silent.instance().integration_user.can_view_setup = False
    for _ in range(2):
        assert silent.sync()["state"] == "succeeded"
    assert silent.asked("/limits") == 1
    [found] = [one for one in health(silent.runtime, silent.source().key) if one.check == "api_budget"]
    assert (found.status, found.finding) == ("warning", permits.UNTOLD)
    assert forecast(silent) == permits.UNTOLD


@pytest.mark.parametrize("kind", ["server_unavailable", "html", "invalid_json"])
def test_an_answer_that_fails_is_asked_for_again_in_two_minutes(silent: Site, kind: str) -> None:
    silent.fault(kind, "/limits", times=None)
    client = silent.client()
    for _ in range(5):
        client.count("Lead")
    assert silent.asked("/limits") == 1
