"""Open query cursors of one org and the two forms of their locators."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta

from .clock import Clock
from .ids import ALPHABET, base62, to_18
from .query import QueryResult
from .settings import Settings

MOST_OPEN = 500


@dataclass(frozen=True)
class Cursor:
    """A query whose rows are being fetched: the ids in order, not their values."""

    serial: int
    result: QueryResult
    expires_at: datetime


class CursorStore:
    """Keeps cursors until they expire, are dropped, or five hundred newer ones exist. Thread-safe.

    A locator holds the cursor's number and the offset of the next row, so the same locator may be fetched again.
    """

    def __init__(self, clock: Clock, settings: Settings) -> None:
        self._clock = clock
        self._settings = settings
        self._lock = threading.Lock()
        self._serial = 0
        self._cursors: OrderedDict[int, Cursor] = OrderedDict()

    def open(self, result: QueryResult) -> Cursor:
        """Keep `result` for later pages."""
        with self._lock:
            self._serial += 1
            expires_at = self._clock.now() + timedelta(seconds=self._settings.cursor_seconds)
            cursor = self._cursors[self._serial] = Cursor(self._serial, result, expires_at)
            if len(self._cursors) > MOST_OPEN:
                self._cursors.popitem(last=False)
        return cursor

    def locator(self, cursor: Cursor, offset: int) -> str:
        """The text that fetches the rows from `offset` on."""
        if self._settings.locator_style == "01g":
            return f"{to_18('01g5e00000' + base62(cursor.serial, 5))}-{offset}"
        return to_18("0r8" + base62(cursor.serial, 6) + base62(offset, 6))

    def find(self, locator: str) -> tuple[Cursor, int] | None:
        """The live cursor and the offset of a locator; None if it is unknown, expired or dropped."""
        try:
            serial, offset = _parse(locator)
        except ValueError:
            return None
        with self._lock:
            cursor = self._cursors.get(serial)
        if cursor is None or cursor.expires_at <= self._clock.now():
            return None
        return cursor, offset

    def drop_all(self) -> None:
        """Lose every cursor, as the server may at any time."""
        with self._lock:
            self._cursors.clear()


def _parse(locator: str) -> tuple[int, int]:
    if locator.startswith("0r8"):
        return _number(locator[3:9]), _number(locator[9:15])
    identity, _, offset = locator.partition("-")
    return _number(identity[10:15]), int(offset)


def _number(text: str) -> int:
    number = 0
    for each in text:
        number = number * 62 + ALPHABET.index(each)
    return number
