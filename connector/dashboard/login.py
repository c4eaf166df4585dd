"""Signing in and out, by a password or through the identity provider."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from cdp.models import Account
from connector import accounts
from connector.audit import Actor, noted
from connector.dashboard import pending, provider, sessions, throttle
from connector.dashboard.access import Here, Who, cookie_name, give_cookie, origin
from connector.dashboard.pages import go_to, render
from connector.errors import BadInput, ConnectorError

router = APIRouter(include_in_schema=False)
CALLBACK = "/login/provider/callback"


def _inside(path: str) -> str:
    """Return a path of these pages to go on to; nobody is sent to another site by a crafted link."""
    safe = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if safe else "/"


@router.get("/login")
def login_page(request: Request, runtime: Here, who: Who, next: str = "/") -> Response:  # noqa: A002 - the web's name
    """Show the form; a browser that has no cookie yet gets one, to tie the form to it."""
    if who.name:
        return go_to(_inside(next))
    return _form(request, _inside(next), provided=provider.configured(runtime.settings))


@router.post("/login")
def login(
    request: Request,
    runtime: Here,
    name: Annotated[str, Form()] = "",
    password: Annotated[str, Form()] = "",
    next: Annotated[str, Form()] = "/",  # noqa: A002
) -> Response:
    """Sign in by a password."""
    address = request.client.host if request.client else ""
    provided = provider.configured(runtime.settings)
    try:
        attempt = throttle.count(runtime.database_url, name.strip().lower()[: accounts.LONGEST_NAME], address)
    except throttle.TooManyTries as error:
        return _form(request, _inside(next), 429, provided=provided, problem=str(error), name=name)
    account = accounts.by_password(runtime.database_url, name, password)
    if account is None:
        problem = "This name and password do not fit: try again."
        return _form(request, _inside(next), 401, provided=provided, problem=problem, name=name)
    throttle.forget(runtime.database_url, attempt)
    return _signed_in(request, account, _inside(next))


def _signed_in(request: Request, account: Account, path: str) -> Response:
    """Give the browser a new cookie; the one it had before is worth nothing."""
    url = request.app.state.runtime.database_url
    with noted(url, Actor(account.name, "dashboard"), "sign in", account.name):
        cookie = sessions.begin(url, account)
    answer = go_to(path)
    give_cookie(request, answer, cookie)
    return answer


def _form(request: Request, path: str, status: int = 200, **facts: object) -> Response:
    cookie = request.cookies.get(cookie_name(request)) or sessions.new_cookie()
    answer = render(request, "login.html", status, next=path, csrf=sessions.csrf_token(cookie), **facts)
    give_cookie(request, answer, cookie)
    return answer


@router.post("/logout")
def logout(request: Request, runtime: Here) -> Response:
    """Sign out."""
    sessions.end(runtime.database_url, request.cookies.get(cookie_name(request), ""))
    answer = go_to("/login")
    answer.delete_cookie(cookie_name(request), path="/", secure=origin(request).startswith("https://"))
    return answer


@router.get("/login/provider")
def to_provider(request: Request, runtime: Here, next: str = "/") -> Response:  # noqa: A002
    """Send the browser to the identity provider."""
    if not provider.configured(runtime.settings):
        raise BadInput("Signing in through a provider is not set up: see CONNECTOR_OIDC_ISSUER.")
    cookie = request.cookies.get(cookie_name(request)) or sessions.new_cookie()
    asked = provider.ask(runtime.settings, origin(request) + CALLBACK)
    state = pending.keep(runtime, cookie, {**asked.kept, "next": _inside(next)})
    answer = RedirectResponse(asked.address(state), 302)
    give_cookie(request, answer, cookie)
    return answer


@router.get(CALLBACK)
def from_provider(request: Request, runtime: Here, state: str = "", code: str = "") -> Response:
    """Take the provider's answer: who it is, and whether they may come in."""
    try:
        kept = pending.take(runtime, request.cookies.get(cookie_name(request), ""), state)
        identity = provider.identify(runtime.settings, origin(request) + CALLBACK, code, kept)
        account = accounts.from_provider(runtime.database_url, identity.subject, identity.name, identity.role)
    except ConnectorError as error:
        return _form(request, "/", 401, provided=True, problem=str(error))
    return _signed_in(request, account, _inside(kept["next"]))
