"""What an org's answers tell about itself: its clock, and how many API calls everybody has made of it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, cast
from urllib.parse import urlsplit

import requests

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)

CALLS: Mapping[str, str] = {
    "/jobs/query": "bulk jobs",
    "/query": "queries",
    "/describe": "describe",
    "/updated": "changes and deletions",
    "/deleted": "changes and deletions",
    "/limits": "limits",
}


@dataclass
class Observed:
    """What the org's answers tell about itself: its clock, and calls used and allowed in 24 hours."""

    server_time: datetime = LONG_AGO
    used: int | None = None
    limit: int | None = None
    calls: int = 0
    kinds: Counter[str] = field(default_factory=Counter)

    def take_calls(self) -> Counter[str]:
        """Return the calls made since this was last asked, by what they were for (see CALLS)."""
        taken, self.kinds = self.kinds, Counter()
        return taken

    def note(self, response: requests.Response) -> None:
        """Read `Date` and `Sforce-Limit-Info: api-usage=used/limit` from a response."""
        self.calls += 1
        path = urlsplit(response.url).path
        self.kinds[next((kind for part, kind in CALLS.items() if part in path), "other")] += 1
        if "Date" in response.headers:
            self.server_time = parsedate_to_datetime(response.headers["Date"])
        if usage := usage_in(response):
            self.used, self.limit = usage


def usage_in(response: requests.Response) -> tuple[int, int] | None:
    """Return the calls used and allowed in 24 hours, from `Sforce-Limit-Info: api-usage=used/limit`."""
    usage = response.headers.get("Sforce-Limit-Info", "").partition("api-usage=")[2].partition(";")[0]
    used, _, limit = usage.partition("/")
    return (int(used), int(limit)) if used.isdigit() and limit.isdigit() else None


def usage_of(limits: object) -> tuple[int, int] | None:
    """Return the calls used and allowed in 24 hours from an answer of `/limits`."""
    try:
        daily = cast("dict[str, dict[str, Any]]", limits)["DailyApiRequests"]
        allowed, left = int(daily["Max"]), int(daily["Remaining"])
    except (LookupError, TypeError, ValueError):
        return None
    return max(0, allowed - left), allowed
