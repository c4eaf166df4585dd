"""Everything that ever happened in an org, in order: the truth that tests compare with."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, overload


@dataclass(frozen=True, slots=True)
class Event:
    """One change of one row; `at` is the time of the commit, the stamps of the row may be older."""

    at: datetime
    action: str
    object: str
    id: str
    names: tuple[str, ...]
    values: tuple[Any, ...]
    extra: Mapping[str, Any]

    @property
    def row(self) -> dict[str, Any]:
        """Return all values after the change (of a purge: the last ones)."""
        return dict(zip(self.names, self.values, strict=True))


class History(Sequence[Event]):
    """An append-only list of events."""

    def __init__(self) -> None:
        self._events: list[Event] = []

    def append(self, event: Event) -> None:
        """Add the latest event."""
        self._events.append(event)

    def __len__(self) -> int:
        return len(self._events)

    @overload
    def __getitem__(self, index: int) -> Event: ...
    @overload
    def __getitem__(self, index: slice) -> list[Event]: ...
    def __getitem__(self, index: int | slice) -> Event | list[Event]:
        return self._events[index]

    def of(self, object_name: str, record_id: str) -> Iterator[Event]:
        """Yield the events of one row, oldest first."""
        return (event for event in self._events if event.id == record_id and event.object == object_name)
