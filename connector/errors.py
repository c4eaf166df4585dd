"""The errors a user can meet: each is one sentence; its type decides the exit code and whether work is tried again."""

from datetime import datetime

SWEEP_BRAKE = "sweep_brake"


class ConnectorError(Exception):
    """Something failed; the message is one clear sentence that says what to do next."""

    exit_code = 1


class BadInput(ConnectorError):
    """What the user gave cannot be used; nothing was written."""

    exit_code = 2


class Refused(ConnectorError):
    """The present state does not allow this."""

    exit_code = 3


class NeedsAttention(ConnectorError):
    """Only a person can mend this: credentials, permissions or a mapping.

    `code` is stable and short, for scripts; `remedy` is a sentence for the person. While it `blocks`, nothing is tried
    again by itself: dead credentials get no better, and each try may lock the user out.
    """

    exit_code = 4

    def __init__(self, code: str, message: str, remedy: str, *, blocks: bool = True) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.remedy = remedy
        self.blocks = blocks

    def __str__(self) -> str:
        return f"{self.message.rstrip('.')}: {self.remedy[:1].lower()}{self.remedy[1:]}"


class WaitingForQuota(ConnectorError):
    """The org's share of daily API calls is used up; work goes on at `resume_at` (aware UTC)."""

    exit_code = 5

    def __init__(self, message: str, resume_at: datetime) -> None:
        super().__init__(message)
        self.resume_at = resume_at


class SalesforceError(ConnectorError):
    """Salesforce refused a request; `code` is its own error code. Not worth trying again unless a subclass says so."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Transient(SalesforceError):
    """Worth trying again after a pause: overload, a cut answer, a lock, a lost connection."""


class QueryTimeout(Transient):
    """The query ran too long; a smaller window may pass."""


class DailyLimitReached(SalesforceError):
    """The org has used all its API calls of the last 24 hours."""


class LocatorGone(SalesforceError):
    """The query cursor expired; reading resumes by keyset."""


class SessionExpired(SalesforceError):
    """The access token is dead; a new one may be had."""


class ObjectUnavailable(SalesforceError):
    """The object does not exist or the user may not see it."""


class FieldUnavailable(SalesforceError):
    """A field does not exist, is hidden, or cannot be used this way."""
