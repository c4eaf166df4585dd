"""The audit log as a page."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from cdp import queries
from cdp.db import transaction
from connector.dashboard.access import Here, InQuery
from connector.dashboard.pages import render

router = APIRouter(include_in_schema=False)
AT_ONCE = 100


@router.get("/audit")
def audit(request: Request, runtime: Here, before: InQuery = None) -> Response:
    """Show who changed what, newest first, and who may sign in."""
    with transaction(runtime.database_url) as database:
        entries = queries.audit(database, AT_ONCE, before)
        accounts = queries.accounts(database)
    older = entries[-1]["entry_id"] if len(entries) == AT_ONCE else None
    return render(request, "audit.html", entries=entries, accounts=accounts, older=older)
