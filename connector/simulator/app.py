"""The web application: finds the org by the port, applies faults, adds the org's clock, keeps the request log."""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import format_datetime
from urllib.parse import parse_qs, unquote_plus

from starlette.datastructures import MutableHeaders
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from . import authorize, bulk, control, identity, oauth, queries, replication, rest, rows, soap
from .disruption import Exchange, disrupt
from .errors import not_found
from .faults import SILENT, STATE, Fault
from .instance import Instance
from .request_log import RequestEntry
from .wire import refusal

LONGEST_URI = LARGEST_HEADERS = 16_384
CONTROL = "/_control"
LOOPBACK = ("127.0.0.1", "::1")


class Application:
    """One ASGI application for all orgs; `ports` says which org answers on which local port."""

    def __init__(self, ports: Mapping[int, Instance]) -> None:
        self._ports = ports
        # Order matters: `updated` and `deleted` are not the ids of rows.
        modules = (oauth, authorize, identity, soap, rest, replication, queries, bulk, rows)
        routes = [route for module in modules for route in module.ROUTES]
        self._org = GZipMiddleware(Router(routes, default=_nothing_here), minimum_size=500, compresslevel=1)
        self._control = Router(control.ROUTES, default=_nothing_here)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        port = scope["server"][1]
        instance = scope["instance"] = self._ports[port]
        scope["local_url"] = f"https://localhost:{port}"
        scope["path"] = scope["path"].rstrip("/") or "/"
        if scope["path"].startswith(CONTROL):
            await self._control_of(scope)(scope, receive, send)
        else:
            recorder = _Recorder(instance, scope, send)
            await self._serve(instance, scope, receive, recorder)
            recorder.no_answer()

    async def _serve(self, instance: Instance, scope: Scope, receive: Receive, recorder: _Recorder) -> None:
        too_large = _too_large(scope)
        if too_large:
            await too_large(scope, receive, recorder.send)
            return
        target = f"{scope['path']}?{unquote_plus(scope['query_string'].decode('latin-1'))}"
        fault = instance.faults.pick(scope["method"], target, instance.org.key)
        if fault is None or fault.kind in STATE:
            _apply(fault, instance, scope)
            await self._org(scope, receive, recorder.send)
        else:
            if fault.kind in SILENT:
                # Before the client can see the connection break, so that the log is never behind it.
                recorder.no_answer()
            await disrupt(fault, Exchange(self._org, scope, receive, recorder.send))

    def _control_of(self, scope: Scope) -> ASGIApp:
        client = scope["client"]
        return self._control if client and client[0] in LOOPBACK else _nothing_here


class _Recorder:
    """Sends on the messages of one answer, with the org's clock in the header, and logs the request once."""

    def __init__(self, instance: Instance, scope: Scope, send: Send) -> None:
        self._instance = instance
        self._scope = scope
        self._send = send
        self._logged = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            date = format_datetime(self._instance.org.clock.now(), usegmt=True)
            MutableHeaders(raw=message["headers"])["Date"] = date
            self._log(message["status"])
        await self._send(message)

    def no_answer(self) -> None:
        """Log a request whose answer has not begun, and will not."""
        if not self._logged:
            self._log(0)

    def _log(self, status: int) -> None:
        self._logged = True
        soql = parse_qs(self._scope["query_string"].decode("latin-1")).get("q", [""])[0]
        org = self._instance.org
        path = self._scope["path"]
        self._instance.requests.append(
            RequestEntry(org.key, self._scope["method"], path, soql, status, org.clock.now())
        )


def _too_large(scope: Scope) -> ASGIApp | None:
    if len(scope["raw_path"]) + len(scope["query_string"]) + 1 > LONGEST_URI:
        return PlainTextResponse("URI Too Long", 414)
    if sum(len(name) + len(value) + 4 for name, value in scope["headers"]) > LARGEST_HEADERS:
        return PlainTextResponse("Request Header Fields Too Large", 431)
    return None


def _apply(fault: Fault | None, instance: Instance, scope: Scope) -> None:
    """Put the faults of the org's own state into effect; the handler sees the others."""
    scope["fault"] = fault
    if fault and fault.kind == "drop_locator":
        instance.cursors.drop_all()
    if fault and fault.kind == "expire_session":
        token = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1").partition(" ")[2]
        instance.tokens.revoke(token)


async def _nothing_here(scope: Scope, receive: Receive, send: Send) -> None:
    await refusal(not_found())(scope, receive, send)
