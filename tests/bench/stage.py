"""What the benchmark plays on: an org served by a process of its own, and an embedded PostgreSQL."""

import compileall
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from rich.console import Console
from sqlalchemy import make_url

from cdp.db import engine
from connector import embedded
from connector.client import API_VERSION
from connector.http import Session
from connector.http import session as http_session
from connector.simulator.control_client import ControlClient

STOP_LIMIT = 10.0


@dataclass(frozen=True)
class Org:
    """A simulated org in another process: its address, the authority to trust, and its scripting interface."""

    url: str
    ca_file: Path
    credentials: Path
    control: ControlClient

    @cached_property
    def session(self) -> dict[str, str]:
        """An `access_token` and the `instance_url` it is good for."""
        return self.control.credentials("access_token")

    @cached_property
    def http(self) -> Session:
        """A signed-in session with the settings of ours."""
        made = http_session(self.ca_file)
        made.headers["Authorization"] = "Bearer " + self.session["access_token"]
        return made

    @property
    def data_url(self) -> str:
        """Where the resources of the REST API are, with a slash at the end."""
        return f"{self.session['instance_url']}/services/data/v{API_VERSION}/"

    def describe(self, sobject: str) -> dict[str, Any]:
        """Describe an object."""
        described: dict[str, Any] = self.http.get(f"{self.data_url}sobjects/{sobject}/describe").json()
        return described


@dataclass(frozen=True)
class Stage:
    """A folder for files, the org, and the database server."""

    folder: Path
    org: Org
    server_url: str

    @contextmanager
    def database(self, name: str) -> Iterator[str]:
        """Make an empty database, and drop it at the end."""
        url = make_url(self.server_url).set(database=name).render_as_string(hide_password=False)
        with psycopg.connect(self.server_url, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            try:
                yield url
            finally:
                engine(url).dispose()
                connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def settings(self, database_url: str) -> Mapping[str, str]:
        """Return the environment variables by which our command finds the org and a database."""
        return {
            "CONNECTOR_HOME": str(self.folder / "home"),
            "CONNECTOR_DATABASE_URL": database_url,
            "CONNECTOR_CA_BUNDLE": str(self.org.ca_file),
            "CONNECTOR_ALLOWED_HOSTS": self.org.url.removeprefix("https://"),
            "CONNECTOR_LOG_LEVEL": "WARNING",
        }

    def environment(self, database_url: str) -> dict[str, str]:
        """Return the environment for a command of ours: the user's, without the user's installation."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("CONNECTOR_")}
        return {**own, **self.settings(database_url)}


@contextmanager
def shown(console: Console) -> Iterator[Callable[[str], None]]:
    """Compile our modules, as pip leaves an installed package, and yield a function that shows what is being done."""
    for package in ("connector", "cdp"):
        compileall.compile_dir(package, quiet=1)
    with console.status("") as status:

        def step(what: str) -> None:
            status.update(f"{what} …")
            console.print(f"[dim]{what}[/dim]")

        yield step


@contextmanager
def stage(folder: Path, **rows: int) -> Iterator[Stage]:
    """Start the simulator and PostgreSQL, and stop the simulator at the end; PostgreSQL goes with this process.

    `rows` are the numbers of `leads`, `contacts`, `campaigns` of a hundred members each, and `opportunities`.
    """
    with ExitStack() as stack:
        org = stack.enter_context(_served(folder / "simulator"))
        org.control.populate(**{"campaigns": 0, "opportunities": 0} | rows, seed=1, shared_people=1)
        server_url = embedded.services(folder / "home", redis=False).database_url
        yield Stage(folder, org, server_url)


@contextmanager
def _served(folder: Path) -> Iterator[Org]:
    command = [sys.executable, "-m", "connector.simulator", "--orgs", "bench", "--dir", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise SystemExit("The simulator did not start: its own message says why.")
        told = json.loads(line)
        ca_file = Path(told["ca_file"])
        yield Org(told["url"], ca_file, Path(told["credentials"]), ControlClient(told["url"], ca_file))
    finally:
        process.terminate()
        try:
            process.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
