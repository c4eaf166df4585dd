"""The simulator as a server: one process, several orgs, one TLS port for each."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from .app import Application
from .credentials import credentials
from .faults import FaultRules
from .instance import Instance
from .org import Org
from .request_log import RequestLog
from .tls import certificates

ADDRESS = "127.0.0.1"
LONGEST_HEAD = 1 << 20
SECONDS_TO_START = 10.0


class _Protocol(H11Protocol):
    """HTTP/1.1 that lets the application reach its connection, so that faults can break it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  (uvicorn's own signature)
        super().__init__(*args, **kwargs)
        self.app = self._with_transport(self.app)

    def _with_transport(self, app: ASGIApp) -> Any:  # noqa: ANN401  (uvicorn and starlette name the same type differently)
        async def connected(scope: Scope, receive: Receive, send: Send) -> None:
            scope["transport"] = self.transport
            await app(scope, receive, send)

        return connected


class _Server(uvicorn.Server):
    """Ends at once: whoever still waits for an answer is cut off."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await super().shutdown(sockets)


class SimulatorServer:
    """Serves `orgs` on 127.0.0.1 with TLS, the first on `port`, the others on the ports after it.

    Port 0 takes any free ones. A context manager; `start` returns when the server answers. `ca_dir` receives the
    authority that clients must trust (`ca_file`).
    """

    def __init__(self, orgs: Sequence[Org], *, port: int = 0, ca_dir: Path) -> None:
        files = certificates(ca_dir)
        self.ca_file = files.ca_file
        self.faults = FaultRules()
        self.requests = RequestLog()
        self._sockets: list[socket.socket] = []
        self._instances: dict[str, Instance] = {}
        application = Application(self._bind(orgs, port))
        self._server = _Server(_config(application, str(files.server_file)))
        self._thread = threading.Thread(target=self._server.run, args=(self._sockets,), daemon=True, name="simulator")

    def start(self) -> None:
        """Serve in a thread. Raises TimeoutError if that does not succeed."""
        self._thread.start()
        deadline = time.monotonic() + SECONDS_TO_START
        while not self._server.started:
            if time.monotonic() > deadline or not self._thread.is_alive():
                raise TimeoutError("the simulator did not start")
            time.sleep(0.01)

    def stop(self) -> None:
        """End all connections and the server, within a second."""
        self._server.should_exit = self._server.force_exit = True
        if self._thread.is_alive():
            self._thread.join()
        for each in self._sockets:
            each.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def instance(self, org: Org) -> Instance:
        """The served side of an org: settings, users, sessions, jobs."""
        return self._instances[org.key]

    def url(self, org: Org) -> str:
        """Where an org logs in and, unless it was moved, lives: `https://localhost:PORT`."""
        return self.instance(org).login_url

    def credentials(self, org: Org, flow: str = "client_credentials", username: str | None = None) -> dict[str, str]:
        """The contents of a credentials file for an OAuth `flow`, for the integration user or another one."""
        return credentials(self.instance(org), flow, username)

    def expire_sessions(self, org: Org) -> None:
        """End every session of an org; refresh tokens still work."""
        self.instance(org).tokens.expire_sessions()

    def revoke(self, org: Org) -> None:
        """End every session and every approval of an org."""
        self.instance(org).tokens.revoke_all()

    def _bind(self, orgs: Sequence[Org], port: int) -> Mapping[int, Instance]:
        ports: dict[int, Instance] = {}
        for number, org in enumerate(orgs):
            home, spare = self._listen(port + number if port else 0), self._listen(0)
            urls = (f"https://localhost:{home}", f"https://localhost:{spare}")
            instance = Instance(org, *urls, self.faults, self.requests)
            ports[home] = ports[spare] = self._instances[org.key] = instance
        return ports

    def _listen(self, port: int) -> int:
        # The event loop turns off the delay of small packets only where the protocol is named.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((ADDRESS, port))
        self._sockets.append(listener)
        return int(listener.getsockname()[1])


def _config(application: Application, server_file: str) -> uvicorn.Config:
    return uvicorn.Config(
        application,
        http=_Protocol,
        ws="none",
        lifespan="off",
        loop="asyncio",
        log_config=None,
        log_level="error",
        access_log=False,
        date_header=False,
        server_header=False,
        timeout_keep_alive=60,
        h11_max_incomplete_event_size=LONGEST_HEAD,
        ssl_certfile=server_file,
        ssl_keyfile=server_file,
    )
