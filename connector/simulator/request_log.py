"""What was asked of the server and how it answered."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

MOST_REMEMBERED = 200_000


@dataclass(frozen=True, slots=True)
class RequestEntry:
    """One request. `query` is the SOQL of a query and nothing else; `status` 0 means that no answer was begun."""

    org: str
    method: str
    path: str
    query: str
    status: int
    at: datetime


class RequestLog:
    """The latest requests to all orgs, in the order of their answers."""

    def __init__(self) -> None:
        self._entries: deque[RequestEntry] = deque(maxlen=MOST_REMEMBERED)

    def append(self, entry: RequestEntry) -> None:
        """Remember a request."""
        self._entries.append(entry)

    def __iter__(self) -> Iterator[RequestEntry]:
        return iter(self._entries.copy())

    def __len__(self) -> int:
        return len(self._entries)

    def of(self, org: str, path: str = "") -> list[RequestEntry]:
        """The requests to one org whose path contains `path`."""
        return [entry for entry in self if entry.org == org and path in entry.path]

    def clear(self) -> None:
        """Forget all."""
        self._entries.clear()
