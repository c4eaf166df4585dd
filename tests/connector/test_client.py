"""Calls to one org over TLS: refusals by kind, one renewal of a dead session, patience with what passes."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from connector import client as module
from connector import refusals
from connector.client import OrgClient, Session
from connector.errors import (
    DailyLimitReached,
    FieldUnavailable,
    LocatorGone,
    NeedsAttention,
    ObjectUnavailable,
    QueryTimeout,
    SalesforceError,
    SessionExpired,
    Transient,
)
from connector.http import session as http_session
from tests.connector.conftest import Site, people_rows

QUERY = "SELECT Id FROM Lead"


class Keys:
    """Hands out sessions as a renewal would, and remembers which dead ones it was shown."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.shown: list[Session | None] = []

    def __call__(self, dead: Session | None) -> Session:
        self.shown.append(dead)
        login = self.site.server.credentials(self.site.orgs["acme"], "access_token")
        return Session(SecretStr(login["access_token"]), login["instance_url"])

    @property
    def renewals(self) -> int:
        return len([dead for dead in self.shown if dead is not None])


@pytest.fixture
def keys(site: Site) -> Keys:
    return Keys(site)


@pytest.fixture
def client(site: Site, keys: Keys) -> OrgClient:
    site.orgs["acme"].insert_many("Lead", people_rows(5))
    return OrgClient(http_session(site.runtime.settings.ca_bundle), keys)


def caught(act: Callable[[], object]) -> SalesforceError:
    with pytest.raises(SalesforceError) as found:
        act()
    assert str(found.value).startswith("Salesforce refused with ")
    return found.value


@pytest.mark.parametrize(
    ("status", "code", "kind", "tries"),
    [
        (400, "INVALID_QUERY_LOCATOR", LocatorGone, 1),
        (400, "INVALID_FIELD", FieldUnavailable, 1),
        (400, "INVALID_TYPE", ObjectUnavailable, 1),
        (404, "NOT_FOUND", ObjectUnavailable, 1),
        (400, "MALFORMED_QUERY", SalesforceError, 1),
        (403, "API_DISABLED_FOR_ORG", SalesforceError, 1),
        (403, "REQUEST_LIMIT_EXCEEDED", DailyLimitReached, 1),
        (400, "UNABLE_TO_LOCK_ROW", Transient, 6),
        (500, "UNKNOWN_EXCEPTION", Transient, 6),
        (503, "SERVER_UNAVAILABLE", Transient, 6),
        (503, "SOMETHING_NEW", Transient, 6),
        (429, "SOMETHING_NEW", Transient, 6),
        (418, "SOMETHING_NEW", SalesforceError, 1),
    ],
)
def test_a_refusal_has_its_kind_and_only_what_may_pass_is_tried_again(
    site: Site, client: OrgClient, *, status: int, code: str, kind: type[SalesforceError], tries: int
) -> None:
    fault = site.fault("error", "/query", times=None, status=status, code=code, message="No.\nBecause of this")
    error = caught(lambda: client.query(QUERY))
    assert (type(error), error.code, fault.hits) == (kind, code, tries)
    assert str(error) == f"Salesforce refused with {code}: Because of this"


def test_a_query_that_ran_too_long_is_told_apart(site: Site, client: OrgClient) -> None:
    site.fault("query_timeout", "/query", times=None)
    assert type(caught(lambda: client.query(QUERY))) is QueryTimeout


def test_too_much_at_once_passes_but_the_daily_limit_does_not(site: Site, client: OrgClient) -> None:
    site.fault("concurrent_limit", "/query", times=2)
    assert client.query(QUERY).total == 5
    daily = site.fault("daily_limit", "/query", times=None)
    assert type(caught(lambda: client.query(QUERY))) is DailyLimitReached
    assert daily.hits == 1


@pytest.mark.parametrize("kind", ["server_unavailable", "unknown_exception", "html", "invalid_json", "cut", "reset"])
def test_a_burst_of_trouble_is_outlived(site: Site, client: OrgClient, kind: str) -> None:
    fault = site.fault(kind, "/query", times=5)
    assert client.query(QUERY).total == 5
    assert fault.hits == 5


def test_patience_ends(site: Site, client: OrgClient) -> None:
    fault = site.fault("server_unavailable", "/query", times=None)
    assert type(caught(lambda: client.query(QUERY))) is Transient
    assert fault.hits == module.ATTEMPTS == 6


def test_a_page_of_html_with_status_200_is_never_an_empty_result(site: Site, client: OrgClient) -> None:
    site.fault("html", "/query", times=None)
    with pytest.raises(Transient, match=r"did not answer completely|something else than a result"):
        client.query(QUERY)


def test_an_empty_object_is_no_result(site: Site, client: OrgClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.Salesforce, "query", lambda *_args, **_kwargs: {})
    with pytest.raises(Transient) as found:
        client.query(QUERY)
    assert found.value.code == "unreadable_answer"
    assert site.asked("/query") == 0


@pytest.mark.parametrize(
    ("status", "content", "kind"),
    [
        (503, "<html>maintenance</html>", Transient),
        (502, "", Transient),
        (404, "<html>no such page</html>", Transient),
        (403, [], Transient),
        (401, "<html>who are you</html>", SessionExpired),
        (400, [{"errorCode": "INVALID_FIELD"}], FieldUnavailable),
        (400, {"error": "x"}, Transient),
        (400, ["x"], Transient),
    ],
)
def test_any_body_can_be_read(status: int, content: object, kind: type[SalesforceError]) -> None:
    assert type(refusals.refused(status, content)) is kind


def test_a_dead_session_is_renewed_once_and_the_call_repeated(site: Site, client: OrgClient, keys: Keys) -> None:
    first = keys.shown[:]
    site.server.expire_sessions(site.orgs["acme"])
    assert client.query(QUERY).total == 5
    assert client.query(QUERY).total == 5
    assert first == [None]
    assert keys.renewals == 1


def test_a_session_that_stays_dead_is_renewed_once_only(site: Site, client: OrgClient, keys: Keys) -> None:
    fault = site.fault(
        "error", "/query", times=None, status=401, code="INVALID_SESSION_ID", message="Session expired or invalid"
    )
    assert type(caught(lambda: client.query(QUERY))) is SessionExpired
    assert (keys.renewals, fault.hits) == (1, 2)


@pytest.mark.parametrize(
    "words", ["This session is not valid for use with the REST API", "Connected app is not attached to Agent"]
)
def test_a_session_of_the_wrong_kind_is_not_renewed(site: Site, client: OrgClient, keys: Keys, words: str) -> None:
    fault = site.fault("error", "/query", times=None, status=401, code="INVALID_SESSION_ID", message=words)
    assert type(caught(lambda: client.query(QUERY))) is SalesforceError
    assert (keys.renewals, fault.hits) == (0, 1)


def test_a_session_that_dies_between_pages_is_renewed(site: Site, client: OrgClient, keys: Keys) -> None:
    site.orgs["acme"].insert_many("Lead", people_rows(500))
    first = client.query(QUERY, batch_size=200)
    site.server.expire_sessions(site.orgs["acme"])
    assert first.next_url
    assert client.more(first.next_url).records
    assert keys.renewals == 1


def test_a_lost_locator_is_told_apart(site: Site, client: OrgClient) -> None:
    site.orgs["acme"].insert_many("Lead", people_rows(500))
    following = client.query(QUERY, batch_size=200).next_url
    site.instance().cursors.drop_all()
    assert type(caught(lambda: client.more(following or ""))) is LocatorGone


def test_deleted_rows_are_read_and_counted(site: Site, client: OrgClient) -> None:
    org = site.orgs["acme"]
    org.delete("Lead", next(iter(org.snapshot("Lead"))))
    assert client.count("Lead") == 5
    assert client.count("Lead", "LastModifiedDate < 2001-01-01T00:00:00Z") == 0
    assert sum(row["IsDeleted"] for row in client.query("SELECT Id, IsDeleted FROM Lead").records) == 1


def test_the_servers_clock_and_its_count_of_calls_are_observed(site: Site, client: OrgClient) -> None:
    site.orgs["acme"].clock.advance(86_400)
    site.instance().usage.count(1000)
    client.query(QUERY)
    assert client.observed.server_time == site.orgs["acme"].clock.now()
    assert client.observed.used == site.instance().usage.used()
    assert client.observed.limit == site.instance().settings.daily_api_limit


def test_the_watermark_stops_at_the_oldest_open_transaction(site: Site, client: OrgClient) -> None:
    org = site.orgs["acme"]
    client.query(QUERY)
    assert org.clock.now() - timedelta(minutes=1) <= (client.covered_to("Lead") or datetime.min.replace(tzinfo=UTC))
    opened_at = org.clock.now()
    with org.late_commit():
        org.clock.advance(3600)
        client.query(QUERY)
        assert client.covered_to("Lead") == opened_at


def test_an_org_without_a_watermark_has_none(site: Site, client: OrgClient) -> None:
    site.fault("error", "/updated", times=None, status=400, code="INVALID_TYPE", message="not replicateable")
    client.query(QUERY)
    assert client.covered_to("Lead") is None


def test_a_watermark_that_was_refused_for_the_limit_is_not_taken_for_none(site: Site, client: OrgClient) -> None:
    site.fault("daily_limit", "/updated")
    client.query(QUERY)
    with pytest.raises(DailyLimitReached):
        client.covered_to("Lead")


def test_describe_and_versions(site: Site, client: OrgClient) -> None:
    assert {"Email", "HasOptedOutOfEmail"} <= {field["name"] for field in client.describe("Lead")["fields"]}
    assert module.API_VERSION in client.versions()
    site.orgs["acme"].hide_object("Lead")
    assert type(caught(lambda: client.describe("Lead"))) is ObjectUnavailable


RESOURCES: dict[str, Callable[[OrgClient], Any]] = {
    r"/services/data\?$": lambda client: client.versions(),
    "/describe": lambda client: client.describe("Lead"),
    "/jobs/query": lambda client: client.create_job(QUERY),
}


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        *((path, "html") for path in RESOURCES),
        (r"/services/data\?$", "server_unavailable"),
        ("/describe", "server_unavailable"),
        ("/jobs/query", "server_unavailable"),
    ],
)
def test_no_answer_of_any_resource_is_a_surprise(site: Site, client: OrgClient, path: str, kind: str) -> None:
    site.fault(kind, path, times=None)
    with pytest.raises(Transient):
        RESOURCES[path](client)


def test_an_untrusted_org_needs_attention(keys: Keys) -> None:
    with pytest.raises(NeedsAttention) as found:
        OrgClient(http_session(None), keys).query(QUERY)
    assert found.value.code == "untrusted_certificate"
