"""Notices: one when a source comes to need attention or recovers, by webhook and e-mail, whatever dies meanwhile."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from connector import lifecycle, notices, notifying, sources
from connector.errors import NeedsAttention
from tests.connector.conftest import Site, people_rows
from tests.life.conftest import Command
from tests.life.listeners import MailServer, Webhook, listening

DEAD = "The refresh token was revoked, rotated away, unused for too long, or pushed out by a newer approval."
REMEDY = "Reauthenticate the source with fresh credentials."
NEEDS, RECOVERED = "Data source 'acme' needs attention", "Data source 'acme' has recovered"


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    with listening(Webhook()) as server:
        yield server


@pytest.fixture
def told(make_site: Callable[..., Site], webhook: Webhook) -> Site:
    """Acme with a few Leads, read once; the webhook is told of attention."""
    site = make_site(notify_urls=SecretStr(webhook.url))
    site.orgs["acme"].insert_many("Lead", people_rows(3))
    site.connect(flow="refresh_token")
    site.sync()
    return site


def fail(site: Site) -> None:
    with pytest.raises(NeedsAttention):
        site.sync()


def break_login(site: Site) -> None:
    site.instance().tokens.revoke_all()
    fail(site)


def due(site: Site) -> None:
    """Let the pause before the next try go by."""
    site.query("UPDATE notice SET due_at = now() WHERE due_at IS NOT NULL RETURNING id")


def tick(site: Site) -> None:
    notifying.deliver(site.url, site.runtime.settings.notify_urls)


def test_attention_and_recovery_are_told_once(told: Site, webhook: Webhook) -> None:
    with capture_logs() as logs:
        break_login(told)
        fail(told)
        assert webhook.titles == [NEEDS]
        assert webhook.got[0]["message"] == f"{DEAD} {REMEDY}"
        lifecycle.reauthenticate(told.runtime, "acme", told.credentials(flow="refresh_token"))
        told.sync()
    assert webhook.titles == [NEEDS, RECOVERED]
    assert webhook.got[1]["message"] == f"Nothing needs attention any more. What was mended:\n{DEAD}"
    happened = [
        (one["event"], one["source"]) for one in logs if one["event"] in ("source_needs_attention", "source_recovered")
    ]
    assert happened == [("source_needs_attention", "acme"), ("source_recovered", "acme")]


def test_fields_that_vanish_together_are_one_notice_and_another_cause_is_a_new_one(
    told: Site, webhook: Webhook
) -> None:
    org = told.orgs["acme"]
    for sobject in ("Lead", "Contact"):
        org.hide_field(sobject, "HasOptedOutOfEmail")
    org.hide_field("Lead", "Company")
    told.sync()
    [notice] = webhook.got
    assert notice["title"] == NEEDS
    assert [line.split(",")[0].split(" ")[0] for line in notice["message"].splitlines()] == [
        "Lead.Company",
        "Lead.HasOptedOutOfEmail",
        "Contact.HasOptedOutOfEmail",
    ]
    told.sync()
    assert len(webhook.got) == 1
    break_login(told)
    assert webhook.titles == [NEEDS, NEEDS]
    assert DEAD in webhook.got[1]["message"]
    assert "Company" not in webhook.got[1]["message"]


def test_a_source_recovers_when_the_last_cause_is_mended(told: Site, webhook: Webhook) -> None:
    org = told.orgs["acme"]
    org.hide_field("Lead", "Company")
    org.hide_field("Lead", "Title")
    told.sync()
    org.show_field("Lead", "Company")
    told.sync()
    assert webhook.titles == [NEEDS]
    org.show_field("Lead", "Title")
    told.sync()
    assert webhook.titles == [NEEDS, RECOVERED]


def test_a_notice_names_no_person(told: Site, webhook: Webhook) -> None:
    break_login(told)
    assert "Lima" not in json.dumps(webhook.got)
    assert "@" not in webhook.got[0]["title"] + webhook.got[0]["message"]


def test_a_failure_to_send_fails_no_run_and_is_tried_again(told: Site, webhook: Webhook) -> None:
    webhook.status = 500
    told.orgs["acme"].hide_field("Lead", "Company")
    with capture_logs() as logs:
        assert told.sync()["state"] == "succeeded"
    [failed] = [one for one in logs if one["event"] == "notice_not_sent"]
    assert (failed["destinations"], failed["tries"], failed["again"]) == (["1 JSON"], 1, True)
    tick(told)
    webhook.status = 200
    tick(told)
    assert webhook.titles == []
    due(told)
    tick(told)
    tick(told)
    assert webhook.titles == [NEEDS]


def test_after_a_few_tries_it_is_given_up_and_holds_up_no_later_one(told: Site, webhook: Webhook) -> None:
    webhook.status = 500
    told.orgs["acme"].hide_field("Lead", "Company")
    told.sync()
    with capture_logs() as logs:
        for _ in range(10):
            due(told)
            tick(told)
    assert [one["again"] for one in logs if one["event"] == "notice_not_sent"] == [True, True, True, False]
    webhook.status = 200
    told.orgs["acme"].show_field("Lead", "Company")
    told.sync()
    assert webhook.titles == [RECOVERED]


def test_what_was_noted_and_not_sent_before_a_crash_is_sent_by_the_next_tick(told: Site, webhook: Webhook) -> None:
    problem = NeedsAttention("x", "Something is wrong.", "Mend it.")
    sources.need_attention(told.runtime, told.source().key, "poll", problem)
    tick(told)
    assert webhook.titles == []
    due(told)
    tick(told)
    tick(told)
    assert [one["message"] for one in webhook.got] == ["Something is wrong. Mend it."]


def test_who_dies_while_sending_leaves_the_notice_to_another(told: Site, webhook: Webhook) -> None:
    sources.need_attention(told.runtime, told.source().key, "poll", NeedsAttention("x", "Wrong.", "Mend it."))
    assert notices.claim(told.url, told.source().key) is not None
    tick(told)
    assert webhook.titles == []
    due(told)
    tick(told)
    assert webhook.titles == [NEEDS]


def test_a_change_that_is_rolled_back_is_not_told(told: Site) -> None:
    from cdp.db import transaction

    def doomed() -> None:
        with transaction(told.url) as session:
            session.get_one(type(told.source()), told.source().key).attention = {
                "code": "x",
                "message": "y",
                "remedy": "z",
            }
            notices.note(session, told.source().key)
            raise ZeroDivisionError

    with capture_logs() as logs, pytest.raises(ZeroDivisionError):
        doomed()
    assert logs == []
    assert told.query("SELECT FROM notice") == []


def test_a_destination_that_hangs_takes_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifying, "LIMIT", 0.2)
    service: Any = type("Slow", (), {"notify": lambda *_a, **_k: time.sleep(60)})()
    assert notifying.Destination("1 Slow", service).send(notifying.TEST) is False


def test_mail_and_webhook_are_each_told_once_though_one_fails(make_site: Callable[..., Site], webhook: Webhook) -> None:
    with listening(MailServer()) as mail:
        site = make_site(notify_urls=SecretStr(f"{webhook.url}, {mail.url}"))
        site.connect()
        webhook.status = 503
        sources.need_attention(site.runtime, site.source().key, "poll", NeedsAttention("x", "Wrong.", "Mend it."))
        due(site)
        tick(site)
        webhook.status = 200
        due(site)
        tick(site)
        assert webhook.titles == [NEEDS]
        [(subject, body)] = mail.mails
        assert subject == NEEDS
        assert "Wrong. Mend it." in body


def test_an_installation_without_destinations_keeps_nothing_for_later(site: Site, webhook: Webhook) -> None:
    site.connect()
    sources.need_attention(site.runtime, site.source().key, "poll", NeedsAttention("x", "Wrong.", "Mend it."))
    tick(site)
    site.query("UPDATE notice SET created_at = now() - interval '2 days', due_at = now() RETURNING id")
    notifying.deliver(site.url, SecretStr(webhook.url))
    assert webhook.titles == []


def test_a_deleted_source_takes_its_notices_along(told: Site) -> None:
    break_login(told)
    for step in ("disconnect", "archive"):
        lifecycle.take(told.runtime, "acme", step)
    told.execute(lifecycle.begin_removal(told.runtime, "acme"))
    assert told.query("SELECT FROM notice") == []


def test_the_command_tries_every_destination(
    make_site: Callable[..., Site], webhook: Webhook, command: Command
) -> None:
    with listening(MailServer()) as mail:
        site = make_site(notify_urls=SecretStr(f"{webhook.url},{mail.url}"))
        shown = command(site, "notify", "test", "--json")
        assert [json.loads(line) for line in shown.splitlines()] == [
            {"destination": "1 JSON", "accepted": True},
            {"destination": "2 E-Mail", "accepted": True},
        ]
        assert webhook.titles == [mail.mails[0][0]] == ["Connector: a test"]
    webhook.status = 500
    assert command(site, "notify", "test", fails=1) == (
        "The message was not accepted by 1 JSON, 2 E-Mail: check address, user and password of that URL, and that the "
        "host can be reached."
    )


@pytest.mark.parametrize(
    ("urls", "sentence"),
    [
        (None, "No destination is set: put Apprise URLs into CONNECTOR_NOTIFY_URLS, such as json://host/path."),
        (
            "json://host/x, nonsense://s3cret",
            "The setting CONNECTOR_NOTIFY_URLS cannot be used: number 2 is no Apprise URL such as mailto://, json:// "
            "or slack://; correct it and try again.",
        ),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_and_never_shown(
    make_site: Callable[..., Site], command: Command, urls: str | None, sentence: str
) -> None:
    site = make_site(notify_urls=SecretStr(urls) if urls else None)
    assert command(site, "notify", "test", fails=2) == sentence


def test_nothing_secret_reaches_the_log(make_site: Callable[..., Site], webhook: Webhook) -> None:
    webhook.status = 500
    site = make_site()
    site.connect()
    urls = f"{webhook.url},nonsense://s3cret,discord://s3cret"
    for given in (webhook.url, urls):
        done = site.cli("notify", "test", CONNECTOR_NOTIFY_URLS=given, CONNECTOR_LOG_LEVEL="DEBUG")
        assert done.returncode in (1, 2)
        assert "s3cret" not in done.stdout + done.stderr
