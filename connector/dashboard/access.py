"""Who may do what: the one place that lets a request in, by session or token, CSRF token, and role."""

import re
from dataclasses import dataclass
from itertools import chain
from typing import Annotated

from fastapi import Depends, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.responses import RedirectResponse, Response

from cdp.db import LARGEST_ID
from cdp.models import Account
from connector import accounts, texts
from connector.audit import Actor
from connector.dashboard import sessions
from connector.runtime import Runtime

OPEN = frozenset({"/login", "/login/provider", "/login/provider/callback", "/healthz"})
# What a viewer may not even look at: the audit log, and pages that only lead to a change.
FOR_ADMINS = re.compile(
    r"/(audit|connect)(/.*)?|/sources/\d+/(do|backfill)/.*|/sources/\d+/mapping/confirm|/people/[^/]+/(split|join)"
)
OF_EVERYBODY = frozenset({"/login", "/logout"})
READING = frozenset({"GET", "HEAD"})
COOKIE = "connector"


class Denied(Exception):
    """The request is not let in: its HTTP status, and a sentence about it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Visitor:
    """Whoever makes a request: nobody known yet (`name` is empty), a viewer, or an admin."""

    name: str
    role: str
    via: str
    csrf: str = ""

    @property
    def is_admin(self) -> bool:
        """Tell whether the visitor may change things."""
        return self.role == accounts.ADMIN

    @property
    def actor(self) -> Actor:
        """The visitor as the audit log names it."""
        return Actor(self.name, self.via)


def runtime_of(request: Request) -> Runtime:
    """Return the installation that the pages are of."""
    found: Runtime = request.app.state.runtime
    return found


def origin(request: Request) -> str:
    """Return where people reach the dashboard, as the setting has it or as they came here."""
    return runtime_of(request).settings.dashboard_url or str(request.base_url).rstrip("/")


def cookie_name(request: Request) -> str:
    """Return the cookie's name; over https one that only this very host can have set."""
    return f"__Host-{COOKIE}" if origin(request).startswith("https://") else COOKIE


def give_cookie(request: Request, response: Response, cookie: str) -> None:
    """Put the cookie of a session, or of a sign-in that has not happened yet, on an answer."""
    secure = origin(request).startswith("https://")
    response.set_cookie(cookie_name(request), cookie, httponly=True, secure=secure, samesite="lax", path="/")


async def guard(request: Request) -> None:
    """Let a request in and say in `request.state` who it is; runs before every route.

    Raises:
        BadInput: a text of it cannot be kept.
        Denied: whoever sends it may not.
    """
    form = await _form(request)
    given = chain.from_iterable((*request.query_params.multi_items(), *form.multi_items()))
    texts.check(map(str, given))
    await run_in_threadpool(_check, request, request.headers.get("X-CSRF-Token", str(form.get("csrf", ""))))


async def _form(request: Request) -> FormData:
    """Return what a request sends as a form; every route reads the same."""
    kind = request.headers.get("Content-Type", "")
    if request.method in READING or not kind.startswith(("application/x-www-form-urlencoded", "multipart/form-data")):
        return FormData()
    return await request.form()


def _check(request: Request, token: str) -> None:
    cookie = request.cookies.get(cookie_name(request), "")
    visitor = _visitor(request, cookie)
    request.state.visitor = visitor
    path, reads = request.url.path, request.method in READING
    if not visitor.name and path not in OPEN:
        raise Denied(401, "Sign in first.")
    if not reads and visitor.via != "api" and not (cookie and sessions.is_csrf_token(cookie, token)):
        raise Denied(403, "This form is out of date: load the page again and repeat what you did.")
    if not visitor.is_admin and (not reads or FOR_ADMINS.fullmatch(path)) and path not in OF_EVERYBODY:
        raise Denied(403, "Only an admin may do this.")


def _visitor(request: Request, cookie: str) -> Visitor:
    url = runtime_of(request).database_url
    scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and request.url.path.startswith("/api/"):
        return _named(accounts.by_token(url, bearer), "api", "")
    csrf = sessions.csrf_token(cookie) if cookie else ""
    return _named(sessions.find(url, cookie) if cookie else None, "dashboard", csrf)


def _named(account: Account | None, via: str, csrf: str) -> Visitor:
    return Visitor(account.name, account.role, via, csrf) if account else Visitor("", "", "dashboard", csrf)


def to_login(request: Request) -> Response:
    """Send a browser to the sign-in page and, from there, back to where it wanted to go."""
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    target = request.url_for("login_page").include_query_params(next=here)
    return RedirectResponse(f"{target.path}?{target.query}", 302)


def _who(request: Request) -> Visitor:
    found: Visitor = request.state.visitor
    return found


Who = Annotated[Visitor, Depends(_who)]
Here = Annotated[Runtime, Depends(runtime_of)]
InPath = Annotated[int, Path(ge=1, le=LARGEST_ID)]
InQuery = Annotated[int | None, Query(ge=1, le=LARGEST_ID)]
