"""The scripting interface over HTTP, and the simulator as a process."""

import json
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

from connector.simulator import ControlClient, SimulatorServer

from .conftest import Client


@pytest.fixture
def control(server: SimulatorServer, client: Client) -> ControlClient:
    return ControlClient(client.base, server.ca_file)


LEAD = {"LastName": "Lima", "Company": "Lima Lda"}


class TestEdits:
    def test_insert_update_delete(self, control: ControlClient) -> None:
        lead = control.edit("insert", "Lead", LEAD, at="2026-01-02T03:04:05+00:00")
        control.edit("update", "Lead", lead, {"Title": "CEO"}, touch_last_modified=False)
        row = control.snapshot("Lead")[lead]
        assert (row["Title"], row["LastModifiedDate"]) == ("CEO", "2026-01-02T03:04:05+00:00")
        control.edit("delete", "Lead", lead)
        assert [event["action"] for event in control.history() if event["id"] == lead] == ["insert", "update", "delete"]

    def test_history_can_be_read_on(self, control: ControlClient) -> None:
        control.edit("insert", "Lead", LEAD)
        seen = [event["number"] for event in control.history()]
        control.edit("insert", "Lead", LEAD)
        (new,) = control.history(after=seen[-1] + 1)
        assert new["row"]["LastName"] == "Lima"

    def test_long_transactions(self, control: ControlClient) -> None:
        number = control.begin()
        lead = control.edit("insert", "Lead", LEAD, transaction=number)
        assert lead not in control.snapshot("Lead")
        control.edit("commit", transaction=number)
        assert lead in control.snapshot("Lead")

    def test_schema(self, control: ControlClient, client: Client) -> None:
        control.edit("add_field", "Lead", "New__c", "string", length=10)
        assert client.query("SELECT New__c FROM Lead").status_code == 200
        control.edit("hide_field", "Lead", "New__c")
        assert client.query("SELECT New__c FROM Lead").status_code == 400

    def test_mistakes_are_told(self, control: ControlClient) -> None:
        for action, args in (
            ("__init__", []),
            ("insert", ["Nope", {}]),
            ("insert", []),
            ("insert", ["Lead", {"X": 1}]),
        ):
            with pytest.raises(requests.HTTPError):
                control.edit(action, *args)

    def test_populate_and_clock(self, control: ControlClient) -> None:
        counts = control.populate(leads=50, contacts=40, seed=3)["counts"]
        assert counts["Lead"] == 50
        before = control.org()["now"]
        control.advance(86400)
        assert control.org()["now"] > before


class TestSteering:
    def test_faults_and_counters(self, control: ControlClient, client: Client) -> None:
        control.add_fault("server_unavailable", path="limits", times=2)
        answers = [client.get("/limits").status_code for _ in range(3)]
        assert answers == [503, 503, 200]
        (rule,) = control.faults()
        assert (rule["org"], rule["hits"]) == ("acme", 2)
        counted = control.counters()
        assert (counted["requests"], counted["api_usage"], counted["by_status"]) == (3, 1, {"503": 2, "200": 1})
        assert counted["by_path"] == {"GET /services/data/v66.0/limits": 3}
        assert [entry["status"] for entry in control.request_log()] == answers

    def test_settings_users_and_sessions(self, control: ControlClient, client: Client) -> None:
        control.change_settings(daily_api_limit=7, flows=["client_credentials"])
        assert client.get("/limits").json()["DailyApiRequests"]["Max"] == 7
        assert client.instance.settings.flows == frozenset({"client_credentials"})
        assert control.use_api(6) == 7
        assert client.get("/limits").status_code == 403
        control.act("expire_sessions")
        assert client.get("/limits").status_code == 401
        control.restrict("integration@acme.example", api_enabled=False)
        assert not client.instance.integration_user.api_enabled
        assert control.act("move") == client.instance.url

    @pytest.mark.usefixtures("client")
    def test_credentials(self, control: ControlClient) -> None:
        fields = control.credentials("refresh_token")
        assert fields.keys() == {"flow", "client_id", "client_secret", "refresh_token"}
        assert control.credentials("password", "sofia@acme.example")["username"] == "sofia@acme.example"

    def test_unknown_settings_and_rights(self, control: ControlClient) -> None:
        for mistake in (
            lambda: control.change_settings(nope=1),
            lambda: control.restrict("integration@acme.example", id=True),
            lambda: control.act("nope"),
            lambda: control.credentials("nope"),
            lambda: control.add_fault("nope"),
        ):
            with pytest.raises(requests.HTTPError):
                mistake()


def test_as_a_process(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "connector.simulator",
        "--orgs",
        "acme,globex",
        "--leads",
        "20",
        "--contacts",
        "20",
    ]
    process = subprocess.Popen([*command, "--seed", "7", "--dir", str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        orgs = [json.loads(process.stdout.readline()) for _ in range(2)]
        assert [each["org"] for each in orgs] == ["acme", "globex"]
        for each in orgs:
            file = Path(each["credentials"])
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            form = json.loads(file.read_text())
            form["grant_type"] = form.pop("flow")
            response = requests.post(
                each["url"] + "/services/oauth2/token", data=form, verify=each["ca_file"], timeout=10
            )
            assert response.json()["id"].split("/")[-2] == each["org_id"]
    finally:
        process.send_signal(signal.SIGINT)
        started = time.monotonic()
        assert process.wait(5) == 0
    assert time.monotonic() - started < 1
    assert process.stdout.read() == ""
