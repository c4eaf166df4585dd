"""Editing what fills which person field, and how the org says yes or no to e-mail and SMS."""

from typing import Annotated

from fastapi import APIRouter, Form, HTTPException, Request
from starlette.responses import Response

from cdp.db import transaction
from cdp.fields import RULES, registered
from connector import mappings, permissions
from connector.audit import noted
from connector.dashboard.access import Here, Who
from connector.dashboard.filter_editor import fields
from connector.dashboard.pages import go_to, render
from connector.dashboard.source import Wanted, locked
from connector.errors import BadInput, ConnectorError
from connector.objects import PEOPLE
from connector.transform import PERSON_TYPES

router = APIRouter(prefix="/sources/{source_id}/mapping", include_in_schema=False)


@router.get("")
def page(request: Request, runtime: Here, source: Wanted, q: str = "") -> Response:
    """Show what is mapped, broken rows with their repair, and the permissions."""
    wanted = q.strip().lower()
    try:
        mapped = mappings.show(runtime, str(source.key))
        answers = permissions.show(runtime, str(source.key))
        problem = ""
    except ConnectorError as error:
        mapped, answers, problem = [], [], str(error)
    shown = [one for one in mapped if wanted in f"{one.object}.{one.field} {one.label} {one.to}".lower()]
    facts = {"mapped": shown, "count": len(mapped), "q": q, "answers": answers, "problem": problem}
    with transaction(runtime.database_url) as database:
        known = registered(database)
    choices = {"fields": fields(runtime, source), "person_fields": known, "rules": list(RULES), "objects": list(PEOPLE)}
    return render(request, "mapping.html", source=source, locked=locked(runtime, source), **facts, **choices)


@router.get("/confirm")
def confirm(
    request: Request, runtime: Here, source: Wanted, *, field: str, to: str = "", rule: str = "", remove: bool = False
) -> Response:
    """Say what mapping or unmapping a field will do."""
    known = {one["name"].lower(): one for one in fields(runtime, source)}
    found = known.get(field.strip().lower())
    if found is None and not remove:
        raise BadInput(f"The login sees no field '{field}': choose one of the list, such as Lead.Company.")
    kind = PERSON_TYPES.get(found["type"], "text") if found else None
    facts = {"field": found["name"] if found else field, "to": to.strip(), "rule": rule, "kind": kind}
    return render(request, "mapping_confirm.html", source=source, remove=remove, **facts)


@router.post("/add")
def add(
    runtime: Here,
    who: Who,
    source: Wanted,
    *,
    field: Annotated[str, Form()],
    to: Annotated[str, Form()],
    rule: Annotated[str, Form()] = "",
) -> Response:
    """Map a field, and go on to the backfill that fills it for the records that are there."""
    with noted(runtime.database_url, who.actor, "map", source.name, field=field, to=to, rule=rule):
        mappings.add(runtime, str(source.key), field, to, rule or None)
    return go_to(f"/sources/{source.key}/do/backfill")


@router.post("/remove")
def remove(runtime: Here, who: Who, source: Wanted, field: Annotated[str, Form()]) -> Response:
    """Unmap a field and forget what it said."""
    with noted(runtime.database_url, who.actor, "unmap", source.name, field=field):
        mappings.remove(runtime, str(source.key), field)
    return go_to(f"/sources/{source.key}/mapping")


@router.post("/permission/confirm")
async def confirm_permission(request: Request, source: Wanted) -> Response:
    """Say what another permission will do."""
    form = {name: str(value) for name, value in (await request.form()).items()}
    asked = {name: form.get(name, "").strip() for name in ("channel", "object", "field", "yes", "no")}
    return render(request, "permission_confirm.html", source=source, asked=asked)


@router.post("/permission")
def set_permission(
    runtime: Here,
    who: Who,
    source: Wanted,
    *,
    channel: Annotated[str, Form()],
    sobject: Annotated[str, Form(alias="object")],
    field: Annotated[str, Form()] = "",
    yes: Annotated[str, Form()] = "",
    no: Annotated[str, Form()] = "",
) -> Response:
    """Set the permission of one channel and object; without a field it is not asked any more."""
    if channel not in permissions.CHANNELS or sobject not in PEOPLE:
        raise HTTPException(404, "There is no such channel or object.")
    rule = {"field": field.strip(), "yes": _values(yes), "no": _values(no)} if field.strip() else None
    with noted(
        runtime.database_url, who.actor, "permission", source.name, channel=channel, object=sobject, field=field
    ):
        permissions.set_one(runtime, str(source.key), channel, sobject, rule)
    return go_to(f"/sources/{source.key}/mapping")


def _values(text: str) -> list[bool | str]:
    truths = {"true": True, "false": False}
    return [truths.get(one.lower(), one) for one in map(str.strip, text.split(",")) if one]
