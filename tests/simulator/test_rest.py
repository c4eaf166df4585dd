"""REST resources: versions, describe, query pages, rows, limits, replication, writes."""

from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime

import pytest

from connector.simulator import Org

from .conftest import Client, error

ALL_LEADS = "SELECT Id, LastName FROM Lead ORDER BY LastName"


def pages(client: Client, soql: str, **headers: str) -> list[dict]:
    found = [client.query(soql, **headers).json()]
    while not found[-1]["done"]:
        found.append(client.get(found[-1]["nextRecordsUrl"], headers=headers).json())
    return found


def iso(moment: datetime) -> str:
    return moment.isoformat()


class TestVersions:
    def test_are_listed_without_a_session(self, anonymous: Client) -> None:
        listed = anonymous.get("/services/data").json()
        assert listed[-1] == {"label": "Summer '26", "url": "/services/data/v67.0", "version": "67.0"}
        assert {"label": "Winter '26", "url": "/services/data/v65.0", "version": "65.0"} in listed
        assert [each["version"] for each in listed] == sorted(each["version"] for each in listed)

    def test_retired_and_unknown(self, client: Client) -> None:
        assert error(client.get("/services/data/v30.0/limits")) == (410, "UNSUPPORTED_API_VERSION")
        for version in ("v68.0", "v66.5", "v6.0", "vx"):
            assert error(client.get(f"/services/data/{version}/limits")) == (404, "NOT_FOUND")

    def test_resources(self, client: Client) -> None:
        assert client.get("/").json()["query"] == "/services/data/v66.0/query"
        assert error(client.get("/nothing")) == (404, "NOT_FOUND")


class TestHeaders:
    def test_date_is_the_clock_of_the_org(self, client: Client) -> None:
        client.org.clock.advance(86400)
        date = parsedate_to_datetime(client.get("/limits").headers["Date"])
        assert abs(date - client.org.clock.now()) <= timedelta(seconds=2)
        assert client.get("/limits").raw.headers.getlist("Date") != []

    def test_usage_is_told_and_counted(self, client: Client) -> None:
        used = [client.get("/limits").headers["Sforce-Limit-Info"] for _ in range(2)]
        assert used == ["api-usage=1/100000", "api-usage=2/100000"]

    def test_answers_are_compressed_only_if_asked(self, client: Client) -> None:
        plain = client.get("/sobjects", headers={"Accept-Encoding": "identity"})
        packed = client.get("/sobjects", headers={"Accept-Encoding": "gzip"})
        assert "Content-Encoding" not in plain.headers
        assert packed.headers["Content-Encoding"] == "gzip"
        assert packed.json() == plain.json()

    def test_a_connection_is_kept(self, client: Client) -> None:
        for _ in range(3):
            client.get("/limits")
        (pool,) = client.http.get_adapter("https://").poolmanager.pools._container.values()
        assert pool.num_connections == 1

    def test_a_long_address_is_refused(self, client: Client) -> None:
        assert client.get("/query", params={"q": "x" * 16_400}).status_code == 414
        assert client.get("/limits", headers={"X-Long": "x" * 17_000}).status_code == 431


class TestDailyLimit:
    def test_refuses_at_the_limit_and_recovers_after_a_day(self, client: Client) -> None:
        client.instance.settings.daily_api_limit = 2
        client.get("/limits")
        client.org.clock.advance(3600)
        client.get("/limits")
        refused = client.get("/limits")
        assert error(refused) == (403, "REQUEST_LIMIT_EXCEEDED")
        assert refused.json()[0]["message"] == "TotalRequests Limit exceeded."
        client.sign_in()
        client.org.clock.advance(23 * 3600)
        client.sign_in()
        assert client.get("/limits").headers["Sforce-Limit-Info"] == "api-usage=2/2"


class TestDescribe:
    def test_global(self, client: Client) -> None:
        names = {each["name"] for each in client.get("/sobjects/").json()["sobjects"]}
        assert {"Lead", "Contact", "CampaignMember"} <= names

    def test_object(self, client: Client) -> None:
        described = client.get("/sobjects/lead/describe").json()
        assert described["name"] == "Lead"
        assert all(len(each) == 57 for each in described["fields"])
        client.org.hide_object("Lead")
        assert error(client.get("/sobjects/Lead/describe")) == (404, "NOT_FOUND")

    @pytest.mark.parametrize("path", ["/sobjects", "/sobjects/Lead/describe"])
    def test_unchanged_since(self, client: Client, path: str) -> None:
        first = client.get(path)
        same = client.get(path, headers={"If-Modified-Since": first.headers["Last-Modified"]})
        assert (same.status_code, same.content) == (304, b"")
        assert client.get(path, headers={"If-None-Match": first.headers["ETag"]}).status_code == 304
        client.org.hide_object("Lead") if path == "/sobjects" else client.org.hide_field("Lead", "Company")
        changed = client.get(path, headers={"If-Modified-Since": first.headers["Last-Modified"]})
        assert changed.status_code == 200
        assert changed.headers["ETag"] != first.headers["ETag"]


class TestQuery:
    def test_pages_hold_all_rows_once(self, client: Client, leads: list[str]) -> None:
        found = pages(client, ALL_LEADS, **{"Sforce-Query-Options": "batchSize=200"})
        assert [len(page["records"]) for page in found] == [200, 200, 50]
        assert {page["totalSize"] for page in found} == {450}
        assert [row["Id"] for page in found for row in page["records"]] == leads
        assert "nextRecordsUrl" not in found[-1]

    @pytest.mark.parametrize(
        ("asked", "rows"), [("batchSize=1", 200), ("batchsize = 300", 300), ("batchSize=9999", 450)]
    )
    @pytest.mark.usefixtures("leads")
    def test_page_size_is_held_within_bounds(self, client: Client, asked: str, rows: int) -> None:
        page = client.query(ALL_LEADS, **{"Sforce-Query-Options": asked}).json()
        assert len(page["records"]) == rows

    @pytest.mark.usefixtures("leads")
    def test_long_texts_make_pages_short(self, client: Client) -> None:
        assert len(client.query("SELECT Id, Description FROM Lead").json()["records"]) == 450
        assert len(client.query("SELECT Id, Description, Notes__c FROM Lead").json()["records"]) == 200

    def test_a_lone_surrogate_reaches_the_client(self, client: Client, acme: Org, leads: list[str]) -> None:
        acme.corrupt("Lead", leads[0], "Title", "\ud800")
        soql = "SELECT Title FROM Lead WHERE LastName = 'Lima 000'"
        assert client.query(soql).json()["records"][0]["Title"] == "\ud800"

    @pytest.mark.parametrize(("style", "form"), [("01g", 18 + 4), ("0r8", 18)])
    def test_both_forms_of_locators(self, client: Client, leads: list[str], style: str, form: int) -> None:
        client.instance.settings.locator_style = style  # type: ignore[assignment]  # parametrised
        first = client.query(ALL_LEADS, **{"Sforce-Query-Options": "batchSize=200"}).json()
        locator = first["nextRecordsUrl"].rpartition("/")[2]
        assert locator.startswith(style)
        assert len(locator) == form
        again = [client.get(first["nextRecordsUrl"]).json() for _ in range(2)]
        assert again[0] == again[1]
        assert [row["Id"] for row in again[0]["records"]] == leads[200:]

    @pytest.mark.usefixtures("leads")
    def test_a_locator_dies(self, client: Client) -> None:
        url = client.query(ALL_LEADS, **{"Sforce-Query-Options": "batchSize=200"}).json()["nextRecordsUrl"]
        client.org.clock.advance(3 * 86400)
        client.sign_in()
        assert error(client.get(url)) == (400, "INVALID_QUERY_LOCATOR")
        assert error(client.get("/query/nonsense")) == (400, "INVALID_QUERY_LOCATOR")

    @pytest.mark.usefixtures("leads")
    def test_count_and_aggregate(self, client: Client) -> None:
        assert client.query("SELECT COUNT() FROM Lead").json() == {"totalSize": 450, "done": True, "records": []}
        assert client.query("SELECT COUNT(Id) FROM Lead").json()["records"][0]["expr0"] == 450

    def test_query_all_shows_deleted_rows(self, client: Client, acme: Org, leads: list[str]) -> None:
        acme.delete("Lead", leads[0])
        soql = "SELECT Id, IsDeleted FROM Lead"
        assert client.query(soql).json()["totalSize"] == 449
        assert client.query(soql, "queryAll").json()["totalSize"] == 450
        assert client.query(soql, "queryAll/").json()["totalSize"] == 450

    def test_pages_of_query_all_still_show_deleted_rows(self, client: Client, acme: Org, leads: list[str]) -> None:
        acme.delete("Lead", leads[-1])
        first = client.query(ALL_LEADS, "queryAll", **{"Sforce-Query-Options": "batchSize=200"}).json()
        assert first["nextRecordsUrl"].startswith("/services/data/v66.0/query/")
        rest = client.get(first["nextRecordsUrl"]).json()["records"]
        assert leads[-1] in [row["Id"] for row in rest]

    def test_errors(self, client: Client) -> None:
        assert error(client.query("SELECT Nope FROM Lead")) == (400, "INVALID_FIELD")
        assert error(client.query("SELECT Id FROM Nope")) == (400, "INVALID_TYPE")
        assert error(client.query("SELECT FROM")) == (400, "MALFORMED_QUERY")
        assert error(client.get("/query")) == (400, "MALFORMED_QUERY")


class TestRows:
    def test_one_row(self, client: Client, leads: list[str]) -> None:
        row = client.get(f"/sobjects/Lead/{leads[0]}", params={"fields": "LastName,Owner.Name"}).json()
        assert row["LastName"] == "Lima 000"
        assert row["attributes"]["type"] == "Lead"
        assert client.get(f"/sobjects/Lead/{leads[0][:15]}").json()["Company"] == "Lima Lda"

    def test_missing_and_deleted(self, client: Client, acme: Org, leads: list[str]) -> None:
        acme.delete("Lead", leads[0])
        assert error(client.get(f"/sobjects/Lead/{leads[0]}")) == (404, "ENTITY_IS_DELETED")
        assert error(client.get("/sobjects/Lead/00Q000000000000")) == (404, "NOT_FOUND")
        assert error(client.get("/sobjects/Lead/x' OR Id != '")) == (404, "NOT_FOUND")
        assert error(client.get(f"/sobjects/Lead/{leads[1]}", params={"fields": "Id FROM User"})) == (
            400,
            "INVALID_FIELD",
        )

    def test_writes(self, client: Client, acme: Org) -> None:
        path = "/services/data/v66.0/sobjects/Lead"
        created = client.call("POST", path + "/", json={"LastName": "Reis", "Company": "Reis SA"})
        assert created.status_code == 201
        record_id = created.json()["id"]
        assert client.call("PATCH", f"{path}/{record_id}", json={"Title": "CEO"}).status_code == 204
        assert acme.snapshot("Lead")[record_id]["Title"] == "CEO"
        assert client.call("DELETE", f"{path}/{record_id}").status_code == 204
        assert acme.snapshot("Lead")[record_id]["IsDeleted"]

    def test_refused_writes(self, client: Client) -> None:
        path = "/services/data/v66.0/sobjects/Lead"
        assert error(client.call("POST", path, json={"LastName": "x"})) == (400, "REQUIRED_FIELD_MISSING")
        read_only = {"LastName": "x", "Company": "y", "SystemModstamp": "2026-01-01T00:00:00Z"}
        assert error(client.call("POST", path, json=read_only)) == (400, "INVALID_FIELD_FOR_INSERT_UPDATE")
        assert error(client.call("POST", path, data="{")) == (400, "JSON_PARSER_ERROR")

    def test_a_user_who_may_not_write(self, anonymous: Client) -> None:
        anonymous.sign_in("liam@acme.example")
        liam = anonymous.instance.users["liam@acme.example"]
        liam.can_write = liam.can_view_setup = False
        path = "/services/data/v66.0/sobjects/Lead"
        written = anonymous.call("POST", path, json={"LastName": "x", "Company": "y"})
        assert error(written) == (403, "INSUFFICIENT_ACCESS_OR_READONLY")
        assert error(anonymous.get("/limits"))[0] == 403
        assert anonymous.query("SELECT Id FROM Lead").status_code == 200


class TestLimits:
    def test_remaining(self, client: Client) -> None:
        assert client.get("/limits/").json()["DailyApiRequests"] == {"Max": 100000, "Remaining": 99999}

    @pytest.mark.usefixtures("leads")
    def test_record_count(self, client: Client) -> None:
        counted = client.get("/limits/recordCount", params={"sObjects": "Lead,Nope"}).json()
        assert counted == {"sObjects": [{"count": 450, "name": "Lead"}]}


class TestReplication:
    def replicate(self, client: Client, what: str, back: timedelta, ahead: timedelta = timedelta(minutes=2)) -> dict:
        now = client.org.clock.now()
        stretch = {"start": iso(now - back), "end": iso(now + ahead)}
        return client.get(f"/sobjects/Lead/{what}/", params=stretch).json()

    def test_updated(self, client: Client, leads: list[str]) -> None:
        found = self.replicate(client, "updated", timedelta(hours=1))
        assert sorted(found["ids"]) == sorted(leads)
        assert found["latestDateCovered"].endswith(".000+0000")

    def test_a_long_transaction_holds_the_covered_date_back(self, client: Client, acme: Org) -> None:
        opened_at = acme.clock.now()
        with acme.late_commit():
            acme.clock.advance(1800)
            covered = self.replicate(client, "updated", timedelta(hours=2))["latestDateCovered"]
            assert abs(datetime.fromisoformat(covered) - opened_at) <= timedelta(seconds=1)

    def test_deleted(self, client: Client, acme: Org, leads: list[str]) -> None:
        acme.delete("Lead", leads[0])
        found = self.replicate(client, "deleted", timedelta(hours=1))
        assert [each["id"] for each in found["deletedRecords"]] == leads[:1]
        assert found["earliestDateAvailable"] < found["deletedRecords"][0]["deletedDate"]

    @pytest.mark.parametrize(
        ("what", "back", "ahead"),
        [
            ("updated", timedelta(days=31), timedelta(0)),
            ("deleted", timedelta(days=16), timedelta(0)),
            ("updated", timedelta(0), timedelta(hours=-1)),
            ("deleted", timedelta(0), timedelta(seconds=30)),
        ],
    )
    def test_refused_stretches(self, client: Client, what: str, back: timedelta, ahead: timedelta) -> None:
        assert self.replicate(client, what, back, ahead)[0]["errorCode"] == "INVALID_REPLICATION_DATE"

    def test_refused_parameters(self, client: Client) -> None:
        assert error(client.get("/sobjects/Lead/updated")) == (400, "INVALID_REPLICATION_DATE")
        naive = {"start": "2026-01-01T00:00:00", "end": "2026-01-02T00:00:00"}
        assert error(client.get("/sobjects/Lead/updated", params=naive)) == (400, "INVALID_REPLICATION_DATE")
        assert error(client.get("/sobjects/Nope/updated", params=naive))[0] in (400, 404)
