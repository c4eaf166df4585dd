"""The page on which a user allows the app: the first half of the web server flow."""

from __future__ import annotations

from html import escape
from ipaddress import ip_address
from urllib.parse import urlencode, urlsplit

from starlette.responses import HTMLResponse, RedirectResponse, Response

from .grants import CHALLENGE, DEFAULT_SCOPE
from .oauth import form_of
from .settings import Settings
from .wire import Call, open_route

CARRIED = (
    "response_type",
    "client_id",
    "redirect_uri",
    "scope",
    "state",
    "code_challenge",
    "code_challenge_method",
    "prompt",
)
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Log in to {org}</title>
<style>body{{font:16px sans-serif;max-width:24rem;margin:4rem auto}}p.error{{color:#a00}}
input,button{{font:inherit;padding:.4rem;margin:.2rem 0}}input{{width:100%;box-sizing:border-box}}</style></head>
<body><h1>Allow access?</h1>
<p>An app asks for access to <b>{org}</b>, a simulated Salesforce org, with scope <code>{scope}</code>.</p>
<p class="error">{error}</p><form method="post" action="/services/oauth2/authorize">{hidden}
<label>User name <input name="username" value="{username}" autocomplete="username"></label>
<button name="decision" value="allow">Allow</button> <button name="decision" value="deny">Deny</button></form>
</body></html>
"""


def authorize(call: Call) -> Response:
    """`GET` shows the page, `POST` with `username` and `decision` (`allow` or `deny`) answers it with a redirect."""
    form = form_of(call)
    settings = call.instance.settings
    if form.get("client_id") != settings.client_id:
        return _dead_end("invalid_client_id: client identifier invalid")
    if not _known_callback(settings, form.get("redirect_uri", "")):
        return _dead_end("redirect_uri_mismatch: redirect_uri must match configuration")
    if "authorization_code" not in settings.flows:
        return _back(form, error="OAUTH_APP_BLOCKED", error_description="this app is blocked by the admin")
    problem = _problem(settings, form)
    if problem:
        return _back(form, error="invalid_request", error_description=problem)
    return _page(call, form) if call.method == "GET" else _decide(call, form)


def _decide(call: Call, form: dict[str, str]) -> Response:
    if form.get("decision") != "allow":
        return _back(form, error="access_denied", error_description="end-user denied authorization")
    user = call.instance.user(form.get("username", ""))
    if user is None:
        return _page(call, form, "Please check your user name.")
    scope = form.get("scope") or DEFAULT_SCOPE
    return _back(
        form, code=call.instance.tokens.new_code(user, scope, form["redirect_uri"], form.get("code_challenge"))
    )


def _problem(settings: Settings, form: dict[str, str]) -> str | None:
    challenge = form.get("code_challenge")
    if form.get("response_type") != "code":
        return "response_type must be code"
    if challenge is None:
        return "missing required code challenge" if settings.require_pkce else None
    if form.get("code_challenge_method", "S256") != "S256" or not CHALLENGE.fullmatch(challenge):
        return "invalid code challenge"
    return None


def _known_callback(settings: Settings, uri: str) -> bool:
    if settings.callback_urls:
        return uri in settings.callback_urls
    host = urlsplit(uri).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _back(form: dict[str, str], **answer: str) -> Response:
    uri = form["redirect_uri"]
    state = {"state": form["state"]} if "state" in form else {}
    return RedirectResponse(f"{uri}{'&' if '?' in uri else '?'}{urlencode(answer | state)}", 302)


def _page(call: Call, form: dict[str, str], error: str = "") -> Response:
    hidden = "".join(
        f'<input type="hidden" name="{name}" value="{escape(form[name])}">' for name in CARRIED if name in form
    )
    username = form.get("username") or form.get("login_hint") or call.instance.integration_user.username
    shown = {"org": call.instance.org.name, "scope": form.get("scope") or DEFAULT_SCOPE, "username": username}
    return HTMLResponse(PAGE.format(error=error, hidden=hidden, **{key: escape(text) for key, text in shown.items()}))


def _dead_end(error: str) -> Response:
    return HTMLResponse(f"<!doctype html><title>Error</title><h1>{error}</h1>", 400)


ROUTES = [open_route("/services/oauth2/authorize", authorize, ["GET", "POST"])]
