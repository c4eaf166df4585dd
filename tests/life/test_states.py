"""Every step in every state: done, or refused in just these words."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connector import lifecycle, runs, sources
from connector.errors import Refused
from tests.connector.conftest import Site, people_rows
from tests.life.conftest import Command

FIRST = {"paused": "resume it first", "disconnected": "reconnect it first"}
LAST = {
    "archived": "it can only be deleted, and the org connected anew",
    "deleting": "wait until it is gone, or go on with `connector source delete`",
}
UNUSED = {"disconnected": FIRST["disconnected"]} | LAST
# What each command says in each state; a state that is missing allows it.
REFUSED: dict[str, dict[str, str]] = {
    "pause": FIRST | LAST | {"paused": "there is nothing to pause"},
    "resume": LAST | {"connected": "there is nothing to resume", "disconnected": "reconnect it instead"},
    "disconnect": LAST | {"disconnected": "there is nothing to disconnect"},
    "reconnect": LAST | {"connected": "there is nothing to reconnect", "paused": "resume it instead"},
    "reauthenticate": LAST,
    "archive": LAST | {"connected": "disconnect it first", "paused": "disconnect it first"},
    "delete": {
        "connected": "disconnect and archive it first",
        "paused": "disconnect and archive it first",
        "disconnected": "archive it first",
    },
    "sync": FIRST | LAST,
    "sweep": FIRST | LAST,
    "backfill": FIRST | LAST,
    "backfill --estimate": FIRST | LAST,
    "map": UNUSED,
    "unmap": UNUSED,
    "mapping set": UNUSED,
    "mapping show": UNUSED,
    "source cursor": UNUSED,
    "source schedule": UNUSED,
    "filter set": UNUSED,
    "filter preview": UNUSED,
    "permission set": UNUSED,
    "permission show": UNUSED,
    "objects": UNUSED,
    "fields": UNUSED,
}
STATES = ("connected", "paused", "disconnected", "archived", "deleting")
STEPS = ("pause", "resume", "disconnect", "reconnect", "reauthenticate", "archive", "delete")
LEADS_TO = {
    "pause": "paused",
    "resume": "connected",
    "disconnect": "disconnected",
    "reconnect": "connected",
    "archive": "archived",
}
WORDS: dict[str, tuple[str, ...]] = {
    "delete": ("source", "delete", "acme", "--here", "--yes"),
    "sync": ("sync", "acme", "--here"),
    "sweep": ("sweep", "acme", "--here"),
    "backfill": ("backfill", "acme", "--fields", "Lead.Company", "--here"),
    "backfill --estimate": ("backfill", "acme", "--fields", "Lead.Company", "--estimate"),
    "map": ("map", "acme", "Lead.Rating", "rating"),
    "unmap": ("unmap", "acme", "Lead.Company"),
    "fields": ("fields", "acme", "Lead"),
    "source cursor": ("source", "cursor", "acme", "SystemModstamp"),
    "source schedule": ("source", "schedule", "acme", "--sweep-hour", "3"),
    "objects": ("objects", "acme"),
}
FILES = {"mapping set": "{}", "filter set": "{}", "permission set": "{}"}


@pytest.fixture
def acme(site: Site) -> Site:
    site.orgs["acme"].insert_many("Lead", people_rows(2))
    site.connect()
    site.sync()
    return site


def words_of(site: Site, step: str) -> tuple[tuple[str, ...], dict[str, str]]:
    words = WORDS.get(step) or (("source", step, "acme") if step in STEPS else (*step.split(), "acme"))
    if step == "reauthenticate":
        return words, {"credentials": json.dumps(site.server.credentials(site.orgs["acme"], "client_credentials"))}
    return words, {"file": FILES[step]} if step in FILES else {}


@pytest.mark.parametrize("state", STATES)
def test_each_command_is_done_or_refused_in_words(acme: Site, command: Command, state: str) -> None:
    """What is refused changes nothing and asks nothing of the org; the rest is done, deletion at the end."""
    for step, refusals in sorted(REFUSED.items(), key=lambda item: item[0] == "delete"):
        acme.change(state=state)
        words, files = words_of(acme, step)
        if state in refusals:
            asked, before = acme.asked(""), acme.query("SELECT * FROM source")
            said = command(acme, *words, fails=3, **files)
            assert said == f"The data source 'acme' is {state}: {refusals[state]}.", step
            assert (acme.asked(""), acme.query("SELECT * FROM source")) == (asked, before), step
        else:
            command(acme, *words, **files)
            if step in LEADS_TO:
                assert acme.source().state == LEADS_TO[step]
    assert bool(acme.query("SELECT FROM source")) == (state not in ("archived", "deleting"))


@pytest.mark.parametrize("state", STATES)
def test_an_org_that_is_there_cannot_be_connected_again(acme: Site, state: str) -> None:
    acme.change(state=state)
    with pytest.raises(Refused, match="is connected already as 'acme': delete that data source first"):
        sources.connect(acme.runtime, "again", acme.server.url(acme.orgs["acme"]), acme.credentials())


def test_disconnecting_ends_what_is_under_way(acme: Site, command: Command) -> None:
    lease = runs.claim(acme.url, acme.request(), "somebody")
    assert lease is not None
    assert command(acme, "source", "disconnect", "acme") == "The data source 'acme' is disconnected.\n"
    assert acme.run(lease.run_id)["state"] == "cancelled"
    assert acme.source().session is None
    assert len(acme.people()) == 2
    lease.finish("succeeded")
    assert acme.run(lease.run_id)["state"] == "cancelled"


def test_reconnecting_tries_the_credentials_first(acme: Site, command: Command) -> None:
    refused = acme.fault("error", "/oauth2/token", status=400, code="invalid_grant", message="authentication failure")
    command(acme, "source", "disconnect", "acme")
    assert command(acme, "source", "reconnect", "acme", fails=4) == (
        "Salesforce refuses this user: a wrong password, a frozen or inactive user, or a flow that is switched off: "
        "check the password and the security token, and the user's login history in Salesforce Setup."
    )
    assert refused.hits == 1
    assert acme.source().state == "disconnected"
    assert command(acme, "source", "reconnect", "acme") == "The data source 'acme' is connected.\n"


def test_another_user_may_reauthenticate_and_the_first_stays_noted(acme: Site, command: Command) -> None:
    by = acme.source().created_by
    other = next(name for name in acme.instance().users if name != by.lower())
    given = acme.server.credentials(acme.orgs["acme"], "refresh_token", other)
    shown = command(acme, "source", "reauthenticate", "acme", "--json", credentials=json.dumps(given))
    assert json.loads(shown)["state"] == "connected"
    assert acme.source().created_by == by
    assert acme.sync()["state"] == "succeeded"


def test_another_orgs_login_is_refused(acme: Site, command: Command) -> None:
    other = acme.orgs["globex"]
    acme.change(login_url=acme.server.url(other))
    before = acme.source().credentials
    given = json.dumps(acme.server.credentials(other, "client_credentials"))
    assert command(acme, "source", "reauthenticate", "acme", fails=3, credentials=given) == (
        f"This login leads to the org {other.org_id}, but 'acme' is {acme.orgs['acme'].org_id}: switching "
        "organizations is not possible; connect the other org as a data source of its own."
    )
    assert acme.source().credentials == before


def test_new_credentials_must_be_given(acme: Site, command: Command) -> None:
    said = command(acme, "source", "reauthenticate", "acme", fails=2)
    assert said == "Give the new credentials with --credentials FILE (- for standard input)."


def shown(site: Site, command: Command) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(command(site, "status", "--json"))["sources"][0]
    return found


def test_status_shows_the_state_and_what_is_running(site: Site, command: Command) -> None:
    site.connect()
    first = runs.claim(site.url, site.request(), "somebody")
    assert first is not None
    assert shown(site, command)["state"] == "syncing"
    first.hand_back()
    site.execute(first.run_id)
    assert (shown(site, command)["state"], shown(site, command)["updating"]) == ("connected", False)
    for kind in ("backfill", "resync"):
        lease = runs.claim(site.url, runs.request(site.url, site.source().key, kind), "somebody")
        assert lease is not None
        assert (shown(site, command)["state"], shown(site, command)["updating"]) == ("connected", True)
        assert "(00D" in command(site, "status")
        assert "connected · updating" in command(site, "status")
        lease.finish("succeeded")


def test_status_shows_what_needs_attention_and_until_when_it_waits(site: Site, command: Command) -> None:
    site.connect()
    site.fault("error", "/oauth2/token", status=400, code="invalid_grant", message="authentication failure")
    site.change(session=None)
    said = command(site, "sync", "acme", "--here", fails=4)
    found = shown(site, command)
    assert found["state"] == "needs attention"
    assert found["attention"]["message"].rstrip(".") in said
    assert found["attention"]["remedy"] in command(site, "status")
    command(site, "source", "disconnect", "acme")
    assert shown(site, command)["state"] == "disconnected"


def test_waiting_for_quota_is_shown_with_the_time_it_goes_on(site: Site, command: Command) -> None:
    site.connect()
    site.instance().usage.count(90_000)
    command(site, "sync", "acme", "--here", fails=5)
    found = shown(site, command)
    assert (found["state"], found["attention"]) == ("waiting for quota", None)
    assert found["waits_until"]


def test_deleting_tells_beforehand_and_asks_on_a_terminal(
    acme: Site, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in ("disconnect", "archive"):
        lifecycle.take(acme.runtime, "acme", step)
    told = "Deleting 'acme' removes 2 records; 2 people vanish and 0 stay with what other sources know of them."
    assert command(acme, "source", "delete", "acme", "--dry-run").strip() == told
    assert acme.source().state == "archived"
    monkeypatch.setattr("connector.cli.living.is_interactive", lambda: True)
    answers: list[Callable[..., Any]] = []
    monkeypatch.setattr("typer.confirm", lambda *_a, **_k: answers.append(acme.source) or True)
    command(acme, "source", "delete", "acme", "--here")
    assert len(answers) == 1
    assert acme.query("SELECT FROM source") == []


def test_another_interval_leaves_a_sweep_due_when_it_was(site: Site, command: Command) -> None:
    site.connect()
    overdue = datetime.now(UTC) - timedelta(hours=1)
    site.change(next_sweep_at=overdue, next_poll_at=overdue)
    command(site, "source", "schedule", "acme", "--interval", "60")
    assert site.source().next_sweep_at == overdue
    command(site, "source", "schedule", "acme", "--sweep-hour", "3")
    assert site.source().next_sweep_at > overdue
    assert site.source().next_poll_at == overdue
