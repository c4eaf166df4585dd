"""One source: its progress, objects, runs, log and health, and the actions an admin can take."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, HTTPException, Query, Request
from starlette.responses import Response

from cdp import queries
from cdp.db import transaction
from cdp.models import Source
from connector import backfilling, choosing, lifecycle, reports
from connector.dashboard.access import Here, InPath, Who
from connector.dashboard.actions import ACTIONS, perform, possible, refusal
from connector.dashboard.pages import go_to, is_part, render
from connector.errors import Refused
from connector.health import health
from connector.health.asked import asked
from connector.runtime import Runtime

router = APIRouter(prefix="/sources/{source_id}", include_in_schema=False)
RUNS, LOGGED = 20, 20


def wanted(runtime: Here, source_id: InPath) -> Source:
    """Return the source that a path names; 404 when there is none."""
    with transaction(runtime.database_url) as database:
        found = database.get(Source, source_id)
    if found is None:
        raise HTTPException(404, "There is no such data source: it may have been deleted.")
    return found


Wanted = Annotated[Source, Depends(wanted)]


@router.get("")
def page(request: Request, runtime: Here, source: Wanted, done: str = "") -> Response:
    """Show a source; `done` names the action that led here."""
    said = ACTIONS[done].done if done in ACTIONS else ""
    with transaction(runtime.database_url) as database:
        facts = {
            "log": queries.log(database, source.key, LOGGED),
            "calls": queries.calls_by_kind(database, source.key),
        }
    return render(request, "source.html", source=source, said=said, **facts, **_live(request, runtime, source))


@router.get("/live")
def live(request: Request, runtime: Here, source: Wanted) -> Response:
    """Show the part of the page that changes by itself."""
    return render(request, "source_live.html", source=source, **_live(request, runtime, source))


def _live(request: Request, runtime: Runtime, source: Source) -> dict[str, Any]:
    with transaction(runtime.database_url) as database:
        standing = next(one for one in reports.sources(database, runtime.settings) if one["source_id"] == source.key)
        runs = queries.runs(database, source.key, RUNS)
        objects = queries.objects(database, source.key)
    return {
        "standing": standing,
        "runs": runs,
        "objects": objects,
        "open_runs": [run for run in runs if run["state"] in ("queued", "running", "waiting")],
        "actions": possible(source),
        "is_part": is_part(request),
    }


@router.get("/health")
def checks(request: Request, runtime: Here, source: Wanted, of: str = "") -> Response:
    """Check the source now, which asks its org too; or only what the org tells `of` the login."""
    findings = asked(runtime, source) if of == "login" else health(runtime, source.key)
    return render(request, "health.html", source=source, findings=findings)


@router.get("/lock")
def lock(runtime: Here, source: Wanted) -> Response:
    """Have an editor that is locked loaded anew once it can be used; until then say nothing."""
    return Response(status_code=204, headers=None if locked(runtime, source) else {"HX-Refresh": "true"})


def locked(runtime: Runtime, source: Source) -> str:
    """Return why a source cannot be changed now, or nothing."""
    try:
        with transaction(runtime.database_url) as database:
            choosing.check_editable(database, source)
    except Refused as error:
        return str(error)
    return ""


@router.get("/quarantine")
def quarantine(request: Request, runtime: Here, source: Wanted) -> Response:
    """Show which rows could not be stored, and why."""
    with transaction(runtime.database_url) as database:
        rows = queries.quarantined(database, source.key)
    return render(request, "quarantine.html", source=source, rows=rows)


@router.get("/backfill/estimate")
def estimate(
    request: Request, runtime: Here, source: Wanted, field: Annotated[list[str] | None, Query()] = None
) -> Response:
    """Say what a backfill of these fields would cost; asks the org to count."""
    chosen = backfilling.chosen(",".join(field or ()), source.mapping)
    return render(request, "estimate.html", estimates=backfilling.estimate(runtime, source, chosen))


@router.get("/do/{action}")
def confirm(request: Request, runtime: Here, source: Wanted, action: str) -> Response:
    """Say what an action will do, before it is done."""
    if action not in ACTIONS:
        raise HTTPException(404, "There is no such action.")
    lost = lifecycle.consequences(runtime, str(source.key))[1] if action == "delete" else None
    facts = {"action": ACTIONS[action], "refused": refusal(source, action), "lost": lost}
    return render(request, "confirm.html", source=source, name=action, **facts)


@router.post("/do/{action}")
def act(
    runtime: Here,
    who: Who,
    source: Wanted,
    action: str,
    *,
    field: Annotated[list[str] | None, Form()] = None,
    name: Annotated[str, Form()] = "",
) -> Response:
    """Carry an action out."""
    if action not in ACTIONS:
        raise HTTPException(404, "There is no such action.")
    perform(runtime, who.actor, source, action, {"fields": ",".join(field or ()), "name": name})
    return go_to("/" if action == "delete" else f"/sources/{source.key}?done={action}")
