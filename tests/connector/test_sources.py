"""Connecting an org, its pin, and the one renewal of its session that all workers share."""

import json
import multiprocessing
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest

from cdp.models import Source
from connector import sources
from connector.auth import RefreshToken, parse_credentials, signin
from connector.errors import BadInput, ConnectorError, NeedsAttention, Refused, Transient
from connector.runtime import Runtime
from connector.settings import Settings
from tests.connector.conftest import Site, people_rows

FLOWS = ("refresh_token", "client_credentials", "jwt", "password", "access_token")
TOKEN, USERINFO = "/services/oauth2/token", "/services/oauth2/userinfo"


def stored_credentials(site: Site, name: str = "acme") -> Any:
    source = site.source(name)
    return parse_credentials(site.runtime.vault.open(source.credentials, sources._context(source, "credentials")))


def nothing_connected(site: Site) -> bool:
    return not site.query("SELECT id FROM source") and not site.query("SELECT name FROM person_field")


@pytest.mark.parametrize("flow", FLOWS)
def test_every_flow_connects_pins_the_org_and_can_read(site: Site, flow: str) -> None:
    org = site.orgs["acme"]
    org.insert_many("Lead", people_rows(3))
    made = site.connect("acme", flow)
    assert (made.org_id, made.created_by, made.state) == (org.org_id, org.username, "connected")
    assert len(made.org_id) == 18
    assert made.instance_url == site.server.url(org)
    assert set(made.mapping) == {"Lead", "Contact"}
    assert made.permissions == {
        "email": {name: {"field": "HasOptedOutOfEmail", "no": [True]} for name in ("Lead", "Contact")}
    }
    assert site.client().count("Lead") == 3


@pytest.mark.parametrize("flow", FLOWS)
def test_no_secret_is_in_clear_in_the_database(site: Site, flow: str) -> None:
    given = site.server.credentials(site.orgs["acme"], flow)
    made, _ = sources.connect(
        site.runtime, "acme", site.server.url(site.orgs["acme"]), parse_credentials(json.dumps(given))
    )
    assert made.session
    secrets = [value for name, value in given.items() if name not in ("flow", "client_id", "username", "instance_url")]
    text = made.credentials + made.session
    assert not [secret for secret in secrets if secret and secret.encode() in text]
    assert b"access_token" not in text


def test_credentials_are_bound_to_their_row(site: Site) -> None:
    site.connect("acme")
    other = site.connect("globex")
    site.change("acme", credentials=other.credentials, session=None)
    with pytest.raises(NeedsAttention) as caught:
        site.client("acme").describe("Lead")
    assert caught.value.code == "sealed_secret_refused"


def test_the_same_org_is_not_connected_twice(site: Site) -> None:
    site.connect()
    with pytest.raises(Refused, match=f"{site.orgs['acme'].org_id} is connected already as 'acme'"):
        sources.connect(site.runtime, "again", site.server.url(site.orgs["acme"]), site.credentials())
    assert len(site.query("SELECT id FROM source")) == 1


def test_of_two_connections_at_the_same_moment_one_is_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    together = threading.Barrier(2)
    check = sources.checks.check

    def check_together(*args: Any) -> Any:
        together.wait(10)
        return check(*args)

    monkeypatch.setattr(sources.checks, "check", check_together)

    def connect(name: str) -> Source | ConnectorError:
        try:
            return sources.connect(site.runtime, name, site.server.url(site.orgs["acme"]), site.credentials())[0]
        except ConnectorError as error:
            return error

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(connect, ["one", "two"]))
    assert sorted(type(result).__name__ for result in results) == ["Refused", "Source"]


def test_a_taken_name_is_refused_before_anybody_signs_in(site: Site) -> None:
    site.connect()
    with pytest.raises(Refused, match="A data source named 'acme' exists"):
        sources.connect(site.runtime, "acme", site.server.url(site.orgs["globex"]), site.credentials("globex"))
    assert site.asked(TOKEN, "globex") == 0


@pytest.mark.parametrize("name", ["", "  ", "7", "a\nb", "\x1b[31mred"])
def test_a_name_that_cannot_be_used_is_bad_input(site: Site, name: str) -> None:
    with pytest.raises(BadInput, match="needs a name"):
        sources.connect(site.runtime, name, site.server.url(site.orgs["acme"]), site.credentials())
    assert nothing_connected(site)


def test_wrong_credentials_leave_nothing_behind(site: Site) -> None:
    good = site.server.credentials(site.orgs["acme"])
    bad = parse_credentials(json.dumps(good | {"client_secret": "wrong"}))
    with pytest.raises(NeedsAttention) as caught:
        sources.connect(site.runtime, "acme", site.server.url(site.orgs["acme"]), bad)
    assert caught.value.code == "invalid_client"
    assert nothing_connected(site)


def test_a_user_who_sees_nobody_is_not_connected(site: Site) -> None:
    for sobject in ("Lead", "Contact"):
        site.orgs["acme"].hide_object(sobject)
    with pytest.raises(NeedsAttention) as caught:
        site.connect()
    assert caught.value.code == "nothing_readable"
    assert nothing_connected(site)


def test_an_org_with_leads_only_is_connected_with_a_warning(site: Site) -> None:
    site.orgs["acme"].hide_object("Contact")
    site.orgs["acme"].hide_field("Lead", "HasOptedOutOfEmail")
    url = site.server.url(site.orgs["acme"])
    made, findings = sources.connect(site.runtime, "acme", url, site.credentials())
    assert set(made.mapping) == {"Lead"}
    assert made.permissions["email"]["Lead"] == {"field": "HasOptedOutOfEmail", "no": [True]}
    assert {finding.check for finding in findings if finding.status == "warning"} == {
        "read_contact",
        "consent_lead",
        "least_rights",
    }
    assert all(finding.remedy for finding in findings if finding.status != "ok")


def test_a_user_who_may_only_read_has_no_warning_of_rights(site: Site) -> None:
    site.instance().integration_user.can_write = False
    url = site.server.url(site.orgs["acme"])
    _, findings = sources.connect(site.runtime, "acme", url, site.credentials())
    assert {finding.status for finding in findings} == {"ok"}


def test_a_session_is_shared_and_nobody_signs_in_while_it_lives(site: Site) -> None:
    site.connect()
    before = site.asked(TOKEN)
    for _ in range(3):
        site.client().describe("Lead")
    assert site.asked(TOKEN) == before


@pytest.mark.parametrize("flow", ["refresh_token", "client_credentials"])
def test_thirty_threads_with_a_dead_session_make_one_renewal_and_exhaust_no_pool(site: Site, flow: str) -> None:
    site.connect("acme", flow)
    site.instance().settings.rotate_refresh_tokens = True
    clients = [site.client() for _ in range(30)]
    site.server.expire_sessions(site.orgs["acme"])
    before = site.asked(TOKEN)
    together = Barrier(30)

    def ask(number: int) -> int:
        together.wait()
        return clients[number].count("Lead")

    with ThreadPoolExecutor(30) as pool:
        assert list(pool.map(ask, range(30))) == [0] * 30
    assert site.asked(TOKEN) == before + 1


def _ask_together(settings: Settings, source_id: int, together: Barrier) -> int | str:
    client = sources.open_org(Runtime(settings), source_id)
    together.wait(60)  # every process has the session …
    together.wait(60)  # … and now it is dead
    try:
        return client.count("Lead")
    except ConnectorError as error:  # its message: an error with several arguments does not travel between processes
        return str(error)


def test_thirty_processes_with_a_dead_session_make_one_renewal(site: Site) -> None:
    site.instance().settings.rotate_refresh_tokens = True
    source_id = site.connect("acme", "refresh_token").key
    before = site.asked(TOKEN)
    # One process imports everything and is forked thirty times: forks of this one would copy the locks of its threads.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with context.Manager() as manager, ProcessPoolExecutor(30, context) as pool:
        together = manager.Barrier(31)
        asked = [pool.submit(_ask_together, site.runtime.settings, source_id, together) for _ in range(30)]
        together.wait(60)
        site.server.expire_sessions(site.orgs["acme"])
        together.wait(60)
        assert [one.result() for one in asked] == [0] * 30
    assert site.asked(TOKEN) == before + 1
    assert site.sync()["state"] == "succeeded"


def test_a_rotated_token_is_stored_before_the_new_session_is_used(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.instance().settings.rotate_refresh_tokens = True
    site.connect("acme", "refresh_token")
    spent = stored_credentials(site).refresh_token.get_secret_value()
    site.server.expire_sessions(site.orgs["acme"])
    seen: list[str] = []
    identify = signin._identify

    def identify_later(*args: Any) -> Any:
        seen.append(stored_credentials(site).refresh_token.get_secret_value())
        return identify(*args)

    monkeypatch.setattr(signin, "_identify", identify_later)
    site.client().describe("Lead")
    assert len(seen) == 1
    assert seen[0] not in ("", spent)


def test_a_crash_after_the_rotation_loses_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.instance().settings.rotate_refresh_tokens = True
    site.connect("acme", "refresh_token")
    site.server.expire_sessions(site.orgs["acme"])

    def crash(*_args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(signin, "_identify", crash)
        with pytest.raises(KeyboardInterrupt):
            site.client().describe("Lead")
    assert site.client().count("Lead") == 0


def test_rotation_at_every_renewal_goes_on_for_ever(site: Site) -> None:
    site.instance().settings.rotate_refresh_tokens = True
    site.connect("acme", "refresh_token")
    tokens = set()
    for _ in range(4):
        site.server.expire_sessions(site.orgs["acme"])
        assert site.client().count("Lead") == 0
        tokens.add(stored_credentials(site).refresh_token.get_secret_value())
    assert len(tokens) == 4


def test_a_revoked_approval_needs_attention_and_is_not_tried_again(site: Site) -> None:
    site.connect("acme", "refresh_token")
    site.server.revoke(site.orgs["acme"])
    before = site.asked(TOKEN)
    with pytest.raises(NeedsAttention) as caught:
        site.client().describe("Lead")
    assert caught.value.code == "invalid_grant"
    assert site.asked(TOKEN) == before + 1


def test_another_orgs_login_at_renewal_is_refused(site: Site) -> None:
    site.connect()
    globex = site.orgs["globex"]
    source = site.source()
    sealed = site.runtime.vault.seal(
        sources.dump_credentials(site.credentials("globex")), sources._context(source, "credentials")
    )
    site.change(credentials=sealed, login_url=site.server.url(globex))
    site.server.expire_sessions(site.orgs["acme"])
    with pytest.raises(NeedsAttention, match=f"leads to the org {globex.org_id} instead of") as caught:
        site.client().describe("Lead")
    assert caught.value.code == "other_org"
    assert "Switching organizations" in caught.value.remedy
    assert site.source().session == source.session
    assert site.source().instance_url == source.instance_url


def test_an_org_that_moved_is_followed(site: Site) -> None:
    site.connect()
    client = site.client()
    moved_to = site.instance().move()
    assert client.count("Lead") == 0
    assert site.source().instance_url == moved_to
    assert site.client().count("Lead") == 0


def test_an_org_that_moved_to_a_host_that_is_not_allowed_is_not(make_site: Any) -> None:
    site = make_site()
    site.connect()
    acme_alone = make_site(allowed_hosts=[site.server.url(site.orgs["acme"]).removeprefix("https://")])
    client = acme_alone.client()
    site.instance().move()
    with pytest.raises(NeedsAttention) as caught:
        client.count("Lead")
    assert caught.value.code == "instance_refused"


def test_a_host_that_is_not_allowed_is_bad_input(make_site: Any) -> None:
    site = make_site(allowed_hosts=[])
    with pytest.raises(BadInput):
        site.connect()
    assert nothing_connected(site)
    assert site.asked("") == 0


def test_an_untrusted_certificate_needs_attention(make_site: Any) -> None:
    site = make_site(ca_bundle=None)
    with pytest.raises(NeedsAttention) as caught:
        site.connect()
    assert caught.value.code == "untrusted_certificate"
    assert nothing_connected(site)


def test_a_busy_token_endpoint_is_not_taken_for_bad_credentials(site: Site) -> None:
    site.fault("server_unavailable", TOKEN, times=None)
    with pytest.raises(Transient):
        site.connect()
    assert nothing_connected(site)


def test_a_source_is_found_by_name_and_by_id(site: Site) -> None:
    made = site.connect()
    assert site.source("acme").id == site.source(str(made.id)).id == made.id
    with pytest.raises(BadInput, match="no data source 'nobody'"):
        site.source("nobody")


def test_the_token_of_the_web_flow_is_kept_as_it_was_given(site: Site) -> None:
    site.connect("acme", "refresh_token")
    assert isinstance(stored_credentials(site), RefreshToken)


def test_a_rotation_while_connecting_is_kept(site: Site) -> None:
    site.instance().settings.rotate_refresh_tokens = True
    given = site.credentials("acme", "refresh_token")
    assert isinstance(given, RefreshToken)
    sources.connect(site.runtime, "acme", site.server.url(site.orgs["acme"]), given)
    assert stored_credentials(site).refresh_token != given.refresh_token
    site.server.expire_sessions(site.orgs["acme"])
    assert site.client().count("Lead") == 0


def test_userinfo_is_asked_at_each_renewal(site: Site) -> None:
    site.connect()
    before = site.asked(USERINFO)
    site.server.expire_sessions(site.orgs["acme"])
    site.client().describe("Lead")
    assert site.asked(USERINFO) == before + 1
