"""The error a Salesforce org answers with, as an exception."""

from collections.abc import Sequence
from typing import Any


class ApiError(Exception):
    """A request the org refuses: HTTP status, error code, message and the fields it concerns."""

    def __init__(self, code: str, message: str, *, status: int = 400, fields: Sequence[str] = ()) -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.fields = list(fields)

    def body(self) -> list[dict[str, Any]]:
        """Return the JSON body of a REST error: a list with one entry."""
        entry: dict[str, Any] = {"message": self.message, "errorCode": self.code}
        return [entry | {"fields": self.fields}] if self.fields else [entry]


def not_found(message: str = "The requested resource does not exist") -> ApiError:
    """Build the 404 for a row, object or resource that is not there or not visible."""
    return ApiError("NOT_FOUND", message, status=404)
