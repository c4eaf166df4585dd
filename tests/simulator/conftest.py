"""A simulated org behind TLS, and a client that talks to it as any HTTP client would."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests

from connector.simulator import Org, SimulatorServer
from connector.simulator.instance import Instance

VERSION = "/services/data/v66.0"


@dataclass
class Client:
    """One signed-in HTTP client of one org."""

    server: SimulatorServer
    org: Org
    http: requests.Session = field(default_factory=requests.Session)

    def __post_init__(self) -> None:
        self.http.verify = str(self.server.ca_file)
        self.http.trust_env = False

    @property
    def instance(self) -> Instance:
        return self.server.instance(self.org)

    @property
    def base(self) -> str:
        return self.server.url(self.org)

    def sign_in(self, username: str | None = None) -> "Client":
        session = self.server.credentials(self.org, "access_token", username)
        self.http.headers["Authorization"] = f"Bearer {session['access_token']}"
        return self

    def token(self, **form: str) -> requests.Response:
        return self.http.post(f"{self.base}/services/oauth2/token", data=form, timeout=10)

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        return self.http.request(method, self.base + path, **({"timeout": 10, "allow_redirects": False} | options))

    def get(self, path: str, **options: Any) -> requests.Response:
        """GET under the versioned data resource, or anywhere if the path says /services or /id itself."""
        full = path if path.startswith(("/services", "/id", "/.well-known")) else VERSION + path
        return self.call("GET", full, **options)

    def query(self, soql: str, resource: str = "query", timeout: float = 10, **headers: str) -> requests.Response:
        return self.get(f"/{resource}", params={"q": soql}, headers=headers, timeout=timeout)


def error(response: requests.Response) -> tuple[int, str]:
    """Status and errorCode of a refusal."""
    return response.status_code, response.json()[0]["errorCode"]


@pytest.fixture(scope="session")
def ca_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("authority")


@pytest.fixture
def acme() -> Org:
    return Org("acme", "Acme")


@pytest.fixture
def server(acme: Org, ca_dir: Path) -> Iterator[SimulatorServer]:
    with SimulatorServer([acme], ca_dir=ca_dir) as running:
        yield running


@pytest.fixture
def anonymous(server: SimulatorServer, acme: Org) -> Client:
    return Client(server, acme)


@pytest.fixture
def client(server: SimulatorServer, acme: Org) -> Client:
    return Client(server, acme).sign_in()


@pytest.fixture
def leads(acme: Org) -> list[str]:
    """Ids of 450 leads, in the order of their last names."""
    return acme.insert_many("Lead", [{"LastName": f"Lima {n:03d}", "Company": "Lima Lda"} for n in range(450)])
