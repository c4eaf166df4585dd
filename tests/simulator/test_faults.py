"""Fault rules: which requests they strike, and what the client sees."""

import threading
import time

import pytest
import requests

from connector.simulator import ControlClient, Fault, FaultRules, Org, SimulatorServer

from .conftest import Client, error


def hits(rules: FaultRules, fault: Fault, requests_made: int) -> list[int]:
    """The numbers of the requests that a rule strikes."""
    rules.add(fault)
    return [number for number in range(requests_made) if rules.pick("GET", "/services/data?", "acme")]


class TestRules:
    @pytest.mark.parametrize(
        ("rule", "struck"),
        [
            ({}, [0]),
            ({"times": 3}, [0, 1, 2]),
            ({"times": None}, [0, 1, 2, 3, 4, 5]),
            ({"times": None, "after": 4}, [4, 5]),
            ({"times": None, "every": 3}, [0, 3]),
            ({"times": 1, "after": 1, "every": 2}, [1]),
            ({"method": "POST"}, []),
            ({"org": "globex"}, []),
            ({"path": "jobs"}, []),
            ({"path": "^/services/data"}, [0]),
        ],
    )
    def test_choose_requests(self, rule: dict[str, object], struck: list[int]) -> None:
        fault = Fault("html", **rule)  # type: ignore[arg-type]  # parametrised
        assert hits(FaultRules(), fault, 6) == struck
        assert fault.hits == len(struck)

    def test_chance_is_repeatable(self) -> None:
        drawn = [hits(FaultRules(), Fault("html", times=None, probability=0.3, seed=5), 200) for _ in range(2)]
        assert drawn[0] == drawn[1]
        assert 30 < len(drawn[0]) < 90

    def test_the_first_that_strikes_wins(self) -> None:
        rules = FaultRules()
        first, second = rules.add(Fault("html", every=2, times=None)), rules.add(Fault("cut", times=None))
        picked = [rules.pick("GET", "/", "acme") for _ in range(4)]
        assert picked == [first, second, first, second]

    def test_unknown_kinds_are_refused(self) -> None:
        with pytest.raises(ValueError, match="unknown kind"):
            Fault("gremlin")

    def test_rules_can_be_lifted_by_name(self) -> None:
        rules = FaultRules()
        rules.add(Fault("html", name="a"))
        kept = rules.add(Fault("html", name="b"))
        rules.clear("a")
        assert list(rules.all()) == [kept]
        rules.clear()
        assert list(rules.all()) == []


class TestAnswers:
    @pytest.mark.parametrize(
        ("kind", "expected"),
        [
            ("server_unavailable", (503, "SERVER_UNAVAILABLE")),
            ("unknown_exception", (500, "UNKNOWN_EXCEPTION")),
            ("unable_to_lock_row", (400, "UNABLE_TO_LOCK_ROW")),
            ("query_timeout", (400, "QUERY_TIMEOUT")),
            ("daily_limit", (403, "REQUEST_LIMIT_EXCEEDED")),
            ("concurrent_limit", (403, "REQUEST_LIMIT_EXCEEDED")),
        ],
    )
    def test_salesforce_errors(self, client: Client, kind: str, expected: tuple[int, str]) -> None:
        client.server.faults.add(Fault(kind))
        assert error(client.get("/limits")) == expected
        assert client.get("/limits").status_code == 200

    def test_any_error(self, client: Client) -> None:
        client.server.faults.add(Fault("error", status=420, code="ENHANCE", message="calm"))
        response = client.get("/limits")
        assert (response.status_code, response.json()) == (420, [{"message": "calm", "errorCode": "ENHANCE"}])

    def test_oauth_errors_have_their_own_form(self, anonymous: Client) -> None:
        anonymous.server.faults.add(
            Fault("error", path="token", status=400, code="rate_limit_exceeded", message="slow")
        )
        body = anonymous.token(grant_type="client_credentials").json()
        assert body == {"error": "rate_limit_exceeded", "error_description": "slow"}

    def test_html_and_broken_json_with_status_200(self, client: Client) -> None:
        client.server.faults.add(Fault("html"))
        client.server.faults.add(Fault("invalid_json"))
        page, broken = client.get("/limits"), client.get("/limits")
        assert (page.status_code, broken.status_code) == (200, 200)
        assert page.headers["Content-Type"].startswith("text/html")
        with pytest.raises(requests.JSONDecodeError):
            broken.json()

    @pytest.mark.usefixtures("leads")
    def test_only_queries_of_one_object(self, client: Client) -> None:
        client.server.faults.add(Fault("query_timeout", path="FROM Lead", times=None))
        assert client.query("SELECT Id FROM Lead").status_code == 400
        assert client.query("SELECT Id FROM Contact").status_code == 200


class TestBrokenConnections:
    @pytest.mark.usefixtures("leads")
    def test_a_body_cut_in_the_middle(self, client: Client) -> None:
        client.server.faults.add(Fault("cut"))
        with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.ConnectionError)):
            client.query("SELECT Id FROM Lead")
        assert client.query("SELECT Id FROM Lead").status_code == 200

    @pytest.mark.usefixtures("leads")
    def test_a_length_that_is_too_short(self, client: Client) -> None:
        client.server.faults.add(Fault("wrong_length"))
        response = client.query("SELECT Id FROM Lead", **{"Accept-Encoding": "identity"})
        assert response.status_code == 200
        with pytest.raises(requests.JSONDecodeError):
            response.json()

    @pytest.mark.usefixtures("leads")
    def test_silence_in_the_middle_of_a_body(self, client: Client) -> None:
        client.server.faults.add(Fault("stall"))
        with pytest.raises((requests.ReadTimeout, requests.ConnectionError)):
            client.query("SELECT Id FROM Lead", timeout=0.3)

    @pytest.mark.parametrize("kind", ["reset", "lose_answer"])
    def test_a_connection_reset(self, client: Client, kind: str) -> None:
        client.server.faults.add(Fault(kind))
        body = {"LastName": "Lima", "Company": "Lima Lda"}
        with pytest.raises(requests.ConnectionError):
            client.call("POST", "/services/data/v66.0/sobjects/Lead", json=body)
        assert client.org.count("Lead") == (1 if kind == "lose_answer" else 0)

    def test_hanging_for_ever_until_the_client_gives_up(self, client: Client) -> None:
        client.server.faults.add(Fault("hang"))
        with pytest.raises(requests.ReadTimeout):
            client.get("/limits", timeout=0.3)
        assert client.get("/limits").status_code == 200

    def test_hanging_does_not_keep_others_waiting(self, client: Client) -> None:
        client.server.faults.add(Fault("hang"))
        waiting = threading.Thread(target=_ignore_errors, args=(client, "/limits"), daemon=True)
        waiting.start()
        time.sleep(0.1)
        assert Client(client.server, client.org).sign_in().get("/limits").status_code == 200

    def test_slowness(self, client: Client) -> None:
        client.server.faults.add(Fault("slow", seconds=0.3))
        started = time.monotonic()
        assert client.get("/limits").status_code == 200
        assert time.monotonic() - started >= 0.3


def _ignore_errors(client: Client, path: str) -> None:
    try:
        client.get(path, timeout=5)
    except requests.ConnectionError:
        return


class TestStates:
    @pytest.mark.usefixtures("leads")
    def test_a_session_expires_between_pages(self, client: Client) -> None:
        client.server.faults.add(Fault("expire_session", path="/query/"))
        small = {"Sforce-Query-Options": "batchSize=200"}
        url = client.query("SELECT Id FROM Lead", **small).json()["nextRecordsUrl"]
        assert error(client.get(url)) == (401, "INVALID_SESSION_ID")
        client.sign_in()
        assert client.get(url).status_code == 200

    @pytest.mark.usefixtures("leads")
    def test_a_locator_is_dropped(self, client: Client) -> None:
        client.server.faults.add(Fault("drop_locator", path="/query/", after=1))
        small = {"Sforce-Query-Options": "batchSize=200"}
        first = client.query("SELECT Id FROM Lead", **small).json()
        second = client.get(first["nextRecordsUrl"], headers=small).json()
        assert error(client.get(second["nextRecordsUrl"])) == (400, "INVALID_QUERY_LOCATOR")

    @pytest.mark.usefixtures("leads")
    def test_pages_of_any_size(self, client: Client) -> None:
        client.server.faults.add(Fault("page_size", times=None, seed=3))
        page = client.query("SELECT Id FROM Lead").json()
        sizes = [len(page["records"])]
        while not page["done"]:
            page = client.get(page["nextRecordsUrl"]).json()
            sizes.append(len(page["records"]))
        assert sum(sizes) == 450
        client.server.faults.clear()
        client.server.faults.add(Fault("page_size", size=7))
        assert len(client.query("SELECT Id FROM Lead").json()["records"]) == 7


class TestServer:
    def test_requests_are_logged_without_secrets(self, client: Client) -> None:
        client.query("SELECT Id FROM Lead")
        client.get("/services/oauth2/revoke", params={"token": "secret"})
        client.server.faults.add(Fault("reset"))
        _ignore_errors(client, "/limits")
        query, revoke, reset = client.server.requests
        assert (query.path, query.query, query.status) == ("/services/data/v66.0/query", "SELECT Id FROM Lead", 200)
        assert (revoke.path, revoke.query, revoke.status) == ("/services/oauth2/revoke", "", 400)
        assert (reset.method, reset.status, reset.org) == ("GET", 0, "acme")

    def test_orgs_are_apart(self, acme: Org, ca_dir: object) -> None:
        globex = Org("globex")
        with SimulatorServer([acme, globex], ca_dir=ca_dir) as server:  # type: ignore[arg-type]  # a fixture's path
            first, second = Client(server, acme).sign_in(), Client(server, globex).sign_in()
            assert first.base != second.base
            second.http.headers["Authorization"] = first.http.headers["Authorization"]
            assert error(second.get("/limits")) == (401, "INVALID_SESSION_ID")
            server.faults.add(Fault("html", org="globex"))
            assert first.get("/limits").headers["Content-Type"].startswith("application/json")
            assert second.get("/limits").headers["Content-Type"].startswith("text/html")

    def test_ends_at_once_under_load(self, acme: Org, ca_dir: object) -> None:
        server = SimulatorServer([acme], ca_dir=ca_dir)  # type: ignore[arg-type]  # a fixture's path
        server.start()
        server.faults.add(Fault("hang", times=None))
        client = Client(server, acme).sign_in()
        threading.Thread(target=_ignore_errors, args=(client, "/limits"), daemon=True).start()
        time.sleep(0.2)
        started = time.monotonic()
        server.stop()
        assert time.monotonic() - started < 1

    @pytest.mark.usefixtures("leads")
    def test_many_clients_at_once(self, client: Client) -> None:
        answers: list[int] = []

        def work() -> None:
            own = Client(client.server, client.org).sign_in()
            answers.extend(own.query("SELECT Id, LastName FROM Lead").json()["totalSize"] for _ in range(5))

        threads = [threading.Thread(target=work) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == [450] * 60

    def test_the_control_interface_answers_through_faults(self, client: Client) -> None:
        client.server.faults.add(Fault("hang", times=None))
        control = ControlClient(client.base, client.server.ca_file)
        assert control.org()["key"] == "acme"
        control.clear_faults()
        assert client.get("/limits").status_code == 200
