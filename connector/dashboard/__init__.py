"""The status page: numbers of the named queries, rendered on the server; no personal data, and it changes nothing."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from fastapi import Depends, FastAPI, Request
from fastapi.responses import HTMLResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles
from fastapi.templating import Jinja2Templates
from sqlmodel import Session
from starlette.responses import Response

from cdp import queries
from cdp.db import transaction
from cdp.errors import CdpError
from connector import reports
from connector.runtime import Runtime

HERE = Path(__file__).parent
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
templates = Jinja2Templates(HERE / "templates")


def create_app(runtime: Runtime) -> FastAPI:
    """Return the pages of one installation."""
    app = FastAPI(title="connector", docs_url=None, redoc_url=None, openapi_url=None)
    app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")

    def session() -> Iterator[Session]:
        with transaction(runtime.database_url) as opened:
            yield opened

    @app.middleware("http")
    async def harden(request: Request, call_next):  # type: ignore[no-untyped-def]  # noqa: ANN202, ANN001 - Starlette's
        response: Response = await call_next(request)
        response.headers.update(SECURITY_HEADERS)
        return response

    @app.exception_handler(CdpError)
    async def explain(_request: Request, error: CdpError) -> PlainTextResponse:
        return PlainTextResponse(str(error), status_code=503)

    @app.get("/live", response_class=PlainTextResponse)
    def live() -> str:
        return "ok"

    @app.get("/", response_class=HTMLResponse)
    def overview(request: Request, database: Annotated[Session, Depends(session)]) -> Response:
        facts = {
            "status": reports.status(database, runtime.settings.api_share),
            "folding": queries.people_by_source(database),
        }
        return templates.TemplateResponse(request, "overview.html", facts)

    return app
