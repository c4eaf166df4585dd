"""The JSON API: the same numbers, people and actions as the pages, for programs with a token."""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, HTTPException, Path, Query, Request
from fastapi.encoders import jsonable_encoder
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from cdp import queries
from cdp.db import transaction
from connector import reports, tracing
from connector.dashboard.access import Here, Who
from connector.dashboard.actions import perform
from connector.dashboard.source import Wanted

REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": words,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for status, words in {
        400: "What was asked cannot be used.",
        401: "There is no token, or nobody has it.",
        403: "The token's account may not do this.",
        404: "There is no such thing.",
        409: "The present state does not allow this.",
        422: "A parameter is not of its type.",
    }.items()
}
router = APIRouter(prefix="/api", responses=REFUSALS)
Limit = Annotated[int, Query(ge=1, le=1000, description="How many at most.")]
Text = Annotated[str, Query(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]


class Problem(BaseModel):
    """What went wrong, in a sentence that says what to do."""

    detail: str


class Asked(BaseModel):
    """An action that was carried out, or queued for a worker."""

    source: str
    action: str


class Standing(BaseModel):
    """How one source stands."""

    source_id: int
    name: str
    org_id: str
    state: str
    updating: bool
    waits_until: str | None
    attention: dict[str, Any] | None
    freshness: dict[str, Any]
    schedule: dict[str, Any]
    today: dict[str, int]
    findings: int
    quarantined: int
    api: dict[str, Any]


def _json(value: object) -> JSONResponse:
    return JSONResponse(jsonable_encoder(value))


@router.get("/sources", response_model=list[Standing])
def sources(runtime: Here) -> JSONResponse:
    """How each source stands."""
    with transaction(runtime.database_url) as database:
        return _json(reports.sources(database, runtime.settings))


@router.get("/status")
def status(runtime: Here) -> JSONResponse:
    """The document of `connector status --json`: sources with objects and runs, and totals. Counts everything."""
    with transaction(runtime.database_url) as database:
        return _json(reports.status(database, runtime.settings))


@router.get("/days")
def days(runtime: Here, count: Annotated[int, Query(ge=1, le=90)] = 14) -> JSONResponse:
    """Rows read, rows written and people merged on each of the last days."""
    with transaction(runtime.database_url) as database:
        return _json(queries.days(database, count))


@router.get("/sources/{source_id}/runs")
def runs(runtime: Here, source: Wanted, limit: Limit = 20) -> JSONResponse:
    """The latest runs of a source, newest first."""
    with transaction(runtime.database_url) as database:
        return _json(queries.runs(database, source.key, limit))


@router.get("/sources/{source_id}/log")
def log(runtime: Here, source: Wanted, limit: Limit = 20) -> JSONResponse:
    """What the latest runs of a source did, newest first."""
    with transaction(runtime.database_url) as database:
        return _json(queries.log(database, source.key, limit))


@router.get("/sources/{source_id}/quarantine")
def quarantine(runtime: Here, source: Wanted, limit: Limit = 100) -> JSONResponse:
    """Rows of a source that could not be stored."""
    with transaction(runtime.database_url) as database:
        return _json(queries.quarantined(database, source.key, limit))


@router.post("/sources/{source_id}/{action}", response_model=Asked)
def act(
    runtime: Here,
    who: Who,
    source: Wanted,
    action: Annotated[Literal["sync", "resync", "sweep", "pause", "resume"], Path()],
) -> Asked:
    """Sync, resync or sweep a source, or pause and resume it."""
    perform(runtime, who.actor, source, action, {})
    return Asked(source=source.name, action=action)


@router.get("/people")
def people(runtime: Here, q: Text, limit: Annotated[int, Query(ge=1, le=100)] = 20) -> JSONResponse:
    """People by email, person id, record id, or the beginnings of their names."""
    with transaction(runtime.database_url) as database:
        return _json(queries.search_people(database, tracing.full_id(q), limit))


@router.get("/people/{person_id}")
def person(runtime: Here, person_id: UUID, *, why: bool = False) -> JSONResponse:
    """One profile, with `why` also the reasons of its values. An old id leads to whoever holds its record now."""
    with transaction(runtime.database_url) as database:
        found = queries.resolve_person(database, str(person_id))
        if not found:
            raise HTTPException(404, "Nobody is known by that id.")
        profile = queries.person(database, found[0])
        if why:
            profile |= {"why": queries.why(database, found[0]), "bonds": queries.bonds(database, found[0])}
    return _json(profile)


@router.get("/trace/{record_id}")
def trace(runtime: Here, record_id: Annotated[str, Path(max_length=60, pattern=r"^\w+$")]) -> JSONResponse:
    """What became of one Salesforce record."""
    with transaction(runtime.database_url) as database:
        return _json(tracing.trace(database, record_id, runtime.identity.max_records_per_key))


@router.get("/openapi.json", include_in_schema=False)
def openapi(request: Request) -> JSONResponse:
    """Describe this API."""
    app = request.app
    described = get_openapi(title="Connector", version=app.version, description=app.description, routes=app.routes)
    parts = described.setdefault("components", {})
    parts.setdefault("schemas", {})["Problem"] = Problem.model_json_schema()
    parts["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    described["security"] = [{"token": []}]
    return JSONResponse(described)
