"""The dashboard as it is served, and browsers without scripts to look at it with."""

import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests
import uvicorn

from connector import accounts
from connector.dashboard import create_app
from connector.runtime import Runtime
from connector.settings import Settings
from tests.choosing.conftest import peopled
from tests.connector.conftest import Site, _no_pauses, ca_dir, make_site, site

__all__ = ["_no_pauses", "ca_dir", "make_site", "peopled", "site"]
PASSWORD = "correct horse battery"
CSRF = re.compile(r'name="csrf" value="([^"]*)"')


@dataclass
class Browser:
    """One browser: keeps cookies, follows no redirect, fills in the CSRF token of the page it looked at last."""

    url: str
    http: requests.Session = field(default_factory=requests.Session)
    csrf: str = ""

    def get(self, path: str, **options: Any) -> requests.Response:
        answer = self.http.get(self.url + path, allow_redirects=False, timeout=60, **options)
        if found := CSRF.search(answer.text):
            self.csrf = found[1]
        return answer

    def post(self, path: str, **form: Any) -> requests.Response:
        data = {"csrf": self.csrf} | form
        return self.http.post(self.url + path, data=data, allow_redirects=False, timeout=60)

    def sign_in(self, name: str, password: str = PASSWORD) -> requests.Response:
        self.get("/login")
        answer = self.post("/login", name=name, password=password)
        self.get("/")
        return answer


@contextmanager
def served(runtime: Runtime) -> Iterator[str]:
    """Serve the dashboard on a free port of this machine; yields its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(create_app(runtime), log_level="warning", lifespan="off", timeout_graceful_shutdown=2)
    )
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    try:
        yield f"http://localhost:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


Open = Callable[..., Browser]


@pytest.fixture
def address(site: Site) -> Iterator[str]:
    """Where the dashboard of the test's installation is."""
    with served(site.runtime) as url:
        yield url


@pytest.fixture
def visit(site: Site, address: str) -> Open:
    """Open a browser, signed in with a role if one is given."""

    def opened(role: str = "") -> Browser:
        browser = Browser(address)
        if role:
            accounts.add(site.url, role, role, PASSWORD)
            assert browser.sign_in(role).status_code == 303
        return browser

    return opened


@pytest.fixture
def bare(database_url: str) -> Runtime:
    """An installation with a database and nothing else."""
    return Runtime(Settings(database_url=database_url, _env_file=None))
