"""What a refusal of a data call stands for: the kind decides whether it is tried again, waited for or told."""

from collections.abc import Mapping

from connector.errors import (
    DailyLimitReached,
    FieldUnavailable,
    LocatorGone,
    ObjectUnavailable,
    QueryTimeout,
    SalesforceError,
    SessionExpired,
    Transient,
)

KINDS: Mapping[str, type[SalesforceError]] = {
    "INVALID_SESSION_ID": SessionExpired,
    "INVALID_QUERY_LOCATOR": LocatorGone,
    "INVALID_FIELD": FieldUnavailable,
    "INVALID_TYPE": ObjectUnavailable,
    "NOT_FOUND": ObjectUnavailable,
    "QUERY_TIMEOUT": QueryTimeout,
    "UNABLE_TO_LOCK_ROW": Transient,
    "SERVER_UNAVAILABLE": Transient,
    "UNKNOWN_EXCEPTION": Transient,
}
# What a call was for, by what its path has in it; the first that fits.
TRANSIENT_STATUS = frozenset({406, 408, 412, 420, 429, 500, 502, 503, 504})
# Two texts of INVALID_SESSION_ID that a new session does not mend.
FINAL_SESSION_TEXTS = ("not valid for use with the REST API", "not attached to Agent")


def refused(status: int, content: object) -> SalesforceError:
    """Return the error that a refusal stands for, decided by status and error code; texts only split known codes."""
    first = content[0] if isinstance(content, list) and content and isinstance(content[0], dict) else {}
    code = str(first.get("errorCode") or f"HTTP_{status}")
    words = str(first.get("message") or "no reason given").strip().splitlines()[-1]
    sentence = f"Salesforce refused with {code}: {words[:300]}"
    if code == "INVALID_SESSION_ID" and any(text in words for text in FINAL_SESSION_TEXTS):
        return SalesforceError(code, sentence)
    if code == "REQUEST_LIMIT_EXCEEDED":
        return Transient(code, sentence) if "Concurrent" in words else DailyLimitReached(code, sentence)
    kind = KINDS.get(code) or (SessionExpired if status == 401 else None)
    if kind is None:
        kind = Transient if status in TRANSIENT_STATUS or not first else SalesforceError
    return kind(code, sentence)
