"""What Salesforce means when it refuses a sign-in, and what a person can do about it."""

import re

from connector.errors import NeedsAttention, Transient

PASSING = {"rate_limit_exceeded", "unknown_error", "server_error", "temporarily_unavailable"}

REAUTHENTICATE = "Reauthenticate the source with fresh credentials."
CHECK_APP = "Check client_id and client_secret against the app in Salesforce Setup, then reauthenticate the source."
CHECK_LOGIN = "Check the password and the security token, and the user's login history in Salesforce Setup."
ASK_ADMIN = "Ask the Salesforce admin to mend this, then reauthenticate the source."

# (error, description) -> what it means, what to do. Descriptions are not a contract, so each error also stands alone.
_MEANINGS = {
    ("invalid_grant", ""): ("Salesforce does not accept these credentials.", REAUTHENTICATE),
    ("invalid_grant", "expired access/refresh token"): (
        "The refresh token was revoked, rotated away, unused for too long, or pushed out by a newer approval.",
        REAUTHENTICATE,
    ),
    ("invalid_grant", "authentication failure"): (
        "Salesforce refuses this user: a wrong password, a frozen or inactive user, or a flow that is switched off.",
        CHECK_LOGIN,
    ),
    ("invalid_grant", "expired authorization code"): (
        "The approval took too long.",
        "Start the browser sign-in again.",
    ),
    ("invalid_grant", "invalid authorization code"): (
        "The approval cannot be used.",
        "Start the browser sign-in again.",
    ),
    ("invalid_grant", "user hasn't approved this consumer"): (
        "The user is not pre-authorised for this app.",
        "Pre-authorise the user's profile or permission set in the app's policies, then reauthenticate the source.",
    ),
    ("invalid_grant", "audience is invalid"): (
        "Salesforce refuses the audience of the signed assertion.",
        "Use the login URL of this org: login.salesforce.com, test.salesforce.com or its My Domain.",
    ),
    ("invalid_grant", "invalid assertion"): (
        "Salesforce refuses the signed assertion.",
        "Check that private_key belongs to the app's certificate and that this machine's clock is right.",
    ),
    ("invalid_grant", "ip restricted"): (
        "Salesforce refuses this machine's IP address.",
        "Ask the Salesforce admin to allow the address in the app's or the profile's login ranges.",
    ),
    ("invalid_grant", "no client credentials user enabled"): (
        "The app has no user to run as.",
        "Set a Run As user for the client-credentials flow in the app's policies.",
    ),
    ("invalid_grant", "request not supported on this domain"): (
        "This flow works on the org's own host only.",
        "Use the org's My Domain (NAME.my.salesforce.com) as login URL.",
    ),
    ("invalid_client", ""): ("Salesforce does not accept the app's id or secret.", CHECK_APP),
    ("invalid_client", "app must be installed into org"): (
        "The app is not installed in this org, and uninstalled apps are blocked.",
        "Install the app in the org, or give the user the right to approve uninstalled apps.",
    ),
    ("invalid_client_id", ""): ("Salesforce does not know the app's id.", CHECK_APP),
    ("access_denied", ""): (
        "The approval was declined in the browser.",
        "Start the browser sign-in again and allow it.",
    ),
    ("inactive_user", ""): ("The user is inactive.", ASK_ADMIN),
    ("inactive_org", ""): ("The org is inactive.", ASK_ADMIN),
    ("redirect_uri_mismatch", ""): (
        "The callback URL is not one of the app's.",
        "Add http://localhost:PORT/callback to the app's callback URLs and sign in with that port.",
    ),
    ("unsupported_grant_type", ""): ("The org does not offer this sign-in flow.", ASK_ADMIN),
    ("invalid_app_access", ""): ("The user may not use this app.", ASK_ADMIN),
    ("oauth_app_blocked", ""): ("The app is blocked in this org.", ASK_ADMIN),
    ("oauth_approval_error_generic", ""): ("The org did not let the user approve the app.", ASK_ADMIN),
    ("INVALID_LOGIN", ""): (
        "The user name, password or security token is wrong, or the user is locked out.",
        CHECK_LOGIN,
    ),
    ("LOGIN_MUST_USE_SECURITY_TOKEN", ""): (
        "Salesforce wants the security token from this network.",
        "Add security_token to the credentials, then reauthenticate the source.",
    ),
    ("API_DISABLED_FOR_ORG", ""): ("The org or the user's profile has no access to the API.", ASK_ADMIN),
    ("PASSWORD_LOCKOUT", ""): ("The user is locked out after too many wrong passwords.", ASK_ADMIN),
    ("ORG_LOCKED", ""): ("The org is locked.", ASK_ADMIN),
    ("UNSUPPORTED_API_VERSION", ""): (
        "The org no longer offers SOAP login.",
        "Use another flow, such as client_credentials or refresh_token.",
    ),
    ("LOGIN_DURING_RESTRICTED_TIME", ""): ("The user may not log in at this hour.", ASK_ADMIN),
    ("LOGIN_DURING_RESTRICTED_DOMAIN", ""): ("The user may not log in from this network.", ASK_ADMIN),
}


def is_known(error: str) -> bool:
    """Tell whether an error code is one of those that only a person can mend."""
    return (error, "") in _MEANINGS


def refusal(error: str, description: str = "") -> NeedsAttention | Transient:
    """Return the error for a refusal by the token endpoint, the authorize page or SOAP login.

    The server's own wording goes no further than the look-up: it may echo what was sent to it.
    """
    if error in PASSING:
        return Transient(error, "Salesforce is too busy to sign in now: try again later.")
    code = error.replace("access-denied", "access_denied")
    code = code.lower() if code.startswith("OAUTH_") else code
    meaning = _MEANINGS.get((code, description.strip().lower())) or _MEANINGS.get((code, ""))
    if meaning is not None:
        return NeedsAttention(code, *meaning)
    name = code if re.fullmatch(r"[A-Za-z_]{1,40}", code) else "refused"
    return NeedsAttention(name, f"Salesforce refused the sign-in ({name}).", CHECK_LOGIN)
