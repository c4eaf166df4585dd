"""Editing a filter: groups and conditions, counts while one edits, and what it will do before it is put in force."""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.concurrency import run_in_threadpool
from starlette.responses import Response

from cdp.db import transaction
from cdp.models import Source
from connector import choosing, filters
from connector.audit import noted
from connector.dashboard import drafts
from connector.dashboard.access import Here, Who
from connector.dashboard.pages import go_to, is_part, render
from connector.dashboard.source import Wanted, locked
from connector.errors import ConnectorError, ObjectUnavailable
from connector.objects import PEOPLE
from connector.preview import preview
from connector.runtime import Runtime

router = APIRouter(prefix="/sources/{source_id}/filter", include_in_schema=False)


@router.get("")
def page(request: Request, runtime: Here, source: Wanted) -> Response:
    """Show the filter in force and its versions, to edit where that is possible."""
    with transaction(runtime.database_url) as database:
        versions = choosing.versions(database, source.key)
    draft = drafts.from_tree(versions[0].tree if versions else None)
    facts = {"versions": versions, "locked": locked(runtime, source), "fields": fields(runtime, source)}
    return _show(request, source, draft, **facts)


def fields(runtime: Runtime, source: Source) -> list[dict[str, Any]]:
    """Return the fields that the login sees, as Object.Field with label and type; none when the org does not answer."""
    found = []
    try:
        known = choosing.describes(runtime, source)
        for sobject in PEOPLE:
            columns = known.columns(sobject).values()
            found += [{"name": f"{sobject}.{one.path}", "label": one.label, "type": one.type} for one in columns]
    except ObjectUnavailable:
        return found
    except ConnectorError:
        return []
    return found


def _show(request: Request, source: Source, draft: drafts.Draft, **facts: object) -> Response:
    known = {"groups": drafts.GROUPS, "operators": drafts.operators(), "root": drafts.ROOT, **facts}
    name = "filter_form.html" if is_part(request) else "filter.html"
    return render(request, name, source=source, draft=draft, **known)


@router.post("/edit")
async def edit(request: Request, source: Wanted) -> Response:
    """Add or remove a condition or a group, and show the form again; nothing is stored."""
    form = {name: str(value) for name, value in (await request.form()).items()}
    draft = drafts.change(drafts.from_form(form), form.get("do", ""))
    return _show(request, source, draft, versions=[], locked="", fields=[])


@router.post("/preview")
async def counts(request: Request, runtime: Here, source: Wanted) -> Response:
    """Count what the filter in the form would let in and take out; writes nothing."""
    return await _previewed(request, runtime, source, "filter_counts.html")


@router.post("/confirm")
async def confirm(request: Request, runtime: Here, source: Wanted) -> Response:
    """Say what putting the filter in force will do."""
    return await _previewed(request, runtime, source, "filter_confirm.html")


async def _previewed(request: Request, runtime: Runtime, source: Source, template: str) -> Response:
    form = {name: str(value) for name, value in (await request.form()).items()}
    return await run_in_threadpool(_preview, request, runtime, source, drafts.from_form(form), template)


def _preview(request: Request, runtime: Runtime, source: Source, draft: drafts.Draft, template: str) -> Response:
    tree = drafts.to_tree(draft, choosing.describes(runtime, source))
    found = preview(runtime, str(source.key), filters.read(tree))
    document = json.dumps(tree, indent=2, ensure_ascii=False)
    return render(request, template, source=source, found=found, tree=json.dumps(tree), document=document)


@router.post("")
def put_in_force(runtime: Here, who: Who, source: Wanted, tree: Annotated[str, Form()]) -> Response:
    """Put a filter in force as a new version."""
    with noted(runtime.database_url, who.actor, "filter", source.name, tree=tree[:2000]):
        choosing.set_filter(runtime, str(source.key), filters.parse(tree), who.name)
    return go_to(f"/sources/{source.key}/filter")
