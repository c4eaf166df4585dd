"""The web application: its routes behind one guard, its headers, and its errors in words."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from urllib.parse import urlsplit

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import Response

from cdp.errors import CdpError, DatabaseUnavailable, NotDecidable, NotMigrated
from connector.dashboard import api, connecting, filter_editor, login, mapping_editor, overview, people, source, trail
from connector.dashboard.access import READING, Denied, Visitor, guard, to_login
from connector.dashboard.figures import Counter
from connector.dashboard.pages import HERE, is_part, render
from connector.errors import BadInput, ConnectorError, NeedsAttention, Refused, WaitingForQuota
from connector.runtime import Runtime

LOOPBACK = ["localhost", "127.0.0.1", "[::1]"]
LARGEST_BODY = 1 << 20
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; object-src 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}
STATUS: dict[type[Exception], int] = {
    BadInput: 400,
    Refused: 409,
    NeedsAttention: 409,
    WaitingForQuota: 409,
    NotDecidable: 409,
    DatabaseUnavailable: 503,
    NotMigrated: 503,
}


def create_app(runtime: Runtime) -> FastAPI:
    """Return the pages and the JSON API of one installation."""
    app = FastAPI(
        title="Connector",
        description="Numbers, people and actions of one installation.",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        dependencies=[Depends(guard)],
    )
    app.state.runtime = runtime
    app.state.counter = Counter(runtime.database_url)
    app.middleware("http")(_harden)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=_hosts(runtime), www_redirect=False)
    app.mount("/static/htmx", StaticFiles(packages=[("js_lib_htmx", "static/htmx")]), name="htmx")
    app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")
    for room in (login, overview, source, filter_editor, mapping_editor, people, connecting, trail, api):
        app.include_router(room.router)
    app.add_api_route("/healthz", _alive, response_class=PlainTextResponse, include_in_schema=False)
    for kind in (Denied, ConnectorError, CdpError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, _explain)
    return app


def _alive() -> str:
    return "ok"


def _hosts(runtime: Runtime) -> list[str]:
    """The names this dashboard answers to, so that no foreign name can be made to point at it."""
    outside = runtime.settings.dashboard_url
    return [*LOOPBACK, urlsplit(outside).hostname or ""] if outside else LOOPBACK


async def _harden(request: Request, go_on: Callable[[Request], Awaitable[Response]]) -> Response:
    response = await go_on(request) if _is_bounded(request) else PlainTextResponse("That is too much.", 413)
    response.headers.update(HEADERS)
    is_static = request.url.path.startswith("/static/")
    response.headers["Cache-Control"] = "max-age=3600" if is_static else "no-store"
    return response


def _is_bounded(request: Request) -> bool:
    """Tell whether a request says that its body is no larger than forms are; one of unknown size is not read."""
    size = request.headers.get("Content-Length", "0")
    return "Transfer-Encoding" not in request.headers and size.isdigit() and int(size) <= LARGEST_BODY


async def _explain(request: Request, error: Exception) -> Response:
    """Say what went wrong as JSON, as a part of a page, or as a page; whoever must sign in first is sent there."""
    status, words = _said(error)
    if request.url.path.startswith("/api/"):
        headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
        return JSONResponse({"detail": words}, status, headers)
    if status == 401:
        if request.method in READING and not is_part(request):
            return to_login(request)
        return PlainTextResponse(words, 401, {"HX-Redirect": "/login"})
    if not hasattr(request.state, "visitor"):
        request.state.visitor = Visitor("", "", "dashboard")
    name = "problem_part.html" if is_part(request) else "problem.html"
    return render(request, name, status, problem=words, status_code=status)


def _said(error: Exception) -> tuple[int, str]:
    if isinstance(error, Denied):
        return error.status, str(error)
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        return 422, f"{'.'.join(map(str, first['loc'][1:]))}: {first['msg']}."
    if isinstance(error, HTTPException):
        known = {404: "There is no such page.", 405: "This page cannot be used that way."}
        is_plain = error.detail == HTTPStatus(error.status_code).phrase
        return error.status_code, known.get(error.status_code, error.detail) if is_plain else error.detail
    status = next((code for kind, code in STATUS.items() if isinstance(error, kind)), 502)
    return status, str(error)
