"""The first page: every source at a glance, and the people they make together."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from connector.dashboard.pages import render

router = APIRouter(include_in_schema=False)


@router.get("/")
def overview(request: Request) -> Response:
    """Show how everything stands."""
    return render(request, "overview.html")
