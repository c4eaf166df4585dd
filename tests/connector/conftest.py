"""What the connector's tests share: an installation on its own database, and simulated orgs that it may connect."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import stamina

from cdp import db, queries
from cdp.models import Cursor, Source
from connector import runs, sources, sync
from connector.auth import Credentials, parse_credentials
from connector.client import OrgClient
from connector.runtime import Runtime
from connector.settings import Settings
from connector.simulator import Fault, Org, SimulatorServer
from connector.simulator.clock import Clock
from connector.simulator.instance import Instance

KEY = base64.urlsafe_b64encode(bytes(range(32))).decode()


@pytest.fixture(autouse=True)
def _no_pauses() -> Iterator[None]:
    """Keep the number of attempts and leave out the pauses between them."""
    stamina.set_testing(True, attempts=100, cap=True)
    yield
    stamina.set_testing(False)


@pytest.fixture(scope="session")
def ca_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("authority")


@dataclass
class Site:
    """An installation and the orgs `acme` and `globex`, whose clocks stand still until a test moves them."""

    runtime: Runtime
    server: SimulatorServer
    orgs: dict[str, Org]

    @property
    def url(self) -> str:
        return self.runtime.database_url

    def instance(self, name: str = "acme") -> Instance:
        return self.server.instance(self.orgs[name])

    def fault(self, kind: str, path: str = "", **of_rule: Any) -> Fault:
        return self.server.faults.add(Fault(kind, path=path, **of_rule))

    def asked(self, path: str, name: str = "acme") -> int:
        """How many requests to an org had this in their path."""
        return len(self.server.requests.of(name, path))

    def credentials(self, name: str = "acme", flow: str = "client_credentials") -> Credentials:
        return parse_credentials(json.dumps(self.server.credentials(self.orgs[name], flow)))

    def connect(self, name: str = "acme", flow: str = "client_credentials") -> Source:
        found, _ = sources.connect(self.runtime, name, self.server.url(self.orgs[name]), self.credentials(name, flow))
        return found

    def source(self, name: str = "acme") -> Source:
        with db.transaction(self.url) as session:
            return sources.find(session, name)

    def client(self, name: str = "acme") -> OrgClient:
        return sources.open_org(self.runtime, self.source(name).id or 0)

    def request(self, name: str = "acme") -> int:
        return runs.request(self.url, self.source(name).id or 0, "poll")

    def sync(self, name: str = "acme") -> queries.Row:
        """Poll in this process and return the run."""
        return self.execute(self.request(name))

    def execute(self, run_id: int) -> queries.Row:
        assert sync.execute(self.runtime, run_id)
        return self.run(run_id)

    def run(self, run_id: int) -> queries.Row:
        with db.transaction(self.url) as session:
            return queries.run(session, run_id)

    def latest_run(self, name: str = "acme") -> queries.Row:
        return self.query("SELECT * FROM run WHERE source_id = %(id)s ORDER BY id DESC", id=self.source(name).id)[0]

    def change(self, name: str = "acme", **values: Any) -> None:
        """Set columns of a source."""
        with db.transaction(self.url) as session:
            found = sources.find(session, name)
            for column, value in values.items():
                setattr(found, column, value)

    def forget_cursors(self) -> None:
        """Let the next poll read everything anew; what is stored stays."""
        with db.transaction(self.url) as session:
            db.driver(session).execute("TRUNCATE cursor, read_window")

    def cursor(self, sobject: str, name: str = "acme") -> Cursor:
        with db.transaction(self.url) as session:
            return session.get_one(Cursor, (sources.find(session, name).id, sobject))

    def query(self, query: db.Statement, **parameters: object) -> list[queries.Row]:
        with db.transaction(self.url) as session:
            return db.rows(db.driver(session), query, parameters)

    def record(self, record_id: str) -> queries.Row:
        [found] = self.query("SELECT * FROM record WHERE record_id = %(id)s", id=record_id)
        return found

    def states(self, sobject: str, name: str = "acme") -> dict[str, str]:
        """Record id → state of what is stored."""
        found = self.query(
            "SELECT record_id, state FROM record WHERE object = %(object)s AND source_id = %(id)s",
            object=sobject,
            id=self.source(name).id,
        )
        return {row["record_id"]: row["state"] for row in found}

    def people(self) -> dict[str, dict[str, Any]]:
        with db.transaction(self.url) as session:
            return {person["person_id"]: person for person in queries.people(session)}

    def stored(self) -> list[queries.Row]:
        """Every stored record whole, but for the time it was read."""
        rows = self.query("SELECT * FROM record ORDER BY handle")
        return [{name: value for name, value in row.items() if name != "read_at"} for row in rows]

    def environment(self, **other: str) -> dict[str, str]:
        """The environment of a process of this installation."""
        settings = self.runtime.settings
        ours = {
            "CONNECTOR_HOME": str(settings.home),
            "CONNECTOR_CA_BUNDLE": str(settings.ca_bundle or ""),
            "CONNECTOR_ALLOWED_HOSTS": ",".join(settings.allowed_hosts),
            "CONNECTOR_ENCRYPTION_KEYS": KEY,
            "CONNECTOR_LOG_LEVEL": "ERROR",
        }
        if settings.database_url:
            ours["CONNECTOR_DATABASE_URL"] = settings.database_url.get_secret_value()
        return {name: value for name, value in {**os.environ, **ours, **other}.items() if value}

    def cli(self, *arguments: str, typed: str = "", **other: str) -> "subprocess.CompletedProcess[str]":
        """Run `connector` in a process of its own."""
        return subprocess.run(
            [sys.executable, "-m", "connector", *arguments],
            env=self.environment(**other),
            cwd=self.runtime.settings.home.parent,
            input=typed,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )


@pytest.fixture
def make_site(database_url: str, ca_dir: Path, tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """Make the test's installation, with settings of its own."""
    orgs = [Org(name, clock=Clock(datetime.now(UTC).replace(microsecond=0))) for name in ("acme", "globex")]
    with SimulatorServer(orgs, ca_dir=ca_dir) as server:

        def make(**chosen: Any) -> Site:
            hosts = [server.url(org).removeprefix("https://") for org in orgs]
            hosts += [server.instance(org).spare_url.removeprefix("https://") for org in orgs]
            settings = {
                "home": tmp_path / "home",
                "database_url": database_url,
                "encryption_keys": KEY,
                "ca_bundle": server.ca_file,
                "allowed_hosts": hosts,
                **chosen,
            }
            return Site(Runtime(Settings(**settings, _env_file=None)), server, {org.key: org for org in orgs})

        yield make


@pytest.fixture
def site(make_site: Callable[..., Site]) -> Site:
    return make_site()


def people_rows(count: int, **values: Any) -> Sequence[dict[str, Any]]:
    """Values of so many different people, good for Leads."""
    return [
        {"LastName": f"Lima {n:05d}", "Company": "Lima Lda", "Email": f"p{n}@example.org", **values}
        for n in range(count)
    ]
