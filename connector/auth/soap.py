"""SOAP login: user name and password without an app, for orgs that still allow it."""

from html import escape
from xml.parsers.expat import ExpatError

import requests
from pydantic import SecretStr
from simple_salesforce.util import getUniqueElementValueFromXmlString

from connector.auth.credentials import Password
from connector.auth.refusals import is_known, refusal
from connector.errors import Transient
from connector.http import deadline, plain_errors

SOAP_DEADLINE = 60.0
SOAP_VERSION = "59.0"
ENVELOPE = (
    '<?xml version="1.0" encoding="UTF-8"?><env:Envelope xmlns:env="http://schemas.xmlsoap.org/soap/envelope/"><env:Body>'
    '<login xmlns="urn:partner.soap.sforce.com"><username>{username}</username><password>{password}</password></login>'
    "</env:Body></env:Envelope>"
)


def soap_login(credentials: Password, login_url: str, http: requests.Session) -> tuple[SecretStr, str]:
    """Log in and return the session id and the instance URL.

    Our own request, because simple-salesforce cuts "-api" out of the host that it is told.

    Raises:
        NeedsAttention: Salesforce refused; the code is its SOAP exception code.
        Transient: it was busy or unreachable, or something else answered.
    """
    secret = credentials.password.get_secret_value() + credentials.security_token.get_secret_value()
    body = ENVELOPE.format(username=escape(credentials.username), password=escape(secret))
    headers = {"Content-Type": "text/xml; charset=UTF-8", "SOAPAction": "login"}
    with deadline(SOAP_DEADLINE), plain_errors(login_url):
        response = http.post(f"{login_url}/services/Soap/u/{SOAP_VERSION}", data=body.encode(), headers=headers)
    try:
        fault, session_id, server_url = (
            getUniqueElementValueFromXmlString(response.content, name)
            for name in ("sf:exceptionCode", "sessionId", "serverUrl")
        )
    except ExpatError:
        fault = session_id = server_url = None
    if fault and is_known(fault):
        raise refusal(fault)
    if not session_id or not server_url:
        raise Transient("unexpected_answer", "The SOAP login was answered with something other than Salesforce does.")
    return SecretStr(session_id), "/".join(server_url.split("/", 3)[:3])
