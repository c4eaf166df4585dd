"""Connecting an org from the page: the browser goes to Salesforce with PKCE and comes back to the dashboard."""

import secrets
from typing import Annotated, Any

from fastapi import APIRouter, Form, HTTPException, Request
from pydantic import SecretStr
from starlette.responses import Response

from cdp.db import LARGEST_ID, transaction
from cdp.models import Source
from connector import lifecycle, runs, sources, states
from connector.audit import noted
from connector.auth.refusals import refusal
from connector.dashboard import pending
from connector.dashboard.access import Here, InPath, InQuery, Who, cookie_name, origin
from connector.dashboard.pages import go_to, render
from connector.hosts import check_url
from connector.http import session as http_session
from connector.runtime import Runtime
from connector.weblogin import authorize_url, redeem

router = APIRouter(prefix="/connect", include_in_schema=False)
HOSTS = {"production": "https://login.salesforce.com", "sandbox": "https://test.salesforce.com"}


@router.get("")
def form(request: Request, runtime: Here, source: InQuery = None) -> Response:
    """Ask what to connect, or what to sign in to anew."""
    known = _known(runtime, source) if source is not None else None
    return render(request, "connect.html", known=known, callback=_callback(request))


def _known(runtime: Runtime, source_id: int) -> Source:
    with transaction(runtime.database_url) as database:
        found = database.get(Source, source_id)
        if found is None:
            raise HTTPException(404, "There is no such data source: it may have been deleted.")
        states.check(found, "reauthenticate")
    return found


def _callback(request: Request) -> str:
    return f"{origin(request)}/connect/callback"


@router.post("")
def begin(
    request: Request,
    runtime: Here,
    *,
    client_id: Annotated[str, Form()],
    client_secret: Annotated[str, Form()] = "",
    name: Annotated[str, Form()] = "",
    environment: Annotated[str, Form()] = "production",
    domain: Annotated[str, Form()] = "",
    source: Annotated[int | None, Form(ge=1, le=LARGEST_ID)] = None,
) -> Response:
    """Keep what was chosen until Salesforce answers, and show the way there."""
    known = _known(runtime, source) if source is not None else None
    address = known.login_url if known else HOSTS.get(environment, domain.strip())
    login_url = check_url(address, runtime.settings.allowed_hosts)
    if known is None:
        sources.check_name(runtime, name.strip())
    verifier = secrets.token_urlsafe(64)
    kept = {
        "name": known.name if known else name.strip(),
        "source_id": source,
        "login_url": login_url,
        "client_id": client_id.strip(),
        "client_secret": client_secret.strip() or None,
        "verifier": verifier,
    }
    state = pending.keep(runtime, request.cookies[cookie_name(request)], kept)
    address = authorize_url(login_url, client_id.strip(), _callback(request), state, verifier)
    return render(request, "to_salesforce.html", address=address, login_url=login_url)


@router.get("/callback")
def callback(
    request: Request, runtime: Here, who: Who, *, state: str = "", code: str = "", error: str = ""
) -> Response:
    """Take Salesforce's answer: connect the org and begin to read it, or give a source its new credentials."""
    kept = pending.take(runtime, request.cookies[cookie_name(request)], state)
    action = "connect" if kept["source_id"] is None else "reauthenticate"
    with noted(runtime.database_url, who.actor, action, kept["name"], login_url=kept["login_url"]):
        if not code:
            raise refusal(error, request.query_params.get("error_description", ""))
        source = _finish(runtime, kept, code, _callback(request))
    return go_to(f"/connect/done/{source.key}")


def _finish(runtime: Runtime, kept: dict[str, Any], code: str, callback: str) -> Source:
    secret = SecretStr(kept["client_secret"]) if kept["client_secret"] else None
    http = http_session(runtime.settings.ca_bundle)
    proof = {"code": code, "verifier": kept["verifier"], "redirect_uri": callback}
    given = redeem(kept["login_url"], kept["client_id"], secret, http, **proof)
    if kept["source_id"] is not None:
        return lifecycle.reauthenticate(runtime, str(kept["source_id"]), given)
    source, _findings = sources.connect(runtime, kept["name"], kept["login_url"], given)
    runs.request(runtime.database_url, source.key, "poll")
    return source


@router.get("/done/{source_id}")
def done(request: Request, runtime: Here, source_id: InPath) -> Response:
    """Show that it is connected, what its login may do, and how the first sync goes on."""
    with transaction(runtime.database_url) as database:
        found = database.get(Source, source_id)
    if found is None:
        raise HTTPException(404, "There is no such data source: it may have been deleted.")
    return render(request, "connected.html", source=found)
