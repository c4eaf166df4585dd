"""What a handler receives and returns, and the checks that come before every data resource."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .errors import ApiError, not_found
from .faults import Fault
from .instance import Instance
from .tokens import Session

OLDEST_RETIRED, OLDEST, NEWEST = 7, 31, 67


@dataclass
class Call:
    """One request: its org, its parts, and the session and the fault that concern it."""

    instance: Instance
    local_url: str
    method: str
    params: dict[str, str]
    query: QueryParams
    headers: Headers
    body: bytes
    fault: Fault | None = None
    session: Session | None = None

    @property
    def version(self) -> str:
        """API version such as `66.0`."""
        return self.params["version"]

    @property
    def signed_in(self) -> Session:
        """The session that the checks before a data resource have found."""
        if self.session is None:
            raise invalid_session()
        return self.session

    def json(self) -> dict[str, Any]:
        """The JSON body. Raises ApiError JSON_PARSER_ERROR."""
        try:
            document = json.loads(self.body)
        except ValueError as error:
            raise ApiError("JSON_PARSER_ERROR", str(error)) from error
        if not isinstance(document, dict):
            raise ApiError("JSON_PARSER_ERROR", "an object is expected")
        return document

    def struck_by(self, kind: str) -> Fault | None:
        """The fault in force for this request, if it is of that kind."""
        return self.fault if self.fault and self.fault.kind == kind else None


Handler = Callable[[Call], Response]


def reply(document: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON answer."""
    # A lone surrogate becomes its JSON escape.
    body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")
    return Response(body, status, headers, media_type="application/json;charset=UTF-8")


def refusal(error: ApiError) -> Response:
    """The answer that a Salesforce error becomes."""
    return reply(error.body(), error.status)


def invalid_session() -> ApiError:
    """The error of a missing, unknown, expired or foreign access token."""
    return ApiError("INVALID_SESSION_ID", "Session expired or invalid", status=401)


def open_route(path: str, handler: Handler, methods: Sequence[str] = ("GET",)) -> Route:
    """A resource that needs no session. The handler runs in a thread."""

    async def endpoint(request: Request) -> Response:
        call = Call(
            instance=request.scope["instance"],
            local_url=request.scope["local_url"],
            method=request.method,
            params=dict(request.path_params),
            query=request.query_params,
            headers=request.headers,
            body=await request.body(),
            fault=request.scope.get("fault"),
        )
        return await run_in_threadpool(_answer, handler, call)

    return Route(path, endpoint, methods=list(methods))


def data_route(path: str, handler: Handler, methods: Sequence[str] = ("GET",)) -> Route:
    """A resource under `/services/data/vNN.N`: version, session, rights and daily limit are checked, usage counted."""

    def checked(call: Call) -> Response:
        _check_version(call.version)
        call.session = bearer_session(call)
        _count_usage(call)
        response = _answer(handler, call)
        if call.instance.settings.tells_usage:
            used, limit = call.instance.usage.used(), call.instance.settings.daily_api_limit
            response.headers["Sforce-Limit-Info"] = f"api-usage={used}/{limit}"
        return response

    return open_route("/services/data/v{version}" + path, checked, methods)


def bearer_session(call: Call) -> Session:
    """The session of the Authorization header. Raises ApiError INVALID_SESSION_ID or API_DISABLED_FOR_ORG."""
    scheme, _, token = call.headers.get("authorization", "").partition(" ")
    session = call.instance.tokens.session(token.strip()) if scheme.lower() in ("bearer", "oauth") else None
    if session is None or session.host != call.local_url:
        raise invalid_session()
    if not session.user.api_enabled:
        raise ApiError("API_DISABLED_FOR_ORG", "API is not enabled for this Organization or Partner", status=403)
    return session


def _answer(handler: Handler, call: Call) -> Response:
    try:
        return handler(call)
    except ApiError as error:
        return refusal(error)


def _check_version(version: str) -> None:
    major, _, minor = version.partition(".")
    if not major.isdecimal() or minor != "0" or not OLDEST_RETIRED <= int(major) <= NEWEST:
        raise not_found()
    if int(major) < OLDEST:
        raise ApiError("UNSUPPORTED_API_VERSION", f"GONE: API version {version} is retired", status=410)


def _count_usage(call: Call) -> None:
    if call.instance.usage.used() >= call.instance.settings.daily_api_limit:
        raise ApiError("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", status=403)
    call.instance.usage.count()
