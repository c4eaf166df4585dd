"""Bulk API 2.0 query jobs."""

import csv
import io
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from connector.simulator import Fault, Org
from connector.simulator.results import ResultFile

from .conftest import VERSION, Client, error

ALL_LEADS = "SELECT Id, LastName, Description FROM Lead"
JOBS = f"{VERSION}/jobs/query"


def create(client: Client, soql: str = ALL_LEADS, **fields: str) -> requests.Response:
    return client.call("POST", JOBS, json={"operation": "query", "query": soql, "contentType": "CSV"} | fields)


def finished(client: Client, soql: str = ALL_LEADS, **fields: str) -> dict:
    """The job when it has ended."""
    job_id = create(client, soql, **fields).json()["id"]
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        job = client.get(f"/jobs/query/{job_id}").json()
        if job["state"] in ("JobComplete", "Failed", "Aborted"):
            return job
        time.sleep(0.02)
    raise TimeoutError(job_id)


def rows(body: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(body.decode(), newline="")))


def pages(client: Client, job_id: str, size: int) -> list[requests.Response]:
    found: list[requests.Response] = []
    query = {"maxRecords": str(size)}
    while not found or found[-1].headers["Sforce-Locator"] != "null":
        if found:
            query["locator"] = found[-1].headers["Sforce-Locator"]
        found.append(client.get(f"/jobs/query/{job_id}/results", params=query))
    return found


class TestLife:
    @pytest.mark.usefixtures("leads")
    def test_a_new_job(self, client: Client) -> None:
        job = create(client).json()
        assert job["id"].startswith("750")
        assert len(job["id"]) == 18
        expected = {"operation": "query", "object": "Lead", "state": "UploadComplete", "apiVersion": 66.0}
        assert expected.items() <= job.items()

    @pytest.mark.usefixtures("leads")
    def test_a_finished_job(self, client: Client) -> None:
        job = finished(client)
        assert (job["state"], job["jobType"], job["numberRecordsProcessed"]) == ("JobComplete", "V2Query", 450)

    @pytest.mark.parametrize("status", [412, 204])
    @pytest.mark.usefixtures("leads")
    def test_results_asked_too_early(self, client: Client, status: int) -> None:
        client.instance.settings.bulk_delay_seconds = 30
        client.instance.settings.bulk_not_ready = status  # type: ignore[assignment]  # parametrised
        job_id = create(client).json()["id"]
        time.sleep(0.05)
        assert client.get(f"/jobs/query/{job_id}").json()["state"] == "InProgress"
        assert client.get(f"/jobs/query/{job_id}/results").status_code == status

    @pytest.mark.usefixtures("leads")
    def test_abort_and_delete(self, client: Client) -> None:
        client.instance.settings.bulk_delay_seconds = 30
        path = f"{JOBS}/{create(client).json()['id']}"
        assert client.call("DELETE", path).status_code == 400
        assert client.call("PATCH", path, json={"state": "Aborted"}).json()["state"] == "Aborted"
        assert client.call("PATCH", path, json={"state": "Aborted"}).status_code == 400
        assert client.call("DELETE", path).status_code == 204
        assert error(client.call("GET", path)) == (404, "NOT_FOUND")

    @pytest.mark.usefixtures("leads")
    def test_results_are_kept_for_a_week(self, client: Client) -> None:
        job = finished(client)
        client.org.clock.advance(7 * 86_400 + 60)
        client.sign_in()
        assert error(client.get(f"/jobs/query/{job['id']}")) == (404, "NOT_FOUND")

    @pytest.mark.usefixtures("leads")
    def test_list(self, client: Client) -> None:
        jobs = [finished(client)["id"] for _ in range(3)]
        listed = client.get("/jobs/query").json()
        assert [job["id"] for job in listed["records"]] == jobs[::-1]
        assert listed["done"] is True

    @pytest.mark.usefixtures("leads")
    def test_another_version_is_refused(self, client: Client) -> None:
        job = finished(client)
        assert client.get(f"/services/data/v65.0/jobs/query/{job['id']}/results").status_code == 409

    def test_deleted_rows_by_query_all(self, client: Client, acme: Org, leads: list[str]) -> None:
        acme.delete("Lead", leads[0])
        assert finished(client)["numberRecordsProcessed"] == 449
        assert finished(client, operation="queryAll")["numberRecordsProcessed"] == 450


class TestRefusals:
    @pytest.mark.parametrize(
        ("soql", "code"),
        [
            ("SELECT Nope FROM Lead", "INVALID_FIELD"),
            ("SELECT FROM", "MALFORMED_QUERY"),
            ("SELECT COUNT() FROM Lead", "API_ERROR"),
            ("SELECT Address FROM Lead", "API_ERROR"),
        ],
    )
    def test_at_creation(self, client: Client, soql: str, code: str) -> None:
        assert error(create(client, soql)) == (400, code)

    def test_of_what_is_not_simulated(self, client: Client) -> None:
        assert error(create(client, columnDelimiter="TAB")) == (400, "INVALIDJOB")

    @pytest.mark.usefixtures("leads")
    def test_beyond_the_daily_number_of_jobs(self, client: Client) -> None:
        client.instance.settings.daily_bulk_jobs = 1
        finished(client)
        assert error(create(client)) == (400, "LIMIT_EXCEEDED")
        assert client.get("/limits").json()["DailyBulkV2QueryJobs"] == {"Max": 1, "Remaining": 0}
        client.org.clock.advance(86_401)
        assert create(client.sign_in()).status_code == 200

    def test_later_if_the_org_is_so_set(self, client: Client) -> None:
        client.instance.settings.bulk_errors_late = True
        job = finished(client, "SELECT Nope FROM Lead")
        assert job["state"] == "Failed"
        assert job["errorMessage"].startswith("INVALIDFIELD:")
        assert client.get(f"/jobs/query/{job['id']}/results").status_code == 400

    @pytest.mark.usefixtures("leads")
    def test_a_job_may_fail(self, client: Client) -> None:
        fault = client.server.faults.add(Fault("fail_job", message="InternalServerError: too many retries"))
        assert finished(client)["errorMessage"] == "InternalServerError: too many retries"
        assert fault.hits == 1
        assert finished(client)["state"] == "JobComplete"


class TestResults:
    def test_pages_by_locator(self, client: Client, leads: list[str]) -> None:
        found = pages(client, finished(client)["id"], 200)
        assert [page.headers["Sforce-NumberOfRecords"] for page in found] == ["200", "200", "50"]
        assert all(page.text.startswith('"Id","LastName","Description"\n') for page in found)
        assert [row["Id"] for page in found for row in rows(page.content)] == leads

    @pytest.mark.usefixtures("leads")
    def test_a_page_may_be_read_again(self, client: Client) -> None:
        url = f"/jobs/query/{finished(client)['id']}/results"
        locator = client.get(url, params={"maxRecords": "400"}).headers["Sforce-Locator"]
        twice = [client.get(url, params={"locator": locator}).content for _ in range(2)]
        assert twice[0] == twice[1]
        assert len(rows(twice[0])) == 50

    def test_results_do_not_change_with_the_org(self, client: Client, acme: Org, leads: list[str]) -> None:
        job_id = finished(client)["id"]
        acme.update("Lead", leads[0], {"LastName": "Changed"})
        assert rows(client.get(f"/jobs/query/{job_id}/results").content)[0]["LastName"] == "Lima 000"

    def test_texts_survive(self, client: Client, acme: Org) -> None:
        texts = ['a "b"\nc', '"\n"', '"', "\r\n,;\t", "çé 漢字 🎈", "NULL", '\n"\n""\n']
        acme.insert_many("Lead", [{"LastName": "x", "Company": "y", "Description": text} for text in texts])
        found = pages(client, finished(client)["id"], 1)
        assert [row["Description"] for page in found for row in rows(page.content)] == texts

    def test_nothing_found(self, client: Client) -> None:
        (page,) = pages(client, finished(client)["id"], 10)
        assert page.headers["Sforce-NumberOfRecords"] == "0"
        assert page.text == '"Id","LastName","Description"\n'

    def test_pages_in_parallel(self, client: Client, leads: list[str]) -> None:
        job_id = finished(client)["id"]
        first = client.get(f"/jobs/query/{job_id}/resultPages", params={"maxRecords": "80"}).json()
        assert (len(first["resultPages"]), first["done"]) == (5, False)
        second = client.get(first["nextRecordsUrl"]).json()
        assert (len(second["resultPages"]), second["done"]) == (1, True)
        urls = [page["resultUrl"] for page in first["resultPages"] + second["resultPages"]]
        with ThreadPoolExecutor(5) as pool:
            bodies = list(pool.map(lambda url: client.get(url).content, urls))
        assert [row["Id"] for body in bodies for row in rows(body)] == leads

    @pytest.mark.usefixtures("leads")
    def test_bad_parameters(self, client: Client) -> None:
        url = f"/jobs/query/{finished(client)['id']}/results"
        assert client.get(url, params={"locator": "?"}).status_code == 400
        assert client.get(url, params={"maxRecords": "0"}).status_code == 400


class TestResultFile:
    def test_rows_end_outside_quotes_whatever_the_chunks(self) -> None:
        text = b'"A","B"\n"1","x\ny"\n"2","""\n"""\n'
        for size in range(1, len(text)):
            file = ResultFile(text[start : start + size] for start in range(0, len(text), size))
            assert file.rows == 2
            assert b"".join(file.page(1, 2)) == b'"A","B"\n"2","""\n"""\n'
            file.close()


@pytest.mark.slow
def test_two_hundred_thousand_rows_in_seconds(client: Client, acme: Org) -> None:
    acme.insert_many("Lead", ({"LastName": f"Lima {n}", "Company": "Lima Lda"} for n in range(200_000)))
    fields = [name for name, kind in acme.objects["Lead"].fields.items() if kind.type != "address"][:25]
    started = time.monotonic()
    job = finished(client, f"SELECT {', '.join(fields)} FROM Lead")
    body = client.get(f"/jobs/query/{job['id']}/results", params={"maxRecords": "200000"}, timeout=60).content
    took = time.monotonic() - started
    assert body.count(b"\n") == 200_001
    assert took < 15
