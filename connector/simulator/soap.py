"""SOAP `login()`: the old way to a session, still the default of some clients."""

from __future__ import annotations

import re
from html import escape, unescape

from starlette.responses import Response

from .grants import password_fits
from .tokens import Session
from .wire import Call, open_route

LAST_VERSION_WITH_LOGIN = 64
INVALID_LOGIN = "Invalid username, password, security token; or user locked out."
SUCCESS = """<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns="urn:partner.soap.sforce.com"
 xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body><loginResponse><result>
<metadataServerUrl>{host}/services/Soap/m/{version}/{org15}</metadataServerUrl><passwordExpired>false</passwordExpired>
<sandbox>false</sandbox><serverUrl>{host}/services/Soap/u/{version}/{org15}</serverUrl><sessionId>{session}</sessionId>
<userId>{user_id}</userId><userInfo><organizationId>{org_id}</organizationId><organizationName>{org_name}</organizationName>
<sessionSecondsValid>{seconds}</sessionSecondsValid><userEmail>{username}</userEmail><userFullName>{name}</userFullName>
<userId>{user_id}</userId><userName>{username}</userName><userType>Standard</userType></userInfo></result></loginResponse>
</soapenv:Body></soapenv:Envelope>"""
FAULT = """<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:sf="urn:fault.partner.soap.sforce.com"
 xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body><soapenv:Fault><faultcode>{code}</faultcode>
<faultstring>{code}: {message}</faultstring><detail><sf:LoginFault xsi:type="sf:LoginFault">
<sf:exceptionCode>{code}</sf:exceptionCode><sf:exceptionMessage>{message}</sf:exceptionMessage></sf:LoginFault></detail>
</soapenv:Fault></soapenv:Body></soapenv:Envelope>"""


def login(call: Call) -> Response:
    """`POST /services/Soap/u/NN.N`; only the operation `login` is there."""
    major = call.version.partition(".")[0]
    if not major.isdecimal() or int(major) > LAST_VERSION_WITH_LOGIN:
        return _fault("UNSUPPORTED_API_VERSION", "Invalid Api version specified on URL")
    body = call.body.decode("utf-8", "replace")
    user = call.instance.user(_element(body, "username"))
    fits = password_fits(call.instance, _element(body, "password"))
    if user is None or not fits or "soap" not in call.instance.settings.flows:
        return _fault("INVALID_LOGIN", INVALID_LOGIN)
    if not user.api_enabled:
        return _fault("API_DISABLED_FOR_ORG", "API is not enabled for this Organization or Partner")
    return _success(call, call.instance.tokens.open_session(user, "api", call.instance.url))


def _element(body: str, name: str) -> str:
    # Two flat texts are all that is wanted, so no XML parser is put before unchecked input.
    found = re.search(rf"<(?:\w+:)?{name}>([^<]*)</", body)
    return unescape(found.group(1)) if found else ""


def _success(call: Call, session: Session) -> Response:
    org = call.instance.org
    told = {
        "host": session.host,
        "version": call.version,
        "org15": org.org_id[:15],
        "org_id": org.org_id,
        "org_name": org.name,
        "session": session.token,
        "seconds": str(call.instance.settings.session_seconds),
        "user_id": session.user.id,
        "username": session.user.username,
        "name": session.user.name,
    }
    return _xml(SUCCESS.format_map({key: escape(text) for key, text in told.items()}), 200)


def _fault(code: str, message: str) -> Response:
    return _xml(FAULT.format(code=code, message=escape(message)), 500)


def _xml(text: str, status: int) -> Response:
    return Response(text.encode(), status, media_type="text/xml;charset=UTF-8")


ROUTES = [
    open_route("/services/Soap/u/{version}", login, ["POST"]),
    open_route("/services/Soap/u/{version}/{org15}", login, ["POST"]),
]
