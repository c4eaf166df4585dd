"""The JSON API: tokens with the role of their account, and answers as its own description has them."""

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case
from schemathesis.checks import CHECKS, load_all_checks

from connector import accounts
from tests.connector.conftest import Site
from tests.dashboard.conftest import PASSWORD
from tests.dashboard.test_people_pages import bridged

load_all_checks()
EXPECTED = CHECKS.get_by_names(["not_a_server_error", "status_code_conformance", "response_schema_conformance"])


class Client:
    """A program with a token."""

    def __init__(self, site: Site, address: str, role: str) -> None:
        accounts.add(site.url, role, role, PASSWORD)
        self.url = f"{address}/api"
        self.headers = {"Authorization": f"Bearer {accounts.issue_token(site.url, role)}"}

    def get(self, path: str) -> requests.Response:
        return requests.get(self.url + path, headers=self.headers, timeout=60)

    def post(self, path: str) -> requests.Response:
        return requests.post(self.url + path, headers=self.headers, timeout=60)


def test_a_program_sees_what_the_pages_show(peopled: Site, address: str) -> None:
    person = bridged(peopled)
    client = Client(peopled, address, "viewer")
    assert client.get("/sources").json()[0]["state"] == "connected"
    assert client.get("/status").json()["people"] == 60
    assert client.get("/sources/1/runs").json()[0]["state"] == "succeeded"
    assert client.get("/sources/1/log").json()[0]["event"] == "sync_completed"
    assert [one["person_id"] for one in client.get("/people?q=lovelace").json()] == [person]
    explained = client.get(f"/people/{person}?why=true").json()
    assert explained["fields"]["last_name"] == "Lovelace"
    assert {one["field"] for one in explained["why"]} > {"last_name"}
    assert client.get("/sources/9/runs").json() == {"detail": "There is no such data source: it may have been deleted."}


def test_a_token_may_what_its_account_may(peopled: Site, address: str) -> None:
    viewer, admin = (Client(peopled, address, role) for role in ("viewer", "admin"))
    assert viewer.post("/sources/1/sync").status_code == 403
    assert admin.post("/sources/1/sync").json() == {"source": "acme", "action": "sync"}
    assert admin.post("/sources/1/resume").status_code == 409
    assert admin.post("/sources/1/delete").status_code == 422
    entry = peopled.query("SELECT actor, via, action FROM audit WHERE via = 'api' ORDER BY id")[0]
    assert entry == {"actor": "admin", "via": "api", "action": "sync"}
    accounts.revoke_tokens(peopled.url, "admin")
    refused = admin.get("/sources")
    assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, "Bearer")


@pytest.mark.slow
def test_nothing_that_fits_the_description_breaks_the_api(peopled: Site, address: str) -> None:
    client = Client(peopled, address, "admin")
    schema = schemathesis.openapi.from_url(f"{client.url}/openapi.json", headers=client.headers)
    schema.config.update(base_url=address, headers=client.headers)
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) > 8
    for operation in operations:

        @given(operation.as_strategy())
        @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
        def holds(case: Case) -> None:
            case.call_and_validate(checks=EXPECTED)

        holds()
