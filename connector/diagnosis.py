"""Why a source that worked stopped: what a refusal, and the time since it last worked, say about the cause."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType

from connector.errors import ConnectorError, NeedsAttention, SalesforceError, SessionExpired

IDLE = timedelta(days=30)  # after which partner apps lose their refresh tokens; an admin may choose less
NO_API = (
    "The org or the user's profile has no access to the API any more.",
    "Ask the Salesforce admin to give the user 'API Enabled', or an edition that has it; work then goes on by itself.",
)
# Code of a refused call → what it means for the source, what to do.
MEANINGS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "API_DISABLED_FOR_ORG": NO_API,
        "API_CURRENTLY_DISABLED": NO_API,
        "INVALID_SESSION_ID": (
            "Salesforce gives this login sessions that the REST API does not take.",
            "Ask the Salesforce admin to look at the app's policies and scopes (api, refresh_token); work then goes on "
            "by itself.",
        ),
    }
)
POLICY = (
    "Salesforce ends each new session at once, as a policy does that locks sessions to an IP address or domain",
    "Ask the Salesforce admin to look at the Session Settings and the app's policies.",
)
# Code of a refused sign-in → what it may be, once it is known that the credentials worked before.
CHANGED: Mapping[str, str] = MappingProxyType(
    {
        "invalid_grant": "the user was frozen or deactivated, its password was changed, an admin revoked the approval, "
        "another copy of the connector rotated the token away, or a sixth approval of the same user and app pushed it "
        "out (Salesforce keeps five)",
        "inactive_user": "the user was deactivated",
        "invalid_client": "the app was uninstalled, blocked, or given a new secret",
        "invalid_client_id": "the app was deleted or blocked",
        "session_refused": "the token ended or was revoked, or the user lost access to the API",
        "INVALID_LOGIN": "the password or the security token was changed, or the user was locked out",
        "UNSUPPORTED_API_VERSION": "Salesforce has retired SOAP login in this org",
    }
)


def meaning(error: ConnectorError) -> NeedsAttention | None:
    """Return what a failure means for the source if a person must mend it; it is tried again all the same."""
    if isinstance(error, NeedsAttention):
        return error
    if isinstance(error, SalesforceError) and not isinstance(error, SessionExpired) and error.code in MEANINGS:
        return NeedsAttention(error.code, *MEANINGS[error.code], blocks=False)
    return None


def sudden(code: str, worked_at: datetime | None, now: datetime) -> str:
    """Say what a refused sign-in must come from, given when a run last went well; "" when nothing more can be said."""
    if worked_at is None or code not in CHANGED:
        return ""
    since = f"It worked until {worked_at:%Y-%m-%d %H:%M} UTC"
    if code == "invalid_grant" and now - worked_at >= IDLE:
        return f"{since}, and was not used for {(now - worked_at).days} days: the app's policy has ended the approval."
    return f"{since}, so the credentials were right: {CHANGED[code]}."
