"""A long transaction: rows are stamped when written and appear when it commits, minutes or hours later."""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from .org import Org


class LateCommit:
    """Writes that wait for `commit`; as a context manager it commits at the end, or rolls back after an exception.

    While it is open the org's `latest_date_covered` stops at its beginning.
    """

    def __init__(self, org: "Org") -> None:
        self._org = org
        self._writes: list[Callable[[], object]] = []
        self.opened_at = org.clock.now()
        org.late.append(self)

    def insert(self, object_name: str, values: Mapping[str, Any]) -> str:
        """Write a new row, stamped now; returns the id it will have."""
        record_id = self._org.reserve_id(object_name)
        at = self._org.clock.now()
        self._writes.append(partial(self._org.insert, object_name, values, at=at, record_id=record_id))
        return record_id

    def update(self, object_name: str, record_id: str, values: Mapping[str, Any]) -> None:
        """Change a row, stamped now (or as the row is then, if another transaction stamps it later)."""
        written_at = self._org.clock.now()

        def write() -> None:
            self._org.update(object_name, record_id, values, at=self._stamp(object_name, record_id, written_at))

        self._writes.append(write)

    def delete(self, object_name: str, record_id: str) -> None:
        """Delete a row, stamped now."""
        written_at = self._org.clock.now()

        def write() -> None:
            self._org.delete(object_name, record_id, at=self._stamp(object_name, record_id, written_at))

        self._writes.append(write)

    def _stamp(self, object_name: str, record_id: str, written_at: datetime) -> datetime:
        stamp: datetime = self._org.row(object_name, record_id)["SystemModstamp"]
        return max(stamp, written_at)

    def commit(self) -> None:
        """Make the writes visible, all in one step."""
        with self._org.lock:
            for write in self._writes:
                write()
            self.rollback()

    def rollback(self) -> None:
        """Forget what has not been committed and close."""
        with self._org.lock:
            self._writes.clear()
            if self in self._org.late:
                self._org.late.remove(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.commit()
        else:
            self.rollback()
