"""Health: every check, what it says when something is wrong, and what it advises."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cdp.db import transaction
from connector import diagnosis, metrics
from connector.errors import ConnectorError, SalesforceError, SessionExpired, Transient
from tests.connector.conftest import Site, people_rows
from tests.life.conftest import Command

Checks = dict[str, dict[str, Any]]


@pytest.fixture
def acme(site: Site) -> Site:
    site.instance().integration_user.can_write = False
    for sobject in ("Lead", "Contact"):
        rows = [row if sobject == "Lead" else {"LastName": row["LastName"]} for row in people_rows(3)]
        site.orgs["acme"].insert_many(sobject, rows)
    site.connect(flow="refresh_token")
    site.sync()
    return site


def health(site: Site, command: Command) -> Checks:
    printed = command(site, "health", "acme", "--json")
    printed_lines = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    found = [one for one in printed_lines if one["source"] == "acme"]
    assert [one for one in found if not one["finding"].endswith(".")] == []
    assert [one for one in found if one["status"] != "ok" and not one["remedy"].endswith(".")] == []
    return {one["check"]: one for one in found}


def wrong(checks: Checks) -> set[str]:
    return {name for name, one in checks.items() if one["status"] != "ok"}


def test_all_is_well(acme: Site, command: Command) -> None:
    found = health(acme, command)
    assert wrong(found) == set()
    assert found.keys() >= {
        *(
            "state",
            "credentials",
            "org",
            "login_host",
            "api",
            "read_lead",
            "read_contact",
            "least_rights",
            "api_budget",
        ),
        *(
            "mapping",
            "consent",
            "filter_lead",
            "filter_contact",
            "importing",
            "freshness_lead",
            "windows_lead",
            "sweep",
        ),
        *("quarantine_lead", "opportunities"),
    }
    assert found["importing"]["finding"] == "6 records are imported."
    assert found["filter_lead"]["finding"] == "The login sees 3 Leads."
    assert "acme" in command(acme, "health")


def test_what_is_hidden_is_named(acme: Site, command: Command) -> None:
    org = acme.orgs["acme"]
    org.hide_field("Lead", "Company")
    org.hide_field("Contact", "HasOptedOutOfEmail")
    found = health(acme, command)
    assert wrong(found) == {"mapping", "consent", "consent_contact"}
    assert found["mapping"]["finding"].endswith("1 cannot be read: Lead.Company.")
    assert found["mapping"]["remedy"] == "`connector mapping show 'acme'` tells how to repair each."
    assert found["consent"]["finding"] == (
        "New opt-outs are not known, since these cannot be read: Contact.HasOptedOutOfEmail (email)."
    )
    acme.sync()
    assert {"field_missing", "opt_out_unreadable"} <= wrong(health(acme, command))


def test_an_object_that_is_not_asked_for_consent_is_named(acme: Site, command: Command) -> None:
    command(
        acme, "permission", "set", "acme", file='{"email": {"Lead": {"field": "HasOptedOutOfEmail", "no": [true]}}}'
    )
    assert health(acme, command)["consent"]["finding"] == "No field says yes or no to e-mail for Contact."


def test_a_filter_that_selects_nothing_is_told(acme: Site, command: Command) -> None:
    command(acme, "filter", "set", "acme", file='{"field": "Lead.Company", "op": "equals", "value": "Nobody"}')
    acme.sync()
    found = health(acme, command)
    assert found["filter_lead"]["finding"] == "The filter selects no Leads."
    assert found["filter_contact"]["finding"] == "The filter leaves Contacts out."
    assert found["filter"]["finding"] == "Nothing is selected, so no records are imported."
    assert found["importing"]["finding"] == (
        "No records are imported: the login sees none, or the filter selects none."
    )
    assert "connector filter preview 'acme'" in found["filter"]["remedy"]


def test_a_login_without_view_all_is_told(acme: Site, command: Command) -> None:
    acme.orgs["acme"].hide_object("Contact")
    found = health(acme, command)
    assert found["read_contact"]["finding"] == "Contact records cannot be read and are left out."
    assert found["read_contact"]["remedy"] == "Give the user 'Read' and 'View All' on Contact, or leave it out."


def test_generic_login_hosts_and_sandboxes_are_hinted_at(acme: Site, command: Command) -> None:
    acme.change(login_url="https://login.salesforce.com")
    row = next(iter(acme.orgs["acme"].snapshot("Organization")))
    acme.orgs["acme"].update("Organization", row, {"IsSandbox": True})
    found = health(acme, command)
    assert found["login_host"]["remedy"] == "Connect it at the org's own My Domain address."
    assert found["sandbox"]["finding"] == (
        "The org is a sandbox: when it is refreshed it becomes another org, and must be connected anew."
    )


def test_an_api_version_that_is_not_served_is_failing(
    acme: Site, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connector.checks.API_VERSION", "12.0")
    found = health(acme, command)["rights"]
    assert (found["status"], found["finding"]) == ("failing", "The org does not serve API version 12.0.")


def set_run(site: Site, state: str, code: str | None = None, error: str | None = None) -> None:
    """Let there be no records, and one run in a state."""
    for table in ("cursor", "read_window", "record", "run"):
        site.query(f"DELETE FROM {table} RETURNING 1")  # type: ignore[arg-type]
    run_id = site.request()
    site.query(
        "UPDATE run SET state = %(state)s, error_code = %(code)s, error = %(error)s WHERE id = %(id)s RETURNING id",
        state=state,
        code=code,
        error=error,
        id=run_id,
    )


@pytest.mark.parametrize(
    ("state", "code", "error", "cause"),
    [
        ("queued", None, None, "no worker has taken up the run that waits"),
        ("running", None, None, "the first read is under way"),
        ("waiting", None, None, "the org's share of API calls is used up"),
        ("failed", "HTTP_500", "The org broke.", "the latest run failed: The org broke"),
        (
            "failed",
            "INVALID_SESSION_ID",
            "Session expired",
            "Salesforce ends each new session at once, as a policy does that locks sessions to an IP address or domain",
        ),
        ("succeeded", None, None, "the login sees none, or the filter selects none"),
    ],
)
def test_no_records_importing_is_diagnosed(
    acme: Site, command: Command, *, state: str, code: str | None, error: str | None, cause: str
) -> None:
    set_run(acme, state, code, error)
    found = health(acme, command)["importing"]
    assert (found["status"], found["finding"]) == ("failing", f"No records are imported: {cause}.")
    assert found["remedy"]


def test_nothing_ever_begun_points_at_the_fleet(site: Site, command: Command) -> None:
    site.connect()
    found = health(site, command)
    assert found["importing"]["finding"] == "No records are imported: no run has begun since it was connected."
    assert "`connector worker` and `connector beat`" in found["importing"]["remedy"]


REFUSALS = [
    ("expired access/refresh token", "Reauthenticate the source with fresh credentials."),
    (
        "authentication failure",
        "Check the password and the security token, and the user's login history in Salesforce Setup.",
    ),
    ("ip restricted", "Ask the Salesforce admin to allow the address in the app's or the profile's login ranges."),
]


@pytest.mark.parametrize(("words", "remedy"), REFUSALS)
def test_a_sudden_disconnect_is_diagnosed(acme: Site, command: Command, words: str, remedy: str) -> None:
    acme.fault("error", "/oauth2/token", times=None, status=400, code="invalid_grant", message=words)
    acme.instance().tokens.expire_sessions()
    command(acme, "sync", "acme", "--here", fails=4)
    found = health(acme, command)["invalid_grant"]
    assert "It worked until" in found["finding"]
    assert "so the credentials were right: the user was frozen" in found["finding"]
    assert "a sixth approval of the same user and app pushed it out" in found["finding"]
    assert found["remedy"] == remedy


@pytest.mark.parametrize(
    ("code", "days", "says"),
    [
        ("invalid_grant", 40, "was not used for 40 days: the app's policy has ended the approval."),
        ("invalid_client", 1, "the app was uninstalled, blocked, or given a new secret."),
        ("inactive_user", 1, "the user was deactivated."),
        ("INVALID_LOGIN", 1, "the password or the security token was changed, or the user was locked out."),
        ("sweep_brake", 1, ""),
    ],
)
def test_what_changed_is_told_from_when_it_last_worked(code: str, days: int, says: str) -> None:
    now = datetime.now(UTC)
    told = diagnosis.sudden(code, now - timedelta(days=days), now)
    assert told.endswith(says)
    assert bool(told) == bool(says)
    assert diagnosis.sudden(code, None, now) == ""


def test_an_org_without_api_needs_attention_and_heals_by_itself(acme: Site, command: Command) -> None:
    acme.instance().integration_user.api_enabled = False
    said = command(acme, "sync", "acme", "--here", fails=4)
    assert said.startswith("The org or the user's profile has no access to the API any more")
    found = health(acme, command)
    assert found["API_DISABLED_FOR_ORG"]["status"] == "failing"
    assert "'API Enabled'" in found["API_DISABLED_FOR_ORG"]["remedy"]
    assert (acme.latest_run()["error_code"], acme.source().attention["blocks"]) == ("API_DISABLED_FOR_ORG", False)
    acme.instance().integration_user.api_enabled = True
    acme.sync()
    assert acme.source().attention is None


@pytest.mark.parametrize(
    "error",
    [SessionExpired("INVALID_SESSION_ID", "x"), Transient("HTTP_503", "x"), ConnectorError("x")],
)
def test_what_passes_by_itself_needs_nobody(error: ConnectorError) -> None:
    assert diagnosis.meaning(error) is None


def test_a_session_of_the_wrong_kind_needs_attention() -> None:
    found = diagnosis.meaning(SalesforceError("INVALID_SESSION_ID", "not valid for use with the REST API"))
    assert found is not None
    assert not found.blocks


@pytest.mark.parametrize("state", ["paused", "disconnected", "archived", "deleting"])
def test_a_source_that_is_not_read_says_how_to_go_on(acme: Site, command: Command, state: str) -> None:
    acme.change(state=state)
    asked = acme.asked("")
    found = health(acme, command)
    assert found["state"]["finding"] == f"The source is {state}: nothing is read."
    assert found["state"]["remedy"]
    assert state == "paused" or acme.asked("") == asked


def test_the_budget_the_sweep_and_the_quarantine(acme: Site, command: Command) -> None:
    org = acme.orgs["acme"]
    org.corrupt("Lead", next(iter(org.snapshot("Lead"))), "CreatedDate", "some day")
    acme.instance().usage.count(79_000)
    acme.sync()
    acme.change(next_sweep_at=datetime.now(UTC) - timedelta(days=3))
    found = health(acme, command)
    assert wrong(found) == {"quarantine_lead", "api_budget", "sweep"}
    assert "The next was due at" in found["sweep"]["finding"]
    assert "work stops at 80,000" in found["api_budget"]["finding"]


def test_an_old_read_and_a_gap_are_failing(acme: Site, command: Command) -> None:
    acme.query("UPDATE cursor SET closed_to = now() - interval '5 hours' RETURNING 1")
    acme.query("UPDATE read_window SET lo = hi + interval '1 day' WHERE object = 'Lead' RETURNING 1")
    found = health(acme, command)
    assert found["freshness_lead"]["finding"] == "Lead was last read completely 300 minutes ago."


CONTACTS = '{"field": "object", "op": "equals", "value": "Contact"}'


def freshness(site: Site, command: Command) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(command(site, "status", "acme", "--json"))["sources"][0]["freshness"]
    return found


def age(site: Site, *objects: str) -> None:
    """Let five hours have passed since these objects were read."""
    query = "UPDATE cursor SET closed_to = now() - interval '5 hours' WHERE object = ANY(%(of)s) RETURNING 1"
    site.query(query, of=list(objects))


def lagging(site: Site) -> set[str]:
    with transaction(site.url) as session:
        [lags] = [one for one in metrics.MEASURES if one.name == "connector_lag_seconds"]
        return {one["object"] for one in lags.query(session)}


def test_an_object_that_the_filter_leaves_out_is_not_late(acme: Site, command: Command) -> None:
    command(acme, "filter", "set", "acme", file=CONTACTS)
    acme.sync()
    age(acme, "Lead")
    found = health(acme, command)["freshness_lead"]
    assert (found["status"], found["finding"]) == ("ok", "Lead is left out by the filter, so it is not read.")
    assert freshness(acme, command)["late"] is False
    assert datetime.fromisoformat(freshness(acme, command)["read_to"]) > acme.cursor("Lead").closed_to
    assert "(late)" not in command(acme, "status")
    assert "Contact" in lagging(acme)
    assert "Lead" not in lagging(acme)
    age(acme, "Contact")
    assert "freshness_contact" in wrong(health(acme, command))
    assert freshness(acme, command)["late"] is True


@pytest.mark.parametrize("sobject", ["Opportunity", "Lead"])
def test_an_object_that_is_hidden_is_not_late(acme: Site, command: Command, sobject: str) -> None:
    acme.orgs["acme"].hide_object(sobject)
    acme.sync()
    age(acme, sobject)
    found = health(acme, command)
    name = f"freshness_{sobject.lower()}"
    assert found[name]["finding"] == f"{sobject} is hidden from the login, so it is not read."
    assert name not in wrong(found)
    assert freshness(acme, command)["late"] is False
    acme.orgs["acme"].show_object(sobject)
    acme.sync()
    assert "is read up to" in health(acme, command)[name]["finding"]


def test_a_paused_source_is_not_late(acme: Site, command: Command) -> None:
    age(acme, "Lead", "Contact")
    command(acme, "source", "pause", "acme")
    found = health(acme, command)
    assert wrong(found) == {"state"}
    assert found["state"]["remedy"] == "Go on with `connector source resume 'acme'`."
    assert found["freshness"]["finding"] == "The source is paused, so nothing is read."
    assert freshness(acme, command)["late"] is False


def end_sweep(site: Site, state: str, age: str, error: str | None = None) -> None:
    site.query(
        "INSERT INTO run (source_id, kind, state, started_at, ended_at, error) SELECT id, 'sweep', %(state)s, "
        "now() - %(age)s::interval, now() - %(age)s::interval, %(error)s FROM source RETURNING id",
        state=state,
        age=age,
        error=error,
    )


def test_the_sweep_tells_how_the_last_one_ended(acme: Site, command: Command) -> None:
    assert health(acme, command)["sweep"]["finding"].startswith("No comparison with Salesforce has ended yet. The next")
    end_sweep(acme, "succeeded", "3 days")
    found = health(acme, command)["sweep"]
    assert (found["status"], "The last comparison with Salesforce succeeded at" in found["finding"]) == ("ok", True)
    end_sweep(acme, "failed", "1 hour", "The org broke.")
    found = health(acme, command)["sweep"]
    assert found["status"] == "warning"
    assert "Salesforce failed at" in found["finding"]
    assert ": The org broke; one succeeded at" in found["finding"]
    assert found["remedy"] == "See `connector log 'acme'`, mend that, and run `connector sweep 'acme'`."
    command(acme, "sweep", "acme", "--here")
    assert health(acme, command)["sweep"]["status"] == "ok"


@pytest.mark.parametrize(("succeeded", "status"), [("3 days", "warning"), ("1 day", "ok")])
def test_a_cancelled_sweep_is_a_worry_only_when_none_has_succeeded_for_long(
    acme: Site, command: Command, *, succeeded: str, status: str
) -> None:
    end_sweep(acme, "succeeded", succeeded)
    end_sweep(acme, "cancelled", "1 hour")
    found = health(acme, command)["sweep"]
    assert (found["status"], "was cancelled at" in found["finding"]) == (status, True)


def test_all_opportunities_of_nobody_are_listed_in_json(acme: Site, command: Command) -> None:
    rows = [{"Name": f"Deal {n}", "StageName": "Prospecting", "CloseDate": "2026-12-31"} for n in range(14)]
    made = acme.orgs["acme"].insert_many("Opportunity", rows)
    acme.sync()
    found = health(acme, command)["opportunities"]
    assert found["finding"].endswith("and 4 more.")
    assert {one["record_id"] for one in found["opportunities"]} == set(made)
    assert {one["name"] for one in found["opportunities"]} == {row["Name"] for row in rows}
