"""People: finding one, its profile with the why of each value, its records, and what was decided about it."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Form, HTTPException, Query, Request
from sqlmodel import Session
from starlette.responses import Response

from cdp import queries
from cdp.db import transaction
from connector import deciding, tracing
from connector.audit import noted
from connector.dashboard.access import Here, InPath, Who
from connector.dashboard.pages import go_to, is_part, render
from connector.errors import BadInput
from connector.soql import RECORD_ID

router = APIRouter(include_in_schema=False)
AT_ONCE, TIMELINE = 20, 50
Records = Annotated[list[UUID] | None, Query()]


@router.get("/people")
def search(request: Request, runtime: Here, q: str = "") -> Response:
    """Find people by email, name, id or Salesforce id; a record that is part of nobody is traced."""
    wanted = q.strip()[:200]
    found, fates = [], []
    with transaction(runtime.database_url) as database:
        if wanted:
            found = queries.search_people(database, tracing.full_id(wanted), AT_ONCE)
        if RECORD_ID.fullmatch(wanted):
            fates = tracing.trace(database, wanted, runtime.identity.max_records_per_key)
    facts = {"q": wanted, "found": found, "fates": fates, "at_once": AT_ONCE}
    return render(request, "found.html" if is_part(request) else "people.html", **facts)


@router.get("/people/{person_id}")
def profile(request: Request, runtime: Here, person_id: UUID) -> Response:
    """Show one person; an id that was another person's leads to whoever holds that record now."""
    with transaction(runtime.database_url) as database:
        now = _present(database, person_id)
        if now != person_id:
            return go_to(f"/people/{now}")
        facts = {
            "person": queries.person(database, person_id),
            "records": queries.standings(database, queries.find_records(database, str(person_id))),
            "bonds": queries.bonds(database, person_id),
            "timeline": queries.timeline(database, person_id, TIMELINE),
        }
    return render(request, "person.html", **facts)


def _present(database: Session, person_id: UUID) -> UUID:
    found = queries.resolve_person(database, str(person_id))
    if not found:
        raise HTTPException(404, "Nobody is known by that id.")
    return found[0]


@router.get("/people/{person_id}/why")
def why(request: Request, runtime: Here, person_id: UUID) -> Response:
    """Tell for each value the record it came from, the rule, and why the others lost."""
    with transaction(runtime.database_url) as database:
        verdicts = queries.why(database, _present(database, person_id))
    return render(request, "why.html", verdicts=verdicts)


@router.get("/people/{person_id}/split")
def confirm_split(
    request: Request, runtime: Here, person_id: UUID, record: Records = None, reason: str = ""
) -> Response:
    """Say what parting these records will do."""
    with transaction(runtime.database_url) as database:
        records = _named(database, record or ())
        theirs = {one["handle"] for one in records if one["person_id"] == _present(database, person_id)}
    if theirs != set(record or ()):
        raise HTTPException(404, "Not all of these records are this person's now: go back and choose again.")
    return render(request, "decide.html", kind="split", person_id=person_id, records=records, reason=reason)


@router.get("/people/{person_id}/join")
def confirm_join(request: Request, runtime: Here, person_id: UUID, other: str = "", reason: str = "") -> Response:
    """Say what making one person of these two will do."""
    with transaction(runtime.database_url) as database:
        one = queries.find_records(database, str(person_id))[:1]
        theirs = queries.find_records(database, tracing.full_id(other.strip()))
        if not theirs:
            raise BadInput(f"No record is known by '{other}': try an email, a person id or a Salesforce record id.")
        reasons = queries.why_not(database, one, theirs[:1])
        records = _named(database, [*one, *theirs[:1]])
    facts = {"records": records, "reason": reason, "why_not": reasons}
    return render(request, "decide.html", kind="join", person_id=person_id, **facts)


def _named(database: Session, handles: Sequence[UUID]) -> list[queries.Row]:
    if not handles:
        raise BadInput("Choose at least one record.")
    return queries.standings(database, handles)


@router.post("/people/{person_id}/decide")
def decide(
    runtime: Here,
    who: Who,
    person_id: UUID,
    *,
    kind: Annotated[str, Form()],
    record: Annotated[list[UUID], Form()],
    reason: Annotated[str, Form()] = "",
) -> Response:
    """Split or join, and go to the person that holds the first record then."""
    if kind not in ("split", "join"):
        raise BadInput("A decision splits or joins: choose one of them on the person's page.")
    taken = deciding.split if kind == "split" else deciding.join
    with noted(runtime.database_url, who.actor, kind, str(person_id), records=list(map(str, record))):
        taken(runtime, record, reason)
    return go_to(f"/people/{record[0]}")


@router.get("/decisions")
def decisions(request: Request, runtime: Here) -> Response:
    """List what was decided about people."""
    with transaction(runtime.database_url) as database:
        found = queries.decisions(database)
    return render(request, "decisions.html", decisions=found)


@router.post("/decisions/{number}/undo")
def undo(runtime: Here, who: Who, number: InPath) -> Response:
    """Take a decision back."""
    with noted(runtime.database_url, who.actor, "undo decision", str(number)):
        deciding.undo(runtime, number)
    return go_to("/decisions")
