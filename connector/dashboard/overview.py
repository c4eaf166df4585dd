"""The first page: every source at a glance, the people they make together, and the last days."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from cdp import queries
from cdp.db import transaction
from connector import reports
from connector.dashboard.access import Here
from connector.dashboard.charts import chart
from connector.dashboard.pages import render
from connector.runtime import Runtime

router = APIRouter(include_in_schema=False)
CHARTS = (("Rows read", "read"), ("Rows changed", "written"), ("People merged", "merged"))


@router.get("/")
def overview(request: Request, runtime: Here) -> Response:
    """Show how everything stands."""
    return render(request, "overview.html", **_days(request, runtime), **_live(request, runtime))


@router.get("/overview/days")
def days(request: Request, runtime: Here) -> Response:
    """Show the charts, once activities have been counted."""
    return render(request, "overview_days.html", **_days(request, runtime))


def _days(request: Request, runtime: Runtime) -> dict[str, Any]:
    with transaction(runtime.database_url) as database:
        days = queries.days(database)
    charts = [chart(name, days, column) for name, column in CHARTS]
    counted = request.app.state.counter.latest()
    if counted is not None:
        charts.append(chart("Activities", counted.days, "activities"))
    return {"charts": charts, "complete": counted is not None}


@router.get("/overview/live")
def live(request: Request, runtime: Here) -> Response:
    """Show the part of the page that changes by itself."""
    return render(request, "overview_live.html", **_live(request, runtime))


def _live(request: Request, runtime: Runtime) -> dict[str, Any]:
    with transaction(runtime.database_url) as database:
        sources = reports.sources(database, runtime.settings)
    return {"sources": sources, "figures": request.app.state.counter.latest()}
